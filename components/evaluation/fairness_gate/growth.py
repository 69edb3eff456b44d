"""By how much disparities have grown over the champion's, on the same rows.

A disparity is the greatest gap between any two groups, so its growth is not a smooth function of the rows and a plain
bootstrap of it errs. The interval comes from all pairs at once, as that of a disparity does: bounds that hold together
for the gaps of the model, those of the champion, and their changes, which the same rows make precise. With G a gap of
the model, H the same of the champion, and a dash for the greatest of all pairs, G' - H' is at most the greatest of
G - H' over the pairs, and each of these is at most G's upper end less the lower end of H', and at most the greatest
|G| - |H| within the bounds. The lower end is the same with the models swapped.
Shares get two pseudo-rows, half a row for each pair of outcomes, which is Agresti and Caffo's one of each for either.
The areas under the curves covary as DeLong, DeLong and Clarke-Pearson (Biometrics 44 (1988)) tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.fairness.disparity import greatest_deviations
from kfp_hallmark.fairness.registry import (
    ACCURACY,
    DIFFERENCE,
    ERROR_RATE,
    FALSE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    MEAN_ABSOLUTE_ERROR,
    MEAN_PREDICTION,
    MEAN_SCORE,
    PRECISION,
    ROC_AUC,
    SELECTION_RATE,
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
    """Return whether growth can be judged: of differences."""
    judged = (*SHARES, *MEANS, *INFLUENCED)
    return measure.statistic == DIFFERENCE and all(name in judged for name in measure.quantities)


@dataclass(frozen=True)
class Paired:
    """What two models come to on the same rows, in each of some groups.

    Attributes:
        means: The model's value and the champion's, shape (2, groups).
        covariances: Of the two, shape (groups, 2, 2).
    """

    means: ndarray
    covariances: ndarray


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
    return Paired(means, spread / (count if smooth else count - 1)[:, None, None])


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


def growth_interval(compared: Sequence[Paired], samples: int, confidence: float, generator: Generator) -> Interval:
    """Return the interval of the model's greatest gap less the champion's; the module says how.

    Args:
        compared: What is compared, each of at least two groups.
        samples: Number of resamples.
        confidence: Confidence level, between 0 and 1.
        generator: The source of chance.
    """
    import numpy as np

    deviations = np.max([_deviations(each, samples, generator) for each in compared], axis=0)
    reach = float(np.quantile(deviations, confidence))
    model, champion, change = (
        np.concatenate(parts, axis=1) for parts in zip(*(_bounds(each, reach) for each in compared), strict=True)
    )
    return -_most(champion, model, -change[::-1]), _most(model, champion, change)


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
    model = generator.normal(size=(len(variances[0]), samples)) * np.sqrt(variances[0])[:, None]
    slope = each.covariances[:, 0, 1] / variances[0]
    rest = (variances[1] - slope**2 * variances[0]).clip(0)
    champion = slope[:, None] * model + generator.normal(size=model.shape) * np.sqrt(rest)[:, None]
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


def _most(model: ndarray, champion: ndarray, change: ndarray) -> float:
    """Return the most that the greatest gap of one model can be above that of the other."""
    import numpy as np

    least = max(0.0, float(champion[0].max()), float(-champion[1].min()))
    greatest = abs(model).max(axis=0)
    up, down = change[1], -change[0]
    at_least = np.where(champion[0] > 0, champion[0], np.where(champion[1] < 0, -champion[1], 0.0))
    forward = np.maximum(up, down - 2 * at_least)
    backward = np.maximum(down, up - 2 * at_least)
    alone = np.where(champion[0] > 0, forward, np.where(champion[1] < 0, backward, np.maximum(up, down)))
    return float(np.minimum(greatest - least, alone).max())
