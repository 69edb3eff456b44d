"""The metrics: what each is called, how it is computed, and what each row adds to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.measures.counting import codes_of, confusion_counts, hits_of, ratio, select
from kfp_hallmark.measures.intervals import normal_quantile

if TYPE_CHECKING:
    from numpy import ndarray

IDENTITY, LOGIT, REST = "identity", "logit", "rest"
"""Scales on which an interval is symmetric; `rest` is the logarithm of what the value lacks to 1."""
MEAN, ROOT, MEDIAN = "mean", "root", "median"
"""What a mean of losses is, the root of one, and a median: their intervals are as skewed as the losses."""
NO_LOSS = 2.0**-52
"""The log loss of a row that is surely right; log loss takes probabilities that much off 0 and 1."""
LEAST_ROWS = 20
"""The fewest rows, of each class for a metric that ranks rows, behind an interval from influences."""
SMALL_CLASS = 100
"""The fewest rows of each class by which DeLong's variance is taken as it is."""
CALIBRATION_BINS = 10
"""Into how many bins of equally many rows the expected calibration error puts the rows."""


@dataclass(frozen=True)
class Metric:
    """A measure of how good predictions are.

    Exactly one of `of_counts`, `share_of` and `influences` is given; from `share_of` follows `of_counts`.

    Attributes:
        name: The name that scikit-learn gives it.
        greater_is_better: Whether a greater value is better.
        tasks: The tasks it is defined for.
        needs_score: Whether it needs probabilities.
        scale: The scale on which an interval from influences is symmetric: `identity`, `logit` or `rest`; of losses
            `mean`, `root` or `median`.
        of_counts: Confusion counts, shape (..., classes, classes), true class by predicted class, to values of shape
            (...); NaN where undefined. Binary: the positive class is the second.
        influences: Predictions to the value and each row's influence on it, shape (rows,); the sum of their squares is
            the value's variance. None where undefined.
        least_variance: The value and the rows of each class to the least variance that an interval assumes.
        bias: Predictions to how much the value exceeds the truth at most, on average; the interval reaches as much
            lower. Differences of such a metric are not to be trusted, so it is none to compare by.
        share_of: Of a metric that is a share of rows: the confusion counts to the rows that count and to those that
            they are a share of, both of shape (...).
        right_of: Of a metric that is the share of rows that are predicted rightly: the true classes of these rows.
        greatest: Of a mean of losses: the greatest that a row can have.
        span: Of a function of the counts: by how much two values can differ.
    """

    name: str
    greater_is_better: bool
    tasks: tuple[str, ...]
    needs_score: bool = False
    scale: str = IDENTITY
    of_counts: Callable[[ndarray], ndarray] | None = None
    influences: Callable[[Predictions], tuple[float, ndarray] | None] | None = None
    least_variance: Callable[[float, ndarray], float] | None = None
    bias: Callable[[Predictions], float] | None = None
    share_of: Callable[[ndarray], tuple[ndarray, ndarray]] | None = None
    right_of: slice | None = None
    greatest: float | None = None
    span: float = 1.0

    def __post_init__(self) -> None:
        share_of = self.share_of
        if share_of is not None:
            object.__setattr__(self, "of_counts", lambda counts: ratio(*share_of(counts)))


def metrics_for(task: str) -> list[Metric]:
    """Return the metrics of a task, in the order of the registry."""
    return [metric for metric in METRICS.values() if task in metric.tasks]


def require_metric(name: str, task: str, role: str = "A metric") -> Metric:
    """Return a metric by name.

    Args:
        name: The metric's name.
        task: The task it must be defined for.
        role: What the metric is for, as the message begins.

    Raises:
        InputError: If there is no such metric for the task, naming the nearest there is.
    """
    known = [metric.name for metric in metrics_for(task)]
    if name not in known:
        raise InputError(f"{role} must be a metric of a {task} task; got {name!r}.", nearest(name, known))
    return METRICS[name]


def measure(predictions: Predictions, rows: ndarray | None = None) -> dict[str, float | None]:
    """Return every metric of the predictions' task.

    Args:
        predictions: What a model said.
        rows: The rows to measure, as a mask or as positions; None measures all.

    Returns:
        Metric to value; None where it is undefined, as ROC AUC is when one class alone is present.
    """
    predictions = select(predictions, rows)
    return {metric.name: value_of(metric, predictions) for metric in metrics_for(predictions.task)}


