"""Put a registered model into a serving folder."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark import tracking
from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.decision import Outcome, require_release
from kfp_hallmark.contracts.digest import Manifest
from kfp_hallmark.contracts.documents import write_json, writing
from kfp_hallmark.contracts.registration import (
    DECISION_DIGEST_TAG,
    DECISION_TAG,
    DIGEST_TAG,
    Registration,
    require_alias,
)
from kfp_hallmark.contracts.release import RELEASE_FILE, SERVING_VARIABLE, Release
from kfp_hallmark.errors import InputError, IntegrityError, nearest

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TARGETS = ("local",)


def deploy(
    model: Artifact,
    decision: Artifact,
    registration: Artifact,
    release: Artifact,
    target: str,
    serving_dir: str | None,
    alias: str,
    tracking_uri: str | None,
) -> tuple[str]:
    """Deploy a model; see the component.

    Model and evidence are copied, verified and renamed into place. Then the release document is replaced, which makes
    the version serve, and then the alias moves. When the alias cannot be moved, the former document is put back, so
    that what serves is what the registry calls the champion. Killed anywhere, the step can be run again.

    Returns:
        The URI of the model's folder.
    """
    if target not in TARGETS:
        raise InputError(f"target must be one of {', '.join(TARGETS)}; got {target!r}.", nearest(target, [*TARGETS]))
    root = _serving_dir(serving_dir)
    require_alias(alias)
    decided = require_release(decision.path, model.path, decision.metadata.get("digest"))
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
    home = root / registered.name
    with _locked(home):
        wanted = _succeed(wanted, home / RELEASE_FILE)
        _place(Path(model.path), home / wanted.path, wanted.model)
        _place(Path(decision.path), home / wanted.decision, evidence)
        with _switched(home / RELEASE_FILE, wanted), tracking.reaching(registry.tracking_uri):
            registry.set_registered_model_alias(registered.name, alias, registered.version)
    uri = (home / wanted.path).as_uri()
    write_json(release.path, wanted.to_json())
    release.metadata.update(name=wanted.name, version=wanted.version, digest=wanted.model.digest, uri=uri)
    return (uri,)


def _serving_dir(given: str | None) -> Path:
    folder = given or os.environ.get(SERVING_VARIABLE)
    if not folder:
        raise InputError(f"serving_dir must name a folder, or {SERVING_VARIABLE} must be set; got neither.")
    if "://" in folder:
        raise InputError(f"serving_dir must be a folder on this machine or a mounted one; got {folder!r}.")
    return Path(folder).resolve()


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
                "Register the model with the decision that it is deployed with.",
            )


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold a lock, so that two deployments of one model do not mix."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _place(source: Path, place: Path, manifest: Manifest) -> None:
    """Copy a folder to where it is not yet, and verify it there.

    Raises:
        IntegrityError: If the copy, or what stands there already, is not what the manifest says.
    """
    if not place.exists():
        with writing(place) as temporary:
            shutil.copytree(source, temporary)
            if Manifest.of(temporary).files != manifest.files:
                raise IntegrityError(f"The folder {str(source)!r} must stay as it is while it is copied; it changed.")
    elif Manifest.of(place).files != manifest.files:
        raise IntegrityError(
            f"The folder {str(place)!r} must hold what was deployed, {manifest.digest}; it was changed.",
            "Find out who changed it; then remove it and deploy again.",
        )


def _succeed(wanted: Release, file: Path) -> Release:
    """Return a release that says what was served before it; the one that is served already stays as it is.

    Raises:
        IntegrityError: If the folder's release is not whole, or of another registered model: where the case of letters
            does not tell folders apart, two names can be one folder.
    """
    if not file.exists():
        return wanted
    current = Release.read(file)
    if current.name != wanted.name:
        raise IntegrityError(
            f"The folder {str(file.parent)!r} must serve the registered model {current.name!r}; got {wanted.name!r}.",
            "Choose a name that differs by more than the case of its letters.",
        )
    return current if current.reference == wanted.reference else replace(wanted, previous=current.reference)


@contextmanager
def _switched(file: Path, release: Release) -> Iterator[None]:
    """Replace the release document, and put the former one back when the block raises."""
    former = file.read_bytes() if file.exists() else None
    write_json(file, release.to_json())
    try:
        yield
    except BaseException:
        if former is None:
            file.unlink()
        else:
            with writing(file) as temporary:
                temporary.write_bytes(former)
        raise
