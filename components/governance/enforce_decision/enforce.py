"""Refuse to go on without a decision to release."""

from __future__ import annotations

from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.decision import Decision
from kfp_hallmark.errors import ReleaseRefused


def enforce(decision: Artifact) -> None:
    """Return for a decision to release, and raise for one to halt; see the component.

    Raises:
        ReleaseRefused: If the decision is to halt, with every reason.
        MissingInputError: If there is no decision.
        IntegrityError: If the decision is not whole, or not the one that was made.
    """
    found = Decision.read(decision.path, decision.metadata.get("digest"))
    if not found.released:
        raise ReleaseRefused(
            "The model must have a decision to release; it has one to halt:\n"
            + "\n".join(f"- {reason}" for reason in found.reasons),
            "Mend what the gates found, and run the pipeline again.",
        )
