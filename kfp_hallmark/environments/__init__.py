"""The environments that components run in: a virtual environment locally, an image in containers."""

from __future__ import annotations

import os
from pathlib import Path

from kfp_hallmark import __version__
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.resources import resource

ENVIRONMENTS = ("data", "ml", "release", "serve")

REGISTRY = "kfp-hallmark"
"""Where the images live unless `REGISTRY_VARIABLE` says otherwise."""

REGISTRY_VARIABLE = "HALLMARK_REGISTRY"

DIGEST_VARIABLE = "HALLMARK_ENVIRONMENT_DIGEST"
"""The variable in which a running step finds the digest of the lock its environment was made from."""


def image(environment: str) -> str:
    """Return the reference of an environment's image, such as `kfp-hallmark/ml:0.1.0`."""
    return f"{os.environ.get(REGISTRY_VARIABLE, REGISTRY).rstrip('/')}/{environment}:{__version__}"


def environment_of(image_reference: str) -> str | None:
    """Return the environment that an image reference names, or None when the image is not one of ours."""
    return next((name for name in ENVIRONMENTS if image_reference == image(name)), None)


def require_environment(name: str) -> None:
    """Raise `InputError`, naming the nearest one there is, if there is no such environment."""
    if name not in ENVIRONMENTS:
        raise InputError(
            f"environment must be one of {', '.join(ENVIRONMENTS)}; got {name!r}.", nearest(name, list(ENVIRONMENTS))
        )


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
