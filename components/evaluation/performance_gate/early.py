"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kfp_hallmark.comparison import Question, require_comparable
from kfp_hallmark.components.evaluation.performance_gate.champion import Terms
from kfp_hallmark.components.evaluation.performance_gate.performance import require_limits, shared_tasks
from kfp_hallmark.components.evaluation.performance_gate.serving import ServingLimits
from kfp_hallmark.components.evaluation.performance_gate.slices import SliceTerms
from kfp_hallmark.contracts.predictions import TASKS
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.measures import metrics_for


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for limits and a metric that no task has, and for what no comparison could go by."""
    tasks = shared_tasks(require_limits(given["limits"])) if "limits" in given else TASKS
    if "champion_metric" in given:
        _require_champion_metric(given["champion_metric"], tasks)
    question = Question.named(given.get("champion_question", Question.NON_INFERIORITY), "champion_question")
    margin, power = given.get("max_champion_loss", 1.0), given.get("power")
    Terms(given.get("model_name", "any"), "any", question, margin, power, 100, 0.95, 0)
    SliceTerms([], given.get("max_slice_loss", 1.0))
    ServingLimits.read(given.get("serving_limits", {}))


def _require_champion_metric(name: str, tasks: Sequence[str]) -> None:
    """Raise `InputError` unless models can be compared by a metric in a task that the limits are of."""
    known = {metric.name: task for task in tasks for metric in metrics_for(task)}
    if name not in known:
        kinds = " or ".join(tasks)
        raise InputError(f"champion_metric must be a metric of a {kinds} task; got {name!r}.", nearest(name, [*known]))
    require_comparable(name, known[name], "champion_metric")
