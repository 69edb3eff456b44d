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
from typing import TYPE_CHECKING

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
BLOCK = 2_000_000
"""How many deviations of pairs are held in memory at once."""


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

    pairs = [_pairs(rate, ratio) for rate in rates]
    deviations = np.max(
        [
            _greatest_deviations(rate, errors, ratio, samples, generator)
            for rate, (_, errors) in zip(rates, pairs, strict=True)
        ],
        axis=0,
    )
    reach = float(np.quantile(deviations, confidence))
    low = max(float((gaps - reach * errors).max()) for gaps, errors in pairs)
    high = max(float((gaps + reach * errors).max()) for gaps, errors in pairs)
    if ratio:
        low, high = float(np.exp(-high)), float(np.exp(-max(low, 0.0)))
    observed = disparity(rates, ratio)
    if observed is not None:
        low, high = min(low, observed), max(high, observed)
    return max(0.0, low), min(1.0, high)


def _shrunk(rate: Rate) -> ndarray:
    return (rate.hits + 1) / (rate.trials + 2)


def _pairs(rate: Rate, ratio: bool) -> tuple[ndarray, ndarray]:
    """Return the gap between the rates (or their logarithms) of each pair of groups, and its standard error."""
    import numpy as np

    shares = _shrunk(rate)
    variances = shares * (1 - shares) / (rate.trials + 2)
    if ratio:
        shares, variances = np.log(shares), variances / shares**2
    first, second = np.triu_indices(len(shares), 1)
    return abs(shares[first] - shares[second]), np.sqrt(variances[first] + variances[second])


def _greatest_deviations(rate: Rate, errors: ndarray, ratio: bool, samples: int, generator: Generator) -> ndarray:
    """Return, for each resample, the greatest deviation of a pair's gap from what it was, in standard errors."""
    import numpy as np

    shares, trials = _shrunk(rate), rate.trials + 2
    hits = generator.binomial(trials, shares, size=(samples, len(shares)))
    drawn = np.log(hits.clip(0.5) / trials) - np.log(shares) if ratio else hits / trials - shares
    first, second = np.triu_indices(len(shares), 1)
    blocks = np.array_split(drawn, max(1, samples * len(errors) // BLOCK))
    return np.concatenate([(abs(block[:, first] - block[:, second]) / errors).max(axis=1) for block in blocks])
