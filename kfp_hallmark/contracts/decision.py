"""The decision: all evidence of one model, and whether it may be released.

A decision is a folder:

    decision.json            the outcome, its reasons, the policy, the model's digest and files
    evidence/<gate>.json     every verdict, byte for byte as its gate wrote it

Nobody who acts on a decision takes its outcome on trust: `require_release` reads the evidence again, holds every
verdict against its digest and the model against its own, and decides anew under the policy.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.digest import Manifest, file_digest, is_digest
from kfp_hallmark.contracts.documents import now, parse_time, read_json, write_json, writing
from kfp_hallmark.contracts.model import Lineage, lineage
from kfp_hallmark.contracts.verdict import Status, Verdict
from kfp_hallmark.errors import HallmarkError, InputError, IntegrityError, ReleaseRefused

SCHEMA = "hallmark/decision/v1"
DECISION_FILE = "decision.json"
EVIDENCE_FOLDER = "evidence"


class Outcome:
    """What a decision comes to."""

    RELEASE = "release"
    HALT = "halt"


@dataclass(frozen=True)
class Policy:
    """What a model needs to be released.

    Attributes:
        required_gates: The gates that must have judged the model.
        allow_warnings: Whether a verdict of `warn` counts as passed.
        max_age_hours: The age, in hours, above which a verdict is stale.
    """

    required_gates: tuple[str, ...]
    allow_warnings: bool = True
    max_age_hours: float = 24.0

    def __post_init__(self) -> None:
        if not self.required_gates:
            raise InputError("required_gates must name at least one gate; got none.")
        if not self.max_age_hours > 0:
            raise InputError(f"max_age_hours must be above 0; got {self.max_age_hours}.")


@dataclass(frozen=True)
class Evidence:
    """One verdict as a decision holds it.

    Attributes:
        gate: The gate's name.
        status: The verdict's status; `inconclusive` when it could not be read.
        digest: SHA-256 of the verdict's file; None when there is no file.
        file: Where the verdict is, relative to the decision's folder; None when there is no file.
        reasons: Why it is no pass, or what it warns of; empty when there is nothing to say.
    """

    gate: str
    status: str
    digest: str | None
    file: str | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Whether a model may be released, and all that the answer rests on.

    Attributes:
        outcome: `release` or `halt`.
        reasons: One sentence for each thing that stands against release; empty for a release.
        model: The model's manifest.
        lineage: What the model says it was made from.
        policy: What was asked of it.
        evidence: Every verdict.
        created: When it was decided, ISO 8601 in UTC.
    """

    outcome: str
    reasons: tuple[str, ...]
    model: Manifest
    lineage: Lineage
    policy: Policy
    evidence: tuple[Evidence, ...]
    created: str = field(default_factory=now)

    @property
    def released(self) -> bool:
        """Whether the outcome is a release."""
        return self.outcome == Outcome.RELEASE

    def to_json(self) -> dict[str, Any]:
        """Return the decision as a JSON value."""
        return {
            "schema": SCHEMA,
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "created": self.created,
            "model": {"digest": self.model.digest, "files": dict(self.model.files)},
            "lineage": asdict(self.lineage) | {"datasets": list(self.lineage.datasets)},
            "policy": asdict(self.policy) | {"required_gates": list(self.policy.required_gates)},
            "evidence": [asdict(entry) | {"reasons": list(entry.reasons)} for entry in self.evidence],
        }

    @classmethod
    def read(cls, path: str | Path) -> Decision:
        """Read the decision in a folder; this alone does not verify it, `require_release` does.

        Raises:
            MissingInputError: If the folder holds no decision.
            IntegrityError: If the decision is not whole.
        """
        value = read_json(Path(path) / DECISION_FILE, SCHEMA)
        try:
            decision = cls(
                outcome=value["outcome"],
                reasons=tuple(value["reasons"]),
                model=Manifest(value["model"]["files"]),
                lineage=Lineage(**value["lineage"] | {"datasets": tuple(value["lineage"]["datasets"])}),
                policy=Policy(**value["policy"] | {"required_gates": tuple(value["policy"]["required_gates"])}),
                evidence=tuple(Evidence(**entry | {"reasons": tuple(entry["reasons"])}) for entry in value["evidence"]),
                created=value["created"],
            )
            stated = value["model"]["digest"]
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"The decision in {str(path)!r} must have every field of {SCHEMA}; {error}."
            ) from error
        if stated != decision.model.digest or not all(is_digest(digest) for digest in decision.model.files.values()):
            raise IntegrityError(
                f"The decision in {str(path)!r} must state the digest of the model's files; got {stated!r}."
            )
        return decision


