"""What a model said of each group: counts, and estimates of what is not a function of counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.predictions import BINARY, REGRESSION, Predictions
from kfp_hallmark.fairness.groups import Groups
from kfp_hallmark.fairness.quantities import (
    BalancedAccuracy,
    Estimate,
    F1Score,
    Quantity,
    Rate,
)
from kfp_hallmark.fairness.registry import (
    ACCURACY,
    BALANCED_ACCURACY,
    ERROR_RATE,
    F1,
    FALSE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    KINDS,
    LOG_LOSS,
    MEAN_ABSOLUTE_ERROR,
    MEAN_PREDICTION,
    MEAN_SCORE,
    MEAN_SQUARED_ERROR,
    PRECISION,
    R2,
    ROC_AUC,
    SELECTION_RATE,
    TRUE_NEGATIVE_RATE,
    TRUE_POSITIVE_RATE,
)
from kfp_hallmark.measures import IDENTITY, LEAST_ROWS, LOG, LOGIT, REST, grouped_areas

if TYPE_CHECKING:
    from numpy import ndarray

Compute = Callable[[Predictions, Groups], Estimate]


@dataclass(frozen=True)
class Tally:
    """What a model said of the groups of a feature.

    Attributes:
        groups: The groups.
        sizes: The rows of each group, shape (groups,).
        quantities: What is compared between them, by name.
        of_class: Multiclass: the class that is held against the rest, or None for what is of all classes.
    """

    groups: Groups
    sizes: ndarray
    quantities: Mapping[str, Quantity]
    of_class: str | None = None

    @property
    def title(self) -> str:
        """The feature, and the class where there is one."""
        return self.groups.feature if self.of_class is None else f"{self.groups.feature}, class {self.of_class}"

    @property
    def scope(self) -> dict[str, str]:
        """What a check of it is about."""
        of_class = {} if self.of_class is None else {"class": self.of_class}
        return {"feature": self.groups.feature} | of_class

    def enough(self, name: str, min_size: int) -> int:
        """Return the fewest rows by which a quantity of a group is judged."""
        return max(min_size, LEAST_ROWS) if isinstance(self.quantities[name], Estimate) else min_size

    def comparable(self, names: Sequence[str], min_size: int) -> dict[str, ndarray]:
        """Return, for each quantity that at least two groups have enough rows for, the positions of these groups."""
        import numpy as np

        large = self.sizes >= min_size
        found = {
            name: np.flatnonzero(large & (self.quantities[name].trials >= self.enough(name, min_size)))
            for name in names
        }
        return {name: places for name, places in found.items() if len(places) > 1}


def tallies(predictions: Predictions, groups: Groups, wanted: Set[str]) -> list[Tally]:
    """Return what a model said of groups: first of all classes, then of each class against the rest.

    Args:
        predictions: What the model said.
        groups: The groups of its rows.
        wanted: What is to be compared, by name.
    """
    import numpy as np

    sizes = np.bincount(groups.codes, minlength=len(groups.names))
    estimates = {name: compute(predictions, groups) for name, compute in ESTIMATES.items() if name in wanted}
    if predictions.task == REGRESSION:
        return [Tally(groups, sizes, estimates)]
    classes = class_names(predictions)
    counts = confusion_counts(predictions, groups, classes)
    whole = {name: value for name, value in overall_quantities(counts).items() if name in wanted} | estimates
    if predictions.task == BINARY:
        return [Tally(groups, sizes, _ordered(whole | _pick(class_quantities(counts), wanted)))]
    found = [Tally(groups, sizes, _ordered(whole))] if whole else []
    if any(KINDS[name].of_class for name in wanted):
        for place, name in enumerate(classes):
            each = _pick(class_quantities(one_against_rest(counts, place)), wanted)
            found.append(Tally(groups, sizes, each, str(name)))
    return found


def _pick(quantities: Mapping[str, Quantity], wanted: Set[str]) -> dict[str, Quantity]:
    return {name: value for name, value in quantities.items() if name in wanted}


def _ordered(quantities: Mapping[str, Quantity]) -> dict[str, Quantity]:
    return {name: quantities[name] for name in KINDS if name in quantities}


def class_names(predictions: Predictions) -> list[Any]:
    """Return the classes, the positive one last when binary, then those that only the data has."""
    known = list(predictions.classes)
    if predictions.task == BINARY:
        return [*(value for value in known if value != predictions.positive_class), predictions.positive_class]
    return known + sorted(set(predictions.label.tolist()) - set(known), key=str)


def confusion_counts(predictions: Predictions, groups: Groups, classes: Sequence[Any]) -> ndarray:
    """Count the rows of each group by true and by predicted class, shape (groups, classes, classes)."""
    import numpy as np

    count = len(classes)
    if predictions.task == BINARY:
        label, said = predictions.positive_label, predictions.positive_prediction
    else:
        label, said = (_codes(values, classes) for values in (predictions.label, predictions.prediction))
    place = (groups.codes * count + label) * count + said
    return np.bincount(place, minlength=len(groups.names) * count**2).reshape(-1, count, count)


def _codes(values: ndarray, classes: Sequence[Any]) -> ndarray:
    import numpy as np

    codes = np.zeros(len(values), dtype=int)
    for code, value in enumerate(classes):
        codes[values == value] = code
    return codes


def one_against_rest(counts: ndarray, place: int) -> ndarray:
    """Return the counts of one class against the rest, shape (groups, 2, 2), the class second."""
    import numpy as np

    hits, true, said = counts[:, place, place], counts[:, place].sum(axis=1), counts[:, :, place].sum(axis=1)
    others = counts.sum(axis=(1, 2)) - true - said + hits
    return np.stack([others, said - hits, true - hits, hits], axis=1).reshape(-1, 2, 2)


def class_quantities(counts: ndarray) -> dict[str, Quantity]:
    """Return what is of one class, from counts of shape (groups, 2, 2): truly positive by predicted positive."""
    negative, positive, said = counts[:, 0].sum(axis=1), counts[:, 1].sum(axis=1), counts[:, :, 1].sum(axis=1)
    hits = counts[:, 1, 1]
    return {
        SELECTION_RATE: Rate(said, negative + positive),
        TRUE_POSITIVE_RATE: Rate(hits, positive),
        TRUE_NEGATIVE_RATE: Rate(counts[:, 0, 0], negative),
        FALSE_POSITIVE_RATE: Rate(counts[:, 0, 1], negative),
        FALSE_NEGATIVE_RATE: Rate(counts[:, 1, 0], positive),
        PRECISION: Rate(hits, said),
        F1: F1Score(Rate(hits, positive + said - hits)),
    }


def overall_quantities(counts: ndarray) -> dict[str, Quantity]:
    """Return what is of all classes, from counts of shape (groups, classes, classes)."""
    hits, rows, total = counts.diagonal(axis1=1, axis2=2), counts.sum(axis=2), counts.sum(axis=(1, 2))
    right = hits.sum(axis=1)
    return {
        ACCURACY: Rate(right, total),
        ERROR_RATE: Rate(total - right, total),
        BALANCED_ACCURACY: BalancedAccuracy([Rate(hits[:, k], rows[:, k]) for k in range(counts.shape[1])]),
    }


def mean_of(values: ndarray, groups: Groups, scale: str = IDENTITY) -> Estimate:
    """Return the mean of a value of each row, shape (rows,), in each group."""
    import numpy as np

    codes, size = groups.codes, len(groups.names)
    rows = np.bincount(codes, minlength=size)
    means = np.bincount(codes, values, size) / rows
    squares = np.bincount(codes, (values - means[codes]) ** 2, size)
    return Estimate(means, squares / (rows * np.maximum(rows - 1, 1)), rows, scale)


def _mean_score(predictions: Predictions, groups: Groups) -> Estimate:
    assert predictions.score is not None
    return mean_of(predictions.score.astype(float), groups)


def _log_loss(predictions: Predictions, groups: Groups) -> Estimate:
    import numpy as np

    assert predictions.score is not None
    score = predictions.score.astype(float)
    if predictions.task == BINARY:
        right = np.where(predictions.positive_label, score, 1 - score)
    else:
        right = np.zeros(len(score))
        for place, value in enumerate(predictions.classes):
            true = predictions.label == value
            right[true] = score[true, place]
    least = np.finfo(float).eps
    return mean_of(-np.log(right.clip(least, 1 - least)), groups, LOG)


def _roc_auc(predictions: Predictions, groups: Groups) -> Estimate:
    """Areas under the curves of groups, with DeLong's variances; too few rows of a class are few trials."""
    assert predictions.score is not None
    score, positive = predictions.score.astype(float), predictions.positive_label
    return Estimate(*grouped_areas(score, positive, groups.codes, len(groups.names)), LOGIT)


