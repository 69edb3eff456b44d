"""How far a column has moved from a baseline of which only the profile is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kfp_hallmark.profiles.profile import MAX_CATEGORIES, PERCENT, Binned, Categories, Column, column_values
from kfp_hallmark.profiles.tally import Numbers, Texts

if TYPE_CHECKING:
    import numpy

BINS = 10
"""Into how many bins of equal frequency in the baseline numbers are put for the measures that compare bins."""
EMPTY_SHARE = 0.0001
"""What stands for the share of a bin that is empty on one side, whose logarithm would be infinite."""
CATEGORIES = 20
"""So many of the most frequent categories are bins of their own, and so is any other that is not rare on both sides."""
FREQUENT_SHARE, FREQUENT_ROWS = 0.01, 5
"""What share of the rows, and how many rows of the baseline, a category must have not to be rare."""
LEAST_EXPECTED = 5
"""Bins in which chance would put fewer rows are taken together for the chi-squared test (Cochran 1954)."""
SCALE, ALIKE = 2.0, 1.25
"""From which factor on a column is told to be multiplied, and by how much its quartiles' factors may differ from it."""


@dataclass(frozen=True)
class Drift:
    """How far a column has moved from the baseline.

    Attributes:
        feature: The column.
        bins: Into how many bins both sides were put, the one of missing values included where there are any.
        grouped: Whether rare categories were taken together.
        psi: Population stability index, 0 or above.
        jensen_shannon: Jensen-Shannon divergence in bits, 0 to 1.
        l_infinity: The greatest difference between the two shares of a bin, 0 to 1.
        chi_squared: Pearson's statistic of the two rows of counts; of all categories that the profile names.
        p_value: How probable such a difference, or a greater, is between two samples of one population: for numbers by
            the Kolmogorov-Smirnov and the chi-squared test (Bonferroni), else by the chi-squared test.
        missing: The share of rows without a value in the baseline, and now.
        kolmogorov_smirnov: The greatest difference between the two distribution functions at the baseline's
            percentiles, 0 to 1; at most one bin's share of the baseline less than anywhere. None for categories.
        wasserstein: The mean distance between the 1st to 99th percentiles of both sides, in standard deviations of the
            baseline; None for categories, and without a spread or values.
        factor: By what all values look multiplied, as by another unit; None if they do not, and for text and booleans.
        unseen: How many rows hold a category that the baseline does not have; None for numbers in bins. Where its
            profile does not name all, only those texts count that it does not name and that are rare no more.
        all_named: Whether the profile names all categories of the baseline.
    """

    feature: str
    bins: int
    grouped: bool
    psi: float
    jensen_shannon: float
    l_infinity: float
    chi_squared: float
    p_value: float
    missing: tuple[float, float] = (0.0, 0.0)
    kolmogorov_smirnov: float | None = None
    wasserstein: float | None = None
    factor: float | None = None
    unseen: int | None = None
    all_named: bool = True


def drift(feature: str, baseline: Column, counted: Numbers | Texts) -> Drift | None:
    """Return how far a column has moved; None if one side has no rows, or is text and the other is not.

    Numbers are put into `BINS` bins of equal frequency in the baseline: the edges are its deciles, and a bin holds its
    upper edge. Text, booleans and numbers of few values are categories. Missing values, where there are any, are a bin
    of their own, for every measure but the Kolmogorov-Smirnov and Wasserstein distances.
    """
    found = baseline.distribution
    if (baseline.type == "text") != isinstance(counted, Texts):
        return None
    if isinstance(counted, Numbers) and baseline.type == "number":
        # A great whole number is not what the baseline's float is.
        counted = replace(counted, values=counted.values.astype(float, copy=False))
    if isinstance(found, Binned):
        assert isinstance(counted, Numbers)
        return _numbers(feature, baseline, found, counted)
    return _categories(feature, baseline, found, counted)


def _numbers(feature: str, baseline: Column, binned: Binned, counted: Numbers) -> Drift | None:
    import numpy

    values = counted.below + counted.finite + counted.above
    expected = numpy.array(binned.counts)
    actual = numpy.diff(counted.at_most(binned.edges), prepend=0, append=values)
    distance, by_distance = _kolmogorov_smirnov(expected, actual)
    starts = _deciles(expected)
    counts = numpy.add.reduceat([expected, actual], starts, axis=1)
    missing = (baseline.missing, counted.missing)
    chi_squared, by_bins = _chi_squared(_with_missing(counts, missing))
    before, now = _percentiles(binned, counted)
    return _drift(
        feature,
        counts,
        missing,
        grouped=False,
        chi_squared=chi_squared,
        p_value=min(1.0, 2 * min(by_distance, by_bins)),
        kolmogorov_smirnov=distance,
        wasserstein=float(abs(now - before).mean() / binned.standard_deviation)
        if binned.standard_deviation and len(before)
        else None,
        factor=_factor(before, now),
    )


