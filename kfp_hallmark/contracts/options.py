"""A parameter that is a dict, with every name and value checked: options, read into a dataclass, and limits."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from kfp_hallmark.errors import InputError, nearest

T = TypeVar("T")

_TYPES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object of texts"}


def read_options(form: type[T], options: Mapping[str, Any], what: str) -> T:
    """Return a dataclass made from a dict of options.

    A whole number may be written as 2.0, as KFP hands on numbers inside a dict. What the types do not say, the
    dataclass checks itself.

    Args:
        form: A dataclass whose fields are `str`, `int`, `float`, `bool` or `dict[str, str]`, or one of these or None.
        options: Name to value.
        what: The parameter's name, for the errors.

    Raises:
        InputError: If an option is unknown, missing or of another type; all missing ones are named.
    """
    if not isinstance(options, Mapping):
        raise InputError(f"{what} must be an object; got {type(options).__name__}.")
    fields = {field.name: field for field in dataclasses.fields(form)}  # type: ignore[arg-type]
    for name in options:
        if name not in fields:
            raise InputError(f"{what} must hold options that there are; got {name!r}.", nearest(str(name), [*fields]))
    required = [name for name, field in fields.items() if _required(field) and name not in options]
    if required:
        raise InputError(f"{what} must hold every required option; missing: {', '.join(required)}.")
    hints = typing.get_type_hints(form)
    return form(**{name: _checked(hints[name], value, f"{what}[{name!r}]") for name, value in options.items()})


def require_limits(limits: Mapping[str, float], bounds: Mapping[str, tuple[float, float]], hint: str = "") -> None:
    """Raise when the `limits` of a gate are not what it can limit.

    Args:
        limits: Limit to value.
        bounds: The least and the greatest value that each known limit can have, either infinite where there is none.
        hint: What to say when there is no limit; otherwise the known ones are named.

    Raises:
        InputError: If there is none, or one is unknown, no number or out of its bounds.
    """
    if not limits:
        raise InputError("limits must hold at least one limit; got none.", hint or f"Known: {', '.join(bounds)}.")
    for name, value in limits.items():
        if name not in bounds:
            raise InputError(f"limits must hold known limits; got {name!r}.", nearest(name, [*bounds]))
        least, greatest = bounds[name]
        if not is_number(value) or not least <= value <= greatest:
            ends = {
                (True, True): f"from {least:.4g} to {greatest:.4g}",
                (True, False): f"of at least {least:.4g}",
                (False, True): f"of at most {greatest:.4g}",
            }
            form = ends[math.isfinite(least), math.isfinite(greatest)]
            raise InputError(f"The limit {name!r} must be a number {form}; got {value!r}.")


def is_number(value: object) -> bool:
    """Whether a value is a finite number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _checked(hint: Any, value: Any, what: str) -> Any:
    """Return a value that is of the type of a field.

    Raises:
        InputError: If it is of another.
    """
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        (hint,) = (option for option in typing.get_args(hint) if option is not type(None))
    kind = typing.get_origin(hint) or hint
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    good = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if kind is dict and good:
        good = all(isinstance(key, str) and isinstance(entry, str) for key, entry in value.items())
    if not good:
        raise InputError(f"{what} must be {_TYPES[kind]}; got {value!r}.")
    return value
