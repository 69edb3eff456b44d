"""Measures of disparity between groups, by Fairlearn's definitions, and their confidence intervals.

A difference (or ratio) is the greatest (least) between any two groups, so its estimate and every plain bootstrap of it
lie too far from "no disparity", the more so the more groups there are. The interval is therefore built from all pairs
of groups at once: simultaneous intervals for the differences of every pair hold them all with the given confidence, and
then the greatest true difference lies between the greatest lower and the greatest upper end. How far they reach is the
quantile of the greatest studentised deviation in a bootstrap within the groups.
One pseudo-row of each outcome is added to every group (Agresti and Caffo), so that a rate of 0 or 1 has an interval.

The least value of a group lies above the least lower end whenever the interval of its own group holds it, so that end
needs no correction for many groups. Its upper end is the least of the groups' upper ends, all of which must hold: they
are widened after Šidák. Of the greatest value the same holds the other way round.

Sources: https://fairlearn.org/main/user_guide/assessment/common_fairness_metrics.html; A. Agresti, B. Caffo, The
American Statistician 54 (2000); A. Agresti, M. Bini, B. Bertaccini, E. Ryu, Biometrics 64 (2008); Z. Šidák, Journal of
the American Statistical Association 62 (1967).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kfp_hallmark.fairness.quantities import Estimate, Quantity, Rate
from kfp_hallmark.fairness.registry import DIFFERENCE, GROUP_MIN, RATIO, SPREADS
from kfp_hallmark.measures import Interval

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator

DECIMALS = 12
"""Beyond these, a difference such as 0.4 - 0.3 is the error of floating-point numbers."""
FEW = 100
"""Up to how many groups all pairs are looked at."""
SAFETY = 1e-9
"""By what share a bound is relaxed, so that rounding leaves out no pair."""


def disparity(quantities: Sequence[Quantity], statistic: str) -> float | None:
    """Return the worst disparity of some quantities, to 12 decimals; None for a ratio of rates that are all 0.

    Args:
        quantities: What is compared, each of at least two groups.
        statistic: `difference`, `ratio`, `group_min` or `group_max`.
    """
    ends = [(float(each.values.min()), float(each.values.max())) for each in quantities]
    if statistic == DIFFERENCE:
        return round(max(high - low for low, high in ends), DECIMALS)
    if statistic == RATIO:
        return round(min(low / high for low, high in ends), DECIMALS) if all(high for _, high in ends) else None
    return min(low for low, _ in ends) if statistic == GROUP_MIN else max(high for _, high in ends)


def disparity_interval(
    quantities: Sequence[Quantity], statistic: str, samples: int, confidence: float, generator: Generator
) -> Interval:
    """Return a confidence interval of the worst disparity of some quantities; the module says how.

    Args:
        quantities: What is compared, each of at least two groups.
        statistic: As for `disparity`.
        samples: Number of resamples behind a difference or a ratio.
        confidence: Confidence level, between 0 and 1.
        generator: The source of chance.
    """
    if statistic not in SPREADS:
        return _extreme_interval(quantities[0], statistic, confidence)
    spreading = [each for each in quantities if isinstance(each, Rate | Estimate)]
    low, high = _pair_interval(spreading, statistic == RATIO, samples, confidence, generator)
    observed = disparity(quantities, statistic)
    if observed is not None:
        low, high = min(low, observed), max(high, observed)
    shares = all(isinstance(each, Rate) or each.scale == "logit" for each in spreading)
    return max(0.0, low), min(1.0, high) if shares else high


def _extreme_interval(quantity: Quantity, statistic: str, confidence: float) -> Interval:
    """Return the interval of the least or the greatest value of a group."""
    each = 1 - (1 - (1 - confidence) / 2) ** (1 / len(quantity.values))
    low, high = quantity.ends(confidence)
    all_low, all_high = quantity.ends(1 - 2 * each)
    if statistic == GROUP_MIN:
        return float(low.min()), float(all_high.min())
    return float(all_low.max()), float(high.max())


def _pair_interval(
    quantities: Sequence[Rate | Estimate], ratio: bool, samples: int, confidence: float, generator: Generator
) -> Interval:
    """Return the interval of the greatest difference, or the least ratio, of any pair of groups."""
    import numpy as np

    estimates = [each.scaled(ratio) for each in quantities]
    deviations = np.max(
        [
            greatest_deviations(each.resampled(ratio, samples, generator), variances)
            for each, (_, variances) in zip(quantities, estimates, strict=True)
        ],
        axis=0,
    )
    reach = float(np.quantile(deviations, confidence))
    ends = [_greatest_ends(values, variances, reach) for values, variances in estimates]
    low, high = (max(each) for each in zip(*ends, strict=True))
    return (float(np.exp(-high)), float(np.exp(-max(low, 0.0)))) if ratio else (low, high)


def _greatest_ends(values: ndarray, variances: ndarray, reach: float) -> Interval:
    """Return the greatest lower and the greatest upper end of the gaps of all pairs of groups."""
    import numpy as np

    low, high = [], []
    for place in range(len(values) - 1):
        gaps = abs(values[place] - values[place + 1 :])
        reaches = reach * np.sqrt(variances[place] + variances[place + 1 :])
        low.append(float((gaps - reaches).max()))
        high.append(float((gaps + reaches).max()))
    return max(low), max(high)


def greatest_deviations(drawn: ndarray, variances: ndarray) -> ndarray:
    """Return, for each resample, the greatest deviation of a pair's gap from what it was, in standard errors.

    Args:
        drawn: By how much each group is off in each resample, shape (groups, samples).
        variances: Shape (groups,).
    """
    import numpy as np

    if len(variances) > FEW:
        return np.array([greatest_deviation(values, variances) for values in drawn.T])
    greatest = np.zeros(drawn.shape[1])
    for place in range(len(variances) - 1):
        gaps = drawn[place + 1 :] - drawn[place]
        gaps *= 1 / np.sqrt(variances[place] + variances[place + 1 :, None])
        np.maximum(greatest, np.maximum(gaps.max(axis=0), -gaps.min(axis=0)), out=greatest)
    return greatest


def greatest_deviation(values: ndarray, variances: ndarray) -> float:
    """Return the greatest difference of any two values in standard errors, exactly, at a cost that grows as the groups.

    A pair that exceeds r standard errors has values[i] - r w[i] > values[j] + r w[j] with w = sqrt(variances / 2),
    because sqrt(a + b) >= sqrt(a / 2) + sqrt(b / 2). So once an r is found by trying the foremost pairs, few others are
    left to look at.
    """
    import numpy as np

    widths, found = np.sqrt(variances / 2), 0.0
    for _ in range(3):
        above, below = values - found * widths, values + found * widths
        found = max(found, float(_studentised(values, variances, [above.argmax()], [below.argmin()])[0, 0]))
    safe = found * (1 - SAFETY)
    above, below = values - safe * widths, values + safe * widths
    first, second = np.flatnonzero(above >= below.min()), np.flatnonzero(below <= above.max())
    return max(found, float(_studentised(values, variances, first, second).max(initial=0.0)))


def _studentised(values: ndarray, variances: ndarray, first: Any, second: Any) -> ndarray:
    """Return the difference of each of some values from each of others, in standard errors."""
    import numpy as np

    return (values[first, None] - values[second]) / np.sqrt(variances[first, None] + variances[second])
