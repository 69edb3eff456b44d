"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.data.screen_poisoning.limits import read_limits


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for limits that suit no dataset; that there may be a baseline is taken for granted."""
    read_limits(given.get("limits"), baseline=True)
