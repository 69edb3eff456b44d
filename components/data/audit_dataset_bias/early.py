"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.data.audit_dataset_bias.audit import require_settings
from kfp_hallmark.components.data.audit_dataset_bias.limits import read_limits


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for features or limits that suit no dataset."""
    if "sensitive_features" in given:
        require_settings(given["sensitive_features"], given.get("target"), given.get("min_group_size", 1))
    if "limits" in given:
        read_limits(given["limits"], given.get("population", {}))
