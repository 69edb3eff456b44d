"""Confidence intervals of shares, quantiles and resampled values, and what a limit makes of them."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.verdict import Status, judge
from kfp_hallmark.errors import InputError

if TYPE_CHECKING:
    from numpy import ndarray

Interval = tuple[float, float]


def judge_interval(
    observed: float | None, interval: Interval | None, *, minimum: float | None = None, maximum: float | None = None
) -> Status:
    """Return what `judge` says of a value that breaks its limits.

    Of one that keeps them: `warn` when its interval does not, and `inconclusive` without an interval or an end of it.
    """
    status = judge(observed, minimum=minimum, maximum=maximum)
    if status is not Status.PASS:
        return status
    if interval is None or any(map(math.isnan, interval)):
        return Status.INCONCLUSIVE
    ends = [judge(end, minimum=minimum, maximum=maximum) for end in interval]
    return Status.PASS if set(ends) == {Status.PASS} else Status.WARN


def require_resampling(samples: int, confidence: float) -> None:
    """Raise `InputError` when a number of resamples or a confidence level cannot be used."""
    if samples < 100:
        raise InputError(f"bootstrap_samples must be at least 100; got {samples}.")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be above 0 and below 1; got {confidence}.", "For 95 %, give 0.95.")


def normal_quantile(confidence: float) -> float:
    """Return how many standard errors a two-sided normal interval reaches to either side: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def percentile_interval(values: ndarray, confidence: float) -> Interval | None:
    """Return the percentile interval of resampled values, NaN left out; None when all are NaN."""
    import numpy as np

    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2], method="weibull")
    return float(low), float(high)


def mean_interval(mean: float, influences: ndarray, confidence: float) -> Interval:
    """Return Hall's interval of a mean, which reaches further to the side to which the values are skewed.

    Args:
        mean: The mean.
        influences: By how much each value's part of it deviates, shape (values,); the squares sum to its variance.
        confidence: Confidence level, between 0 and 1.

    Source: P. Hall, Journal of the Royal Statistical Society B 54 (1992), transformation 1.
    """
    return skewed_interval(mean, float((influences**2).sum()), float((influences**3).sum()), confidence)


def skewed_interval(mean: float, variance: float, third: float, confidence: float) -> Interval:
    """Return Hall's interval of a mean by its variance and its third central moment; see `mean_interval`."""
    error, quantile = math.sqrt(variance), normal_quantile(confidence)
    skewness = third / error**3 if error else 0.0
    low, high = (mean - error * _skewed(end, skewness) for end in (quantile, -quantile))
    return min(low, mean), max(high, mean)


def _skewed(quantile: float, skewness: float) -> float:
    """Return what a normal quantile is of a mean whose standardised third moment is given: Hall's cubic, inverted."""
    import numpy as np

    shifted = quantile - skewness / 6
    root = float(np.cbrt(1 + skewness * shifted))
    return 3 * shifted / (root**2 + root + 1)


def wilson_interval(hits: float, trials: float, confidence: float = 0.95) -> Interval | None:
    """Return Wilson's score interval of a proportion; None without trials.

    Source: E. Wilson, Journal of the American Statistical Association 22 (1927).
    """
    if not trials:
        return None
    z, share = normal_quantile(confidence), hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    low = 0.0 if hits == 0 else centre - reach
    high = 1.0 if hits == trials else centre + reach
    return low, high


def quantile_interval(values: ndarray, share: float, confidence: float = 0.95) -> Interval | None:
    """Return the interval of a quantile from the order of the values, whatever their distribution.

    Args:
        values: Independent measurements, shape (values,).
        share: Which quantile: 0.5 for the median.
        confidence: Confidence level, between 0 and 1; it is kept or exceeded.

    Returns:
        The interval; None when there are too few values for either end.

    Source: W. Conover, Practical Nonparametric Statistics (1999), section 3.2.
    """
    import numpy as np

    count, tail = len(values), (1 - confidence) / 2
    hits = np.arange(count)
    odds = np.log((count - hits[:-1]) / (hits[:-1] + 1)) + math.log(share / (1 - share))
    below = np.cumsum(np.exp(count * math.log(1 - share) + np.append(0.0, np.cumsum(odds))))
    low, high = int((below <= tail).sum()) - 1, int((below < 1 - tail).sum())
    if low < 0 or high >= count:
        return None
    ordered = np.sort(values)
    return float(ordered[low]), float(ordered[high])
