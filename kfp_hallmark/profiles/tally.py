"""Count what a column holds while a dataset is read piece by piece.

Memory is bounded whatever the number of rows. Of up to `EXACT_ROWS` numbers all are kept. Of more, each piece of so
many is represented by its different values, with how many rows hold each, if there are at most `POINTS`; else by
`POINTS` of its values, evenly by rank, so that a rank is off by at most 1 in `2 * POINTS` of the rows.

Texts are counted exactly unless more than twice `MAX_COUNTED` different ones occur; then the rarest so far are let go,
and how many there are is estimated from the least `HASHES` of their hashes. A text of more than `LONG_TEXT` bytes is
known by its digest.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import pyarrow

EXACT_ROWS = 1 << 22
POINTS = 4096
MAX_COUNTED = 200_000
HASHES = 16_384
LONG_TEXT = 1024
LONG = "__LARGE_BYTES__"
"""How the name of a long text begins, its digest follows; what TFDV calls all of them."""


@dataclass(frozen=True)
class Numbers:
    """The numbers of a column. Times are microseconds since 1970, booleans 0 and 1.

    Attributes:
        missing: How many rows hold no value; NaN is none.
        below: How many hold minus infinity.
        above: How many hold plus infinity.
        finite: How many hold a finite value.
        mean: Mean of the finite values; NaN without, and not finite if their sum is out of range.
        standard_deviation: Of the finite values, by their number; NaN without, and not finite if out of range.
        zeros: How many are 0.
        values: Finite values in ascending order, shape (points,): all of them, or some that represent them.
        ranks: How many finite values do not exceed each of these, shape (points,); the last of equal ones counts. Whole
            numbers if exact.
    """

    missing: int
    below: int
    above: int
    finite: int
    mean: float
    standard_deviation: float
    zeros: int
    values: numpy.ndarray
    ranks: numpy.ndarray

    @property
    def exact(self) -> bool:
        """Whether `values` are all that there are, and `ranks` are exact."""
        return self.ranks.dtype.kind == "i"

    def at(self, places: Sequence[int]) -> numpy.ndarray:
        """Return the values, infinities among them, at some places in ascending order from 0, shape (places,)."""
        import numpy

        inside = numpy.asarray(places) - self.below
        finite = (inside >= 0) & (inside < self.finite)
        held = self.values[numpy.searchsorted(self.ranks, inside[finite], side="right")]
        if finite.all():
            return held
        found = numpy.where(inside < 0, -numpy.inf, numpy.inf)
        found[finite] = held
        return found

    def quantiles(self, shares: Sequence[float]) -> numpy.ndarray:
        """Return, for each share above 0, the least value that this share of the finite ones does not exceed."""
        import numpy

        # 0.07 * 100 lies a little above 7.
        wanted = numpy.asarray(shares) * self.finite * (1 - 1e-12)
        if self.exact:
            wanted = numpy.ceil(wanted).astype(self.ranks.dtype)
        places = numpy.searchsorted(self.ranks, wanted, side="left")
        return self.values[numpy.minimum(places, len(self.values) - 1)]

    def at_most(self, bounds: Sequence[float]) -> numpy.ndarray:
        """Return how many values, infinities among them, do not exceed each bound, shape (bounds,)."""
        import numpy

        if self.values.dtype.kind in "iu":
            # As floats, great whole numbers could not be told apart.
            limits = numpy.iinfo(self.values.dtype)
            inside = [min(max(math.floor(bound), limits.min), limits.max) for bound in bounds]
            places = numpy.searchsorted(self.values, numpy.array(inside, dtype=self.values.dtype), side="right")
            places[[bound < limits.min for bound in bounds]] = 0
        else:
            places = numpy.searchsorted(self.values, numpy.asarray(bounds, dtype=float), side="right")
        finite = numpy.zeros(len(places), dtype="int64")
        finite[places > 0] = self.ranks[places[places > 0] - 1].round()
        return self.below + finite + self.above * (numpy.asarray(bounds) == numpy.inf)

    def holding(self, wanted: Sequence[float]) -> numpy.ndarray:
        """Return how many rows hold each of some finite values, shape (wanted,)."""
        import numpy

        before = [
            value - 1 if self.values.dtype.kind in "iu" else numpy.nextafter(float(value), -numpy.inf)
            for value in wanted
        ]
        return self.at_most(wanted) - self.at_most(before)

    def counts(self, limit: int) -> dict[float, int] | None:
        """Return how many rows hold each finite value; None if there are more than `limit`, or not all are kept."""
        import numpy

        ends = last_of_equal(self.values)
        if not self.exact or len(ends) > limit:
            return None
        counts = numpy.diff(self.ranks[ends], prepend=0)
        return dict(zip(self.values[ends].tolist(), counts.tolist(), strict=True))


class NumberTally:
    """Counts the numbers of a column.

    Args:
        exact_rows: Of up to so many numbers all are kept.
    """

    def __init__(self, exact_rows: int = EXACT_ROWS) -> None:
        self._exact_rows = exact_rows
        self._waiting: list[numpy.ndarray] = []
        self._waiting_rows = 0
        self._pieces: list[tuple[numpy.ndarray, numpy.ndarray]] = []
        self._missing = self._below = self._above = self._finite = self._zeros = 0
        self._mean = self._squares = 0.0

    def add(self, array: pyarrow.Array) -> None:
        """Count an array of integers, floats or booleans."""
        self._missing += array.null_count
        values = array.drop_null().to_numpy(zero_copy_only=False)
        self._waiting.append(values.view("int8") if values.dtype == bool else values)
        self._waiting_rows += len(values)
        if self._waiting_rows >= self._exact_rows:
            self._sort()

    def finish(self) -> Numbers:
        """Return what was counted."""
        import numpy

        self._sort()
        if len(self._pieces) > 1:
            values, weights = map(numpy.concatenate, zip(*self._pieces, strict=True))
            order = numpy.argsort(values, kind="stable")
            values, ranks = values[order], numpy.cumsum(weights[order])
        else:
            values = self._pieces[0][0] if self._pieces else numpy.empty(0)
            ranks = numpy.arange(1, len(values) + 1)
        return Numbers(
            missing=self._missing,
            below=self._below,
            above=self._above,
            finite=self._finite,
            zeros=self._zeros,
            mean=self._mean if self._finite else math.nan,
            standard_deviation=math.sqrt(self._squares / self._finite) if self._finite else math.nan,
            values=values,
            ranks=ranks,
        )

    def _sort(self) -> None:
        """Take the values that wait as a piece, in ascending order."""
        import numpy

        values = numpy.concatenate(self._waiting) if self._waiting else numpy.empty(0)
        self._waiting, self._waiting_rows = [], 0
        values.sort()
        if values.dtype.kind == "f":
            start = int(numpy.searchsorted(values, -numpy.inf, side="right"))
            end, stop = numpy.searchsorted(values, numpy.inf, side="left"), numpy.searchsorted(values, numpy.nan)
            self._below += start
            self._above += int(stop - end)
            self._missing += int(len(values) - stop)
            values = values[start:end]
        if len(values):
            self._add_moments(values)
            self._pieces.append((values, numpy.ones(len(values), dtype="int8")))
        if len(self._pieces) > 1:
            self._pieces = [thinned(*piece) for piece in self._pieces]

    def _add_moments(self, values: numpy.ndarray) -> None:
        """Add a piece to the moments.

        Source: Chan, Golub and LeVeque 1983, Algorithms for Computing the Sample Variance.
        """
        import numpy

        self._zeros += int(numpy.searchsorted(values, 0, side="right") - numpy.searchsorted(values, 0, side="left"))
        with numpy.errstate(over="ignore", invalid="ignore"):
            mean, variance = float(values.mean(dtype=float)), float(values.var(dtype=float))
        away = mean - self._mean
        rows = self._finite + len(values)
        self._squares += variance * len(values) + away * (away * self._finite / rows) * len(values)
        self._mean += away * len(values) / rows
        self._finite = rows


def thinned(values: numpy.ndarray, counts: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return at most `POINTS` values that represent ascending ones, and how many of them each stands for.

    Args:
        values: The values, shape (values,).
        counts: 1 for each; of values that are thinned already, what was returned.

    Returns:
        All different values with whole numbers, if they are few enough; else some with fractions, the least and the
        greatest among them.
    """
    import numpy

    if len(values) <= POINTS:
        return values, counts
    ends = last_of_equal(values)
    if len(ends) <= POINTS:
        return values[ends], numpy.diff(ends, prepend=-1)
    places = ((numpy.arange(POINTS) + 0.5) * len(values) / POINTS).astype("int64")
    places[0], places[-1] = 0, len(values) - 1
    return values[places], numpy.full(POINTS, len(values) / POINTS)


