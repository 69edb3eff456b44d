"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.data.split_dataset.split import require_no_target


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for a target that is to be another column too."""
    require_no_target(given.get("required_columns", []), given.get("target"))
