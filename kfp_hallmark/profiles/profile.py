"""The profile: the distribution of every column of a dataset, small enough to be kept beside a model.

    {
      "schema": "hallmark/profile/v1",
      "dataset": "sha256:...",
      "rows": 1000000,
      "columns": {
        "AGE": {"type": "integer", "missing": 0,
                "binned": {"edges": [17, 18, ...], "counts": [10210, ...], "mean": 47.1, "standard_deviation": 17.3,
                           "below": 0, "above": 0}},
        "INCOME": {"type": "number", "missing": 4,
                   "binned": {"edges": [12.5, 99.25, ...], "counts": 999996, ...}},
        "OCC": {"type": "text", "missing": 12,
                "categories": {"counts": {"teacher": 4410, ...}, "other_values": 3, "other_count": 9}}
      }
    }

The page `docs/contracts/profile.md` describes every field.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Context
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import read_json, require_form, writing
from kfp_hallmark.errors import IntegrityError
from kfp_hallmark.profiles.scan import Counted, scan
from kfp_hallmark.profiles.tally import POINTS, Numbers, Texts

if TYPE_CHECKING:
    import numpy
    import pyarrow

SCHEMA = "hallmark/profile/v1"
TYPES = ("number", "integer", "boolean", "text", "time")

PERCENT = 100
"""Into how many bins of equal frequency numbers are put, where they are distinct enough."""
FEW_INTEGERS, FEW_NUMBERS = 20, 10
"""An integer of at most so many distinct values is taken as categories; so is any other number of at most so many."""
DIGITS = 7
"""To how many significant digits an edge is rounded."""
FREQUENT_ROWS = 5
"""How many rows must hold a value for a profile to name it."""
MAX_CATEGORIES = 1000
"""How many values of a column a profile names at most."""


@dataclass(frozen=True)
class Binned:
    """The distribution of a column of numbers, or of times as microseconds since 1970.

    Attributes:
        edges: Its 1st to 99th percentiles without repetition, ascending, shape (cuts,). What several rows hold is as
            it is; any other is rounded up to `DIGITS` digits where no value is passed by that.
        counts: How many rows are in each bin between them, shape (cuts + 1,); a bin holds its upper edge.
        mean: Mean of the finite values; None without, and if it is out of range.
        standard_deviation: Of the finite values, by their number; None without, and if it is out of range.
        below: How many are minus infinity; these are in the first bin.
        above: How many are plus infinity; these are in the last bin.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float | None
    standard_deviation: float | None
    below: int
    above: int

    def percentiles(self) -> list[float]:
        """Return the 1st to 99th percentiles of the finite values; empty without."""
        if not self.edges:
            return []
        ranks = [rank - self.below for rank in accumulate(self.counts)]
        finite, last = ranks[-1] - self.above, len(self.edges) - 1
        # Of more values than are kept the ranks are rounded, that of the last edge at times down.
        places = (bisect_left(ranks, percent * finite / PERCENT) for percent in range(1, PERCENT))
        return [self.edges[min(place, last)] for place in places]


@dataclass(frozen=True)
class Categories:
    """How often each value of a column occurs.

    Attributes:
        counts: The number of rows by value, the most frequent first. Values that fewer than `FREQUENT_ROWS` rows
            hold, and all but the `MAX_CATEGORIES` most frequent, are not named.
        other_values: How many values are not named; an estimate when there are very many (see `tally.Texts`).
        other_count: How many rows hold one of these.
    """

    counts: Mapping[str, int]
    other_values: int
    other_count: int


