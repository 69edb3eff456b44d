from kfp_hallmark.runner.plan import PlannedStep
from kfp_hallmark.runner.record import RunResult
from kfp_hallmark.runner.recorder import Recorder


def test_a_record_that_cannot_be_written_stops_no_step(tmp_path):
    (tmp_path / "file").touch()
    result = RunResult("p", "p-1", "local", tmp_path / "file", {}, "2026-11-21T00:00:00Z")
    seen = []
    recorder = Recorder(result, [PlannedStep("comp-a", "a", "a", None)], lambda step: seen.append(step.state))
    step = recorder.begin("comp-a", (), {})
    recorder.end(step, "succeeded", {}, None)
    assert seen == ["running", "succeeded"]


def test_a_reason_is_told_in_the_words_of_the_run_too(tmp_path):
    result = RunResult("p", "p-1", "local", tmp_path, {}, "2026-11-21T00:00:00Z")
    planned = PlannedStep("comp-a", "a", "a", None, parameters={"limits": "performance_limits", "seed": "seed"})
    recorder = Recorder(result, [planned], lambda step: None)
    first, second = (recorder.begin("comp-a", (number,), {}) for number in range(2))
    recorder.end(first, "failed", {}, "InputError: limits must be kept.\nHint: Choose others.")
    recorder.end(second, "failed", {}, "InputError: seed must be a number.")
    assert [step.reason for step in result.steps] == [
        "InputError: limits must be kept.\nHint: Choose others.\nHere limits is the run's performance_limits.",
        "InputError: seed must be a number.",
    ]
