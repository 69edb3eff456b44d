import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kfp_hallmark import components
from kfp_hallmark.contracts.decision import DATA_GATES, Decision, Policy, decide, require_release, write_decision
from kfp_hallmark.contracts.digest import artifact_digest, file_digest
from kfp_hallmark.contracts.documents import canonical
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError, ReleaseRefused

GATES = ("validate_dataset", "performance_gate", "fairness_gate")
POLICY = Policy(GATES)
SOURCE, TRAIN, TEST, OTHER = ("sha256:" + digit * 64 for digit in "123f")


def ago(hours):
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


def at_present(options):
    """Return options for a verdict, with an age in hours as a time; the cases are collected long before they run."""
    return {"created": ago(options["hours_old"])} if "hours_old" in options else options


@pytest.fixture
def released(judged_model, tmp_path):
    """A model and the folder of a decision to release it."""
    model, verdicts = judged_model
    write_decision(tmp_path / "decision", decide(model, verdicts, POLICY), verdicts)
    return model, tmp_path / "decision"


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_model_with_every_pass_is_released(judged_model):
    decision = decide(*judged_model, POLICY)
    assert (decision.released, decision.reasons) == (True, ())
    assert decision.model.digest == artifact_digest(judged_model[0])
    assert decision.statuses == dict.fromkeys(sorted(GATES), "pass")
    assert decision.lineage.datasets == (TRAIN, SOURCE)


def test_a_decision_reads_as_it_was_written(judged_model, tmp_path):
    model, verdicts = judged_model
    for policy in (POLICY, Policy((*GATES, "privacy_gate"), False, 0.5)):
        decision = decide(model, verdicts, policy)
        write_decision(tmp_path / "decision", decision, verdicts)
        assert Decision.read(tmp_path / "decision") == decision


def test_evidence_is_kept_byte_for_byte(released, judged_model):
    for gate, path in judged_model[1].items():
        assert (released[1] / "evidence" / f"{gate}.json").read_bytes() == path.read_bytes()


def test_require_release_returns_the_decision(released):
    model, folder = released
    assert require_release(folder, model) == Decision.read(folder)
    assert require_release(folder, model, artifact_digest(folder)).released


def test_a_decision_to_halt_is_refused_with_every_reason(judged_model, write_verdict, tmp_path):
    model, verdicts = judged_model
    about = {"model": artifact_digest(model), "dataset": TEST}
    write_verdict(verdicts["fairness_gate"], "fairness_gate", about, "fail")
    write_verdict(verdicts["performance_gate"], "performance_gate", about, "inconclusive")
    decision = decide(model, verdicts, POLICY)
    write_decision(tmp_path / "decision", decision, verdicts)
    assert decision.reasons == (
        "fairness_gate: fail: fairness_gate_difference",
        "performance_gate: inconclusive: performance_gate_difference",
    )
    with pytest.raises(ReleaseRefused) as refused:
        require_release(tmp_path / "decision", model)
    assert all(reason in str(refused.value) for reason in decision.reasons)


# What a verdict must be to count: each case writes one verdict in place of a good one.
WEIGHED = {
    "another model": ("fairness_gate", {"model": OTHER, "dataset": TEST}, {}, "must be about this model"),
    "a model gate on data alone": ("fairness_gate", {"dataset": TRAIN}, {}, "must be about this model"),
    "a model gate on the model as another role": (
        "fairness_gate",
        {"dataset": "MODEL"},
        {},
        "must be about this model",
    ),
    "on the training data": ("fairness_gate", {"model": "MODEL", "dataset": TRAIN}, {}, "about its training data"),
    "on what the training data is from": ("fairness_gate", {"model": "MODEL", "dataset": SOURCE}, {}, "training data"),
    "a data gate on another model": ("validate_dataset", {"model": OTHER, "dataset": TEST}, {}, "about this model"),
    "a data gate on other data": ("validate_dataset", {"dataset": OTHER}, {}, "made from or judged on"),
    "a data gate on other data beside ours": (
        "validate_dataset",
        {"dataset": OTHER, "baseline": TRAIN},
        {},
        "made from or judged on",
    ),
    "a data gate without data": ("validate_dataset", {"baseline": TRAIN}, {}, "made from or judged on"),
    "fails": ("fairness_gate", {"model": "MODEL"}, {"status": "fail"}, "fail: fairness_gate_difference"),
    "inconclusive": ("fairness_gate", {"model": "MODEL"}, {"status": "inconclusive"}, "inconclusive: fairness_gate"),
    "stale": ("fairness_gate", {"model": "MODEL"}, {"hours_old": 24.01}, "must be at most 24 hours old"),
    "future": ("fairness_gate", {"model": "MODEL"}, {"hours_old": -0.1}, "must not be from the future"),
    "of another gate": ("privacy_gate", {"model": "MODEL"}, {}, "the only one of it; it is of 'privacy_gate'"),
}


