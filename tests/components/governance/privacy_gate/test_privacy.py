import datetime
import hashlib
import json
import multiprocessing
from pathlib import Path

import pytest
import yaml
from kfp import dsl

from kfp_hallmark.components.governance.privacy_gate.privacy import judge_privacy
from kfp_hallmark.contracts.audit import GENESIS, append
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.privacy import PATH_VARIABLE, Spend, commitment, read_ledger, spend
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

DATASET, SOURCE, EXPERIMENT = ("sha256:" + digit * 64 for digit in "123")
KEY = "0a" * 32


def spent(epsilon=0.5, delta=1e-6, **others):
    given = {
        "commitment": commitment(KEY, [DATASET, SOURCE], EXPERIMENT),
        "rows": 4000,
        "target": "repaid",
        "epsilon": epsilon,
        "delta": delta,
        "mechanism": "noise",
        "library": "interpret-core 0.7.8",
    }
    return Spend(**given | others)


class Step:
    """A ledger, a model whose training is in it, and the gate."""

    def __init__(self, root):
        self.root, self.ledger = root, root / "privacy.jsonl"
        self.ledger.touch()
        self.model = dsl.Model(uri=str(root / "model"))
        self.verdict = dsl.Artifact(uri=str(root / "out" / "verdict.json"))
        self.report = dsl.HTML(uri=str(root / "out" / "report.html"))

    def train(self, epsilon=0.5, delta=1e-6, **others):
        """Write a spend, and the folder that its model would be."""
        entry = spent(epsilon, delta)
        line = spend(self.ledger, entry)
        privacy = {"epsilon": epsilon, "delta": delta, "mechanism": "noise", "library": entry.library}
        said = {
            "task": "binary",
            "datasets": [DATASET, SOURCE],
            "experiment_hash": EXPERIMENT,
            "privacy": privacy | {"ledger_entry": line, "ledger_key": KEY},
        }
        self.write(said | others)
        return line

    def write(self, said):
        folder = self.root / "model"
        folder.mkdir(exist_ok=True)
        (folder / "MLmodel").write_text(yaml.safe_dump({"metadata": {"hallmark": said}}))

    def run(self, ledger=None, ledger_hash=None, **limits):
        privacy = {"ledger": str(self.ledger) if ledger is None else ledger}
        return self.judge({"max_epsilon": 2.0, "max_delta": 1e-5} | limits, privacy, ledger_hash)

    def judge(self, limits, privacy, ledger_hash=None):
        (status,) = judge_privacy(self.model, self.verdict, self.report, limits, privacy, ledger_hash)
        self.found = Verdict.read(self.verdict.path)
        assert status == self.found.status
        return status

    def check(self, name):
        return next(check for check in self.found.checks if check.name == name)

    @property
    def failed(self):
        return {check.name for check in self.found.checks if not check.status.passed}

    @property
    def page(self):
        return Path(self.report.path).read_text(encoding="utf-8")


@pytest.fixture
def step(tmp_path):
    return Step(tmp_path)


def test_what_is_within_the_limits_passes(step):
    line = step.train()
    assert step.run(max_model_epsilon=1.0, max_model_delta=1e-6) == "pass"
    assert step.found.gate == "privacy_gate"
    assert step.found.subjects == {"model": artifact_digest(step.model.path)}
    assert [check.name for check in step.found.checks] == [
        "model_epsilon",
        "model_delta",
        "ledger",
        "total_epsilon",
        "total_delta",
    ]
    assert "within the limits" in step.page
    assert "this model" in step.page
    assert line in step.page


@pytest.mark.parametrize(
    ("limit", "check", "kept", "broken"),
    [
        ("max_epsilon", "total_epsilon", 0.3, 0.2999),
        ("max_delta", "total_delta", 3e-6, 2.999e-6),
        ("max_model_epsilon", "model_epsilon", 0.1, 0.0999),
        ("max_model_delta", "model_delta", 1e-6, 0.999e-6),
    ],
)
def test_both_sides_of_every_limit(step, limit, check, kept, broken):
    for _ in range(3):
        step.train(0.1)
    assert step.run(**{limit: kept}) == "pass"
    assert step.check(check).observed == kept
    assert step.run(**{limit: broken}) == "fail"
    assert step.failed == {check}
    assert (step.check(check).observed, step.check(check).maximum) == (kept, broken)


