"""The pipeline on real data, both outcomes, in local environments and in containers."""

import csv
import json
import re
import sqlite3
from pathlib import Path
from random import Random

import pytest

from kfp_hallmark import components
from kfp_hallmark.pipelines import governed_training

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "acs_employment"
JUDGING = {"validate_dataset", "performance_gate", "fairness_gate", "robustness_gate", "explanation_gate"}
GATES = {*JUDGING, "privacy_gate"}
STEPS = [
    "load_dataset",
    "split_dataset",
    "validate_dataset",
    "train_model",
    "evaluate_model",
    "performance_gate",
    "fairness_gate",
    "robustness_gate",
    "explain_model",
    "explanation_gate",
    "privacy_gate",
    "decide_release",
    "write_model_card",
    "log_run",
]


def versions(state):
    """Return the registered versions and the aliases, as the registry's own database has them."""
    with sqlite3.connect(state / "mlflow" / "mlflow.db") as database:
        rows = database.execute("select name, version from model_versions").fetchall()
        aliases = dict(database.execute("select alias, version from registered_model_aliases").fetchall())
    return rows, aliases


def mlflow_tree(run):
    """Return the status of a pipeline run's own MLflow run, and those of the runs below it by name."""
    with sqlite3.connect(run.state / "mlflow" / "mlflow.db") as database:
        ((parent, status),) = database.execute(
            "select run_uuid, status from runs join tags using (run_uuid)"
            " where key = 'hallmark.pipeline_run' and value = ?",
            [run.document["run_id"]],
        ).fetchall()
        below = database.execute(
            "select name, status from runs join tags using (run_uuid) where key = 'mlflow.parentRunId' and value = ?",
            [parent],
        ).fetchall()
    assert len(dict(below)) == len(below)
    return status, dict(below)


LOGGED = dict.fromkeys([step.replace("_", "-") for step in STEPS[2:-1]], "FINISHED")


class TestReleased:
    def test_succeeds(self, released):
        assert released.exit_code == 0, released.stdout + released.stderr
        assert released.document["status"] == "succeeded"
        assert released.document["decision"]["outcome"] == "release"
        assert released.document["decision"]["reasons"] == []

    def test_says_what_came_out(self, released):
        assert "release" in released.stdout
        assert released.document["model"]["uri"] in released.stdout
        assert str(released.folder / "index.html") in released.stdout.replace("\n", "")

    def test_every_step_ran(self, released):
        states = {step["name"]: step["state"] for step in released.document["steps"]}
        ran = [*STEPS, "register_model", "deploy_model", "record_run"]
        assert {name: states[name] for name in ran} == dict.fromkeys(ran, "succeeded")
        assert states["enforce_decision"] == "skipped"
        assert set(states) == {*ran, "enforce_decision"}

    def test_every_gate_passed(self, released):
        statuses = {entry["gate"]: entry["status"] for entry in released.document["verdicts"]}
        assert set(statuses) == GATES
        assert set(statuses.values()) <= {"pass", "warn"}
        assert all((released.folder / entry["report"]).is_file() for entry in released.document["verdicts"])

    def test_registers_and_deploys_the_model_that_was_judged(self, released):
        model = released.document["model"]
        for gate in GATES - {"validate_dataset"}:
            assert released.verdicts()[gate]["subjects"]["model"] == model["digest"]
        manifest = json.loads((released.state / "serving" / model["name"] / "release.json").read_text())
        assert manifest["digest"] == model["digest"]
        assert str(manifest["version"]) == str(model["version"])

    def test_logs_the_experiment(self, released):
        with sqlite3.connect(released.state / "mlflow" / "mlflow.db") as database:
            tags = {value for (value,) in database.execute("select value from tags")}
        assert released.document["model"]["digest"] in tags
        assert released.document["model"]["experiment_hash"] in tags

    def test_holds_every_verdict_as_evidence(self, released):
        decision = released.folder / released.document["decision"]["path"]
        assert {path.stem for path in (decision / "evidence").iterdir()} == GATES
        policy = json.loads((decision / "decision.json").read_text())["policy"]
        assert set(policy["required_gates"]) == GATES

    def test_judges_what_its_parameters_say(self, released):
        judged = released.verdicts()["robustness_gate"]
        kinds = ("missing_drop", "noise_drop", "unseen_drop", "flip_rate", "evasion_rate")
        assert {check["name"] for check in judged["checks"]} == set(kinds)
        assert judged["parameters"]["strengths"]["missing"] == [0.1]
        assert "RELP" in {check["scope"]["feature"] for check in judged["checks"] if check["name"] == "unseen_drop"}

    def test_promises_no_privacy(self, released):
        for page in ("index.html", "reports/decide_release.html", "reports/privacy_gate.html"):
            text = (released.folder / page).read_text()
            assert "No differential privacy was asked for, and the model promises none." in text

    def test_writes_a_card_with_metrics_by_group_and_what_a_person_said(self, released):
        outputs = released.step("write_model_card")["outputs"]
        assert outputs["missing_fields"] == 0
        text = (released.folder / outputs["markdown"]["path"]).read_text()
        assert text.startswith("# Model card: Employment in Massachusetts, a demonstration")
        groups = text.partition("## Metrics by group")[2].partition("\n## ")[0]
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in groups.splitlines() if line[:1] == "|"]
        assert rows[0] == ["SEX", "Rows", "accuracy", "precision", "recall"]
        assert [row[0] for row in rows[2:]] == ["1", "2"]
        assert all(re.fullmatch(r"0\.\d+ \(0\.\d+ to 0\.\d+\)", cell) for row in rows[2:] for cell in row[2:])
        bom = json.loads((released.folder / outputs["cyclonedx"]["path"]).read_text())
        assert released.document["model"]["digest"] in json.dumps(bom["metadata"]["component"])

    def test_logs_the_card(self, released):
        card = released.folder / released.step("write_model_card")["outputs"]["card"]["path"]
        with sqlite3.connect(released.state / "mlflow" / "mlflow.db") as database:
            (uris,) = zip(
                *database.execute("select artifact_uri from runs where name = 'write-model-card'"), strict=True
            )
        logged = [Path(uri.removeprefix("file://"), "report.html") for uri in uris]
        assert card.read_bytes() in [path.read_bytes() for path in logged]

    def test_explains_by_group(self, released):
        document = json.loads(
            (released.folder / released.step("explain_model")["outputs"]["importances"]["path"]).read_text()
        )
        assert [(each["column"], each["value"]) for each in document["cohorts"]] == [("SEX", "1"), ("SEX", "2")]

    def test_is_one_tree_in_mlflow(self, released):
        assert mlflow_tree(released) == ("FINISHED", LOGGED)


