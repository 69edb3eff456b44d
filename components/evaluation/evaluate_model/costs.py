"""What the decisions of a classifier cost, and how they would cost least.

Of two classes, a threshold is chosen on validation data, or on one half of the test data, and its cost is told of the
test data that did not choose it: chosen on the same rows, it would seem cheaper than it is. Of several, each row gets
the class whose expected cost by the probabilities is least; nothing is chosen on data for that, but it is as good as
the probabilities are.

Source: C. Elkan, The Foundations of Cost-Sensitive Learning, IJCAI (2001).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.options import is_number, read_options
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, Predictions
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.measures import LEAST_ROWS, Interval, mean_interval, threshold_counts
from kfp_hallmark.measures.counting import codes_of
from kfp_hallmark.modeling.prediction import require_classes

if TYPE_CHECKING:
    from numpy import ndarray

POINTS = 200
"""How many points of a cost curve are shown."""


@dataclass(frozen=True)
class Costs:
    """The cost matrix: what a decision on one row costs, in any unit; a gain is a negative cost.

    Attributes:
        false_positive: Of predicting the positive class of a negative row.
        false_negative: Of predicting the negative class of a positive row.
        true_positive: Of predicting the positive class of a positive row.
        true_negative: Of predicting the negative class of a negative row.
    """

    false_positive: float
    false_negative: float
    true_positive: float = 0.0
    true_negative: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not math.isfinite(value):
                raise InputError(f"costs[{name!r}] must be a finite number; got {value}.")
        if self.false_positive <= self.true_negative or self.false_negative <= self.true_positive:
            raise InputError("costs must be greater for a wrong decision than for the right one; they are not.")

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Costs | None:
        """Return the costs, or None when none are given.

        Raises:
            InputError: If they are unknown, not whole or cannot be used.
        """
        return read_options(cls, options, "costs") if options else None

    def of_rows(self, positive: ndarray, predicted: ndarray) -> ndarray:
        """Return the cost of each row's decision, by whether it is positive and is predicted to be."""
        import numpy as np

        of_positive = np.where(predicted, self.true_positive, self.false_negative)
        return np.where(positive, of_positive, np.where(predicted, self.false_positive, self.true_negative))

    def said(self) -> dict[str, float]:
        """Return each cost by what it is of, in words."""
        return {name.replace("_", " "): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class ClassCosts:
    """The cost matrix of several classes.

    Attributes:
        table: True class to predicted class to the cost of a row; a right decision costs 0 unless it is named.
    """

    table: Mapping[str, Mapping[str, float]]

    def __post_init__(self) -> None:
        for true, costs in self.table.items():
            if not isinstance(costs, Mapping):
                raise InputError(f"costs[{true!r}] must be an object of predicted classes; got {costs!r}.")
            for predicted, value in costs.items():
                if not is_number(value):
                    raise InputError(f"costs[{true!r}][{predicted!r}] must be a finite number; got {value!r}.")

    def said(self) -> dict[str, float]:
        """Return each cost by what it is of, in words."""
        return {
            f"{true} taken for {predicted}" if true != predicted else f"{true} found": float(value)
            for true, costs in self.table.items()
            for predicted, value in costs.items()
        }

    def matrix(self, classes: Sequence[Any]) -> ndarray:
        """Return the cost of each true class (row) by predicted class.

        Raises:
            InputError: If a class is unknown, a wrong decision has no cost, or costs no more than the right one.
        """
        import numpy as np

        names = [str(value) for value in classes]
        for name in [*self.table, *(name for costs in self.table.values() for name in costs)]:
            if name not in names:
                raise InputError(f"costs must be of the model's classes; got {name!r}.", nearest(name, names))
        found = np.zeros((len(names), len(names)))
        for row, true in enumerate(names):
            for column, predicted in enumerate(names):
                if true != predicted and predicted not in self.table.get(true, {}):
                    raise InputError(
                        f"costs must hold every wrong decision; missing: {true!r} taken for {predicted!r}."
                    )
                found[row, column] = self.table.get(true, {}).get(predicted, 0.0)
        if (found - found.diagonal()[:, None] + np.eye(len(names)) <= 0).any():
            raise InputError("costs must be greater for a wrong decision than for the right one; they are not.")
        return found


def read_costs(options: Mapping[str, Any]) -> Costs | ClassCosts | None:
    """Return the costs of two classes or of several, whose options are objects; None when none are given.

    Raises:
        InputError: If they are unknown, not whole or cannot be used.
    """
    if any(isinstance(value, Mapping) for value in options.values()):
        return ClassCosts(options)
    return Costs.read(options)


@dataclass(frozen=True)
class Decided:
    """What decisions cost on average.

    Attributes:
        threshold: A score at or above it predicts the positive class; None for the model's own prediction without one.
        cost: Mean cost of a row.
        interval: Its confidence interval.
    """

    threshold: float | None
    cost: float
    interval: Interval | None


@dataclass(frozen=True)
class CostReport:
    """What was found out about costs.

    Attributes:
        costs: The cost matrix.
        own: By the model's own decisions.
        chosen: By the threshold that cost least on the validation data, or, of several classes, by the least expected
            cost; None without scores.
        saving: By how much that is cheaper than the model's own decisions, row by row.
        curve: Thresholds and mean costs on the test data; empty without scores.
        halved: Whether there was no validation data, so that one half of the test data chose and the other tells.
    """

    costs: Costs | ClassCosts
    own: Decided
    chosen: Decided | None
    saving: Decided | None
    curve: tuple[list[float], list[float]]
    halved: bool = False


def report_costs(
    predictions: Predictions, costs: Costs | ClassCosts, validation: Predictions | None, confidence: float, seed: int
) -> CostReport:
    """Return what the decisions on the test data cost, and what those by a threshold chosen on other data do.

    Args:
        predictions: What was said of the test data.
        costs: The cost matrix.
        validation: What was said of the data to choose by; None to choose by one half of the test data.
        confidence: Confidence level of the intervals.
        seed: Seed of the division into halves.

    Raises:
        InputError: If the costs do not suit the task, or a threshold is to be chosen where there is none.
    """
    if isinstance(costs, ClassCosts):
        return _report_classes(predictions, costs, validation, confidence)
    if predictions.task != BINARY:
        raise InputError(
            f"costs of positives and negatives must be given for a binary task; got a {predictions.task} task.",
            "Of several classes, give an object of predicted classes for each true class.",
        )
    positive = predictions.positive_label
    own = costs.of_rows(positive, predictions.positive_prediction)
    decided = Decided(predictions.threshold, *_mean(own, confidence))
    chosen = saving = None
    if validation is not None and predictions.score is None:
        raise InputError("validation must be given for a model with scores alone; it gives none.")
    choosing, told = (validation, slice(None)) if validation else _halves(predictions, seed)
    if choosing is not None and predictions.score is not None:
        threshold = cheapest_threshold(choosing, costs)
        others = costs.of_rows(positive, predictions.score >= threshold)
        chosen = Decided(threshold, *_mean(others[told], confidence))
        saving = Decided(threshold, *_mean((own - others)[told], confidence))
    thresholds, means = cost_curve(predictions, costs)
    kept = slice(None, None, max(1, math.ceil(len(thresholds) / POINTS)))
    curve = (thresholds[kept].tolist(), means[kept].tolist())
    return CostReport(costs, decided, chosen, saving, curve, halved=validation is None and chosen is not None)


def _halves(predictions: Predictions, seed: int) -> tuple[Predictions | None, ndarray]:
    """Return one half of the rows, of each class, and the places of the other; None where it would lack a class."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(predictions.label))
    positive = predictions.positive_label
    order = order[np.argsort(positive[order], kind="stable")]
    first, other = order[::2], order[1::2]
    if predictions.score is None or not 0 < positive[first].sum() < len(first):
        return None, other
    parts = {name: getattr(predictions, name)[first] for name in ("label", "prediction", "score")}
    return replace(predictions, **parts), other


def _report_classes(
    predictions: Predictions, costs: ClassCosts, validation: Predictions | None, confidence: float
) -> CostReport:
    """Return what the decisions among several classes cost, and what those of the least expected cost would."""
    import numpy as np

    if predictions.task != MULTICLASS:
        raise InputError(f"costs of each class must be given for a multiclass task; got a {predictions.task} task.")
    if validation is not None:
        raise InputError("validation must be left out for several classes: no threshold is chosen on it.")
    classes = list(predictions.classes)
    require_classes(predictions.label, classes, "target, for its costs,")
    matrix, label = costs.matrix(classes), codes_of(predictions.label, classes)
    own = matrix[label, codes_of(predictions.prediction, classes)]
    chosen = saving = None
    if predictions.score is not None:
        others = matrix[label, (predictions.score @ matrix).argmin(axis=1)]
        chosen, saving = Decided(None, *_mean(others, confidence)), Decided(None, *_mean(own - others, confidence))
    return CostReport(costs, Decided(None, *_mean(np.asarray(own), confidence)), chosen, saving, ([], []))


def cost_curve(predictions: Predictions, costs: Costs) -> tuple[ndarray, ndarray]:
    """Return every threshold that tells rows apart, falling, and the mean cost at each; empty without scores.

    The first lies just above the greatest score and predicts no positive.
    """
    import numpy as np

    steps = threshold_counts(predictions)
    if steps is None:
        return np.empty(0), np.empty(0)
    thresholds, hits, alarms = steps
    thresholds = np.concatenate([[np.nextafter(thresholds[0], np.inf)], thresholds])
    hits, alarms = (np.concatenate([[0], counts]) for counts in (hits, alarms))
    positives, negatives = hits[-1], alarms[-1]
    total = (
        hits * costs.true_positive
        + (positives - hits) * costs.false_negative
        + alarms * costs.false_positive
        + (negatives - alarms) * costs.true_negative
    )
    return thresholds, total / (positives + negatives)


def cheapest_threshold(predictions: Predictions, costs: Costs) -> float:
    """Return the threshold at which the decisions on these rows cost least; the greatest of several.

    Raises:
        InputError: If the rows are all of one class.
    """
    thresholds, means = cost_curve(predictions, costs)
    if not len(thresholds):
        raise InputError("validation must hold both classes; it holds one.")
    return float(thresholds[means.argmin()])


def _mean(values: ndarray, confidence: float) -> tuple[float, Interval | None]:
    """Return a mean and its interval; None where too few rows, or rows that are all alike, say nothing of others."""
    mean = float(values.mean())
    if len(values) < LEAST_ROWS or values.min() == values.max():
        return mean, None
    return mean, mean_interval(mean, (values - mean) / math.sqrt(len(values) * (len(values) - 1)), confidence)
