"""The decision: all evidence of one model, and whether it may be released.

A decision is a folder:

    decision.json            the outcome, its reasons, the policy, the model's digest and files
    evidence/<gate>.json     every verdict, byte for byte as its gate wrote it

Nobody who acts on a decision takes its outcome on trust: `require_release` reads the evidence again, holds every
verdict against its digest and the model against its own, and decides anew under the policy. The folder is not signed:
who can rewrite all of it consistently can forge a decision, unless its digest is kept elsewhere, as KFP keeps it in
the artifact's metadata.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.digest import Manifest, artifact_digest, file_digest, is_digest
from kfp_hallmark.contracts.documents import now, parse_time, read_json, require_form, write_json, writing
from kfp_hallmark.contracts.model import Lineage, lineage
from kfp_hallmark.contracts.verdict import Status, Verdict, is_gate_name
from kfp_hallmark.errors import HallmarkError, InputError, IntegrityError, ReleaseRefused

SCHEMA = "hallmark/decision/v1"
DECISION_FILE = "decision.json"
EVIDENCE_FOLDER = "evidence"

DATA_GATES = frozenset({"audit_dataset_bias", "check_expectations", "screen_poisoning", "validate_dataset"})
"""The gates whose verdict may be about data alone. A verdict of any other gate must be about the model."""

CLOCK_SKEW_HOURS = 5 / 60
"""How far in the future a verdict's time may lie, for clocks that differ."""

NO_VERDICT = "There is no verdict."


class Outcome(StrEnum):
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
        for gate in self.required_gates:
            if not is_gate_name(gate):
                raise InputError(f"required_gates must be names of gates; got {gate!r}.")
        if not isinstance(self.allow_warnings, bool):
            raise InputError(f"allow_warnings must be true or false; got {self.allow_warnings!r}.")
        if not (self.max_age_hours > 0 and math.isfinite(self.max_age_hours)):
            raise InputError(f"max_age_hours must be above 0 and finite; got {self.max_age_hours}.")

    def passes(self, status: Status) -> bool:
        """Return whether a gate's status lets a model on."""
        return status is Status.PASS or (status is Status.WARN and self.allow_warnings)


@dataclass(frozen=True)
class Evidence:
    """One verdict as a decision holds it.

    Attributes:
        gate: The gate's name, or what the verdict was given as when it could not be read.
        status: The verdict's status; `inconclusive` when there is none that counts.
        digest: SHA-256 of the verdict's file; None when there is no file.
        reasons: Why it is no pass, or what it warns of; empty when there is nothing to say.
    """

    gate: str
    status: Status
    digest: str | None
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_gate_name(self.gate):
            raise InputError(f"Evidence must be filed under a gate's name; got {self.gate!r}.")
        if self.digest is not None and not is_digest(self.digest):
            raise InputError(f"The verdict of {self.gate!r} must be bound by a digest; got {self.digest!r}.")
        _require_texts(self.reasons)

    @property
    def file(self) -> str:
        """Where the verdict is, relative to the decision's folder."""
        return f"{EVIDENCE_FOLDER}/{self.gate}.json"


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

    outcome: Outcome
    reasons: tuple[str, ...]
    model: Manifest
    lineage: Lineage
    policy: Policy
    evidence: tuple[Evidence, ...]
    created: str = field(default_factory=now)

    def __post_init__(self) -> None:
        _require_texts(self.reasons)
        gates = [entry.gate for entry in self.evidence]
        if len(set(gates)) < len(gates):
            raise IntegrityError("A decision must hold one verdict of a gate; it holds several.")
        if self.released == bool(self.reasons):
            raise IntegrityError("A decision must have reasons to halt, and none to release.")

    @property
    def released(self) -> bool:
        """Whether the outcome is a release."""
        return self.outcome is Outcome.RELEASE

    @property
    def statuses(self) -> dict[str, str]:
        """Gate to status."""
        return {entry.gate: str(entry.status) for entry in self.evidence}

    def to_json(self) -> dict[str, Any]:
        """Return the decision as a JSON value."""
        return {
            "schema": SCHEMA,
            "outcome": str(self.outcome),
            "reasons": list(self.reasons),
            "created": self.created,
            "model": {"digest": self.model.digest, "files": dict(self.model.files)},
            "lineage": asdict(self.lineage) | {"datasets": list(self.lineage.datasets)},
            "policy": asdict(self.policy) | {"required_gates": list(self.policy.required_gates)},
            "evidence": [
                {
                    "gate": entry.gate,
                    "status": str(entry.status),
                    "digest": entry.digest,
                    "file": entry.file if entry.digest else None,
                    "reasons": list(entry.reasons),
                }
                for entry in self.evidence
            ],
        }

    @classmethod
    def read(cls, path: str | Path, expected_digest: str | None = None) -> Decision:
        """Read the decision in a folder; this alone does not verify what it rests on, `require_release` does.

        Args:
            path: The decision's folder.
            expected_digest: The digest that the folder must have, kept apart from it; None does not ask.

        Raises:
            MissingInputError: If the folder holds no decision.
            IntegrityError: If the decision is not whole, or not the one that was made.
        """
        value = read_json(Path(path) / DECISION_FILE, SCHEMA)
        if expected_digest is not None and (found := artifact_digest(path)) != expected_digest:
            raise IntegrityError(f"The decision must be the one that was made, {expected_digest}; got {found}.")
        try:
            decision = cls(
                outcome=Outcome(value["outcome"]),
                reasons=tuple(value["reasons"]),
                model=Manifest(dict(value["model"]["files"])),
                lineage=Lineage(**value["lineage"] | {"datasets": tuple(value["lineage"]["datasets"])}),
                policy=Policy(**value["policy"] | {"required_gates": tuple(value["policy"]["required_gates"])}),
                evidence=tuple(
                    Evidence(entry["gate"], Status(entry["status"]), entry["digest"], tuple(entry["reasons"]))
                    for entry in value["evidence"]
                ),
                created=value["created"],
            )
            parse_time(decision.created)
            require_form(value, decision.to_json())
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise IntegrityError(f"The decision in {str(path)!r} must be a whole {SCHEMA}; {error}.") from error
        return decision