@pytest.mark.parametrize("name", WEIGHED)
def test_a_verdict_that_does_not_count_halts(judged_model, write_verdict, name):
    gate, subjects, options, reason = WEIGHED[name]
    model, verdicts = judged_model
    bound = {role: artifact_digest(model) if digest == "MODEL" else digest for role, digest in subjects.items()}
    slot = gate if gate in GATES else "fairness_gate"
    write_verdict(verdicts[slot], gate, bound, **at_present(options))
    decision = decide(model, verdicts, POLICY)
    assert not decision.released
    assert decision.statuses[slot] == ("fail" if name == "fails" else "inconclusive")
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith(f"{slot}: ")
    assert reason in decision.reasons[0]


@pytest.mark.parametrize(
    ("gate", "subjects", "options"),
    [
        ("validate_dataset", {"dataset": TRAIN}, {}),
        ("validate_dataset", {"dataset": SOURCE, "baseline": OTHER}, {}),
        ("validate_dataset", {"model": "MODEL", "dataset": OTHER}, {}),
        ("validate_dataset", {"model": "MODEL", "dataset": TRAIN}, {}),
        ("fairness_gate", {"model": "MODEL"}, {"hours_old": 23.99}),
        ("fairness_gate", {"model": "MODEL"}, {"hours_old": -0.05}),
        ("fairness_gate", {"model": "MODEL"}, {"status": "warn"}),
    ],
)
def test_a_verdict_that_just_counts_releases(judged_model, write_verdict, gate, subjects, options):
    model, verdicts = judged_model
    bound = {role: artifact_digest(model) if digest == "MODEL" else digest for role, digest in subjects.items()}
    write_verdict(verdicts[gate], gate, bound, **at_present(options))
    assert decide(model, verdicts, POLICY).released


@pytest.mark.parametrize("required", [GATES, ("performance_gate",)])
def test_a_verdict_without_a_check_halts(judged_model, required):
    model, verdicts = judged_model
    edit(verdicts["fairness_gate"], lambda verdict: verdict.update(checks=[], status="inconclusive"))
    decision = decide(model, verdicts, Policy(required))
    assert decision.reasons == ("fairness_gate: The verdict has no check.",)
    assert decision.statuses["fairness_gate"] == "inconclusive"


def test_a_gate_that_is_required_twice_is_required(judged_model):
    model, verdicts = judged_model
    twice = Policy(("fairness_gate", "fairness_gate"))
    assert decide(model, verdicts, twice).released
    del verdicts["fairness_gate"]
    assert decide(model, verdicts, twice).reasons == ("fairness_gate: There is no verdict.",)


def test_only_gates_of_the_stage_data_may_be_about_data_alone():
    contracts = Path(components.__file__).parent.glob("data/*/component.py")
    assert {file.parent.name for file in contracts if "verdict: Output[" in file.read_text()} == DATA_GATES


@pytest.mark.parametrize("gate", sorted(DATA_GATES))
def test_a_verdict_on_what_the_model_was_made_from_counts(judged_model, write_verdict, tmp_path, gate):
    model, verdicts = judged_model
    path = write_verdict(tmp_path / "more.json", gate, {"dataset": SOURCE})
    assert decide(model, verdicts | {gate: path}, POLICY).released


def test_a_verdict_on_unrelated_data_does_not_vouch_for_other_data(judged_model, write_verdict):
    model, verdicts = judged_model
    write_verdict(verdicts["performance_gate"], "performance_gate", {"model": OTHER, "dataset": OTHER})
    write_verdict(verdicts["validate_dataset"], "validate_dataset", {"dataset": OTHER})
    assert decide(model, verdicts, POLICY).statuses == {
        "validate_dataset": "inconclusive",
        "performance_gate": "inconclusive",
        "fairness_gate": "pass",
    }


