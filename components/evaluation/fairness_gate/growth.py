"""By how much disparities are worse than the champion's, on the same rows: differences greater, ratios less.

A difference is the greatest gap between any two groups, so its growth is not a smooth function of the rows and a plain
bootstrap of it errs. The interval comes from all pairs at once, as that of a disparity does: bounds that hold together
for the gaps of the model, those of the champion, and their changes, which the same rows make precise. With G a gap of
the model, H the same of the champion, and a dash for the greatest of all pairs, G' - H' is at most the greatest of
G - H' over the pairs, and each of these is at most G's upper end less the lower end of H', and at most the greatest
|G| - |H| within the bounds. The lower end is the same with the models swapped.

A ratio grows worse by falling. With gaps of logarithms, the model's ratio is exp(-G'), the champion's exp(-H'), and the
fall exp(-H') - exp(-G') is greatest where one of the bounds of G', H' and G' - H' ends.

Shares get two pseudo-rows, half a row for each pair of outcomes, which is Agresti and Caffo's one of each for either.
Their logarithms are not normal where they are small, so there the pairs of outcomes are resampled; all else is drawn
from the normal distribution. The areas under the curves covary as DeLong, DeLong and Clarke-Pearson (Biometrics 44
(1988)) tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.fairness.disparity import greatest_deviations
from kfp_hallmark.fairness.registry import (
    ACCURACY,
    ERROR_RATE,
    FALSE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    MEAN_ABSOLUTE_ERROR,
    MEAN_PREDICTION,
    MEAN_SCORE,
    PRECISION,
    ROC_AUC,
    SELECTION_RATE,
    SPREADS,
    TRUE_NEGATIVE_RATE,
    TRUE_POSITIVE_RATE,
    Disparity,
)
from kfp_hallmark.measures import METRICS, Interval, influences_of, select

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator

SHARES = (
    SELECTION_RATE,
    TRUE_POSITIVE_RATE,
    TRUE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    FALSE_NEGATIVE_RATE,
    ACCURACY,
    ERROR_RATE,
)
MEANS = (MEAN_SCORE, MEAN_PREDICTION, MEAN_ABSOLUTE_ERROR)
INFLUENCED = (PRECISION, ROC_AUC)
"""What is no mean of the same rows: its covariance is the sum of the products of both models' influences."""


def can_grow(measure: Disparity) -> bool:
    """Return whether it can be judged how much worse a disparity is: of differences and ratios."""
    judged = (*SHARES, *MEANS, *INFLUENCED)
    return measure.statistic in SPREADS and all(name in judged for name in measure.quantities)


@dataclass(frozen=True)
class Paired:
    """What two models come to on the same rows, in each of some groups.

    Attributes:
        means: The model's value and the champion's, shape (2, groups).
        covariances: Of the two, shape (groups, 2, 2).
        outcomes: Of shares, the rows that count by both models, by this one alone, by the champion alone and by
            neither, half a pseudo-row among each, shape (groups, 4).
    """

    means: ndarray
    covariances: ndarray
    outcomes: ndarray | None = None

    def drawn(self, samples: int, generator: Generator) -> tuple[ndarray, ndarray]:
        """Return by how much each model is off in each resample, both of shape (groups, samples)."""
        import numpy as np

        first, second, shared = (self.covariances[:, *place] for place in ((0, 0), (1, 1), (0, 1)))
        first = first.clip(np.finfo(float).tiny)
        model = generator.normal(size=(len(first), samples)) * np.sqrt(first)[:, None]
        slope = shared / first
        rest = (second - slope**2 * first).clip(0)
        return model, slope[:, None] * model + generator.normal(size=model.shape) * np.sqrt(rest)[:, None]


