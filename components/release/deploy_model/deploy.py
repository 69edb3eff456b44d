"""Deploy a registered model: verify it once, and hand it to the target, which makes it serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark import tracking
from kfp_hallmark.components.release.deploy_model.kserve import KServe
from kfp_hallmark.components.release.deploy_model.local import Local
from kfp_hallmark.components.release.deploy_model.target import Parcel, Target
from kfp_hallmark.components.release.deploy_model.vertex import VertexEndpoint
from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.decision import Outcome, require_release
from kfp_hallmark.contracts.digest import Manifest
from kfp_hallmark.contracts.documents import write_json
from kfp_hallmark.contracts.model import read_model_file
from kfp_hallmark.contracts.registration import (
    DECISION_DIGEST_TAG,
    DECISION_TAG,
    DIGEST_TAG,
    Registration,
    require_alias,
)
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import InputError, IntegrityError, nearest
from kfp_hallmark.modeling.columns import require_servable, signature_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TARGETS: dict[str, type[Target]] = {
    "local": Local,
    "vertex": VertexEndpoint,
    "kserve": KServe,
}
"""Target to what is made from the parameters `deployment` and `serving_dir`."""
REGISTER = "Register the model with the decision that it is deployed with."
OTHER_DECISION = (
    "A later registration of the same model, perhaps by a run at the same time, gave the version its own decision. "
    "When that run has ended, run this one again."
)
"""What to do where the registered version has other evidence than is deployed."""


def deploy(
    model: Artifact,
    decision: Artifact,
    registration: Artifact,
    release: Artifact,
    target: str,
    deployment: Mapping[str, Any],
    serving_dir: str | None,
    alias: str,
    tracking_uri: str | None,
) -> tuple[str]:
    """Deploy a model; see the component.

    Everything is verified before the target is asked for anything. The target makes the version serve, and then the
    alias moves. When the alias cannot be moved, the target serves what it served before, so that what serves is what
    the registry calls the champion. Killed anywhere, the step can be run again.

    Returns:
        Where the model is served from.
    """
    require_target(target)
    place = TARGETS[target](deployment, serving_dir)
    require_alias(alias)
    decided = require_release(decision.path, model.path, decision.metadata.get("digest"))
    require_servable(model.path, signature_of(read_model_file(model.path)))
    registered = Registration.read(registration.path)
    if registered.digest != decided.model.digest:
        raise IntegrityError(
            f"The registration must be of the model that was decided on, {decided.model.digest}; "
            f"it is of {registered.digest}."
        )
    evidence = Manifest.of(decision.path)
    registry = tracking.client(tracking.tracking_uri(tracking_uri))
    _verify_version(registry, registered, evidence.digest)
    wanted = Release(registered.name, registered.version, decided.model, evidence.digest)
    parcel = Parcel(wanted, Path(model.path), Path(decision.path), evidence, registered, alias)
    with place.placing(parcel) as placed:
        if placed.leads:
            with tracking.reaching(registry.tracking_uri):
                registry.set_registered_model_alias(registered.name, alias, registered.version)
    write_json(release.path, placed.release.to_json())
    release.metadata.update(
        name=wanted.name,
        version=wanted.version,
        digest=wanted.model.digest,
        uri=placed.uri,
        traffic=placed.release.traffic,
    )
    return (placed.uri,)


def require_target(target: str) -> None:
    """Raise `InputError` if there is no such target."""
    if target not in TARGETS:
        raise InputError(f"target must be one that there is; got {target!r}.", nearest(target, [*TARGETS]))


def _verify_version(registry: MlflowClient, registered: Registration, decision_digest: str) -> None:
    """Raise unless the registry holds the version, with the model and this decision to release as its tags."""
    from mlflow.exceptions import MlflowException

    with tracking.reaching(registry.tracking_uri):
        try:
            tags = registry.get_model_version(registered.name, registered.version).tags
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            tags = {}
    wanted = {DIGEST_TAG: registered.digest, DECISION_TAG: Outcome.RELEASE, DECISION_DIGEST_TAG: decision_digest}
    for tag, value in wanted.items():
        if tags.get(tag) != value:
            raise IntegrityError(
                f"The registered version {registered.uri} must have the tag {tag} {value}; got {tags.get(tag)!r}.",
                OTHER_DECISION if tag == DECISION_DIGEST_TAG and tag in tags else REGISTER,
            )