@pytest.mark.parametrize("how", ["not given", "no file", "a folder"])
def test_a_missing_verdict_halts(judged_model, tmp_path, how):
    model, verdicts = judged_model
    if how == "not given":
        del verdicts["fairness_gate"]
    else:
        verdicts["fairness_gate"] = tmp_path if how == "a folder" else tmp_path / "gone"
    decision = decide(model, verdicts, POLICY)
    assert decision.reasons == ("fairness_gate: There is no verdict.",)


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"{}", b"[" * 100_000, b"<html></html>"])
def test_an_unreadable_verdict_halts_and_is_kept(judged_model, tmp_path, content):
    model, verdicts = judged_model
    verdicts["fairness_gate"].write_bytes(content)
    decision = decide(model, verdicts, POLICY)
    write_decision(tmp_path / "decision", decision, verdicts)
    assert not decision.released
    assert decision.reasons[0].startswith("fairness_gate: The verdict cannot be used.")
    assert (tmp_path / "decision" / "evidence" / "fairness_gate.json").read_bytes() == content


def test_a_warning_halts_where_the_policy_allows_none(judged_model, write_verdict):
    model, verdicts = judged_model
    write_verdict(verdicts["fairness_gate"], "fairness_gate", {"model": artifact_digest(model)}, "warn")
    decision = decide(model, verdicts, Policy(GATES, allow_warnings=False))
    assert decision.reasons == ("fairness_gate: warn: fairness_gate_difference",)
    assert decision.statuses["fairness_gate"] == "warn"


def test_a_gate_that_nobody_required_still_halts(judged_model, write_verdict, tmp_path):
    model, verdicts = judged_model
    about = {"model": artifact_digest(model)}
    verdicts["privacy_gate"] = write_verdict(tmp_path / "privacy.json", "privacy_gate", about, "fail")
    assert not decide(model, verdicts, POLICY).released


@pytest.mark.parametrize("gate", ["../evil", "a/b", "", "evidence.json"])
def test_a_name_that_is_no_gate_is_refused(judged_model, gate):
    model, verdicts = judged_model
    with pytest.raises(InputError, match="must be filed under a gate's name"):
        decide(model, {gate: verdicts["fairness_gate"]}, POLICY)


def test_a_folder_that_is_no_model_is_refused(judged_model, tmp_path):
    (tmp_path / "data.txt").write_text("1")
    with pytest.raises(MissingInputError, match="must be a folder that holds the file MLmodel"):
        decide(tmp_path, judged_model[1], POLICY)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"required_gates": ()}, "must name at least one gate"),
        ({"required_gates": ("../x",)}, "must be names of gates"),
        ({"required_gates": GATES, "max_age_hours": 0}, "must be above 0 and finite; got 0"),
        ({"required_gates": GATES, "max_age_hours": float("inf")}, "must be above 0 and finite"),
        ({"required_gates": GATES, "max_age_hours": float("nan")}, "must be above 0 and finite"),
        ({"required_gates": GATES, "allow_warnings": "false"}, "must be true or false"),
    ],
)
def test_a_policy_that_asks_nothing_is_refused(policy, message):
    with pytest.raises(InputError, match=message):
        Policy(**policy)


def forge_evidence(folder, change):
    """Edit a verdict, and the digest that the decision states of it."""
    place = folder / "evidence" / "fairness_gate.json"
    edit(place, change)

    def restate(decision):
        next(e for e in decision["evidence"] if e["gate"] == "fairness_gate")["digest"] = file_digest(place)

    edit(folder / "decision.json", restate)


def decision_of(change):
    return lambda model, folder: edit(folder / "decision.json", change)


def drop(decision, gate):
    decision["evidence"] = [entry for entry in decision["evidence"] if entry["gate"] != gate]


