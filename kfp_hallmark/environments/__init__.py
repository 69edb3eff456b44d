"""The environments that components and the server run in: virtual environments locally, images in containers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kfp_hallmark import __version__
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.resources import resource

STEPS = ("data", "ml", "release", "sources", "expectations")
"""The environments that components run in."""

ENVIRONMENTS = (*STEPS, "serve")
"""All environments; the image of `serve` is a server, and holds no KFP."""

REGISTRY = "kfp-hallmark"
"""Where the images live unless `REGISTRY_VARIABLE` says otherwise."""

REGISTRY_VARIABLE = "HALLMARK_REGISTRY"


def image(environment: str) -> str:
    """Return the reference of an environment's image, such as `kfp-hallmark/ml:0.1.0`."""
    return f"{os.environ.get(REGISTRY_VARIABLE, REGISTRY).rstrip('/')}/{environment}:{__version__}"


def environment_of(image_reference: str) -> str | None:
    """Return the environment that an image reference names, or None when the image is not one of ours."""
    return next((name for name in ENVIRONMENTS if image_reference == image(name)), None)


def require_environment(name: str, known: Sequence[str] = ENVIRONMENTS) -> None:
    """Raise `InputError`, naming the nearest one there is, if an environment is none of the known ones."""
    if name not in known:
        raise InputError(f"environment must be one of {', '.join(known)}; got {name!r}.", nearest(name, list(known)))


def lock_file(environment: str) -> Path:
    """Return the path of an environment's locked requirements.

    Raises:
        InputError: If there is no such environment.
    """
    require_environment(environment)
    return resource("environments", environment, "requirements.lock")


def lock_digest(environment: str) -> str:
    """Return the SHA-256 of an environment's locked requirements, as `sha256:<64 hex digits>`."""
    import hashlib

    return f"sha256:{hashlib.sha256(lock_file(environment).read_bytes()).hexdigest()}"
