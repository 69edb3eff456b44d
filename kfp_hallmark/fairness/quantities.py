"""What is compared between groups: a rate, a function of rates, or an estimate with a standard error.

Each knows its value in every group, how many rows stand behind it, an interval of each group for itself (`ends`), and,
where differences between groups are asked for, how it scatters (`scaled`, `resampled`).

Sources: E. Wilson, Journal of the American Statistical Association 22 (1927), on the interval of a share; P. Hall,
Journal of the Royal Statistical Society B 54 (1992), on that of a mean of losses; G. Zou and A. Donner, Statistics in
Medicine 27 (2008), on that of a sum from those of its parts; A. Agresti and B. Caffo, The American Statistician 54
(2000), on the pseudo-rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from kfp_hallmark.measures import IDENTITY, LOGIT, REST, normal_quantile, skewed_interval, wilson_interval

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator

Ends = tuple["ndarray", "ndarray"]


@dataclass(frozen=True)
class Rate:
    """A share of the rows of each of some groups.

    Attributes:
        hits: The rows that count, shape (groups,).
        trials: The rows that it is a share of, shape (groups,).
    """

    hits: ndarray
    trials: ndarray

    @property
    def values(self) -> ndarray:
        """The share of each group; NaN without trials."""
        import numpy as np

        return np.divide(self.hits, self.trials, out=np.full(len(self.hits), np.nan), where=self.trials > 0)

    def of(self, groups: ndarray) -> Rate:
        """Return the rate of some groups, by their positions."""
        return Rate(self.hits[groups], self.trials[groups])

    def ends(self, confidence: float) -> Ends:
        """Return Wilson's interval of each group; without trials, from 0 to 1."""
        import numpy as np

        pairs = zip(self.hits.tolist(), self.trials.tolist(), strict=True)
        found = np.array([wilson_interval(hits, trials, confidence) or (0.0, 1.0) for hits, trials in pairs])
        return found[:, 0], found[:, 1]

    def scaled(self, ratio: bool) -> tuple[ndarray, ndarray]:
        """Return the rate (or its logarithm) of each group with a pseudo-row of each outcome, and its variance."""
        import numpy as np

        shares = self._shrunk
        variances = shares * (1 - shares) / (self.trials + 2)
        return (np.log(shares), variances / shares**2) if ratio else (shares, variances)

    def resampled(self, ratio: bool, samples: int, generator: Generator) -> ndarray:
        """Return by how much each group's rate (or its logarithm) is off in each resample, shape (groups, samples)."""
        import numpy as np

        shares, trials = self._shrunk[:, None], self.trials[:, None] + 2
        hits = generator.binomial(trials, shares, size=(len(shares), samples))
        return np.log(hits.clip(0.5) / trials) - np.log(shares) if ratio else hits / trials - shares

    @property
    def _shrunk(self) -> ndarray:
        return (self.hits + 1) / (self.trials + 2)


@dataclass(frozen=True)
class F1Score:
    """The F1 score of each of some groups: 2 J / (1 + J), with J the share of true positives among relevant rows.

    Attributes:
        share: J; its trials are the rows that are positive or predicted positive.
    """

    share: Rate

    @property
    def values(self) -> ndarray:
        """The score of each group."""
        return _f1(self.share.values)

    @property
    def trials(self) -> ndarray:
        """The rows that are positive or predicted positive."""
        return self.share.trials

    def of(self, groups: ndarray) -> F1Score:
        """Return the score of some groups, by their positions."""
        return F1Score(self.share.of(groups))

    def ends(self, confidence: float) -> Ends:
        """Return the interval of each group, from that of the share."""
        low, high = self.share.ends(confidence)
        return _f1(low), _f1(high)


def _f1(share: ndarray) -> ndarray:
    return 2 * share / (1 + share)


@dataclass(frozen=True)
class BalancedAccuracy:
    """The mean of the recalls of all classes, of each of some groups.

    Attributes:
        recalls: The recall of each class.
    """

    recalls: Sequence[Rate]

    @property
    def values(self) -> ndarray:
        """The mean recall of each group."""
        import numpy as np

        return np.mean([recall.values for recall in self.recalls], axis=0)

    @property
    def trials(self) -> ndarray:
        """The rows of the rarest class."""
        import numpy as np

        return np.min([recall.trials for recall in self.recalls], axis=0)

    def of(self, groups: ndarray) -> BalancedAccuracy:
        """Return the mean recall of some groups, by their positions."""
        return BalancedAccuracy([recall.of(groups) for recall in self.recalls])

    def ends(self, confidence: float) -> Ends:
        """Return the interval of each group, from those of the recalls."""
        import numpy as np

        values, below, above = self.values, [], []
        for recall in self.recalls:
            low, high = recall.ends(confidence)
            below.append(recall.values - low)
            above.append(high - recall.values)
        reach = [np.sqrt(np.sum(np.square(side), axis=0)) / len(self.recalls) for side in (below, above)]
        return values - reach[0], values + reach[1]