@pytest.mark.parametrize("platform", ["local"], indirect=True, scope="session")
class TestHalted:
    def test_is_halted_by_fairness(self, halted):
        assert halted.exit_code == 3, halted.stdout + halted.stderr
        assert halted.document["status"] == "halted"
        assert halted.document["decision"]["outcome"] == "halt"
        assert any("fairness_gate" in reason and "DIS" in reason for reason in halted.document["decision"]["reasons"])

    def test_is_held_against_the_champion(self, halted):
        compared = {
            gate: {check["name"] for check in halted.verdicts()[gate]["checks"] if check["name"].startswith("champion")}
            for gate in ("performance_gate", "explanation_gate")
        }
        assert compared == {
            "performance_gate": {"champion", "champion_slices"},
            "explanation_gate": {"champion_distance"},
        }

    def test_keeps_all_evidence(self, halted):
        assert {entry["gate"] for entry in halted.document["verdicts"]} == GATES
        for entry in halted.document["verdicts"]:
            assert (halted.folder / entry["path"]).is_file()
            assert (halted.folder / entry["report"]).is_file()
        assert (halted.folder / "index.html").is_file()

    def test_is_one_tree_in_mlflow_that_failed(self, halted):
        assert mlflow_tree(halted) == ("FAILED", LOGGED)

    def test_registers_and_deploys_nothing(self, released, halted):
        states = {step["name"]: step["state"] for step in halted.document["steps"]}
        assert states["register_model"] == states["deploy_model"] == "skipped"
        assert states["enforce_decision"] == "failed"
        rows, aliases = versions(halted.state)
        name, version = released.document["model"]["name"], int(released.document["model"]["version"])
        assert rows == [(name, version)]
        assert set(aliases.values()) == {version}

    def test_both_runs_are_in_the_audit_log(self, released, halted, hallmark):
        done = hallmark("audit", "verify", halted.state / "audit.jsonl", state=halted.state)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in (halted.state / "audit.jsonl").read_text().splitlines()]
        assert len(lines) >= 2
        assert [line["record"]["state"] for line in lines[:2]] == ["SUCCEEDED", "FAILED"]


@pytest.mark.parametrize("platform", ["local"], indirect=True, scope="session")
class TestRepeated:
    """By the compiled file, with every step anew."""

    def test_gives_the_same_model_and_verdicts(self, released, repeated):
        assert repeated.exit_code == 0, repeated.stdout + repeated.stderr
        assert repeated.document["model"]["digest"] == released.document["model"]["digest"]
        assert repeated.document["model"]["experiment_hash"] == released.document["model"]["experiment_hash"]
        assert repeated.step("train_model")["state"] == "succeeded"
        first, second = released.verdicts(), repeated.verdicts()
        # The second run meets a champion, itself; the first met none.
        for gate in (
            verdicts[name] for verdicts in (first, second) for name in ("performance_gate", "explanation_gate")
        ):
            gate["checks"] = [check for check in gate["checks"] if not check["name"].startswith("champion")]
        assert first == second

    def test_makes_no_second_version(self, released, repeated):
        assert repeated.document["model"]["version"] == released.document["model"]["version"]
        assert len(versions(repeated.state)[0]) == 1


