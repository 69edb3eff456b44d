"""The file that pins images by their digests: `images.lock.json`, as `hallmark image lock` writes it.

{"schema": "hallmark/images/v1", "images": {"<registry>/ml:0.1.0": "<registry>/ml@sha256:<64 hex digits>"}}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kfp_hallmark.contracts.digest import is_digest
from kfp_hallmark.contracts.documents import read_json, write_json
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

SCHEMA = "hallmark/images/v1"
FILE = "images.lock.json"


def repository(reference: str) -> str:
    """Return an image's name without tag and digest."""
    head, slash, last = reference.partition("@")[0].rpartition("/")
    return head + slash + last.partition(":")[0]


def is_pinned(reference: str) -> bool:
    """Return whether an image is named by a digest."""
    return is_digest(reference.partition("@")[2])


def read(path: Path) -> dict[str, str]:
    """Read the pinned images: reference to the same image by its digest.

    Raises:
        MissingInputError: If there is no such file.
        IntegrityError: If it is not as `write` makes it.
    """
    if not path.is_file():
        raise MissingInputError(
            f"The images must be pinned by a file; {str(path)!r} is not there.",
            "Run `hallmark image push`, then `hallmark image lock`.",
        )
    images = read_json(path, SCHEMA).get("images")
    if not isinstance(images, dict):
        raise IntegrityError(f"The file {str(path)!r} must say which images it pins; it does not.")
    for reference, image in images.items():
        if not isinstance(image, str) or not is_pinned(image) or repository(image) != repository(reference):
            raise IntegrityError(
                f"The file {str(path)!r} must pin {reference!r} by a digest in the same place; got {image!r}."
            )
    return images


def write(path: Path, images: Mapping[str, str]) -> None:
    """Write the pinned images, sorted, so that equal images give equal bytes."""
    write_json(path, {"schema": SCHEMA, "images": dict(sorted(images.items()))})


def pin(reference: str, images: Mapping[str, str]) -> str:
    """Return an image by its digest.

    Raises:
        InputError: If it is not among the pinned images.
    """
    if is_pinned(reference):
        return reference
    if reference not in images:
        raise InputError(
            f"Every image must be pinned by its digest; {reference!r} is not among the pinned ones.",
            f"Once it is in its registry, run `hallmark image lock {reference}`.",
        )
    return images[reference]
