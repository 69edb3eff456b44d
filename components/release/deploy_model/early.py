"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.release.deploy_model.deploy import require_target


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for a target that there is not."""
    if "target" in given:
        require_target(given["target"])
