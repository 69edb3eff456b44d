"""The confusion matrix, and curves over all thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.measures.counting import classes_of, codes_of, crossed, ratio, resample, select
from kfp_hallmark.measures.intervals import Interval, percentile_interval
from kfp_hallmark.measures.registry import threshold_counts

if TYPE_CHECKING:
    from numpy import ndarray


@dataclass(frozen=True)
class Lift:
    """What the rows of the greatest scores hold.

    Attributes:
        share: The share of the rows that are taken.
        gain: The share of the positives that are among them.
        lift: How many times as many positives they hold as rows taken by chance: gain by share.
        interval: The confidence interval of the lift.
    """

    share: float
    gain: float
    lift: float
    interval: Interval | None


def confusion_matrix(predictions: Predictions, rows: ndarray | None = None) -> tuple[list[str], list[list[int]]]:
    """Return the classes, and for each true class (row) how often each class was predicted (column).

    Binary: the positive class is the second. Multiclass: the classes of the model, then any that only the data has.
    """
    predictions = select(predictions, rows)
    classes = classes_of(predictions)
    counts = crossed(len(classes), codes_of(predictions.label, classes), codes_of(predictions.prediction, classes))
    return [str(value) for value in classes], counts.tolist()


def roc_curve(
    predictions: Predictions, rows: ndarray | None = None, points: int = 200
) -> tuple[list[float], list[float], list[float]]:
    """Return false positive rates, true positive rates and their thresholds, from (0, 0) to (1, 1).

    Thresholds fall and are finite; the first lies just above the greatest score. When there are more thresholds than
    `points`, those are kept that spread evenly along the curve. Binary only; empty lists when the curve is undefined.
    """
    import numpy as np

    predictions = select(predictions, rows)
    steps = threshold_counts(predictions)
    if steps is None:
        return [], [], []
    thresholds, positives, negatives = steps
    true = np.concatenate([[0.0], positives / positives[-1]])
    false = np.concatenate([[0.0], negatives / negatives[-1]])
    thresholds = np.concatenate([[np.nextafter(thresholds[0], np.inf)], thresholds])
    if len(thresholds) > points:
        length = (true + false) / 2
        kept = np.unique(np.searchsorted(length, np.linspace(0, 1, points)).clip(0, len(length) - 1))
        true, false, thresholds = true[kept], false[kept], thresholds[kept]
    return false.tolist(), true.tolist(), thresholds.tolist()


def calibration_curve(
    predictions: Predictions, rows: ndarray | None = None, bins: int = 10
) -> tuple[list[float], list[float], list[int]]:
    """Return, for bins of equally many rows, the mean score, the share of positives and the rows.

    Binary only; empty lists without scores. Rows of equal score stay in one bin, so there can be fewer bins.
    """
    import numpy as np

    predictions = select(predictions, rows)
    if predictions.score is None or not len(predictions.score):
        return [], [], []
    score, label = predictions.score.astype(float), predictions.positive_label.astype(float)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, score)
    rows_of = np.bincount(place, minlength=len(edges) + 1)
    kept = rows_of > 0
    mean = np.bincount(place, score, len(rows_of))[kept] / rows_of[kept]
    share = np.bincount(place, label, len(rows_of))[kept] / rows_of[kept]
    return mean.tolist(), share.tolist(), rows_of[kept].tolist()


def lift_table(
    predictions: Predictions, samples: int = 1000, confidence: float = 0.95, seed: int = 0, parts: int = 10
) -> list[Lift]:
    """Return what the rows of the greatest scores hold, for the first tenth, two tenths and so on.

    Rows of equal score stay together, so a share can be greater than asked for. Binary only; empty where the ROC curve
    is undefined. The intervals are percentile intervals of the counts in and out of the share.
    """
    import numpy as np

    steps = threshold_counts(predictions)
    if steps is None:
        return []
    _, positives, negatives = steps
    taken = positives + negatives
    found = []
    for place in np.unique(np.searchsorted(taken, np.arange(1, parts + 1) / parts * taken[-1])):
        inside = [negatives[place], positives[place]]
        outside = [negatives[-1] - negatives[place], positives[-1] - positives[place]]
        counts = np.array([outside, inside]).T
        (lifts,) = resample(counts, [_lift], samples, seed)
        share, gain = float(taken[place] / taken[-1]), float(positives[place] / positives[-1])
        interval = percentile_interval(lifts, confidence) if share < 1 else (1.0, 1.0)
        found.append(Lift(share, gain, gain / share, interval))
    return found


def _lift(counts: ndarray) -> ndarray:
    """Share of positives among the rows taken by the share of positives among all; counts are class by taken."""
    return ratio(
        counts[..., 1, 1] * counts.sum(axis=(-2, -1)), counts[..., 1, :].sum(axis=-1) * counts[..., :, 1].sum(axis=-1)
    )
