"""What can be told of the inputs without data; see `kfp_hallmark.runner.early`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_hallmark.components.governance.write_model_card.fields import FIELDS
from kfp_hallmark.statement import check_early


def check(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for a statement on this machine that cannot be used."""
    check_early(given, FIELDS)
