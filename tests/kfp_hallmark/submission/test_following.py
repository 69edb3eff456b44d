"""The wait for a run elsewhere: what it shows, and what ends it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from kfp_hallmark import settings as known
from kfp_hallmark import submission
from kfp_hallmark.errors import MissingInputError, ServiceError
from kfp_hallmark.settings import Settings
from kfp_hallmark.submission import TransientError, following

SPEC = Path(__file__).resolve().parents[3] / "compiled" / "pipelines" / "governed_training.kubeflow.yaml"
PARAMETERS = {
    "data_uri": "s3://models/data.parquet",
    "target": "employed",
    "model_name": "employment",
    "sensitive_features": ["sex"],
    "performance_limits": {"min_roc_auc": 0.8},
    "fairness_limits": {"max_demographic_parity_difference": 0.1},
}


@pytest.fixture
def service(kubeflow, monkeypatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 0.0)
    return submission.service("kubeflow", Settings(kubeflow=known.Kubeflow(host=kubeflow.host)))


@pytest.fixture
def follow(kubeflow, service, pinned):
    """Submit a run that goes as it is told, follow it, and return it with what the screen showed."""

    def call(*stages, terminal=False):
        kubeflow.course(*stages)
        run = service.submit(pinned(SPEC), PARAMETERS)
        screen = io.StringIO()
        console = Console(file=screen, width=120, force_terminal=terminal, color_system=None)
        return submission.follow(service, run.run_id, console=console), screen.getvalue()

    return call


LOADED = {"load-dataset": "SUCCEEDED"}
HALTED = LOADED | {"decide-release": "SUCCEEDED", "enforce-decision": "FAILED", "record-run": "SUCCEEDED"}


def test_a_file_gets_a_line_for_each_step_that_ends(follow):
    run, screen = follow({"load-dataset": "RUNNING"}, LOADED, HALTED)
    lines = screen.splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        ["ok", "load_dataset"],
        ["ok", "decide_release"],
        ["failed", "enforce_decision"],
        ["ok", "record_run"],
    ]
    assert run.exit_code == 3
    assert "Halted in " in screen
    assert lines[-2:] == ["step     enforce_decision", f"link     {run.link}"]


def test_a_terminal_gets_the_table_of_a_run_on_this_machine(follow):
    run, screen = follow({"load-dataset": "RUNNING"}, HALTED, terminal=True)
    last = screen.rpartition("load_dataset")[2]
    for step in run.steps[1:]:
        assert step.name in last
        assert step.state in last
    assert "Halted" in last


def test_a_service_that_is_away_for_a_while_is_waited_for(kubeflow, follow):
    run, screen = follow(LOADED, lambda: kubeflow.fail("run_service_get_run", 503, times=3), HALTED)
    assert run.exit_code == 3
    assert screen.count("must be able to show the run; it is not (503): As the test wants. Waiting for it.") == 1


def test_a_wait_that_a_long_absence_ended_can_be_taken_up_again(kubeflow, service, follow, monkeypatch):
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(TransientError):
        follow(LOADED, lambda: kubeflow.fail("run_service_get_run", 503), HALTED)
    (run_id,) = kubeflow.runs
    screen = io.StringIO()
    assert submission.follow(service, run_id, console=Console(file=screen)).exit_code == 3
    assert "load_dataset" in screen.getvalue()


def test_a_refusal_ends_the_wait(kubeflow, follow):
    with pytest.raises(ServiceError, match="401"):
        follow(LOADED, lambda: kubeflow.fail("run_service_get_run", 401), HALTED)


def test_a_run_that_is_not_there_is_told(service):
    with pytest.raises(MissingInputError, match="got 'absent'"):
        submission.follow(service, "absent", console=Console(file=io.StringIO()))
