"""What the logic of a component needs of the artifacts that KFP hands it; any object with these will do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import IntegrityError


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


def verified(artifact: Artifact, name: str) -> str:
    """Return the path of an artifact whose contents are what the step that wrote it said.

    KFP keeps an artifact's metadata apart from its files, so whoever can write to the files alone is noticed.

    Args:
        artifact: The artifact; one without `digest` in its metadata, as of a maker that states none, is taken as it is.
        name: What messages call it.

    Raises:
        MissingInputError: If there is no such artifact.
        IntegrityError: If its digest is not the one in its metadata.
    """
    expected = artifact.metadata.get("digest")
    if expected is not None and (found := artifact_digest(artifact.path)) != expected:
        raise IntegrityError(
            f"The {name} must have the digest {expected}; got {found}.",
            "Its files were changed after the step that wrote them; run that step again.",
        )
    return artifact.path


def log_metrics(metrics: Metrics, values: Mapping[str, float | None]) -> None:
    """Add the numbers that are finite; KFP refuses NaN and infinities, so these are left out."""
    for name, value in values.items():
        if value is not None and math.isfinite(value):
            metrics.log_metric(name, float(value))
