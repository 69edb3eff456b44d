"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.evaluation.robustness_gate.perturb import require_features
from kfp_hallmark.components.evaluation.robustness_gate.robustness import read_limits, require_strengths


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for limits or strengths of what is not tried, or of no use, and for what is no feature."""
    if "limits" in given:
        read_limits(given["limits"])
    require_strengths(given.get("strengths", {}))
    require_features(given.get("categorical_features", []), given.get("target"))
