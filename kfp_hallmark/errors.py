"""The errors that Hallmark raises on purpose.

A message reads `<what> must be <constraint>; got <value>.`, and a hint, where there is one, says what to do.
No message holds a record's values.
"""

from __future__ import annotations


class HallmarkError(Exception):
    """Base of every error that Hallmark raises on purpose.

    Args:
        message: What is wrong, in one sentence.
        hint: What the reader can do about it, in one sentence.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\nHint: {hint}")
        self.message = message
        self.hint = hint


class InputError(HallmarkError, ValueError):
    """A parameter or an artifact cannot be used as given."""


class MissingInputError(InputError, FileNotFoundError):
    """A file, folder or service that was named is not there."""


class IntegrityError(HallmarkError, ValueError):
    """Something is not what its digest, or the evidence about it, says it is."""


class ReleaseRefused(HallmarkError, PermissionError):
    """A model lacks the evidence that the action needs."""


class ServiceError(HallmarkError, RuntimeError):
    """A service refused what it was asked, failed at it, could not be reached, or did not end it in time."""


class EnvironmentFailure(HallmarkError, RuntimeError):
    """An environment, local or image, could not be made or used."""


def nearest(name: object, known: list[str]) -> str | None:
    """Return a hint that names the known name closest to `name`, whatever it is, or all of them when they are few."""
    import difflib

    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(sorted(known))}." if 0 < len(known) <= 20 else None