def test_every_parameter_reaches_a_step():
    root = governed_training.pipeline_spec.root
    read = {
        given.component_input_parameter for task in root.dag.tasks.values() for given in task.inputs.parameters.values()
    }
    assert set(root.input_definitions.parameters) <= read


def test_a_decision_requires_every_gate_that_judges_any_model():
    fields = components.decide_release.pipeline_spec.root.input_definitions.parameters
    assert set(fields["required_gates"].default_value.list_value) == JUDGING


BROKEN = {
    "load_dataset": ({"data_uri": "none.parquet"}, "uri must be a file or folder that is there"),
    "train_model": ({"estimator": "sklearn.linear_model.None"}, "estimator must be"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_step_that_fails_ends_the_run_and_is_in_the_books(broken, start, tmp_path):
    """The other steps that need nothing of it may run; nothing is decided, and the exit handler tells of it."""
    parameters, message = BROKEN[broken]
    changes = [part for name, value in parameters.items() for part in ("--set", f"{name}={value}")]
    run = start(tmp_path / "run", tmp_path / "state", "--params", EXAMPLES / "released.yaml", *changes)
    assert (run.exit_code, run.document["status"]) == (1, "failed"), run.stdout + run.stderr
    assert run.step(broken)["state"] == "failed"
    assert message in run.stdout
    assert run.step("decide_release")["state"] == run.step("deploy_model")["state"] == "skipped"
    assert run.step("record_run")["state"] == "succeeded"
    (line,) = (tmp_path / "state" / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["record"]["state"] == "FAILED"
    assert mlflow_tree(run)[0] == "FAILED"


def loans(path, rows=5000):
    """Write a table as other people have them: text, gaps, quotes, spaces in names, a boolean label."""
    random = Random(5)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["loan id", "home state", "Einkommen (EUR)", "was late, ever", "age group", "repaid"])
        for number in range(rows):
            income = random.lognormvariate(10, 0.5)
            late = random.random() < 0.3
            repaid = income / 22_000 - 0.8 * late + random.gauss(0, 0.5) > 0.6
            writer.writerow(
                [
                    f"L{number:06}",
                    random.choice(["New York", 'the "Sunshine" state', "Zürich, CH", ""]),
                    "" if random.random() < 0.1 else f"{income:.2f}",
                    "" if random.random() < 0.05 else str(late).lower(),
                    random.choice(["18-35", "36-60", "over 60"]),
                    str(repaid).lower(),
                ]
            )


@pytest.mark.parametrize("platform", ["local"], indirect=True, scope="session")
def test_other_peoples_data_works_unchanged(platform, start, tmp_path):
    loans(tmp_path / "loans of 2026.csv")
    mitigation = {"method": "grid_search", "constraint": "demographic_parity", "grid_size": 2}
    mitigation["sensitive_features"] = ["age group"]
    settings = {
        "data_uri": tmp_path / "loans of 2026.csv",
        "target": "repaid",
        "model_name": "loans",
        "sensitive_features": "[age group]",
        "excluded_columns": "[loan id, age group]",
        "estimator": "xgboost.XGBClassifier",
        "estimator_parameters": "{n_estimators: 50, max_depth: 3}",
        "key_column": "loan id",
        "slices": "[home state, 'was late, ever']",
        "performance_limits": "{min_roc_auc: 0.6, min_accuracy: 0.6}",
        "fairness_limits": "{max_demographic_parity_difference: 0.3}",
        "mitigation": json.dumps(mitigation),
        "max_fairness_losses": "{demographic_parity_difference: 0.1}",
        "serving_limits": "{max_model_megabytes: 50}",
        "champion_question": "equivalence",
        "champion_power": 0.8,
        "explanation_limits": "{max_proxy_share: 0.5}",
    }
    given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    run = start(tmp_path / "run", tmp_path / "state", *given)
    assert run.exit_code == 0, run.stdout + run.stderr
    assert run.document["model"]["uri"] == "models:/loans/1"
    judged = {gate: verdict["parameters"] for gate, verdict in run.verdicts().items()}
    assert judged["performance_gate"]["champion_question"] == "equivalence"
    assert judged["performance_gate"]["power"] == 0.8
    assert judged["performance_gate"]["serving_limits"] == {"max_model_megabytes": 50}
    assert judged["fairness_gate"]["max_champion_losses"] == {"demographic_parity_difference": 0.1}
    assert judged["explanation_gate"]["forbidden_features"] == ["age group"]
    with sqlite3.connect(run.state / "mlflow" / "mlflow.db") as database:
        ((given,),) = database.execute("select value from params where key = 'mitigation'").fetchall()
    assert "grid_search" in given
    for log in (run.folder / "logs").iterdir():
        assert "L000001" not in log.read_text()
