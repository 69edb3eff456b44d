"""How far a column has moved from a baseline of which only the profile is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.profiles.profile import PERCENT, Binned, Categories, Column, column_values
from kfp_hallmark.profiles.tally import Numbers, Texts

if TYPE_CHECKING:
    import numpy

BINS = 10
"""Into how many bins of equal frequency in the baseline numbers are put for the measures that compare bins."""
EMPTY_SHARE = 0.0001
"""What stands for the share of a bin that is empty on one side, whose logarithm would be infinite."""
CATEGORIES = 20
"""So many of the most frequent categories are bins of their own, and so is any other that is not rare."""
FREQUENT_SHARE, FREQUENT_ROWS = 0.01, 5
"""What share of the baseline, and how many of its rows, a category must have not to be rare."""
LEAST_EXPECTED = 5
"""Bins in which chance would put fewer rows are taken together for the chi-squared test (Cochran 1954)."""


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
        p_value: How probable such a difference, or a greater, is between two samples of one population: by the
            Kolmogorov-Smirnov test and a chi-squared test of the share that is missing for numbers (Bonferroni), else
            by the chi-squared test.
        kolmogorov_smirnov: The greatest difference between the two distribution functions at the baseline's
            percentiles, 0 to 1; at most one bin's share of the baseline less than anywhere. None for categories.
        wasserstein: The mean distance between the 1st to 99th percentiles of both sides, in standard deviations of the
            baseline; None for categories, and without a spread or values.
        unseen: How many rows hold a category that the baseline does not have; None for numbers, and where the baseline
            has values that its profile does not name.
    """

    feature: str
    bins: int
    grouped: bool
    psi: float
    jensen_shannon: float
    l_infinity: float
    chi_squared: float
    p_value: float
    kolmogorov_smirnov: float | None = None
    wasserstein: float | None = None
    unseen: int | None = None


def drift(feature: str, baseline: Column, counted: Numbers | Texts) -> Drift | None:
    """Return how far a column has moved; None if one side is text and the other is not.

    Numbers are put into `BINS` bins of equal frequency in the baseline: the edges are its deciles, and a bin holds its
    upper edge. Text, booleans and numbers of few values are categories. Missing values, where there are any, are a bin
    of their own, for every measure but the Kolmogorov-Smirnov and Wasserstein distances.
    """
    found = baseline.distribution
    if (baseline.type == "text") != isinstance(counted, Texts):
        return None
    if isinstance(found, Binned):
        assert isinstance(counted, Numbers)
        return _numbers(feature, baseline, found, counted)
    return _categories(feature, baseline, found, counted)


def _numbers(feature: str, baseline: Column, binned: Binned, counted: Numbers) -> Drift:
    import numpy

    values = counted.below + counted.finite + counted.above
    expected = numpy.array(binned.counts)
    actual = numpy.diff(counted.at_most(binned.edges), prepend=0, append=values)
    distance, p_value = _kolmogorov_smirnov(expected, actual)
    missing = numpy.array([[expected.sum(), baseline.missing], [values, counted.missing]])
    if missing[:, 1].any():
        p_value = min(1.0, 2 * min(p_value, _chi_squared(missing)[1]))
    starts = _deciles(expected)
    counts = numpy.add.reduceat([expected, actual], starts, axis=1)
    counts = _with_missing(counts, baseline.missing, counted.missing)
    return _drift(
        feature,
        counts,
        grouped=False,
        chi_squared=_chi_squared(counts)[0],
        p_value=p_value,
        kolmogorov_smirnov=distance,
        wasserstein=_wasserstein(binned, counted),
    )


def _categories(feature: str, baseline: Column, categories: Categories, counted: Numbers | Texts) -> Drift:
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
    chi_squared, p_value = _chi_squared(_with_missing(counts, baseline.missing, counted.missing))
    rare = counts[0] < max(FREQUENT_ROWS, FREQUENT_SHARE * counts[0].sum())
    rare[:CATEGORIES], rare[-1] = False, True
    grouped = bool(rare[:-1].any())
    counts = numpy.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    return _drift(
        feature,
        _with_missing(counts[:, counts.any(axis=0)], baseline.missing, counted.missing),
        grouped=grouped,
        chi_squared=chi_squared,
        p_value=p_value,
        unseen=None if categories.other_values else other,
    )


def _drift(feature: str, counts: numpy.ndarray, **found: Any) -> Drift:
    expected, actual = counts
    return Drift(
        feature,
        bins=len(expected),
        psi=population_stability_index(expected, actual),
        jensen_shannon=jensen_shannon(expected, actual),
        l_infinity=l_infinity(expected, actual),
        **found,
    )


def _with_missing(counts: numpy.ndarray, before: int, now: int) -> numpy.ndarray:
    import numpy

    return numpy.column_stack([counts, [before, now]]) if before or now else counts


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


def _wasserstein(binned: Binned, counted: Numbers) -> float | None:
    import numpy

    if not binned.standard_deviation or not counted.finite:
        return None
    before = numpy.array(binned.percentiles(), dtype=float)
    now = counted.quantiles(numpy.arange(1, PERCENT) / PERCENT).astype(float)
    return float(abs(now - before).mean() / binned.standard_deviation)
