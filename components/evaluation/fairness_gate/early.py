"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.evaluation.fairness_gate.champion import Terms
from kfp_hallmark.components.evaluation.fairness_gate.fairness import read_limits, require_settings


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for features, limits or losses that no predictions suit."""
    if "sensitive_features" in given:
        require_settings(given["sensitive_features"], given.get("min_group_size", 1))
    if "limits" in given:
        read_limits(given["limits"])
    Terms("any", None, given.get("max_champion_losses", {}), 1, 1, 0.95)
