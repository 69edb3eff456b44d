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
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import ndarray

MAX_FEATURES = 16
"""The most features on a path whose patterns are tabulated, which bounds memory."""

ENTRIES = 1 << 18
"""How many entries of tables are made at once, about."""

LEAF, ENTRY, LOOK_UP, STEP = 2e-5, 2e-8, 2.5e-9, 2e-9
"""About what things cost, in seconds: a leaf, an entry of its table and a look-up here, a step of TreeSHAP there."""


@dataclass(frozen=True)
class _Path:
    """The way from a tree's root to a node.

    Attributes:
        node: The node.
        features: The features tested, each once.
        pattern: Of each row, which features keep all their tests, as bits; shape (rows,).
    """

    node: int
    features: tuple[int, ...]
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
                steps += rows * (depth + 1) ** 2 * STEP
    return tables < steps


class _Tree:
    """A tree, and the rows that go through it.

    Attributes:
        leaves: Leaf to the share of the training rows that went the path's way at the tests of each feature, the
            features in the order of the path.
    """

    def __init__(self, ensemble: Any, tree: int, columns: ndarray, missing: ndarray, gaps: ndarray) -> None:
        self.left, self.right = ensemble.children_left[tree].tolist(), ensemble.children_right[tree].tolist()
        self.default, self.features = ensemble.children_default[tree].tolist(), ensemble.features[tree].tolist()
        self.thresholds, self.weights = ensemble.thresholds[tree], ensemble.node_sample_weight[tree].tolist()
        self.columns, self.missing, self.gaps = columns, missing, gaps
        self.leaves = self._leaves()

    def _leaves(self) -> dict[int, tuple[float, ...]]:
        found = {}
        ways: list[tuple[int, dict[int, float]]] = [(0, {})]
        while ways:
            node, shares = ways.pop()
            if self.left[node] < 0:
                found[node] = tuple(shares.values())
                continue
            feature = self.features[node]
            for child in (self.right[node], self.left[node]):
                share = shares.get(feature, 1.0) * self.weights[child] / self.weights[node]
                ways.append((child, shares | {feature: share}))
        return found

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

        if feature not in path.features:
            pattern = path.pattern | (kept.astype(np.intp) << len(path.features))
            return _Path(child, (*path.features, feature), pattern)
        bit = path.features.index(feature)
        return _Path(child, path.features, path.pattern & ~((~kept).astype(np.intp) << bit))


def _add_tree(tree: _Tree, values: ndarray, found: ndarray) -> None:
    """Add a tree's share to the values, shape (features, outputs, rows)."""
    import numpy as np

    tables = _Tables(tree, values)
    ways = [_Path(0, (), np.zeros(found.shape[2], dtype=np.intp))]
    buffer = np.empty(found.shape[2])
    while ways:
        path = ways.pop()
        if tree.left[path.node] < 0:
            _look_up(path, tables.take(path.node), found, buffer)
            continue
        left, right = tree.children(path)
        if len(left.features) > len(path.features) and tree.left[left.node] < 0 and tree.left[right.node] < 0:
            _look_up(left, tables.take(left.node) + _mirrored(tables.take(right.node)), found, buffer)
        else:
            ways += [left, right]


class _Tables:
    """The leaves' shares in the values of the features, some leaves at a time."""

    def __init__(self, tree: _Tree, values: ndarray) -> None:
        self._left, self._values = list(tree.leaves.items()), values
        self._ready: dict[int, ndarray] = {}

    def take(self, node: int) -> ndarray:
        """Return a leaf's share in the value of each feature for each pattern, shape (features, outputs, patterns)."""
        while node not in self._ready:
            self._make()
        return self._ready.pop(node)

    def _make(self) -> None:
        """Make the tables of the next leaves, together those with as many features."""
        import numpy as np

        entries = 0
        alike: dict[int, list[tuple[int, tuple[float, ...]]]] = {}
        while self._left and entries < ENTRIES:
            node, shares = self._left.pop()
            entries += self._values.shape[1] * len(shares) << len(shares)
            alike.setdefault(len(shares), []).append((node, shares))
        for leaves in alike.values():
            nodes = [node for node, _ in leaves]
            made = _shares(np.array([shares for _, shares in leaves]))
            of_outputs = made[:, :, None, :] * self._values[nodes][:, None, :, None]
            self._ready.update(zip(nodes, of_outputs, strict=True))


def _mirrored(table: ndarray) -> ndarray:
    """Return a table by the patterns of the leaf beside its own, which differ in the last feature's test alone."""
    return table.reshape(*table.shape[:2], 2, -1)[:, :, ::-1].reshape(table.shape)


def _look_up(path: _Path, table: ndarray, found: ndarray, buffer: ndarray) -> None:
    for feature, of_outputs in zip(path.features, table, strict=True):
        for output, shares in enumerate(of_outputs):
            found[feature, output] += shares.take(path.pattern, out=buffer, mode="clip")


def _shares(z: ndarray) -> ndarray:
    """Return leaves' shares in the value of each feature for each pattern, shape (leaves, features, patterns).

    Args:
        z: The share of the training rows that went the path's way at each feature's tests, shape (leaves, features).
    """
    import numpy as np

    leaves, count = z.shape
    sums = _subset_sums(z)
    found = np.empty((leaves, count, 1 << count))
    for place in range(count):
        size = (leaves, -1, 2, 1 << place)
        halves, of_sums = found[:, place].reshape(size), sums.reshape(size)
        halves[:, :, 1] = ((1 - z[:, place]) / z[:, place])[:, None, None] * of_sums[:, :, 0]
        halves[:, :, 0] = -of_sums[:, :, 0]
    return found


def _subset_sums(z: ndarray) -> ndarray:
    """Return T of each pattern, shape (leaves, patterns); the module defines it."""
    import numpy as np

    leaves, count = z.shape
    products = np.ones((leaves, 1))
    for place in range(count):
        products = np.concatenate([products * z[:, place, None], products], axis=1)
    sums = products * _weights(count)
    for place in range(count):
        halves = sums.reshape(leaves, -1, 2, 1 << place)
        halves[:, :, 1] += halves[:, :, 0]
    return sums


@lru_cache
def _weights(count: int) -> ndarray:
    """Return w of each pattern's size, 0 for all features; the module defines it."""
    import numpy as np

    sizes = np.zeros(1, dtype=int)
    for _ in range(count):
        sizes = np.concatenate([sizes, sizes + 1])
    of_size = [math.factorial(s) * math.factorial(count - s - 1) / math.factorial(count) for s in range(count)]
    return np.array([*of_size, 0.0])[sizes]
