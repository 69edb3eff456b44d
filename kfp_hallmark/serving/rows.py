"""Requests held against a model's signature: by column, each value of the column's type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.columns import WORDS, Column
from kfp_hallmark.serving.bodies import kind, shown

Values = list[Any]
"""The values of one column, as JSON has them; null is None."""

_TYPES: dict[str, frozenset[type]] = {
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "long": frozenset({int}),
    "float": frozenset({int, float}),
    "double": frozenset({int, float}),
    "string": frozenset({str}),
    "datetime": frozenset({str}),
}
_FLOAT32 = (2 - 2**-23) * 2.0**127
_YEARS = range(1678, 2262)


def _is_int32(value: int) -> bool:
    return -(2**31) <= value < 2**31


def _is_int64(value: int) -> bool:
    return -(2**63) <= value < 2**63


def _is_float32(value: float) -> bool:
    return abs(value) <= _FLOAT32


def _is_double(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_text(value: str) -> bool:
    """Tell whether text is Unicode: JSON can escape half of a character."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_time(value: str) -> bool:
    try:
        return as_time(value).year in _YEARS
    except (OverflowError, ValueError):
        return False


_FITS: dict[str, Callable[[Any], bool]] = {
    "boolean": lambda value: True,
    "integer": _is_int32,
    "long": _is_int64,
    "float": _is_float32,
    "double": _is_double,
    "string": _is_text,
    "datetime": _is_time,
}


def as_time(text: str) -> datetime:
    """Return a time in ISO 8601 as UTC without a zone; one without a zone is taken as it is."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Signature:
    """What a model takes.

    Attributes:
        columns: The inputs, in order.
        nullable: The names of those that may be null, and, where the signature does not require them, absent.
    """

    columns: tuple[Column, ...]
    nullable: frozenset[str]
    names: frozenset[str] = field(init=False)
    required: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset(column.name for column in self.columns))
        object.__setattr__(self, "required", frozenset(column.name for column in self.columns if column.required))

    def gather(self, instances: Sequence[Any]) -> list[Values]:
        """Return the columns of instances: all objects by column name, or all arrays in the signature's order.

        Raises:
            InputError: If an instance is neither, lacks a column or has another, naming it.
        """
        if type(instances[0]) is dict:
            for row, instance in enumerate(instances):
                if type(instance) is not dict:
                    raise InputError(f"instances must be alike; row {row} is {kind(instance)}, row 0 an object.")
                if instance.keys() != self.names:
                    self.require(instance, f"instances[{row}]")
            return [[instance.get(column.name) for instance in instances] for column in self.columns]
        for row, instance in enumerate(instances):
            if type(instance) is not list:
                raise InputError(f"instances must be objects, or arrays; row {row} is {kind(instance)}.")
            if len(instance) != len(self.columns):
                raise InputError(
                    f"instances[{row}] must hold {len(self.columns)} values, in the order of the signature; "
                    f"got {len(instance)}."
                )
        return [[instance[index] for instance in instances] for index in range(len(self.columns))]

    def require(self, given: Any, what: str) -> None:
        """Raise unless a collection names every required column, and nothing but columns.

        Raises:
            InputError: If not, naming one.
        """
        for name in given:
            if name not in self.names:
                raise InputError(f"{what} must hold columns of the signature only; got {shown(name)}.")
        for column in self.columns:
            if column.required and column.name not in given:
                raise InputError(f"{what} must hold the column {column.name!r}; it is missing.")

    def check(self, values: Sequence[Values]) -> None:
        """Raise unless every value is of its column's type.

        Raises:
            InputError: If not, naming column and row, and never the value.
        """
        for column, entries in zip(self.columns, values, strict=True):
            types = set(map(type, entries))
            if not types <= _TYPES[column.type]:
                self._require_types(column, entries)
                entries = [entry for entry in entries if entry is not None]
            if column.type != "boolean" and not all(map(_FITS[column.type], entries)):
                self._raise_misfit(column, values)

    def _require_types(self, column: Column, entries: Values) -> None:
        allowed = _TYPES[column.type]
        for row, entry in enumerate(entries):
            if type(entry) in allowed or (entry is None and column.name in self.nullable):
                continue
            got = "a number with a fraction or exponent" if type(entry) is float and int in allowed else kind(entry)
            raise InputError(f"The column {column.name!r} must hold {WORDS[column.type]}; got {got} in row {row}.")

    def _raise_misfit(self, column: Column, values: Sequence[Values]) -> None:
        entries = values[self.columns.index(column)]
        fits = _FITS[column.type]
        row = next(row for row, entry in enumerate(entries) if entry is not None and not fits(entry))
        raise InputError(f"The column {column.name!r} must hold {WORDS[column.type]}; row {row} does not.")
