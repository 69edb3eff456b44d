"""Register a model in MLflow's registry."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfp_hallmark import tracking
from kfp_hallmark.components.release.register_model.vertex import Options, upload
from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.decision import Decision, require_release
from kfp_hallmark.contracts.digest import Manifest, artifact_digest, short
from kfp_hallmark.contracts.documents import write_json
from kfp_hallmark.contracts.options import read_options
from kfp_hallmark.contracts.registration import (
    DATASET_TAG,
    DECISION_DIGEST_TAG,
    DECISION_TAG,
    DIGEST_TAG,
    EXPERIMENT_TAG,
    SOURCES_TAG,
    VERDICT_TAG,
    Registration,
    require_alias,
    require_model_name,
)
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import IntegrityError
from kfp_hallmark.vertex import require_version_alias

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

EXPERIMENT = "hallmark"
"""The experiment of a run that is made to hold a model which no run of this store trained."""


def register(
    model: Artifact,
    decision: Artifact,
    registration: Artifact,
    model_name: str,
    alias: str,
    tracking_uri: str | None,
    vertex: Mapping[str, Any],
) -> tuple[str, str]:
    """Register a model; see the component.

    The files and the evidence are uploaded first. The version then appears in one step with all its tags. With options
    for Vertex AI, it goes to the Model Registry there as well. MLflow's alias moves last: whenever the step is killed,
    what is visible is whole, and the next run completes it.

    Returns:
        The version's number and its URI.
    """
    require_model_name(model_name)
    require_alias(alias)
    options = read_options(Options, vertex, "vertex") if vertex else None
    if options:
        require_version_alias(alias)
    decided = require_release(decision.path, model.path, decision.metadata.get("digest"))
    tags = _tags(decided, artifact_digest(decision.path))
    registry = tracking.client(tracking.tracking_uri(tracking_uri))
    with tracking.reaching(registry.tracking_uri):
        version = _registered(registry, model_name, decided.model.digest)
        if version is None:
            version = _create(registry, model_name, model, decision, tags, decided.model)
        else:
            _verify_files(registry, version.source, decided.model)
            if version.tags.get(DECISION_DIGEST_TAG) != tags[DECISION_DIGEST_TAG]:
                _renew(registry, version, decision, tags)
    number, resource = str(version.version), None
    if options:
        release = Release(model_name, number, decided.model, tags[DECISION_DIGEST_TAG])
        resource = upload(options, model, decision, decided, release, alias)
    with tracking.reaching(registry.tracking_uri):
        registry.set_registered_model_alias(model_name, alias, number)
    found = Registration(model_name, number, decided.model.digest, version.run_id, vertex=resource)
    write_json(registration.path, found.to_json())
    registration.metadata.update(name=found.name, version=found.version, uri=found.uri, digest=found.digest)
    return found.version, found.uri


def _tags(decision: Decision, decision_digest: str) -> dict[str, str]:
    """Return the tags of a version; the decision's digest is the last, and so says that the others are set."""
    trained, *sources = decision.lineage.datasets or ("",)
    tags = {
        DIGEST_TAG: decision.model.digest,
        EXPERIMENT_TAG: decision.lineage.experiment_hash,
        DATASET_TAG: trained,
        SOURCES_TAG: ",".join(sources),
        **{f"{VERDICT_TAG}{gate}": status for gate, status in decision.statuses.items()},
        DECISION_TAG: str(decision.outcome),
        DECISION_DIGEST_TAG: decision_digest,
    }
    return {key: value for key, value in tags.items() if value}


def _registered(registry: MlflowClient, name: str, digest: str) -> ModelVersion | None:
    """Return the first version that has the model's digest, or None."""
    found = registry.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{digest}'")
    return min(found, key=lambda version: int(version.version), default=None)


def _create(
    registry: MlflowClient, name: str, model: Artifact, decision: Artifact, tags: dict[str, str], manifest: Manifest
) -> ModelVersion:
    """Upload a model with its evidence, verify what was uploaded, and make the version."""
    from mlflow.exceptions import MlflowException

    run = _run(registry, model.metadata.get("run_id"), name)
    folder = f"hallmark/{short(tags[DIGEST_TAG])}/model"
    registry.log_artifacts(run.info.run_id, model.path, folder)
    _attach(registry, run.info.run_id, decision, tags)
    source = f"{run.info.artifact_uri}/{folder}"
    _verify_files(registry, source, manifest)
    try:
        registry.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return registry.create_model_version(name, source, run.info.run_id, tags)


def _verify_files(registry: MlflowClient, source: str, manifest: Manifest) -> None:
    """Raise `IntegrityError` unless a place in the registry's store holds exactly the files that were decided on.

    A version with the model's digest as its tag can be somebody else's, and a run's folder can hold more than was
    uploaded here.
    """
    from mlflow.artifacts import download_artifacts

    uri = registry.tracking_uri
    with tempfile.TemporaryDirectory() as folder:
        found = Manifest.of(download_artifacts(artifact_uri=source, dst_path=folder, tracking_uri=uri))
    if found.files != manifest.files:
        raise IntegrityError(
            f"The registry's files {source!r} must be the model that was decided on, {manifest.digest}; they are not.",
            "Find out who changed them; then remove them, and the version that has them.",
        )


def _run(registry: MlflowClient, run_id: str | None, name: str) -> Run:
    """Return the run that trained a model, or a new one when this store does not hold that."""
    from mlflow.exceptions import MlflowException

    if run_id is not None:
        try:
            found = registry.get_run(run_id)
            if found.info.lifecycle_stage == "active":
                return found
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
    made = registry.create_run(tracking.experiment(registry, EXPERIMENT), run_name=name)
    registry.set_terminated(made.info.run_id)
    return made


def _attach(registry: MlflowClient, run_id: str, decision: Artifact, tags: dict[str, str]) -> None:
    """Upload a decision with its evidence, beside those that were uploaded before."""
    place = f"hallmark/{short(tags[DIGEST_TAG])}/decisions/{short(tags[DECISION_DIGEST_TAG])}"
    registry.log_artifacts(run_id, decision.path, place)


def _renew(registry: MlflowClient, version: ModelVersion, decision: Artifact, tags: dict[str, str]) -> None:
    """Give a version the evidence of a newer decision on the same model."""
    _attach(registry, version.run_id, decision, tags)
    for key in version.tags:
        if key.startswith(VERDICT_TAG) and key not in tags:
            registry.delete_model_version_tag(version.name, version.version, key)
    for key, value in tags.items():
        registry.set_model_version_tag(version.name, version.version, key, value)
