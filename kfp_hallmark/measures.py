"""How good a model is: metrics of its predictions, their confidence intervals, and the comparison of two models.

Metrics have the names and the values that scikit-learn gives them; where scikit-learn falls back to a number (precision
without a predicted positive) the value here is None. It has no name for two: specificity is the recall of the negative
class; the expected calibration error is the mean distance of mean outcome and mean score in 10 bins of equally many
rows. NumPy alone is used: importing scikit-learn costs seconds.

Two kinds of metric, two kinds of interval:

- **Functions of the confusion counts** (accuracy, balanced accuracy, precision, recall, F1): the percentile bootstrap.
  Resampling rows changes only the counts, so the counts are drawn from the multinomial distribution, which is the same
  at a cost that does not grow with the rows. One pseudo-row a true class, spread evenly over the predictions, keeps
  the interval from shrinking to a point when no error was seen.
- **Everything else** (areas under curves, losses, errors, R²): the normal interval from each row's influence on the
  metric (the infinitesimal jackknife), on the logit scale for what lies between 0 and 1, the log scale for what is
  positive. For ROC AUC this is DeLong's variance, which comes out too small when a class has few rows; below
  `SMALL_CLASS` of them, Hanley and McNeil's stands in where it is greater. For a mean it is the textbook standard
  error. Fewer than `LEAST_ROWS`, of each class for what ranks rows, give no interval: it would be too short.

Two models on the same rows are compared in pairs by the same means; see `kfp_hallmark.comparison`.

Sources: E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988); J. Hanley, B. McNeil, Radiology 143 (1982);
B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, SIAM (1982), chapter 6; N. Obuchowski, M. Lieber,
Academic Radiology 9 (2002), on the area 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions
from kfp_hallmark.contracts.verdict import Status, judge
from kfp_hallmark.errors import InputError, nearest

if TYPE_CHECKING:
    from numpy import ndarray

Interval = tuple[float, float]
IDENTITY, LOG, LOGIT = "identity", "log", "logit"
LEAST_ROWS = 20
"""The fewest rows, of each class for a metric that ranks rows, behind an interval from influences."""
SMALL_CLASS = 100
"""The fewest rows of each class by which DeLong's variance is taken as it is."""
CALIBRATION_BINS = 10
"""Into how many bins of equally many rows the expected calibration error puts the rows."""
BLOCK = 4_000_000
"""How many resampled counts are held in memory at once."""


