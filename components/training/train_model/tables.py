"""Write tables of scores, one a feature, as scikit-learn's own parts: what finds the bins, and what adds their scores.

The parts have a seed, so that whoever trains the model again as it stands finds that it becomes another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy


def as_bins(cuts: Sequence[numpy.ndarray], limits: numpy.ndarray) -> Any:
    """Return what finds the bin of each feature, a column for each; a feature without cuts gets one in the middle.

    Args:
        cuts: The cuts of each feature, rising.
        limits: Least and greatest value of each feature, shape (features, 2).
    """
    import numpy
    from sklearn.preprocessing import KBinsDiscretizer

    edges = [
        numpy.concatenate([[low], between if len(between) else [(low + high) / 2], [high]])
        for between, (low, high) in zip(cuts, limits, strict=True)
    ]
    counts = [len(each) - 1 for each in edges]
    found = KBinsDiscretizer(
        counts, encode="onehot-dense", strategy="uniform", dtype=numpy.float64, random_state=0
    ).fit(limits.T)
    for place, each in enumerate(edges):
        found.bin_edges_[place] = each
    return found


def as_logistic(
    tables: Sequence[numpy.ndarray], cuts: Sequence[numpy.ndarray], intercept: numpy.ndarray, classes: Sequence[Any]
) -> Any:
    """Return a logistic regression whose coefficients are the tables."""
    import numpy
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(random_state=0)
    regression.coef_ = _joined(tables, cuts)[None, :]
    regression.intercept_ = numpy.array(intercept, dtype=float).reshape(1)
    regression.classes_ = numpy.array(classes)
    regression.n_features_in_ = regression.coef_.shape[1]
    return regression


def as_scaled(
    tables: Sequence[numpy.ndarray], cuts: Sequence[numpy.ndarray], intercept: numpy.ndarray, bounds: Sequence[float]
) -> Any:
    """Return a regressor: the logistic function of the tables' sum, spread between two bounds.

    It is a network of one hidden unit whose weights are set and not learnt.
    """
    import numpy
    from sklearn.neural_network import MLPRegressor

    low, high = bounds
    weights = _joined(tables, cuts)[:, None]
    network = MLPRegressor(hidden_layer_sizes=(1,), activation="logistic", random_state=0)
    network.coefs_ = [weights, numpy.array([[high - low]])]
    network.intercepts_ = [numpy.array(intercept, dtype=float).reshape(1), numpy.array([low])]
    network.n_layers_, network.n_outputs_, network.out_activation_ = 3, 1, "identity"
    network.n_features_in_ = len(weights)
    return network


def _joined(tables: Sequence[numpy.ndarray], cuts: Sequence[numpy.ndarray]) -> numpy.ndarray:
    """Return all scores in the order of `as_bins`' columns."""
    import numpy

    return numpy.concatenate(
        [table if len(between) else table.repeat(2) for table, between in zip(tables, cuts, strict=True)]
    )
