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
from collections.abc import Container, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy import ndarray

MAX_FEATURES = 16
"""The most features on a path whose patterns are tabulated, which bounds memory."""

ENTRIES = 1 << 18
"""How many entries of tables are made at once, about."""

STOP, ENTRY, LOOK_UP, STEP = 1.5e-5, 2e-8, 2.5e-9, 2e-9
"""About what things cost, in seconds: a stop, an entry of its table and a look-up here, a step of TreeSHAP there."""


class _Stop(NamedTuple):
    """A leaf, or two that the last test of their path parts, when that test is the first of its feature there.

    The patterns of two such leaves differ in the last bit alone, so that one table serves both.

    Attributes:
        tree: The tree.
        outputs: The outputs that the tree has a share in.
        leaves: The leaf, or the left and the right one.
        shares: Of each, the share of the training rows that went the path's way at the tests of each feature, the
            features in the order of the path.
    """

    tree: int
    outputs: tuple[int, ...]
    leaves: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]


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

    if np.any(ensemble.threshold_types > 0):
        return None
    outputs = ensemble.values.shape[2]
    mirrored = outputs == 2 and np.allclose(ensemble.values.sum(axis=2), ensemble.values[:, :1].sum(axis=2), atol=1e-12)
    # A booster that stopped early does not use its last trees.
    split = np.flatnonzero(ensemble.children_left[: ensemble.tree_limit, 0] >= 0)
    trees = [_Tree(ensemble, tree, (1,) if mirrored else None) for tree in split.tolist()]
    stops = _worthwhile(trees, len(matrix))
    if stops is None:
        return None
    columns = np.ascontiguousarray(matrix.astype(ensemble.input_dtype).T)
    missing = np.isnan(columns)
    rows = _Rows(columns, missing, missing.any(axis=1).tolist())
    found = np.zeros((outputs, *columns.shape))
    tables = _tables(stops, ensemble.values)
    for tree in trees:
        _add_tree(tree, tables, rows, [list(found[output]) for output in tree.outputs])
    if mirrored:
        found[0] = -found[1]
    return found.T


class _Rows(NamedTuple):
    """The rows: their values, shape (features, rows), which are missing, and which features have missing ones."""

    columns: ndarray
    missing: ndarray
    gaps: list[bool]


class _Tree:
    """A tree, as lists by node.

    Attributes:
        outputs: The outputs that it has a share in.
    """

    def __init__(self, ensemble: Any, tree: int, outputs: tuple[int, ...] | None) -> None:
        self.tree, values = tree, ensemble.values[tree]
        self.outputs = tuple(values.any(axis=0).nonzero()[0].tolist()) if outputs is None else outputs
        self.left, self.right = ensemble.children_left[tree].tolist(), ensemble.children_right[tree].tolist()
        self.default, self.features = ensemble.children_default[tree].tolist(), ensemble.features[tree].tolist()
        self.thresholds, self.weights = ensemble.thresholds[tree], ensemble.node_sample_weight[tree].tolist()

    def stops(self) -> Iterator[tuple[int, _Stop]]:
        """Give the stops in the order in which rows go to them, each with the number of tests before it.

        A path that tests more than `MAX_FEATURES` features, or at whose node there are no training rows, ends there.
        """
        ways: list[tuple[int, int, dict[int, float]]] = [(0, 0, {})]
        while ways:
            node, depth, shares = ways.pop()
            left, right = self.left[node], self.right[node]
            if left < 0 or len(shares) > MAX_FEATURES or not self.weights[node]:
                yield depth, _Stop(self.tree, self.outputs, (node,), (tuple(shares.values()),))
                continue
            feature, weight = self.features[node], self.weights[node]
            before = shares.get(feature, 1.0)
            of_left, of_right = (shares | {feature: before * self.weights[child] / weight} for child in (left, right))
            if self.is_pair(node, shares):
                both = (tuple(of_left.values()), tuple(of_right.values()))
                yield depth + 1, _Stop(self.tree, self.outputs, (left, right), both)
            else:
                ways += [(left, depth + 1, of_left), (right, depth + 1, of_right)]

    def is_pair(self, node: int, tested: Container[int]) -> bool:
        """Return whether two leaves part at a node by a feature that the path to it does not test."""
        leaves = self.left[self.left[node]] < 0 and self.left[self.right[node]] < 0
        return leaves and self.features[node] not in tested

    def goes_left(self, node: int, rows: _Rows) -> ndarray:
        """Return whether each row keeps the test of a node, as 0 and 1."""
        import numpy as np

        feature = self.features[node]
        kept = rows.columns[feature] <= self.thresholds[node]
        if rows.gaps[feature]:
            kept[rows.missing[feature]] = self.default[node] == self.left[node]
        return kept.astype(np.intp)


