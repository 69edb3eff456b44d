"""What a plan knows of the names that a run's parameters have in its steps."""

import pytest
from kfp import dsl

from kfp_hallmark.pipelines import governed_training, tuned_training
from kfp_hallmark.runner.plan import plan, translation
from kfp_hallmark.runner.spec import prepare


def planned(pipeline, given):
    prepared, originals = prepare(pipeline.pipeline_spec, given)
    return plan(prepared, originals)


def test_a_step_knows_which_of_the_runs_parameters_it_is_given():
    given = ["data_uri", "target", "sensitive_features", "performance_limits"]
    steps = {step.name: step.parameters for step in planned(governed_training, given)}
    assert steps["load_dataset"] == {"uri": "data_uri", "required_columns": "slices"}
    assert steps["split_dataset"]["required_columns"] == "sensitive_features"
    assert steps["train_model"]["required_features"] == "categorical_features"
    assert steps["performance_gate"]["limits"] == "performance_limits"
    assert steps["deploy_model"]["target"] == "deploy_target"
    assert "limits" not in steps["fairness_gate"]  # it was not given


def test_tuning_asks_for_its_slices_before_it_searches():
    given = ["data_uri", "target", "search_space", "metric", "trials_per_shard", "shards"]
    load = next(step for step in planned(tuned_training, given) if step.name == "load_dataset")
    assert load.parameters == {"uri": "data_uri", "required_columns": "slices"}


def test_what_is_no_parameter_of_the_run_has_no_name_in_it():
    @dsl.component(base_image="python:3.11")
    def say(text: str, part: str = "", number: int = 0) -> str:
        return text

    @dsl.pipeline(name="inner")
    def inner(word: str):
        say(text=word, part=f"a {word}", number=1)

    @dsl.pipeline(name="own")
    def own(first: str, words: list = ["b"]):
        inner(word=first)
        said = say(text=first)
        say(text=said.output)
        with dsl.ParallelFor(words) as word:
            say(text=word)

    steps = planned(own, ["first", "words"])
    assert [step.parameters.get("text") for step in steps] == [None, "first", "first", None]
    assert not any({"part", "number"} & set(step.parameters) for step in steps)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("limits must hold one; got none.", "Here limits is the run's performance_limits."),
        ("limits['max_delta'] must be above 0.", "Here limits is the run's performance_limits."),
        ("limits must be of the metric.", "Here limits is the run's performance_limits and metric is the run's by."),
        ("serving_limits must be known; so must seed.", None),
    ],
)
def test_a_message_is_translated_where_the_names_differ(message, told):
    names = {"limits": "performance_limits", "metric": "by", "serving_limits": "serving_limits", "seed": "seed"}
    assert translation(message, names) == told
