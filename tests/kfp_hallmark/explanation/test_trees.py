import itertools
import math

import numpy
import pytest
import shap
from lightgbm import LGBMRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from kfp_hallmark.explanation import trees
from kfp_hallmark.explanation.shapley import explain_structure
from kfp_hallmark.explanation.trees import tree_values

ENVIRONMENT = "ml"
ROWS = 3000
BINARY = [
    RandomForestClassifier(15, max_depth=7, random_state=0),
    ExtraTreesClassifier(15, max_depth=8, random_state=0),
    DecisionTreeClassifier(max_depth=6, random_state=0),
    HistGradientBoostingClassifier(max_iter=15, max_depth=7),
    GradientBoostingClassifier(n_estimators=15, max_depth=5, random_state=0),
]
NUMBERS = [
    RandomForestRegressor(15, max_depth=7, random_state=0),
    DecisionTreeRegressor(max_depth=7, random_state=0),
    HistGradientBoostingRegressor(max_iter=15, max_depth=7),
    GradientBoostingRegressor(n_estimators=15, max_depth=6, random_state=0),
]
CLASSES = [RandomForestClassifier(10, max_depth=7, random_state=0), HistGradientBoostingClassifier(max_iter=9)]
CASES = [
    (each, kind) for group, kind in ((BINARY, "binary"), (NUMBERS, "number"), (CLASSES, "three")) for each in group
]


@pytest.fixture(scope="module")
def data():
    """Rows with few distinct values in one column, and labels of each kind that depend on all but the last."""
    random = numpy.random.default_rng(4)
    matrix = random.normal(size=(ROWS, 6))
    matrix[:, 2] = random.integers(0, 3, ROWS)
    number = (
        matrix[:, 0] * matrix[:, 1] + matrix[:, 2] + 0.5 * matrix[:, 3] ** 2 + matrix[:, 4] + random.normal(size=ROWS)
    )
    return matrix, {"number": number, "binary": (number > 1).astype(int), "three": numpy.digitize(number, [0, 2])}


def as_shap(explainer, matrix):
    values = numpy.asarray(explainer.shap_values(matrix))
    return values if values.ndim == 3 else values[:, :, None]


@pytest.mark.parametrize(("estimator", "kind"), CASES, ids=lambda value: type(value).__name__)
def test_values_are_those_of_treeshap(data, estimator, kind):
    matrix, labels = data
    explainer = shap.TreeExplainer(estimator.fit(matrix, labels[kind]))
    found = tree_values(explainer.model, matrix)
    assert found == pytest.approx(as_shap(explainer, matrix), abs=1e-10)


@pytest.mark.parametrize("estimator", [HistGradientBoostingClassifier(max_iter=15, max_depth=7), BINARY[0]])
def test_missing_values(data, estimator):
    matrix, labels = data
    holey = numpy.where(numpy.random.default_rng(1).random(matrix.shape) < 0.2, numpy.nan, matrix)
    explainer = shap.TreeExplainer(estimator.fit(holey, labels["binary"]))
    assert tree_values(explainer.model, holey) == pytest.approx(as_shap(explainer, holey), abs=1e-10)


def test_values_are_the_definition(data):
    """A path-dependent Shapley value, summed over all coalitions, of one small tree."""
    matrix, labels = data
    matrix = matrix[:, :4]
    tree = DecisionTreeRegressor(max_depth=6, random_state=0).fit(matrix, labels["number"])
    found = tree_values(shap.TreeExplainer(tree).model, matrix)[:5, :, 0]
    inner = tree.tree_

    def expected(row, known, node=0):
        left, right, feature = inner.children_left[node], inner.children_right[node], inner.feature[node]
        if left < 0:
            return inner.value[node, 0, 0]
        if feature in known:
            return expected(row, known, left if numpy.float32(row[feature]) <= inner.threshold[node] else right)
        weights = inner.weighted_n_node_samples
        return sum(weights[child] / weights[node] * expected(row, known, child) for child in (left, right))

    for place, row in enumerate(matrix[:5]):
        for feature in range(4):
            others = [each for each in range(4) if each != feature]
            value = sum(
                math.factorial(size) * math.factorial(3 - size) / math.factorial(4)
                * (expected(row, {*chosen, feature}) - expected(row, set(chosen)))
                for size in range(4)
                for chosen in itertools.combinations(others, size)
            )  # fmt: skip
            assert found[place, feature] == pytest.approx(value, abs=1e-10)