def test_without_a_limit_of_its_own_what_the_model_spent_is_told(step):
    step.train(1.75)
    assert step.run() == "pass"
    assert step.check("model_epsilon").message == "Epsilon of the model is 1.75; no limit is set."
    assert step.check("ledger").message == "The ledger is unbroken, with 1 training."


def test_spends_add_up_over_trainings_whatever_data_they_name(step):
    spend(step.ledger, spent(0.75, 4e-6, commitment=commitment("b1" * 32, [SOURCE], EXPERIMENT)))
    spend(step.ledger, spent(1.0, 2e-6, commitment=commitment("c2" * 32, ["sha256:" + "9" * 64], EXPERIMENT)))
    step.train(0.25, 1e-6)
    assert step.run(max_epsilon=2.0, max_delta=7e-6) == "pass"
    assert (step.check("total_epsilon").observed, step.check("total_delta").observed) == (2.0, 7e-6)
    step.train(0.001)
    assert step.run(max_epsilon=2.0, max_delta=9e-6) == "fail"
    assert step.check("total_epsilon").message == "Epsilon of 4 trainings is 2.001; at most 2 is allowed."


def test_a_sum_that_is_above_its_limit_is_not_told_as_the_limit(step):
    step.train(0.5000001)
    assert step.run(max_epsilon=0.5, max_model_epsilon=0.5) == "fail"
    assert step.check("total_epsilon").message == "Epsilon of 1 training is 0.5000001; at most 0.5 is allowed."
    assert step.check("model_epsilon").message == "Epsilon of the model is 0.5000001; at most 0.5 is allowed."


def test_a_model_without_privacy_fails(step):
    step.train()
    step.write({"task": "binary", "datasets": [DATASET], "experiment_hash": EXPERIMENT})
    assert step.run() == "fail"
    assert step.failed == {"private_training"}
    assert "The model must be trained with differential privacy; it says of none." in step.page


@pytest.mark.parametrize("said", [{}, {"epsilon": True}, {"epsilon": "1"}, {"epsilon": 10**400}])
def test_a_model_that_states_no_epsilon_fails(step, said):
    line = step.train()
    said = said | {"delta": 1e-6, "ledger_entry": line, "ledger_key": KEY}
    step.write({"datasets": [DATASET, SOURCE], "experiment_hash": EXPERIMENT, "privacy": said})
    assert step.run() == "fail"
    assert {"model_epsilon", "ledger"} <= step.failed


def test_a_model_that_the_ledger_does_not_know_fails(step):
    step.train()
    step.ledger.write_bytes(b"")
    assert step.run() == "fail"
    assert step.failed == {"ledger"}
    assert step.check("ledger").message == "The ledger must hold the training of the model; it does not."


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"privacy": {"epsilon": 0.1}}, "epsilon"),
        ({"privacy": {"delta": 1e-9}}, "delta"),
        ({"privacy": {"mechanism": "more noise"}}, "mechanism"),
        ({"datasets": [DATASET]}, "datasets or experiment hash"),
        ({"datasets": None}, "datasets or experiment hash"),
        ({"datasets": [datetime.date(2026, 11, 21)]}, "datasets or experiment hash"),
        ({"experiment_hash": SOURCE}, "datasets or experiment hash"),
        ({"privacy": {"ledger_key": "1a" * 32}}, "datasets or experiment hash"),
        ({"privacy": {"ledger_key": KEY[1:]}}, "datasets or experiment hash"),
        ({"privacy": {"ledger_key": 5}}, "datasets or experiment hash"),
    ],
)
def test_a_model_that_says_other_than_the_ledger_fails(step, change, differs):
    step.train()
    said = yaml.safe_load((step.root / "model" / "MLmodel").read_text())["metadata"]["hallmark"]
    privacy = said["privacy"] | change.get("privacy", {})
    step.write(said | change | {"privacy": privacy})
    assert step.run() == "fail"
    assert step.check("ledger").message == f"The ledger and the model must agree; they differ in {differs}."


def test_a_changed_ledger_fails(step):
    step.train(1.5)
    step.train(0.25)
    step.ledger.write_bytes(step.ledger.read_bytes().replace(b'"epsilon":1.5', b'"epsilon":0.1'))
    assert step.run() == "fail"
    assert step.failed == {"ledger"}
    assert "must be unbroken; line 1 was changed" in step.check("ledger").message
    assert "total_epsilon" not in [check.name for check in step.found.checks]


