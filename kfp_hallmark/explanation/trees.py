"""SHAP values of tree ensembles, exactly, from which tests of a leaf's path each row keeps.

A leaf's share of a row's SHAP values depends only on which of the features on its path keep all their tests there: of d
features there are 2^d such patterns, and usually far fewer than rows. So the shares are computed once a leaf and
pattern, and looked up for the rows; TreeSHAP computes them for every row anew. The values are those of TreeSHAP with
the trees' own node weights, up to rounding.

Of a leaf of the value v, let z(f) be the product of the shares of the training rows that went the path's way at the
tests of feature f, and w(s) = s! (d - s - 1)! / d!. For a row that keeps the tests of the features P, feature f gets

    v (1 - z(f)) / z(f) T(P without f)   when f is in P,
    -v T(P)                              when it is not,

where T(A) is the sum over the subsets S of A of w(|S|) times the product of z(g) over all g that are not in S.

Source: S. Lundberg and others, Nature Machine Intelligence 2 (2020), for the values; the rest follows from the
definition of a Shapley value, by sorting its sum over the coalitions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import ndarray

MAX_FEATURES = 16
"""The most features on a path whose patterns are tabulated, which bounds memory."""

LEAF, ENTRY, LOOK_UP, STEP = 5e-5, 5e-9, 2.5e-9, 1.3e-9
"""About what things cost, in seconds: a leaf, an entry of its table and a look-up here, a step of TreeSHAP there."""


@dataclass(frozen=True)
class _Path:
    """The way from a tree's root to a node.

    Attributes:
        node: The node.
        features: The features tested, each once.
        shares: The share of the training rows that went the path's way at the tests of each.
        pattern: Of each row, which features keep all their tests, as bits; shape (rows,).
    """

    node: int
    features: tuple[int, ...]
    shares: tuple[float, ...]
    pattern: ndarray


def tree_values(ensemble: Any, matrix: ndarray) -> ndarray | None:
    """Return the SHAP values of all outputs, shape (rows, features, outputs).

    Args:
        ensemble: What SHAP's `TreeExplainer` has as `model`: the trees as arrays.
        matrix: The rows, shape (rows, features); NaN is missing.

    Returns:
        None where TreeSHAP is to do it: a tree tests sets of categories, a node has no training rows, or the paths test
        so many features, or the rows are so few, that tables are not worth their while.
    """
    import numpy as np

    if np.any(ensemble.threshold_types) or not _worthwhile(ensemble, len(matrix)):
        return None
    columns = np.ascontiguousarray(matrix.astype(ensemble.input_dtype).T)
    missing = np.isnan(columns)
    gaps = missing.any(axis=1)
    outputs = ensemble.values.shape[2]
    mirrored = outputs == 2 and np.allclose(ensemble.values.sum(axis=2), ensemble.values[:, :1].sum(axis=2), atol=1e-12)
    kept = slice(1, 2) if mirrored else slice(None)
    found = np.zeros((len(columns), outputs - mirrored, columns.shape[1]))
    for tree in range(len(ensemble.features)):
        _add_tree(_Tree(ensemble, tree, columns, missing, gaps), ensemble.values[tree][:, kept], found)
    values = np.moveaxis(found, 2, 0)
    return np.concatenate([-values, values], axis=2) if mirrored else values


def _worthwhile(ensemble: Any, rows: int) -> bool:
    """Return whether every node has training rows, and tables cost less than TreeSHAP."""
    tables = steps = 0.0
    for tree in range(len(ensemble.features)):
        left, right = ensemble.children_left[tree].tolist(), ensemble.children_right[tree].tolist()
        features, weights = ensemble.features[tree].tolist(), ensemble.node_sample_weight[tree].tolist()
        ways: list[tuple[int, int, frozenset[int]]] = [(0, 0, frozenset())]
        while ways:
            node, depth, tested = ways.pop()
            count = len(tested)
            if weights[node] <= 0 or count > MAX_FEATURES:
                return False
            if left[node] >= 0:
                tested = tested | {features[node]}
                ways += [(left[node], depth + 1, tested), (right[node], depth + 1, tested)]
            else:
                tables += LEAF + count * ((1 << count) * ENTRY + rows * LOOK_UP)
                steps += rows * depth**2 * STEP
    return tables < steps


class _Tree:
    """A tree, and the rows that go through it."""

    def __init__(self, ensemble: Any, tree: int, columns: ndarray, missing: ndarray, gaps: ndarray) -> None:
        self.left, self.right = ensemble.children_left[tree].tolist(), ensemble.children_right[tree].tolist()
        self.default, self.features = ensemble.children_default[tree].tolist(), ensemble.features[tree].tolist()
        self.thresholds, self.weights = ensemble.thresholds[tree], ensemble.node_sample_weight[tree].tolist()
        self.columns, self.missing, self.gaps = columns, missing, gaps

    def goes_left(self, node: int) -> ndarray:
        """Return whether each row keeps the test of a node."""
        feature = self.features[node]
        kept = self.columns[feature] <= self.thresholds[node]
        if self.gaps[feature]:
            kept[self.missing[feature]] = self.default[node] == self.left[node]
        return kept

    def children(self, path: _Path) -> tuple[_Path, _Path]:
        """Return the two ways on from a node."""
        kept, feature = self.goes_left(path.node), self.features[path.node]
        left, right = self.left[path.node], self.right[path.node]
        return self._on(path, left, feature, kept), self._on(path, right, feature, ~kept)

    def _on(self, path: _Path, child: int, feature: int, kept: ndarray) -> _Path:
        import numpy as np

        share = self.weights[child] / self.weights[path.node]
        if feature not in path.features:
            bit = len(path.features)
            pattern = path.pattern | (kept.astype(np.intp) << bit)
            return _Path(child, (*path.features, feature), (*path.shares, share), pattern)
        bit = path.features.index(feature)
        shares = tuple(each * share if place == bit else each for place, each in enumerate(path.shares))
        return _Path(child, path.features, shares, path.pattern & ~((~kept).astype(np.intp) << bit))


def _add_tree(tree: _Tree, values: ndarray, found: ndarray) -> None:
    """Add a tree's share to the values, shape (features, outputs, rows)."""
    import numpy as np

    ways = [_Path(0, (), (), np.zeros(found.shape[2], dtype=np.intp))]
    buffer = np.empty(found.shape[2])
    while ways:
        path = ways.pop()
        if tree.left[path.node] < 0:
            _look_up(path, _leaf(path, values), found, buffer)
            continue
        left, right = tree.children(path)
        if len(left.features) > len(path.features) and tree.left[left.node] < 0 and tree.left[right.node] < 0:
            _look_up(left, _leaf(left, values) + _mirrored(_leaf(right, values)), found, buffer)
        else:
            ways += [left, right]


