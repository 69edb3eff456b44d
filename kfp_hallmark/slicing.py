"""Divide the rows of a dataset into slices by the values of a column."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from kfp_hallmark.reports import number

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray

FEWEST = 10
"""Values with fewer rows are put together, and what has fewer still is not measured: a slice must not tell a record."""

SMALL = 100
"""What is measured on a slice of fewer rows says little."""

MAX_SLICES = 50
"""How many slices a column makes; the values of fewest rows are put together."""

MAX_NUMBERS = 20
"""A column of more different numbers than this is divided into bands of equally many rows."""

BANDS = 5
MISSING = "(missing)"


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
