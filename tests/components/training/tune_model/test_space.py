import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_hallmark.components.training.tune_model.space import is_pruned, propose, read_space, require_suits
from kfp_hallmark.components.training.tune_model.trial import FAILED, PRUNED, Trial, best_of
from kfp_hallmark.errors import InputError

FOREST = "sklearn.ensemble.RandomForestClassifier"
SPACE = {
    "max_features": {"type": "float", "low": 0.1, "high": 1.0},
    "min_samples_leaf": {"type": "int", "low": 1, "high": 60, "log": True},
    "n_estimators": {"type": "int", "low": 10, "high": 35, "step": 10},
    "criterion": {"type": "choice", "choices": ["gini", "entropy", None, [1, 2]]},
}
NUMBER = {"type": "float", "low": 0.1, "high": 1.0}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "search_space must be an object of 1 to 50 parameters; got 0 parameters"),
        ([1], "search_space must be an object of 1 to 50 parameters; got list"),
        ({f"p{place}": NUMBER for place in range(51)}, "got 51 parameters"),
        ({"a": 3}, r"search_space\['a'\] must be an object; got int"),
        ({"a": {"low": 1, "high": 2}}, r"search_space\['a'\] must have a type of float, int, choice; got None"),
        ({"a": {**NUMBER, "type": "flaot"}}, "got 'flaot'.*\n.*'float'"),
        ({"a": {"type": "float", "low": 1}}, "must hold every required option; missing: high"),
        ({"a": {**NUMBER, "base": 2}}, "must hold options that there are; got 'base'"),
        ({"a": {**NUMBER, "low": "1"}}, r"search_space\['a'\]\['low'\] must be a number; got '1'"),
        (
            {"a": {"type": "int", "low": 1, "high": 2.5}},
            r"search_space\['a'\]\['high'\] must be a whole number; got 2.5",
        ),
        ({"a": {**NUMBER, "log": 1}}, r"search_space\['a'\]\['log'\] must be true or false; got 1"),
        ({"a": {**NUMBER, "low": 1.0}}, "must have a low below its high; got 1 and 1"),
        ({"a": {**NUMBER, "low": 2}}, "must have a low below its high; got 2 and 1"),
        ({"a": {**NUMBER, "low": math.nan}}, "must have a low below its high"),
        ({"a": {**NUMBER, "high": math.inf}}, "must have finite ends; got 0.1 and inf"),
        ({"a": {**NUMBER, "low": 0, "log": True}}, "must have a low above 0 for a log scale; got 0"),
        ({"a": {**NUMBER, "step": 0.1, "log": True}}, "must have a log scale or a step; got both"),
        ({"a": {**NUMBER, "step": 0}}, "must have a step above 0 and at most high - low; got 0"),
        ({"a": {**NUMBER, "step": 1}}, "must have a step above 0 and at most high - low; got 1"),
        ({"a": {"type": "choice"}}, "must have a list of choices and nothing else; got none"),
        ({"a": {"type": "choice", "choices": "ab"}}, "must have a list of choices and nothing else; got choices"),
        ({"a": {"type": "choice", "choices": [1, 2], "low": 1}}, "nothing else; got choices, low"),
        ({"a": {"type": "choice", "choices": [1]}}, r"must have at least two different choices; got \[1\]"),
        ({"a": {"type": "choice", "choices": [1, 2, 1]}}, r"must have at least two different choices; got \[1, 2, 1\]"),
    ],
)
def test_a_bad_space(space, message):
    with pytest.raises(InputError, match=message):
        read_space(space)


@pytest.mark.parametrize(
    ("space", "fixed", "message"),
    [
        ({"max_feature": NUMBER}, {}, "must hold parameters of .*; got 'max_feature'.*\n.*'max_features'"),
        ({"max_features": NUMBER}, {"max_features": 1}, "none of estimator_parameters; got 'max_features' in both"),
        ({"n_estimators": {"type": "int", "low": -1, "high": 5}}, {}, r"search_space\['n_estimators'\] must suit"),
        ({"max_features": {**NUMBER, "high": 1.5}}, {}, r"search_space\['max_features'\] must suit .*1.5"),
        ({"criterion": {"type": "choice", "choices": ["gini", "ginni"]}}, {}, r"search_space\['criterion'\] .*ginni"),
    ],
)
def test_a_space_that_does_not_suit(space, fixed, message):
    with pytest.raises(InputError, match=message):
        require_suits(read_space(space), FOREST, fixed)


def test_a_whole_number_may_come_as_a_float():
    space = read_space({"n": {"type": "int", "low": 1.0, "high": 3.0, "step": 1.0}})
    assert all(type(propose(space, "tpe", 0, place, [], [], True)["n"]) is int for place in range(5))