def _leaf(path: _Path, values: ndarray) -> ndarray:
    """Return a leaf's share in the value of each feature for each pattern, shape (features, outputs, patterns)."""
    return _shares(path.shares)[:, None, :] * values[path.node][None, :, None]


def _mirrored(table: ndarray) -> ndarray:
    """Return a table by the patterns of the leaf beside its own, which differ in the last feature's test alone."""
    return table.reshape(*table.shape[:2], 2, -1)[:, :, ::-1].reshape(table.shape)


def _look_up(path: _Path, table: ndarray, found: ndarray, buffer: ndarray) -> None:
    for feature, of_outputs in zip(path.features, table, strict=True):
        for output, shares in enumerate(of_outputs):
            found[feature, output] += shares.take(path.pattern, out=buffer, mode="clip")


def _shares(shares: tuple[float, ...]) -> ndarray:
    """Return a leaf's share in the value of each feature for each pattern, shape (features, patterns)."""
    import numpy as np

    count = len(shares)
    z = np.array(shares)
    sums = _subset_sums(z)
    found = np.empty((count, 1 << count))
    for place in range(count):
        halves, of_sums = found[place].reshape(-1, 2, 1 << place), sums.reshape(-1, 2, 1 << place)
        halves[:, 1] = (1 - z[place]) / z[place] * of_sums[:, 0]
        halves[:, 0] = -of_sums[:, 0]
    return found


def _subset_sums(z: ndarray) -> ndarray:
    """Return T of each pattern; the module defines it."""
    import numpy as np

    count = len(z)
    products, sizes = np.ones(1), np.zeros(1, dtype=int)
    for share in z.tolist():
        products = np.concatenate([products * share, products])
        sizes = np.concatenate([sizes, sizes + 1])
    weights = np.array(
        [math.factorial(s) * math.factorial(count - s - 1) / math.factorial(count) for s in range(count)]
    )
    sums = products * np.append(weights, 0.0)[sizes]
    for place in range(count):
        halves = sums.reshape(-1, 2, 1 << place)
        halves[:, 1] += halves[:, 0]
    return sums
