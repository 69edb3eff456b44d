import re
import subprocess
import sys
from collections import Counter
from statistics import NormalDist

import numpy as np
import pytest
import sklearn.metrics

from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import InputError, IntegrityError
from kfp_hallmark.measures import bootstrap_intervals, measure, metrics_for


def scored(rows=2000, seed=0):
    random = np.random.default_rng(seed)
    label = (random.random(rows) < 0.3).astype(int)
    return label, (0.3 + 0.25 * label + random.normal(0, 0.2, rows)).clip(0.01, 0.99)


def test_a_limit_is_a_check_with_value_interval_and_rows(performance):
    label, score = scored()
    found = performance(label, score, {"min_roc_auc": 0.6})
    (check,) = found.verdict.checks
    assert (found.status, check.name, check.status) == ("pass", "roc_auc", Status.PASS)
    assert check.observed == pytest.approx(sklearn.metrics.roc_auc_score(label, score))
    assert check.interval[0] < check.observed < check.interval[1]
    assert (check.minimum, check.maximum, check.samples, check.confidence) == (0.6, None, 2000, 0.95)
    assert re.fullmatch(r"The roc auc is 0\.8\d+, at least 0\.6, as is its whole interval\.", check.message)


@pytest.mark.parametrize(
    ("metric", "side"), [(metric.name, -1 if metric.greater_is_better else 1) for metric in metrics_for(BINARY)]
)
def test_both_sides_of_a_limit_and_of_the_interval(performance, metric, side):
    label, score = scored()
    name = f"{'min' if side < 0 else 'max'}_{metric}"
    (check,) = performance(label, score, {name: 0.5 + side}).verdict.checks
    value, (low, high) = check.observed, check.interval
    far = low if side < 0 else high
    step = side * 1e-9
    statuses = [
        performance(label, score, {name: limit}).status
        for limit in (value - step, value, value + step, far - step, far, far + step)
    ]
    assert statuses == ["fail", "warn", "warn", "warn", "pass", "pass"]


def test_the_worst_check_is_the_status(performance):
    found = performance(*scored(), {"min_roc_auc": 0.6, "max_log_loss": 0.01, "min_recall": 0.1})
    assert found.status == "fail"
    assert {check.name: str(check.status) for check in found.verdict.checks} == {
        "roc_auc": "pass",
        "log_loss": "fail",
        "recall": "pass",
    }
    assert "Limits broken: log loss." in found.report


def test_one_positive_row_is_no_pass(performance):
    label, score = [1] + [0] * 5000, np.r_[0.95, np.linspace(0, 1, 5000)]
    found = performance(label, score, {"min_roc_auc": 0.9, "min_accuracy": 0.4})
    assert found.status == "inconclusive"
    check = found.verdict.checks[0]
    assert (check.name, check.observed, check.interval) == ("roc_auc", pytest.approx(0.95, abs=1e-3), None)
    assert "at least 0.9, but of too few rows to say how sure that is" in check.message
    assert "too few rows" in found.report
    assert performance(label, score, {"min_roc_auc": 0.96}).status == "fail"


def test_a_metric_that_is_undefined_is_inconclusive(performance):
    found = performance([1] * 20, [0.2, 0.7, 0.8, 0.9] * 5, {"min_roc_auc": 0.8, "min_recall": 0.1})
    assert found.status == "inconclusive"
    check = found.verdict.checks[0]
    assert (check.observed, check.interval) == (None, None)
    assert "undefined: a class is missing" in check.message
    assert "Not to be judged: roc auc." in found.report


@pytest.mark.parametrize(
    ("label", "limits", "why"),
    [
        ([0.0] + [3.0] * 39, {"max_mean_absolute_percentage_error": 0.5}, "a true value is 0,"),
        ([3.0] * 40, {"min_r2": 0.5}, "all true values are equal"),
    ],
)
def test_a_metric_of_numbers_that_is_undefined_is_inconclusive_and_says_why(performance, label, limits, why):
    found = performance(label, [2.5, 3.5] * 20, limits, task=REGRESSION)
    assert found.status == "inconclusive"
    check = found.verdict.checks[0]
    assert (check.observed, check.interval) == (None, None)
    assert why in check.message


def test_fewer_than_twenty_rows_pass_no_limit(performance):
    few, enough = ([0, 1] * 9 + [1], [0.1, 0.9] * 9 + [0.9]), ([0, 1] * 10, [0.1, 0.9] * 10)
    found = performance(*few, {"min_accuracy": 0.5})
    assert found.status == "inconclusive"
    assert "of too few rows to say how sure that is: an interval takes 20 rows" in found.verdict.checks[0].message
    assert performance(*enough, {"min_accuracy": 0.5}).status == "pass"
    assert performance(*few, {"min_accuracy": 1.1}).status == "fail"


