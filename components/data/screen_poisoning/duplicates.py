"""Near-duplicates that contradict each other more than rows with their features do by chance.

Of two rows i and j with the class probabilities p and q, the labels differ with the probability 1 - sum(p * q). A row's
conflict is the share of its near-duplicates with another label; what is in excess is the mean, over all rows, of the
conflict minus its expectation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_hallmark.measures import Interval, normal_quantile

if TYPE_CHECKING:
    from numpy import ndarray


@dataclass(frozen=True)
class Conflicts:
    """How near-duplicates contradict each other.

    Attributes:
        duplicated: How many rows have a near-duplicate.
        contradicted: How many of them have one with another label.
        excess: The conflict in excess of what is expected, as a share of all rows.
        interval: Its interval.
        shares: Of each row, the share of its near-duplicates that have another label, 0 without any; shape (rows,).
    """

    duplicated: int
    contradicted: int
    excess: float
    interval: Interval
    shares: ndarray


def find_conflicts(keys: ndarray, labels: ndarray, probabilities: ndarray, confidence: float) -> Conflicts:
    """Return how near-duplicates contradict each other.

    Args:
        keys: Hashes of each row, shape (2, rows); near-duplicates have the first in common, or else the second.
        labels: The class of each row, shape (rows,).
        probabilities: Of each class for each row, shape (rows, classes).
        confidence: Confidence level of the interval.
    """
    import numpy as np

    rows = len(labels)
    groups, sizes, shares, expected = _compare(keys[0], labels, probabilities)
    alone = sizes == 1
    if alone.any():
        other_groups, other_sizes, other_shares, other_expected = _compare(keys[1], labels, probabilities)
        groups = np.where(alone, other_groups + rows, groups)
        sizes = np.where(alone, other_sizes, sizes)
        shares = np.where(alone, other_shares, shares)
        expected = np.where(alone, other_expected, expected)
    beyond = shares - expected
    excess = float(beyond.mean())
    # Rows of one group vary together.
    error = math.sqrt(float((np.bincount(groups, beyond) ** 2).sum())) / rows
    reach = normal_quantile(confidence) * error
    return Conflicts(int((sizes > 1).sum()), int((shares > 0).sum()), excess, (excess - reach, excess + reach), shares)


def _compare(keys: ndarray, labels: ndarray, probabilities: ndarray) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Return of each row: its group, the group's size, the share of the others with another label, what is expected."""
    import numpy as np

    found, groups = np.unique(keys, return_inverse=True)
    classes = probabilities.shape[1]
    counts = np.bincount(groups * classes + labels, minlength=len(found) * classes).reshape(-1, classes)
    sizes = counts.sum(axis=1)[groups]
    others = np.maximum(sizes - 1, 1)
    shares = (sizes - counts[groups, labels]) / others
    alike = np.zeros(len(labels))
    for column in probabilities.T.astype(np.float64):
        alike += column * (np.bincount(groups, column)[groups] - column)
    return groups, sizes, shares, np.where(sizes > 1, 1 - alike / others, 0.0)
