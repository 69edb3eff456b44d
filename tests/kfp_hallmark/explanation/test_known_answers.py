"""The worked examples of SHAP's documentation, to the digits that are printed there; each test names its page.

A page is below https://shap.readthedocs.io/en/latest/example_notebooks/tabular_examples/; that on inconsistency is in
https://github.com/shap/shap/tree/master/notebooks/tabular_examples/tree_based_models/tree_shap_paper.
"""

import itertools

import numpy as np
import pandas as pd
import pytest
import shap
from sklearn.tree import DecisionTreeRegressor
from xgboost import XGBRegressor

from kfp_hallmark.explanation import trees
from kfp_hallmark.explanation.shapley import explain_structure, permute

ENVIRONMENT = "ml"

# The page "Understanding Tree SHAP for Simple Models" in tree_based_models: regression trees on two of four features,
# each pair of values in a quarter of 100 rows; the values of a row of ones and of a row of zeros.
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
    monkeypatch.setattr(trees, "STEP", 1.0)
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


@pytest.fixture
def grown():
    """Return what grows one tree of XGBoost without shrinking, as the examples do."""

    def grow(rows, label, depth):
        return XGBRegressor(n_estimators=1, n_jobs=1, learning_rate=1, max_depth=depth, base_score=0, reg_lambda=0).fit(
            rows, label
        )

    return grow


@pytest.mark.parametrize(
    ("more", "first", "mean", "base"),
    [
        (0, [29.99998665, 29.99998665], [19.99999809, 19.99999809], 20.0000248),
        (10, [29.99998665, 34.99998856], [19.99999809, 24.99999809], 25.0000248),
    ],
)
def test_fever_and_cough(grown, more, first, mean, base, monkeypatch):
    """The notebook "Figure 1 - Simple Inconsistency Example", in single precision; a 1e-4 forces a split."""
    monkeypatch.setattr(trees, "STEP", 1.0)
    rows = np.repeat([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], 500, axis=0)
    label = 80 * rows.prod(axis=1) + 1e-4 * (rows.sum(axis=1) == 0) + more * rows[:, 1]
    found = explain_structure(grown(rows, label, 3), pd.DataFrame(rows), np.zeros(2000, int))
    assert found.values[0] == pytest.approx(first, abs=3e-5)
    assert abs(found.values).mean(axis=0) == pytest.approx(mean, abs=3e-5)
    assert found.base == pytest.approx(base, abs=3e-5)


def cube(features, constant):
    """Return 2,000 rows that hold all zeros and ones of some features equally often, and features that are constant."""
    rows = np.array(list(itertools.product([1.0, 0.0], repeat=features)))
    return np.hstack([rows.repeat(2000 // len(rows), axis=0), np.zeros((2000, constant))])


def test_a_linear_function_by_one_tree(grown, monkeypatch):
    """The page "Basic SHAP Interaction Value Example in XGBoost" in tree_based_models: its first matrix by row."""
    monkeypatch.setattr(trees, "STEP", 1.0)
    rows = cube(3, 2)
    rows[:, :3] -= 0.5
    found = explain_structure(grown(rows, 2 * rows[:, 0] - 3 * rows[:, 1], 3), pd.DataFrame(rows), np.zeros(2000, int))
    assert found.values[0] == pytest.approx([1, -1.5, 0, 0, 0], abs=1e-12)
    assert abs(found.values - np.array([2, -3, 0, 0, 0]) * rows).max() < 1e-12


def test_an_interaction_by_one_tree(grown, monkeypatch):
    """As before, with the matrix of the second example, printed to two decimals."""
    monkeypatch.setattr(trees, "STEP", 1.0)
    rows = cube(4, 1)
    rows[:, :4] -= 0.4999
    label = 2 * rows[:, 0] - 3 * rows[:, 1] + 2 * rows[:, 1] * rows[:, 2]
    found = explain_structure(grown(rows, label, 4), pd.DataFrame(rows), np.zeros(2000, int))
    assert found.values[0] == pytest.approx([1, -1.5 + 0.25, 0.25, 0, 0], abs=0.01)


@pytest.mark.parametrize(
    ("background", "base", "values"), [(None, 0.76, [0.385, -0.145]), (0, 0.0, [1.0, 0.0]), (1, 1.0, [0.14, -0.14])]
)
def test_an_or_function_by_predictions_alone(background, base, values):
    """The page "Explaining a simple OR function" in tree_based_models, to four decimals: survivors are young or female.

    SHAP takes a sample of 100 rows for the background.
    """
    generator = np.random.default_rng(42)
    rows = pd.DataFrame((generator.standard_normal(size=(40_000, 2)) > 0) * 1, columns=["is_young", "is_female"])
    rows.loc[0, :] = [1, 0]
    label = (rows.sum(axis=1) > 0) * 1
    model = XGBRegressor(n_estimators=100, n_jobs=1, learning_rate=0.1, random_state=3).fit(rows, label)
    against = rows if background is None else rows[label == background]
    found, start = permute(
        model.predict, rows.iloc[[0]], shap.utils.sample(against, 100), [np.array([0, 1]), np.array([1, 0])]
    )
    assert start.round(4) == pytest.approx(base, abs=6e-5)
    assert found[0].round(4) == pytest.approx(values, abs=6e-5)


def test_a_linear_function_by_predictions_alone():
    """The page "Simple Kernel SHAP" in model_agnostic, to eight decimals."""
    weights = np.random.RandomState(0).rand(4)
    row, reference = np.array([[1.62434536, -0.61175641, -0.52817175, -1.07296862]]), np.zeros((1, 4))
    values, base = permute(
        lambda frame: frame.to_numpy() @ weights + 10, pd.DataFrame(row), pd.DataFrame(reference), [np.arange(4)]
    )
    assert values[0] == pytest.approx([0.89146267, -0.43752168, -0.31836259, -0.58464256], abs=1e-8)
    assert base == pytest.approx(10)