def test_a_number_is_tried_as_train_model_will_be_given_it():
    space = read_space({"x": {"type": "float", "low": 0.5, "high": 1, "step": 0.5}})
    found = [propose(space, "random", 0, place, [], [], True)["x"] for place in range(8)]
    assert {(type(x), x) for x in found} == {(float, 0.5), (int, 1)}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**33), place=st.integers(1, 500), sampler=st.sampled_from(["tpe", "random"]))
def test_a_proposal_is_of_the_space_and_depends_on_the_arguments_alone(seed, place, sampler):
    space = read_space(SPACE)
    found = propose(space, sampler, seed, place, [], [], True)
    assert list(found) == sorted(SPACE)
    assert 0.1 <= found["max_features"] <= 1
    assert found["min_samples_leaf"] in range(1, 61)
    assert found["n_estimators"] in (10, 20, 30)
    assert found["criterion"] in SPACE["criterion"]["choices"]
    assert propose(space, sampler, seed, place, [], [], True) == found


def test_tpe_goes_where_the_scores_are_good_and_knows_what_is_on_the_way():
    space = read_space({"x": {"type": "float", "low": 0, "high": 1}})
    known = []
    for place in range(1, 41):
        x = propose(space, "tpe", 0, place, known, [], False)["x"]
        known.append(Trial(0, place, {"x": x}, scores=((x - 0.8) ** 2,)))
    late = [trial.parameters["x"] for trial in known[25:]]
    assert sum(abs(x - 0.8) < 0.1 for x in late) > len(late) / 2
    first = propose(space, "tpe", 0, 41, known, [], False)
    assert propose(space, "tpe", 0, 41, known, [Trial(0, 40, first)], False) != first


def test_what_failed_or_was_pruned_can_be_known():
    space = read_space({"x": {"type": "float", "low": 0, "high": 1}})
    known = [
        Trial(0, 1, {"x": 0.5}, FAILED),
        Trial(0, 2, {"x": 0.2}, PRUNED, (0.4,)),
        Trial(0, 3, {"x": 0.1}, FAILED, (1.0,)),
    ]
    assert 0 <= propose(space, "tpe", 0, 4, known, [], True)["x"] <= 1


def five(space_values=(0.1, 0.2, 0.3, 0.4, 0.5)):
    """Five complete trials whose means after one fold have the median 0.7, and after two 0.75."""
    scores = [(0.5, 0.6), (0.6, 0.6), (0.7, 0.8), (0.8, 0.9), (0.9, 0.9)]
    return [Trial(0, n, {"x": x}, scores=s) for n, (x, s) in enumerate(zip(space_values, scores, strict=True), 1)]


@pytest.mark.parametrize(
    ("scores", "greater", "pruned"),
    [
        ((0.69,), True, True),
        ((0.7,), True, False),
        ((0.71,), False, True),
        ((0.7,), False, False),
        ((0.70, 0.78), True, True),
        ((0.70, 0.80), True, False),
    ],
)
def test_the_median_pruner_on_both_sides(scores, greater, pruned):
    space = read_space({"x": {"type": "float", "low": 0, "high": 1}})
    assert is_pruned(space, "median", five(), Trial(0, 6, {"x": 0.3}, scores=scores), greater) is pruned
    assert not is_pruned(space, "median", five()[:4], Trial(0, 6, {"x": 0.3}, scores=scores), greater)
    assert not is_pruned(space, "none", five(), Trial(0, 6, {"x": 0.3}, scores=scores), greater)


def test_the_wilcoxon_pruner_goes_by_folds():
    space = read_space({"x": {"type": "float", "low": 0, "high": 1}})
    best = Trial(0, 1, {"x": 0.5}, scores=(0.5, 0.9, 0.6, 0.7, 0.8))
    worse = Trial(0, 2, {"x": 0.4}, scores=(0.49, 0.88, 0.57, 0.66))
    assert is_pruned(space, "wilcoxon", [best], worse, True)  # p = 1/16 for four of four folds
    assert not is_pruned(space, "wilcoxon", [best], Trial(0, 2, {"x": 0.4}, scores=worse.scores[:3]), True)  # 1/8
    assert not is_pruned(space, "wilcoxon", [best], worse, False)


def test_the_best_is_the_first_of_equals_and_complete():
    trials = [
        Trial(0, 0, {}, scores=(0.5, 0.5)),
        Trial(0, 1, {}, scores=(0.4, 0.8)),
        Trial(0, 2, {}, scores=(0.8, 0.4)),
        Trial(0, 3, {}, PRUNED, (0.9,)),
        Trial(0, 4, {}, FAILED),
    ]
    assert best_of(trials, True).place == 1
    assert best_of(trials, False).place == 0


def test_a_trial_survives_as_text():
    trial = Trial(1, 7, {"a": 0.1 + 0.2, "b": None, "c": [1, "x"]}, PRUNED, (1 / 3, 2 / 3), 0.25, None)
    assert Trial.from_text(trial.to_text()) == trial
