"""The verdict of check_expectations, folded into the one on the same dataset."""

from __future__ import annotations

from collections.abc import Collection

from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.verdict import Check, Verdict
from kfp_hallmark.errors import IntegrityError

GATE = "check_expectations"


def expectation_checks(expectations: Artifact, digests: Collection[str]) -> list[Check]:
    """Return the checks of a verdict of check_expectations.

    Args:
        expectations: The verdict.
        digests: Those of the dataset that is judged, and of the whole that it is a part of.

    Raises:
        MissingInputError: If there is none.
        IntegrityError: If it is of another gate or dataset, or has no checks.
    """
    found = Verdict.read(expectations.path)
    if found.gate != GATE or not found.checks:
        raise IntegrityError(f"The expectations must be a verdict of {GATE} with checks; got one of {found.gate}.")
    subject = found.subjects.get("dataset")
    if subject not in digests:
        raise IntegrityError(
            f"The expectations must be about the dataset {' or '.join(digests)}; they are about {subject}.",
            f"Give the verdict that {GATE} wrote on the same dataset, or on the delivered one.",
        )
    return found.checks


def is_expectation(check: Check) -> bool:
    """Return whether a check is one of check_expectations."""
    return "suite" in check.scope
