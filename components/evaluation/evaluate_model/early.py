"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.evaluation.evaluate_model.costs import read_costs
from kfp_hallmark.components.evaluation.evaluate_model.evaluate import require_found_slices


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for costs by which nothing can be chosen, and for too many slices."""
    read_costs(given.get("costs", {}))
    require_found_slices(given.get("found_slices", 0))
