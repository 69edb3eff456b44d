"""Stretches of time in which nothing happened: within a dataset, and since the span before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.dataset import read_batches
from kfp_hallmark.contracts.verdict import Check, judge
from kfp_hallmark.profiles.profile import Profile
from kfp_hallmark.profiles.scan import as_integers
from kfp_hallmark.profiles.tally import EXACT_ROWS
from kfp_hallmark.reports import number

if TYPE_CHECKING:
    import numpy

SECOND = 1_000_000
"""Times are counted in microseconds."""
HOUR = 3600
LEAST_TIMES = 20
"""Of fewer different times no stretch is usual."""
LONG_GAP = 5
"""A gap is told when it is so many times as long as 99 % of the others: of times by chance, one in 10^10 is."""
RARE = 2
"""How many others may be longer than a usual one: nights and weekends come again, few as they are among minutes."""
ODD_GAP, MOST_EXPECTED = 2, 0.01
"""It is told when it is so many times as long, too, if chance would leave fewer such in times of one distance."""
GAP_HOURS = "gap_hours"
"""The name of a check of a contract's `max_gap_hours`."""


@dataclass(frozen=True)
class Gap:
    """The longest stretch between two times that follow each other.

    Attributes:
        longest: How long it is, in seconds.
        usual: The one that 99 % of all others do not exceed, nor all but `RARE`, in seconds; infinite of fewer than
            `LEAST_TIMES` times.
        expected: How many so long there would be by chance, in times that come at one distance; infinite where times
            do not come so.
    """

    longest: float
    usual: float
    expected: float

    @property
    def odd(self) -> bool:
        """Whether it is longer than chance explains."""
        times = self.longest / self.usual
        return times > LONG_GAP or (times >= ODD_GAP and self.expected < MOST_EXPECTED)


def longest_gap(times: numpy.ndarray, ranks: numpy.ndarray) -> Gap | None:
    """Return the longest stretch between two times that follow each other.

    Args:
        times: Different times in ascending order, in microseconds, shape (times,).
        ranks: How many rows hold one that is no later, shape (times,).
    """
    import numpy

    if len(times) < 2:
        return None
    gaps = numpy.sort(numpy.diff(times)) / SECOND
    if len(times) < LEAST_TIMES:
        return Gap(float(gaps[-1]), math.inf, math.inf)
    usual = max(numpy.quantile(gaps[:-1], 0.99), gaps[-2 - RARE])
    return Gap(float(gaps[-1]), float(usual), _expected(gaps, numpy.diff(ranks, prepend=0)))


def _expected(gaps: numpy.ndarray, rows: numpy.ndarray) -> float:
    """Return `Gap.expected`: the less of what the other stretches and the rows at each time let expect.

    By the stretches, each time is left out as often as in all others. By the rows, no more times lack any than of a
    count with their mean and variance, and than Chao's estimate of what was not seen.

    Sources: Katz 1965, Unified Treatment of a Broad Class of Discrete Probability Distributions (binomial, Poisson and
    negative binomial counts in one); Chao 1984, Nonparametric Estimation of the Number of Classes in a Population.

    Args:
        gaps: The stretches in ascending order, shape (times - 1,).
        rows: How many rows hold each time, shape (times,).
    """
    import numpy

    distance = numpy.median(gaps)
    if gaps[0] < distance / 2:
        return math.inf
    left_out = numpy.maximum((gaps / distance).round() - 1, 0)
    others, places = left_out[:-1].sum(), len(gaps) + left_out.sum()
    by_stretches = places * ((others + 1) / places) ** left_out[-1]
    rows = numpy.concatenate([rows, numpy.zeros(int(others))])
    mean, excess = rows.mean(), rows.var() / rows.mean() - 1
    if excess == -1:
        return 0.0
    none = math.exp(-mean * (math.log1p(excess) / excess if excess else 1))
    once, twice = (rows == 1).sum(), (rows == 2).sum()
    by_rows = max(places * none, once * (once - 1) / (2 * (twice + 1)))
    return float(min(by_stretches, by_rows))


def exact_gaps(gaps: Mapping[str, Gap | None], path: str | Path, now: Profile) -> Mapping[str, Gap | None]:
    """Return gaps as they are: where one value stands for a thousand rows, what lies between two is no gap.

    Args:
        gaps: The longest gap in each of some columns of times, by the values that were kept.
        path: The dataset.
        now: Its profile.
    """
    if now.rows <= EXACT_ROWS:
        return gaps
    spans = {name: now.columns[name].span for name in gaps}
    return {
        name: gap if gap is None or (span := spans[name]) is None else replace(gap, longest=_longest(path, name, span))
        for name, gap in gaps.items()
    }


def _longest(path: str | Path, name: str, span: tuple[int, int], parts: int = EXACT_ROWS) -> float:
    """Return the longest stretch between two times that follow each other, in seconds; less than a part may be missed.

    Args:
        path: The dataset.
        name: A column of times.
        span: Its first and its last.
        parts: Into how many stretches the span is cut, of which the first and the last time are kept.
    """
    import numpy

    length = (span[1] - span[0]) // parts + 1
    firsts, lasts = numpy.full(parts, span[1]), numpy.full(parts, span[0])
    held = numpy.zeros(parts, bool)
    for batch in read_batches(path, [name]):
        times = as_integers(batch.column(0), name).drop_null().to_numpy()
        places = (times - span[0]) // length
        numpy.minimum.at(firsts, places, times)
        numpy.maximum.at(lasts, places, times)
        held[places] = True
    return float((firsts[held][1:] - lasts[held][:-1]).max(initial=0)) / SECOND


def gap_checks(
    limits: Mapping[str, float], now: Profile, gaps: Mapping[str, Gap | None], previous: Profile | None
) -> list[Check]:
    """Return a check for the gaps in each column that a contract limits them of, and for the one since the span before.

    Args:
        limits: The longest gap by column, in hours.
        now: The dataset's profile.
        gaps: The longest gap in each of its columns of times, if it has two.
        previous: The profile of the span before.
    """
    checks = []
    for name, limit in limits.items():
        held = now.columns.get(name)
        if held is None or held.span is None:
            checks.append(_gap_check(name, None, limit, "holds no time to judge by"))
            continue
        gap = gaps.get(name)
        hours = gap.longest / HOUR if gap is not None else 0.0
        checks.append(_gap_check(name, hours, limit, f"has gaps of at most {number(hours, 3)} hours"))
        if previous is not None:
            before = previous.columns.get(name)
            since, reason = _since(held.span, None if before is None else before.span)
            checks.append(_gap_check(name, since, limit, reason, reference="previous"))
    return checks


def _since(now: tuple[int, int], before: tuple[int, int] | None) -> tuple[float | None, str]:
    """Return how many hours lie between the span before and this one, as a reader says it; None if it is not told."""
    if before is None:
        return None, "cannot be held against the previous span, which holds no time of it"
    if now[1] < before[0]:
        return None, "ends before the previous span begins"
    since = max(0.0, (now[0] - before[1]) / SECOND / HOUR)
    return since, f"begins {number(since, 3)} hours after the previous span ends"


def _gap_check(name: str, hours: float | None, limit: float, reason: str, **scope: str) -> Check:
    message = f"{name} {reason}; the contract allows {limit:g}."
    return Check(
        GAP_HOURS, judge(hours, maximum=limit), hours, maximum=limit, scope={"feature": name, **scope}, message=message
    )