def decide(model: str | Path, verdicts: Mapping[str, str | Path], policy: Policy) -> tuple[Decision, dict[str, Path]]:
    """Decide whether a model may be released.

    A verdict counts when it can be read, was written by the gate it is filed under, is bound to this model (or to a
    dataset that the model was trained from), is not stale, and passed. A required gate without such a verdict, and
    any verdict that did not pass, required or not, stands against release.

    Args:
        model: The model folder.
        verdicts: Gate name to the path of its verdict.
        policy: What is asked of the model.

    Returns:
        The decision, and for every verdict file that is there the place it belongs to inside the decision's folder.
    """
    manifest = Manifest.of(model)
    origin = lineage(model)
    bound = {manifest.digest, *origin.datasets}
    moment = datetime.now(UTC)
    reasons: list[str] = []
    evidence: list[Evidence] = []
    files: dict[str, Path] = {}
    for gate in sorted({*policy.required_gates, *verdicts}):
        path = Path(verdicts[gate]) if gate in verdicts else None
        if path is None or not path.is_file():
            found = Evidence(gate, str(Status.INCONCLUSIVE), None, None, ("There is no verdict.",))
            against = True
        else:
            place = f"{EVIDENCE_FOLDER}/{gate}.json"
            files[place] = path
            status, notes, against = _weigh(gate, path, bound, policy, moment)
            found = Evidence(gate, str(status), file_digest(path), place, tuple(notes))
        evidence.append(found)
        if against:
            reasons += [f"{gate}: {reason}" for reason in found.reasons]
    outcome = Outcome.HALT if reasons else Outcome.RELEASE
    decision = Decision(outcome, tuple(reasons), manifest, origin, policy, tuple(evidence))
    return decision, files


def _weigh(gate: str, path: Path, bound: set[str], policy: Policy, moment: datetime) -> tuple[Status, list[str], bool]:
    """Return a verdict's status, what there is to say of it, and whether it stands against release."""
    try:
        verdict = Verdict.read(path)
    except HallmarkError as error:
        return Status.INCONCLUSIVE, [f"The verdict cannot be used. {error.message}"], True
    problems = []
    if verdict.gate != gate:
        problems.append(f"The verdict must be of this gate; it is of {verdict.gate!r}.")
    if not bound & set(verdict.subjects.values()):
        problems.append("The verdict must be about this model or its data; it is about another.")
    if "model" in verdict.subjects and verdict.subjects["model"] not in bound:
        problems.append("The verdict must be about this model; it is about another.")
    age = moment - parse_time(verdict.created)
    if age > timedelta(hours=policy.max_age_hours):
        problems.append(f"The verdict must be at most {policy.max_age_hours:g} hours old; it is of {verdict.created}.")
    if age < timedelta(minutes=-5):
        problems.append(f"The verdict must not be from the future; it is of {verdict.created}.")
    if problems:
        return verdict.status, list(dict.fromkeys(problems)), True
    passed = verdict.status.passed if policy.allow_warnings else verdict.status is Status.PASS
    notes = verdict.reasons()
    if not passed and not notes:
        notes = [f"The status is {verdict.status}."]
    return verdict.status, notes, not passed


def write_decision(path: str | Path, decision: Decision, files: Mapping[str, Path]) -> None:
    """Write a decision's folder: the document, and the evidence as it is."""
    with writing(path) as folder:
        (folder / EVIDENCE_FOLDER).mkdir(parents=True)
        for place, source in files.items():
            shutil.copyfile(source, folder / place)
        write_json(folder / DECISION_FILE, decision.to_json())


def require_release(decision_path: str | Path, model: str | Path) -> Decision:
    """Return a model's decision when it is a release that holds, and refuse everything else.

    The evidence is read again and the policy applied anew, so that an edited outcome, a swapped or edited verdict, a
    changed model and a decision about another model are all refused.

    Raises:
        ReleaseRefused: If the decision is not a release, or is no longer one, with every reason.
        IntegrityError: If the model or the evidence is not what the decision says it is.
        MissingInputError: If the decision or the model is not there.
    """
    folder = Path(decision_path)
    decision = Decision.read(folder)
    if not decision.released:
        raise ReleaseRefused(
            "The model must have a decision to release; it has one to halt: " + " ".join(decision.reasons),
            "Mend what the gates found, and run the pipeline again.",
        )
    manifest = Manifest.of(model)
    if manifest.files != decision.model.files:
        raise IntegrityError(
            f"The model must be the one that was decided on, {decision.model.digest}; got {manifest.digest}.",
            "The model was changed after it was judged, or the decision is about another model.",
        )
    for entry in decision.evidence:
        if entry.file is None:
            continue
        place = (folder / entry.file).resolve()
        if not place.is_relative_to(folder.resolve()):
            raise IntegrityError(f"The evidence of {entry.gate!r} must lie in the decision's folder.")
        if not place.is_file() or file_digest(place) != entry.digest:
            raise IntegrityError(f"The evidence of {entry.gate!r} must be the one that was decided on; it is not.")
    verdicts = {entry.gate: folder / entry.file for entry in decision.evidence if entry.file is not None}
    anew, _ = decide(model, verdicts, decision.policy)
    if not anew.released:
        raise ReleaseRefused("The model must still have evidence for its release: " + " ".join(anew.reasons))
    return decision
