import math

import numpy as np
import pytest
from kfp import dsl
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC

from kfp_hallmark.components.evaluation.evaluate_model.costs import (
    ClassCosts,
    Costs,
    cheapest_threshold,
    cost_curve,
    read_costs,
    report_costs,
)
from kfp_hallmark.components.evaluation.evaluate_model.evaluate import evaluate
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, Predictions
from kfp_hallmark.errors import InputError
from kfp_hallmark.measures import mean_interval

DIGEST = "sha256:" + "1" * 64
COSTS = Costs(false_positive=1.0, false_negative=5.0)


def scored(label, score, threshold=0.5):
    label, score = np.asarray(label), np.asarray(score, dtype=float)
    digests = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)
    return Predictions(BINARY, "y", label, (score >= threshold).astype(int), score, (0, 1), 1, threshold, *digests)


def drawn(random, rows):
    """Scores that are what they claim to be: probabilities."""
    score = random.beta(1, 2, rows)
    return scored((random.random(rows) < score).astype(int), score)


def test_the_cost_curve_by_hand():
    """Of 0.9 (positive), 0.6 (negative), 0.6 (positive), 0.2 (negative): 2 x 5, 5, 1 and 2 x 1, by four rows."""
    thresholds, means = cost_curve(scored([1, 0, 1, 0], [0.9, 0.6, 0.6, 0.2]), COSTS)
    assert thresholds[1:].tolist() == [0.9, 0.6, 0.2]
    assert 0.9 < thresholds[0] < 0.9 + 1e-12
    assert means.tolist() == [10 / 4, 5 / 4, 1 / 4, 2 / 4]


def test_the_cost_curve_is_that_of_every_threshold_tried():
    predictions = drawn(np.random.default_rng(0), 300)
    costs = Costs(2.0, 3.0, true_positive=-4.0, true_negative=-0.5)
    for threshold, mean in zip(*cost_curve(predictions, costs), strict=True):
        rows = costs.of_rows(predictions.label == 1, predictions.score >= threshold)
        assert mean == pytest.approx(rows.mean())


def test_a_right_decision_may_gain():
    costs = Costs(2.0, 3.0, true_positive=-4.0, true_negative=-0.5)
    found = costs.of_rows(np.array([True, True, False, False]), np.array([True, False, True, False]))
    assert found.tolist() == [-4.0, 3.0, 2.0, -0.5]


@pytest.mark.parametrize(("costs", "threshold"), [(Costs(1, 4), 0.2), (Costs(4, 1), 0.8), (Costs(3, 3), 0.5)])
def test_the_cheapest_threshold_of_probabilities_is_that_of_decision_theory(costs, threshold):
    """A false positive's cost by that of both errors (Elkan 2001)."""
    assert cheapest_threshold(drawn(np.random.default_rng(0), 200_000), costs) == pytest.approx(threshold, abs=0.03)


@pytest.mark.parametrize("halved", [False, True])
def test_what_was_chosen_elsewhere_is_told_without_bias_and_what_was_chosen_here_is_not(halved):
    """The interval of the chosen threshold's cost holds its true cost as often as it says."""
    random, runs = np.random.default_rng(4), 400
    held = cheaper = 0
    for seed in range(runs):
        validation, test = drawn(random, 150), drawn(random, 300)
        found = report_costs(test, COSTS, None if halved else validation, 0.95, seed)
        assert found.halved == halved
        cut = min(found.chosen.threshold, 1.0)
        # Of scores of the density 2 (1 - s), calibrated: false negatives below the cut, false positives above it.
        missed, alarms = cut**2 - 2 * cut**3 / 3, (2 / 3) * (1 - cut) ** 3
        truth = 5 * missed + alarms
        held += found.chosen.interval[0] <= truth <= found.chosen.interval[1]
        cheaper += min(found.curve[1]) < truth
    assert abs(held / runs - 0.95) <= 4 * math.sqrt(0.95 * 0.05 / runs)
    assert cheaper / runs > 0.6


