"""scikit-learn's histogram gradient boosting, for a few rows at once.

scikit-learn hands each of a hundred trees to compiled code, which costs 5 microseconds a tree however few rows there
are: half a millisecond for one row, most of a request. Walking the same trees in Python takes a tenth of that. The
walk follows `_predict_one_from_raw_data` of scikit-learn's `_hist_gradient_boosting/_predictor.pyx`: a missing value
goes where the node says, any other to the left up to the threshold, and the trees are summed in their order.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy

MAX_ROWS = 12
"""Up to how many rows walking is faster, whatever the number of trees."""

Node = float | tuple[int, float, bool, Any, Any]
"""A leaf's value; or feature, threshold, whether a missing value goes left, and what is left and right."""


def walked(estimator: Any, probes: numpy.ndarray) -> Any:
    """Return an estimator that walks its trees itself for a few rows, or the given one when it cannot be shown to.

    Args:
        estimator: Any fitted estimator.
        probes: Rows on which both must agree to the bit, shape (rows, features).
    """
    if type(estimator).__name__ not in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"):
        return estimator
    if estimator._preprocessor is not None:
        return estimator
    trees = [[_tree(predictor.nodes) for predictor in iteration] for iteration in estimator._predictors]
    baseline = estimator._baseline_prediction.ravel().tolist()
    compiled = estimator._raw_predict

    def raw_predict(rows: numpy.ndarray, n_threads: int | None = None) -> numpy.ndarray:
        if len(rows) > MAX_ROWS:
            return compiled(rows, n_threads)
        return numpy.array([_walk(trees, baseline, row) for row in rows.tolist()], order="F")

    made = copy.copy(estimator)
    made._raw_predict = raw_predict
    parts = [raw_predict(probes[start : start + MAX_ROWS]) for start in range(0, len(probes), MAX_ROWS)]
    return made if numpy.array_equal(numpy.concatenate(parts), compiled(probes)) else estimator


def _tree(nodes: numpy.ndarray) -> Node:
    """Return a tree's root; children stand after their parents."""
    made: list[Node] = [0.0] * len(nodes)
    for index in range(len(nodes) - 1, -1, -1):
        node = nodes[index]
        if node["is_leaf"]:
            made[index] = float(node["value"])
        else:
            left, right = made[node["left"]], made[node["right"]]
            missing_left = bool(node["missing_go_to_left"])
            made[index] = (int(node["feature_idx"]), float(node["num_threshold"]), missing_left, left, right)
    return made[0]


def _walk(trees: Sequence[Sequence[Node]], baseline: Sequence[float], row: Sequence[float]) -> list[float]:
    """Return the sums of the trees of each class for one row."""
    sums = list(baseline)
    for iteration in trees:
        for index, node in enumerate(iteration):
            while type(node) is tuple:
                feature, threshold, missing_left, left, right = node
                value = row[feature]
                node = left if value <= threshold or (missing_left and value != value) else right
            sums[index] += node  # type: ignore[operator]
    return sums
