import json
from datetime import UTC, datetime, timedelta

import pytest
from kfp import dsl

from kfp_hallmark.components.governance.enforce_verdicts.enforce import enforce
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError, ReleaseRefused

GATES = ["validate_dataset", "audit_dataset_bias"]
OTHER = f"sha256:{5:064x}"


@pytest.fixture
def dataset(tmp_path):
    (tmp_path / "dataset").write_bytes(b"rows")
    return dsl.Dataset(uri=str(tmp_path / "dataset"), metadata={"digest": artifact_digest(tmp_path / "dataset")})


@pytest.fixture
def judged(dataset, tmp_path, write_verdict):
    """Write a verdict of a gate on the dataset, and return it as an artifact."""

    def write(gate, status="pass", about=dataset.metadata["digest"], hours=0.0):
        created = (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="seconds")
        path = write_verdict(tmp_path / f"{gate}.json", gate, {"dataset": about}, status, created)
        return dsl.Artifact(uri=str(path), metadata={"digest": artifact_digest(path)})

    return write


@pytest.fixture
def verdicts(judged):
    return {"dataset_verdict": judged("validate_dataset"), "bias_verdict": judged("audit_dataset_bias", "warn")}


def refusal(*given):
    with pytest.raises(ReleaseRefused) as refused:
        enforce(*given, 24.0)
    head, *reasons, hint = str(refused.value).splitlines()
    assert head == "The dataset must have passed every gate; it has not:"
    assert hint.startswith("Hint: The reports tell more.")
    return reasons


def test_goes_on_when_every_gate_passed(dataset, verdicts):
    assert enforce(dataset, verdicts | {"poisoning_verdict": None}, GATES, True, 24.0) is None


def test_a_warning_is_no_pass_when_none_is_allowed(dataset, verdicts):
    assert refusal(dataset, verdicts, GATES, False) == ["- audit_dataset_bias: warn: audit_dataset_bias_difference"]


@pytest.mark.parametrize("status", ["fail", "inconclusive"])
def test_every_verdict_that_is_no_pass_is_told_required_or_not(dataset, verdicts, judged, status):
    verdicts |= {"poisoning_verdict": judged("screen_poisoning", status)}
    assert refusal(dataset, verdicts, GATES, True) == [f"- screen_poisoning: {status}: screen_poisoning_difference"]


def test_a_required_verdict_that_is_not_given_is_told(dataset, verdicts):
    assert refusal(dataset, verdicts, [*GATES, "screen_poisoning"], True) == [
        "- screen_poisoning: There is no verdict."
    ]


def test_a_verdict_on_other_data_is_no_pass(dataset, verdicts, judged):
    verdicts["bias_verdict"] = judged("audit_dataset_bias", about=OTHER)
    expected = "- audit_dataset_bias: The verdict must be about this dataset; it is about another."
    assert refusal(dataset, verdicts, GATES, True) == [expected]


@pytest.mark.parametrize(
    ("hours", "reason"),
    [
        (23.9, None),
        (24.1, "The verdict must be at most 24 hours old; it is of "),
        (-0.05, None),
        (-0.15, "The verdict must not be from the future; it is of "),
    ],
)
def test_a_verdict_counts_for_so_long(dataset, verdicts, judged, hours, reason):
    verdicts["bias_verdict"] = judged("audit_dataset_bias", hours=hours)
    if reason is None:
        assert enforce(dataset, verdicts, GATES, True, 24.0) is None
    else:
        assert refusal(dataset, verdicts, GATES, True)[0].startswith(f"- audit_dataset_bias: {reason}")


def test_a_verdict_without_a_check_is_no_pass(dataset, verdicts, tmp_path):
    path = tmp_path / "empty.json"
    Verdict("audit_dataset_bias", {"dataset": dataset.metadata["digest"]}, []).write(path)
    verdicts["bias_verdict"] = dsl.Artifact(uri=str(path))
    assert refusal(dataset, verdicts, GATES, True) == ["- audit_dataset_bias: The verdict has no check."]


def test_a_dataset_that_was_changed_raises(dataset, verdicts, tmp_path):
    (tmp_path / "dataset").write_bytes(b"other rows")
    with pytest.raises(IntegrityError, match="The dataset must have the digest"):
        enforce(dataset, verdicts, GATES, True, 24.0)


def test_a_verdict_that_was_changed_raises(dataset, verdicts, tmp_path):
    path = tmp_path / "validate_dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": "2026-01-01T00:00:00Z"}))
    with pytest.raises(IntegrityError, match="The dataset_verdict must have the digest"):
        enforce(dataset, verdicts, GATES, True, 24.0)


def test_a_verdict_that_is_not_there_raises(dataset, tmp_path):
    with pytest.raises(MissingInputError):
        enforce(dataset, {"dataset_verdict": dsl.Artifact(uri=str(tmp_path / "none.json"))}, GATES, True, 24.0)


@pytest.mark.parametrize("gates", [[], ["../validate"]])
def test_gates_that_are_none_raise(dataset, verdicts, gates):
    with pytest.raises(InputError, match="required_gates must"):
        enforce(dataset, verdicts, gates, True, 24.0)


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
def test_an_age_out_of_range_raises(dataset, verdicts, hours):
    with pytest.raises(InputError, match="max_age_hours must be above 0 and finite"):
        enforce(dataset, verdicts, GATES, True, hours)