@dataclass(frozen=True)
class Metric:
    """A measure of how good predictions are.

    Exactly one of `of_counts` and `influences` is given.

    Attributes:
        name: The name that scikit-learn gives it.
        greater_is_better: Whether a greater value is better.
        tasks: The tasks it is defined for.
        needs_score: Whether it needs probabilities.
        scale: The scale on which an interval from influences is symmetric: `identity`, `log` or `logit`.
        of_counts: Confusion counts, shape (..., classes, classes), true class by predicted class, to values of shape
            (...); NaN where undefined. Binary: the positive class is the second.
        influences: Predictions to the value and each row's influence on it, shape (rows,); the sum of their squares is
            the value's variance. None where undefined.
        least_variance: The value and the rows of each class to the least variance that an interval assumes.
        bias: Predictions to how much the value exceeds the truth at most, on average; the interval reaches as much
            lower. Differences of such a metric are not to be trusted, so it is none to compare by.
        right_of: Of a metric that is the share of rows that are predicted rightly: the true classes of these rows.
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
    right_of: slice | None = None


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


def bootstrap_intervals(
    predictions: Predictions,
    names: Sequence[str],
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    rows: ndarray | None = None,
) -> dict[str, Interval | None]:
    """Return a confidence interval for each metric; the module says which kind each metric has.

    Args:
        predictions: What a model said.
        names: The metrics.
        samples: Number of resamples behind an interval that rests on counts.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.
        rows: The rows to measure, as a mask or as positions; None measures all.

    Returns:
        Metric to interval, low then high; None where the metric is undefined or has too few rows for an interval.

    Raises:
        InputError: If a metric is unknown, or the number of samples or the confidence cannot be used.
    """
    require_resampling(samples, confidence)
    predictions = select(predictions, rows)
    metrics = [require_metric(name, predictions.task) for name in names]
    found = {
        metric.name: _normal_interval(metric, predictions, confidence) for metric in metrics if metric.of_counts is None
    }
    counted = [metric for metric in metrics if metric.of_counts and value_of(metric, predictions) is not None]
    if counted:
        statistics = [metric.of_counts for metric in counted if metric.of_counts]
        resampled = resample(_counts(predictions), statistics, samples, seed)
        found |= {
            metric.name: percentile_interval(values, confidence)
            for metric, values in zip(counted, resampled, strict=True)
        }
    return {name: found.get(name) for name in names}


def standard_error(predictions: Predictions, name: str, rows: ndarray | None = None) -> tuple[float, float] | None:
    """Return a metric that rests on influences, and its standard error.

    Args:
        predictions: What a model said.
        name: The metric.
        rows: The rows to measure, as a mask or as positions; None measures all.

    Returns:
        The value and its standard error; None where the metric is undefined or has too few rows for an interval.

    Raises:
        InputError: If the metric is unknown.
    """
    return _standard_error(require_metric(name, predictions.task), select(predictions, rows))


def confusion_matrix(predictions: Predictions, rows: ndarray | None = None) -> tuple[list[str], list[list[int]]]:
    """Return the classes, and for each true class (row) how often each class was predicted (column).

    Binary: the positive class is the second. Multiclass: the classes of the model, then any that only the data has.
    """
    predictions = select(predictions, rows)
    classes = _classes(predictions)
    counts = _crossed(len(classes), _codes(predictions.label, classes), _codes(predictions.prediction, classes))
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


def judge_interval(
    observed: float | None, interval: Interval | None, *, minimum: float | None = None, maximum: float | None = None
) -> Status:
    """Return what `judge` says of a value that breaks its limits.

    Of one that keeps them: `warn` when its interval does not, and `inconclusive` without an interval.
    """
    status = judge(observed, minimum=minimum, maximum=maximum)
    if status is not Status.PASS:
        return status
    if interval is None:
        return Status.INCONCLUSIVE
    ends = [judge(end, minimum=minimum, maximum=maximum) for end in interval]
    return Status.PASS if set(ends) == {Status.PASS} else Status.WARN


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


def require_resampling(samples: int, confidence: float) -> None:
    """Raise `InputError` when a number of resamples or a confidence level cannot be used."""
    if samples < 100:
        raise InputError(f"bootstrap_samples must be at least 100; got {samples}.")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be above 0 and below 1; got {confidence}.", "For 95 %, give 0.95.")


def normal_quantile(confidence: float) -> float:
    """Return how many standard errors a two-sided normal interval reaches to either side: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def percentile_interval(values: ndarray, confidence: float) -> Interval | None:
    """Return the percentile interval of resampled values, NaN left out; None when all are NaN."""
    import numpy as np

    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def wilson_interval(hits: float, trials: float, confidence: float = 0.95) -> Interval | None:
    """Return Wilson's score interval of a proportion; None without trials.

    Source: E. Wilson, Journal of the American Statistical Association 22 (1927).
    """
    if not trials:
        return None
    z, share = normal_quantile(confidence), hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    low = 0.0 if hits == 0 else centre - reach
    high = 1.0 if hits == trials else centre + reach
    return low, high