def test_multiclass_and_regression_are_judged_too(performance):
    random = np.random.default_rng(0)
    label = random.integers(0, 3, 300)
    score = random.dirichlet([1, 1, 1], 300) * (1 + 3 * np.eye(3)[label])
    score /= score.sum(axis=1, keepdims=True)
    assert performance(label, score, {"min_f1_macro": 0.5, "max_log_loss": 1.1}, task=MULTICLASS).status == "pass"
    number = random.gamma(2, 300, 300)
    limits = {"min_r2": 0.5, "max_root_mean_squared_error": 60}
    found = performance(number, number + random.normal(0, 50, 300), limits, task=REGRESSION)
    assert found.status == "pass"
    assert found.report.count("<svg") == 2


@pytest.mark.parametrize(
    ("task", "metric", "limit"),
    [(BINARY, "roc_auc", "min_accuracy"), (MULTICLASS, "roc_auc_ovr", "min_accuracy"), (REGRESSION, "r2", "min_r2")],
)
def test_the_metric_of_the_comparison_fits_the_task(performance, registry, task, metric, limit):
    random = np.random.default_rng(0)
    label = random.integers(0, 3, 300) if task == MULTICLASS else random.integers(0, 2, 300)
    score = np.eye(3)[label] * 0.7 + 0.1 if task == MULTICLASS else label * 0.6 + 0.2
    found = performance(label, score, {limit: 0.5}, task=task, model_name="nobody", tracking_uri=registry.uri)
    assert (found.status, found.verdict.parameters["champion_metric"]) == ("pass", metric)


def test_the_report_is_self_contained_and_says_what_was_judged(performance):
    found = performance(*scored(), {"min_roc_auc": 0.6, "max_brier_score": 0.9})
    for text in ("2,000 rows, binary", "≥ 0.6", "≤ 0.9", "95% interval", "<svg", "Every limit is kept."):
        assert text in found.report
    assert "Champion" not in found.report
    assert "http" not in found.report


def test_the_verdict_is_bound_to_its_subjects_and_settings(performance):
    verdict = performance(*scored(), {"min_roc_auc": 0.6}, seed=4).verdict
    assert (verdict.gate, set(verdict.subjects)) == ("performance_gate", {"model", "dataset"})
    assert verdict.parameters["limits"] == {"min_roc_auc": 0.6}
    assert verdict.parameters["seed"] == 4


def test_the_intervals_are_those_of_the_measures(performance, tmp_path):
    from kfp_hallmark.contracts.predictions import read_predictions

    (check,) = performance(*scored(), {"min_f1": 0.1}, seed=4).verdict.checks
    given = read_predictions(tmp_path / "predictions.parquet")
    assert check.observed == measure(given)["f1"]
    assert check.interval == bootstrap_intervals(given, ["f1"], 200, 0.95, 4)["f1"]


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"limits": {}}, "limits must hold at least one limit; got none.", "Known: min_roc_auc"),
        (
            {"limits": {"min_roc_uac": 0.8}},
            "A limit must be known for a binary task; got 'min_roc_uac'.",
            "Did you mean 'min_roc_auc'?",
        ),
        ({"limits": {"min_r2": 0.8}}, "A limit must be known for a binary task; got 'min_r2'.", None),
        (
            {"limits": {"max_roc_auc": 0.8}},
            "A limit must be a min_ where a greater value is better, and a max_ where a smaller is; got 'max_roc_auc'.",
            "A greater roc_auc is better: say 'min_roc_auc'.",
        ),
        (
            {"limits": {"min_log_loss": 0.8}},
            "and a max_ where a smaller is; got 'min_log_loss'.",
            "A smaller log_loss is better: say 'max_log_loss'.",
        ),
        ({"limits": {"min_f1": True}}, "The limit 'min_f1' must be a finite number; got True.", None),
        ({"limits": {"min_f1": "0.8"}}, "The limit 'min_f1' must be a finite number; got '0.8'.", None),
        ({"limits": {"min_f1": None}}, "The limit 'min_f1' must be a finite number; got None.", None),
        ({"limits": {"min_f1": float("nan")}}, "The limit 'min_f1' must be a finite number; got nan.", None),
        (
            {"limits": {"max_log_loss": float("inf")}},
            "The limit 'max_log_loss' must be a finite number; got inf.",
            None,
        ),
        ({"bootstrap_samples": 10}, "bootstrap_samples must be at least 100; got 10.", None),
        ({"confidence": 1.0}, "confidence must be above 0 and below 1; got 1.0.", None),
        (
            {"model_name": "m", "champion_metric": "roc_acu"},
            "champion_metric must be a metric of a binary task; got 'roc_acu'.",
            "Did you mean 'roc_auc'?",
        ),
        ({"model_name": "m", "max_champion_loss": -0.1}, "max_champion_loss must be a finite number, at least 0", None),
        (
            {"champion_question": "equivalance"},
            "champion_question must be one of superiority, non_inferiority, equivalence; got 'equivalance'.",
            "Did you mean 'equivalence'?",
        ),
        (
            {"model_name": "m", "champion_question": "equivalence", "max_champion_loss": 0.0},
            "max_champion_loss must be above 0 to ask for equivalence; got 0.",
            "No number of rows",
        ),
        ({"model_name": "m", "power": 0.4}, "power must be at least 0.5 and below 1; got 0.4.", "give 0.8"),
        ({"model_name": "m", "power": 1.0}, "power must be at least 0.5 and below 1; got 1.0.", None),
        (
            {"model_name": "m", "power": 0.8, "max_champion_loss": 0.0},
            "max_champion_loss must be above 0 where a power is wanted; got 0.",
            None,
        ),
        ({"model_name": ""}, "model_name must be at most 100 letters", None),
        ({"model_name": "m"}, "tracking_uri must name an MLflow server or store", None),
    ],
)
def test_broken_input_is_refused_before_anything_is_written(performance, tmp_path, monkeypatch, change, message, hint):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError) as caught:
        performance(*scored(100), **({"limits": {"min_roc_auc": 0.8}} | change))
    assert message in caught.value.message
    assert hint is None or hint in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_predictions_of_another_dataset_are_refused(performance, tmp_path):
    with pytest.raises(IntegrityError, match="must be of the dataset given"):
        performance(*scored(100), {"min_roc_auc": 0.8}, dataset="sha256:" + "9" * 64)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1e-9, 1 + 1e-9])