def test_without_validation_data_one_half_of_each_class_chooses_and_the_other_tells():
    """Of the four rows of each class two choose: by any two of them the cheapest threshold is that of the positives."""
    test = scored([1, 1, 1, 1, 0, 0, 0, 0], [0.9, 0.9, 0.9, 0.9, 0.7, 0.7, 0.7, 0.7])
    found = report_costs(test, COSTS, None, 0.95, 0)
    assert (found.chosen.threshold, found.chosen.cost, found.own.cost) == (0.9, 0.0, 0.5)
    assert found.saving.cost == 0.5
    more = drawn(np.random.default_rng(1), 1001)
    first, again, other = (report_costs(more, COSTS, None, 0.95, seed) for seed in (0, 0, 1))
    assert first == again
    assert first.chosen != other.chosen
    assert first.own == other.own


def test_where_a_half_would_lack_a_class_no_threshold_is_chosen():
    for rows in ([0, 0, 0, 0], [1], [1, 1, 1]):
        found = report_costs(scored(rows, np.linspace(0.1, 0.9, len(rows))), COSTS, None, 0.95, 0)
        assert (found.chosen, found.saving, found.halved) == (None, None, False)


def test_a_saving_is_paired():
    random = np.random.default_rng(1)
    found = report_costs(drawn(random, 5000), COSTS, drawn(random, 5000), 0.95, 0)
    assert found.saving.cost == pytest.approx(found.own.cost - found.chosen.cost)
    assert found.saving.interval[0] > 0
    widths = [each.interval[1] - each.interval[0] for each in (found.saving, found.own, found.chosen)]
    assert widths[0] < math.hypot(*widths[1:])


def test_a_validation_of_one_class_cannot_choose():
    with pytest.raises(InputError, match=r"validation must hold both classes; it holds one\."):
        report_costs(drawn(np.random.default_rng(0), 50), COSTS, scored([1, 1], [0.2, 0.9]), 0.95, 0)


@pytest.fixture
def cost_run(tmp_path):
    def run(model, data, **options):
        paths = {name: str(tmp_path / name) for name in ("predictions", "metrics", "classification", "report")}
        metrics = dsl.Metrics(uri=paths["metrics"])
        settings = {"target": "bought", "slices": [], "bootstrap_samples": 200, "confidence": 0.95, "seed": 0}
        settings |= {
            "costs": {"false_positive": 1, "false_negative": 5},
            "validation": None,
            "found_slices": 0,
        } | options
        evaluate(
            dsl.Model(uri=str(model)),
            dsl.Dataset(uri=str(data)),
            dsl.Dataset(uri=paths["predictions"]),
            metrics,
            dsl.ClassificationMetrics(uri=paths["classification"]),
            dsl.HTML(uri=paths["report"]),
            **settings,
        )
        return metrics.metadata, (tmp_path / "report").read_text()

    return run


@pytest.fixture
def validation(tmp_path, customers):
    path = tmp_path / "validation.parquet"
    customers[200:].to_parquet(path, index=False)
    return dsl.Dataset(uri=str(path))


def test_costs_are_reported_with_and_without_validation(cost_run, model_folder, customers, validation):
    model, data = model_folder(customers[:200], LogisticRegression())
    metrics, html = cost_run(model, data)
    assert metrics["cost_low"] < metrics["cost"] < metrics["cost_high"]
    assert metrics["chosen_threshold"] < 0.5
    assert "the model&#x27;s own" in html and "chosen on the validation data" not in html
    assert "chosen on one half of the rows" in html
    assert "told of the other half" in html
    metrics, html = cost_run(model, data, validation=validation)
    assert metrics["chosen_threshold"] < 0.5
    assert metrics["saving"] == pytest.approx(metrics["cost"] - metrics["chosen_cost"])
    assert "chosen on the validation data" in html


def test_without_costs_nothing_is_said_of_them(cost_run, model_folder, customers):
    metrics, html = cost_run(*model_folder(customers, LogisticRegression()), costs={})
    assert "cost" not in metrics
    assert "<h2>Costs</h2>" not in html
    assert "<h2>Gain and lift</h2>" in html


def test_a_threshold_is_never_chosen_on_the_rows_of_the_test(cost_run, model_folder, customers, tmp_path):
    model, data = model_folder(customers, LogisticRegression())
    with pytest.raises(InputError, match=r"validation must be other data than the dataset; it is the same\."):
        cost_run(model, data, validation=dsl.Dataset(uri=str(data)))
    assert not (tmp_path / "report").exists()