def _require_texts(reasons: tuple[str, ...]) -> None:
    if not all(isinstance(reason, str) for reason in reasons):
        raise InputError("Every reason must be text; one is not.")


def decide(
    model: str | Path, verdicts: Mapping[str, str | Path], policy: Policy, moment: datetime | None = None
) -> Decision:
    """Decide whether a model may be released.

    A verdict counts when it can be read, was written by the gate it is filed under, is about this model, is neither
    stale nor from the future, and passed. It is about this model when its subject `model` is this model's digest. A
    verdict of one of `DATA_GATES` that names no model is about it when its subject `dataset` is data that the model
    was made from, or that a verdict about this model judged it on. Any other verdict on data that the model was made
    from does not count: there every model looks good.

    A required gate without a verdict that counts, and any verdict that does not count, required or not, stands against
    release.

    Args:
        model: The model folder.
        verdicts: Gate name, or what a verdict that cannot be read was given as, to the path of the verdict.
        policy: What is asked of the model.
        moment: The time at which a verdict must not be stale; None is now.

    Raises:
        MissingInputError: If the model is not a model folder.
        InputError: If a verdict is filed under a name that no gate can have.
    """
    manifest, origin = Manifest.of(model), lineage(model)
    read = {gate: _read(Path(path)) for gate, path in verdicts.items()}
    found = [verdict for verdict in read.values() if isinstance(verdict, Verdict)]
    about = [verdict for verdict in found if verdict.subjects.get("model") == manifest.digest]
    data = {*origin.datasets, *(verdict.subjects["dataset"] for verdict in about if "dataset" in verdict.subjects)}
    moment = moment or datetime.now(UTC)
    evidence: list[Evidence] = []
    for gate in sorted({*policy.required_gates, *verdicts}):
        status, notes = _weigh(gate, read.get(gate, NO_VERDICT), manifest.digest, origin, data, policy, moment)
        path = Path(verdicts.get(gate, ""))
        evidence.append(Evidence(gate, status, file_digest(path) if path.is_file() else None, notes))
    against = [entry for entry in evidence if not policy.passes(entry.status)]
    reasons = tuple(f"{entry.gate}: {note}" for entry in against for note in entry.reasons)
    outcome = Outcome.HALT if against else Outcome.RELEASE
    return Decision(outcome, reasons, manifest, origin, policy, tuple(evidence))


def _read(path: Path) -> Verdict | str:
    """Return a verdict, or why there is none."""
    if not path.is_file():
        return NO_VERDICT
    try:
        return Verdict.read(path)
    except HallmarkError as error:
        return f"The verdict cannot be used. {error.message}"


