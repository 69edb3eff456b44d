"""The package: one release with its files, put where a platform serves it from.

    <storage_uri>/<name>/<version>-<12 hex digits of the model>-<12 of the decision>/
        release.json             written last: a package that has it is whole
        versions/<version>-<12 hex digits>/
        decisions/<12 hex digits>/

This is a serving folder with one version in it (kfp_hallmark/contracts/release.py). Its place follows from the digests
and nothing in it is ever changed, so that what a platform copied once stays what was decided on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.digest import Manifest, file_digest, short
from kfp_hallmark.contracts.release import RELEASE_FILE, Release
from kfp_hallmark.errors import HallmarkError, InputError, IntegrityError, ServiceError
from kfp_hallmark.storage import shown


def package_uri(storage_uri: str, release: Release) -> str:
    """Return where a release's package is, or is to be.

    Raises:
        InputError: If the storage is no URI.
    """
    scheme, separator, place = storage_uri.partition("://")
    if not scheme or not separator or not place.strip("/"):
        raise InputError(f"storage_uri must be a URI such as gs://bucket/folder; got {storage_uri!r}.")
    name = f"{release.version}-{short(release.model.digest)}-{short(release.decision_digest)}"
    return f"{storage_uri.rstrip('/')}/{release.name}/{name}"


def put_package(storage_uri: str, release: Release, model: Path, decision: Path, evidence: Manifest) -> str:
    """Put a release's package where it is not yet, verify it there, and return its URI.

    Killed anywhere, it can be called again.

    Args:
        storage_uri: Folder of packages, as fsspec names it: `gs://bucket/folder`, `s3://...`, `file:///...`.
        release: What it is a release of.
        model: The model's folder on this machine.
        decision: The decision's folder on this machine.
        evidence: The manifest of the decision's folder.

    Raises:
        InputError: If the storage is no URI that fsspec knows.
        IntegrityError: If what is there in the end is not what was decided on.
        ServiceError: If the storage cannot be reached or refuses.
    """
    uri = package_uri(storage_uri, release)
    with _reaching(uri):
        filesystem, root = _open(uri)
        if not filesystem.exists(f"{root}/{RELEASE_FILE}"):
            for source, place, manifest in (
                (model, release.path, release.model),
                (decision, release.decision, evidence),
            ):
                for name in manifest.files:
                    filesystem.put_file(str(source / name), f"{root}/{place}/{name}")
                _verify_files(filesystem, f"{root}/{place}", manifest)
            filesystem.pipe_file(f"{root}/{RELEASE_FILE}", (json.dumps(release.to_json(), indent=2) + "\n").encode())
    verify_package(uri, release, evidence)
    return uri


def verify_package(uri: str, release: Release, evidence: Manifest) -> None:
    """Raise unless a package holds a release with the files that were decided on, and no others.

    Raises:
        IntegrityError: If it holds anything else.
        ServiceError: If the storage cannot be reached or refuses.
    """
    found = read_package(uri)
    if (found.name, found.reference, found.model.files) != (release.name, release.reference, release.model.files):
        raise IntegrityError(
            f"The package {shown(uri)!r} must be of {release.name} {release.version}, {release.model.digest}; "
            "it is not.",
            "Find out who changed it; then remove it and register again.",
        )
    with _reaching(uri):
        filesystem, root = _open(uri)
        _verify_files(filesystem, f"{root}/{release.path}", release.model)
        _verify_files(filesystem, f"{root}/{release.decision}", evidence)


def read_package(uri: str) -> Release:
    """Return the release that a package holds; this alone does not verify its files.

    Raises:
        IntegrityError: If it is not whole.
        MissingInputError: If there is none.
        ServiceError: If the storage cannot be reached or refuses.
    """
    with _reaching(uri), tempfile.TemporaryDirectory() as folder:
        filesystem, root = _open(uri)
        file = Path(folder, RELEASE_FILE)
        if filesystem.exists(f"{root}/{RELEASE_FILE}"):
            filesystem.get_file(f"{root}/{RELEASE_FILE}", str(file))
        return Release.read(file)


def _open(uri: str) -> tuple[Any, str]:
    """Return the filesystem of a URI and the path in it."""
    import fsspec

    options = {"auto_mkdir": True} if uri.startswith("file://") else {}
    filesystem, root = fsspec.url_to_fs(uri, skip_instance_cache=True, use_listings_cache=False, **options)
    return filesystem, root.rstrip("/")


def _verify_files(filesystem: Any, root: str, manifest: Manifest) -> None:
    """Raise `IntegrityError` unless a folder of a filesystem holds exactly the files of a manifest.

    Each is fetched whole: the file objects of a remote filesystem read ahead in threads, whose clean-up can hang.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        for path in filesystem.find(root):
            filesystem.get_file(path, str(copy))
            found[path.removeprefix(f"{root}/")] = file_digest(copy)
    if found != manifest.files:
        differing = sorted({name for name, _ in found.items() ^ manifest.files.items()})
        raise IntegrityError(
            f"The folder {root!r} must hold what was decided on, {manifest.digest}; these files differ: "
            f"{', '.join(differing)}.",
            "Find out who changed them; then remove the folder and run the step again.",
        )


@contextmanager
def _reaching(uri: str) -> Iterator[None]:
    """Turn the failures of a storage within the block into one clear error."""
    try:
        yield
    except HallmarkError:
        raise
    except (ImportError, ValueError) as error:
        raise InputError(
            f"storage_uri must be a URI that fsspec can open; {shown(uri)!r} cannot be ({type(error).__name__}).",
            "Its protocol must be one that fsspec knows, and the environment must hold the package that it needs.",
        ) from None
    except Exception as error:
        # Every filesystem has errors of its own; what they say may hold an address with a token, and would be logged.
        raise ServiceError(
            f"The storage must let the package {shown(uri)!r} be written and read; it failed with "
            f"{type(error).__name__}.",
            "Check that the bucket is there, and that the step's account may read and write objects in it.",
        ) from None
