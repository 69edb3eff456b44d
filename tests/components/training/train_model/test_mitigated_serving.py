"""What each way of mitigation writes, given text and missing values: one MLflow model that says the same everywhere."""

import mlflow
import numpy
import pandas
import pytest

from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.modeling.prediction import predict
from kfp_hallmark.serving.predictor import Predictor

METHODS = {
    "exponentiated_gradient": {"max_iter": 4},
    "grid_search": {"grid_size": 4},
    "threshold_optimizer": {"held_out": 0.5},
}
ESTIMATORS = {
    "logistic": ("sklearn.linear_model.LogisticRegression", {}),
    "boosting": ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 10}),
}


@pytest.mark.parametrize("labels", ["booleans", "texts"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("method", METHODS)
def test_text_and_missing_values_are_learnt_from_and_served(run, people, method, estimator, labels):
    frame = pandas.concat([people] * 4, ignore_index=True)
    if labels == "texts":
        frame["bought it"] = numpy.where(frame["bought it"], "yes", "no")
    path, parameters = ESTIMATORS[estimator]
    mitigation = {
        "method": method,
        "constraint": "demographic_parity",
        "sensitive_features": ["home, town"],
        **METHODS[method],
    }
    trained = run(frame, estimator=path, estimator_parameters=parameters, mitigation=mitigation)
    model = load_model(trained.path)
    found = predict(model, trained.data, "bought it")
    assert set(found.prediction.tolist()) == set(frame["bought it"].tolist())
    assert numpy.isfinite(found.score).all()

    features = frame.drop(columns="bought it")
    values = features.astype(object).where(features.notna(), None)
    served = Predictor(model)
    columns = [[float(entry) if isinstance(entry, bool) else entry for entry in values[name]] for name in values]
    answer = served.predict(columns)
    assert answer.score == pytest.approx(found.score, abs=1e-9)
    assert numpy.asarray(answer.prediction).tolist() == found.prediction.tolist()

    numbers = {name: features[name].astype(float) for name in ("age [years]", "income <k>", "student")}
    as_mlflow = features.assign(**numbers, **{'said "yes"': features['said "yes"'].astype(str)})
    told = mlflow.pyfunc.load_model(str(trained.path)).predict(as_mlflow)
    assert told[:, 1] == pytest.approx(found.score, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_row_of_nothing_known_gets_an_answer(run, people, method):
    frame = pandas.concat([people] * 4, ignore_index=True)
    mitigation = {
        "method": method,
        "constraint": "equalized_odds",
        "sensitive_features": ["home, town"],
        **METHODS[method],
    }
    trained = run(frame, estimator="sklearn.linear_model.LogisticRegression", mitigation=mitigation)
    served = Predictor(load_model(trained.path))
    rows = [[None, 30.0], [None, 20.0], [None, "Nowhere"], [None, 0.0], [None, "never seen"]]
    assert all(0 <= score <= 1 for score in served.predict(rows).score)
