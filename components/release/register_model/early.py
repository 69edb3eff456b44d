"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.release.register_model.vertex import Options
from kfp_hallmark.contracts.options import read_options
from kfp_hallmark.contracts.registration import require_alias, require_model_name


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for a name or an alias that no registry takes, and for unknown options."""
    if "model_name" in given:
        require_model_name(given["model_name"])
    if "alias" in given:
        require_alias(given["alias"])
    if given.get("vertex"):
        read_options(Options, given["vertex"], "vertex")
