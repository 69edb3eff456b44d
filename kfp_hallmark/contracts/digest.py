"""The digest of an artifact: SHA-256 over the manifest of its files, their names included.

The manifest is the one that OpenSSF model signing takes of a model, but that no file is left out (not even below
`.git`). The root that it signs is another: that one joins the files' digests without their names, so a renamed file
can keep it.
Source: https://github.com/sigstore/model-transparency, the `files` serialization.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kfp_hallmark.contracts.documents import value_digest
from kfp_hallmark.errors import IntegrityError, MissingInputError

PREFIX = "sha256:"


@dataclass(frozen=True)
class Manifest:
    """The files of an artifact with their digests.

    Attributes:
        files: Relative POSIX path to `sha256:<64 hex digits>`; a single file is named `.`.
    """

    files: Mapping[str, str]

    def __post_init__(self) -> None:
        for name, digest in self.files.items():
            try:
                name.encode("utf-8")
            except UnicodeEncodeError as error:
                raise IntegrityError(f"The files of an artifact must have names in Unicode; got {name!r}.") from error
            if not is_digest(digest):
                raise IntegrityError(f"The file {name!r} must be bound by a digest; got {digest!r}.")

    @property
    def digest(self) -> str:
        """The artifact's digest, `sha256:<64 hex digits>`: that of the manifest as canonical JSON."""
        return value_digest(dict(self.files))

    @classmethod
    def of(cls, path: str | Path, digest_of: Callable[[Path], str] | None = None) -> Manifest:
        """Read a file, or every file below a folder, and return the manifest.

        Args:
            path: The file or folder.
            digest_of: Reads each file and returns its digest; None is `file_digest`.

        Raises:
            MissingInputError: If the path is not there, or a folder holds no file.
            IntegrityError: If the folder holds a symbolic link, whose target no digest would cover, a pipe, socket or
                device, or a name that is no Unicode. The path itself may be a link.
            PermissionError: If something below the folder cannot be read; nothing is left out in silence.
        """
        path, digest_of = Path(path), digest_of or file_digest
        if path.is_file():
            return cls({".": digest_of(path)})
        if not path.is_dir():
            raise MissingInputError(f"An artifact must be a file or a folder; got {str(path)!r}.")
        files = {entry.relative_to(path).as_posix(): digest_of(entry) for entry in sorted(_files(path))}
        if not files:
            raise MissingInputError(f"An artifact must hold at least one file; got the empty folder {str(path)!r}.")
        return cls(files)


def _files(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, in no particular order."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise IntegrityError(f"An artifact must hold no symbolic links; got {entry.path!r}.")
            if entry.is_dir():
                yield from _files(Path(entry))
            elif entry.is_file():
                yield Path(entry)
            else:
                raise IntegrityError(f"An artifact must hold nothing but files and folders; got {entry.path!r}.")


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of one file's bytes, as `sha256:<64 hex digits>`; what `sha256sum` prints."""
    with Path(path).open("rb") as file:
        return PREFIX + hashlib.file_digest(file, "sha256").hexdigest()


def artifact_digest(path: str | Path) -> str:
    """Return the digest of a file or folder; see `Manifest`."""
    return Manifest.of(path).digest


def is_digest(value: object) -> bool:
    """Return whether a value is written as a digest: `sha256:` and 64 lower-case hexadecimal digits."""
    if not isinstance(value, str) or not value.startswith(PREFIX):
        return False
    digits = value.removeprefix(PREFIX)
    return len(digits) == 64 and set(digits) <= set("0123456789abcdef")


def short(digest: str) -> str:
    """Return the first 12 hexadecimal digits of a digest, for the name of a folder."""
    return digest.removeprefix(PREFIX)[:12]
