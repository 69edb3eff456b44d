"""What a run is said to have come to, from documents that are not as they should be."""

import json

import pytest

from kfp_hallmark.contracts.decision import DECISION_FILE
from kfp_hallmark.runner.findings import gather
from kfp_hallmark.runner.record import RunResult, Step


@pytest.fixture
def result(tmp_path):
    return RunResult("p", "p-1", "local", tmp_path, {}, "2026-11-21T00:00:00Z")


def put(result, name, document, file=""):
    """Make a document the output of a step that succeeded."""
    path = result.directory / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    output = {"type": "Artifact", "path": name, "metadata": {}}
    result.steps.append(Step(name, name, "succeeded", outputs={"document": output}))


def test_a_verdict_that_is_not_whole_is_inconclusive(result):
    put(result, "gate", {"schema": "hallmark/verdict/v1", "gate": "own_gate", "status": "pass"})
    gather(result, failed=False)
    assert [(verdict["gate"], verdict["status"]) for verdict in result.verdicts] == [("own_gate", "inconclusive")]


@pytest.mark.parametrize(("interrupted", "status"), [(None, "halted"), (2, "failed")])
def test_an_interrupted_run_did_not_halt(result, interrupted, status):
    put(result, "decision", {"schema": "hallmark/decision/v1", "outcome": "halt", "reasons": []}, DECISION_FILE)
    result.steps.append(Step("enforce", "enforce", "failed", inputs={"decision": "decision"}))
    result.interrupted = interrupted
    gather(result, failed=True)
    assert result.status == status


def test_json_that_nests_without_end_is_no_document(result):
    put(result, "deep", None)
    (result.directory / "deep").write_text('{"a": ' * 100_000)
    gather(result, failed=False)
    assert result.status == "succeeded"


@pytest.mark.parametrize(("state", "told"), [("succeeded", "/state/audit.jsonl"), ("failed", None), ("skipped", None)])
def test_the_audit_log_is_told_when_it_has_the_run(result, state, told):
    result.audit_log = "/state/audit.jsonl"
    result.steps.append(Step("record", "record_run", state))
    gather(result, failed=False)
    assert result.audit_log == told
