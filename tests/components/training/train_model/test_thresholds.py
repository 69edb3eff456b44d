import pickle
from pathlib import Path

import fairlearn.metrics
import mlflow.pyfunc
import numpy
import pandas
import pytest
import sklearn.metrics
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from kfp_hallmark.components.training.train_model.mitigation import CONSTRAINTS, OBJECTIVES, Mitigation
from kfp_hallmark.components.training.train_model.thresholds import Curve, thresholds
from kfp_hallmark.contracts.model import model_metadata
from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.modeling.prediction import predict
from kfp_hallmark.serving.predictor import Predictor

CENSUS = Path(__file__).parents[4] / "examples" / "acs_employment" / "2015.parquet"
LOGISTIC = "sklearn.linear_model.LogisticRegression"
WANTED = [name for name in CONSTRAINTS if name != "error_rate_parity"]
ROWS = 8000
MEASURES = {
    "demographic_parity": "demographic_parity",
    "equalized_odds": "equalized_odds",
    "true_positive_rate_parity": "true_positive_rate",
    "false_positive_rate_parity": "false_positive_rate",
}


def asked(constraint="demographic_parity", features=("DIS",), **others):
    return {
        "method": "threshold_optimizer",
        "constraint": constraint,
        "sensitive_features": list(features),
        **others,
    }


@pytest.fixture(scope="module")
def census():
    """Real people: the first rows are trained on, the others tell what came of it."""
    frame = pandas.read_parquet(CENSUS).sample(3 * ROWS, random_state=0).reset_index(drop=True)
    return frame[["AGEP", "SCHL", "MAR", "SEX", "DIS", "employed"]]


@pytest.fixture
def outcome(run, census, tmp_path):
    """Train on the one part, with thresholds or without, and predict the other."""

    def outcome(mitigation, **options):
        given = {"estimator": LOGISTIC, "excluded_columns": ["DIS"], "mitigation": mitigation} | options
        trained = run(census[:ROWS], "employed", **given)
        census[ROWS:].to_parquet(tmp_path / "others.parquet", index=False)
        return trained, predict(load_model(trained.path), tmp_path / "others.parquet", "employed")

    return outcome


def disparity(name, predictions, census, features=("DIS",)):
    given = {"y_true": predictions.positive_label, "y_pred": predictions.positive_prediction}
    return getattr(fairlearn.metrics, f"{name}_difference")(**given, sensitive_features=census[list(features)][ROWS:])


def scores(rows, seed, digits):
    """Return scores, labels and groups; the first group is the better predicted one, and the second has other rates."""
    chance = numpy.random.default_rng(seed)
    groups = numpy.arange(rows) % 2
    truth = (chance.random(rows) < 0.35 + 0.3 * groups).astype(int)
    truth[:4] = [0, 0, 1, 1]
    margin = 2.5 * (truth - 0.5) * (2 - groups) + chance.normal(size=rows)
    return (1 / (1 + numpy.exp(-margin))).round(digits), truth, groups


def fairlearns(score, truth, groups, constraint, objective):
    scorer = LinearRegression()
    scorer.coef_, scorer.intercept_ = numpy.ones(1), 0.0
    found = ThresholdOptimizer(
        estimator=scorer, constraints=constraint, objective=objective, prefit=True, predict_method="predict"
    )
    return found.fit(score[:, None], truth, sensitive_features=groups)


def certain(drawn):
    """Return the one threshold that Fairlearn uses, or None where it draws."""
    if drawn.get("p_ignore", 0) > 1e-9:
        return None
    return next((drawn[f"operation{place}"].threshold for place in (0, 1) if drawn[f"p{place}"] > 1 - 1e-9), None)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("constraint", WANTED)
def test_thresholds_are_fairlearns_where_it_does_not_draw(constraint, objective):
    compared = 0
    for seed in range(60):
        score, truth, groups = scores(20, seed, 3)
        drawn = fairlearns(score, truth, groups, constraint, objective).interpolated_thresholder_.interpolation_dict
        found = thresholds(score, truth, groups, Mitigation("", constraint, (), objective=objective))
        for group, own in enumerate(found):
            wanted = certain(drawn[group])
            if wanted is not None:
                assert own == pytest.approx(numpy.clip(wanted, -1, 2), abs=1e-12)
                compared += 1
    assert compared >= 10


