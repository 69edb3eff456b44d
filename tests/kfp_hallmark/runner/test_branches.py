"""Branches and loops, through the real orchestrator: what kfp.local itself gets wrong in silence."""

# KFP reads these signatures.
# ruff: noqa: UP006, UP035, UP045

from typing import List, NamedTuple, Optional

import pytest
from kfp import dsl
from kfp.dsl import PipelineTaskFinalStatus

from kfp_hallmark.component import component
from kfp_hallmark.errors import InputError


@component(environment="release")
def tell(text: str, more: str = "") -> str:
    return text + more


@component(environment="release")
def number(value: int) -> int:
    return value


@component(environment="release")
def several() -> NamedTuple("Outputs", [("outcome", str), ("numbers", List[int])]):
    return ("go", [0, 2])


@component(environment="release")
def last(status: PipelineTaskFinalStatus) -> str:
    return status.state


@dsl.pipeline(name="two-ways")
def two_ways(text: str):
    told = tell(text=text)
    with dsl.ExitHandler(last()):
        with dsl.If(told.output == "release"):
            tell(text="yes")
        with dsl.Else():
            tell(text="no")


@dsl.pipeline(name="optional")
def optional(count: Optional[int] = None):
    # The condition lies beside the exit handler, not below it.
    with dsl.ExitHandler(last()):
        tell(text="body")
    with dsl.If(count > 0):
        number(value=count)


@dsl.pipeline(name="picky")
def picky():
    named = several()
    with dsl.If(named.outputs["outcome"] == "go"):
        tell(text="went")
    with dsl.ParallelFor(named.outputs["numbers"]) as item, dsl.If(item > 0):
        number(value=item)


@dsl.pipeline(name="mixed")
def mixed(texts: List[str] = ["x", "y"]):
    above = tell(text="above")
    with dsl.ParallelFor(texts) as text:
        tell(text=f"{text} {above.output}", more=above.output)


@dsl.pipeline(name="nested")
def nested(outer: List[str] = ["x", "y"], inner: List[str] = ["a", "b"]):
    with dsl.ParallelFor(outer) as text, dsl.ParallelFor(inner) as more:
        tell(text=text, more=more)


@dsl.pipeline(name="joined")
def joined(outer: List[str] = ["x"], inner: List[str] = ["a"]):
    with dsl.ParallelFor(outer) as text, dsl.ParallelFor(inner) as more:
        tell(text=f"{text}{more}")


@pytest.fixture
def outputs():
    """Return what each step that ran gave, by name."""
    return lambda result: {step.name: step.outputs["Output"] for step in result.steps if "Output" in step.outputs}


@pytest.mark.parametrize(
    ("text", "told"),
    [("release", "yes"), ("' or True or '", "no"), ("client's model", "no"), ("two\nlines", "no")],
)
def test_one_way_is_taken_whatever_a_step_gives(run, outputs, text, told):
    result, _ = run(two_ways, {"text": text})
    assert result.status == "succeeded"
    given = outputs(result)
    assert (given.get("tell_2"), given.get("tell_3")) == (("yes", None) if told == "yes" else (None, "no"))


def test_a_condition_that_cannot_be_evaluated_fails_the_run(run, outputs, document):
    result, screen = run(optional)
    assert (result.status, result.exit_code) == ("failed", 1)
    assert (
        document(result)["reason"]
        == "The condition int(count) > 0 must compare values of one kind; count has no value."
    )
    assert result.reason in screen
    assert outputs(result) == {"tell": "body", "last": "SUCCEEDED"}


def test_conditions_and_loops_find_named_outputs_and_items(run, outputs):
    result, _ = run(picky)
    assert result.status == "succeeded"
    assert outputs(result) == {"tell": "went", "number[1]": 2}


def test_a_loop_gives_its_item_for_nothing_else(run, outputs):
    result, _ = run(mixed)
    assert outputs(result) == {"tell": "above", "tell_2[0]": "x aboveabove", "tell_2[1]": "y aboveabove"}


def test_an_inner_loop_has_both_items(run, outputs):
    result, _ = run(nested)
    assert outputs(result) == {"tell[0,0]": "xa", "tell[0,1]": "xb", "tell[1,0]": "ya", "tell[1,1]": "yb"}


def test_a_reference_to_nothing_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="for-loop-1 refers to inner-loop-item") as caught:
        run(joined)
    assert "give the component the items one by one" in str(caught.value)
    assert not (tmp_path / "state").exists()
