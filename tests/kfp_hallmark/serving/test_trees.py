"""That walked trees say what scikit-learn's compiled code says, to the bit."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)

from kfp_hallmark.serving.trees import MAX_ROWS, walked

ENVIRONMENT = "serve"


def data(rows, seed=0):
    """Return rows of three features: some values missing, some alike, one feature never missing."""
    chance = numpy.random.default_rng(seed)
    made = numpy.column_stack([chance.normal(size=rows), chance.integers(0, 5, rows), chance.normal(size=rows)])
    made[chance.random(rows) < 0.2, 0] = numpy.nan
    made[chance.random(rows) < 0.2, 1] = numpy.nan
    return made


ESTIMATORS = {
    "binary": (HistGradientBoostingClassifier, 2, {}),
    "three classes": (HistGradientBoostingClassifier, 3, {}),
    "deep": (HistGradientBoostingClassifier, 2, {"max_leaf_nodes": None, "min_samples_leaf": 1}),
    "early stopping": (HistGradientBoostingClassifier, 2, {"early_stopping": True}),
    "regression": (HistGradientBoostingRegressor, 0, {}),
    "counts": (HistGradientBoostingRegressor, 4, {"loss": "poisson"}),
}


@pytest.fixture(scope="module", params=ESTIMATORS)
def pair(request):
    """An estimator and the one that walks its trees."""
    kind, classes, options = ESTIMATORS[request.param]
    rows = data(300)
    score = numpy.nan_to_num(rows[:, 0], nan=1.5) + numpy.nan_to_num(rows[:, 1], nan=-2) * numpy.sign(rows[:, 2])
    label = numpy.digitize(score, numpy.quantile(score, numpy.arange(1, classes) / classes)) if classes else score
    estimator = kind(max_iter=15, random_state=0, **options).fit(rows, label)
    found = walked(estimator, data(64, seed=1))
    assert found is not estimator
    return estimator, found


def answers(estimator, rows):
    return getattr(estimator, "predict_proba", estimator.predict)(rows)


@pytest.mark.parametrize("rows", [1, 2, MAX_ROWS, MAX_ROWS + 1, 200])
def test_any_number_of_rows_gets_the_same_answer(pair, rows):
    estimator, found = pair
    wanted = answers(estimator, data(rows, seed=2))
    assert numpy.array_equal(answers(found, data(rows, seed=2)), wanted)
    assert answers(found, data(rows, seed=2)).shape == wanted.shape


@settings(max_examples=200, deadline=None)
@given(row=st.lists(st.floats(allow_infinity=False), min_size=3, max_size=3))
def test_any_row_gets_the_same_answer(pair, row):
    estimator, found = pair
    assert numpy.array_equal(answers(found, numpy.array([row])), answers(estimator, numpy.array([row])))


def test_a_value_at_a_threshold_goes_left_in_both(pair):
    estimator, found = pair
    for node in estimator._predictors[0][0].nodes:
        if not node["is_leaf"]:
            row = numpy.zeros((2, 3))
            row[:, node["feature_idx"]] = node["num_threshold"], numpy.nextafter(node["num_threshold"], numpy.inf)
            assert numpy.array_equal(answers(found, row), answers(estimator, row))


def test_estimators_that_cannot_be_walked_stay_as_they_are():
    rows = numpy.nan_to_num(data(100))
    label = (rows[:, 0] > 0).astype(int)
    plain = GradientBoostingClassifier(n_estimators=3).fit(rows, label)
    assert walked(plain, rows) is plain
    categorical = HistGradientBoostingClassifier(max_iter=3, categorical_features=[1]).fit(abs(rows), label)
    assert walked(categorical, abs(rows)) is categorical


def test_an_estimator_that_answers_otherwise_is_not_walked():
    rows = data(100)
    estimator = HistGradientBoostingClassifier(max_iter=3).fit(rows, rows[:, 2] > 0)
    changed = estimator._raw_predict
    estimator._raw_predict = lambda given, n_threads=None: changed(given) + 1e-12
    assert walked(estimator, rows) is estimator
