"""Whether a challenger is better than the champion, not worse, or as good, on the same rows.

A question is answered by the confidence interval of the challenger's advantage, which is a test with a one-sided level
of half of what the confidence leaves: 2.5 % at 95 %.

- **superiority**: the advantage is above 0.
- **non-inferiority**: it is above minus the margin.
- **equivalence**: it is between minus the margin and the margin (two one-sided tests).

Four kinds of metric, four paired intervals:

- **Shares of rows that are predicted rightly** (accuracy, recall): Bonett and Price's interval of two proportions on
  the same rows. Like McNemar's test it rests on the rows that one model alone gets right; unlike it, it answers a
  question with a margin. Its error is at most 3 % where 2.5 % is meant, and McNemar's exact test is weaker.
- **Other functions of the confusion counts** (balanced accuracy, precision, F1): the percentile bootstrap of the joint
  counts, label by one prediction by the other; where too few resamples lie beyond its ends, the normal interval.
- **Means of losses** (log loss, Brier score, mean absolute error): Hall's interval of the mean of the rows'
  differences, which is as skewed as they are.
- **Everything else**: the normal interval from the difference of the rows' influences; DeLong's for ROC AUC. Of two
  different models without any error seen it is as long as Wilson's of the smaller class, for their influences are 0.

Sources: D. Bonett, R. Price, Journal of Educational and Behavioral Statistics 37 (2012); M. Fagerland, S. Lydersen,
P. Laake, Statistics in Medicine 33 (2014), on tests of paired proportions; P. Hall, Journal of the Royal Statistical
Society B 54 (1992), on means of skewed values; D. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15
(1987), on equivalence; G. Piaggio and others, JAMA 308 (2012), on non-inferiority.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.measures import (
    LEAST_ROWS,
    LOGIT,
    MEAN,
    Interval,
    JointCounts,
    Metric,
    enough_rows,
    fewest_rows,
    influences_of,
    joint_counts,
    mean_interval,
    normal_quantile,
    percentile_interval,
    require_metric,
    require_resampling,
    value_of,
    wilson_interval,
)

if TYPE_CHECKING:
    from numpy import ndarray


LEAST_TAIL = 10
"""The fewest resamples beyond each end of a percentile interval; with fewer, the normal interval stands in."""


class Question(StrEnum):
    """What is asked of a challenger."""

    SUPERIORITY = "superiority"
    NON_INFERIORITY = "non_inferiority"
    EQUIVALENCE = "equivalence"

    @classmethod
    def named(cls, name: str, what: str) -> Question:
        """Return a question by its name.

        Raises:
            InputError: If there is no such question; `what` is the parameter that named it.
        """
        known = [str(question) for question in cls]
        if name not in known:
            raise InputError(f"{what} must be one of {', '.join(known)}; got {name!r}.", nearest(name, known))
        return cls(name)

    def bounds(self, margin: float) -> tuple[float, float | None]:
        """Return the least and, of equivalence, the greatest advantage that answers it with yes."""
        if self is Question.SUPERIORITY:
            return 0.0, None
        return -margin, margin if self is Question.EQUIVALENCE else None

    def answer(self, interval: Interval, margin: float) -> Status:
        """Return `pass` for a shown yes, `fail` for a shown no, and else `inconclusive`.

        Args:
            interval: The confidence interval of the advantage.
            margin: The difference that matters, at least 0; superiority does not ask it.
        """
        low, high = interval
        if self is Question.SUPERIORITY:
            return Status.PASS if low > 0 else Status.FAIL if high <= 0 else Status.INCONCLUSIVE
        least, greatest = self.bounds(margin)
        greatest = math.inf if greatest is None else greatest
        if low >= least and high <= greatest:
            return Status.PASS
        return Status.FAIL if high < least or low > greatest else Status.INCONCLUSIVE


@dataclass(frozen=True)
class Advantage:
    """By how much a challenger is better than the champion on the same rows.

    Attributes:
        difference: Positive when the challenger is better, whichever way the metric runs.
        interval: Its paired confidence interval.
        error: Its standard error.
        rows: The number of rows.
    """

    difference: float
    interval: Interval
    error: float
    rows: int

    def rows_needed(self, question: Question, margin: float, power: float, confidence: float) -> int | None:
        """Return how many rows like these show a yes with the wanted power, when the truth is a plain yes.

        A plain yes is a challenger that is as good as the champion, and for superiority one that is better by the
        margin. None when the margin is 0: no number of rows would do.
        """
        if margin == 0:
            return None
        sides = 2 if question is Question.EQUIVALENCE else 1
        quantiles = normal_quantile(confidence) + NormalDist().inv_cdf(1 - (1 - power) / sides)
        return max(1, math.ceil(self.rows * (self.error * max(quantiles, 0.0) / margin) ** 2))


def require_comparable(name: str, task: str, role: str = "A metric") -> Metric:
    """Return a metric that two models can be compared by; see `require_metric`.

    Raises:
        InputError: If there is no such metric for the task, or its differences are not to be trusted.
    """
    metric = require_metric(name, task, role)
    if metric.bias is not None:
        raise InputError(
            f"{role} must be a metric to compare by; got {name!r}.", "Compare by brier_score or log_loss in its place."
        )
    return metric


def advantage(
    challenger: Predictions,
    champion: Predictions,
    name: str,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Advantage | None:
    """Return by how much the challenger is better than the champion on the same rows, with a paired interval.

    Args:
        challenger: What the one model said.
        champion: What the other said of the same rows, with the same task and classes.
        name: The metric to compare.
        samples: Number of resamples behind an interval that rests on a bootstrap.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.

    Returns:
        The advantage; None when the metric is undefined for either or has too few rows for an interval.

    Raises:
        InputError: If the metric is unknown, or the number of samples or the confidence cannot be used.
    """
    require_resampling(samples, confidence)
    metric = require_comparable(name, challenger.task)
    sign = 1.0 if metric.greater_is_better else -1.0
    if metric.of_counts is None:
        return _of_influences(metric, challenger, champion, sign, confidence)
    first, second = value_of(metric, challenger), value_of(metric, champion)
    if first is None or second is None or len(challenger.label) < LEAST_ROWS:
        return None
    joint, difference = joint_counts(challenger, champion), sign * (first - second)
    if metric.right_of is None:
        return _of_counts(metric, joint, difference, sign, samples, confidence, seed)
    return _of_shares(joint, metric.right_of, difference, confidence)


def _of_influences(
    metric: Metric, challenger: Predictions, champion: Predictions, sign: float, confidence: float
) -> Advantage | None:
    first, second = influences_of(metric, challenger), influences_of(metric, champion)
    if first is None or second is None or not enough_rows(metric, challenger):
        return None
    influences = sign * (first[1] - second[1])
    error = math.sqrt(float((influences**2).sum()))
    difference, reach = sign * (first[0] - second[0]), normal_quantile(confidence) * error
    if metric.scale == MEAN:
        interval = mean_interval(difference, influences, confidence)
        return Advantage(difference, interval, error, len(challenger.label))
    if metric.scale == LOGIT and first[0] == second[0] in (0.0, 1.0) and not _alike(challenger, champion):
        reach = _unseen(challenger, confidence)
        error = reach / normal_quantile(confidence)
    return Advantage(difference, (difference - reach, difference + reach), error, len(challenger.label))


def _alike(challenger: Predictions, champion: Predictions) -> bool:
    """Return whether both gave the same scores."""
    import numpy as np

    return np.array_equal(np.asarray(challenger.score), np.asarray(champion.score))


def _unseen(predictions: Predictions, confidence: float) -> float:
    """Return how far an area without an error seen may be from 1: as Wilson's interval of the smaller class says."""
    fewest = fewest_rows(predictions)
    interval = wilson_interval(fewest, fewest, confidence)
    assert interval is not None
    return 1 - interval[0]


