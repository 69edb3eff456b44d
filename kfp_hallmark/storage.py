"""What to say where a file of a storage cannot be read: each storage's client raises errors of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kfp_hallmark.errors import HallmarkError, InputError, MissingInputError
from kfp_hallmark.tracking import without_password

_WEB = "Check the address, and that it answers the step without a login."
_GOOGLE = "Check the address, and that the step has Google credentials that may read it, as by a service account."
_HINTS = {
    "s3": "Check the address, and that the step has AWS credentials that may read it, as by AWS_ACCESS_KEY_ID.",
    "gs": _GOOGLE,
    "gcs": _GOOGLE,
    "http": _WEB,
    "https": _WEB,
}


def shown(uri: str) -> str:
    """Return a URI as it may be told: without a password or a signature; a path as it is."""
    return without_password(uri).partition("?")[0] if "://" in uri else uri


def advice(uri: str) -> str | None:
    """Return what to do where a URI cannot be read; None for a path, or a protocol that is not known."""
    return _HINTS.get(uri.partition("://")[0])


@contextmanager
def reading(what: str, uri: str) -> Iterator[None]:
    """Raise `InputError` for whatever a storage's client raises; where a file is not there, `MissingInputError`.

    Args:
        what: The parameter's name, for the errors.
        uri: What is read.
    """
    try:
        yield
    except HallmarkError:
        raise
    # What a client says may hold the whole URI, and it would be shown in the step's log.
    except FileNotFoundError:
        raise MissingInputError(f"{what} must be there; {shown(uri)!r} is not.", advice(uri)) from None
    except Exception as error:
        raise InputError(
            f"{what} must be a file that can be read; {shown(uri)!r} cannot ({type(error).__name__}).", advice(uri)
        ) from None
