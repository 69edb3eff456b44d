import json

import pytest
from kfp import dsl

from kfp_hallmark.components.governance.enforce_decision.enforce import enforce
from kfp_hallmark.contracts.decision import Policy, decide, write_decision
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import IntegrityError, MissingInputError, ReleaseRefused


@pytest.fixture
def decision(judged_model, tmp_path):
    """Write a decision under a policy, and return it as an artifact."""

    def write(*required_gates):
        model, verdicts = judged_model
        write_decision(tmp_path / "decision", decide(model, verdicts, Policy(required_gates)), verdicts)
        return dsl.Artifact(uri=str(tmp_path / "decision"))

    return write


def test_a_release_goes_on(decision):
    assert enforce(decision("fairness_gate")) is None


def test_a_halt_raises_with_every_reason(decision, judged_model, write_verdict):
    model, verdicts = judged_model
    write_verdict(verdicts["fairness_gate"], "fairness_gate", {"model": artifact_digest(model)}, "fail")
    with pytest.raises(ReleaseRefused) as refused:
        enforce(decision("privacy_gate"))
    assert str(refused.value) == (
        "The model must have a decision to release; it has one to halt:\n"
        "- fairness_gate: fail: fairness_gate_difference\n"
        "- privacy_gate: There is no verdict.\n"
        "Hint: Mend what the gates found, and run the pipeline again."
    )


def test_a_missing_decision_raises(tmp_path):
    with pytest.raises(MissingInputError, match="hallmark/decision/v1 document must be a file"):
        enforce(dsl.Artifact(uri=str(tmp_path)))


def test_a_decision_that_is_not_whole_raises(decision, tmp_path):
    found = decision("fairness_gate")
    (tmp_path / "decision" / "decision.json").write_text('{"schema": "hallmark/decision/v1", "outcome": "release"}')
    with pytest.raises(IntegrityError, match="must be a whole hallmark/decision/v1"):
        enforce(found)


def test_a_halt_that_was_edited_to_a_release_raises(decision, tmp_path):
    found = decision("privacy_gate")
    found.metadata["digest"] = artifact_digest(found.path)
    document = tmp_path / "decision" / "decision.json"
    document.write_text(json.dumps(json.loads(document.read_text()) | {"outcome": "release", "reasons": []}))
    with pytest.raises(IntegrityError, match="The decision must be the one that was made"):
        enforce(found)
