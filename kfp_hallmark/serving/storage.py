"""Fetch the folder that `deploy_model` filled from where AIP_STORAGE_URI names, such as gs://bucket/serving/income."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from kfp_hallmark.contracts.release import RELEASE_FILE, Release
from kfp_hallmark.errors import HallmarkError, IntegrityError, MissingInputError
from kfp_hallmark.storage import shown


def fetch(uri: str, folder: Path) -> None:
    """Copy the release document at a URI, and the model and decision that it names, into a folder.

    Nothing is verified here but that nothing is written outside the folder; `kfp_hallmark.serving.releases` verifies.

    Raises:
        MissingInputError: If the storage cannot be read, or holds no release there.
        IntegrityError: If the document is not whole, or names files outside its folder.
    """
    import fsspec

    try:
        storage, root = fsspec.core.url_to_fs(uri.rstrip("/"))
        _copy(storage, f"{root}/{RELEASE_FILE}", folder / RELEASE_FILE)
        release = Release.read(folder / RELEASE_FILE)
        for part in (release.path, release.decision):
            for name in storage.find(f"{root}/{part}"):
                if not name.endswith("/"):
                    _copy(storage, name, folder / _inside(name, root))
    except HallmarkError:
        raise
    except Exception as error:
        # What a client says may hold an address with a token in it, and it would be shown in the container's log.
        raise MissingInputError(
            f"The release at {shown(uri)!r} must be readable; fetching it failed with {type(error).__name__}.",
            "Check the address, and that the container's service account may read it.",
        ) from None


def _copy(storage: object, source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    storage.get_file(source, str(target))  # type: ignore[attr-defined]


def _inside(name: str, root: str) -> str:
    """Return a file's path relative to the root, which must lead nowhere else."""
    path = PurePosixPath(name.removeprefix(root).lstrip("/"))
    if not name.startswith(f"{root}/") or ".." in path.parts:
        raise IntegrityError(f"A release must hold the files that it names; got {name!r}.")
    return str(path)
