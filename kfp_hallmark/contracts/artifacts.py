"""What the logic of a component needs of the artifacts that KFP hands it; any object with these will do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol


class Artifact(Protocol):
    """A file or folder with metadata.

    Attributes:
        path: Where it is, or is to be written, on this machine.
        metadata: What is known of it; JSON values. Set before the step ends, KFP stores it.
    """

    path: str
    metadata: dict[str, Any]


class Metrics(Artifact, Protocol):
    """An artifact that holds named numbers, which the user interfaces draw as a table."""

    def log_metric(self, metric: str, value: float) -> None:
        """Add a number."""


def log_metrics(metrics: Metrics, values: Mapping[str, float | None]) -> None:
    """Add the numbers that are finite; KFP refuses NaN and infinities, so these are left out."""
    for name, value in values.items():
        if value is not None and math.isfinite(value):
            metrics.log_metric(name, float(value))
