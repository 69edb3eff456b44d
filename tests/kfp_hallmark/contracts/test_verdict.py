import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_hallmark.contracts.verdict import Check, Status, Verdict, is_gate_name, judge
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

MODEL = "sha256:" + "a" * 64
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9)
OPTIONAL = st.none() | NUMBERS


@st.composite
def checks(draw):
    minimum, maximum, observed = draw(OPTIONAL), draw(OPTIONAL), draw(OPTIONAL)
    status = draw(st.sampled_from(Status))
    if status is Status.PASS and (minimum is not None or maximum is not None):
        status = judge(observed, minimum=minimum, maximum=maximum)
    return Check(
        name=draw(st.text()),
        status=status,
        observed=observed,
        minimum=minimum,
        maximum=maximum,
        interval=draw(st.none() | st.tuples(OPTIONAL, OPTIONAL)),
        confidence=draw(st.none() | st.floats(0, 1)),
        samples=draw(st.none() | st.integers(0, 10**9)),
        scope=draw(st.dictionaries(st.text(), st.text(), max_size=2)),
        message=draw(st.text()),
    )


@given(
    st.lists(checks(), max_size=4), st.dictionaries(st.text(), OPTIONAL | st.text() | st.lists(OPTIONAL), max_size=3)
)
def test_what_is_written_is_what_is_read(tmp_path_factory, found, parameters):
    path = tmp_path_factory.mktemp("verdict") / "verdict.json"
    verdict = Verdict("fairness_gate", {"model": MODEL}, found, parameters)
    verdict.write(path)
    assert Verdict.read(path) == verdict


@given(st.lists(checks(), min_size=1))
def test_the_status_is_one_of_the_checks_and_none_is_worse(found):
    status = Verdict("fairness_gate", {"model": MODEL}, found).status
    order = [Status.PASS, Status.WARN, Status.INCONCLUSIVE, Status.FAIL]
    assert status in {check.status for check in found}
    assert all(order.index(check.status) <= order.index(status) for check in found)


def test_nothing_judged_is_inconclusive():
    assert Verdict("fairness_gate", {"model": MODEL}, []).status is Status.INCONCLUSIVE
    assert Status.worst([]) is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("status", "passed"),
    [(Status.PASS, True), (Status.WARN, True), (Status.INCONCLUSIVE, False), (Status.FAIL, False)],
)
def test_passed(status, passed):
    assert status.passed is passed


@pytest.mark.parametrize(
    ("observed", "minimum", "maximum", "expected"),
    [
        (0.8, 0.8, None, "pass"),
        (math.nextafter(0.8, 0), 0.8, None, "fail"),
        (0.1, None, 0.1, "pass"),
        (math.nextafter(0.1, 1), None, 0.1, "fail"),
        (0.5, 0.2, 0.5, "pass"),
        (0.2, 0.2, 0.5, "pass"),
        (0.6, 0.2, 0.5, "fail"),
        (0.1, 0.2, 0.5, "fail"),
        (math.nan, 0.2, None, "inconclusive"),
        (math.inf, 0.2, None, "inconclusive"),
        (-math.inf, None, 0.2, "inconclusive"),
        (None, 0.2, None, "inconclusive"),
        (0.5, math.nan, None, "fail"),
        (0.5, None, math.nan, "fail"),
    ],
)
def test_judge(observed, minimum, maximum, expected):
    assert judge(observed, minimum=minimum, maximum=maximum) == expected


def test_a_check_without_a_limit_is_refused():
    with pytest.raises(InputError, match="must have a minimum or a maximum; got neither"):
        judge(0.5)


@pytest.mark.parametrize("observed", [0.11, None, math.nan])
def test_a_pass_beyond_its_limit_is_refused(observed):
    with pytest.raises(IntegrityError, match="'difference' must keep its limits to pass"):
        Check("difference", Status.PASS, observed=observed, maximum=0.1)