@dataclass(frozen=True)
class Estimate:
    """A quantity of each of some groups that is not a function of counts, with its variance.

    Attributes:
        values: Shape (groups,).
        variances: Shape (groups,).
        trials: The rows behind it, shape (groups,).
        scale: The scale on which the interval of a group is symmetric: `identity`, `logit` or `rest`.
        thirds: Of means of losses: their third central moments, shape (groups,); the interval is as skewed as they are.
    """

    values: ndarray
    variances: ndarray
    trials: ndarray
    scale: str = IDENTITY
    thirds: ndarray | None = None

    def of(self, groups: ndarray) -> Estimate:
        """Return the estimate of some groups, by their positions."""
        thirds = None if self.thirds is None else self.thirds[groups]
        return Estimate(self.values[groups], self.variances[groups], self.trials[groups], self.scale, thirds)

    def ends(self, confidence: float) -> Ends:
        """Return the normal interval of each group on its scale; of a share of 0 or 1, Wilson's; of losses, Hall's."""
        import numpy as np

        values, reach = self.values, normal_quantile(confidence) * np.sqrt(self.variances)
        if self.thirds is not None:
            moments = zip(values.tolist(), self.variances.tolist(), self.thirds.tolist(), strict=True)
            found = np.array([skewed_interval(*each, confidence) for each in moments])
            return found[:, 0].clip(0), found[:, 1]
        if self.scale == REST:
            rest = 1 - values
            factor = np.exp(np.divide(reach, rest, out=np.zeros(len(values)), where=rest > 0))
            return 1 - rest * factor, 1 - rest / factor
        if self.scale != LOGIT:
            return values - reach, values + reach
        low, high = Rate(values.round() * self.trials, self.trials).ends(confidence)
        inner = (values > 0) & (values < 1)
        centre = np.log(values[inner] / (1 - values[inner]))
        reach = reach[inner] / (values[inner] * (1 - values[inner]))
        low[inner], high[inner] = 1 / (1 + np.exp(reach - centre)), 1 / (1 + np.exp(-reach - centre))
        return low, high

    def scaled(self, ratio: bool) -> tuple[ndarray, ndarray]:
        """Return the value of each group, and its variance."""
        assert not ratio
        return self.values, self._spread

    def resampled(self, ratio: bool, samples: int, generator: Generator) -> ndarray:
        """Return by how much each group's value is off in each resample by Student's t, shape (groups, samples)."""
        import numpy as np

        drawn = student_of_normal(generator.standard_normal((len(self.values), samples)), self.trials[:, None] - 1)
        return drawn * np.sqrt(self._spread)[:, None]

    @cached_property
    def _spread(self) -> ndarray:
        """The variances; of a share of 0 or 1, that with a pseudo-row of each outcome."""
        import numpy as np

        if self.scale != LOGIT:
            return self.variances.clip(np.finfo(float).tiny)
        shares = (self.values * self.trials + 1) / (self.trials + 2)
        least = np.where(self.variances > 0, 0.0, shares * (1 - shares) / (self.trials + 2))
        return np.maximum(self.variances, least)


def student_of_normal(normal: ndarray, freedom: ndarray) -> ndarray:
    """Return the quantiles of Student's t where the normal distribution has the given ones: quicker than drawing them.

    Off by less than 0.001 of a quantile of up to 4 at 19 degrees of freedom, and less the more there are.

    Source: M. Abramowitz, I. Stegun, Handbook of Mathematical Functions (1964), 26.7.5.
    """
    square, share = normal**2, 1 / freedom
    found = share**3 * 3 / 384
    for other in (
        share**2 * 5 / 96 + share**3 * 19 / 384,
        share / 4 + share**2 * 16 / 96 + share**3 * 17 / 384,
        1 + share / 4 + share**2 * 3 / 96 - share**3 * 15 / 384,
    ):
        found = found * square
        found += other
    return found * normal


@dataclass(frozen=True)
class RelativeRate:
    """A share of the rows of each of some groups, divided by what it is compared with.

    Attributes:
        rate: The share.
        reference: What it is compared with, above 0, shape (groups,).
    """

    rate: Rate
    reference: ndarray

    @property
    def values(self) -> ndarray:
        """The ratio of each group."""
        return self.rate.values / self.reference

    @property
    def trials(self) -> ndarray:
        """The rows that the share is of."""
        return self.rate.trials

    def of(self, groups: ndarray) -> RelativeRate:
        """Return the ratio of some groups, by their positions."""
        return RelativeRate(self.rate.of(groups), self.reference[groups])

    def ends(self, confidence: float) -> Ends:
        """Return the interval of each group, from that of the share."""
        low, high = self.rate.ends(confidence)
        return low / self.reference, high / self.reference


Quantity = Rate | F1Score | BalancedAccuracy | Estimate | RelativeRate