def quantile_interval(values: ndarray, share: float, confidence: float = 0.95) -> Interval | None:
    """Return the interval of a quantile from the order of the values, whatever their distribution.

    Args:
        values: Independent measurements, shape (values,).
        share: Which quantile: 0.5 for the median.
        confidence: Confidence level, between 0 and 1; it is kept or exceeded.

    Returns:
        The interval; None when there are too few values for either end.

    Source: W. Conover, Practical Nonparametric Statistics (1999), section 3.2.
    """
    import numpy as np

    count, tail = len(values), (1 - confidence) / 2
    below = np.cumsum([_binomial(hits, count, share) for hits in range(count)])
    low, high = int((below <= tail).sum()) - 1, int((below < 1 - tail).sum())
    if low < 0 or high >= count:
        return None
    ordered = np.sort(values)
    return float(ordered[low]), float(ordered[high])


def _binomial(hits: int, trials: int, share: float) -> float:
    ways = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    return math.exp(ways + hits * math.log(share) + (trials - hits) * math.log(1 - share))


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
    return _ratio(
        counts[..., 1, 1] * counts.sum(axis=(-2, -1)), counts[..., 1, :].sum(axis=-1) * counts[..., :, 1].sum(axis=-1)
    )


def value_of(metric: Metric, predictions: Predictions) -> float | None:
    """Return a metric of predictions, or None where it is undefined."""
    if metric.of_counts is None:
        found = influences_of(metric, predictions)
        return None if found is None else found[0]
    value = float(metric.of_counts(_counts(predictions)))
    return value if math.isfinite(value) else None


def influences_of(metric: Metric, predictions: Predictions) -> tuple[float, ndarray] | None:
    """Return the value of a metric and each row's influence on it; None where it is undefined."""
    assert metric.influences is not None
    if not len(predictions.label) or (metric.needs_score and predictions.score is None):
        return None
    found = metric.influences(predictions)
    return None if found is None or not math.isfinite(found[0]) else found


def _normal_interval(metric: Metric, predictions: Predictions, confidence: float) -> Interval | None:
    found = _standard_error(metric, predictions)
    if found is None:
        return None
    value, reach = found[0], normal_quantile(confidence) * found[1]
    if metric.scale == LOGIT and not 0 < value < 1:
        fewest = min(_counts(predictions).sum(axis=1))
        return wilson_interval(round(value) * fewest, fewest, confidence)
    if metric.scale == LOGIT:
        centre, reach = math.log(value / (1 - value)), reach / (value * (1 - value))
        return 1 / (1 + math.exp(reach - centre)), 1 / (1 + math.exp(-reach - centre))
    if metric.scale == LOG and value > 0:
        return value * math.exp(-reach / value), value * math.exp(reach / value)
    bias = metric.bias(predictions) if metric.bias is not None else 0.0
    return (max(0.0, value - bias - reach) if bias else value - reach), value + reach


def _standard_error(metric: Metric, predictions: Predictions) -> tuple[float, float] | None:
    found = influences_of(metric, predictions)
    if found is None or not enough_rows(metric, predictions):
        return None
    value, variance = found[0], float((found[1] ** 2).sum())
    if metric.least_variance is not None:
        variance = max(variance, metric.least_variance(value, _counts(predictions).sum(axis=1)))
    return value, variance**0.5


def enough_rows(metric: Metric, predictions: Predictions) -> bool:
    """Return whether there are rows enough for an interval from influences."""
    rows = min(_counts(predictions).sum(axis=1)) if metric.scale == LOGIT else len(predictions.label)
    return bool(rows >= LEAST_ROWS)


def _classes(predictions: Predictions) -> list[Any]:
    """Return the model's classes, the positive one last when binary, then those that only the data has."""
    known = list(predictions.classes)
    if predictions.task == BINARY:
        return [*(value for value in known if value != predictions.positive_class), predictions.positive_class]
    return known + sorted(set(predictions.label.tolist()) - set(known), key=str)


def _codes(values: ndarray, classes: Sequence[Any]) -> ndarray:
    import numpy as np

    codes = np.full(len(values), -1)
    for code, value in enumerate(classes):
        codes[values == value] = code
    return codes


