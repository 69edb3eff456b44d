"""However a missing text is written, a model says the same of it, in plain MLflow too."""

import mlflow
import numpy
import pandas
import pytest

from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.modeling.prediction import predict
from kfp_hallmark.serving.features import features
from kfp_hallmark.serving.predictor import Predictor

TOWN = "home, town"
TEXTS = [TOWN, 'said "yes"']
MISSING = {"None": None, "NaN": numpy.nan, "NA": pandas.NA}
CLASSIFIERS = {
    "sklearn.ensemble.HistGradientBoostingClassifier": {"max_iter": 10},
    "sklearn.ensemble.RandomForestClassifier": {"n_estimators": 10},
    "sklearn.linear_model.LogisticRegression": {},
    "sklearn.naive_bayes.GaussianNB": {},
    "sklearn.svm.LinearSVC": {},
    "sklearn.neural_network.MLPClassifier": {"hidden_layer_sizes": [4]},
    "xgboost.XGBClassifier": {"n_estimators": 10},
    "lightgbm.LGBMClassifier": {"n_estimators": 10, "verbose": -1},
    "interpret.glassbox.ExplainableBoostingClassifier": {"outer_bags": 1, "max_rounds": 20},
}
REGRESSORS = {
    "sklearn.ensemble.HistGradientBoostingRegressor": {"max_iter": 10},
    "sklearn.linear_model.Ridge": {},
    "xgboost.XGBRegressor": {"n_estimators": 10},
    "lightgbm.LGBMRegressor": {"n_estimators": 10, "verbose": -1},
}
MITIGATIONS = {
    "exponentiated_gradient": {"max_iter": 4},
    "grid_search": {"grid_size": 4},
    "threshold_optimizer": {"held_out": 0.5},
}
PRIVACY = {
    "epsilon": 100.0,
    "delta": 1e-6,
    "bounds": {"age [years]": [0, 100], "income <k>": [0, 60], "student": [0, 1]},
    "categories": {TOWN: ["Bonn", "Köln", "Ulm"], 'said "yes"': ["a", "b"]},
}


@pytest.fixture
def moved(people):
    """Whose town is missing buys, so that a model must tell a missing town from one that it was not shown."""
    people = pandas.concat([people] * 8, ignore_index=True)
    people.loc[people[TOWN].isna() & (people.index % 3 > 0), "bought it"] = True
    people["spent"] = people["bought it"] * 5.0 + people.index % 3
    return people


def answers(trained, frame):
    """Return what plain MLflow says of the rows without a town, by how that is written and in which type."""
    rows = frame[frame[TOWN].isna()].drop(columns=["bought it", "spent"])
    rows = rows.astype({name: float for name in rows if name not in TEXTS}).astype({TEXTS[1]: object})
    model = mlflow.pyfunc.load_model(str(trained.path))
    towns = {name: pandas.Series([value] * len(rows), rows.index, dtype=object) for name, value in MISSING.items()}
    towns |= {f"{type_} {name}": towns[name].astype(type_) for name in MISSING for type_ in ("str", "string")}
    towns["unseen"] = pandas.Series(["Atlantis"] * len(rows), rows.index, dtype=object)
    return {name: numpy.asarray(model.predict(rows.assign(**{TOWN: town}))) for name, town in towns.items()}


def hold(trained, frame, target, told_apart=True):
    """Hold all that is said of a missing town against what the gates and the server say."""
    said = answers(trained, frame)
    unseen = said.pop("unseen")
    without = frame[TOWN].isna().to_numpy()
    model = load_model(trained.path)
    found = predict(model, trained.data, target)
    score = found.prediction if found.score is None else found.score
    first = said["None"]
    for answer in said.values():
        assert numpy.array_equal(answer, first)
    wanted = score[without]
    assert (first if first.ndim == 1 else first[:, 1]) == pytest.approx(wanted.astype(float), abs=1e-9)
    assert numpy.array_equal(first, unseen) != told_apart
    rows = frame[without].drop(columns=["bought it", "spent"])
    values = rows.astype(object).where(rows.notna(), None)
    served = Predictor(model).predict(
        [[float(entry) if isinstance(entry, bool) else entry for entry in values[name]] for name in values]
    )
    told = served.prediction if served.score is None else served.score
    assert numpy.asarray(told, dtype=float) == pytest.approx(wanted.astype(float), abs=1e-9)


@pytest.mark.parametrize("estimator", CLASSIFIERS)
def test_every_family_of_classifiers(run, moved, estimator):
    trained = run(moved, estimator=estimator, estimator_parameters=CLASSIFIERS[estimator], excluded_columns=["spent"])
    hold(trained, moved, "bought it")
    assert features(load_model(trained.path)) is not None


@pytest.mark.parametrize("estimator", REGRESSORS)
def test_every_family_of_regressors(run, moved, estimator):
    options = {"estimator_parameters": REGRESSORS[estimator], "excluded_columns": ["bought it"]}
    hold(run(moved, "spent", estimator=estimator, **options), moved, "spent")


@pytest.mark.parametrize("estimator", ["sklearn.linear_model.LogisticRegression", "xgboost.XGBClassifier"])
@pytest.mark.parametrize("method", MITIGATIONS)
def test_every_mitigation(run, moved, method, estimator):
    mitigation = {
        "method": method,
        "constraint": "demographic_parity",
        "sensitive_features": [TOWN],
        **MITIGATIONS[method],
    }
    parameters = CLASSIFIERS[estimator]
    options = {"estimator_parameters": parameters, "excluded_columns": ["spent"], "mitigation": mitigation}
    hold(run(moved, estimator=estimator, **options), moved, "bought it")


def test_a_sensitive_text_that_is_no_feature(run, moved):
    mitigation = {
        "method": "threshold_optimizer",
        "constraint": "demographic_parity",
        "sensitive_features": ["student", TOWN],
        "held_out": 0.5,
    }
    moved = pandas.concat([moved.assign(student=moved["student"].fillna(False))] * 2, ignore_index=True)
    trained = run(
        moved,
        estimator="sklearn.linear_model.LogisticRegression",
        excluded_columns=["spent", TOWN],
        mitigation=mitigation,
    )
    hold(trained, moved, "bought it")


@pytest.mark.parametrize("target", ["bought it", "spent"])
def test_a_private_training_takes_missing_and_unseen_as_one(run, moved, tmp_path, target):
    ledger = tmp_path / "ledger.jsonl"
    ledger.touch()
    privacy = PRIVACY | {"ledger": str(ledger)} | ({"target_bounds": [0, 8]} if target == "spent" else {})
    other = "spent" if target == "bought it" else "bought it"
    trained = run(
        moved,
        target,
        estimator="interpret.privacy.DPExplainableBoostingClassifier",
        excluded_columns=[other],
        privacy=privacy,
    )
    hold(trained, moved, target, told_apart=False)
