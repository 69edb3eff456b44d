"""Put a model into a serving folder on this machine."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kfp_hallmark.components.release.deploy_model.target import Parcel, Placed
from kfp_hallmark.contracts.decision import Decision
from kfp_hallmark.contracts.digest import Manifest
from kfp_hallmark.contracts.documents import parse_time, write_json, writing
from kfp_hallmark.contracts.options import read_options
from kfp_hallmark.contracts.release import RELEASE_FILE, SERVING_VARIABLE, Release
from kfp_hallmark.errors import InputError, IntegrityError


@dataclass(frozen=True)
class Options:
    """A serving folder has none."""


class Local:
    """A folder that is served from."""

    def __init__(self, deployment: Mapping[str, Any], serving_dir: str | None) -> None:
        self.read(deployment, serving_dir)
        self.root = _serving_dir(serving_dir)

    @staticmethod
    def read(deployment: Mapping[str, Any], serving_dir: str | None) -> Options:
        """Return the options; see `Target`."""
        if serving_dir is not None:
            _serving_dir(serving_dir)
        return read_options(Options, deployment, "deployment")

    @contextmanager
    def placing(self, parcel: Parcel) -> Iterator[Placed]:
        """Copy model and evidence, verify and rename them into place, then replace the release document."""
        home = self.root / parcel.release.name
        with _locked(home):
            decided = Decision.read(parcel.decision).created
            release = _succeed(parcel.release, home / RELEASE_FILE, decided)
            _place(parcel.model, home / release.path, release.model)
            _place(parcel.decision, home / release.decision, parcel.evidence)
            with _switched(home / RELEASE_FILE, release):
                yield Placed(release, (home / release.path).as_uri())


def _serving_dir(given: str | None) -> Path:
    folder = given or os.environ.get(SERVING_VARIABLE)
    if not folder:
        raise InputError(f"serving_dir must name a folder, or {SERVING_VARIABLE} must be set; got neither.")
    if "://" in folder:
        raise InputError(f"serving_dir must be a folder on this machine or a mounted one; got {folder!r}.")
    return Path(folder).resolve()


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


def _succeed(wanted: Release, file: Path, decided: str) -> Release:
    """Return a release that says what was served before it; the one that is served already stays as it is.

    The time at which that was deployed is nowhere else, so one before the decision or after now is not kept.

    Args:
        wanted: The release, deployed now.
        file: The release that is served.
        decided: When the decision was made.

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
    if current.reference != wanted.reference:
        return replace(wanted, previous=current.reference)
    possible = parse_time(decided) <= parse_time(current.deployed) <= parse_time(wanted.deployed)
    return current if possible else replace(wanted, previous=current.previous)


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
