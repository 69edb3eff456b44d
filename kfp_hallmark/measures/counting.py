"""Confusion counts, and counts as they would be of resampled rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.predictions import BINARY, Predictions

if TYPE_CHECKING:
    from numpy import ndarray

BLOCK = 4_000_000
"""How many resampled counts are held in memory at once."""


def select(predictions: Predictions, rows: ndarray | None) -> Predictions:
    """Return some rows of predictions, by a mask or by positions; None returns all."""
    if rows is None:
        return predictions
    return replace(
        predictions,
        label=predictions.label[rows],
        prediction=predictions.prediction[rows],
        score=None if predictions.score is None else predictions.score[rows],
    )


def classes_of(predictions: Predictions) -> list[Any]:
    """Return the model's classes, the positive one last when binary, then those that only the data has."""
    known = list(predictions.classes)
    if predictions.task == BINARY:
        return [*(value for value in known if value != predictions.positive_class), predictions.positive_class]
    return known + sorted(set(predictions.label.tolist()) - set(known), key=str)


def codes_of(values: ndarray, classes: Sequence[Any]) -> ndarray:
    """Return the place of each value among the classes; -1 for what is none of them."""
    import numpy as np

    codes = np.full(len(values), -1)
    for code, value in enumerate(classes):
        codes[values == value] = code
    return codes


def crossed(size: int, *codes: ndarray) -> ndarray:
    """Return how often each combination of codes occurs, one axis of `size` for each."""
    import numpy as np

    place = np.zeros(len(codes[0]), dtype=int)
    for code in codes:
        place = place * size + code
    return np.bincount(place, minlength=size ** len(codes)).reshape((size,) * len(codes))


def confusion_counts(predictions: Predictions) -> ndarray:
    """Return the confusion counts, true class by predicted class."""
    if predictions.task == BINARY:
        return crossed(2, predictions.positive_label.astype(int), predictions.positive_prediction.astype(int))
    classes = classes_of(predictions)
    return crossed(len(classes), codes_of(predictions.label, classes), codes_of(predictions.prediction, classes))


@dataclass(frozen=True)
class JointCounts:
    """How often each true class met each prediction of two models; what never occurred is left out.

    Attributes:
        classes: The number of classes.
        cells: True class, the first's prediction and the second's, as codes, shape (3, cells).
        rows: The rows of each cell, shape (cells,).
    """

    classes: int
    cells: ndarray
    rows: ndarray

    def resample(self, statistic: Callable[[ndarray, ndarray], ndarray], samples: int, seed: int) -> ndarray:
        """Return a statistic of resampled counts, shape (samples,).

        One pseudo-row is added a true class, each wrong prediction of it falling on the next class.

        Args:
            statistic: The confusion counts of both models, each of shape (samples, classes, classes), to its values.
            samples: Number of resamples.
            seed: Seed of the resampling.
        """
        import numpy as np

        places, shares = self._smoothed()
        true, *said = np.unravel_index(places, (self.classes,) * 3)
        generator, rows = np.random.default_rng(seed), int(self.rows.sum())
        at_once = max(1, BLOCK // max(self.classes**2, len(places)))
        blocks = []
        for start in range(0, samples, at_once):
            drawn = generator.multinomial(rows, shares, size=min(at_once, samples - start))
            offset = np.arange(len(drawn))[:, None] * self.classes**2
            shape, size = (len(drawn), self.classes, self.classes), len(drawn) * self.classes**2
            both = [
                np.bincount((offset + true * self.classes + each).ravel(), drawn.ravel(), size).reshape(shape)
                for each in said
            ]
            blocks.append(statistic(*both))
        return np.concatenate(blocks)

    def _smoothed(self) -> tuple[ndarray, ndarray]:
        """Return the places of all cells that can be drawn, rising, and the share of each."""
        import numpy as np

        count = self.classes
        true = np.unique(self.cells[0])
        wrong, wrongs = (true + 1) % count, count - 1
        cells = np.concatenate(
            [self.cells, *([true, first, second] for first in (true, wrong) for second in (true, wrong))], axis=1
        )
        pseudo = np.repeat([1, wrongs, wrongs, wrongs**2], len(true)) / count**2
        places = np.ravel_multi_index(cells, (count,) * 3)
        found, place = np.unique(places, return_inverse=True)
        rows = np.bincount(place, np.concatenate([self.rows, pseudo]), len(found))
        return found, rows / rows.sum()


def joint_counts(first: Predictions, second: Predictions) -> JointCounts:
    """Return the counts of true class by the first's prediction by the second's."""
    import numpy as np

    classes = classes_of(first)
    cells = np.array([codes_of(value, classes) for value in (first.label, first.prediction, second.prediction)])
    places, rows = np.unique(np.ravel_multi_index(cells, (len(classes),) * 3), return_counts=True)
    return JointCounts(len(classes), np.array(np.unravel_index(places, (len(classes),) * 3)), rows)


def resample(
    counts: ndarray, statistics: Sequence[Callable[[ndarray], ndarray]], samples: int, seed: int
) -> list[ndarray]:
    """Return each statistic of resampled counts, shape (samples,); one pseudo-row is added a true class present."""
    import numpy as np

    by_class = counts.reshape(len(counts), -1)
    smoothed = by_class + (by_class.sum(axis=1, keepdims=True) > 0) / by_class.shape[1]
    shares = (smoothed / smoothed.sum()).ravel()
    generator, rows = np.random.default_rng(seed), int(counts.sum())
    at_once = max(1, BLOCK // counts.size)
    blocks = []
    for start in range(0, samples, at_once):
        drawn = generator.multinomial(rows, shares, size=min(at_once, samples - start))
        blocks.append([statistic(drawn.reshape(-1, *counts.shape)) for statistic in statistics])
    return [np.concatenate(values) for values in zip(*blocks, strict=True)]


def ratio(above: ndarray, below: ndarray) -> ndarray:
    """Return a ratio, NaN where the lower part is zero."""
    import numpy as np

    above, below = np.asarray(above, dtype=float), np.asarray(below, dtype=float)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)


def hits_of(counts: ndarray) -> ndarray:
    """Return how often each class was predicted rightly, shape (..., classes)."""
    import numpy as np

    return np.diagonal(counts, axis1=-2, axis2=-1)
