"""Refuse to go on with a dataset that did not pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.decision import NO_VERDICT, Policy, age_objections
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.errors import ReleaseRefused


def enforce(
    dataset: Artifact,
    verdicts: Mapping[str, Artifact | None],
    required_gates: Sequence[str],
    allow_warnings: bool,
    max_age_hours: float,
) -> None:
    """Return when every verdict on a dataset passed, and raise otherwise; see the component.

    Args:
        dataset: The dataset.
        verdicts: Name of the input to the verdict given there.
        required_gates: Gates whose pass is wanted.
        allow_warnings: Whether a verdict of warn counts as passed.
        max_age_hours: Age of a verdict, in hours, above which it is stale.

    Raises:
        ReleaseRefused: If a verdict is missing, stale, about other data or no pass, with every reason.
        InputError: If no gate is required, or a setting is out of range.
        IntegrityError: If the dataset or a verdict was changed since it was written, or a verdict is not whole.
    """
    policy = Policy(tuple(required_gates), allow_warnings, max_age_hours)
    moment = datetime.now(UTC)
    digest = artifact_digest(verified(dataset, "dataset"))
    found = {name: Verdict.read(verified(given, name)) for name, given in verdicts.items() if given is not None}
    reasons = [
        *(
            f"{gate}: {NO_VERDICT}"
            for gate in policy.required_gates
            if all(verdict.gate != gate for verdict in found.values())
        ),
        *(
            f"{verdict.gate}: {reason}"
            for verdict in found.values()
            for reason in _against(verdict, digest, policy, moment)
        ),
    ]
    if reasons:
        raise ReleaseRefused(
            "The dataset must have passed every gate; it has not:\n" + "\n".join(f"- {reason}" for reason in reasons),
            "The reports tell more. Mend the data, or the limits if they are wrong, and run the pipeline again.",
        )


def _against(verdict: Verdict, digest: str, policy: Policy, moment: datetime) -> Iterator[str]:
    """Yield why a verdict is no pass of the dataset."""
    yield from age_objections(verdict, policy, moment)
    if verdict.subjects.get("dataset") != digest:
        yield "The verdict must be about this dataset; it is about another."
    elif not verdict.checks:
        yield "The verdict has no check."
    elif not policy.passes(verdict.status):
        yield from verdict.reasons()