def _crossed(size: int, *codes: ndarray) -> ndarray:
    """Return how often each combination of codes occurs, one axis of `size` for each."""
    import numpy as np

    place = np.zeros(len(codes[0]), dtype=int)
    for code in codes:
        place = place * size + code
    return np.bincount(place, minlength=size ** len(codes)).reshape((size,) * len(codes))


def _counts(predictions: Predictions) -> ndarray:
    """Return the confusion counts, true class by predicted class."""
    if predictions.task == BINARY:
        return _crossed(2, predictions.positive_label.astype(int), predictions.positive_prediction.astype(int))
    classes = _classes(predictions)
    return _crossed(len(classes), _codes(predictions.label, classes), _codes(predictions.prediction, classes))


def joint_counts(first: Predictions, second: Predictions) -> ndarray:
    """Return the counts of true class by the first's prediction by the second's."""
    classes = _classes(first)
    values = (first.label, first.prediction, second.prediction)
    return _crossed(len(classes), *(_codes(value, classes) for value in values))


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


def _ratio(above: ndarray, below: ndarray) -> ndarray:
    """Return a ratio, NaN where the lower part is zero."""
    import numpy as np

    above, below = np.asarray(above, dtype=float), np.asarray(below, dtype=float)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)


def _hits(counts: ndarray) -> ndarray:
    """Return how often each class was predicted rightly, shape (..., classes)."""
    import numpy as np

    return np.diagonal(counts, axis1=-2, axis2=-1)


def _accuracy(counts: ndarray) -> ndarray:
    return _ratio(_hits(counts).sum(axis=-1), counts.sum(axis=(-2, -1)))


def _balanced_accuracy(counts: ndarray) -> ndarray:
    """Mean recall of the classes that are present; undefined when it is but one."""
    import numpy as np

    recalls = _ratio(_hits(counts), counts.sum(axis=-1))
    present = np.isfinite(recalls).sum(axis=-1)
    return _ratio(np.where(present > 1, np.nansum(recalls, axis=-1), np.nan), present)


def _precision(counts: ndarray) -> ndarray:
    return _ratio(counts[..., 1, 1], counts[..., :, 1].sum(axis=-1))


def _recall(counts: ndarray) -> ndarray:
    return _ratio(counts[..., 1, 1], counts[..., 1, :].sum(axis=-1))


def _specificity(counts: ndarray) -> ndarray:
    return _ratio(counts[..., 0, 0], counts[..., 0, :].sum(axis=-1))


def _matthews_corrcoef(counts: ndarray) -> ndarray:
    """Correlation of label and prediction; of several classes as by J. Gorodkin (2004)."""
    import numpy as np

    true, predicted, total = (counts.sum(axis=axis).astype(float) for axis in (-1, -2, (-2, -1)))
    right = _hits(counts).sum(axis=-1) * total - (true * predicted).sum(axis=-1)
    return _ratio(right, np.sqrt((total**2 - (true**2).sum(axis=-1)) * (total**2 - (predicted**2).sum(axis=-1))))


def _class_f1(counts: ndarray) -> ndarray:
    return _ratio(2 * _hits(counts), counts.sum(axis=-1) + counts.sum(axis=-2))


def _f1(counts: ndarray) -> ndarray:
    return _class_f1(counts)[..., 1]


def _f1_macro(counts: ndarray) -> ndarray:
    """Mean F1 of the classes that are present or predicted."""
    import numpy as np

    each = _class_f1(counts)
    return _ratio(np.nansum(each, axis=-1), np.isfinite(each).sum(axis=-1))


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


def _hanley_mcneil(area: float, rows: ndarray) -> float:
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
        codes = _codes(predictions.label, predictions.classes)
        right = np.where(codes >= 0, score[np.arange(len(score)), codes], 0.0)
    least = np.finfo(float).eps
    return _mean(-np.log(right.clip(least, 1 - least)))


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


def _errors(predictions: Predictions) -> ndarray:
    return predictions.prediction.astype(float) - predictions.label.astype(float)


