"""Whole runs for every task but the plain binary one: several classes, a regression, and a training that is private."""

import json
import subprocess
from pathlib import Path

import pytest

from kfp_hallmark.contracts.privacy import read_ledger
from kfp_hallmark.environments import local

CENSUS = Path(__file__).resolve().parents[2] / "examples" / "acs_employment" / "2015.parquet"
TAKE = """
import sys, pyarrow.parquet
rows = pyarrow.parquet.read_table(sys.argv[1]).slice(0, 8000)
pyarrow.parquet.write_table(rows.select(["AGEP", "SCHL", "MAR", "SEX", "DIS", "NATIVITY", "employed"]), sys.argv[2])
"""
ROWS = """
import json, sys, pyarrow.parquet
test, predictions = (pyarrow.parquet.read_table(path).slice(0, 200) for path in sys.argv[1:3])
json.dump([test.select(json.loads(sys.argv[3])).to_pylist(), predictions["prediction"].to_pylist()], sys.stdout)
"""
COMMON = {"sensitive_features": ["SEX"], "excluded_columns": ["SEX"], "slices": ["SEX"], "found_slices": 3}
STATES = {"married": 1, "widowed": 2, "divorced": 3, "separated": 4, "single": 5}
SEVERAL = {
    "target": "MAR",
    "model_name": "marital",
    "estimator": "sklearn.linear_model.LogisticRegression",
    "performance_limits": {"min_roc_auc_ovr": 0.75, "min_accuracy": 0.7, "max_log_loss": 0.9},
    "fairness_limits": {"max_accuracy_score_difference": 0.15},
    "costs": {
        str(true): {str(told): 5 if true == 1 else 1 for told in STATES.values() if told != true}
        for true in STATES.values()
    },
}
NUMBER = {
    "target": "AGEP",
    "model_name": "age",
    "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
    "estimator_parameters": {"max_iter": 40},
    "performance_limits": {"min_r2": 0.6, "max_root_mean_squared_error": 16.0},
    "fairness_limits": {"max_mean_absolute_error_difference": 2.5},
}
PRIVATE = {
    "target": "employed",
    "model_name": "private",
    "estimator": "interpret.privacy.DPExplainableBoostingClassifier",
    "estimator_parameters": {"max_rounds": 20},
    "performance_limits": {"min_roc_auc": 0.7},
    "fairness_limits": {"max_demographic_parity_difference": 0.3},
    "costs": {"false_positive": 1, "false_negative": 5},
}
PUBLIC = {
    "epsilon": 4.0,
    "delta": 1e-6,
    "bounds": {"AGEP": [0, 99], "SCHL": [0, 24]},
    "categories": {"MAR": [1, 2, 3, 4, 5], "DIS": [1, 2], "NATIVITY": [1, 2]},
}


@pytest.fixture(scope="module")
def launch(start, tmp_path_factory):
    """Run `governed_training` on some of the census; all runs share one state."""
    folder = tmp_path_factory.mktemp("tasks")
    command = [local.ensure("ml"), "-c", TAKE, CENSUS, folder / "census.parquet"]
    subprocess.run(command, check=True)

    def run(name, parameters):
        given = {"data_uri": str(folder / "census.parquet"), **COMMON, **parameters}
        (folder / f"{name}.yaml").write_text(json.dumps(given))
        return start(folder / name, folder / "state", "--params", folder / f"{name}.yaml")

    return run


@pytest.fixture(scope="module")
def several(launch):
    return launch("several", SEVERAL)


@pytest.fixture(scope="module")
def number(launch):
    return launch("number", NUMBER)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    path = tmp_path_factory.mktemp("ledger") / "privacy.jsonl"
    path.touch()
    return path


@pytest.fixture(scope="module")
def private(launch, ledger):
    return launch("private", PRIVATE | {"privacy": PUBLIC | {"ledger": str(ledger)}})


def card(run):
    return (run.folder / run.step("write_model_card")["outputs"]["markdown"]["path"]).read_text()


def metrics_told(run):
    """Return the names and the values of a card's metrics, and the metrics that it tells by group."""
    told, _, groups = card(run).partition("## Metrics\n")[2].partition("## Metrics by group\n")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("| ")]
    head = next(line for line in groups.splitlines() if line.startswith("| "))
    return {row[0]: row[1] for row in rows[2:]}, [cell.strip() for cell in head.split("|")[3:-1]]


