import contextlib
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
    if status.passed and (minimum is not None or maximum is not None):
        kept = judge(observed, minimum=minimum, maximum=maximum)
        status = status if kept is Status.PASS else kept
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


@pytest.mark.parametrize("status", [Status.PASS, Status.WARN])
@pytest.mark.parametrize("observed", [0.11, None, math.nan])
def test_a_pass_beyond_its_limit_is_refused(observed, status):
    with pytest.raises(IntegrityError, match="'difference' must keep its limits to pass or warn"):
        Check("difference", status, observed=observed, maximum=0.1)


def test_nan_is_written_as_null(tmp_path):
    check = Check("difference", Status.INCONCLUSIVE, observed=math.nan, interval=(math.nan, 0.3))
    Verdict("fairness_gate", {"model": MODEL}, [check], {"limit": math.inf}).write(tmp_path / "v.json")
    read = Verdict.read(tmp_path / "v.json")
    assert (read.checks[0].observed, read.checks[0].interval, read.parameters) == (None, (None, 0.3), {"limit": None})


def test_the_only_check_is_said_though_it_passed_and_of_several_only_what_did_not():
    fine = Check("not_private", Status.PASS, message="No privacy was asked for.")
    poor = Check("roc_auc", Status.WARN, message="It is near the limit.")
    verdicts = [Verdict("privacy_gate", {"model": MODEL}, found) for found in ([fine], [fine, fine], [fine, poor])]
    assert [verdict.said() for verdict in verdicts] == [
        ["No privacy was asked for."],
        [],
        ["warn: It is near the limit."],
    ]


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
    "unknown status": (lambda v: v.update(status="great"), "must be a whole hallmark/verdict/v1"),
    "another schema": (lambda v: v.update(schema="hallmark/verdict/v2"), "must have the schema"),
    "no checks": (lambda v: v.pop("checks"), "must be a whole hallmark/verdict/v1"),
    "checks is text": (lambda v: v.update(checks="none"), "must be a whole hallmark/verdict/v1"),
    "no subjects": (lambda v: v.pop("subjects"), "must be a whole hallmark/verdict/v1"),
    "subjects is null": (lambda v: v.update(subjects=None), "must be a whole hallmark/verdict/v1"),
    "empty subjects": (lambda v: v.update(subjects={}), "must be bound to a subject"),
    "no time": (lambda v: v.pop("created"), "must be a whole hallmark/verdict/v1"),
    "time is no time": (lambda v: v.update(created="now"), "must be a whole hallmark/verdict/v1"),
    "gate is a path": (lambda v: v.update(gate="../gate"), "A gate's name must be letters"),
    "check passes beyond its limit": (lambda v: v["checks"][0].update(status="pass"), "must keep its limits to pass"),
    "check warns beyond its limit": (
        lambda v: (v.update(status="warn"), v["checks"][0].update(status="warn")),
        "must keep its limits to pass or warn",
    ),
    "check warns without a value": (
        lambda v: (v.update(status="warn"), v["checks"][0].update(status="warn", observed=None)),
        "must keep its limits to pass or warn",
    ),
    "a limit of infinity": (lambda v: v["checks"][0].update(maximum=math.inf), "must be JSON"),
    "a limit greater than numbers go": (lambda v: v["checks"][0].update(maximum=10**400), "must be JSON"),
    "subjects are pairs": (lambda v: v.update(subjects=[*v["subjects"].items()]), "are not in their form"),
    "parameters are pairs": (lambda v: v.update(parameters=[["a", 1]]), "are not in their form"),
    "scope is pairs": (lambda v: v["checks"][0].update(scope=[["a", "b"]]), "are not in their form"),
    "an unknown field": (lambda v: v.update(waived=True), "are not in their form"),
    "samples are a fraction": (lambda v: v["checks"][0].update(samples=3.5), "samples are a whole number"),
    "a digest in capitals": (lambda v: v["subjects"].update(model=MODEL.upper()), "must be bound by a digest"),
    "a digest with a space": (lambda v: v["subjects"].update(model=MODEL + " "), "must be bound by a digest"),
    "a digit that is no ASCII": (lambda v: v.update(created="\uff12\uff10\uff12\uff16-11-21"), "must be a whole"),
    "text that is no Unicode": (lambda v: v["checks"][0].update(message="\ud800"), "must be JSON"),
    "check without its limit": (lambda v: v["checks"][0].pop("maximum"), "are not in their form"),
    "check with an unknown field": (lambda v: v["checks"][0].update(weight=2), "must be a whole hallmark/verdict/v1"),
    "observed is text": (lambda v: v["checks"][0].update(observed="0.31"), "must be a whole hallmark/verdict/v1"),
    "observed is true": (lambda v: v["checks"][0].update(observed=True), "a number is bool"),
    "interval of one end": (lambda v: v["checks"][0].update(interval=[0.1]), "an interval has two ends"),
    "message is null": (lambda v: v["checks"][0].update(message=None), "name, message and scope are text"),
    "scope is a list": (lambda v: v["checks"][0].update(scope=["SEX"]), "must be a whole hallmark/verdict/v1"),
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


@pytest.mark.parametrize("depth", [600, 990])
def test_a_verdict_that_nests_deeply_is_read_or_refused(tmp_path, write_verdict, depth):
    path = write_verdict(tmp_path / "verdict.json", "fairness_gate", {"model": MODEL})
    nested = "[" * depth + "]" * depth
    path.write_text(path.read_text().replace('"parameters": {', f'"parameters": {{"nested": {nested},'))
    with contextlib.suppress(IntegrityError):
        assert Verdict.read(path).gate == "fairness_gate"


def test_read_refuses_an_absent_file(tmp_path):
    with pytest.raises(MissingInputError, match="must be a file"):
        Verdict.read(tmp_path / "gone.json")
