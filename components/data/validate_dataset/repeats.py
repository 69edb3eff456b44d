"""Whether a stretch of rows comes again in the same order, as when a batch is appended twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.dataset import read_batches
from kfp_hallmark.contracts.verdict import Check, Status
from kfp_hallmark.profiles.scan import as_integers

if TYPE_CHECKING:
    import numpy
    import pyarrow

LEAST_ROWS = 100
"""A stretch of fewer rows is no batch."""
MOST_TIMES = 20
"""Rows that are there more often are common ones, not copies. By chance about so many rows share a distance at most."""


def repeated_rows(path: str | Path) -> tuple[int, int, int]:
    """Return how many rows equal an earlier one, how many do so in the order of a batch, and how many rows there are.

    Of rows that are there at most `MOST_TIMES` times, the distance to the one before that is equal is counted. Among
    rows that are equal by chance distances vary; where a batch was appended again, it is one for all of its rows, and
    at least as long as the batch. Appended more than once, each of its rows counts once for every time.
    """
    import numpy

    marks = numpy.concatenate([*map(_marks, read_batches(path, encoded=True)), numpy.empty(0, "uint64")])
    order = numpy.argsort(marks, kind="stable")
    same = marks[order][1:] == marks[order][:-1]
    starts = numpy.flatnonzero(numpy.concatenate([[True], ~same])[: len(marks)])
    times = numpy.repeat(counts := numpy.diff(numpy.append(starts, len(marks))), counts)
    distances = numpy.diff(order)[same & (times[1:] <= MOST_TIMES)]
    lengths = numpy.bincount(distances) if len(distances) else numpy.zeros(1, int)
    longest = numpy.arange(len(lengths)) * (MOST_TIMES - 1)
    kept = (lengths >= LEAST_ROWS) & (lengths <= longest)
    batches = lengths[LEAST_ROWS:][kept[LEAST_ROWS:]]
    return int(same.sum()), int(batches.max(initial=0)), len(marks)


def repeat_check(equal: int, batch: int, rows: int) -> Check:
    """Return a check for whether a batch is there twice."""
    message = f"{equal:,} of {rows:,} rows equal an earlier one"
    if batch:
        message += f", and {batch:,} of them in the same order, at one distance: a batch that is there twice?"
    else:
        message += "; no batch is there twice."
    return Check("repeated_batch", Status.WARN if batch else Status.PASS, batch, samples=rows, message=message)


def _marks(batch: pyarrow.RecordBatch) -> numpy.ndarray:
    """Return a number for each row, equal for equal rows and else, but for one in 10^19, different."""
    import numpy

    marks = numpy.zeros(batch.num_rows, "uint64")
    for column, name in zip(batch.columns, batch.schema.names, strict=True):
        marks = (marks ^ _codes(column, name)) * numpy.uint64(0x9E3779B97F4A7C15)
        marks ^= marks >> numpy.uint64(29)
    return marks


def _codes(column: pyarrow.Array, name: str) -> numpy.ndarray:
    """Return a number for each value, shape (rows,)."""
    import numpy
    import pyarrow

    if isinstance(column, pyarrow.DictionaryArray):
        words = [*map(hash, column.dictionary.to_pylist()), 1]
        codes = numpy.array(words, dtype="int64").view("uint64")
        return codes[column.indices.fill_null(len(words) - 1).to_numpy()]
    values = as_integers(column, name)
    if pyarrow.types.is_boolean(values.type):
        values = values.cast("int8")
    missing = values.is_null().to_numpy(zero_copy_only=False)
    filled = values.fill_null(0).to_numpy()
    codes = (filled + 0.0).astype("float64").view("uint64") if filled.dtype.kind == "f" else filled.astype("uint64")
    codes = codes * numpy.uint64(0xBF58476D1CE4E5B9)
    return numpy.where(missing, numpy.uint64(7), codes)