@pytest.mark.parametrize("constraint", WANTED)
def test_where_it_draws_no_other_threshold_comes_nearer_to_what_it_draws_on_average(constraint):
    score, truth, groups = scores(400, 1, 6)
    fitted = fairlearns(score, truth, groups, constraint, "accuracy_score")
    chosen = fitted._pmf_predict(score[:, None], sensitive_features=groups)[:, 1]
    found = thresholds(score, truth, groups, Mitigation("", constraint, ()))
    which = {"demographic_parity": [0, 1], "true_positive_rate_parity": [1], "false_positive_rate_parity": [0]}
    for group, own in enumerate(found):
        of_group = groups == group
        parts = [of_group] if constraint == "demographic_parity" else []
        parts = parts or [of_group & (truth == each) for each in which.get(constraint, [0, 1])]

        def far(threshold, parts=parts):
            return numpy.hypot(*[(score[part] > threshold).mean() - chosen[part].mean() for part in (parts * 2)[:2]])

        others = numpy.unique(score[of_group])
        assert far(own) <= min(far(other) for other in [-1, *others]) + 1e-12


@pytest.mark.parametrize("low", [0.25, 0.6, 0.9])
def test_a_threshold_lies_between_scores_in_single_precision_that_are_neighbours(low):
    low = numpy.float32(low)
    high = numpy.nextafter(low, numpy.float32(1))
    score, truth = numpy.tile(numpy.array([high, low]), 20), numpy.tile([1, 0], 20)
    found = thresholds(score, truth, numpy.repeat([0, 1], 20), Mitigation("", "equalized_odds", ()))
    assert all(float(low) < own < float(high) for own in found)


def test_a_curve_worked_by_hand():
    curve = Curve.of(numpy.array([0.9, 0.6, 0.6, 0.2]), numpy.array([1, 1, 0, 0]))
    assert curve.threshold == pytest.approx([2, 0.75, 0.4, -1])
    assert curve.rates.tolist() == [[0, 0, 0], [0.25, 0.5, 0], [0.75, 1, 0.5], [1, 1, 1]]
    assert curve.objective("accuracy_score").tolist() == [0.5, 0.75, 0.75, 0.5]
    assert curve.at(numpy.inf).tolist() == [0, 0, 0]
    assert curve.at(0.4).tolist() == [0.75, 1, 0.5]
    lopsided = Curve.of(numpy.array([0.9, 0.6, 0.1, 0.2]), numpy.array([1, 0, 0, 0]))
    assert lopsided.objective("balanced_accuracy_score").tolist() == pytest.approx([0.5, 1, 5 / 6, 2 / 3, 0.5])


@pytest.mark.parametrize(("constraint", "most"), [*zip(WANTED, (0.25, 0.7, 0.5, 0.7), strict=True)])
def test_disparity_falls_on_people_it_was_not_trained_on(outcome, census, constraint, most):
    before = disparity(MEASURES[constraint], outcome({})[1], census)
    _, alike = outcome(asked(constraint))
    assert before > 0.08
    assert disparity(MEASURES[constraint], alike, census) < most * before
    assert sklearn.metrics.accuracy_score(alike.label, alike.prediction) > 0.68


