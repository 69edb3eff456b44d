"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.release.deploy_model.deploy import TARGETS, require_target


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for a target that there is not, and for options that it has not."""
    if "target" in given:
        require_target(given["target"])
        if "deployment" in given:
            TARGETS[given["target"]].read(given["deployment"], given.get("serving_dir"))