def test_a_threshold_is_never_chosen_on_the_rows_of_the_training(cost_run, model_folder, customers, validation):
    from kfp_hallmark.contracts.digest import artifact_digest

    model, data = model_folder(customers[:200], LogisticRegression())
    document = (model / "MLmodel").read_text()
    stated = f"    datasets:\n    - {artifact_digest(validation.path)}\n"
    (model / "MLmodel").write_text(document.replace("  hallmark:\n", f"  hallmark:\n{stated}"))
    with pytest.raises(InputError, match="validation must be other data than the model was trained on"):
        cost_run(model, data, validation=validation)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"false_positive": 1}, "costs must hold every required option; missing: false_negative."),
        ({"false_positive": 1, "false_negatives": 1}, "costs must hold options that there are; got 'false_negatives'."),
        ({"false_positive": 1, "false_negative": "5"}, "costs['false_negative'] must be a number; got '5'."),
        ({"false_positive": 1, "false_negative": math.inf}, "must be a finite number; got inf."),
        (
            {"false_positive": 0, "false_negative": 5},
            "costs must be greater for a wrong decision",
        ),
        (
            {"false_positive": 1, "false_negative": 5, "true_positive": 5},
            "costs must be greater for a wrong decision",
        ),
    ],
)
def test_costs_that_cannot_be_used_are_refused(cost_run, model_folder, customers, tmp_path, costs, message):
    with pytest.raises(InputError) as caught:
        cost_run(*model_folder(customers, LogisticRegression()), costs=costs)
    assert message in caught.value.message
    assert not (tmp_path / "report").exists()


def test_a_validation_without_costs_is_refused(cost_run, model_folder, customers, validation):
    with pytest.raises(InputError, match=r"costs must be given together with validation; got none\."):
        cost_run(*model_folder(customers, LogisticRegression()), costs={}, validation=validation)


def test_what_has_no_threshold_to_choose_is_refused(cost_run, model_folder, customers, validation):
    model = model_folder(customers[:200], LinearSVC())
    with pytest.raises(InputError, match=r"validation must be given for a model with scores alone; it gives none\."):
        cost_run(*model, validation=validation)
    metrics, _ = cost_run(*model)
    assert metrics["cost"] > 0
    assert "chosen_cost" not in metrics


def test_costs_of_numbers_are_refused(cost_run, model_folder, customers):
    numbers = model_folder(customers[["noise"]].assign(bought=customers["noise"] * 2), LinearRegression())
    with pytest.raises(InputError, match=r"must be given for a binary task; got a regression task\."):
        cost_run(*numbers)


CLASSES = ("bicycle", "bus", "car")
MATRIX = {
    "bicycle": {"bus": 1, "car": 3},
    "bus": {"bicycle": 2, "car": 1},
    "car": {"bicycle": 10, "bus": 4, "car": -1},
}


def among(label, score, score_given=True):
    names, score = np.array(CLASSES), np.asarray(score, dtype=float)
    said = names[score.argmax(axis=1)]
    kept = score if score_given else None
    return Predictions(MULTICLASS, "y", names[np.asarray(label)], said, kept, CLASSES, None, None, DIGEST, DIGEST)


def test_the_interval_of_rare_and_costly_errors_holds_their_cost():
    """One row in fifty costs 20: the symmetric interval of a mean holds that in 90 % of such datasets, this in 98 %."""
    random, costs, held = np.random.default_rng(5), Costs(false_positive=0.1, false_negative=20.0), 0
    for _ in range(1000):
        missed = random.random(400) < 0.02
        found = report_costs(scored(np.ones(400, int), np.where(missed, 0.1, 0.9)), costs, None, 0.95, 0)
        low, high = found.own.interval or (0.0, 0.0)
        held += low <= 0.4 <= high
    assert held / 1000 >= 0.95


def test_few_rows_and_rows_of_one_cost_give_no_interval():
    costs, label, score = Costs(false_positive=1.0, false_negative=5.0), [0, 1] * 10, [0.1, 0.9] * 9 + [0.9, 0.1]
    assert report_costs(scored(label, score), costs, None, 0.95, 0).own.interval is not None
    assert report_costs(scored(label[1:], score[1:]), costs, None, 0.95, 0).own.interval is None
    faultless = report_costs(scored(label, [0.1, 0.9] * 10), costs, None, 0.95, 0).own
    assert (faultless.cost, faultless.interval) == (0.0, None)


