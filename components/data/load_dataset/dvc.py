"""Data that DVC tracks: what their `.dvc` file says of them, and whether they are what it says.

Source: https://dvc.org/doc/user-guide/project-structure/dvc-files, and how DVC 3 and DVC 2 take the MD5 of files:
https://github.com/iterative/dvc-data/blob/3.16.12/src/dvc_data/hashfile/hash.py and `tree.py` beside it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from kfp_hallmark.contracts.documents import NO_YAML
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError
from kfp_hallmark.storage import advice, reading, shown

SUFFIX = ".dvc"
MD5 = r"[0-9a-f]{32}(\.dir)?"
REVISION = r"[0-9a-f]{7,64}"
SCP_USER = r"^[^/]*@(?=[^/]*:)"
"""Of an address as `git@github.com:acme/data`, what is before the host."""
BLOCK = 1 << 20
HEAD = 512
TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"


@dataclass(frozen=True)
class Tracked:
    """What a `.dvc` file says of the data that it tracks.

    Attributes:
        name: The file's URI without credentials, for messages.
        uri: The data's path or URI.
        md5: The MD5 that is recorded, 32 hexadecimal digits; of a folder's manifest, `.dir` follows.
        text_as_unix: Whether it was taken as DVC 2 does, with the line ends of Unix in text.
        repository: The address that data were imported from, without credentials; None when they were not.
        revision: The commit there.
    """

    name: str
    uri: str
    md5: str
    text_as_unix: bool
    repository: str | None
    revision: str | None

    @property
    def bound(self) -> dict[str, str]:
        """What a dataset that is made of the data says of this, by the names in its metadata."""
        told = {
            "source_dvc_md5": self.md5,
            "source_dvc_repository": self.repository,
            "source_dvc_revision": self.revision,
        }
        return {name: value for name, value in told.items() if value is not None}


def read_tracked(uri: str) -> Tracked:
    """Read a `.dvc` file.

    Args:
        uri: Its path or fsspec URI.

    Raises:
        MissingInputError: If it is not there, or the data beside it are not.
        InputError: If it does not track one file or folder beside it by MD5.
    """
    import fsspec

    name = shown(uri)
    with reading("uri", uri):
        system, location = fsspec.core.url_to_fs(uri)
        if not system.isfile(location):
            raise MissingInputError(f"uri must be a file or folder that is there; got {name!r}.", advice(uri))
        tracked = _parse(system.cat_file(location), uri, name)
        if not system.exists(fsspec.core.url_to_fs(tracked.uri)[1]):
            raise MissingInputError(
                f"The data that {name!r} tracks must be beside it; {shown(tracked.uri)!r} is not there.",
                "Fetch them with: dvc pull",
            )
    return tracked


def _parse(content: bytes, uri: str, name: str) -> Tracked:
    import yaml

    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, *NO_YAML):
        raise InputError(f"The file {name!r} must be YAML as DVC writes it; it cannot be read as such.") from None
    outs = document.get("outs") if isinstance(document, Mapping) else None
    if not isinstance(outs, list) or not all(isinstance(out, Mapping) for out in outs):
        raise InputError(f"The file {name!r} must say what it tracks, in `outs`; it does not.")
    if len(outs) != 1:
        raise InputError(f"The file {name!r} must track one file or folder; it tracks {len(outs)}.")
    (out,) = outs
    md5, kind = out.get("md5"), out.get("hash", "md5")
    if not isinstance(md5, str) or not re.fullmatch(MD5, md5) or kind != "md5":
        raise InputError(
            f"The file {name!r} must record the MD5 of what it tracks; it records none.",
            "DVC records one when it has the data itself: by `dvc add`, or `dvc import` and `dvc import-url` "
            "without --no-download.",
        )
    folder, slash, _ = uri.rpartition("/")
    repository, revision = _import(document, name)
    return Tracked(name, folder + slash + _beside(out, document, name), md5, "hash" not in out, repository, revision)


def _beside(out: Mapping[str, Any], document: Mapping[str, Any], name: str) -> str:
    """Return the path of what is tracked, which must not lead out of the folder that the `.dvc` file is in."""
    path = out.get("path")
    inside = (
        isinstance(path, str)
        and document.get("wdir") in (None, ".")
        and path not in ("", ".")
        and "::" not in path
        and "://" not in path
        and not PurePosixPath(path).is_absolute()
        and ".." not in PurePosixPath(unquote(path)).parts
    )
    if not inside:
        raise InputError(f"The file {name!r} must track what is in the folder with it; its `path` leads elsewhere.")
    return str(path)


def _import(document: Mapping[str, Any], name: str) -> tuple[str | None, str | None]:
    """Return the repository that data were imported from, without credentials, and the commit there."""
    dependencies = document.get("deps")
    for dependency in dependencies if isinstance(dependencies, list) else []:
        repository = dependency.get("repo") if isinstance(dependency, Mapping) else None
        if isinstance(repository, Mapping) and "rev_lock" in repository:
            url, revision = repository.get("url"), repository["rev_lock"]
            if not isinstance(url, str) or not isinstance(revision, str) or not re.fullmatch(REVISION, revision):
                raise InputError(f"The file {name!r} must say what it imports by `url` and a commit; it does not.")
            address = shown(re.sub(SCP_USER, "", url))
            return address.partition("#")[0] if "://" in address else address, revision
    return None, None


def require_no_links(tracked: Tracked, path: Path) -> None:
    """Raise `IntegrityError` if a folder holds symbolic links, whose targets no digest of a folder covers.

    Args:
        tracked: What is recorded.
        path: The data, on this machine.
    """
    if link := next((file for file in sorted(path.rglob("*")) if file.is_symlink()), None):
        name = str(link.relative_to(path))
        raise IntegrityError(
            f"The folder that {tracked.name!r} tracks must hold no symbolic links; {name!r} is one.",
            "DVC links to its cache where cache.type says so; for copies: `dvc config cache.type copy`, then "
            "`dvc checkout --relink`.",
        )


def check_tracked(tracked: Tracked, path: Path) -> None:
    """Raise `IntegrityError` unless a file or folder has the MD5 that is recorded.

    Args:
        tracked: What is recorded.
        path: The data, on this machine.
    """
    found = folder_md5(path, tracked.text_as_unix) if path.is_dir() else file_md5(path, tracked.text_as_unix)
    if found != tracked.md5:
        raise IntegrityError(
            f"The data that {tracked.name!r} tracks must have the MD5 {tracked.md5}; got {found}.",
            "They are of another version, or were changed: `dvc checkout` brings back what is recorded.",
        )


def folder_md5(folder: Path, text_as_unix: bool) -> str:
    """Return the MD5 of a folder as DVC takes it: over the JSON of its files' MD5s and paths, then `.dir`."""
    files = {
        path.relative_to(folder).as_posix(): file_md5(path, text_as_unix)
        for path in folder.rglob("*")
        if path.is_file()
    }
    manifest = json.dumps([{"md5": files[name], "relpath": name} for name in sorted(files)])
    return hashlib.md5(manifest.encode(), usedforsecurity=False).hexdigest() + ".dir"


def file_md5(path: Path, text_as_unix: bool) -> str:
    """Return the MD5 of a file as DVC takes it.

    Args:
        path: The file.
        text_as_unix: Whether as DVC 2 does: a file whose first 512 bytes look like text is taken with the line ends of
            Unix, piece by piece, so that one which lies across two pieces of 1 MiB stays as it is.
    """
    if not text_as_unix:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    state = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        text = None
        while block := file.read(BLOCK):
            text = _is_text(block[:HEAD]) if text is None else text
            state.update(block.replace(b"\r\n", b"\n") if text else block)
    return state.hexdigest()


def _is_text(head: bytes) -> bool:
    """Return whether DVC takes a file for text: no zero byte, and at most 30 % of what is no printable ASCII."""
    return b"\x00" not in head and len(head.translate(None, TEXT)) <= 0.3 * len(head)
