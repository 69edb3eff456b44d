"""Values from a model's structure are told where they add up to what it says, in the unit in which they do."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression
from sklearn.svm import SVC

from kfp_hallmark.explanation.shapley import LINEAR, LOG_ODDS, LOG_TARGET, PROBABILITY, TARGET, explain_structure

ENVIRONMENT = "ml"


@pytest.fixture
def frame():
    return pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)), columns=list("abc"))


def explained(estimator, frame, label, outputs=None):
    outputs = np.zeros(len(frame), dtype=int) if outputs is None else outputs
    return explain_structure(estimator.fit(frame, label), frame, outputs)


def sums_of(found):
    return found.base + found.values.sum(axis=1)


@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize(
    ("loss", "unit", "inverse"), [("squared_error", TARGET, np.asarray), ("poisson", LOG_TARGET, np.exp)]
)
def test_values_of_a_boosted_regression_are_in_the_unit_of_its_trees(frame, rows, loss, unit, inverse):
    model = HistGradientBoostingRegressor(loss=loss, max_iter=20)
    model.fit(frame, np.random.default_rng(1).poisson(np.exp(frame["a"])))
    found = explain_structure(model, frame[:rows], np.zeros(rows, dtype=int))
    assert found.unit == unit
    assert inverse(sums_of(found)) == pytest.approx(model.predict(frame[:rows]))


def test_counts_by_xgboost_and_lightgbm_are_explained_on_the_log_scale(frame):
    from lightgbm import LGBMRegressor
    from xgboost import XGBRegressor

    counts = np.random.default_rng(1).poisson(np.exp(frame["a"]))
    for model in (
        XGBRegressor(objective="count:poisson", n_estimators=5),
        LGBMRegressor(objective="poisson", n_estimators=5, verbose=-1),
    ):
        found = explained(model, frame, counts)
        assert found.unit == LOG_TARGET
        assert np.exp(sums_of(found)) == pytest.approx(model.predict(frame), rel=1e-4)


def test_classes_of_trees_are_explained_in_log_odds_and_probabilities(frame):
    label = (frame["a"] > 0) * 2 + (frame["b"] > 0)
    for model, unit in (
        (HistGradientBoostingClassifier(max_iter=5), LOG_ODDS),
        (RandomForestClassifier(5), PROBABILITY),
    ):
        assert explained(model, frame, label, label.to_numpy()).unit == unit
        assert explained(model, frame, label > 1, np.ones(300, dtype=int)).unit == unit


def test_a_support_vector_machine_of_two_classes_has_values_and_of_several_none(frame):
    label = (frame["a"] > 0).to_numpy() + 0
    machine = SVC(kernel="linear")
    found = explained(machine, frame, label, np.ones(300, dtype=int))
    assert found.unit == LINEAR
    assert sums_of(found) == pytest.approx(machine.decision_function(frame))
    three, four = label + (frame["b"] > 0).to_numpy(), 2 * label + (frame["b"] > 0).to_numpy()
    assert explained(machine, frame, three, three) is None
    assert explained(machine, frame, four, four) is None


def test_what_does_not_add_up_to_the_output_is_left_to_the_predictions(frame):
    from xgboost import XGBClassifier

    label, positive = (frame["a"] > 0).to_numpy() + 0, np.ones(300, dtype=int)
    assert explained(GradientBoostingClassifier(loss="exponential", n_estimators=5), frame, label, positive) is None
    assert explained(XGBClassifier(booster="gblinear", n_estimators=5), frame, label, positive) is None
    assert explained(GradientBoostingRegressor(init=LinearRegression(), n_estimators=5), frame, frame["a"]) is None
