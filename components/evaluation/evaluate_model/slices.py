"""Divide the rows of a dataset into slices and measure each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import read_table
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions
from kfp_hallmark.measures import Interval, bootstrap_intervals, measure
from kfp_hallmark.reports import number

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray

HEADLINES = {
    BINARY: ("roc_auc", "accuracy"),
    MULTICLASS: ("accuracy", "f1_macro"),
    REGRESSION: ("mean_absolute_error", "r2"),
}
"""The metrics that slices are told by."""

SMALL = 100
"""A slice of fewer rows is marked: what is measured there says little."""

FEWEST = 10
"""Values with fewer rows are put together, and what has fewer still is not measured: a slice must not tell a record."""

MAX_SLICES = 50
"""How many slices a column makes; the values of fewest rows are put together."""

MAX_NUMBERS = 20
"""A column of more different numbers than this is divided into bands of equally many rows."""

BANDS = 5
MISSING = "(missing)"


@dataclass(frozen=True)
class Slice:
    """What was measured on some rows.

    Attributes:
        column: The column by which the rows were chosen.
        name: Its value, or band of values.
        rows: The number of rows.
        values: Metric to value, as `measure` returns it.
        intervals: Metric to confidence interval.
    """

    column: str
    name: str
    rows: int
    values: dict[str, float | None]
    intervals: dict[str, Interval | None]

    @property
    def small(self) -> bool:
        """Whether the rows are too few to rely on what was measured."""
        return self.rows < SMALL


def measure_slices(
    predictions: Predictions,
    dataset: str | Path,
    columns: Sequence[str],
    samples: int,
    confidence: float,
    seed: int,
) -> list[Slice]:
    """Return what is measured on each slice of the columns; every row is in one slice of each column."""
    table = read_table(dataset, list(dict.fromkeys(columns)))
    wanted = HEADLINES[predictions.task]
    found = []
    for column in table.column_names:
        for name, rows in divide(table[column]):
            values: dict[str, float | None] = dict.fromkeys(wanted)
            intervals: dict[str, Interval | None] = dict.fromkeys(wanted)
            if len(rows) >= FEWEST:
                measured = measure(predictions, rows)
                values = {key: measured[key] for key in wanted}
                intervals = bootstrap_intervals(predictions, wanted, samples, confidence, seed, rows)
            found.append(Slice(column, name, len(rows), values, intervals))
    return found


def divide(column: pyarrow.ChunkedArray) -> list[tuple[str, ndarray]]:
    """Return the slices of a column, name and positions of rows, in the order of the values; missing ones come last."""
    import numpy
    import pandas

    values = column.to_pandas()
    codes, uniques = pandas.factorize(values, sort=True)
    names = [str(value) for value in uniques]
    if values.dtype.kind in "iufM" and len(uniques) > MAX_NUMBERS:
        codes, names = _bands(values)
    sizes = numpy.bincount(codes[codes >= 0], minlength=len(names))
    kept = set(numpy.argsort(-sizes, kind="stable")[:MAX_SLICES].tolist()) & set(numpy.flatnonzero(sizes >= FEWEST))
    found = [(names[code], numpy.flatnonzero(codes == code)) for code in range(len(names)) if code in kept]
    rest = numpy.flatnonzero((codes >= 0) & ~numpy.isin(codes, list(kept)))
    if len(rest):
        found.append((f"(rarer values: {len(names) - len(kept)})", rest))
    missing = numpy.flatnonzero(codes < 0)
    return [*found, (MISSING, missing)] if len(missing) else found


def _bands(values: Any) -> tuple[ndarray, list[str]]:
    """Return the band of each value, -1 for none, and the bands' names; an infinity is a band of its own, the last."""
    import pandas

    infinities = [end for end in (-math.inf, math.inf) if (values == end).any()]
    bands = pandas.qcut(values.where(~values.isin(infinities)), BANDS, duplicates="drop").cat
    edges = [number(float(edge.right)) if values.dtype.kind != "M" else str(edge.right) for edge in bands.categories]
    names = [f"up to {edges[0]}"] + [f"above {low}, up to {high}" for low, high in pairwise(edges)]
    names = [*names[:-1], f"above {edges[-2]}"] if len(edges) > 1 else names
    codes = bands.codes.to_numpy().copy()
    for end in infinities:
        codes[values == end] = len(names)
        names.append(str(end))
    return codes, names
