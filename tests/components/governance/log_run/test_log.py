import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from kfp import dsl
from mlflow.tracking import MlflowClient

from kfp_hallmark.components.governance.log_run.log import log
from kfp_hallmark.contracts.artifacts import log_metrics
from kfp_hallmark.contracts.decision import Policy, decide, write_decision
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.errors import IntegrityError, MissingInputError
from kfp_hallmark.tracking import experiment as make_experiment

GATES = ("validate_dataset", "performance_gate", "fairness_gate")
STEPS = {
    "train-model",
    "evaluate-model",
    "validate-dataset",
    "performance-gate",
    "fairness-gate",
    "explain-model",
    "decide-release",
    "write-model-card",
}


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture
def store(database, monkeypatch):
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return MlflowClient(tracking_uri=database)


@pytest.fixture
def experiment(tmp_path):
    """The name of an experiment that no other test has."""
    return tmp_path.name


@pytest.fixture
def found(tmp_path, judged_model):
    """What the steps of a run found."""
    model, verdicts = judged_model
    decision = dsl.Artifact(uri=str(tmp_path / "decision"))
    write_decision(decision.path, decide(model, verdicts, Policy(GATES)), verdicts)
    decision.metadata["digest"] = artifact_digest(decision.path)
    report = tmp_path / "artifacts" / "report"
    report.parent.mkdir()
    report.write_text("<h1>Report</h1>")

    def metrics(**values):
        made = dsl.Metrics(uri=str(tmp_path / "metrics"))
        log_metrics(made, values)
        made.metadata["display_name"] = "metrics"
        return made

    return {
        "decision": decision,
        "metrics": {
            "train_model": metrics(training_seconds=1.5),
            "evaluate_model": metrics(roc_auc=0.83, rows=300),
            "explain_model": metrics(age=0.2),
        },
        "reports": {
            name: dsl.HTML(uri=str(report))
            for name in (*GATES, "evaluate_model", "explain_model", "decide_release", "write_model_card")
        },
    }


@pytest.fixture
def run(store, found, experiment):
    """Log what was found, as the pipeline run of some name, and return the tree."""

    def run(run_id="run-1", training_run_id=None, **others):
        given = found | others
        (parent,) = log(
            "governed-training",
            run_id,
            given["decision"],
            given["metrics"],
            given["reports"],
            training_run_id,
            experiment,
            store.tracking_uri,
        )
        return tree_of(store, parent)

    return run


def tree_of(store, parent_id):
    parent = store.get_run(parent_id)
    below = store.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent_id}'")
    names = [child.info.run_name for child in below]
    assert len(set(names)) == len(names)
    return SimpleNamespace(parent=parent, steps={child.info.run_name: child for child in below})


def files(store, run, folder=None):
    return {entry.path for entry in store.list_artifacts(run.info.run_id, folder)}


def test_every_step_is_a_run_below_one_parent(run, store):
    tree = run()
    assert tree.parent.info.run_name == "governed-training"
    assert tree.parent.info.status == "RUNNING"
    assert tree.parent.data.tags["hallmark.pipeline_run"] == "run-1"
    assert tree.parent.data.tags["hallmark.outcome"] == "release"
    assert set(tree.steps) == STEPS
    assert {step.info.status for step in tree.steps.values()} == {"FINISHED"}
    assert tree.steps["evaluate-model"].data.metrics == {"roc_auc": 0.83, "rows": 300}
    assert tree.steps["explain-model"].data.metrics == {"age": 0.2}
    assert files(store, tree.steps["evaluate-model"]) == {"report.html"}


def test_a_gate_has_status_verdict_report_and_what_it_observed(run, store):
    gate = run().steps["fairness-gate"]
    assert gate.data.tags["hallmark.status"] == "pass"
    assert gate.data.metrics == {"fairness_gate_difference": 0.02}
    assert files(store, gate) == {"report.html", "verdict.json"}
    written = store.download_artifacts(gate.info.run_id, "verdict.json")
    assert json.loads(Path(written).read_text())["gate"] == "fairness_gate"


def test_the_decision_is_kept_with_its_evidence(run, store):
    step = run().steps["decide-release"]
    assert step.data.tags["hallmark.outcome"] == "release"
    assert files(store, step) == {"decision", "report.html"}
    assert "decision/decision.json" in files(store, step, "decision")


def test_checks_of_the_same_name_are_told_by_their_scope(run, found, tmp_path, judged_model):
    model, verdicts = judged_model
    checks = [
        Check("recall", Status.PASS, observed=0.5),
        Check("recall", Status.PASS, observed=0.75, scope={"feature": "home, town", "group": "a/b"}),
        Check("recall", Status.PASS, observed=None, scope={"feature": "gone"}),
    ]
    Verdict("own_gate", {"model": artifact_digest(model)}, checks, {}, "2026-01-01T00:00:00Z").write(
        tmp_path / "own.json"
    )
    verdicts = {**verdicts, "own_gate": tmp_path / "own.json"}
    decision = dsl.Artifact(uri=str(tmp_path / "other"))
    write_decision(decision.path, decide(model, verdicts, Policy(GATES, max_age_hours=1e6)), verdicts)
    step = run(decision=decision).steps["own-gate"]
    assert step.data.metrics == {"recall": 0.5, "recall/feature:home_ town/group:a_b": 0.75}


def test_a_verdict_that_cannot_be_read_is_logged_as_inconclusive(run, tmp_path, judged_model):
    model, verdicts = judged_model
    verdicts["fairness_gate"].write_text("{")
    decision = dsl.Artifact(uri=str(tmp_path / "other"))
    write_decision(decision.path, decide(model, verdicts, Policy(GATES)), verdicts)
    step = run(decision=decision).steps["fairness-gate"]
    assert step.data.tags["hallmark.status"] == "inconclusive"
    assert step.data.metrics == {}