def _weigh(
    gate: str,
    verdict: Verdict | str,
    model: str,
    origin: Lineage,
    data: set[str],
    policy: Policy,
    moment: datetime,
) -> tuple[Status, tuple[str, ...]]:
    """Return a verdict's status, `inconclusive` when it does not count, and what there is to say of it."""
    if isinstance(verdict, str):
        return Status.INCONCLUSIVE, (verdict,)
    if objections := tuple(_objections(gate, verdict, model, origin, data, policy, moment)):
        return Status.INCONCLUSIVE, objections
    if not verdict.checks:
        return Status.INCONCLUSIVE, ("The verdict has no check.",)
    return verdict.status, tuple(verdict.reasons())


def _objections(
    gate: str, verdict: Verdict, model: str, origin: Lineage, data: set[str], policy: Policy, moment: datetime
) -> Iterator[str]:
    """Yield every reason why a verdict does not count, whatever it says."""
    if verdict.gate != gate:
        yield f"The verdict must be of the gate it is filed under, and the only one of it; it is of {verdict.gate!r}."
    if "model" in verdict.subjects or gate not in DATA_GATES:
        if verdict.subjects.get("model") != model:
            yield "The verdict must be about this model; it is about another, or about data alone."
        elif gate not in DATA_GATES and verdict.subjects.get("dataset") in origin.datasets:
            yield "The verdict must be about data that the model was not made from; it is about its training data."
    elif verdict.subjects.get("dataset") not in data:
        yield "The verdict must be about data that the model was made from or judged on; it is about other data."
    yield from age_objections(verdict, policy, moment)


def age_objections(verdict: Verdict, policy: Policy, moment: datetime) -> Iterator[str]:
    """Yield why a verdict's time keeps it from counting at a moment: it is stale, or from the future."""
    age = (moment - parse_time(verdict.created)).total_seconds() / 3600
    if age > policy.max_age_hours:
        yield f"The verdict must be at most {policy.max_age_hours:g} hours old; it is of {verdict.created}."
    if age < -CLOCK_SKEW_HOURS:
        yield f"The verdict must not be from the future; it is of {verdict.created}."


def write_decision(path: str | Path, decision: Decision, verdicts: Mapping[str, str | Path]) -> None:
    """Write a decision's folder: the document, and the evidence byte for byte as `verdicts` gives it to `decide`."""
    with writing(path) as folder:
        (folder / EVIDENCE_FOLDER).mkdir(parents=True)
        for entry in decision.evidence:
            if entry.digest:
                shutil.copyfile(verdicts[entry.gate], folder / entry.file)
        write_json(folder / DECISION_FILE, decision.to_json())


def require_release(
    decision_path: str | Path, model: str | Path, expected_digest: str | None = None, moment: datetime | None = None
) -> Decision:
    """Return a model's decision when it is a release that holds, and refuse everything else.

    The evidence is read again and the policy applied anew, so that an edited outcome, a swapped, edited, added or
    removed verdict, a changed model and a decision about another model are all refused.

    Args:
        decision_path: The decision's folder.
        model: The model folder.
        expected_digest: The digest that the decision's folder must have, kept apart from it; None does not ask.
        moment: The time at which the release must have held; None is now. What was deployed in time goes on serving.

    Raises:
        ReleaseRefused: If the decision is not a release, or is no longer one, with every reason.
        IntegrityError: If the model, the evidence or the decision is not what was decided on.
        MissingInputError: If the decision or the model is not there.
    """
    folder = Path(decision_path)
    decision = Decision.read(folder, expected_digest)
    if not decision.released:
        raise ReleaseRefused(
            "The model must have a decision to release; it has one to halt: " + " ".join(decision.reasons),
            "Mend what the gates found, and run the pipeline again.",
        )
    judged = Manifest.of(model)
    if judged.files != decision.model.files:
        raise IntegrityError(
            f"The model must be the one that was decided on, {decision.model.digest}; got {judged.digest}.",
            "The model was changed after it was judged, or the decision is about another model.",
        )
    wanted = {entry.file: entry.digest for entry in decision.evidence if entry.digest}
    differing = {name for name, _ in Manifest.of(folder).files.items() ^ wanted.items()} - {DECISION_FILE}
    if differing:
        raise IntegrityError(
            f"The evidence must be what was decided on; these files are not: {', '.join(sorted(differing))}."
        )
    anew = decide(model, {entry.gate: folder / entry.file for entry in decision.evidence}, decision.policy, moment)
    if not anew.released:
        raise ReleaseRefused("The model must still have evidence for its release: " + " ".join(anew.reasons))
    if anew.evidence != decision.evidence or anew.lineage != decision.lineage:
        raise IntegrityError("The decision must say what its evidence and its model say; it says something else.")
    return decision