class Logarithms(Paired):
    """The same of logarithms, to the first order; shares are resampled."""

    @classmethod
    def of(cls, given: Paired) -> Logarithms:
        """Return the logarithms of means."""
        import numpy as np

        products = given.means.T[:, :, None] * given.means.T[:, None, :]
        return cls(np.log(given.means), given.covariances / products, given.outcomes)

    def drawn(self, samples: int, generator: Generator) -> tuple[ndarray, ndarray]:
        """Return by how much each model is off in each resample, both of shape (groups, samples)."""
        import numpy as np

        if self.outcomes is None:
            return super().drawn(samples, generator)
        rows = np.rint(self.outcomes.sum(axis=1)).astype(int)
        cells = generator.multinomial(rows, self.outcomes / rows[:, None], size=(samples, len(rows)))
        hits = cells[..., 0] + cells[..., 1], cells[..., 0] + cells[..., 2]
        model, champion = (
            (np.log(each.clip(0.5) / rows) - mean).T for each, mean in zip(hits, self.means, strict=True)
        )
        return model, champion


def paired(name: str, model: Predictions, champion: Predictions, codes: ndarray, places: ndarray, of: object) -> Paired:
    """Return what is compared by both models, in some groups.

    Args:
        name: What is compared.
        model: What the model said.
        champion: What the champion said of the same rows.
        codes: Each row's group, shape (rows,).
        places: The groups to return, each with at least two of the rows that it rests on.
        of: The class that is held against the rest; unused by what is of all.
    """
    import numpy as np

    if name in INFLUENCED:
        return _paired_by_influences(name, model, champion, codes, places, of)
    rows = row_mask(name, model, of)
    first, second = (row_values(name, each, of)[rows].astype(float) for each in (model, champion))
    codes, size = codes[rows], int(places.max()) + 1

    def total(values: ndarray | None = None) -> ndarray:
        return np.bincount(codes, values, size)[places]

    codes, first, second = (each[codes < size] for each in (codes, first, second))
    smooth = name in SHARES
    count = total() + 2 * smooth
    means = np.stack([total(values) + smooth for values in (first, second)]) / count
    crossed = total(first * second) + 0.5 * smooth
    squares = [total(values**2) + smooth for values in (first, second)]
    moments = np.stack([squares[0], crossed, crossed, squares[1]], axis=1).reshape(-1, 2, 2) / count[:, None, None]
    spread = moments - means.T[:, :, None] * means.T[:, None, :]
    covariances = spread / (count if smooth else count - 1)[:, None, None]
    if not smooth:
        return Paired(means, covariances)
    hits = means * count
    return Paired(
        means, covariances, np.stack([crossed, *(hits - crossed), count - hits.sum(axis=0) + crossed], axis=1)
    )


def _paired_by_influences(
    name: str, model: Predictions, champion: Predictions, codes: ndarray, places: ndarray, of: object
) -> Paired:
    import numpy as np

    influences = _area_influences if name == ROC_AUC else _precision_influences
    means, covariances = [], []
    for place in places.tolist():
        rows = np.flatnonzero(codes == place)
        values, found = zip(*(influences(select(each, rows), of) for each in (model, champion)), strict=True)
        means.append(values)
        covariances.append(np.array(found) @ np.array(found).T)
    return Paired(np.array(means).T, np.array(covariances))


def _area_influences(predictions: Predictions, of: object) -> tuple[float, ndarray]:
    found = influences_of(METRICS["roc_auc"], predictions)
    assert found is not None
    return found


def _precision_influences(predictions: Predictions, of: object) -> tuple[float, ndarray]:
    """Return the precision with a pseudo-row of each outcome, and each row's influence, these two among them."""
    import numpy as np

    said = np.append(predictions.prediction == of, [True, True])
    right = np.append(predictions.label == of, [True, False])
    value = float(right[said].mean())
    return value, said * (right - value) / said.sum()


def row_mask(name: str, predictions: Predictions, of: object) -> ndarray:
    """Return the rows that something rests on, bool of shape (rows,)."""
    import numpy as np

    if name in (TRUE_POSITIVE_RATE, FALSE_NEGATIVE_RATE):
        return predictions.label == of
    if name in (TRUE_NEGATIVE_RATE, FALSE_POSITIVE_RATE):
        return predictions.label != of
    return np.ones(len(predictions.label), dtype=bool)


