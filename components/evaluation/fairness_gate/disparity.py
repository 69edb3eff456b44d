"""Measures of disparity between groups, by Fairlearn's definitions, and their confidence intervals.

A disparity is the greatest difference (or the least ratio) of a rate between any two groups, so its estimate and every
plain bootstrap of it lie too far from "no disparity", the more so the more groups there are. The interval is therefore
built from all pairs of groups at once: simultaneous intervals for the differences of every pair hold them all with the
given confidence, and then the greatest true difference lies between the greatest lower and the greatest upper end.
How far the intervals reach is the quantile of the greatest studentised deviation in a bootstrap within the groups.
One pseudo-row of each outcome is added to every group (Agresti and Caffo), so that a rate of 0 or 1 has an interval.

Sources: https://fairlearn.org/main/user_guide/assessment/common_fairness_metrics.html; A. Agresti, B. Caffo, The
American Statistician 54 (2000); A. Agresti, M. Bini, B. Bertaccini, E. Ryu, Biometrics 64 (2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator

SELECTION_RATE, TRUE_POSITIVE_RATE, FALSE_POSITIVE_RATE = (
    "selection rate",
    "true positive rate",
    "false positive rate",
)
DECIMALS = 12
"""Beyond these, a difference such as 0.4 - 0.3 is the error of floating-point numbers."""
FEW = 10
"""Up to how many groups all pairs are looked at in all resamples at once."""
SAFETY = 1e-9
"""By what share a bound is relaxed, so that rounding leaves out no pair."""


@dataclass(frozen=True)
class Disparity:
    """A measure of how differently groups are treated.

    Attributes:
        name: The name that Fairlearn gives it.
        rates: The rates that are compared; the worst of them counts.
        ratio: Whether the least rate is divided by the greatest, rather than subtracted from it.
    """

    name: str
    rates: tuple[str, ...]
    ratio: bool = False

    @property
    def limit(self) -> str:
        """The name of its limit."""
        return f"{'min' if self.ratio else 'max'}_{self.name}"


DISPARITIES = (
    Disparity("demographic_parity_difference", (SELECTION_RATE,)),
    Disparity("demographic_parity_ratio", (SELECTION_RATE,), ratio=True),
    Disparity("equalized_odds_difference", (TRUE_POSITIVE_RATE, FALSE_POSITIVE_RATE)),
    Disparity("equal_opportunity_difference", (TRUE_POSITIVE_RATE,)),
    Disparity("false_positive_rate_difference", (FALSE_POSITIVE_RATE,)),
)


@dataclass(frozen=True)
class Rate:
    """A rate in each of some groups.

    Attributes:
        hits: The rows predicted positive, shape (groups,).
        trials: The rows that the rate is a share of, shape (groups,); each above 0.
    """

    hits: ndarray
    trials: ndarray

    @property
    def values(self) -> ndarray:
        """The rate of each group."""
        return self.hits / self.trials

    def of(self, groups: ndarray) -> Rate:
        """Return the rate of some groups, by their positions."""
        return Rate(self.hits[groups], self.trials[groups])


def disparity(rates: Sequence[Rate], ratio: bool) -> float | None:
    """Return the worst disparity of some rates, to 12 decimals; None for a ratio of rates that are all 0.

    Args:
        rates: The rates, each of at least two groups.
        ratio: Whether to divide the least by the greatest, rather than subtract.
    """
    ends = [(float(rate.values.min()), float(rate.values.max())) for rate in rates]
    if not ratio:
        return round(max(high - low for low, high in ends), DECIMALS)
    if not all(high for _, high in ends):
        return None
    return round(min(low / high for low, high in ends), DECIMALS)


def disparity_interval(
    rates: Sequence[Rate], ratio: bool, samples: int, confidence: float, generator: Generator
) -> tuple[float, float]:
    """Return a confidence interval of the worst disparity of some rates; the module says how.

    Args:
        rates: The rates, each of at least two groups.
        ratio: As for `disparity`.
        samples: Number of resamples.
        confidence: Confidence level, between 0 and 1.
        generator: The source of chance.
    """
    import numpy as np

    estimates = [_estimate(rate, ratio) for rate in rates]
    deviations = np.max(
        [
            _greatest_deviations(rate, variances, ratio, samples, generator)
            for rate, (_, variances) in zip(rates, estimates, strict=True)
        ],
        axis=0,
    )
    reach = float(np.quantile(deviations, confidence))
    ends = [_greatest_ends(values, variances, reach) for values, variances in estimates]
    low, high = (max(each) for each in zip(*ends, strict=True))
    if ratio:
        low, high = float(np.exp(-high)), float(np.exp(-max(low, 0.0)))
    observed = disparity(rates, ratio)
    if observed is not None:
        low, high = min(low, observed), max(high, observed)
    return max(0.0, low), min(1.0, high)


def _shrunk(rate: Rate) -> ndarray:
    return (rate.hits + 1) / (rate.trials + 2)


def _estimate(rate: Rate, ratio: bool) -> tuple[ndarray, ndarray]:
    """Return the rate (or its logarithm) of each group, and its variance."""
    import numpy as np

    shares = _shrunk(rate)
    variances = shares * (1 - shares) / (rate.trials + 2)
    return (np.log(shares), variances / shares**2) if ratio else (shares, variances)


def _greatest_ends(values: ndarray, variances: ndarray, reach: float) -> tuple[float, float]:
    """Return the greatest lower and the greatest upper end of the gaps of all pairs of groups."""
    import numpy as np

    low, high = [], []
    for place in range(len(values) - 1):
        gaps = abs(values[place] - values[place + 1 :])
        reaches = reach * np.sqrt(variances[place] + variances[place + 1 :])
        low.append(float((gaps - reaches).max()))
        high.append(float((gaps + reaches).max()))
    return max(low), max(high)


def _greatest_deviations(rate: Rate, variances: ndarray, ratio: bool, samples: int, generator: Generator) -> ndarray:
    """Return, for each resample, the greatest deviation of a pair's gap from what it was, in standard errors."""
    import numpy as np

    shares, trials = _shrunk(rate), rate.trials + 2
    hits = generator.binomial(trials, shares, size=(samples, len(shares)))
    drawn = np.log(hits.clip(0.5) / trials) - np.log(shares) if ratio else hits / trials - shares
    if len(shares) > FEW:
        return np.array([greatest_deviation(values, variances) for values in drawn])
    first, second = np.triu_indices(len(shares), 1)
    return (abs(drawn[:, first] - drawn[:, second]) / np.sqrt(variances[first] + variances[second])).max(axis=1)


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