Distribution: TypeAlias = Binned | Categories


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes:
        type: `number`, `integer`, `boolean`, `text` or `time`.
        missing: How many rows hold no value; NaN is none.
        distribution: How its values are distributed: `Categories` for text, booleans and numbers of few values.
        span: Of times the first and the last, as microseconds since 1970; None for other types, and without any.
    """

    type: str
    missing: int
    distribution: Distribution
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class Profile:
    """What a dataset's columns hold.

    Attributes:
        dataset: The dataset's digest.
        rows: Its number of rows.
        columns: What each column holds, in the dataset's order.
    """

    dataset: str
    rows: int
    columns: Mapping[str, Column]

    def write(self, path: str | Path) -> None:
        """Write it as JSON."""
        with writing(path) as temporary:
            temporary.write_text(json.dumps(self.to_json(), separators=(",", ":"), allow_nan=False), encoding="ascii")

    def to_json(self) -> dict[str, Any]:
        """Return it as its document says it."""
        columns = {
            name: {
                "type": column.type,
                "missing": column.missing,
                **({} if column.span is None else {"span": list(column.span)}),
                **_written(column.distribution),
            }
            for name, column in self.columns.items()
        }
        return {"schema": SCHEMA, "dataset": self.dataset, "rows": self.rows, "columns": columns}

    @classmethod
    def read(cls, path: str | Path) -> Profile:
        """Read a profile.

        Raises:
            MissingInputError: If there is none.
            IntegrityError: If it is not a profile, or contradicts itself.
        """
        value = read_json(path, SCHEMA)
        try:
            columns = {name: _read_column(entry) for name, entry in value["columns"].items()}
            profile = cls(value["dataset"], value["rows"], columns)
            require_form(value, profile.to_json())
            for name, column in columns.items():
                _require_sound(column)
                if _present(column) + column.missing != profile.rows:
                    raise ValueError(f"the counts of {name!r} do not make up its rows")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"The profile {str(path)!r} must be a whole {SCHEMA}; {error}.") from error
        return profile


def profile(path: str | Path, columns: Sequence[str] | None = None) -> Profile:
    """Return the profile of a dataset.

    Args:
        path: One Parquet file, or a folder of them.
        columns: The columns to describe. Default: all.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If it cannot be read, or a column is absent.
    """
    found = {name: column(kind, counted) for name, kind, counted in scan(path, columns)}
    rows = max((each.missing + _present(each) for each in found.values()), default=0)
    return Profile(artifact_digest(path), rows, found)


def column(kind: pyarrow.DataType, counted: Counted) -> Column:
    """Return what a column holds from what was counted of it."""
    if isinstance(counted, Texts):
        return Column("text", counted.missing, _categories(counted.counts, counted.distinct, counted.rare_count))
    name = type_name(kind)
    span = (int(counted.values[0]), int(counted.values[-1])) if name == "time" and counted.finite else None
    counts = counted.counts(FEW_NUMBERS if name == "number" else FEW_INTEGERS)
    if counts is None or counted.below or counted.above:
        return Column(name, counted.missing, _binned(counted), span)
    few = _categories({label(value, name): n for value, n in counts.items()}, len(counts))
    return Column(name, counted.missing, few, span)


def type_name(kind: pyarrow.DataType) -> str:
    """Return what a reader calls a column's type."""
    from pyarrow import types

    for name, holds in (
        ("boolean", types.is_boolean),
        ("integer", types.is_integer),
        ("number", types.is_floating),
        ("time", types.is_temporal),
    ):
        if holds(kind):
            return name
    return "text"


def label(value: float, kind: str) -> str:
    """Return a number as a category's name: `true`, `7`, `2.5`."""
    if kind == "boolean":
        return "true" if value else "false"
    return str(int(value)) if value == int(value) else repr(value)


def column_values(labels: Iterable[str]) -> list[float]:
    """Return the numbers that are so named; see `label`."""
    truths = {"false": 0, "true": 1}
    return [
        truths[text] if text in truths else float(text) if "." in text or "e" in text else int(text) for text in labels
    ]


def _categories(counts: Mapping[str, int], distinct: int, rare_count: int = 0) -> Categories:
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    named = {value: count for value, count in ranked[:MAX_CATEGORIES] if count >= FREQUENT_ROWS}
    others = sum(counts.values()) - sum(named.values())
    return Categories(named, distinct - len(named), rare_count + others)


def _binned(numbers: Numbers) -> Binned:
    import numpy

    values = numbers.below + numbers.finite + numbers.above
    if not numbers.finite:
        return Binned((), (values,), None, None, numbers.below, numbers.above)
    edges = _rounded(numpy.unique(numbers.quantiles(numpy.arange(1, PERCENT) / PERCENT)), numbers)
    inside = numpy.diff(numbers.at_most(edges.tolist()), prepend=0, append=values)
    return Binned(
        edges=tuple(edges.tolist()),
        counts=tuple(inside.tolist()),
        mean=numbers.mean if math.isfinite(numbers.mean) else None,
        standard_deviation=numbers.standard_deviation if math.isfinite(numbers.standard_deviation) else None,
        below=numbers.below,
        above=numbers.above,
    )