def test_costs_of_several_classes_by_hand():
    """By the expected costs the first row is a bus, though a bicycle is likeliest; the others stay."""
    score = [[0.6, 0.2, 0.2], [0.1, 0.4, 0.5], [0.8, 0.2, 0.0]]
    expected = np.array(score) @ [[0, 1, 3], [2, 0, 1], [10, 4, -1]]
    assert expected.round(6).tolist() == [[2.4, 1.4, 1.8], [5.8, 2.1, 0.2], [0.4, 0.8, 2.6]]
    found = report_costs(among([2, 2, 1], score), ClassCosts(MATRIX), None, 0.95, 0)
    assert found.own.cost == pytest.approx((10 - 1 + 2) / 3)
    assert found.chosen.cost == pytest.approx((4 - 1 + 2) / 3)
    assert found.saving.cost == pytest.approx(6 / 3)
    many = report_costs(among([2, 2, 1] * 8, score * 8), ClassCosts(MATRIX), None, 0.95, 0)
    influences = np.array([4, -2, -2] * 8) / (24 * 23) ** 0.5
    assert many.saving.interval == pytest.approx(mean_interval(2, influences, 0.95))
    assert report_costs(among([2, 2, 1], score, False), ClassCosts(MATRIX), None, 0.95, 0).chosen is None


def test_the_least_expected_cost_saves_and_its_interval_holds_the_truth():
    """Of probabilities that are true; what is saved has no bias, for nothing was chosen on the rows."""
    random, costs = np.random.default_rng(0), ClassCosts(MATRIX)

    def drawn_among(rows):
        score = random.dirichlet([1, 1, 1], rows)
        return among((random.random((rows, 1)) > score.cumsum(axis=1)).sum(axis=1).clip(0, 2), score)

    truth = report_costs(drawn_among(400_000), costs, None, 0.95, 0)
    assert truth.saving.cost > 0.5
    hits = 0
    for _ in range(1000):
        low, high = report_costs(drawn_among(400), costs, None, 0.95, 0).saving.interval
        hits += low <= truth.saving.cost <= high
    assert 0.93 <= hits / 1000 <= 0.97


def test_costs_of_several_classes_are_reported(cost_run, model_folder, customers):
    towns = customers.assign(bought=customers["home town"].fillna("Bonn")).drop(columns="home town")
    towns["hint"] = (towns["bought"] == "Ulm") + np.random.default_rng(0).normal(0, 0.5, len(towns))
    costs = {
        true: {said: 5 if true == "Ulm" else 1 for said in ("Bonn", "Köln", "Ulm") if said != true}
        for true in ("Bonn", "Köln", "Ulm")
    }
    metrics, html = cost_run(*model_folder(towns, LogisticRegression()), costs=costs)
    assert metrics["saving"] == pytest.approx(metrics["cost"] - metrics["chosen_cost"])
    assert "Ulm taken for Bonn" in html and "least expected cost" in html


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bus": 3}, "costs['bus'] must be an object of predicted classes; got 3."),
        ({"bus": {"bicycle": "2", "car": 1}}, "costs['bus']['bicycle'] must be a finite number; got '2'."),
        ({"bus": {"bicycle": 2}}, "costs must hold every wrong decision; missing: 'bus' taken for 'car'."),
        ({"bus": {"bicycle": 2, "carr": 1}}, "costs must be of the model's classes; got 'carr'."),
        ({"bus": {"bicycle": 2, "car": 0}}, "costs must be greater for a wrong decision than for the right one"),
    ],
)
def test_costs_of_several_classes_that_cannot_be_used_are_refused(change, message):
    with pytest.raises(InputError) as caught:
        report_costs(among([0, 1, 2], np.eye(3)), read_costs(MATRIX | change), None, 0.95, 0)
    assert message in caught.value.message


def test_costs_that_do_not_suit_the_task_are_refused():
    three, two = among([0, 1, 2], np.eye(3)), scored([0, 1], [0.2, 0.9])
    with pytest.raises(InputError, match="must be given for a binary task; got a multiclass task"):
        report_costs(three, COSTS, None, 0.95, 0)
    with pytest.raises(InputError, match="must be given for a multiclass task; got a binary task"):
        report_costs(two, ClassCosts(MATRIX), None, 0.95, 0)
    with pytest.raises(InputError, match="validation must be left out for several classes"):
        report_costs(three, ClassCosts(MATRIX), three, 0.95, 0)
