import json
import shutil
from pathlib import Path

import pytest
from kfp import dsl

from kfp_hallmark.components.governance.decide_release.decide import decide_release
from kfp_hallmark.contracts.decision import Decision, require_release
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

GATES = ["validate_dataset", "performance_gate", "fairness_gate", "robustness_gate", "explanation_gate"]
SLOTS = {
    "dataset_verdict": "validate_dataset",
    "performance_verdict": "performance_gate",
    "fairness_verdict": "fairness_gate",
    "robustness_verdict": "robustness_gate",
    "explanation_verdict": "explanation_gate",
}


class Step:
    """One run of the step on a model, with what each input is given."""

    def __init__(self, model, verdicts, root):
        self.model = dsl.Model(uri=str(model))
        self.given = {slot: dsl.Artifact(uri=str(verdicts[gate])) for slot, gate in SLOTS.items()}
        self.given["additional_verdicts"] = None
        self.decision = dsl.Artifact(uri=str(root / "out" / "decision"))
        self.report = dsl.HTML(uri=str(root / "out" / "report.html"))
        self.about = {"model": artifact_digest(model)}

    def path(self, slot):
        return Path(self.given[slot].path)

    def run(self, required_gates=GATES, allow_warnings=True, max_age_hours=24.0):
        return decide_release(
            self.model, self.given, required_gates, allow_warnings, max_age_hours, self.decision, self.report
        )

    @property
    def found(self):
        return Decision.read(self.decision.path)

    @property
    def page(self):
        return Path(self.report.path).read_text(encoding="utf-8")


@pytest.fixture
def step(judged_model, write_verdict, tmp_path):
    model, verdicts = judged_model
    about = {"model": artifact_digest(model)}
    more = {gate: write_verdict(tmp_path / f"{gate}.json", gate, about) for gate in GATES if gate not in verdicts}
    return Step(model, verdicts | more, tmp_path)


def test_every_pass_releases(step):
    assert step.run() == ("release",)
    assert require_release(step.decision.path, step.model.path, step.decision.metadata["digest"]).released
    assert step.decision.metadata == {
        "outcome": "release",
        "digest": artifact_digest(step.decision.path),
        "model_digest": artifact_digest(step.model.path),
        "experiment_hash": "sha256:" + "e" * 64,
    }


def test_a_fail_halts_and_keeps_all_evidence(step, write_verdict):
    write_verdict(step.path("fairness_verdict"), "fairness_gate", step.about, "fail")
    assert step.run() == ("halt",)
    assert step.found.reasons == ("fairness_gate: fail: fairness_gate_difference",)
    assert step.decision.metadata["outcome"] == "halt"
    assert set(step.found.statuses) == set(GATES)
    for slot, gate in SLOTS.items():
        kept = Path(step.decision.path, "evidence", f"{gate}.json")
        assert kept.read_bytes() == step.path(slot).read_bytes()


@pytest.mark.parametrize("slot", SLOTS)
def test_an_input_that_is_not_given_halts(step, slot):
    step.given[slot] = None
    assert step.run() == ("halt",)
    assert f"{SLOTS[slot]}: There is no verdict." in step.found.reasons


def test_an_unreadable_verdict_stands_under_its_inputs_name(step):
    step.path("fairness_verdict").write_text("not JSON")
    assert step.run() == ("halt",)
    assert step.found.statuses == dict.fromkeys(GATES, "pass") | {
        "fairness_gate": "inconclusive",
        "fairness_verdict": "inconclusive",
    }
    assert step.found.reasons[1].startswith("fairness_verdict: The verdict cannot be used.")


def test_an_unreadable_verdict_halts_although_its_gate_is_not_required(step):
    step.path("fairness_verdict").write_text("not JSON")
    assert step.run(required_gates=["performance_gate"]) == ("halt",)