def test_nan_is_written_as_null(tmp_path):
    check = Check("difference", Status.INCONCLUSIVE, observed=math.nan, interval=(math.nan, 0.3))
    Verdict("fairness_gate", {"model": MODEL}, [check], {"limit": math.inf}).write(tmp_path / "v.json")
    read = Verdict.read(tmp_path / "v.json")
    assert (read.checks[0].observed, read.checks[0].interval, read.parameters) == (None, (None, 0.3), {"limit": None})


def test_reasons_tell_the_worst_first_and_leave_out_passes():
    found = [
        Check("a", Status.WARN, message="A moved."),
        Check("b", Status.PASS),
        Check("c", Status.FAIL),
        Check("d", Status.INCONCLUSIVE, message="D is small."),
    ]
    reasons = Verdict("fairness_gate", {"model": MODEL}, found).reasons()
    assert reasons == ["fail: c", "inconclusive: D is small.", "warn: A moved."]


@pytest.mark.parametrize("subjects", [{}, {"model": "abc"}, {"model": None}, {"model": MODEL, "dataset": "sha256:1"}])
def test_a_verdict_must_be_bound_by_digests(subjects):
    with pytest.raises(IntegrityError, match="must be bound"):
        Verdict("fairness_gate", subjects, [])


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("fairness_gate", True),
        ("my-gate2", True),
        ("a" * 100, True),
        ("a" * 101, False),
        ("", False),
        ("../x", False),
        ("a/b", False),
        ("2x", False),
        (".hidden", False),
        ("gate\n", False),
        (None, False),
    ],
)
def test_gate_names(name, good):
    assert is_gate_name(name) is good
    if not good:
        with pytest.raises(IntegrityError, match="A gate's name must be letters"):
            Verdict(name, {"model": MODEL}, [])


CHANGES = {
    "status contradicts the checks": (
        lambda v: v.update(status="pass"),
        "must have its worst check's status, fail; got",
    ),
    "unknown status": (lambda v: v.update(status="great"), "must have every field"),
    "another schema": (lambda v: v.update(schema="hallmark/verdict/v2"), "must have the schema"),
    "no checks": (lambda v: v.pop("checks"), "must have every field"),
    "checks is text": (lambda v: v.update(checks="none"), "must have every field"),
    "no subjects": (lambda v: v.pop("subjects"), "must have every field"),
    "subjects is null": (lambda v: v.update(subjects=None), "must have every field"),
    "empty subjects": (lambda v: v.update(subjects={}), "must be bound to a subject"),
    "no time": (lambda v: v.pop("created"), "must have every field"),
    "time is no time": (lambda v: v.update(created="now"), "must have every field"),
    "gate is a path": (lambda v: v.update(gate="../gate"), "A gate's name must be letters"),
    "check passes beyond its limit": (lambda v: v["checks"][0].update(status="pass"), "must keep its limits to pass"),
    "check without its limit": (lambda v: v["checks"][0].pop("maximum"), "a check lacks maximum"),
    "check with an unknown field": (lambda v: v["checks"][0].update(weight=2), "must have every field"),
    "observed is text": (lambda v: v["checks"][0].update(observed="0.31"), "must have every field"),
    "observed is true": (lambda v: v["checks"][0].update(observed=True), "a number is bool"),
    "interval of one end": (lambda v: v["checks"][0].update(interval=[0.1]), "an interval has two ends"),
    "message is null": (lambda v: v["checks"][0].update(message=None), "name, message and scope are text"),
    "scope is a list": (lambda v: v["checks"][0].update(scope=["SEX"]), "must have every field"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_read_refuses(tmp_path, write_verdict, name):
    change, message = CHANGES[name]
    path = write_verdict(tmp_path / "verdict.json", "fairness_gate", {"model": MODEL}, "fail")
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    with pytest.raises(IntegrityError, match=message):
        Verdict.read(path)


def test_read_refuses_an_absent_file(tmp_path):
    with pytest.raises(MissingInputError, match="must be a file"):
        Verdict.read(tmp_path / "gone.json")
