import itertools
import math

import numpy
import pandas
import pytest
import shap
from lightgbm import LGBMClassifier, LGBMRegressor, early_stopping
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from xgboost import XGBClassifier, XGBRegressor

from kfp_hallmark.explanation import trees
from kfp_hallmark.explanation.shapley import _from_tables, explain_structure
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
    ExtraTreesRegressor(15, max_depth=7, random_state=0),
]
CLASSES = [
    RandomForestClassifier(10, max_depth=7, random_state=0),
    ExtraTreesClassifier(10, max_depth=7, random_state=0),
    HistGradientBoostingClassifier(max_iter=9),
]
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
    matrix, labels = data
    frame = pandas.DataFrame(matrix, columns=list("abcdef"))
    model = HistGradientBoostingClassifier(categorical_features=[2], max_iter=15).fit(frame, labels["binary"])
    assert explain_structure(model, frame, numpy.ones(ROWS, int)) is None


def test_every_size_of_table(monkeypatch):
    monkeypatch.setattr(trees, "STEP", 1.0)
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
    matrix, labels = data
    frame = pandas.DataFrame(matrix, columns=list("abcdef"))
    estimator.fit(matrix, labels["binary"])
    fast = explain_structure(estimator, frame, numpy.ones(ROWS, int))
    monkeypatch.setattr(shap.TreeExplainer, "shap_values", None)
    again = explain_structure(estimator, frame, numpy.ones(ROWS, int))
    assert (fast.values == again.values).all()


ALONE = {"n_estimators": 15, "n_jobs": 1}
QUIET = ALONE | {"verbose": -1}
BOOSTERS = [
    (XGBClassifier(**ALONE, max_depth=3), "binary"),
    (XGBClassifier(**ALONE, max_depth=6), "three"),
    (XGBRegressor(**ALONE, max_depth=8), "number"),
    (LGBMClassifier(max_depth=3, **QUIET), "binary"),
    (LGBMClassifier(**QUIET), "three"),
    (LGBMClassifier(min_child_samples=1200, **QUIET), "three"),
    (LGBMRegressor(**QUIET), "number"),
]


def gaps(matrix):
    return numpy.where(numpy.random.default_rng(1).random(matrix.shape) < 0.2, numpy.nan, matrix)


@pytest.mark.parametrize("holey", [False, True])
@pytest.mark.parametrize(("estimator", "kind"), BOOSTERS, ids=lambda value: type(value).__name__)
def test_values_of_boosters_are_their_own(data, estimator, kind, holey):
    """xgboost computes its own in single precision; SHAP has the same trees in double precision."""
    matrix, labels = data
    matrix = gaps(matrix) if holey else matrix
    explainer = shap.TreeExplainer(estimator.fit(matrix, labels[kind]))
    values, base = _from_tables(explainer, estimator, matrix)
    own = numpy.asarray(explainer.shap_values(matrix))
    assert values == pytest.approx(own, rel=0, abs=1e-6 * float(abs(own).max()))
    assert base == pytest.approx(numpy.atleast_1d(explainer.expected_value), abs=1e-6)
    if kind != "three":
        explainer.model.model_type = "internal"
        rows = (
            matrix[:100].astype(numpy.float32) if isinstance(estimator, XGBClassifier | XGBRegressor) else matrix[:100]
        )
        assert values[:100] == pytest.approx(explainer.shap_values(rows, check_additivity=False), abs=1e-10)


@pytest.mark.parametrize(
    ("estimator", "options"),
    [
        (XGBRegressor(n_estimators=200, n_jobs=1, learning_rate=1, early_stopping_rounds=1), {"verbose": False}),
        (
            LGBMRegressor(n_estimators=200, learning_rate=1, n_jobs=1, verbose=-1),
            {"callbacks": [early_stopping(1, verbose=False)]},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_boosters_that_stopped_early(data, estimator, options):
    matrix, labels = data
    held = (numpy.random.default_rng(0).normal(size=(200, 6)), numpy.zeros(200))
    estimator.fit(matrix, labels["number"], eval_set=[held], **options)
    explainer = shap.TreeExplainer(estimator)
    values, base = _from_tables(explainer, estimator, matrix)
    assert values == pytest.approx(explainer.shap_values(matrix), abs=2e-6)
    assert base + values.sum(axis=1) == pytest.approx(estimator.predict(matrix), abs=1e-5)


def test_boosters_that_go_other_ways_than_shap_reads_are_left_to_their_own(data):
    """Zeros that count as missing, missing values that training had none of, trees of which some are dropped."""
    matrix, labels = data
    edges = labels["number"] + 5 * (matrix[:, 2] != 1)
    zeros = LGBMRegressor(zero_as_missing=True, **QUIET).fit(matrix, edges)
    whole = LGBMRegressor(**QUIET).fit(matrix, labels["number"])
    dropping = XGBRegressor(**ALONE, booster="dart", rate_drop=0.5, seed=0).fit(matrix, labels["number"])
    for estimator, rows in ((zeros, matrix), (whole, gaps(matrix)), (dropping, matrix)):
        assert _from_tables(shap.TreeExplainer(estimator), estimator, rows) is None
        frame = pandas.DataFrame(rows, columns=list("abcdef"))
        found = explain_structure(estimator, frame, numpy.zeros(ROWS, int))
        assert found.base + found.values.sum(axis=1) == pytest.approx(estimator.predict(rows), abs=1e-4)
