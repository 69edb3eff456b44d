"""JSON, read strictly: what two readers could take for different things is refused. And written strictly."""

from __future__ import annotations

import json
import math
from datetime import date
from typing import Any, NoReturn

import numpy

from kfp_hallmark.errors import InputError

MAX_BYTES = 16 * 2**20
"""How large a request may be."""

MAX_SHOWN = 60
"""How many characters of a name that a client gave a message repeats."""


class Refusal(InputError):
    """A request that cannot be answered, with a status other than 400.

    Args:
        status: The HTTP status.
        message: What is wrong.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoJson(InputError):
    """A model predicts what JSON has no word for."""


def shown(name: str) -> str:
    """Return a name that a client gave as messages repeat it: quoted, and cut when long."""
    return repr(name if len(name) <= MAX_SHOWN else name[:MAX_SHOWN] + "…")


def kind(value: Any) -> str:
    """Return what JSON calls a value."""
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def parse(body: bytes | bytearray) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises:
        InputError: If there is none, a key stands twice in an object, or a number is NaN, infinite or longer than
            4,300 digits.
    """
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except InputError:
        raise
    except UnicodeDecodeError:
        raise InputError("The body must be JSON in UTF-8; it is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"The body must be JSON; {error.msg}, at character {error.pos}.") from None
    except RecursionError:
        raise InputError("The body must be JSON that is not nested deeply; it is.") from None
    except ValueError:
        raise InputError("The body must be JSON with numbers of a usual length; one has thousands of digits.") from None
    if type(value) is not dict:
        raise InputError(f"The body must be a JSON object; got {kind(value)}.")
    return value


def as_json(value: Any) -> Any:
    """Return what a model predicts as JSON has it.

    A number of NumPy's is a number, a time is text as in ISO 8601. What is missing (None, NaN, NaT, NA) is null, and so
    is an infinite number.

    Raises:
        NoJson: If JSON has no such thing.
    """
    if isinstance(value, numpy.datetime64):
        value = value.astype("datetime64[us]").item()
    elif isinstance(value, numpy.floating):
        value = float(value)
    elif isinstance(value, numpy.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | numpy.ndarray):
        return [as_json(entry) for entry in value]
    raise NoJson(
        "The model must predict numbers, booleans, texts, times, or lists or objects of these; "
        f"got {type(value).__name__}."
    )


def require_fields(value: dict[str, Any], known: tuple[str, ...], what: str) -> None:
    """Raise unless an object holds known fields only.

    Raises:
        InputError: If it holds another.
    """
    for name in value:
        if name not in known:
            raise InputError(f"{what} must hold {', '.join(known)} and nothing else; got {shown(name)}.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InputError(f"An object must name each field once; got {shown(repeated)} twice.")
    return value


def _constant(text: str) -> NoReturn:
    raise InputError(f"The body must be JSON, which has no {text}.", "Say null for what is missing.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
