"""Labels that other rows gainsay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray

CERTAIN = 0.05
"""The share of the rows of whose labels other rows are most certain."""


@dataclass(frozen=True)
class Suspects:
    """Labels that are held for wrong.

    Attributes:
        wrong: Whether cleanlab holds a row for wrongly labelled, shape (rows,).
        scores: 1 minus the probability of the label that a row has, shape (rows,).
        certain: How many rows there are of whose label other rows are most certain.
        gainsaid: How many of these have another label than the likely one.
    """

    wrong: ndarray
    scores: ndarray
    certain: int
    gainsaid: int

    @property
    def noise(self) -> float:
        """The share of the certain rows that have another label than the likely one."""
        return self.gainsaid / self.certain

    @property
    def share(self) -> float:
        """The share of rows that cleanlab holds for wrongly labelled."""
        return float(self.wrong.mean())


def find_suspects(labels: ndarray, probabilities: ndarray) -> Suspects:
    """Return which labels are held for wrong, by probabilities told by models that did not learn from the row.

    Args:
        labels: The class of each row, shape (rows,).
        probabilities: Of each class for each row, shape (rows, classes).

    Source: Northcutt, Jiang and Chuang 2021, Confident Learning; as cleanlab has it.
    """
    import numpy as np
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    wrong = find_label_issues(labels, probabilities, n_jobs=1)
    scores = 1 - get_label_quality_scores(labels, probabilities)
    certainty = probabilities.max(axis=1)
    certain = certainty >= np.quantile(certainty, 1 - CERTAIN)
    gainsaid = certain & (probabilities.argmax(axis=1) != labels)
    return Suspects(wrong, scores, int(certain.sum()), int(gainsaid.sum()))
