"""What other thresholds would give: balanced accuracy against the disparity between groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.fairness.disparity import disparity
from kfp_hallmark.fairness.groups import Groups
from kfp_hallmark.fairness.registry import DIFFERENCE, Disparity
from kfp_hallmark.fairness.tally import Margins, class_quantities, overall_quantities

if TYPE_CHECKING:
    from numpy import ndarray

POINTS = 25
"""How many thresholds are looked at, at even shares of the rows."""


@dataclass(frozen=True)
class TradeOff:
    """A disparity between the groups of a feature, and the model's balanced accuracy, over thresholds.

    Attributes:
        feature: The feature.
        measure: The disparity.
        thresholds: Rising, shape (points,).
        disparities: The disparity at each threshold.
        accuracies: The balanced accuracy of all rows at each threshold.
        chosen: The place of the threshold that the model has.
    """

    feature: str
    measure: Disparity
    thresholds: list[float]
    disparities: list[float]
    accuracies: list[float]
    chosen: int


def is_traded(measure: Disparity) -> bool:
    """Return whether a disparity is a difference of what changes with the threshold."""
    return measure.statistic == DIFFERENCE and all(kind.of_class for kind in measure.kinds)


def trade_offs(
    predictions: Predictions, groups: Groups, measures: Sequence[Disparity], min_size: int
) -> list[TradeOff]:
    """Return the trade-off of each measure whose groups are large enough whatever the threshold.

    Args:
        predictions: Binary, with scores and both classes.
        groups: The groups.
        measures: The differences to look at.
        min_size: The fewest rows, of the class that a rate is a share of, by which a group is looked at.
    """
    import numpy as np

    assert predictions.score is not None and predictions.threshold is not None
    score = predictions.score.astype(float)
    thresholds = np.unique([*np.quantile(score, np.linspace(0.02, 0.98, POINTS)), predictions.threshold])
    counts = counts_over(thresholds, score, predictions.positive_label, groups)
    accuracies = [
        float(overall_quantities(Margins.of(each.sum(axis=0)[None]))["balanced accuracy"].values[0]) for each in counts
    ]
    found = []
    for measure in measures:
        disparities = [_difference(each, measure, min_size) for each in counts]
        known = [value for value in disparities if value is not None]
        if len(known) == len(disparities) and np.isfinite(accuracies).all():
            chosen = int(np.searchsorted(thresholds, predictions.threshold))
            found.append(TradeOff(groups.feature, measure, thresholds.tolist(), known, accuracies, chosen))
    return found


def _difference(counts: ndarray, measure: Disparity, min_size: int) -> float | None:
    import numpy as np

    quantities = class_quantities(counts)
    compared = []
    for name in measure.quantities:
        places = np.flatnonzero((counts.sum(axis=(1, 2)) >= min_size) & (quantities[name].trials >= min_size))
        if len(places) < 2:
            return None
        compared.append(quantities[name].of(places))
    return disparity(compared, DIFFERENCE)


def counts_over(thresholds: ndarray, score: ndarray, positive: ndarray, groups: Groups) -> ndarray:
    """Count truth by prediction in each group at each threshold, shape (thresholds, groups, 2, 2).

    Args:
        thresholds: Rising, shape (thresholds,); a score at or above one is predicted positive.
        score: Shape (rows,).
        positive: Whether a row is positive, shape (rows,).
        groups: The groups of the rows.
    """
    import numpy as np

    size = len(thresholds) + 1
    reached = np.searchsorted(thresholds, score, side="right")
    place = (groups.codes * 2 + positive) * size + reached
    rows = np.bincount(place, minlength=len(groups.names) * 2 * size).reshape(-1, 2, size)
    below = rows.cumsum(axis=2)[:, :, :-1]
    above = rows.sum(axis=2, keepdims=True) - below
    return np.stack([below, above], axis=-1).transpose(2, 0, 1, 3)