def test_scores_that_are_no_probabilities_are_refused(performance, tmp_path, wrong):
    label, score = scored(100)
    assert performance(label, np.r_[0.0, 1.0, score[2:]], {"min_roc_auc": 0.5}).status != "fail"
    (tmp_path / "out" / "verdict.json").unlink()
    with pytest.raises(IntegrityError, match="must be from 0 to 1; some are not"):
        performance(label, np.r_[wrong, score[1:]], {"min_roc_auc": 0.5})
    assert not (tmp_path / "out" / "verdict.json").exists()


def test_the_gates_import_nothing_heavy():
    code = (
        "import sys\n"
        "import kfp_hallmark.components.evaluation.performance_gate.performance\n"
        "import kfp_hallmark.components.evaluation.fairness_gate.fairness\n"
        "print(sorted({'mlflow', 'pandas', 'sklearn', 'scipy', 'pyarrow', 'kfp'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_an_inverted_label_fails(performance):
    label, score = scored()
    found = performance(1 - label, score, {"min_roc_auc": 0.6, "min_matthews_corrcoef": 0.1})
    area, correlation = found.verdict.checks
    assert (area.status, correlation.status) == (Status.FAIL, Status.FAIL)
    assert area.interval[1] < 0.5 and correlation.interval[1] < 0


def test_a_model_at_its_limits_seldom_passes_and_one_well_within_them_does(performance):
    """True values at the limits: a fortieth passes, by chance at most 18 of 300 but once in 1,000."""
    random = np.random.default_rng(12)

    def drawn(rows):
        label = (random.random(rows) < 0.4).astype(int)
        return label, 1 / (1 + np.exp(-(1.6 * label - 0.8 + random.normal(0, 1, rows))))

    label, score = drawn(2_000_000)
    accuracy = float(((score >= 0.5) == label).mean())
    log_loss = float(-np.log(np.where(label == 1, score, 1 - score)).mean())
    area = NormalDist().cdf(1.6 / 2**0.5)
    passed, power = Counter(), 0
    for _ in range(300):
        label, score = drawn(800)
        limits = {"min_accuracy": accuracy, "min_roc_auc": area, "max_log_loss": log_loss}
        checks = performance(label, score, limits, bootstrap_samples=400).verdict.checks
        passed.update(check.name for check in checks if check.status is Status.PASS)
    assert all(1 <= passed[name] <= 18 for name in ("accuracy", "roc_auc", "log_loss"))
    for _ in range(40):
        label, score = drawn(800)
        power += (
            performance(label, score, {"min_accuracy": accuracy - 0.06, "min_roc_auc": area - 0.06}).status == "pass"
        )
    assert power >= 35
