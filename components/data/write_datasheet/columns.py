"""What the columns of a dataset hold, told without its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import read_schema, require_column
from kfp_hallmark.errors import InputError
from kfp_hallmark.profiles.profile import label, type_name
from kfp_hallmark.profiles.scan import Counted, scan
from kfp_hallmark.profiles.tally import Numbers, Texts

if TYPE_CHECKING:
    import pyarrow

MAX_GROUPS = 100
"""A column with more values than this does not name groups."""
BINS = 10
"""Into how many bins of equal width numbers are put to be drawn."""
RANKS = 20
"""Of how many of the most frequent texts the frequency is drawn."""
TENTHS = (0.1, 0.5, 0.9)
MISSING, SMALL = "(missing)", "(smaller groups)"
DATA_TYPES = {"boolean": "sc:Boolean", "integer": "sc:Integer", "number": "sc:Float", "text": "sc:Text"}


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes:
        name: Its name.
        type: `number`, `integer`, `boolean`, `text` or `time`.
        data_type: Its type in Croissant.
        missing: How many rows hold no value.
        present: How many hold one.
        distinct: How many different texts there are; None for numbers and times.
        most: How many rows hold the most frequent text; None for numbers and times.
        mean: Mean of the finite numbers; None where too few rows hold one, and for others.
        standard_deviation: Of the same.
        percentiles: Their 10th, 50th and 90th percentiles; of times in microseconds since 1970.
        shape: Counts to draw: numbers in `BINS` bins of equal width, texts by frequency; empty where too few rows hold
            one.
    """

    name: str
    type: str
    data_type: str
    missing: int
    present: int
    distinct: int | None = None
    most: int | None = None
    mean: float | None = None
    standard_deviation: float | None = None
    percentiles: tuple[float | None, ...] = (None,) * len(TENTHS)
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Group:
    """The rows with one value of a column.

    Attributes:
        value: The value as text, `MISSING`, or `SMALL` for all values that too few rows hold each.
        rows: The number of rows.
    """

    value: str
    rows: int


def describe(
    path: str, sensitive_columns: Sequence[str], min_group_size: int
) -> tuple[tuple[Column, ...], dict[str, list[Group]]]:
    """Return what each column holds, and the groups of the sensitive ones.

    Raises:
        InputError: If a sensitive column is absent, of times, or has too many values.
    """
    known = read_schema(path).names
    for name in sensitive_columns:
        require_column(name, known, "sensitive_columns")
    columns, groups = [], {}
    for name, kind, counted in scan(path):
        columns.append(_column(name, kind, counted, min_group_size))
        if name in sensitive_columns:
            groups[name] = _groups(name, kind, counted, min_group_size)
    return tuple(columns), groups


def _column(name: str, kind: pyarrow.DataType, counted: Counted, least: int) -> Column:
    if isinstance(counted, Texts):
        ranked = [count for _, count in counted.counts.most_common(RANKS)]
        present = counted.counts.total() + counted.rare_count
        return Column(
            name=name,
            type="text",
            data_type=DATA_TYPES["text"],
            missing=counted.missing,
            present=present,
            distinct=counted.distinct,
            most=max(ranked, default=0),
            shape=tuple(ranked),
        )
    told = type_name(kind)
    enough = counted.finite >= least
    return Column(
        name=name,
        type=told,
        data_type=DATA_TYPES.get(told, "sc:Date" if str(kind).startswith("date") else "sc:DateTime"),
        missing=counted.missing,
        present=counted.below + counted.finite + counted.above,
        mean=counted.mean if enough else None,
        standard_deviation=counted.standard_deviation if enough else None,
        percentiles=tuple(counted.quantiles(TENTHS).tolist()) if enough else (None,) * len(TENTHS),
        shape=_shape(counted) if enough else (),
    )


def _shape(numbers: Numbers) -> tuple[int, ...]:
    """Return how many finite values are in each of some bins of equal width; of equal values in one."""
    import numpy

    low, high = float(numbers.values[0]), float(numbers.values[-1])
    if low == high:
        return (numbers.finite,)
    steps = numpy.linspace(0, 1, BINS + 1)[1:-1]
    ends = numbers.at_most((low * (1 - steps) + high * steps).tolist()) - numbers.below
    return tuple(numpy.diff(ends, prepend=0, append=numbers.finite).tolist())


def _groups(name: str, kind: pyarrow.DataType, counted: Counted, least: int) -> list[Group]:
    """Return the groups of a column, the largest first; then the small ones together, then the rows without a value."""
    if type_name(kind) == "time":
        raise InputError(f"sensitive_columns must be columns of text, numbers or booleans; {name!r} holds times.")
    counts: Mapping[Any, int] | None = counted.counts if isinstance(counted, Texts) else counted.counts(MAX_GROUPS)
    if counts is None or len(counts) > MAX_GROUPS:
        raise InputError(
            f"The sensitive column {name!r} must have at most {MAX_GROUPS} values; it has more.",
            "Bin it into a few groups, in a column of its own.",
        )
    texts = counts if isinstance(counted, Texts) else {label(key, type_name(kind)): n for key, n in counts.items()}
    ranked = sorted(texts.items(), key=lambda entry: (-entry[1], entry[0]))
    named = [Group(value, rows) for value, rows in ranked if rows >= least]
    rest = {SMALL: sum(rows for _, rows in ranked if rows < least), MISSING: counted.missing}
    return named + [Group(value, rows) for value, rows in rest.items() if rows]