def test_a_line_taken_out_fails(step):
    for _ in range(3):
        step.train()
    lines = step.ledger.read_bytes().splitlines(keepends=True)
    step.ledger.write_bytes(lines[0] + lines[2])
    assert step.run() == "fail"


def test_a_lost_ledger_fails(step):
    step.train()
    step.ledger.unlink()
    assert step.run() == "fail"
    assert "The privacy ledger must be a file" in step.check("ledger").message
    assert "What was spent is not known without it" in step.page
    assert "keep the hash" not in step.page
    assert not step.ledger.exists()


def test_a_ledger_of_something_else_fails(step):
    step.train()
    append(step.ledger, {"event": "run_ended"})
    assert step.run() == "fail"
    assert "must hold spends alone; its fields are not those of a spend" in step.check("ledger").message


def test_a_ledger_that_cannot_be_reached_fails(step):
    step.train()
    assert step.run(ledger=str(step.root / ("x" * 300))) == "fail"
    assert "must be readable; File name too long" in step.check("ledger").message


def test_a_sum_beyond_all_numbers_does_not_pass(step):
    for _ in range(2):
        step.train(1.5e308)
    assert step.run() == "inconclusive"
    assert step.failed == {"total_epsilon"}


def test_a_cut_or_replaced_ledger_is_noticed_by_a_hash_that_was_kept(step):
    step.train()
    last = step.train()
    assert step.run(ledger_hash=last) == "pass"
    step.ledger.write_bytes(b"")
    step.train(0.1)
    assert step.run(ledger_hash=GENESIS) == "pass"
    assert step.run(ledger_hash=last) == "fail"
    assert f"must hold the line {last}; it was cut or replaced" in step.check("ledger").message


def test_the_ledger_is_named_by_the_environment(step, monkeypatch):
    step.train()
    monkeypatch.setenv(PATH_VARIABLE, str(step.ledger))
    assert step.run(ledger="") == "pass"
    monkeypatch.delenv(PATH_VARIABLE)
    with pytest.raises(InputError, match=f"The privacy ledger must be named, or {PATH_VARIABLE} must be set"):
        step.run(ledger="")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_epsilon": 0.0}, r"limits\['max_epsilon'\] must be above 0; got 0.0"),
        ({"max_delta": float("nan")}, r"limits\['max_delta'\] must be above 0; got nan"),
        ({"max_model_epsilon": float("inf")}, r"limits\['max_model_epsilon'\] must be above 0; got inf"),
        ({"max_model_delta": -1e-9}, r"limits\['max_model_delta'\] must be above 0; got -1e-09"),
        ({"max_delta": "1e-5"}, r"limits\['max_delta'\] must be a number; got '1e-5'"),
        ({"max_eps": 1.0}, "limits must hold options that there are; got 'max_eps'"),
        ({"ledger": "gs://bucket/ledger"}, "must be a local or mounted file; got 'gs://bucket/ledger'"),
        ({"ledger": 5}, "privacy's ledger must be a path; got 5"),
        ({"ledger_hash": "abc"}, "ledger_hash must be written as sha256: and 64 hex digits; got 'abc'"),
    ],
)
def test_what_cannot_be_used_is_refused(step, given, message):
    step.train()
    with pytest.raises(InputError, match=message):
        step.run(**given)
    assert not Path(step.verdict.path).exists()


def test_the_limits_are_what_one_training_was_asked_for_unless_they_are_given(step):
    privacy = {"epsilon": 0.5, "delta": 1e-6, "ledger": str(step.ledger), "bounds": {"age": [0, 99]}}
    step.train()
    assert step.judge({}, privacy) == "pass"
    assert (step.check("total_epsilon").maximum, step.check("total_delta").maximum) == (0.5, 1e-6)
    step.train()
    assert step.judge({}, privacy) == "fail"
    assert step.failed == {"total_epsilon", "total_delta"}
    assert step.judge({"max_epsilon": 1.0, "max_delta": 2e-6}, privacy) == "pass"


def test_limits_without_what_was_asked_for_must_be_whole(step):
    step.train()
    with pytest.raises(InputError, match=r"limits must hold every required option; missing: max_delta\."):
        step.judge({"max_epsilon": 1.0}, {"ledger": str(step.ledger)})


