"""Regions of features in which a label's share is another than in the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.data.screen_poisoning.encoding import OTHER, Columns
from kfp_hallmark.components.data.screen_poisoning.models import chance
from kfp_hallmark.profiles.drift import adjusted

if TYPE_CHECKING:
    from numpy import ndarray

LEAVES = 32
"""How many regions there are at the most."""
LEAST_SHARE, LEAST_ROWS = 0.01, 100
"""What share of the baseline's half that makes the regions, and how many rows, each has at least."""
COMPARED_ROWS = 30
"""The fewest rows of each side by which a region is compared."""
LEVEL = 0.01
"""An adjusted p-value below it is not chance."""


@dataclass(frozen=True)
class Region:
    """A region of features.

    Attributes:
        conditions: What its rows have in common, in words.
        label: The class whose share differs most, as a position.
        before: Its share in the baseline.
        now: Its share in the dataset.
        rows: How many rows of the dataset are there.
        shift: Cohen's h, 2 asin(sqrt(now)) - 2 asin(sqrt(before)).
        p_value: How probable such a difference, or a greater, is by chance; adjusted for the number of regions.
        members: Whether a row of the dataset is there and holds the class, if its share grew, or another, if it fell;
            shape (rows,).
    """

    conditions: list[str]
    label: int
    before: float
    now: float
    rows: int
    shift: float
    p_value: float
    members: ndarray


def find_regions(columns: Columns, labels: ndarray, former: ndarray, classes: int, seed: int) -> list[Region]:
    """Return the regions that a tree makes of the baseline, the most shifted first.

    A tree that tells the label makes the regions from one half of the baseline; shares are those of the other half,
    which chance has not made purer.

    Args:
        columns: The features.
        labels: The class of each row of the dataset.
        former: That of each row of the baseline.
        classes: How many classes there are.
        seed: Seed of the halves.
    """
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier

    first = chance(seed, "halves").random(len(former)) < 0.5
    least = max(LEAST_ROWS, math.ceil(LEAST_SHARE * first.sum()))
    tree = DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=least, random_state=seed)
    tree.fit(columns.baseline[first].astype(np.float32), former[first])
    leaves = tree.apply(columns.codes.astype(np.float32))
    leaves_before = tree.apply(columns.baseline[~first].astype(np.float32))
    size = tree.tree_.node_count
    now, before = (
        np.bincount(each * classes + label, minlength=size * classes).reshape(size, classes)
        for each, label in ((leaves, labels), (leaves_before, former[~first]))
    )
    compared = np.flatnonzero(np.minimum(now.sum(axis=1), before.sum(axis=1)) >= COMPARED_ROWS)
    p_values = adjusted([_p_value(np.stack([now[leaf], before[leaf]])) for leaf in compared])
    ranks = _Ranks(columns)
    found = []
    for leaf, p_value in zip(compared.tolist(), p_values, strict=True):
        shares, shares_before = (each[leaf] / each[leaf].sum() for each in (now, before))
        shifts = 2 * np.arcsin(np.sqrt(shares)) - 2 * np.arcsin(np.sqrt(shares_before))
        label = int(abs(shifts).argmax())
        grew = shifts[label] > 0
        found.append(
            Region(
                conditions=ranks.conditions(tree.tree_, leaf),
                label=label,
                before=float(shares_before[label]),
                now=float(shares[label]),
                rows=int(now[leaf].sum()),
                shift=float(shifts[label]),
                p_value=p_value,
                members=(leaves == leaf) & ((labels == label) == grew),
            )
        )
    return sorted(found, key=lambda region: -abs(region.shift))


def _p_value(counts: ndarray) -> float:
    """Return the p-value of the chi-squared test of two rows of counts; 1 where there is one class alone."""
    from scipy import stats

    counts = counts[:, counts.any(axis=0)]
    return float(stats.chi2_contingency(counts, correction=False).pvalue) if counts.shape[1] > 1 else 1.0


class _Ranks:
    """Says where codes lie among those of the baseline, without any value."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def conditions(self, tree: Any, leaf: int) -> list[str]:
        """Return what leads to a leaf, one sentence part a feature."""
        bounds: dict[int, tuple[float, float]] = {}
        for feature, bound, left in _way(tree, leaf):
            low, high = bounds.get(feature, (-math.inf, math.inf))
            bounds[feature] = (low, min(high, bound)) if left else (max(low, bound), high)
        return [self._between(feature, *bounds[feature]) for feature in sorted(bounds)]

    def _between(self, feature: int, low: float, high: float) -> str:
        codes, name = self._columns.baseline[:, feature], self._columns.names[feature]
        if high < OTHER:
            return f"{name} missing"
        start, end = (f"{100 * float((codes <= bound).mean()):.3g} %" for bound in (low, high))
        if low == -math.inf:
            return f"{name} up to {end}"
        return f"{name} from {start}" if high == math.inf else f"{name} from {start} to {end}"


def _way(tree: Any, leaf: int) -> Sequence[tuple[int, float, bool]]:
    """Return the feature, the bound and whether at most it, of each split that leads to a leaf."""
    parents = {}
    for node in range(tree.node_count):
        if tree.children_left[node] >= 0:
            parents[int(tree.children_left[node])] = (node, True)
            parents[int(tree.children_right[node])] = (node, False)
    found = []
    while leaf in parents:
        leaf, left = parents[leaf]
        found.append((int(tree.feature[leaf]), float(tree.threshold[leaf]), left))
    return found