def _categories(feature: str, baseline: Column, categories: Categories, counted: Numbers | Texts) -> Drift | None:
    import numpy

    named = list(categories.counts)
    if isinstance(counted, Texts):
        values = counted.counts.total() + counted.rare_count
        held = [counted.counts[name] for name in named]
    else:
        values = counted.below + counted.finite + counted.above
        held = counted.holding(column_values(named)).tolist()
    other = values - sum(held)
    counts = numpy.array([[*categories.counts.values(), categories.other_count], [*held, other]])
    missing = (baseline.missing, counted.missing)
    chi_squared, p_value = _chi_squared(_with_missing(_surely_named(counts, categories), missing))
    rare = counts[0] < max(FREQUENT_ROWS, FREQUENT_SHARE * counts[0].sum())
    rare[:CATEGORIES] = False
    rare &= ~_risen(counts[0], counts[1], counts.sum(axis=1))
    rare[-1] = True
    grouped = bool(rare[:-1].any() or categories.other_values)
    new = _new_rows(categories, counted, counts.sum(axis=1)) if isinstance(counted, Texts) else 0
    counts = numpy.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1) - [0, new], [0, new]])
    return _drift(
        feature,
        counts[:, counts.any(axis=0)],
        missing,
        grouped=grouped,
        chi_squared=chi_squared,
        p_value=p_value,
        factor=_factor_of_few(categories, held, counted)
        if isinstance(counted, Numbers) and baseline.type in ("number", "integer")
        else None,
        unseen=new if categories.other_values else other,
        all_named=not categories.other_values,
    )