def last_of_equal(ascending: numpy.ndarray) -> numpy.ndarray:
    """Return the last place of each value, shape (different values,)."""
    import numpy

    changes = ascending[1:] != ascending[:-1]
    return numpy.flatnonzero(numpy.append(changes, True)[: len(ascending)])


@dataclass(frozen=True)
class Texts:
    """The texts of a column.

    Attributes:
        missing: How many rows hold no value.
        counts: How many rows hold each; those that were let go are not in it.
        distinct: How many different ones there are; an estimate with a standard error of 0.8 % if some were let go.
        rare_count: How many rows held those that were let go.
        bytes: The length of all rows' texts in UTF-8.
    """

    missing: int
    counts: Counter[str]
    distinct: int
    rare_count: int
    bytes: int


class TextTally:
    """Counts the texts of a column.

    Args:
        max_counted: How many different ones are kept when there are more than twice as many.
    """

    def __init__(self, max_counted: int = MAX_COUNTED) -> None:
        self._max_counted = max_counted
        self._missing = self._rare_count = self._bytes = 0
        self._counts: Counter[str] = Counter()
        self._hashes: numpy.ndarray | None = None

    def add(self, array: pyarrow.Array) -> None:
        """Count an array of text, plain or as a dictionary.

        Raises:
            UnicodeDecodeError: If a text is not UTF-8.
        """
        import numpy
        import pyarrow
        import pyarrow.compute

        encoded = array if isinstance(array, pyarrow.DictionaryArray) else array.dictionary_encode()
        self._missing += encoded.null_count
        counts = numpy.bincount(encoded.indices.drop_null().to_numpy(), minlength=len(encoded.dictionary))
        present = numpy.flatnonzero(counts)
        words, counts = encoded.dictionary.take(pyarrow.array(present)), counts[present]
        lengths = pyarrow.compute.binary_length(words).to_numpy(zero_copy_only=False)
        self._bytes += int(counts @ lengths)
        names = words.to_pylist()
        for place in numpy.flatnonzero(lengths > LONG_TEXT):
            names[place] = f"{LONG}:{hashlib.sha256(names[place].encode()).hexdigest()}"
        if self._hashes is not None:
            self._add_hashes([name for name in names if name not in self._counts])
        for name, count in zip(names, counts.tolist(), strict=True):
            self._counts[name] += count
        if len(self._counts) > 2 * self._max_counted:
            self._let_go()

    def finish(self) -> Texts:
        """Return what was counted."""
        return Texts(self._missing, self._counts, self._distinct(), self._rare_count, self._bytes)

    def _let_go(self) -> None:
        if self._hashes is None:
            self._add_hashes(list(self._counts))
        kept = Counter(dict(self._counts.most_common(self._max_counted)))
        self._rare_count += self._counts.total() - kept.total()
        self._counts = kept

    def _add_hashes(self, names: Sequence[str]) -> None:
        """Keep the least hashes of all texts so far.

        Source: Bar-Yossef et al. 2002, Counting Distinct Elements in a Data Stream.
        """
        import numpy

        digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
        hashes = numpy.frombuffer(digests, dtype="<u8")
        known = hashes if self._hashes is None else numpy.concatenate([self._hashes, hashes])
        self._hashes = numpy.unique(known)[:HASHES]

    def _distinct(self) -> int:
        if self._hashes is None:
            return len(self._counts)
        if len(self._hashes) < HASHES:
            return len(self._hashes)
        return max(len(self._counts), round((HASHES - 1) * 2**64 / int(self._hashes[-1])))