def test_a_model_of_which_no_privacy_was_asked_passes_and_the_report_promises_none(step, monkeypatch):
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    step.write({"task": "binary", "datasets": [DATASET], "experiment_hash": EXPERIMENT})
    assert step.judge({}, {}) == "pass"
    assert [check.name for check in step.found.checks] == ["not_private"]
    assert "No differential privacy was asked for, and the model promises none." in step.page
    assert "can tell of single people" in step.page
    assert "is differentially private" not in step.page


def test_a_private_model_fails_where_no_privacy_was_asked_for(step):
    step.train()
    assert step.judge({}, {}) == "fail"
    assert step.failed == {"not_private"}
    assert "by what limits must be asked" in step.page


def test_a_model_that_is_none_and_one_that_was_changed_are_refused(step):
    with pytest.raises(MissingInputError, match="A model must be a folder"):
        step.run()
    step.train()
    step.model.metadata["digest"] = DATASET
    with pytest.raises(IntegrityError, match="The model must have the digest"):
        step.run()
    assert not Path(step.verdict.path).exists()


def test_a_ledger_is_never_begun_by_a_spend(tmp_path):
    with pytest.raises(MissingInputError, match="The privacy ledger must be a file") as caught:
        spend(tmp_path / "lost", spent())
    assert "What was spent is not known without it" in caught.value.hint
    assert not (tmp_path / "lost").exists()


def test_nothing_is_added_to_a_broken_ledger(tmp_path):
    path = tmp_path / "ledger"
    path.write_text("half a line")
    with pytest.raises(IntegrityError, match="must end with a whole line"):
        spend(path, spent())
    assert path.read_text() == "half a line"


def _spend_many(path, count):
    for _ in range(count):
        spend(path, spent(0.1))


def test_trainings_at_once_lose_no_entry(tmp_path):
    path = tmp_path / "ledger"
    path.touch()
    children = [multiprocessing.get_context("fork").Process(target=_spend_many, args=(path, 10)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert len(read_ledger(path)) == 40


@pytest.mark.parametrize(
    "change",
    [
        {"epsilon": 0},
        {"epsilon": None},
        {"epsilon": 10**400},
        {"delta": 1},
        {"delta": True},
        {"commitment": DATASET},
        {"commitment": None},
        {"dataset": DATASET},
        {"event": "x"},
        {"rows": "many"},
        {"rows": 0},
        {"target": 5},
        {"mechanism": None},
        {"library": ["x"]},
    ],
)
def test_a_line_that_is_no_spend_is_refused(tmp_path, change):
    path = tmp_path / "ledger"
    path.touch()
    append(path, spent().record | change)
    with pytest.raises(IntegrityError, match="must hold spends alone"):
        read_ledger(path)


def test_a_line_of_the_ledger_is_as_documented(tmp_path):
    path = tmp_path / "ledger"
    path.touch()
    line = spend(path, spent())
    written = json.loads(path.read_text())
    assert written["hash"] == line
    assert written["record"] == spent().record
    assert Spend.of(written["record"]) == spent()


def test_a_commitment_is_hmac_sha_256_of_the_digests():
    """RFC 2104 with the two passes written out."""
    message = b'{"datasets":["%s"],"experiment_hash":"%s"}' % (DATASET.encode(), EXPERIMENT.encode())
    inner, outer = (bytes(pad ^ byte for byte in bytes.fromhex(KEY).ljust(64, b"\0")) for pad in (0x36, 0x5C))
    expected = hashlib.sha256(outer + hashlib.sha256(inner + message).digest()).hexdigest()
    assert commitment(KEY, [DATASET], EXPERIMENT) == f"hmac-sha256:{expected}"
    others = [(KEY, [SOURCE], EXPERIMENT), (KEY, [DATASET], SOURCE), ("b1" * 32, [DATASET], EXPERIMENT)]
    assert len({commitment(KEY, [DATASET], EXPERIMENT), *(commitment(*other) for other in others)}) == 4
    assert commitment(KEY + "00", [DATASET], EXPERIMENT) is None


def test_many_trainings_are_shown_in_part(step):
    for _ in range(60):
        step.train(0.01)
    step.run()
    assert "The first 10 are not shown" in step.page