def test_another_threshold_of_the_score_can_undo_it(outcome, census):
    given = {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier"}
    (_, before), (_, alike) = outcome({}, **given), outcome(asked(), **given)

    def at(predictions, threshold):
        found = fairlearn.metrics.demographic_parity_difference(
            y_true=predictions.positive_label,
            y_pred=predictions.score >= threshold,
            sensitive_features=census["DIS"][ROWS:],
        )
        return float(found)

    assert at(alike, 0.5) == disparity("demographic_parity", alike, census) < 0.02
    assert at(alike, 0.35) > 0.25 > at(before, 0.35)


def test_several_features_make_groups_of_their_combinations(outcome, census):
    features = ("SEX", "DIS")
    before = disparity("demographic_parity", outcome({})[1], census, features)
    _, alike = outcome(asked(features=features), estimator="xgboost.XGBClassifier")
    assert disparity("demographic_parity", alike, census, features) < 0.4 * before


def test_a_lesser_positive_class_has_its_own_rate_made_alike(outcome, census):
    given = {"positive_class": str(census["employed"].min())}
    before = disparity("true_positive_rate", outcome({}, **given)[1], census)
    _, alike = outcome(asked("true_positive_rate_parity"), **given)
    assert disparity("true_positive_rate", alike, census) < 0.5 * before
    assert sklearn.metrics.roc_auc_score(alike.positive_label, alike.score) > 0.7


def test_the_sensitive_features_are_in_the_signature_and_no_features_of_the_estimator(outcome):
    trained, predictions = outcome(asked())
    model = load_model(trained.path)
    assert [column.name for column in model.columns] == ["AGEP", "SCHL", "MAR", "SEX", "DIS"]
    scorer = model.estimator["features"].transformer_list[0][1]
    assert "DIS" not in scorer.estimators_[0]["features"].get_feature_names_out()
    assert (predictions.positive_prediction == (predictions.score >= 0.5)).all()
    assert model_metadata(trained.path)["threshold"] == 0.5


def test_a_decision_is_the_groups_threshold_and_an_unknown_group_has_the_pooled_one(outcome, census):
    model = load_model(outcome(asked())[0].path)
    rows = census[ROWS:].astype(float).drop(columns="employed").reset_index(drop=True)
    score = model.estimator["features"].transform(rows)[:, 1]
    cut = {}
    for name, value in {"with": 1.0, "without": 2.0, "unknown": 7.0, "missing": numpy.nan}.items():
        chosen = model.function(rows.assign(DIS=value))[:, 1] >= 0.5
        assert score[chosen].min() > score[~chosen].max()
        cut[name] = score[chosen].min()
    assert cut["with"] < min(cut["without"], cut["unknown"])
    assert len(set(cut.values())) == 3
    assert cut["missing"] == cut["unknown"]


def test_a_missing_value_that_was_trained_on_is_a_group(run, people):
    people = pandas.concat([people.assign(**{"income <k>": people["income <k>"] + each}) for each in range(5)])
    mitigation = asked(features=["student"], held_out=0.4)
    found = run(people, estimator=LOGISTIC, mitigation=mitigation, excluded_columns=["student"])
    encoder = load_model(found.path).estimator["features"].transformer_list[1][1]
    assert numpy.isnan(encoder.named_transformers_["groups"][-1].categories_[0][-1])
    assert set(predict(load_model(found.path), found.data, "bought it").prediction.tolist()) == {True, False}


def test_served_and_as_mlflow_loads_it_it_says_the_same(outcome, census):
    trained, _ = outcome(asked(features=["SEX", "DIS"]))
    model, rows = load_model(trained.path), census[ROWS : ROWS + 300].drop(columns="employed").astype(float)
    wanted = model.function(rows)[:, 1]
    values = [[None if place == 7 else entry for place, entry in enumerate(rows[name])] for name in rows]
    served = Predictor(model)
    assert served.scores == "score"
    assert served.signature.nullable == set(rows.columns)
    found = served.predict(values).score
    assert numpy.delete(found, 7) == pytest.approx(numpy.delete(wanted, 7), abs=1e-12)
    assert mlflow.pyfunc.load_model(str(trained.path)).predict(rows)[:, 1] == pytest.approx(wanted, abs=1e-12)


def test_the_folder_needs_no_fairlearn_and_no_hallmark_and_holds_no_row(outcome):
    trained, _ = outcome(asked())
    content = b"".join(path.read_bytes() for path in trained.path.rglob("*") if path.is_file())
    assert b"fairlearn" not in content
    assert b"kfp_hallmark" not in (trained.path / "model.pkl").read_bytes()
    assert len(content) < 100_000
    assert pickle.loads((trained.path / "model.pkl").read_bytes())["estimator"].n_layers_ == 3


def test_trained_again_as_it_stands_it_is_another_and_no_open_seed_hides_that(outcome, census):
    model = load_model(outcome(asked())[0].path)
    found = model.estimator.get_params()
    assert all(isinstance(found[name], int) for name in found if name.endswith("random_state"))
    rows, label = census[:ROWS].drop(columns="employed").astype(float), census["employed"][:ROWS]
    again = clone(model.estimator).fit(rows, label)
    assert (again.predict(rows) != model.estimator.predict(rows)).mean() > 0.01


@pytest.mark.parametrize("constraint", ["demographic_parity", "equalized_odds"])
def test_trained_again_it_is_the_same_to_the_digest(outcome, constraint):
    first, second = (outcome(asked(constraint))[0] for _ in range(2))
    assert (first.digest, first.experiment_hash) == (second.digest, second.experiment_hash)


def test_the_seed_chooses_what_is_held_out(outcome):
    assert outcome(asked())[0].digest != outcome(asked(), seed=1)[0].digest


def test_thresholds_are_part_of_the_experiment(outcome):
    others = (asked(), asked(objective="balanced_accuracy_score"), asked(held_out=0.5))
    assert len({outcome(each)[0].experiment_hash for each in others}) == 3


def test_certain_thresholds_come_close_to_fairlearns_draw(outcome, census):
    """What is lost by not drawing, on people neither was trained on; docs/mitigation.md tells it."""
    trained, alike = outcome(asked())
    scorer = load_model(trained.path).estimator["features"].transformer_list[0][1]
    rows = census.astype(float).drop(columns="employed")
    score = scorer.predict_proba(rows)[:, 1]
    held = numpy.random.default_rng(0).random(ROWS) < 0.25
    train, other = census[:ROWS][held], census[ROWS:]
    drawn = fairlearns(score[:ROWS][held], train["employed"], train["DIS"], "demographic_parity", "accuracy_score")
    chosen = drawn._pmf_predict(score[ROWS:, None], sensitive_features=other["DIS"])[:, 1]
    truth = other["employed"].to_numpy()
    accuracy = (truth * chosen + (1 - truth) * (1 - chosen)).mean()
    assert sklearn.metrics.accuracy_score(alike.label, alike.prediction) == pytest.approx(accuracy, abs=0.02)


@pytest.mark.parametrize(
    ("mitigation", "message"),
    [
        (
            asked("error_rate_parity"),
            "mitigation's constraint must be one of demographic_parity, equalized_odds, true_positive_rate_parity, "
            "false_positive_rate_parity; got 'error_rate_parity'.",
        ),
        (
            asked(objective="f1"),
            "mitigation's objective must be one of accuracy_score, balanced_accuracy_score; got 'f1'.",
        ),
        (asked(held_out=1), "mitigation's held_out must be above 0 and below 1; got 1."),
        (asked(held_out=True), "mitigation's held_out must be above 0 and below 1; got True."),
        (asked(max_difference=0.1), "mitigation's max_difference must be left out for threshold_optimizer."),
        (asked(max_iter=5), "mitigation's max_iter must be left out for threshold_optimizer."),
        (asked(features=["town"]), "sensitive_features must be a column of the dataset; got 'town'."),
        (asked(features=["bought it"]), "mitigation's sensitive_features must not hold the target; got 'bought it'."),
        (asked(features=["income <k>"]), "mitigation's sensitive_features must make 2 to 50 groups; got 258."),
        (
            asked(features=["student"]),
            "mitigation's sensitive_features must make groups with at least 10 held-out rows of each class; "
            "2 of 3 have fewer.",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(run, people, tmp_path, mitigation, message):
    with pytest.raises(InputError) as caught:
        run(people, estimator=LOGISTIC, mitigation=mitigation)
    assert caught.value.message == message
    assert not (tmp_path / "model").exists()


def test_a_reduction_has_no_held_out_rows(run, people):
    mitigation = asked(features=["student"]) | {"method": "grid_search", "held_out": 0.2}
    with pytest.raises(InputError, match="mitigation's held_out must be left out for grid_search"):
        run(people, estimator=LOGISTIC, mitigation=mitigation)


def test_only_a_binary_task_with_probabilities_has_thresholds(run, people):
    mitigation = asked(features=["student"])
    with pytest.raises(InputError, match="mitigation must be of a binary task; got multiclass"):
        run(people.assign(**{"bought it": numpy.arange(300) % 3}), estimator=LOGISTIC, mitigation=mitigation)
    with pytest.raises(InputError, match="an estimator with probabilities; got 'LinearSVC'"):
        run(people, estimator="sklearn.svm.LinearSVC", mitigation=mitigation)


def test_an_estimator_without_weights_has_thresholds(outcome):
    assert outcome(asked(), estimator="sklearn.neighbors.KNeighborsClassifier")[1].score is not None