def value_of(metric: Metric, predictions: Predictions) -> float | None:
    """Return a metric of predictions, or None where it is undefined."""
    if metric.of_counts is None:
        found = influences_of(metric, predictions)
        return None if found is None else found[0]
    value = float(metric.of_counts(confusion_counts(predictions)))
    return value if math.isfinite(value) else None


def influences_of(metric: Metric, predictions: Predictions) -> tuple[float, ndarray] | None:
    """Return the value of a metric and each row's influence on it; None where it is undefined."""
    assert metric.influences is not None
    if not len(predictions.label) or (metric.needs_score and predictions.score is None):
        return None
    found = metric.influences(predictions)
    return None if found is None or not math.isfinite(found[0]) else found


def enough_rows(metric: Metric, predictions: Predictions) -> bool:
    """Return whether there are rows enough for an interval from influences."""
    return (fewest_rows(predictions) if metric.scale == LOGIT else len(predictions.label)) >= LEAST_ROWS


def fewest_rows(predictions: Predictions) -> int:
    """Return the rows of the rarest class."""
    return int(min(confusion_counts(predictions).sum(axis=1)))


def _accuracy(counts: ndarray) -> tuple[ndarray, ndarray]:
    return hits_of(counts).sum(axis=-1), counts.sum(axis=(-2, -1))


def _balanced_accuracy(counts: ndarray) -> ndarray:
    """Mean recall of the classes that are present; undefined when it is but one."""
    import numpy as np

    recalls = ratio(hits_of(counts), counts.sum(axis=-1))
    present = np.isfinite(recalls).sum(axis=-1)
    return ratio(np.where(present > 1, np.nansum(recalls, axis=-1), np.nan), present)


def _precision(counts: ndarray) -> tuple[ndarray, ndarray]:
    return counts[..., 1, 1], counts[..., :, 1].sum(axis=-1)


def _recall(counts: ndarray) -> tuple[ndarray, ndarray]:
    return counts[..., 1, 1], counts[..., 1, :].sum(axis=-1)


def _specificity(counts: ndarray) -> tuple[ndarray, ndarray]:
    return counts[..., 0, 0], counts[..., 0, :].sum(axis=-1)


def _matthews_corrcoef(counts: ndarray) -> ndarray:
    """Correlation of label and prediction; of several classes as by J. Gorodkin (2004)."""
    import numpy as np

    true, predicted, total = (counts.sum(axis=axis).astype(float) for axis in (-1, -2, (-2, -1)))
    right = hits_of(counts).sum(axis=-1) * total - (true * predicted).sum(axis=-1)
    return ratio(right, np.sqrt((total**2 - (true**2).sum(axis=-1)) * (total**2 - (predicted**2).sum(axis=-1))))


def _class_f1(counts: ndarray) -> ndarray:
    return ratio(2 * hits_of(counts), counts.sum(axis=-1) + counts.sum(axis=-2))


def _f1(counts: ndarray) -> ndarray:
    return _class_f1(counts)[..., 1]


def _f1_macro(counts: ndarray) -> ndarray:
    """Mean F1 of the classes that are present or predicted."""
    import numpy as np

    each = _class_f1(counts)
    return ratio(np.nansum(each, axis=-1), np.isfinite(each).sum(axis=-1))


def _score(predictions: Predictions) -> ndarray:
    assert predictions.score is not None
    return predictions.score.astype(float)


def _mean(values: ndarray) -> tuple[float, ndarray]:
    mean = float(values.mean())
    return mean, (values - mean) / math.sqrt(len(values) * max(len(values) - 1, 1))


def _area(score: ndarray, positive: ndarray) -> tuple[float, ndarray] | None:
    """ROC AUC and DeLong's placements: the share of the other class that each row's score is right about."""
    import numpy as np

    above, below = score[positive], score[~positive]
    if not len(above) or not len(below):
        return None
    placement = np.empty(len(score))
    placement[positive] = _rank(below, above) / len(below)
    placement[~positive] = 1 - _rank(above, below) / len(above)
    area = float(placement[positive].mean())
    rows = np.where(positive, len(above), len(below))
    return area, (placement - area) / np.sqrt(rows * np.maximum(rows - 1, 1))


def hanley_mcneil(area: float, rows: ndarray) -> float:
    """Return the variance of an area by its value and the rows of each class; 0 when neither class is small."""
    if min(rows) >= SMALL_CLASS:
        return 0.0
    negatives, positives = (int(count) for count in rows)
    above, below = area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2
    return (area * (1 - area) + (positives - 1) * above + (negatives - 1) * below) / (positives * negatives)


