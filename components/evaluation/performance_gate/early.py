"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from kfp_hallmark.comparison import Question
from kfp_hallmark.components.evaluation.performance_gate.performance import limit_name, require_limits
from kfp_hallmark.components.evaluation.performance_gate.serving import ServingLimits
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION
from kfp_hallmark.measures import metrics_for


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for limits that suit no task, and for a question that there is not."""
    if "limits" in given:
        require_limits(given["limits"], _task(given["limits"]))
    if "champion_question" in given:
        Question.named(given["champion_question"], "champion_question")
    ServingLimits.read(given.get("serving_limits", {}))


def _task(limits: Mapping[str, Any]) -> str:
    """Return the task whose limits are most like those."""

    def likeness(task: str) -> float:
        names = [limit_name(metric) for metric in metrics_for(task)]
        return sum(max(SequenceMatcher(None, limit, name).ratio() for name in names) for limit in limits)

    return max((BINARY, MULTICLASS, REGRESSION), key=likeness)
