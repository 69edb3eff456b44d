"""A run in a process of its own, which gets a signal while a step runs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import compiler

from kfp_hallmark.runner.interruption import Interruption

SCRIPT = """
import sys
from pathlib import Path
from pathlib import Path
from kfp_hallmark import runner

folder = Path(sys.argv[1])
result = runner.run(
    folder / "pipeline.yaml",
    {"fifo_uri": "fifo", "books_uri": "books.txt"},
    state=folder / "state",
    output=folder / "out",
    base=folder,
)
sys.exit(result.exit_code)
"""


@pytest.fixture(scope="module", params=[signal.SIGINT, signal.SIGTERM])
def interrupted(request, pipelines, written, tmp_path_factory):
    """Return the folder, the exit code, what was printed, and the process ids of the step and its child."""
    folder = tmp_path_factory.mktemp("interrupted")
    process = start(pipelines.lingering, folder)
    pids = [int(pid) for pid in written(folder / "fifo", process).split()]
    process.send_signal(request.param)
    output, _ = process.communicate()
    return folder, process.returncode - 128 - request.param, output, pids


def start(pipeline, folder):
    compiler.Compiler().compile(pipeline, str(folder / "pipeline.yaml"))
    os.mkfifo(folder / "fifo")
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True)


def test_the_exit_code_says_the_signal(interrupted):
    assert interrupted[1] == 0


def test_the_record_says_so(interrupted):
    document = json.loads((interrupted[0] / "out" / "run.json").read_text())
    assert document["status"] == "failed"
    assert document["reason"] == "interrupted"
    assert {step["name"]: step["state"] for step in document["steps"]} == {
        "linger": "failed",
        "note_down": "skipped",
        "note_down_2": "skipped",
        "close_books": "succeeded",
    }
    assert next(step for step in document["steps"] if step["name"] == "linger")["reason"] == "interrupted"
    assert "interrupted" in interrupted[2]


def test_the_exit_handler_still_closes_the_books(interrupted):
    assert (interrupted[0] / "books.txt").read_text().startswith("FAILED lingering-")


def test_no_half_output_is_left(interrupted):
    assert [path.name for path in (interrupted[0] / "out" / "artifacts").iterdir()] == ["close_books"]


def test_no_process_is_left(interrupted):
    assert [pid for pid in interrupted[3] if runs(pid)] == []


def test_a_signal_that_ends_nothing_changes_nothing(pipelines, written, tmp_path):
    process = start(pipelines.closing, tmp_path)
    assert written(tmp_path / "fifo", process) == "closing"
    process.send_signal(signal.SIGINT)
    (tmp_path / "fifo").write_text("go on")
    output, _ = process.communicate()
    document = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (process.returncode, document["status"], document["reason"]) == (0, "succeeded", None)
    assert (tmp_path / "books.txt").read_text() == "SUCCEEDED"
    assert "Succeeded" in output


def test_a_step_has_the_time_to_tidy_up(pipelines, written, tmp_path):
    process = start(pipelines.tidying, tmp_path)
    assert written(tmp_path / "fifo", process) == "ready"
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert (tmp_path / "books.txt").read_text() == "tidied"


def test_a_run_that_ends_before_its_step_writes_keeps_no_test_waiting(written, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen([sys.executable, "-c", "open('fifo', 'w')"], cwd=tmp_path) as process:
        assert written(tmp_path / "fifo", process) == ""
    with (
        subprocess.Popen([sys.executable, "-c", ""]) as process,
        pytest.raises(AssertionError, match="The run ended before its step wrote"),
    ):
        written(tmp_path / "fifo", process)


def test_what_a_step_leaves_running_ends_with_it(run, pipelines):
    result, _ = run(pipelines.forking)
    assert result.status == "succeeded"
    # SIGKILL was sent before the run ended, and is delivered at once.
    assert not runs(result.steps[0].outputs["Output"])


def test_the_second_signal_stops_exit_handlers_too():
    interruption = Interruption()
    stopped = []
    for _ in range(3):
        stopped.append((interruption.stops(False), interruption.stops(True)))
        interruption.signals.append(signal.SIGINT)
    assert stopped == [(False, False), (True, False), (True, True)]


@pytest.mark.parametrize("ignored", [True, False])
def test_a_hang_up_that_is_ignored_stays_so(ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        interruption = Interruption()
        with interruption.listening():
            os.kill(os.getpid(), signal.SIGHUP)
        assert interruption.signals == ([] if ignored else [signal.SIGHUP])
    finally:
        signal.signal(signal.SIGHUP, before)


def runs(pid):
    """Return whether a process runs; one that ended but that nobody has asked after does not."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" not in status.read_text()