def _risen(before: numpy.ndarray, now: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
    """Return which categories are frequent now, and by more than chance were not so before, shape (categories,).

    Their shares must differ by four standard deviations, on the scale of square roots (Anscombe 1948).

    Args:
        before: How many rows of the baseline hold each.
        now: How many do now.
        rows: How many rows of each side hold a value, shape (2,).
    """
    import numpy

    former, latter = before / max(rows[0], 1), now / max(rows[1], 1)
    reach = 2 * (1 / numpy.maximum(rows, 1)).sum() ** 0.5
    return (latter >= FREQUENT_SHARE) & (numpy.sqrt(latter) - numpy.sqrt(former) > reach)


def _new_rows(categories: Categories, texts: Texts, rows: numpy.ndarray) -> int:
    """Return how many rows now hold categories that the baseline's profile does not name and that are rare no more.

    Of one that is not named at most so many rows of the baseline hold as hold the rarest that is.
    """
    import numpy

    full = len(categories.counts) >= MAX_CATEGORIES
    most = min(categories.counts.values()) if full else FREQUENT_ROWS
    least = FREQUENT_SHARE * rows[1]
    found = [count for name, count in texts.counts.items() if count >= least and name not in categories.counts]
    now = numpy.array(found, dtype="int64")
    return int(now[_risen(numpy.full(len(now), most), now, rows)].sum())


def _surely_named(counts: numpy.ndarray, categories: Categories) -> numpy.ndarray:
    """Return the counts with those categories taken together that a like baseline might not have named.

    A profile names what is frequent in the baseline. Where chance decides that, the named would be more frequent there
    than now without any drift; so those count that both sides together show to be frequent enough: four standard
    deviations, on the scale of square roots (Anscombe 1948), above the rarest that is named.
    """
    import numpy

    if not categories.other_values or not categories.counts:
        return counts
    expected = counts.sum(axis=0) * counts[0].sum() / max(counts.sum(), 1)
    apart = numpy.sqrt(expected) > numpy.sqrt(min(categories.counts.values())) + 2
    apart[-1] = False
    return numpy.column_stack([counts[:, apart], counts[:, ~apart].sum(axis=1)])


def _drift(feature: str, counts: numpy.ndarray, missing: tuple[int, int], **found: Any) -> Drift | None:
    expected, actual = _with_missing(counts, missing)
    if not (expected.any() and actual.any()):
        return None
    return Drift(
        feature,
        bins=len(expected),
        psi=population_stability_index(expected, actual),
        jensen_shannon=jensen_shannon(expected, actual),
        l_infinity=l_infinity(expected, actual),
        missing=(missing[0] / int(expected.sum()), missing[1] / int(actual.sum())),
        **found,
    )


def _with_missing(counts: numpy.ndarray, missing: tuple[int, int]) -> numpy.ndarray:
    import numpy

    return numpy.column_stack([counts, missing]) if any(missing) else counts


def _deciles(expected: numpy.ndarray) -> numpy.ndarray:
    """Return at which of the bins each of `BINS` bins of about equal frequency begins; those that coincide are one."""
    import numpy

    ranks = numpy.cumsum(expected)
    ends = numpy.searchsorted(ranks, numpy.arange(1, BINS) / BINS * ranks[-1] * (1 - 1e-12), side="left")
    return numpy.unique([0, *(ends[ends < len(expected) - 1] + 1)])


def population_stability_index(expected: numpy.ndarray, actual: numpy.ndarray) -> float:
    """Return sum((a - e) * ln(a / e)) over the shares of the bins; an empty bin has the share `EMPTY_SHARE`.

    Args:
        expected: The baseline's count in each bin, shape (bins,).
        actual: The dataset's, in the same order.

    Source: Siddiqi 2006, Credit Risk Scorecards.
    """
    import numpy

    e, a = (numpy.where(shares > 0, shares, EMPTY_SHARE) for shares in (_shares(expected), _shares(actual)))
    return float(numpy.sum((a - e) * numpy.log(a / e)))


def jensen_shannon(expected: numpy.ndarray, actual: numpy.ndarray) -> float:
    """Return the Jensen-Shannon divergence of the shares of the bins, in bits.

    Source: Lin 1991, Divergence Measures Based on the Shannon Entropy.
    """
    from scipy.spatial import distance

    return float(distance.jensenshannon(_shares(expected), _shares(actual), base=2) ** 2)


def l_infinity(expected: numpy.ndarray, actual: numpy.ndarray) -> float:
    """Return the greatest difference between the two shares of a bin."""
    return float(abs(_shares(expected) - _shares(actual)).max())


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, so that of those below a level at most this share is found by chance.

    Source: Benjamini and Hochberg 1995, Controlling the False Discovery Rate.
    """
    from scipy import stats

    return [float(value) for value in stats.false_discovery_control(p_values)] if p_values else []


def _shares(counts: numpy.ndarray) -> numpy.ndarray:
    """Return counts as shares of their sum; zeros if there is nothing."""
    return counts / max(counts.sum(), 1)


def _kolmogorov_smirnov(expected: numpy.ndarray, actual: numpy.ndarray) -> tuple[float, float]:
    """Return the distance at the ends of the bins, and its asymptotic p-value; without values on a side, 0 and 1."""
    import numpy
    from scipy import stats

    before, now = int(expected.sum()), int(actual.sum())
    if not before or not now:
        return 0.0, 1.0
    distance = float(abs(numpy.cumsum(expected) / before - numpy.cumsum(actual) / now).max())
    return distance, float(stats.kstwo.sf(distance, max(1, round(before / (before + now) * now))))


def _chi_squared(counts: numpy.ndarray) -> tuple[float, float]:
    """Return Pearson's statistic of two rows of counts, and its p-value; 0 and 1 when there is nothing to compare.

    Bins in which fewer than `LEAST_EXPECTED` rows are expected on a side are taken together.
    """
    import numpy
    from scipy import stats

    rows = counts.sum(axis=1)
    if not rows.all():
        return 0.0, 1.0
    few = counts.sum(axis=0) * rows.min() / rows.sum() < LEAST_EXPECTED
    counts = numpy.column_stack([counts[:, ~few], counts[:, few].sum(axis=1)]) if few.any() else counts
    counts = counts[:, counts.any(axis=0)]
    if counts.shape[1] < 2:
        return 0.0, 1.0
    found = stats.chi2_contingency(counts, correction=False)
    return float(found.statistic), float(found.pvalue)


def _percentiles(binned: Binned, counted: Numbers) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the 1st to 99th percentiles of both sides; nothing if one has no finite value."""
    import numpy

    before = numpy.array(binned.percentiles(), dtype=float)
    if not counted.finite or not len(before):
        return numpy.empty(0), numpy.empty(0)
    return before, counted.quantiles(numpy.arange(1, PERCENT) / PERCENT).astype(float)


def _factor_of_few(categories: Categories, held: Sequence[int], now: Numbers) -> float | None:
    """Return by what a column of few numbers looks multiplied; None if most of it holds the values that it held.

    Args:
        categories: What the baseline holds.
        held: How many rows now hold each of the named values, shape (named,).
        now: What the column holds now.
    """
    import numpy

    values = numpy.array(column_values(categories.counts), dtype=float)
    if not len(values) or 2 * numpy.array(held)[values != 0].sum() >= now.finite - now.zeros:
        return None
    order = numpy.argsort(values)
    ranks = numpy.cumsum(numpy.array([*categories.counts.values()])[order])
    shares = numpy.arange(1, PERCENT) / PERCENT
    before = values[order][numpy.searchsorted(ranks, shares * ranks[-1] * (1 - 1e-12))]
    return _factor(before, now.quantiles(shares).astype(float))


def _factor(before: numpy.ndarray, now: numpy.ndarray) -> float | None:
    """Return by what the percentiles look multiplied; None if not by one factor, or by less than `SCALE`."""
    import numpy

    known = before != 0
    if not known.any():
        return None
    low, middle, high = numpy.quantile(now[known] / before[known], [0.25, 0.5, 0.75])
    alike = low * ALIKE >= middle >= high / ALIKE
    return float(middle) if middle > 0 and alike and not 1 / SCALE < middle < SCALE else None