def test_a_verdict_is_filed_by_its_gate_and_not_by_its_input(step):
    step.given["fairness_verdict"], step.given["performance_verdict"] = (
        step.given["performance_verdict"],
        step.given["fairness_verdict"],
    )
    assert step.run() == ("release",)


def test_a_verdict_on_another_model_halts(step, write_model, tmp_path):
    other = write_model(tmp_path / "other", weights="1")
    step.model = dsl.Model(uri=str(other))
    assert step.run() == ("halt",)
    assert sum("must be about this model" in reason for reason in step.found.reasons) == 4


def test_the_required_gates_need_not_be_the_usual_ones(step, write_verdict, tmp_path):
    write_verdict(tmp_path / "own.json", "my-privacy-gate", step.about)
    assert step.run(required_gates=["my-privacy-gate"]) == ("halt",)
    step.given["additional_verdicts"] = dsl.Artifact(uri=str(tmp_path / "own.json"))
    assert step.run(required_gates=["my-privacy-gate"]) == ("release",)


@pytest.mark.parametrize("name", ["b.json", "B.JSON", ".b.json", "deeper/b.json"])
@pytest.mark.parametrize(("status", "outcome"), [("pass", "release"), ("fail", "halt")])
def test_a_folder_of_additional_verdicts(step, write_verdict, tmp_path, status, outcome, name):
    write_verdict(tmp_path / "more" / "a.json", "privacy_gate", step.about)
    write_verdict(tmp_path / "more" / name, "security_gate", step.about, status)
    step.given["additional_verdicts"] = dsl.Artifact(uri=str(tmp_path / "more"))
    assert step.run() == (outcome,)
    assert set(step.found.statuses) == {*GATES, "privacy_gate", "security_gate"}


def test_what_is_no_verdict_in_the_folder_halts(step, write_verdict, tmp_path):
    write_verdict(tmp_path / "hidden" / "b.json", "security_gate", step.about, "fail")
    write_verdict(tmp_path / "more" / "a.json", "privacy_gate", step.about)
    (tmp_path / "more" / "elsewhere").symlink_to(tmp_path / "hidden")
    (tmp_path / "more" / "notes.txt").write_text("not a verdict")
    step.given["additional_verdicts"] = dsl.Artifact(uri=str(tmp_path / "more"))
    assert step.run() == ("halt",)
    assert step.found.statuses["privacy_gate"] == "pass"
    assert step.found.statuses["additional_verdicts-notes"] == "inconclusive"
    assert step.found.statuses["additional_verdicts-elsewhere"] == "inconclusive"


def test_a_verdict_that_its_gate_did_not_write_is_refused(step):
    verdict = step.given["fairness_verdict"]
    verdict.metadata["digest"] = "sha256:" + "9" * 64
    with pytest.raises(IntegrityError, match="The fairness_verdict must have the digest sha256:999"):
        step.run()


def test_an_unreadable_file_in_the_folder_is_named(step, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "my gate.json").write_text("{}")
    step.given["additional_verdicts"] = dsl.Artifact(uri=str(tmp_path / "more"))
    assert step.run() == ("halt",)
    assert step.found.statuses["additional_verdicts-my-gate"] == "inconclusive"


def test_however_many_files_cannot_be_read_each_is_kept(step, tmp_path):
    for number in range(30):
        folder = tmp_path / "more" / str(number)
        folder.mkdir(parents=True)
        (folder / f"{'gate' * 30}.json").write_text(f"{number}")
    step.given["additional_verdicts"] = dsl.Artifact(uri=str(tmp_path / "more"))
    assert step.run() == ("halt",)
    kept = Path(step.decision.path, "evidence").glob("additional_verdicts-*.json")
    assert {file.read_text() for file in kept} == {str(number) for number in range(30)}


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_or_absent_folder_of_additional_verdicts_halts(step, tmp_path, there):
    if there:
        (tmp_path / "more").mkdir()
    step.given["additional_verdicts"] = dsl.Artifact(uri=str(tmp_path / "more"))
    assert step.run() == ("halt",)
    assert step.found.reasons == ("additional_verdicts: There is no verdict.",)