def _of_shares(joint: JointCounts, classes: slice, difference: float, confidence: float) -> Advantage:
    """Bonett and Price's interval: one row more that each model alone gets right, and so two more in all."""
    import numpy as np

    true, first, second = joint.cells
    counted = np.where(np.isin(true, np.arange(joint.classes)[classes]), joint.rows, 0)
    by_first, by_second = counted[first == true].sum(), counted[second == true].sum()
    by_both = counted[(first == true) & (second == true)].sum()
    rows = float(counted.sum()) + 2
    gain, loss = (by_first - by_both + 1) / rows, (by_second - by_both + 1) / rows
    error = math.sqrt((gain + loss - (gain - loss) ** 2) / rows)
    reach = normal_quantile(confidence) * error
    interval = max(-1.0, gain - loss - reach), min(1.0, gain - loss + reach)
    return Advantage(difference, _around(interval, difference), error, int(joint.rows.sum()))


def _of_counts(
    metric: Metric, joint: JointCounts, difference: float, sign: float, samples: int, confidence: float, seed: int
) -> Advantage | None:
    import numpy as np

    of_counts = metric.of_counts
    assert of_counts is not None

    def differences(first: ndarray, second: ndarray) -> ndarray:
        return sign * (of_counts(first) - of_counts(second))

    resampled = joint.resample(differences, samples, seed)
    interval, error = percentile_interval(resampled, confidence), float(np.nanstd(resampled))
    if interval is None or not error:
        return None
    if samples * (1 - confidence) / 2 < LEAST_TAIL:
        reach = normal_quantile(confidence) * error
        interval = max(-metric.span, difference - reach), min(metric.span, difference + reach)
    return Advantage(difference, _around(interval, difference), error, int(joint.rows.sum()))


def _around(interval: Interval, difference: float) -> Interval:
    """Return an interval that was drawn towards 0, widened to hold the difference that was seen."""
    return min(interval[0], difference), max(interval[1], difference)
