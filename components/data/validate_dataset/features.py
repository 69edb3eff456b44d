"""What a column holds, and how far it has moved from a baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy
    import pyarrow

    Column = TypeVar("Column", pyarrow.Array, pyarrow.ChunkedArray)

BINS = 10
"""Into how many bins of equal frequency in the baseline a number is put."""
EMPTY_SHARE = 0.0001
"""What stands for the share of a bin that is empty on one side, whose logarithm would be infinite."""
CATEGORIES = 20
"""An integer with at most so many distinct values in the baseline is a category; any number with at most `BINS` is.
Of more categories, the rare ones are taken together: the more bins, the further chance alone moves a feature."""
FREQUENT_SHARE, FREQUENT_ROWS = 0.01, 5
"""What share of the baseline, and how many of its rows, a category must have not to be rare."""
CHANCE = 16.92
"""The 95 % quantile of the chi-squared distribution with BINS - 1 degrees of freedom."""


@dataclass(frozen=True)
class Feature:
    """What a column holds.

    Attributes:
        name: The column.
        type: `number`, `integer`, `boolean`, `text`, or `time`.
        rows: The number of rows.
        missing: How many of them hold no value; NaN is none.
        distinct: The number of distinct values.
        infinite: How many are plus or minus infinity.
        mean: Mean of the finite values of a number; None for other types.
    """

    name: str
    type: str
    rows: int
    missing: int
    distinct: int
    infinite: int
    mean: float | None


@dataclass(frozen=True)
class Drift:
    """How far a column has moved from the baseline.

    Attributes:
        feature: The column.
        psi: Population stability index, 0 or above.
        bins: Over how many bins.
        grouped: Whether rare categories were taken together.
    """

    feature: str
    psi: float
    bins: int
    grouped: bool


def as_numbers(column: Column) -> Column:
    """Return a column with NaN as null, and with times as the numbers that they are stored as."""
    import pyarrow
    import pyarrow.compute
    from pyarrow import types

    if types.is_floating(column.type):
        return pyarrow.compute.if_else(pyarrow.compute.is_nan(column), pyarrow.scalar(None, column.type), column)
    if types.is_temporal(column.type):
        return column.cast(pyarrow.timestamp("us"), safe=False).cast(pyarrow.int64())
    return column


def describe(name: str, kind: str, column: pyarrow.ChunkedArray) -> Feature:
    """Return what a column holds."""
    import numpy
    import pyarrow.compute
    from pyarrow import types

    infinite, mean = 0, None
    if kind in ("number", "integer"):
        values = _numbers(column)
        finite = values[numpy.isfinite(values)]
        infinite = len(values) - len(finite)
        mean = float(finite.mean()) if len(finite) else None
    if types.is_boolean(column.type):
        column = column.cast("int8")
    distinct = pyarrow.compute.count_distinct(column).as_py()
    return Feature(name, kind, len(column), column.null_count, distinct, infinite, mean)


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


def drift(name: str, baseline: pyarrow.ChunkedArray, column: pyarrow.ChunkedArray) -> Drift | None:
    """Return how far a column has moved from the baseline; None if one is text and the other is not.

    Numbers are put into `BINS` bins of equal frequency in the baseline: the edges are its deciles (linear between
    values), and a bin holds its upper edge. Text, booleans and numbers with few distinct values are categories.
    Missing values, where there are any, are a bin of their own.
    """
    from pyarrow import types

    if types.is_string(baseline.type) != types.is_string(column.type):
        return None
    if not types.is_string(baseline.type):
        baseline, column = _alike(baseline, column)
        categories = BINS if types.is_floating(baseline.type) else CATEGORIES
        if len(baseline.drop_null().unique()) > categories:
            expected, actual = _binned(baseline, column)
            return _drift(name, expected, actual, baseline.null_count, column.null_count, grouped=False)
    expected, actual = _counted(baseline, column)
    rare = expected < max(FREQUENT_ROWS, FREQUENT_SHARE * len(baseline))
    grouped = len(expected) > CATEGORIES and bool(rare.any())
    if grouped:
        expected, actual = (_together(counts, rare) for counts in (expected, actual))
    return _drift(name, expected, actual, baseline.null_count, column.null_count, grouped)


def _drift(
    name: str, expected: numpy.ndarray, actual: numpy.ndarray, missing_before: int, missing_now: int, grouped: bool
) -> Drift:
    import numpy

    if missing_before or missing_now:
        expected, actual = numpy.append(expected, missing_before), numpy.append(actual, missing_now)
    return Drift(name, population_stability_index(expected, actual), len(expected), grouped)


def population_stability_index(expected: numpy.ndarray, actual: numpy.ndarray) -> float:
    """Return sum((a - e) * ln(a / e)) over the shares of the bins; an empty bin has the share `EMPTY_SHARE`.

    Args:
        expected: The baseline's count in each bin, shape (bins,).
        actual: The dataset's, in the same order.

    Source: Siddiqi 2006, Credit Risk Scorecards.
    """
    import numpy

    e, a = (
        numpy.where(counts > 0, counts / counts.sum(), EMPTY_SHARE)
        for counts in (numpy.asarray(expected, dtype=float), numpy.asarray(actual, dtype=float))
    )
    return float(numpy.sum((a - e) * numpy.log(a / e)))


def chance_level(baseline_rows: int, rows: int) -> float:
    """Return the PSI of ten bins that two samples of one population stay below in 95 of 100 cases.

    Source: Yurdakul 2018, Statistical Properties of Population Stability Index.
    """
    return CHANCE * (1 / baseline_rows + 1 / rows) if baseline_rows and rows else math.inf


def _alike(
    baseline: pyarrow.ChunkedArray, column: pyarrow.ChunkedArray
) -> tuple[pyarrow.ChunkedArray, pyarrow.ChunkedArray]:
    """Return both sides in one type: signed, else unsigned, else floats, the first that holds all of their values."""
    import pyarrow
    from pyarrow import types

    # Arrow has no direct way from booleans to floats.
    sides = [side.cast("int8") if types.is_boolean(side.type) else side for side in (baseline, column)]
    kinds = [] if any(types.is_floating(side.type) for side in sides) else ["int64", "uint64"]
    for kind in kinds:
        try:
            return sides[0].cast(kind), sides[1].cast(kind)
        except pyarrow.ArrowInvalid:
            continue
    return sides[0].cast("float64", safe=False), sides[1].cast("float64", safe=False)


def _numbers(column: pyarrow.ChunkedArray) -> numpy.ndarray:
    """Return the values that are not missing as float64, shape (values,)."""
    return column.drop_null().to_numpy().astype("float64")


def _binned(baseline: pyarrow.ChunkedArray, column: pyarrow.ChunkedArray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the counts of both sides in the bins that the baseline's deciles make; equal deciles make one edge."""
    import numpy

    expected, actual = baseline.drop_null().to_numpy(), column.drop_null().to_numpy()
    if expected.dtype.kind != "f":
        expected, actual = _above(expected, expected.min()), _above(actual, expected.min())
    finite = expected[numpy.isfinite(expected)]
    edges = numpy.unique(numpy.quantile(finite, numpy.arange(1, BINS) / BINS))
    first, second = (
        numpy.bincount(numpy.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
        for values in (expected, actual)
    )
    return first, second


def _above(values: numpy.ndarray, least: numpy.integer) -> numpy.ndarray:
    """Return by how much 64-bit integers exceed one of them, as float64, which could not tell great ones apart."""
    import numpy

    wrapped = values.astype("uint64") - least.astype("uint64")
    return numpy.where(values < least, -(-wrapped).astype("float64"), wrapped.astype("float64"))


def _counted(baseline: pyarrow.ChunkedArray, column: pyarrow.ChunkedArray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the counts of both sides for every value that occurs on either."""
    import numpy
    import pyarrow
    import pyarrow.compute

    values = pyarrow.chunked_array([*baseline.chunks, *column.chunks], type=baseline.type).drop_null().unique()
    first, second = (
        numpy.bincount(pyarrow.compute.index_in(side.drop_null(), value_set=values).to_numpy(), minlength=len(values))
        for side in (baseline, column)
    )
    return first, second


def _together(counts: numpy.ndarray, rare: numpy.ndarray) -> numpy.ndarray:
    """Return the counts with those of the rare categories summed up at the end."""
    import numpy

    return numpy.append(counts[~rare], counts[rare].sum())