@pytest.mark.parametrize("status", ["pass", "fail"])
def test_two_verdicts_of_one_gate_halt(step, write_verdict, tmp_path, status):
    write_verdict(tmp_path / "again.json", "fairness_gate", step.about, status, created="2020-01-01T00:00:00Z")
    step.given["additional_verdicts"] = dsl.Artifact(uri=str(tmp_path / "again.json"))
    assert step.run() == ("halt",)
    assert step.found.statuses["additional_verdicts"] == "inconclusive"
    assert step.found.statuses["fairness_gate"] == "pass"
    assert "and the only one of it; it is of 'fairness_gate'" in step.found.reasons[0]


def test_the_same_verdict_twice_is_one(step, tmp_path):
    shutil.copy(step.path("fairness_verdict"), tmp_path / "again.json")
    step.given["additional_verdicts"] = dsl.Artifact(uri=str(tmp_path / "again.json"))
    assert step.run() == ("release",)
    assert set(step.found.statuses) == set(GATES)


def test_a_gate_named_as_an_input_does_not_hide_that_input(step, write_verdict, tmp_path):
    write_verdict(step.path("performance_verdict"), "additional_verdicts", step.about)
    (tmp_path / "broken.json").write_text("{")
    step.given["additional_verdicts"] = dsl.Artifact(uri=str(tmp_path / "broken.json"))
    assert step.run(required_gates=["fairness_gate"]) == ("halt",)
    assert step.found.statuses["additional_verdicts"] == "pass"
    assert step.found.statuses["additional_verdicts-2"] == "inconclusive"


def test_a_second_run_replaces_the_first(step, write_verdict):
    step.run()
    write_verdict(step.path("fairness_verdict"), "fairness_gate", step.about, "fail")
    assert step.run() == ("halt",)
    assert not step.found.released


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"required_gates": []}, "must name at least one gate; got none"),
        ({"required_gates": ["a b"]}, "must be names of gates; got 'a b'"),
        ({"max_age_hours": 0.0}, "max_age_hours must be above 0 and finite; got 0.0"),
    ],
)
def test_a_policy_that_asks_nothing_is_refused_before_anything_is_written(step, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        step.run(**options)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_model_is_refused_before_anything_is_written(step, tmp_path):
    (tmp_path / "model" / "MLmodel").unlink()
    with pytest.raises(MissingInputError, match="must be a folder that holds the file MLmodel"):
        step.run()
    assert not (tmp_path / "out").exists()


def test_a_model_with_a_link_is_refused(step, tmp_path):
    (tmp_path / "model" / "link").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError, match="must hold no symbolic links"):
        step.run()


def test_the_report_of_a_release(step):
    step.run()
    assert '<span class="badge pass">release</span>' in step.page
    assert "All 5 gates passed." in step.page
    assert step.page.count('<span class="badge pass">pass</span>') == 5
    for said in (artifact_digest(step.model.path), "sha256:" + "2" * 64, "sha256:" + "e" * 64, "24 hours"):
        assert said in step.page


def test_the_report_of_a_halt_gives_every_reason_and_escapes_it(step):
    verdict = json.loads(step.path("fairness_verdict").read_text())
    verdict["checks"][0].update(status="fail", observed=0.31, message="Groups <b>differ</b>.")
    step.path("fairness_verdict").write_text(json.dumps(verdict | {"status": "fail"}))
    step.given["dataset_verdict"] = None
    step.run()
    assert '<span class="badge fail">halt</span>' in step.page
    assert "2 gates stand against release." in step.page
    assert "There is no verdict." in step.page
    assert "Groups &lt;b&gt;differ&lt;/b&gt;." in step.page
    assert "<b>" not in step.page
