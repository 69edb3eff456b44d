"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.evaluation.explanation_gate.explanation import read_limits


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for limits that are unknown or no shares."""
    if "limits" in given:
        read_limits(given["limits"], given.get("forbidden_features", ["any"]), given.get("model_name", "any"))
