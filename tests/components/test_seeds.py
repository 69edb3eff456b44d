"""Every component that takes a seed refuses one that is none, before it reads or writes anything."""

import importlib
import inspect
from dataclasses import fields

import pytest

from kfp_hallmark.errors import InputError

ENVIRONMENT = "ml"

STEPS = [
    "data.audit_dataset_bias.audit:audit_bias",
    "data.split_dataset.split:split",
    "evaluation.evaluate_model.evaluate:evaluate",
    "evaluation.explain_model.explain:explain",
    "evaluation.explanation_gate.explanation:judge_explanation",
    "evaluation.fairness_gate.fairness:judge_fairness",
    "evaluation.performance_gate.performance:judge_performance",
    "evaluation.robustness_gate.robustness:judge_robustness",
    "governance.write_model_card.card:write_card",
    "training.train_model.train:train",
    "training.tune_model.tune:tune",
]


def with_seed(step, seed):
    """Call a step with a seed and nothing else that could be read or written."""
    module, name = step.split(":")
    found = importlib.import_module(f"kfp_hallmark.components.{module}")
    given = dict.fromkeys(inspect.signature(getattr(found, name)).parameters)
    if "request" in given:
        given["request"] = found.Request(
            **dict.fromkeys([field.name for field in fields(found.Request)]) | {"seed": seed}
        )
    else:
        given["seed"] = seed
    getattr(found, name)(**given)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1", None])
def test_a_seed_that_is_none_is_refused(step, seed):
    with pytest.raises(InputError) as caught:
        with_seed(step, seed)
    assert caught.value.message == f"seed must be a whole number from 0 to 2**32 - 1; got {seed!r}."


@pytest.mark.parametrize("step", STEPS)
def test_the_last_seed_is_none_too_many(step):
    with pytest.raises(Exception, match=r"^(?!seed)"):
        with_seed(step, 2**32 - 1)
