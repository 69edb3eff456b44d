"""The pipeline on real data, both outcomes, in local environments and in containers."""

import json
import sqlite3
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "acs_employment"
GATES = {"validate_dataset", "performance_gate", "fairness_gate"}
STEPS = [
    "load_dataset",
    "split_dataset",
    "validate_dataset",
    "train_model",
    "evaluate_model",
    "performance_gate",
    "fairness_gate",
    "explain_model",
    "decide_release",
]


def versions(state):
    """Return the registered versions and the aliases, as the registry's own database has them."""
    with sqlite3.connect(state / "mlflow" / "mlflow.db") as database:
        rows = database.execute("select name, version from model_versions").fetchall()
        aliases = dict(database.execute("select alias, version from registered_model_aliases").fetchall())
    return rows, aliases


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
        for gate in ("performance_gate", "fairness_gate"):
            assert released.verdicts()[gate]["subjects"]["model"] == model["digest"]
        manifest = json.loads((released.state / "serving" / model["name"] / "release.json").read_text())
        assert manifest["digest"] == model["digest"]
        assert str(manifest["version"]) == str(model["version"])

    def test_logs_the_experiment(self, released):
        with sqlite3.connect(released.state / "mlflow" / "mlflow.db") as database:
            tags = {value for (value,) in database.execute("select value from tags")}
        assert released.document["model"]["digest"] in tags
        assert released.document["model"]["experiment_hash"] in tags


class TestHalted:
    def test_is_halted_by_fairness(self, halted):
        assert halted.exit_code == 3, halted.stdout + halted.stderr
        assert halted.document["status"] == "halted"
        assert halted.document["decision"]["outcome"] == "halt"
        assert any("fairness_gate" in reason and "DIS" in reason for reason in halted.document["decision"]["reasons"])

    def test_keeps_all_evidence(self, halted):
        assert {entry["gate"] for entry in halted.document["verdicts"]} == GATES
        for entry in halted.document["verdicts"]:
            assert (halted.folder / entry["path"]).is_file()
            assert (halted.folder / entry["report"]).is_file()
        assert (halted.folder / "index.html").is_file()

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


class TestRepeated:
    def test_gives_the_same_model_and_verdicts(self, released, repeated):
        assert repeated.exit_code == 0, repeated.stdout + repeated.stderr
        assert repeated.document["model"]["digest"] == released.document["model"]["digest"]
        assert repeated.document["model"]["experiment_hash"] == released.document["model"]["experiment_hash"]
        assert repeated.step("train_model")["state"] == "succeeded"
        first, second = released.verdicts(), repeated.verdicts()
        # The second run meets a champion, itself; the first met none.
        for verdicts in (first, second):
            gate = verdicts["performance_gate"]
            gate["checks"] = [check for check in gate["checks"] if not check["name"].startswith("champion")]
        assert first == second

    def test_makes_no_second_version(self, released, repeated):
        assert repeated.document["model"]["version"] == released.document["model"]["version"]
        assert len(versions(repeated.state)[0]) == 1


def test_unchanged_steps_are_reused(platform, state, repeated, start, tmp_path):
    run = start(tmp_path / "run", state, "--platform", platform, "--params", EXAMPLES / "released.yaml")
    assert run.exit_code == 0, run.stdout + run.stderr
    states = {step["name"]: step["state"] for step in run.document["steps"]}
    assert {name for name, state in states.items() if state == "reused"} == {
        "split_dataset",
        "train_model",
        "evaluate_model",
        "explain_model",
    }
    assert run.document["model"]["digest"] == repeated.document["model"]["digest"]


@pytest.mark.parametrize("flavour", ["kubeflow", "vertex"])
def test_the_compiled_file_runs_too(state, platform, repeated, flavour, hallmark, tmp_path):
    done = hallmark(
        "run",
        ROOT / "compiled" / "pipelines" / f"governed_training.{flavour}.yaml",
        "--platform",
        platform,
        "--params",
        EXAMPLES / "released.yaml",
        "--output",
        tmp_path / "run",
        state=state,
    )
    assert done.returncode == 0, done.stdout + done.stderr
