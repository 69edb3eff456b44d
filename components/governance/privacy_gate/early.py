"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.governance.privacy_gate.privacy import read_limits


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for limits that are unknown or no numbers above 0."""
    limits, privacy = given.get("limits", {}), given.get("privacy", {})
    if limits or privacy:
        read_limits(limits, privacy)
