from typing import Dict, NamedTuple, Optional

from kfp.dsl import Artifact, Input, Model, Output

from kfp_hallmark.component import component


@component(environment="release", idempotent=True, size="small")
def register_model(
    model: Input[Model],
    decision: Input[Artifact],
    registration: Output[Artifact],
    model_name: str,
    alias: str = "challenger",
    tracking_uri: Optional[str] = None,
    vertex: Dict = {},
) -> NamedTuple("Outputs", [("version", str), ("uri", str)]):
    """Register a model that has a decision to release, with its evidence, as a version in the MLflow registry.

    The same model twice does not make two versions.

    Args:
        model: The model that was decided on.
        decision: What decide_release wrote.
        model_name: Name of the registered model.
        alias: Alias that the version gets.
        tracking_uri: MLflow registry. Default: MLFLOW_TRACKING_URI.
        vertex: Options of Vertex AI, to whose Model Registry the version goes too: project, location, storage_uri,
            serving_image, and optionally labels, max_seconds, api_endpoint. Default: it does not go there.

    Returns:
        registration: JSON, hallmark/registration/v1: name, version, URI and digest.
        version: The version's number.
        uri: The version as models:/<name>/<version>.

    Raises:
        ReleaseRefused: If the decision is not a release, or no longer one.
        IntegrityError: If model or evidence is not what was decided on.
        InputError: If a name, an alias or an option cannot be used.
        ServiceError: If Vertex AI or the storage refuses, fails or does not answer in time.
    """
    from kfp_hallmark.components.release.register_model.register import register

    return register(model, decision, registration, model_name, alias, tracking_uri, vertex)