def test_a_second_attempt_adds_nothing(run, store):
    first = run()
    again = run()
    assert again.parent.info.run_id == first.parent.info.run_id
    assert {name: step.info.run_id for name, step in again.steps.items()} == {
        name: step.info.run_id for name, step in first.steps.items()
    }
    assert len(store.get_metric_history(again.steps["evaluate-model"].info.run_id, "roc_auc")) == 1


def test_an_attempt_that_was_killed_is_completed(run, store):
    tree = run()
    step = tree.steps["fairness-gate"].info.run_id
    store.delete_tag(step, "hallmark.logged")
    store.update_run(step, status="RUNNING")
    store.delete_run(tree.steps["decide-release"].info.run_id)
    again = run()
    assert again.steps["fairness-gate"].info.status == "FINISHED"
    assert "hallmark.logged" in again.steps["fairness-gate"].data.tags
    assert set(again.steps) == STEPS


def test_another_pipeline_run_is_another_tree(run):
    assert run("run-1").parent.info.run_id != run("run-2").parent.info.run_id


def test_the_run_that_trained_goes_below_the_parent(run, store, experiment):
    trained = store.create_run(
        make_experiment(store, experiment), run_name="HistGradientBoostingClassifier"
    ).info.run_id
    store.log_metric(trained, "training_seconds", 1.5)
    step = run(training_run_id=trained).steps["train-model"]
    assert step.info.run_id == trained
    assert len(store.get_metric_history(trained, "training_seconds")) == 1


def test_a_training_that_is_used_again_stays_where_it_was_done(run, store, experiment):
    trained = store.create_run(make_experiment(store, experiment)).info.run_id
    first = run("run-1", trained)
    second = run("run-2", trained)
    assert first.steps["train-model"].info.run_id == trained
    assert store.get_run(trained).data.tags["mlflow.parentRunId"] == first.parent.info.run_id
    step = second.steps["train-model"]
    assert step.data.tags["hallmark.training_run"] == trained
    assert step.data.metrics == {"training_seconds": 1.5}


def test_a_training_whose_run_is_not_in_this_store_is_named(run):
    step = run(training_run_id="0" * 32).steps["train-model"]
    assert step.data.tags["hallmark.training_run"] == "0" * 32


def test_steps_that_are_not_given_are_left_out(run):
    tree = run(metrics={"train_model": None, "evaluate_model": None}, reports={"explain_model": None})
    assert set(tree.steps) == {"validate-dataset", "performance-gate", "fairness-gate", "decide-release"}


@pytest.fixture
def platform(store, experiment, monkeypatch):
    """A tree as Kubeflow Pipelines makes it: the run, the group that an exit handler guards, a run for each task."""
    identifier = make_experiment(store, f"{experiment}-platform")

    def make(name, parent=None):
        tags = {} if parent is None else {"mlflow.parentRunId": parent}
        return store.create_run(identifier, tags=tags, run_name=name).info.run_id

    root = make("my run")
    group = make("governed", root)
    tasks = {name: make(name, group) for name in (*STEPS, "load-dataset", "log-run")}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", identifier)
    monkeypatch.setenv("MLFLOW_RUN_ID", tasks["log-run"])
    return SimpleNamespace(root=root, group=group, tasks=tasks, experiment_id=identifier)


def test_the_runs_that_the_platform_made_are_logged_to(run, store, experiment, platform):
    tree = run(training_run_id=platform.tasks["train-model"])
    assert tree.parent.info.run_id == platform.group
    assert {name: step.info.run_id for name, step in tree.steps.items()} == platform.tasks
    assert {step.info.status for step in tree.steps.values()} == {"RUNNING"}
    assert tree.steps["fairness-gate"].data.tags["hallmark.status"] == "pass"
    assert tree.steps["load-dataset"].data.metrics == {}
    assert tree.parent.info.status == "RUNNING"
    assert tree.parent.info.experiment_id == platform.experiment_id
    assert store.get_experiment_by_name(experiment) is None


def test_a_single_run_of_the_platform_is_the_parent(run, store, platform, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", platform.root)
    tree = run(training_run_id=platform.root)
    assert tree.parent.info.run_id == platform.root
    assert set(tree.steps) == {"governed", *STEPS}
    assert tree.steps["train-model"].data.tags["hallmark.training_run"] == platform.root


def test_the_platform_may_name_the_experiment_alone(run, platform, monkeypatch):
    monkeypatch.delenv("MLFLOW_RUN_ID")
    assert run().parent.info.experiment_id == platform.experiment_id


def test_a_decision_that_was_changed_is_refused_before_anything_is_logged(run, store, experiment, tmp_path):
    (tmp_path / "decision" / "more.json").write_text("{}")
    with pytest.raises(IntegrityError, match="The decision must have the digest"):
        run()
    assert store.get_experiment_by_name(experiment) is None


def test_a_store_that_does_not_answer_is_named(found, tmp_path):
    (tmp_path / "broken.db").write_text("no database, but long enough to be taken for one " * 20)
    given = [found["decision"], found["metrics"], found["reports"], None, "tests", f"sqlite:///{tmp_path}/broken.db"]
    with pytest.raises(MissingInputError, match=r"The tracking store .* must answer"):
        log("governed-training", "run-1", *given)


def test_a_run_of_the_platform_that_is_gone_is_told(run, platform, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(MissingInputError, match="must answer"):
        run()


def test_a_report_that_is_gone_is_told_before_anything_is_logged(run, store, experiment, tmp_path):
    (tmp_path / "artifacts" / "report").unlink()
    with pytest.raises(MissingInputError, match="The report of validate_dataset must be a file"):
        run()
    assert store.get_experiment_by_name(experiment) is None