def row_values(name: str, predictions: Predictions, of: object) -> ndarray:
    """Return the value of each row whose mean is compared, shape (rows,)."""
    if name == MEAN_SCORE:
        assert predictions.score is not None
        return predictions.score
    if name == MEAN_PREDICTION:
        return predictions.prediction
    if name == MEAN_ABSOLUTE_ERROR:
        return abs(predictions.prediction.astype(float) - predictions.label.astype(float))
    if name in (ACCURACY, ERROR_RATE):
        return (predictions.prediction == predictions.label) == (name == ACCURACY)
    said = predictions.prediction == of
    return ~said if name in (TRUE_NEGATIVE_RATE, FALSE_NEGATIVE_RATE) else said


def growth_interval(
    compared: Sequence[Paired], samples: int, confidence: float, generator: Generator, ratio: bool = False
) -> Interval:
    """Return the interval of the model's greatest gap less the champion's; the module says how.

    Args:
        compared: What is compared, each of at least two groups.
        samples: Number of resamples.
        confidence: Confidence level, between 0 and 1.
        generator: The source of chance.
        ratio: Whether to return that of the champion's least ratio less the model's instead.
    """
    import numpy as np

    if ratio:
        compared = [Logarithms.of(each) for each in compared]
    deviations = np.max([_deviations(each, samples, generator) for each in compared], axis=0)
    reach = float(np.quantile(deviations, confidence))
    model, champion, change = (
        np.concatenate(parts, axis=1) for parts in zip(*(_bounds(each, reach) for each in compared), strict=True)
    )
    shrunk, grown = _most(champion, model, -change[::-1]), _most(model, champion, change)
    if not ratio:
        return -shrunk, grown
    spans = _span(model), _span(champion)
    return -most_fallen(*spans[::-1], shrunk), most_fallen(*spans, grown)


def _views(each: Paired) -> tuple[ndarray, ndarray]:
    """Return the model's values, the champion's and their differences, and the variances, both of shape (3, groups)."""
    import numpy as np

    first, second, shared = (each.covariances[:, *place] for place in ((0, 0), (1, 1), (0, 1)))
    variances = np.stack([first, second, first + second - 2 * shared]).clip(np.finfo(float).tiny)
    return np.stack([*each.means, each.means[0] - each.means[1]]), variances


def _deviations(each: Paired, samples: int, generator: Generator) -> ndarray:
    """Return, for each resample, the greatest deviation of a gap of either model, or of its change."""
    import numpy as np

    _, variances = _views(each)
    model, champion = each.drawn(samples, generator)
    drawn = (model, champion, model - champion)
    return np.max([greatest_deviations(view, spread) for view, spread in zip(drawn, variances, strict=True)], axis=0)


def _bounds(each: Paired, reach: float) -> list[ndarray]:
    """Return the lower and upper ends of the gaps of all pairs, shape (2, pairs): model, champion, change."""
    import numpy as np

    first, second = np.triu_indices(each.means.shape[1], 1)
    found = []
    for values, variances in zip(*_views(each), strict=True):
        gaps, reaches = values[first] - values[second], reach * np.sqrt(variances[first] + variances[second])
        found.append(np.stack([gaps - reaches, gaps + reaches]))
    return found


def _span(bounds: ndarray) -> Interval:
    """Return the ends of the greatest gap, from those of the gaps of all pairs, shape (2, pairs)."""
    return max(0.0, float(bounds[0].max()), float(-bounds[1].min())), float(abs(bounds).max())


def most_fallen(model: Interval, champion: Interval, grown: float) -> float:
    """Return the most that exp(-champion) - exp(-model) can be, with the model at most `grown` above the champion."""
    least, greatest = champion
    turn = min(max(model[1] - grown, least), greatest)
    return max(math.exp(-each) - math.exp(-min(model[1], each + grown)) for each in (least, turn, greatest))


def _most(model: ndarray, champion: ndarray, change: ndarray) -> float:
    """Return the most that the greatest gap of one model can be above that of the other."""
    import numpy as np

    least, _ = _span(champion)
    greatest = abs(model).max(axis=0)
    up, down = change[1], -change[0]
    at_least = np.where(champion[0] > 0, champion[0], np.where(champion[1] < 0, -champion[1], 0.0))
    forward = np.maximum(up, down - 2 * at_least)
    backward = np.maximum(down, up - 2 * at_least)
    alone = np.where(champion[0] > 0, forward, np.where(champion[1] < 0, backward, np.maximum(up, down)))
    return float(np.minimum(greatest - least, alone).max())