def test_the_unused_feature_gets_nothing_and_the_rest_add_up(data):
    matrix, _ = data
    label = matrix[:, 0] + matrix[:, 1]
    model = RandomForestRegressor(15, max_depth=7, random_state=0, max_features=None).fit(matrix[:, :2], label)
    explainer = shap.TreeExplainer(model)
    found = tree_values(explainer.model, matrix[:, :2])
    assert found.sum(axis=(1, 2)) + explainer.expected_value == pytest.approx(model.predict(matrix[:, :2]), abs=1e-9)
    stump = DecisionTreeRegressor(max_depth=4, random_state=0).fit(matrix * [1, 0, 0, 0, 0, 0], label)
    assert (tree_values(shap.TreeExplainer(stump).model, numpy.tile(matrix, (20, 1)))[:, 1:] == 0).all()


def test_treeshap_does_the_rest(data):
    matrix, labels = data
    few = shap.TreeExplainer(BINARY[0].fit(matrix, labels["binary"])).model
    assert tree_values(few, matrix[:20]) is None
    wide = numpy.random.default_rng(0).normal(size=(ROWS, 40))
    deep = shap.TreeExplainer(RandomForestClassifier(3, random_state=0).fit(wide, labels["binary"])).model
    assert tree_values(deep, wide) is None
    matrix = numpy.column_stack([matrix, numpy.random.default_rng(0).permutation(ROWS) % 9])
    sets = LGBMRegressor(n_estimators=15, max_depth=7, verbose=-1)
    sets.fit(matrix, labels["number"] + 3 * numpy.isin(matrix[:, 6], [1, 4, 8]), categorical_feature=[6])
    assert tree_values(shap.TreeExplainer(sets).model, matrix) is None


def test_sets_of_categories_are_explained_by_predictions_alone(data):
    """SHAP 0.51 takes their tests for tests of a number, and its values do not add up to the output."""
    import pandas

    matrix, labels = data
    frame = pandas.DataFrame(matrix, columns=list("abcdef"))
    model = HistGradientBoostingClassifier(categorical_features=[2], max_iter=15).fit(frame, labels["binary"])
    assert explain_structure(model, frame, numpy.ones(ROWS, int)) is None


def test_every_size_of_table(monkeypatch):
    monkeypatch.setattr(trees, "_worthwhile", lambda ensemble, rows: True)
    random = numpy.random.default_rng(0)
    matrix = random.integers(0, 2, size=(4000, 11)).astype(float)
    for count in range(1, 12):
        label = matrix[:, :count].prod(axis=1) + matrix[:, :count] @ random.random(count)
        model = DecisionTreeRegressor(random_state=0).fit(matrix[:, :count], label)
        explainer = shap.TreeExplainer(model)
        found = tree_values(explainer.model, matrix[:50, :count])
        assert found == pytest.approx(as_shap(explainer, matrix[:50, :count]), abs=1e-10)


@pytest.mark.parametrize("estimator", [BINARY[0], BINARY[3]], ids=["forest", "boosted"])
def test_an_explanation_uses_them(data, estimator, monkeypatch):
    import pandas

    matrix, labels = data
    frame = pandas.DataFrame(matrix, columns=list("abcdef"))
    estimator.fit(matrix, labels["binary"])
    fast = explain_structure(estimator, frame, numpy.ones(ROWS, int))
    monkeypatch.setattr(shap.TreeExplainer, "shap_values", None)
    again = explain_structure(estimator, frame, numpy.ones(ROWS, int))
    assert (fast.values == again.values).all()
