"""Confidence intervals of metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.measures.counting import confusion_counts, resample, select
from kfp_hallmark.measures.intervals import (
    Interval,
    mean_interval,
    normal_quantile,
    percentile_interval,
    quantile_interval,
    require_resampling,
    wilson_interval,
)
from kfp_hallmark.measures.registry import (
    LEAST_ROWS,
    LOGIT,
    MEAN,
    MEDIAN,
    NO_LOSS,
    REST,
    ROOT,
    Metric,
    enough_rows,
    errors_of,
    fewest_rows,
    influences_of,
    require_metric,
)

if TYPE_CHECKING:
    from numpy import ndarray

FAR = 10.0
"""Up to how many times its value an interval of an unexplained share, symmetric on the log scale, reaches."""


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
    found = {metric.name: _interval(metric, predictions, confidence) for metric in metrics if metric.of_counts is None}
    counted = [metric for metric in metrics if metric.of_counts]
    if counted and len(predictions.label) >= LEAST_ROWS:
        found |= _of_counts(counted, confusion_counts(predictions), samples, confidence, seed)
    return {name: found.get(name) for name in names}


def _of_counts(
    metrics: Sequence[Metric], counts: ndarray, samples: int, confidence: float, seed: int
) -> dict[str, Interval | None]:
    """Return Wilson's interval of each share, and the percentile interval of each other function of the counts."""
    found: dict[str, Interval | None] = {}
    for metric in metrics:
        if metric.share_of is not None:
            hits, trials = metric.share_of(counts)
            found[metric.name] = wilson_interval(int(hits), int(trials), confidence)
    others = [
        (metric.name, metric.of_counts)
        for metric in metrics
        if metric.of_counts and not metric.share_of and math.isfinite(float(metric.of_counts(counts)))
    ]
    if others:
        names, statistics = zip(*others, strict=True)
        resampled = resample(counts, statistics, samples, seed)
        found |= dict(zip(names, (percentile_interval(values, confidence) for values in resampled), strict=True))
    return found


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


def _interval(metric: Metric, predictions: Predictions, confidence: float) -> Interval | None:
    found = influences_of(metric, predictions)
    if found is None or not enough_rows(metric, predictions):
        return None
    value, influences = found
    if metric.greatest is not None and value <= NO_LOSS:
        losing = wilson_interval(0, len(predictions.label), confidence)
        return None if losing is None else (0.0, losing[1] * metric.greatest)
    if metric.scale == MEAN:
        low, high = mean_interval(value, influences, confidence)
        return max(0.0, low), min(high, metric.greatest or math.inf)
    if metric.scale == MEDIAN:
        return quantile_interval(abs(errors_of(predictions)), 0.5, confidence)
    if metric.scale == ROOT:
        low, high = mean_interval(value**2, 2 * value * influences, confidence)
        return math.sqrt(max(0.0, low)), math.sqrt(high)
    return _normal_interval(metric, predictions, value, _error(metric, predictions, value, influences), confidence)


def _normal_interval(
    metric: Metric, predictions: Predictions, value: float, error: float, confidence: float
) -> Interval | None:
    reach = normal_quantile(confidence) * error
    if metric.scale == LOGIT and not 0 < value < 1:
        fewest = fewest_rows(predictions)
        return wilson_interval(round(value) * fewest, fewest, confidence)
    if metric.scale == LOGIT:
        centre, reach = math.log(value / (1 - value)), reach / (value * (1 - value))
        return 1 / (1 + math.exp(reach - centre)), 1 / (1 + math.exp(-reach - centre))
    rest = 1 - value
    if metric.scale == REST and rest > 0 and reach < FAR * rest:
        return 1 - rest * math.exp(reach / rest), 1 - rest * math.exp(-reach / rest)
    bias = metric.bias(predictions) if metric.bias is not None else 0.0
    least = 0.0 if bias else -math.inf
    return max(least, value - bias - reach), value + reach


def _standard_error(metric: Metric, predictions: Predictions) -> tuple[float, float] | None:
    found = influences_of(metric, predictions)
    if found is None or not enough_rows(metric, predictions):
        return None
    return found[0], _error(metric, predictions, *found)


def _error(metric: Metric, predictions: Predictions, value: float, influences: ndarray) -> float:
    variance = float((influences**2).sum())
    if metric.least_variance is not None:
        variance = max(variance, metric.least_variance(value, confusion_counts(predictions).sum(axis=1)))
    return variance**0.5
