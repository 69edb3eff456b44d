"""The worked examples of SHAP's documentation, to the digits that are printed there.

Source: shap's documentation, tabular examples, "Understanding Tree SHAP for Simple Models": regression trees on two of
four features, each pair of values in a quarter of 100 rows; the values of a row of ones and of a row of zeros.
"""

import itertools

import numpy as np
import pandas as pd
import pytest
import shap
from sklearn.tree import DecisionTreeRegressor

from kfp_hallmark.explanation import trees
from kfp_hallmark.explanation.shapley import explain_structure, permute

ENVIRONMENT = "ml"

PAIRS = np.repeat([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], 25, axis=0)
ROWS = np.hstack([PAIRS, np.zeros((100, 2))])
ASKED = np.array([[1.0] * 4, [0.0] * 4])

EXAMPLES = {
    "single split": (1, lambda first, second: first, [0.5, 0.0], [-0.5, 0.0]),
    "and": (2, lambda first, second: first * second, [0.375, 0.375], [-0.125, -0.125]),
    "or": (2, np.maximum, [0.125, 0.125], [-0.375, -0.375]),
    "exclusive or": (2, lambda first, second: (first != second).astype(float), [-0.25, -0.25], [-0.25, -0.25]),
    "and, with a boost": (2, lambda first, second: first * second + first, [0.875, 0.375], [-0.625, -0.125]),
}


@pytest.fixture(params=EXAMPLES)
def example(request):
    """Return a fitted tree, and the printed values of both rows."""
    depth, function, ones, zeros = EXAMPLES[request.param]
    tree = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(ROWS, function(*PAIRS.T))
    return tree, np.array([[*ones, 0.0, 0.0], [*zeros, 0.0, 0.0]])


def test_by_tables_of_patterns(example, monkeypatch):
    tree, printed = example
    monkeypatch.setattr(trees, "_worthwhile", lambda ensemble, rows: True)
    values = trees.tree_values(shap.TreeExplainer(tree).model, ASKED)
    assert values[:, :, 0] == pytest.approx(printed, abs=1e-12)


def test_by_the_structure_of_the_model(example):
    tree, printed = example
    found = explain_structure(tree, pd.DataFrame(ASKED, columns=["x0", "x1", "x2", "x3"]), np.zeros(2, int))
    assert found.values == pytest.approx(printed, abs=1e-12)
    assert found.base[0] == pytest.approx(tree.predict(ROWS).mean())


def test_by_predictions_alone(example):
    """Features are independent here, so replacing them by those of all rows gives the same values."""
    tree, printed = example
    orders = [np.array(order) for order in itertools.permutations(range(4))]
    values, base = permute(
        lambda frame: tree.predict(frame.to_numpy()), pd.DataFrame(ASKED), pd.DataFrame(ROWS), orders
    )
    assert values == pytest.approx(printed, abs=1e-12)
    assert base == pytest.approx(tree.predict(ROWS).mean())
