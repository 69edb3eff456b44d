import pytest
from kfp.dsl import PipelineTaskFinalStatus

from kfp_hallmark.components.governance.record_run.record import record
from kfp_hallmark.contracts.audit import records, verify
from kfp_hallmark.errors import InputError, IntegrityError


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
    record(ended("SUCCEEDED"), "governed-training", "run-1", {"model_name": "income"}, str(log))
    record(ended("FAILED", 9, "could not convert 'Jane Doe'"), "governed-training", "run-2", {}, str(log))
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
        ended("SUCCEEDED"), "p", "r", {"data_uri": "s3://user:hunter2@bucket/x", "more": [{"a": "b://c:d@e"}]}, str(log)
    )
    assert records(log)[0]["record"]["parameters"] == {"data_uri": "s3://bucket/x", "more": [{"a": "b://e"}]}
    assert "hunter2" not in log.read_text()


def test_the_path_can_come_from_the_environment(log, monkeypatch):
    monkeypatch.setenv("HALLMARK_AUDIT_LOG", str(log))
    record(ended("CANCELLED"), "governed-training", "run-1", {}, None)
    assert records(log)[0]["record"]["state"] == "CANCELLED"


def test_a_given_path_goes_before_the_environment(log, tmp_path, monkeypatch):
    monkeypatch.setenv("HALLMARK_AUDIT_LOG", str(tmp_path / "other.jsonl"))
    record(ended("SUCCEEDED"), "governed-training", "run-1", {}, str(log))
    assert log.exists()
    assert not (tmp_path / "other.jsonl").exists()


def test_no_path_is_refused(monkeypatch):
    monkeypatch.delenv("HALLMARK_AUDIT_LOG", raising=False)
    with pytest.raises(InputError, match="audit_log must name a file, or HALLMARK_AUDIT_LOG must be set; got neither"):
        record(ended("SUCCEEDED"), "governed-training", "run-1", {}, None)


def test_a_uri_is_refused():
    with pytest.raises(InputError, match=r"must be a local or mounted file; got 'gs://bucket/audit.jsonl'"):
        record(ended("SUCCEEDED"), "governed-training", "run-1", {}, "gs://bucket/audit.jsonl")


def test_nothing_is_appended_to_a_log_with_a_changed_line(log):
    record(ended("FAILED"), "governed-training", "run-1", {}, str(log))
    changed = log.read_text().replace("FAILED", "SUCCEEDED")
    log.write_text(changed)
    with pytest.raises(IntegrityError, match="line 1 was changed"):
        record(ended("SUCCEEDED"), "governed-training", "run-2", {}, str(log))
    assert log.read_text() == changed
