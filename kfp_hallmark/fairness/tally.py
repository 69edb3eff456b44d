"""What a model said of each group: counts, and estimates of what is not a function of counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.predictions import BINARY, Predictions
from kfp_hallmark.errors import InputError
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
from kfp_hallmark.measures import LEAST_ROWS, LOGIT, REST, count_codes, grouped_areas

if TYPE_CHECKING:
    from numpy import ndarray

MAX_CELLS = 100_000
"""How many groups times classes are judged, each class against the rest: beyond, nobody reads the report."""

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

    Raises:
        InputError: If there are too many groups and classes to judge each class.
    """
    estimates = {name: compute(predictions, groups) for name, compute in ESTIMATES.items() if name in wanted}
    if wanted <= estimates.keys():
        return [Tally(groups, groups.partition.sizes, estimates)]
    classes = class_names(predictions)
    of_class = any(KINDS[name].of_class for name in wanted)
    if of_class and len(groups.names) * len(classes) > MAX_CELLS:
        raise InputError(
            f"The groups of {groups.feature!r} times the classes must be at most {MAX_CELLS:,} to judge each class; "
            f"got {len(groups.names):,} times {len(classes):,}.",
            "Join groups or classes, set intersection to false, or limit what is of all classes, such as the accuracy.",
        )
    margins = count_margins(predictions, groups, classes)
    sizes = margins.true.sum(axis=1)
    whole = {name: value for name, value in overall_quantities(margins).items() if name in wanted} | estimates
    if predictions.task == BINARY:
        return [Tally(groups, sizes, _ordered(whole | _pick(class_quantities(margins.against_rest(1)), wanted)))]
    found = [Tally(groups, sizes, _ordered(whole))] if whole else []
    if of_class:
        for place, name in enumerate(classes):
            each = _pick(class_quantities(margins.against_rest(place)), wanted)
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


@dataclass(frozen=True)
class Margins:
    """What of the confusion counts of groups is needed: it grows as the classes, where the counts do as their square.

    Attributes:
        true: The rows of each group that are of each class, shape (groups, classes).
        said: Those that are predicted to be of each class.
        hits: Those of which both hold.
    """

    true: ndarray
    said: ndarray
    hits: ndarray

    @classmethod
    def of(cls, counts: ndarray) -> Margins:
        """Return those of counts by true and by predicted class, shape (groups, classes, classes)."""
        return cls(counts.sum(axis=2), counts.sum(axis=1), counts.diagonal(axis1=1, axis2=2))

    def against_rest(self, place: int) -> ndarray:
        """Return the counts of one class against the rest, shape (groups, 2, 2), the class second."""
        import numpy as np

        true, said, hits = (each[:, place] for each in (self.true, self.said, self.hits))
        others = self.true.sum(axis=1) - true - said + hits
        return np.stack([others, said - hits, true - hits, hits], axis=1).reshape(-1, 2, 2)


def count_margins(predictions: Predictions, groups: Groups, classes: Sequence[Any]) -> Margins:
    """Count the rows of each group by true class, by predicted class, and by class where both are the same."""
    import numpy as np

    size, count = len(groups.names), len(classes)
    if predictions.task == BINARY:
        place = groups.codes * 4
        place += 2 * predictions.positive_label.astype(np.uint8) + predictions.positive_prediction
        return Margins.of(count_codes(place, 4 * size).reshape(-1, 2, 2))
    label, said = (_codes(values, classes) for values in (predictions.label, predictions.prediction))
    base, right = groups.codes * (count + 1), label == said
    places = base + label, base + said, (base + label)[right]
    return Margins(*(count_codes(each, size * (count + 1)).reshape(size, -1)[:, :-1] for each in places))


def _codes(values: ndarray, classes: Sequence[Any]) -> ndarray:
    """Return the place of each value among the classes; of what is none of them, their number."""
    import numpy as np

    places = {value: place for place, value in enumerate(classes)}
    return np.array([places.get(value, len(classes)) for value in values.tolist()], dtype=int)


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