def _mean_absolute_error(predictions: Predictions) -> tuple[float, ndarray]:
    return _mean(abs(_errors(predictions)))


def _mean_absolute_percentage_error(predictions: Predictions) -> tuple[float, ndarray]:
    import numpy as np

    return _mean(abs(_errors(predictions)) / np.maximum(abs(predictions.label.astype(float)), np.finfo(float).eps))


def _median_absolute_error(predictions: Predictions) -> tuple[float, ndarray]:
    """The median, and influences that sum to the variance by the order of the errors (McKean and Schrader 1984)."""
    import numpy as np

    error = abs(_errors(predictions))
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
    error, spread = abs(_errors(predictions)), abs(label - np.median(label))
    if not spread.sum():
        return None
    unexplained = error.sum() / spread.sum()
    return float(1 - unexplained), (unexplained * spread - error) / spread.sum()


def _root_mean_squared_error(predictions: Predictions) -> tuple[float, ndarray]:
    mean, influence = _mean(_errors(predictions) ** 2)
    root = math.sqrt(mean)
    return root, influence / (2 * root) if root else influence


def _r2(predictions: Predictions) -> tuple[float, ndarray] | None:
    label = predictions.label.astype(float)
    squares, spread = _errors(predictions) ** 2, (label - label.mean()) ** 2
    if not spread.sum():
        return None
    unexplained = squares.sum() / spread.sum()
    return float(1 - unexplained), (unexplained * spread - squares) / spread.sum()


CLASSIFICATION = (BINARY, MULTICLASS)
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", True, (BINARY,), True, LOGIT, influences=_roc_auc, least_variance=_hanley_mcneil),
        Metric("average_precision", True, (BINARY,), needs_score=True, scale=LOGIT, influences=_average_precision),
        Metric("roc_auc_ovr", True, (MULTICLASS,), needs_score=True, scale=LOGIT, influences=_roc_auc_ovr),
        Metric("accuracy", True, CLASSIFICATION, of_counts=_accuracy, right_of=slice(None)),
        Metric("balanced_accuracy", True, CLASSIFICATION, of_counts=_balanced_accuracy),
        Metric("precision", True, (BINARY,), of_counts=_precision),
        Metric("recall", True, (BINARY,), of_counts=_recall, right_of=slice(1, 2)),
        Metric("specificity", True, (BINARY,), of_counts=_specificity, right_of=slice(0, 1)),
        Metric("f1", True, (BINARY,), of_counts=_f1),
        Metric("f1_macro", True, (MULTICLASS,), of_counts=_f1_macro),
        Metric("matthews_corrcoef", True, CLASSIFICATION, of_counts=_matthews_corrcoef),
        Metric("log_loss", False, CLASSIFICATION, needs_score=True, scale=LOG, influences=_log_loss),
        Metric("brier_score", False, (BINARY,), needs_score=True, scale=LOG, influences=_brier_score),
        Metric(
            "expected_calibration_error",
            False,
            CLASSIFICATION,
            needs_score=True,
            influences=_expected_calibration_error,
            bias=_calibration_bias,
        ),
        Metric("r2", True, (REGRESSION,), influences=_r2),
        Metric("mean_absolute_error", False, (REGRESSION,), scale=LOG, influences=_mean_absolute_error),
        Metric("root_mean_squared_error", False, (REGRESSION,), scale=LOG, influences=_root_mean_squared_error),
        Metric("median_absolute_error", False, (REGRESSION,), scale=LOG, influences=_median_absolute_error),
        Metric(
            "mean_absolute_percentage_error",
            False,
            (REGRESSION,),
            scale=LOG,
            influences=_mean_absolute_percentage_error,
        ),
        Metric("d2_absolute_error_score", True, (REGRESSION,), influences=_d2_absolute_error_score),
    )
}
"""Every metric by its name, in the order in which reports show them."""