def _rank(reference: ndarray, values: ndarray) -> ndarray:
    """Return how many of the reference lie below each value, ties counted half."""
    import numpy as np

    ordered = np.sort(reference)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2


def _roc_auc(predictions: Predictions) -> tuple[float, ndarray] | None:
    return _area(_score(predictions), predictions.positive_label)


def _roc_auc_ovr(predictions: Predictions) -> tuple[float, ndarray] | None:
    """Mean over the classes of the area of each against the rest; undefined when a class is absent."""
    areas = [
        _area(_score(predictions)[:, index], predictions.label == value)
        for index, value in enumerate(predictions.classes)
    ]
    found = [area for area in areas if area is not None]
    if len(found) < len(areas):
        return None
    influence: Any = sum(influence for _, influence in found)
    return sum(area for area, _ in found) / len(found), influence / len(found)


def threshold_counts(predictions: Predictions) -> tuple[ndarray, ndarray, ndarray] | None:
    """Return the distinct scores, falling, with the positives and the negatives at or above each."""
    import numpy as np

    if predictions.score is None:
        return None
    order = np.argsort(-predictions.score, kind="stable")
    score, positive = predictions.score[order], predictions.positive_label[order]
    if not len(score) or positive.all() or not positive.any():
        return None
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    positives = np.cumsum(positive)[last]
    return score[last].astype(float), positives, last + 1 - positives


def _average_precision(predictions: Predictions) -> tuple[float, ndarray] | None:
    """Sum over the thresholds of the precision times the gain in recall, and its derivative by each row's weight."""
    import numpy as np

    steps = threshold_counts(predictions)
    if steps is None:
        return None
    thresholds, positives, negatives = steps
    total, predicted = positives[-1], positives + negatives
    gain, precision = np.diff(positives, prepend=0), positives / predicted
    value = float((gain * precision).sum() / total)
    place = np.searchsorted(-thresholds, -_score(predictions))
    of_negative = -_sum_from(gain * positives / predicted**2)[place]
    of_positive = precision[place] + of_negative + _sum_from(gain / predicted)[place] - value
    return value, np.where(predictions.positive_label, of_positive, of_negative) / total


def _sum_from(values: ndarray) -> ndarray:
    """Return at each place the sum from there to the end."""
    import numpy as np

    return np.cumsum(values[::-1])[::-1]


def _log_loss(predictions: Predictions) -> tuple[float, ndarray]:
    import numpy as np

    score = _score(predictions)
    if predictions.task == BINARY:
        right = np.where(predictions.positive_label, score, 1 - score)
    else:
        codes = codes_of(predictions.label, predictions.classes)
        right = np.where(codes >= 0, score[np.arange(len(score)), codes], 0.0)
    return _mean(-np.log(right.clip(NO_LOSS, 1 - NO_LOSS)))


def _brier_score(predictions: Predictions) -> tuple[float, ndarray]:
    return _mean((_score(predictions) - predictions.positive_label) ** 2)


def _calibration_bins(predictions: Predictions) -> tuple[ndarray, ndarray]:
    """Return by how much each row's outcome exceeds its score, and the row's bin.

    Multiclass: the outcome is whether the predicted class is right, the score its probability.
    """
    import numpy as np

    score = _score(predictions)
    if predictions.task == BINARY:
        outcome = predictions.positive_label
    else:
        outcome, score = predictions.prediction == predictions.label, score.max(axis=1)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]))
    return outcome - score, np.searchsorted(edges, score)


def _expected_calibration_error(predictions: Predictions) -> tuple[float, ndarray]:
    """Mean over bins of equally many rows, by their rows, of the distance of mean outcome and mean score."""
    import numpy as np

    excess, place = _calibration_bins(predictions)
    total = np.bincount(place, excess)
    value = float(abs(total).sum() / len(excess))
    within = excess - (total / np.maximum(np.bincount(place), 1))[place]
    return value, np.sign(total)[place] * within / len(excess)


def _calibration_bias(predictions: Predictions) -> float:
    """Return the expected calibration error of a model without any: means of few rows stray from 0 both ways."""
    import numpy as np

    excess, place = _calibration_bins(predictions)
    rows = np.bincount(place)
    squares = np.bincount(place, excess**2) - np.bincount(place, excess) ** 2 / np.maximum(rows, 1)
    return float(np.sqrt(2 / np.pi * squares.clip(0)).sum() / len(excess))


def errors_of(predictions: Predictions) -> ndarray:
    """Return by how much each number that was predicted exceeds the true one."""
    return predictions.prediction.astype(float) - predictions.label.astype(float)


