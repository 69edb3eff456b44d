"""Whether rows come again, in the same order or in another, as when a batch is appended twice."""

from __future__ import annotations

import math
from dataclasses import dataclass
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
BY_CHANCE, SPREAD = 1e-6, 4
"""How improbable so many pairs must be to be told, and by how many standard deviations counts may be off."""
MOST_TIMES = 20
"""Rows that are there more often are common ones, not copies. By chance about so many rows share a distance at most."""


@dataclass(frozen=True)
class Repeats:
    """Rows that are there more than once.

    Attributes:
        equal: How many equal an earlier one.
        batch: How many of these come in the order of a batch.
        pairs: How many different rows are there exactly twice.
        odd: Whether these are more than chance makes, and far apart.
        rows: How many rows there are.
    """

    equal: int
    batch: int
    pairs: int
    odd: bool
    rows: int


def repeated_rows(path: str | Path) -> Repeats:
    """Return which rows of a dataset are there more than once.

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
    once, twice, thrice = numpy.bincount(counts, minlength=4)[1:4].tolist()
    apart = len(distances) > 0 and numpy.median(distances) >= LEAST_ROWS
    lengths = numpy.bincount(distances) if len(distances) else numpy.zeros(1, int)
    longest = numpy.arange(len(lengths)) * (MOST_TIMES - 1)
    kept = (lengths >= LEAST_ROWS) & (lengths <= longest)
    batches = lengths[LEAST_ROWS:][kept[LEAST_ROWS:]]
    batch, odd = int(batches.max(initial=0)), bool(apart and too_many_pairs(once, twice, thrice))
    return Repeats(int(same.sum()), batch, twice, odd, len(marks))


def too_many_pairs(once: int, twice: int, thrice: int) -> bool:
    """Return whether more different rows are there twice than chance makes, by those that are there once and thrice.

    Of rows drawn independently, whatever is how probable, let r_k be the expected number of different ones that are
    there k times. Where each is rare, r_k is the sum of a^k exp(-a) / k! over the numbers a that are expected of each,
    so by Cauchy and Schwarz (2 r_2)^2 <= r_1 * 6 r_3. It is told when those that are there thrice are less than half as
    many as this asks for, and so few with a probability of less than `BY_CHANCE`, were they Poisson's, even if the
    numbers of the others are `SPREAD` standard deviations off.
    """
    from scipy import stats

    if twice < LEAST_ROWS:
        return False
    least = 2 * (twice - SPREAD * math.sqrt(twice)) ** 2 / (3 * (once + SPREAD * math.sqrt(once) + 1))
    return bool(thrice < least / 2 and stats.poisson.cdf(thrice, least) < BY_CHANCE)


def repeat_check(found: Repeats) -> Check:
    """Return a check for whether a batch is there twice."""
    message = f"{found.equal:,} of {found.rows:,} rows equal an earlier one"
    if found.batch:
        message += f", and {found.batch:,} of them in the same order, at one distance: a batch that is there twice?"
    elif found.odd:
        message += f"; {found.pairs:,} are there twice, more than chance makes: a batch again, in another order?"
    else:
        message += "; no batch is there twice."
    status = Status.WARN if found.batch or found.odd else Status.PASS
    observed = found.batch or (found.pairs if found.odd else 0)
    return Check("repeated_batch", status, observed, samples=found.rows, message=message)


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