def overall_quantities(margins: Margins) -> dict[str, Quantity]:
    """Return what is of all classes."""
    right, total = margins.hits.sum(axis=1), margins.true.sum(axis=1)
    recalls = [Rate(hits, true) for hits, true in zip(margins.hits.T, margins.true.T, strict=True)]
    return {
        ACCURACY: Rate(right, total),
        ERROR_RATE: Rate(total - right, total),
        BALANCED_ACCURACY: BalancedAccuracy(recalls),
    }


def mean_of(values: ndarray, groups: Groups, skewed: bool = False) -> Estimate:
    """Return the mean of a value of each row, shape (rows,), in each group.

    Args:
        values: The value of each row.
        groups: The groups.
        skewed: Whether the values are losses, whose third moments make the interval as skewed as they are.
    """
    import numpy as np

    rows = groups.partition.sizes
    means, squares, cubes = np.zeros((3, len(rows)))
    for place, part in enumerate(groups.partition.split(values)):
        means[place] = part.mean()
        part -= means[place]
        powers = part * part
        squares[place] = powers.sum()
        if skewed:
            powers *= part
            cubes[place] = powers.sum()
    scale = rows * np.maximum(rows - 1, 1)
    return Estimate(means, squares / scale, rows, thirds=cubes / scale**1.5 if skewed else None)


def _mean_score(predictions: Predictions, groups: Groups) -> Estimate:
    assert predictions.score is not None
    return mean_of(predictions.score.astype(float, copy=False), groups)


def _log_loss(predictions: Predictions, groups: Groups) -> Estimate:
    import numpy as np

    assert predictions.score is not None
    if predictions.task == BINARY:
        score = predictions.score.astype(float, copy=False)
        right = np.where(predictions.positive_label, score, 1 - score)
    else:
        place = _codes(predictions.label, predictions.classes)
        padded = np.column_stack([predictions.score, np.zeros(len(place))])
        right = padded[np.arange(len(place)), place]
    least = np.finfo(float).eps
    np.log(right.clip(least, 1 - least, out=right), out=right)
    return mean_of(np.negative(right, out=right), groups, skewed=True)


def _roc_auc(predictions: Predictions, groups: Groups) -> Estimate:
    """Areas under the curves of groups, with DeLong's variances; too few rows of a class are few trials."""
    assert predictions.score is not None
    score, positive = predictions.score.astype(float, copy=False), predictions.positive_label
    return Estimate(*grouped_areas(score, positive, groups.partition), LOGIT)


def _mean_prediction(predictions: Predictions, groups: Groups) -> Estimate:
    return mean_of(predictions.prediction.astype(float, copy=False), groups)


def _errors(predictions: Predictions) -> ndarray:
    return predictions.prediction.astype(float, copy=False) - predictions.label.astype(float, copy=False)


def _mean_absolute_error(predictions: Predictions, groups: Groups) -> Estimate:
    import numpy as np

    errors = _errors(predictions)
    return mean_of(np.abs(errors, out=errors), groups, skewed=True)


def _mean_squared_error(predictions: Predictions, groups: Groups) -> Estimate:
    return mean_of(_errors(predictions) ** 2, groups, skewed=True)


def _r2(predictions: Predictions, groups: Groups) -> Estimate:
    """R² of groups, with variances from each row's influence; 0 trials where all labels of a group are equal."""
    import numpy as np

    rows = groups.partition.sizes
    unexplained, variances = np.zeros(len(rows)), np.zeros(len(rows))
    parts = (
        groups.partition.split(values.astype(float, copy=False))
        for values in (predictions.label, predictions.prediction)
    )
    known = np.zeros(len(rows), dtype=bool)
    for place, (label, prediction) in enumerate(zip(*parts, strict=True)):
        squares, spread = (prediction - label) ** 2, (label - label.mean()) ** 2
        total = spread.sum()
        if total > 0:
            known[place], unexplained[place] = True, squares.sum() / total
            variances[place] = ((unexplained[place] * spread - squares) ** 2).sum() / total**2
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