def _mean_absolute_error(predictions: Predictions) -> tuple[float, ndarray]:
    return _mean(abs(errors_of(predictions)))


def _mean_absolute_percentage_error(predictions: Predictions) -> tuple[float, ndarray] | None:
    """Mean of the errors as shares of the true numbers; undefined where one of these is 0."""
    label = predictions.label.astype(float)
    return _mean(abs(errors_of(predictions) / label)) if label.all() else None


def _median_absolute_error(predictions: Predictions) -> tuple[float, ndarray]:
    """The median, and influences that sum to the variance by the order of the errors (McKean and Schrader 1984)."""
    import numpy as np

    error = abs(errors_of(predictions))
    rows, median = len(error), float(np.median(error))
    z = normal_quantile(0.95)
    low = max(0, math.floor((rows - z * math.sqrt(rows)) / 2))
    ordered = np.sort(error)
    deviation = float(ordered[rows - 1 - low] - ordered[low]) / (2 * z)
    return median, np.sign(error - median) * deviation / math.sqrt(rows)


def _d2_absolute_error_score(predictions: Predictions) -> tuple[float, ndarray] | None:
    """1 less the ratio of the mean absolute error to that of always predicting the median."""
    import numpy as np

    label = predictions.label.astype(float)
    error, spread = abs(errors_of(predictions)), abs(label - np.median(label))
    if not spread.sum():
        return None
    unexplained = error.sum() / spread.sum()
    return float(1 - unexplained), (unexplained * spread - error) / spread.sum()


def _root_mean_squared_error(predictions: Predictions) -> tuple[float, ndarray]:
    mean, influence = _mean(errors_of(predictions) ** 2)
    root = math.sqrt(mean)
    return root, influence / (2 * root) if root else influence


def _r2(predictions: Predictions) -> tuple[float, ndarray] | None:
    label = predictions.label.astype(float)
    squares, spread = errors_of(predictions) ** 2, (label - label.mean()) ** 2
    if not spread.sum():
        return None
    unexplained = squares.sum() / spread.sum()
    return float(1 - unexplained), (unexplained * spread - squares) / spread.sum()


CLASSIFICATION = (BINARY, MULTICLASS)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", True, (BINARY,), True, LOGIT, influences=_roc_auc, least_variance=hanley_mcneil),
        Metric("average_precision", True, (BINARY,), needs_score=True, scale=LOGIT, influences=_average_precision),
        Metric("roc_auc_ovr", True, (MULTICLASS,), needs_score=True, scale=LOGIT, influences=_roc_auc_ovr),
        Metric("accuracy", True, CLASSIFICATION, share_of=_accuracy, right_of=slice(None)),
        Metric("balanced_accuracy", True, CLASSIFICATION, of_counts=_balanced_accuracy),
        Metric("precision", True, (BINARY,), share_of=_precision),
        Metric("recall", True, (BINARY,), share_of=_recall, right_of=slice(1, 2)),
        Metric("specificity", True, (BINARY,), share_of=_specificity, right_of=slice(0, 1)),
        Metric("f1", True, (BINARY,), of_counts=_f1),
        Metric("f1_macro", True, (MULTICLASS,), of_counts=_f1_macro),
        Metric("matthews_corrcoef", True, CLASSIFICATION, of_counts=_matthews_corrcoef, span=2.0),
        Metric("log_loss", False, CLASSIFICATION, True, MEAN, influences=_log_loss, greatest=-math.log(NO_LOSS)),
        Metric("brier_score", False, (BINARY,), True, MEAN, influences=_brier_score, greatest=1.0),
        Metric(
            "expected_calibration_error",
            False,
            CLASSIFICATION,
            needs_score=True,
            influences=_expected_calibration_error,
            bias=_calibration_bias,
            greatest=1.0,
        ),
        Metric("r2", True, (REGRESSION,), scale=REST, influences=_r2),
        Metric("mean_absolute_error", False, (REGRESSION,), scale=MEAN, influences=_mean_absolute_error),
        Metric("root_mean_squared_error", False, (REGRESSION,), scale=ROOT, influences=_root_mean_squared_error),
        Metric("median_absolute_error", False, (REGRESSION,), scale=MEDIAN, influences=_median_absolute_error),
        Metric(
            "mean_absolute_percentage_error",
            False,
            (REGRESSION,),
            scale=MEAN,
            influences=_mean_absolute_percentage_error,
        ),
        Metric("d2_absolute_error_score", True, (REGRESSION,), scale=REST, influences=_d2_absolute_error_score),
    )
}
"""Every metric by its name, in the order in which reports show them."""