def _rounded(edges: numpy.ndarray, numbers: Numbers) -> numpy.ndarray:
    """Return edges with fewer digits, such that as many values as before do not exceed each.

    What more than one row holds is left as it is; of values that stand for others, what more rows hold than one does.

    Args:
        edges: Some of the values, ascending, shape (cuts,).
        numbers: The values.
    """
    import numpy

    if edges.dtype.kind != "f":
        return edges
    rounding = Context(prec=DIGITS, rounding=ROUND_CEILING)
    short = numpy.array([float(rounding.create_decimal_from_float(edge)) for edge in edges.tolist()])
    ends = numpy.searchsorted(numbers.values, edges, side="right")
    ranks = numpy.append(0, numbers.ranks)
    rows = ranks[ends] - ranks[numpy.searchsorted(numbers.values, edges, side="left")]
    single = rows <= (1 if numbers.exact else numbers.finite / POINTS)
    following = numpy.append(numbers.values, numpy.inf)[ends]
    return numpy.where(single & (short < following), short, edges)


def _written(distribution: Distribution) -> dict[str, Any]:
    """Return a distribution as its document says it; counts that are as even as can be, by their sum."""
    found = asdict(distribution)
    if isinstance(distribution, Categories):
        return {"categories": found}
    values = sum(distribution.counts)
    return {"binned": found | ({"counts": values} if distribution.counts == _even(values) else {})}


def _even(values: int) -> tuple[int, ...]:
    """Return how many of some different values are in each of the bins between their percentiles."""
    ranks = [-(-percent * values // PERCENT) for percent in range(PERCENT + 1)]
    return tuple(high - low for low, high in pairwise(ranks))


def _read_column(entry: dict[str, Any]) -> Column:
    first, last = entry.get("span", (None, None))
    span = None if first is None else (first, last)
    if "categories" in entry:
        return Column(entry["type"], entry["missing"], Categories(**entry["categories"]), span)
    binned = entry["binned"]
    counts = binned["counts"]
    inside = _even(counts) if isinstance(counts, int) else tuple(counts)
    found = Binned(**binned | {"edges": tuple(binned["edges"]), "counts": inside})
    if not all(
        isinstance(value, int | float) for value in (*found.edges, found.mean or 0, found.standard_deviation or 0)
    ):
        raise ValueError("what must be a number is none")
    ascending = all(low < high for low, high in pairwise(found.edges))
    if len(found.counts) != len(found.edges) + 1 or not ascending:
        raise ValueError("its bins are not in order")
    return Column(entry["type"], entry["missing"], found, span)


def _require_sound(column: Column) -> None:
    """Raise ValueError if a column's type is unknown or its distribution is not one of that type."""
    found, counts = column.distribution, [column.missing, *_counts(column)]
    if column.type not in TYPES or (column.type == "text" and isinstance(found, Binned)):
        raise ValueError("a type is not that of what the column holds")
    if (column.span is not None) != (column.type == "time" and _present(column) > 0):
        raise ValueError("times have a span, and nothing else")
    if column.span is not None and not (
        all(type(end) is int for end in column.span) and column.span[0] <= column.span[1]
    ):
        raise ValueError("a span is not two times in their order")
    counts += [found.below, found.above] if isinstance(found, Binned) else [found.other_values]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("a count is not a whole number from 0")
    if isinstance(found, Binned):
        if bool(found.edges) != (_present(column) > found.below + found.above):
            raise ValueError("its bins do not hold its finite values")
    elif column.type != "text" and not all(map(math.isfinite, column_values(found.counts))):
        raise ValueError("a category of numbers is none")


def _present(column: Column) -> int:
    """Return how many rows hold a value."""
    return sum(_counts(column))


def _counts(column: Column) -> Sequence[int]:
    found = column.distribution
    return found.counts if isinstance(found, Binned) else (*found.counts.values(), found.other_count)
