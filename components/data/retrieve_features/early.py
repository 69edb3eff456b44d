"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.data.retrieve_features.retrieve import require_share, require_wish


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for features that are named in both ways, in none or not as they must, or a share."""
    require_wish(given.get("features"), given.get("feature_service"))
    require_share(given.get("max_missing_share"))
