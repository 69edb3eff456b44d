"""What a column holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_hallmark.profiles.profile import FREQUENT_ROWS, Categories, Column
from kfp_hallmark.profiles.tally import Numbers, Texts

if TYPE_CHECKING:
    import numpy

SECOND = 1_000_000
"""Times are counted in microseconds."""
LEAST_TIMES = 20
"""Of fewer different times no gap is told."""


@dataclass(frozen=True)
class Gap:
    """The longest stretch between two times that follow each other.

    Attributes:
        longest: How long it is, in seconds.
        usual: The one that 99 % of all others do not exceed, in seconds.
        expected: How many so long there would be by chance, in times that come at one distance, were each left out as
            often as in the other stretches; infinite where times do not come so.
    """

    longest: float
    usual: float
    expected: float


@dataclass(frozen=True)
class Feature:
    """What a column holds.

    Attributes:
        name: The column.
        type: `number`, `integer`, `boolean`, `text`, or `time`.
        rows: The number of rows.
        missing: How many of them hold no value; NaN is none.
        distinct: The number of distinct values; about so many where a column has too many to be kept.
        infinite: How many are plus or minus infinity.
        mean: Mean of the finite values of a number; None for other types, and of fewer than `FREQUENT_ROWS`: the mean
            of one value is that value.
        gap: Of times, the longest stretch without any; None for other types, and for few times.
    """

    name: str
    type: str
    rows: int
    missing: int
    distinct: int
    infinite: int
    mean: float | None
    gap: Gap | None = None


def describe(name: str, held: Column, counted: Numbers | Texts) -> Feature:
    """Return what a column holds, from its profile and from what was counted of it."""
    kind = held.type
    if isinstance(held.distribution, Categories) and isinstance(counted, Texts):
        rows = counted.missing + counted.counts.total() + counted.rare_count
        distinct = len(held.distribution.counts) + held.distribution.other_values
        return Feature(name, kind, rows, counted.missing, distinct, 0, None)
    assert isinstance(counted, Numbers)
    values = _distinct(counted.values)
    infinite = counted.below + counted.above
    return Feature(
        name,
        kind,
        rows=counted.missing + counted.finite + infinite,
        missing=counted.missing,
        distinct=len(values) + (counted.below > 0) + (counted.above > 0),
        infinite=infinite,
        mean=counted.mean
        if kind in ("number", "integer") and counted.finite >= FREQUENT_ROWS and math.isfinite(counted.mean)
        else None,
        gap=_gap(values) if kind == "time" else None,
    )


def _distinct(ascending: numpy.ndarray) -> numpy.ndarray:
    import numpy

    return ascending[numpy.concatenate([[True], ascending[1:] != ascending[:-1]])[: len(ascending)]]


def _gap(times: numpy.ndarray) -> Gap | None:
    import numpy

    if len(times) < LEAST_TIMES:
        return None
    gaps = numpy.sort(numpy.diff(times)) / SECOND
    return Gap(float(gaps[-1]), float(numpy.quantile(gaps[:-1], 0.99)), _expected(gaps))


def _expected(gaps: numpy.ndarray) -> float:
    """Return `Gap.expected` of stretches in ascending order."""
    import numpy

    distance = numpy.median(gaps)
    if gaps[0] < distance / 2:
        return math.inf
    left_out = numpy.maximum((gaps / distance).round() - 1, 0)
    places = len(gaps) + left_out.sum()
    return float(places * ((left_out[:-1].sum() + 1) / places) ** left_out[-1])