def _mean_prediction(predictions: Predictions, groups: Groups) -> Estimate:
    return mean_of(predictions.prediction.astype(float), groups)


def _errors(predictions: Predictions) -> ndarray:
    return predictions.prediction.astype(float) - predictions.label.astype(float)


def _mean_absolute_error(predictions: Predictions, groups: Groups) -> Estimate:
    return mean_of(abs(_errors(predictions)), groups, LOG)


def _mean_squared_error(predictions: Predictions, groups: Groups) -> Estimate:
    return mean_of(_errors(predictions) ** 2, groups, LOG)


def _r2(predictions: Predictions, groups: Groups) -> Estimate:
    """R² of groups, with variances from each row's influence; 0 trials where all labels of a group are equal."""
    import numpy as np

    codes, size = groups.codes, len(groups.names)
    label, squares = predictions.label.astype(float), _errors(predictions) ** 2
    rows = np.bincount(codes, minlength=size)
    spread = (label - (np.bincount(codes, label, size) / rows)[codes]) ** 2
    total = np.bincount(codes, spread, size)
    known = total > 0
    unexplained = np.divide(np.bincount(codes, squares, size), total, out=np.zeros(size), where=known)
    influence = unexplained[codes] * spread - squares
    variances = np.divide(np.bincount(codes, influence**2, size), total**2, out=np.zeros(size), where=known)
    return Estimate(1 - unexplained, variances, np.where(known, rows, 0), REST)


ESTIMATES: Mapping[str, Compute] = {
    MEAN_SCORE: _mean_score,
    ROC_AUC: _roc_auc,
    LOG_LOSS: _log_loss,
    MEAN_PREDICTION: _mean_prediction,
    MEAN_ABSOLUTE_ERROR: _mean_absolute_error,
    MEAN_SQUARED_ERROR: _mean_squared_error,
    R2: _r2,
}
"""How each quantity that is not a function of counts is estimated."""
