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
