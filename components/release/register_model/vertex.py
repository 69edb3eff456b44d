"""Bring a registered version into the Model Registry of Vertex AI too."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.decision import Decision
from kfp_hallmark.contracts.digest import Manifest, short
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import InputError
from kfp_hallmark.package import put_package
from kfp_hallmark.vertex import (
    CALL_SECONDS,
    DECISION_LABEL,
    DIGEST_LABEL,
    MAX_SECONDS,
    NAME_LABEL,
    VERSION_LABEL,
    Vertex,
    reaching,
    reading,
    require_labels,
    resource_id,
)

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import types

PORT = 8080
PREDICT_ROUTE, HEALTH_ROUTE = "/predict", "/health"
"""Where the image `serve` answers."""


@dataclass(frozen=True)
class Options:
    """The options of `vertex`.

    Attributes:
        project: The project's id.
        location: The region.
        storage_uri: Folder in Cloud Storage that packages are put below.
        serving_image: The image `serve` in Artifact Registry, by its digest.
        labels: Labels of the version, beside our own.
        max_seconds: How long an operation may take.
        api_endpoint: Another address of the API, as `host:port`.
    """

    project: str
    location: str
    storage_uri: str
    serving_image: str
    labels: dict[str, str] = field(default_factory=dict)
    max_seconds: float = MAX_SECONDS
    api_endpoint: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]+(/.*)?", self.storage_uri):
            raise InputError(f"vertex['storage_uri'] must be as gs://bucket/folder; got {self.storage_uri!r}.")
        if not re.fullmatch(r"[^\s@]+@sha256:[0-9a-f]{64}", self.serving_image):
            raise InputError(
                f"vertex['serving_image'] must name an image by its digest, as registry/serve@sha256:...; "
                f"got {self.serving_image!r}.",
                "`hallmark image lock` writes the digests to images.lock.json.",
            )
        require_labels(self.labels, "vertex['labels']")


def upload(
    options: Options, model: Artifact, decision: Artifact, decided: Decision, release: Release, alias: str
) -> str:
    """Put the package of a version into Cloud Storage, upload it as a version of one model, and move its alias.

    A version is found again by an alias that is made of the digests of model, decision and image; so the same three
    twice are one version, and another decision on the same model is another one, whose package holds that decision.
    Killed anywhere, the next run completes it.

    Returns:
        The version's resource name.
    """
    evidence = Manifest.of(decision.path)
    uri = put_package(options.storage_uri, release, Path(model.path), Path(decision.path), evidence)
    vertex = Vertex(options.project, options.location, options.api_endpoint, options.max_seconds)
    name = f"{vertex.parent}/models/{resource_id(release.name)}"
    mark = _mark(release, options.serving_image)
    task = f"register {release.name} {release.version}"
    vertex.settle(vertex.models, name, task)
    version = _find(vertex, f"{name}@{mark}", task) or _create(vertex, name, mark, uri, options, decided, release, task)
    if alias not in version.version_aliases:
        with reaching(f"move the alias {alias}"):
            vertex.models.merge_version_aliases(
                name=f"{version.name}@{version.version_id}", version_aliases=[alias], timeout=CALL_SECONDS
            )
    return f"{version.name}@{version.version_id}"


def _mark(release: Release, image: str) -> str:
    """Return the alias by which a version is found again."""
    digests = f"{release.model.digest} {release.decision_digest} {image}"
    return f"hallmark-{hashlib.sha256(digests.encode('ascii')).hexdigest()[:32]}"


def _find(vertex: Vertex, name: str, task: str) -> types.Model | None:
    """Return a version, or None."""
    from google.api_core.exceptions import NotFound

    with reaching(task):
        try:
            return vertex.models.get_model(name=name, **reading())
        except NotFound:
            return None


def _create(
    vertex: Vertex,
    name: str,
    mark: str,
    uri: str,
    options: Options,
    decided: Decision,
    release: Release,
    task: str,
) -> types.Model:
    """Upload a version, of the model that is there or as the first of a new one."""
    from google.cloud.aiplatform_v1 import types

    model = types.Model(
        display_name=release.name,
        description=f"The registered model {release.name!r} of MLflow's registry, with the evidence of its releases.",
        version_description=_description(decided, release, uri),
        version_aliases=[mark],
        labels=_labels(options, release),
        artifact_uri=uri,
        container_spec=types.ModelContainerSpec(
            image_uri=options.serving_image,
            ports=[types.Port(container_port=PORT)],
            predict_route=PREDICT_ROUTE,
            health_route=HEALTH_ROUTE,
        ),
    )
    request = types.UploadModelRequest(parent=vertex.parent, model=model)
    if _find(vertex, name, task) is None:
        request.model_id = name.rpartition("/")[2]
    else:
        request.parent_model = name
    with reaching(task):
        operation = vertex.models.upload_model(request, timeout=CALL_SECONDS)
    answer = vertex.finish(operation, task)
    with reaching(task):
        return vertex.models.get_model(name=f"{answer.model}@{answer.model_version_id}", **reading())


def _labels(options: Options, release: Release) -> dict[str, str]:
    return {
        **options.labels,
        NAME_LABEL: resource_id(release.name),
        VERSION_LABEL: release.version,
        DIGEST_LABEL: short(release.model.digest),
        DECISION_LABEL: short(release.decision_digest),
    }


def _description(decided: Decision, release: Release, uri: str) -> str:
    """Return what a version says of itself: its digests in full, and where its evidence is."""
    folder = f"{uri}/{release.decision}"
    verdicts = [f"{entry.gate}: {entry.status}, {folder}/{entry.file}" for entry in decided.evidence if entry.digest]
    lines = [
        f"MLflow: models:/{release.name}/{release.version}",
        f"Model: {release.model.digest}",
        f"Decision: {decided.outcome}, {release.decision_digest}, {folder}/decision.json",
        *verdicts,
    ]
    return "\n".join(lines)
