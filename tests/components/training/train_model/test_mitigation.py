import pickle
from pathlib import Path

import fairlearn.metrics
import numpy
import pandas
import pytest
import sklearn.metrics

from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.modeling.prediction import predict

CENSUS = Path(__file__).parents[4] / "examples" / "acs_employment" / "2015.parquet"
LOGISTIC = "sklearn.linear_model.LogisticRegression"
METHODS = ("exponentiated_gradient", "grid_search")
ROWS = 4000


def asked(method="exponentiated_gradient", constraint="demographic_parity", features=("DIS",), **others):
    return {"method": method, "constraint": constraint, "sensitive_features": list(features), **others}


@pytest.fixture(scope="module")
def census():
    """Real people: the first rows are trained on, the others tell what came of it."""
    frame = pandas.read_parquet(CENSUS).sample(3 * ROWS, random_state=0).reset_index(drop=True)
    return frame[["AGEP", "SCHL", "MAR", "SEX", "DIS", "employed"]]


@pytest.fixture
def outcome(run, census, tmp_path):
    """Train on the one part, with or without the sensitive feature, and predict the other."""

    def outcome(mitigation, excluded=("DIS",), estimator=LOGISTIC, **options):
        trained = run(
            census[:ROWS],
            "employed",
            estimator=estimator,
            excluded_columns=list(excluded),
            mitigation=mitigation,
            **options,
        )
        others = tmp_path / "others.parquet"
        census[ROWS:].to_parquet(others, index=False)
        return trained, predict(load_model(trained.path), others, "employed")

    return outcome


def disparity(name, predictions, census, feature="DIS"):
    given = {"y_true": predictions.positive_label, "y_pred": predictions.positive_prediction}
    return getattr(fairlearn.metrics, f"{name}_difference")(**given, sensitive_features=census[feature][ROWS:])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("excluded", [("DIS",), ()])
def test_disparity_falls_on_people_it_was_not_trained_on(outcome, census, method, excluded):
    _, plain = outcome({}, excluded)
    before = disparity("demographic_parity", plain, census)
    _, alike = outcome(asked(method, grid_size=30) if method == "grid_search" else asked(method), excluded)
    after = disparity("demographic_parity", alike, census)
    assert before > 0.2
    assert after < 0.4 * before
    assert sklearn.metrics.accuracy_score(alike.label, alike.prediction) > 0.6


def test_equalized_odds_fall(outcome, census):
    before = disparity("equalized_odds", outcome({})[1], census)
    after = disparity("equalized_odds", outcome(asked(constraint="equalized_odds"))[1], census)
    assert after < 0.7 * before


def test_a_lesser_positive_class_has_its_own_rate_held_alike(outcome, census):
    given = {"positive_class": str(census["employed"].min())}
    before = disparity("true_positive_rate", outcome({}, **given)[1], census)
    after = disparity(
        "true_positive_rate", outcome(asked("grid_search", "true_positive_rate_parity"), **given)[1], census
    )
    assert after < 0.7 * before


def test_the_model_has_scores_and_needs_no_sensitive_feature(outcome, census):
    trained, predictions = outcome(asked())
    assert "DIS" not in [column.name for column in load_model(trained.path).columns]
    assert ((predictions.score >= 0) & (predictions.score <= 1)).all()
    assert (predictions.positive_prediction == (predictions.score >= 0.5)).all()
    assert sklearn.metrics.roc_auc_score(predictions.positive_label, predictions.score) > 0.6


def test_the_folder_needs_no_fairlearn_and_holds_no_row(outcome):
    trained, _ = outcome(asked())
    content = b"".join(path.read_bytes() for path in trained.path.rglob("*") if path.is_file())
    assert b"fairlearn" not in content
    assert len(content) < 100_000
    assert pickle.loads((trained.path / "model.pkl").read_bytes()).named_steps["estimator"].weights is not None


@pytest.mark.parametrize("method", METHODS)
def test_trained_again_it_is_the_same_to_the_digest(outcome, method):
    mitigation = asked(method)
    first, second = outcome(mitigation)[0], outcome(mitigation)[0]
    assert (first.digest, first.experiment_hash) == (second.digest, second.experiment_hash)


def test_mitigation_is_part_of_the_experiment(outcome):
    hashes = [outcome(each)[0].experiment_hash for each in ({}, asked(), asked(max_difference=0.05))]
    assert len(set(hashes)) == 3


def test_several_features_of_text_and_missing_values_are_groups(run, people):
    mitigation = asked(features=["home, town", "student"], max_iter=5.0)
    found = run(people, estimator=LOGISTIC, mitigation=mitigation)
    assert set(predict(load_model(found.path), found.data, "bought it").prediction.tolist()) == {True, False}


def test_an_estimator_that_is_not_of_scikit_learn(outcome, census):
    parameters = {"n_estimators": 20, "max_depth": 3}
    given = {"estimator": "xgboost.XGBClassifier", "estimator_parameters": parameters}
    before = disparity("demographic_parity", outcome({}, **given)[1], census)
    after = disparity("demographic_parity", outcome(asked(max_iter=10), **given)[1], census)
    assert after < 0.7 * before


@pytest.mark.parametrize(
    ("mitigation", "message"),
    [
        (asked(metod="x"), "mitigation must hold known settings; got 'metod'."),
        (
            asked("reweighing"),
            "mitigation's method must be one of exponentiated_gradient, grid_search, threshold_optimizer; "
            "got 'reweighing'.",
        ),
        (
            asked(constraint="parity"),
            "mitigation's constraint must be one of demographic_parity, equalized_odds, true_positive_rate_parity, "
            "false_positive_rate_parity, error_rate_parity; got 'parity'.",
        ),
        (asked(features=[]), "mitigation's sensitive_features must be a list of columns; got []."),
        (asked(features=["town"]), "sensitive_features must be a column of the dataset; got 'town'."),
        (
            asked(features=["income <k>"]),
            "mitigation's sensitive_features must make 2 to 50 groups; got 258.",
        ),
        (asked(max_difference=0), "mitigation's max_difference must be above 0 and below 1; got 0."),
        (asked(max_iter=1), "mitigation's max_iter must be a whole number from 2 to 1000; got 1."),
        (asked(max_iter=2.5), "mitigation's max_iter must be a whole number from 2 to 1000; got 2.5."),
        (asked(grid_size=10), "mitigation's grid_size must be left out for exponentiated_gradient."),
    ],
)
def test_what_cannot_be_used_is_refused(run, people, tmp_path, mitigation, message):
    given = mitigation | ({"sensitive_features": ["student"]} if mitigation["sensitive_features"] == ["DIS"] else {})
    with pytest.raises(InputError) as caught:
        run(people, estimator=LOGISTIC, mitigation=given)
    assert caught.value.message == message
    assert not (tmp_path / "model").exists()


def test_only_a_binary_task_with_weights_and_probabilities_is_mitigated(run, people):
    mitigation = asked(features=["student"])
    with pytest.raises(InputError, match="mitigation must be of a binary task; got multiclass"):
        run(people.assign(**{"bought it": numpy.arange(300) % 3}), estimator=LOGISTIC, mitigation=mitigation)
    for estimator, name in (
        ("sklearn.neighbors.KNeighborsClassifier", "KNeighborsClassifier"),
        ("sklearn.svm.LinearSVC", "LinearSVC"),
    ):
        with pytest.raises(InputError, match=f"sample weights and probabilities; got '{name}'"):
            run(people, estimator=estimator, mitigation=mitigation)