ATTACKS = {
    "model file changed": (
        lambda model, folder: (model / "data" / "weights.txt").write_text("9"),
        IntegrityError,
        "must be the one that was decided on",
    ),
    "model file added": (
        lambda model, folder: (model / "extra.py").write_text(""),
        IntegrityError,
        "must be the one that was decided on",
    ),
    "model file removed": (
        lambda model, folder: (model / "data" / "weights.txt").unlink(),
        IntegrityError,
        "must be the one that was decided on",
    ),
    "model file renamed": (
        lambda model, folder: (model / "data" / "weights.txt").rename(model / "data" / "weight.txt"),
        IntegrityError,
        "must be the one that was decided on",
    ),
    "link put into the model": (
        lambda model, folder: (model / "link").symlink_to("/etc"),
        IntegrityError,
        "no symbolic links",
    ),
    "model gone": (lambda model, folder: shutil.rmtree(model), MissingInputError, "must be a file or a folder"),
    "decision gone": (lambda model, folder: (folder / "decision.json").unlink(), MissingInputError, "must be a file"),
    "decision unreadable": (
        lambda model, folder: (folder / "decision.json").write_text("{"),
        IntegrityError,
        "must be JSON",
    ),
    "verdict edited": (
        lambda model, folder: edit(folder / "evidence" / "fairness_gate.json", lambda v: v.update(parameters={})),
        IntegrityError,
        "these files are not: evidence/fairness_gate.json",
    ),
    "verdict removed": (
        lambda model, folder: (folder / "evidence" / "fairness_gate.json").unlink(),
        IntegrityError,
        "these files are not: evidence/fairness_gate.json",
    ),
    "verdict added": (
        lambda model, folder: shutil.copy(
            folder / "evidence" / "fairness_gate.json", folder / "evidence" / "more.json"
        ),
        IntegrityError,
        "these files are not: evidence/more.json",
    ),
    "verdict replaced by a link to its copy": (
        lambda model, folder: (
            (folder / "evidence" / "fairness_gate.json").rename(model.parent / "copy.json"),
            (folder / "evidence" / "fairness_gate.json").symlink_to(model.parent / "copy.json"),
        ),
        IntegrityError,
        "no symbolic links",
    ),
    "verdict dropped from the list": (
        decision_of(lambda d: drop(d, "fairness_gate")),
        IntegrityError,
        "these files are not: evidence/fairness_gate.json",
    ),
    "verdict and requirement dropped, file left": (
        decision_of(lambda d: (drop(d, "fairness_gate"), d["policy"]["required_gates"].remove("fairness_gate"))),
        IntegrityError,
        "these files are not: evidence/fairness_gate.json",
    ),
    "verdict dropped, file too": (
        lambda model, folder: (
            decision_of(lambda d: drop(d, "fairness_gate"))(model, folder),
            (folder / "evidence" / "fairness_gate.json").unlink(),
        ),
        ReleaseRefused,
        "fairness_gate: There is no verdict.",
    ),
    "verdict forged to be of another model": (
        lambda model, folder: forge_evidence(folder, lambda v: v.update(subjects={"model": OTHER})),
        ReleaseRefused,
        "must be about this model",
    ),
    "verdict forged stale": (
        lambda model, folder: forge_evidence(folder, lambda v: v.update(created=ago(30))),
        ReleaseRefused,
        "must be at most 24 hours old",
    ),
    "verdict forged to warn": (
        lambda model, folder: forge_evidence(
            folder, lambda v: (v.update(status="warn"), v["checks"][0].update(status="warn"))
        ),
        IntegrityError,
        "must say what its evidence and its model say",
    ),
    "status of a gate edited": (
        decision_of(lambda d: d["evidence"][0].update(status="warn")),
        IntegrityError,
        "must say what its evidence and its model say",
    ),
    "lineage edited": (
        decision_of(lambda d: d["lineage"].update(experiment_hash="sha256:" + "0" * 64)),
        IntegrityError,
        "must say what its evidence and its model say",
    ),
    "path traversal in an evidence file": (
        decision_of(lambda d: d["evidence"][0].update(file="../../outside.json")),
        IntegrityError,
        "fields are not in their form",
    ),
    "path traversal in a gate's name": (
        decision_of(lambda d: d["evidence"][0].update(gate="../../outside", file="evidence/../../outside.json")),
        IntegrityError,
        "must be filed under a gate's name",
    ),
    "one gate twice": (
        decision_of(lambda d: d["evidence"].append(d["evidence"][0])),
        IntegrityError,
        "must hold one verdict of a gate",
    ),
    "required gates emptied": (
        decision_of(lambda d: d["policy"].update(required_gates=[])),
        IntegrityError,
        "must name at least one gate",
    ),
    "greater age allowed in words": (
        decision_of(lambda d: d["policy"].update(max_age_hours="forever")),
        IntegrityError,
        "must be a whole hallmark/decision/v1",
    ),
    "policy with an unknown field": (
        decision_of(lambda d: d["policy"].update(skip=True)),
        IntegrityError,
        "must be a whole hallmark/decision/v1",
    ),
    "unknown outcome": (decision_of(lambda d: d.update(outcome="Release")), IntegrityError, "must be a whole"),
    "reasons beside a release": (
        decision_of(lambda d: d.update(reasons=["fairness_gate: fail"])),
        IntegrityError,
        "must have reasons to halt, and none to release",
    ),
    "digest of another model": (
        decision_of(lambda d: d["model"].update(digest=OTHER)),
        IntegrityError,
        "fields are not in their form, or contradict one another",
    ),
    "digest of a file in capitals": (
        decision_of(lambda d: d["model"]["files"].update(MLmodel=d["model"]["files"]["MLmodel"].replace("a", "A"))),
        IntegrityError,
        "The file 'MLmodel' must be bound by a digest",
    ),
    "a gate's reasons edited": (
        decision_of(lambda d: d["evidence"][0].update(reasons=["All is well."])),
        IntegrityError,
        "must say what its evidence and its model say",
    ),
    "reasons that are text": (decision_of(lambda d: d.update(reasons="")), IntegrityError, "are not in their form"),
    "files as pairs": (
        decision_of(lambda d: d["model"].update(files=list(d["model"]["files"].items()))),
        IntegrityError,
        "are not in their form",
    ),
    "no time": (decision_of(lambda d: d.update(created="today")), IntegrityError, "must be written as in ISO 8601"),
    "an unknown field": (decision_of(lambda d: d.update(waived=True)), IntegrityError, "are not in their form"),
    "a greater age than numbers go": (
        decision_of(lambda d: d["policy"].update(max_age_hours=10**400)),
        IntegrityError,
        "must be JSON",
    ),
    "a key twice": (
        lambda model, folder: (folder / "decision.json").write_text(
            (folder / "decision.json").read_text().replace("{", '{"outcome": "halt",', 1)
        ),
        IntegrityError,
        "must be JSON",
    ),
    "digest of a verdict is a list": (
        decision_of(lambda d: d["evidence"][0].update(digest=[d["evidence"][0]["digest"]])),
        IntegrityError,
        "must be a whole hallmark/decision/v1; The verdict of 'fairness_gate' must be bound by a digest",
    ),
    "digest of a verdict is a mapping": (
        decision_of(lambda d: d["evidence"][0].update(digest={})),
        IntegrityError,
        "must be a whole hallmark/decision/v1; The verdict of 'fairness_gate' must be bound by a digest",
    ),
    "a reason to halt that is no text": (
        decision_of(lambda d: d.update(outcome="halt", reasons=[{}])),
        IntegrityError,
        "Every reason must be text",
    ),
    "a gate's reason that is no text": (
        decision_of(lambda d: d["evidence"][0].update(reasons=[1])),
        IntegrityError,
        "Every reason must be text",
    ),
    "nested deeply": (
        decision_of(lambda d: d["lineage"].update(experiment_hash=json.loads("[" * 600 + "]" * 600))),
        IntegrityError,
        "must be a whole|must say what",
    ),
    "model's files absent": (decision_of(lambda d: d["model"].pop("files")), IntegrityError, "must be a whole"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_a_release_is_refused(released, name):
    attack, error, message = ATTACKS[name]
    model, folder = released
    attack(model, folder)
    with pytest.raises(error, match=message):
        require_release(folder, model)


def test_an_edited_outcome_is_refused(judged_model, write_verdict, tmp_path):
    model, verdicts = judged_model
    write_verdict(verdicts["fairness_gate"], "fairness_gate", {"model": artifact_digest(model)}, "fail")
    write_decision(tmp_path / "decision", decide(model, verdicts, POLICY), verdicts)
    edit(tmp_path / "decision" / "decision.json", lambda d: d.update(outcome="release", reasons=[]))
    with pytest.raises(ReleaseRefused, match="must still have evidence for its release: fairness_gate: fail"):
        require_release(tmp_path / "decision", model)


def test_a_decision_about_another_model_is_refused(released, write_model, tmp_path):
    with pytest.raises(IntegrityError, match="must be the one that was decided on"):
        require_release(released[1], write_model(tmp_path / "other", weights="0.5 -1.5"))


def test_a_folder_forged_as_a_whole_is_noticed_by_its_digest_alone(released):
    model, folder = released
    kept = artifact_digest(folder)
    (folder / "evidence" / "fairness_gate.json").unlink()
    edit(
        folder / "decision.json",
        lambda d: (drop(d, "fairness_gate"), d["policy"]["required_gates"].remove("fairness_gate")),
    )
    assert require_release(folder, model).released
    with pytest.raises(IntegrityError, match="The decision must be the one that was made"):
        require_release(folder, model, kept)


def test_the_form_of_a_decision_is_json(released):
    assert canonical(json.loads((released[1] / "decision.json").read_text()))
