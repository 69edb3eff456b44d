"""What a column holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kfp_hallmark.components.data.validate_dataset.gaps import Gap, longest_gap
from kfp_hallmark.profiles.profile import FREQUENT_ROWS, Categories, Column
from kfp_hallmark.profiles.tally import Numbers, Texts, last_of_equal


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
        gap: Of times, the longest stretch without any; None for other types, and of one time.
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
    ends = last_of_equal(counted.values)
    values = counted.values[ends]
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
        gap=longest_gap(values, counted.ranks[ends]) if kind == "time" else None,
    )