def assert_released(run, name):
    assert run.exit_code == 0, run.stdout + run.stderr
    assert run.document["decision"]["outcome"] == "release"
    assert run.document["model"]["uri"] == f"models:/{name}/1"
    assert {entry["status"] for entry in run.document["verdicts"]} <= {"pass", "warn"}
    assert "It was decided to release it." in card(run)


def assert_serves(run, name, serve, ask):
    """Assert that what is served says of rows of the test what the gates judged."""
    with serve(run.state, name) as address:
        columns = [entry["name"] for entry in ask(f"{address}/v2/models/{name}")["inputs"]]
        paths = [
            run.folder / run.step(step)["outputs"][output]["path"]
            for step, output in (("split_dataset", "test"), ("evaluate_model", "predictions"))
        ]
        command = [local.ensure("ml"), "-c", ROWS, *paths, json.dumps(columns)]
        rows, judged = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert "SEX" not in columns
        assert ask(f"{address}/predict", {"instances": rows})["predictions"] == judged


class TestSeveralClasses:
    def test_is_released(self, several):
        assert_released(several, "marital")

    def test_the_card_tells_the_metrics_of_several_classes(self, several):
        told, by_group = metrics_told(several)
        assert {"roc auc ovr", "accuracy", "balanced accuracy", "f1 macro", "log loss"} <= set(told)
        assert 0.7 <= float(told["accuracy"]) <= 1
        assert by_group == ["accuracy", "balanced accuracy", "f1 macro"]
        assert "- **classes**: 1, 2, 3, 4, 5" in card(several)

    def test_costs_and_found_slices_are_in_the_report(self, several):
        report = (several.folder / several.step("evaluate_model")["outputs"]["report"]["path"]).read_text()
        assert "1 taken for 5" in report
        assert "least expected cost" in report
        assert "Slices found" in report

    def test_what_is_served_is_what_was_judged(self, several, serve, ask):
        assert_serves(several, "marital", serve, ask)


class TestRegression:
    def test_is_released(self, number):
        assert_released(number, "age")

    def test_the_card_tells_the_metrics_of_a_regression(self, number):
        told, by_group = metrics_told(number)
        assert {"r2", "mean absolute error", "root mean squared error", "median absolute error"} <= set(told)
        assert "accuracy" not in told
        assert 0.6 <= float(told["r2"]) <= 1
        assert by_group == ["r2", "mean absolute error", "root mean squared error"]

    def test_what_is_served_is_what_was_judged(self, number, serve, ask):
        assert_serves(number, "age", serve, ask)

    def test_one_that_is_not_good_or_robust_enough_halts_and_says_why(self, number, launch):
        limits = {"performance_limits": {"max_mean_absolute_error": 5.0}, "robustness_limits": {"max_missing_drop": 0}}
        halted = launch("halted", NUMBER | limits)
        assert (halted.exit_code, halted.document["status"]) == (3, "halted"), halted.stdout + halted.stderr
        performance, *robustness = halted.document["decision"]["reasons"]
        assert performance.startswith("performance_gate: fail: ")
        assert "The mean absolute error is " in performance
        assert robustness[0].startswith("robustness_gate: fail: ")
        assert all(reason.startswith("robustness_gate: ") for reason in robustness)
        assert performance in halted.stdout.replace("\n", " ")
        decision = halted.folder / halted.document["decision"]["path"]
        assert (decision / "evidence" / "robustness_gate.json").is_file()
        assert halted.step("register_model")["state"] == halted.step("deploy_model")["state"] == "skipped"
        assert "It was decided to halt it." in card(halted)


class TestPrivate:
    def test_is_released_and_spent_what_it_says(self, private, ledger):
        assert_released(private, "private")
        (spent,) = read_ledger(ledger).values()
        assert (spent.epsilon, spent.delta) == (4.0, 1e-6)
        checks = {check["name"]: check["maximum"] for check in private.verdicts()["privacy_gate"]["checks"]}
        assert (checks["total_epsilon"], checks["total_delta"]) == (4.0, 1e-6)

    def test_costs_choose_a_threshold(self, private):
        metrics = private.step("evaluate_model")["outputs"]["metrics"]["metadata"]
        assert metrics["chosen_threshold"] < 0.5
        assert metrics["chosen_cost"] < metrics["cost"]
