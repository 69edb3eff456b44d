from typing import Dict, NamedTuple, Optional

from kfp.dsl import Artifact, Input, Model, Output

from kfp_hallmark.component import component


@component(environment="release", idempotent=True, size="small")
def deploy_model(
    model: Input[Model],
    decision: Input[Artifact],
    registration: Input[Artifact],
    release: Output[Artifact],
    target: str = "local",
    deployment: Dict = {},
    serving_dir: Optional[str] = None,
    alias: str = "champion",
    tracking_uri: Optional[str] = None,
) -> NamedTuple("Outputs", [("uri", str)]):
    """Deploy a registered model that has a decision to release, and make it the champion.

    Args:
        model: The model that was decided on and registered.
        decision: What decide_release wrote.
        registration: What register_model wrote.
        target: Where to: local, a serving folder; vertex, an endpoint of Vertex AI; kserve, an InferenceService.
        deployment: Options of the target. local has none; vertex: traffic, endpoint, machine_type, min_replicas,
            max_replicas, accelerator_type, accelerator_count, service_account, keep, labels, max_seconds, api_endpoint;
            kserve: storage_uri, serving_image, namespace and those of docs/kserve.md.
        serving_dir: Folder that local serves from; the model goes to <serving_dir>/<name>. Default:
            HALLMARK_SERVING_DIR.
        alias: Alias that the version gets when it answers every request; a canary, with less traffic, does not.
        tracking_uri: MLflow registry. Default: MLFLOW_TRACKING_URI.

    Returns:
        release: JSON, hallmark/release/v1: what was deployed, where, and on what evidence.
        uri: Where the model is served from.

    Raises:
        ReleaseRefused: If the decision is not a release, or no longer one.
        IntegrityError: If model, evidence or registration is not what was decided on.
        InputError: If the target is unknown, an option cannot be used, there is no serving folder, or the model has no
            signature by which it could be served.
        ServiceError: If the target's service refuses, fails or does not answer in time.
    """
    from kfp_hallmark.components.release.deploy_model.deploy import deploy

    return deploy(model, decision, registration, release, target, deployment, serving_dir, alias, tracking_uri)
