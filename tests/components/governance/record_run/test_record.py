import pytest
from kfp.dsl import PipelineTaskFinalStatus
from mlflow.tracking import MlflowClient

from kfp_hallmark.components.governance.record_run.record import record
from kfp_hallmark.contracts.audit import records, verify
from kfp_hallmark.errors import InputError, IntegrityError
from kfp_hallmark.tracking import RunTree


def ended(state, error_code=None, error_message=None):
    return PipelineTaskFinalStatus(
        state=state,
        pipeline_job_resource_name="projects/p/locations/l/pipelineJobs/job-7",
        pipeline_task_name="governed",
        error_code=error_code,
        error_message=error_message,
    )


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs" / "audit.jsonl"


def test_success_and_failure_each_make_a_line(log):
    record(ended("SUCCEEDED"), "governed-training", "run-1", None, "income", {}, str(log), None, None)
    record(
        ended("FAILED", 9, "could not convert 'Jane Doe'"),
        "governed-training",
        "run-2",
        None,
        None,
        {},
        str(log),
        None,
        None,
    )
    assert verify(log)[0] == 2
    assert [line["record"] for line in records(log)] == [
        {
            "event": "run_ended",
            "pipeline": "governed-training",
            "run_id": "run-1",
            "state": "SUCCEEDED",
            "error_code": None,
            "task": "governed",
            "job": "projects/p/locations/l/pipelineJobs/job-7",
            "parameters": {"model_name": "income"},
        },
        {
            "event": "run_ended",
            "pipeline": "governed-training",
            "run_id": "run-2",
            "state": "FAILED",
            "error_code": 9,
            "task": "governed",
            "job": "projects/p/locations/l/pipelineJobs/job-7",
            "parameters": {},
        },
    ]
    assert "Jane" not in log.read_text()


def test_passwords_are_left_out(log):
    record(
        ended("SUCCEEDED"),
        "p",
        "r",
        "s3://user:hunter2@bucket/x",
        None,
        {"more": [{"a": "b://c:d@e"}]},
        str(log),
        None,
        None,
    )
    assert records(log)[0]["record"]["parameters"] == {"data_uri": "s3://bucket/x", "more": [{"a": "b://e"}]}
    assert "hunter2" not in log.read_text()


def test_the_path_can_come_from_the_environment(log, monkeypatch):
    monkeypatch.setenv("HALLMARK_AUDIT_LOG", str(log))
    record(ended("CANCELLED"), "governed-training", "run-1", None, None, {}, None, None, None)
    assert records(log)[0]["record"]["state"] == "CANCELLED"


def test_a_given_path_goes_before_the_environment(log, tmp_path, monkeypatch):
    monkeypatch.setenv("HALLMARK_AUDIT_LOG", str(tmp_path / "other.jsonl"))
    record(ended("SUCCEEDED"), "governed-training", "run-1", None, None, {}, str(log), None, None)
    assert log.exists()
    assert not (tmp_path / "other.jsonl").exists()


def test_no_path_is_refused(monkeypatch):
    monkeypatch.delenv("HALLMARK_AUDIT_LOG", raising=False)
    with pytest.raises(InputError, match="audit_log must name a file, or HALLMARK_AUDIT_LOG must be set; got neither"):
        record(ended("SUCCEEDED"), "governed-training", "run-1", None, None, {}, None, None, None)


def test_a_uri_is_refused():
    with pytest.raises(InputError, match=r"must be a local or mounted file; got 'gs://bucket/audit.jsonl'"):
        record(ended("SUCCEEDED"), "governed-training", "run-1", None, None, {}, "gs://bucket/audit.jsonl", None, None)


def test_nothing_is_appended_to_a_log_with_a_changed_line(log):
    record(ended("FAILED"), "governed-training", "run-1", None, None, {}, str(log), None, None)
    changed = log.read_text().replace("FAILED", "SUCCEEDED")
    log.write_text(changed)
    with pytest.raises(IntegrityError, match="line 1 was changed"):
        record(ended("SUCCEEDED"), "governed-training", "run-2", None, None, {}, str(log), None, None)
    assert log.read_text() == changed


@pytest.fixture
def store(tmp_path, monkeypatch):
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.parametrize(
    ("state", "status"), [("SUCCEEDED", "FINISHED"), ("FAILED", "FAILED"), ("CANCELLED", "KILLED")]
)
def test_the_mlflow_run_ends_as_the_pipeline_run_did(log, store, state, status):
    tree = RunTree.open(store.tracking_uri, "tests", "governed-training", "run-1")
    record(ended(state), "governed-training", "run-1", None, None, {}, str(log), "tests", store.tracking_uri)
    assert store.get_run(tree.parent_id).info.status == status


def test_a_run_that_failed_before_anything_was_logged_is_in_mlflow_as_failed(log, store):
    record(ended("FAILED"), "governed-training", "run-1", None, None, {}, str(log), "tests", store.tracking_uri)
    (found,) = store.search_runs([store.get_experiment_by_name("tests").experiment_id])
    assert (found.info.run_name, found.info.status) == ("governed-training", "FAILED")


def test_a_server_that_is_away_keeps_nothing_from_the_audit_log(log, tmp_path, capsys):
    (tmp_path / "broken.db").write_text("no database, but long enough to be taken for one " * 20)
    record(
        ended("SUCCEEDED"),
        "governed-training",
        "run-1",
        None,
        None,
        {},
        str(log),
        "tests",
        f"sqlite:///{tmp_path}/broken.db",
    )
    assert [line["record"]["state"] for line in records(log)] == ["SUCCEEDED"]
    assert "The run's end is in the audit log but not in MLflow. The tracking store" in capsys.readouterr().err