def _worthwhile(trees: Iterable[_Tree], rows: int) -> list[_Stop] | None:
    """Return the stops of all trees in order; None if a node has no training rows or tables cost more than TreeSHAP."""
    found = []
    tables = steps = 0.0
    for tree in trees:
        for depth, stop in tree.stops():
            count = len(stop.shares[0])
            if count > MAX_FEATURES or not all(map(all, stop.shares)):
                return None
            found.append(stop)
            tables += STOP + count * ((len(stop.leaves) << count) * ENTRY + rows * LOOK_UP) * len(stop.outputs)
            steps += len(stop.leaves) * rows * (depth + 1) ** 2 * STEP
    return found if tables < steps else None


def _add_tree(tree: _Tree, tables: Iterator[ndarray], rows: _Rows, found: list[list[ndarray]]) -> None:
    """Add a tree's share to the values, of each of its outputs one array a feature."""
    import numpy as np

    length = rows.columns.shape[1]
    buffer = np.empty((MAX_FEATURES, length))

    def look_up(features: tuple[int, ...], pattern: ndarray) -> None:
        for values, table in zip(found, next(tables), strict=True):
            shares = table.take(pattern, axis=1, out=buffer[: len(features)], mode="clip")
            for feature, of_feature in zip(features, shares, strict=True):
                np.add(values[feature], of_feature, out=values[feature])

    # Of each row the pattern says which of the features on the path keep all their tests, as bits.
    ways: list[tuple[int, tuple[int, ...], ndarray]] = [(0, (), np.zeros(length, dtype=np.intp))]
    while ways:
        node, tested, pattern = ways.pop()
        if tree.left[node] < 0:
            look_up(tested, pattern)
            continue
        feature, kept = tree.features[node], tree.goes_left(node, rows)
        if feature in tested:
            place = tested.index(feature)
            kept <<= place
            of_left, of_right = pattern & (kept | ~(1 << place)), pattern & ~kept
        else:
            kept <<= len(tested)
            of_left, of_right = pattern | kept, None
        if tree.is_pair(node, tested):
            look_up((*tested, feature), of_left)
            continue
        if of_right is None:
            of_right, tested = of_left ^ (1 << len(tested)), (*tested, feature)
        ways += [(tree.left[node], tested, of_left), (tree.right[node], tested, of_right)]


def _tables(stops: Iterable[_Stop], values: ndarray) -> Iterator[ndarray]:
    """Give, for one stop after the other, the leaves' share in the value of each feature for each pattern.

    Args:
        stops: The stops.
        values: The nodes' values, shape (trees, nodes, outputs).

    Returns:
        Tables of the shape (outputs, features, patterns); some are made at a time.
    """
    ready: list[_Stop] = []
    entries = 0
    for stop in stops:
        ready.append(stop)
        entries += len(stop.outputs) * len(stop.leaves) * len(stop.shares[0]) << len(stop.shares[0])
        if entries >= ENTRIES:
            yield from _make(ready, values)
            ready, entries = [], 0
    yield from _make(ready, values)


def _make(stops: list[_Stop], values: ndarray) -> list[ndarray]:
    """Return the tables of some stops in order, made together for those that are alike."""
    import numpy as np

    alike: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
    for place, stop in enumerate(stops):
        alike.setdefault((len(stop.leaves), len(stop.shares[0]), stop.outputs), []).append(place)
    found: list[ndarray] = [np.empty(0)] * len(stops)
    for (width, count, outputs), places in alike.items():
        chosen = [stops[place] for place in places]
        nodes, trees = np.array([stop.leaves for stop in chosen]), [[stop.tree] for stop in chosen]
        weights = values[trees, nodes][:, :, outputs].reshape(-1, len(outputs))
        tables = _shares(np.array([stop.shares for stop in chosen]).reshape(-1, count), weights)
        tables = tables.reshape(-1, width, *tables.shape[1:])
        both = tables[:, 0]
        if width == 2:
            halves = both.reshape(*both.shape[:3], 2, -1)
            halves += tables[:, 1].reshape(halves.shape)[..., ::-1, :]
        for place, table in zip(places, both, strict=True):
            found[place] = table
    return found


def _shares(z: ndarray, values: ndarray) -> ndarray:
    """Return leaves' shares in the value of each feature for each pattern, shape (leaves, outputs, features, patterns).

    Args:
        z: The share of the training rows that went the path's way at each feature's tests, shape (leaves, features).
        values: The leaves' values, shape (leaves, outputs).
    """
    import numpy as np

    count, outputs = z.shape[1], values.shape[1]
    sums = _subset_sums(z)[:, None] * values[:, :, None]
    found = np.empty((len(z), outputs, count, 1 << count))
    for place in range(count):
        size = (len(z), outputs, -1, 2, 1 << place)
        halves, of_sums = found[:, :, place].reshape(size), sums.reshape(size)[:, :, :, 0]
        np.multiply(((1 - z[:, place]) / z[:, place])[:, None, None, None], of_sums, out=halves[:, :, :, 1])
        np.negative(of_sums, out=halves[:, :, :, 0])
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
