"""The verdict: the document that a gate writes.

    {
      "schema": "hallmark/verdict/v1",
      "gate": "fairness_gate",
      "status": "fail",
      "created": "2026-11-21T05:40:00Z",
      "subjects": {"model": "sha256:...", "dataset": "sha256:..."},
      "parameters": {"max_demographic_parity_difference": 0.1},
      "checks": [{"name": "demographic_parity_difference", "status": "fail", "observed": 0.31, "maximum": 0.1,
                  "minimum": null, "interval": [0.29, 0.33], "confidence": 0.95, "samples": 20636,
                  "scope": {"feature": "DIS"}, "message": "..."}]
    }

The page `docs/contracts/verdict.md` describes every field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.digest import artifact_digest, is_digest
from kfp_hallmark.contracts.documents import finite, now, parse_time, read_json, require_form, write_json
from kfp_hallmark.errors import InputError, IntegrityError

SCHEMA = "hallmark/verdict/v1"


class Status(StrEnum):
    """What a check, or a gate, came to."""

    PASS = "pass"
    WARN = "warn"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"

    @property
    def passed(self) -> bool:
        """Whether the status lets a model on: a pass or a warning; too little data to tell does not."""
        return self in (Status.PASS, Status.WARN)

    @classmethod
    def worst(cls, statuses: Iterable[Status]) -> Status:
        """Return the worst of some statuses; of none, `inconclusive`: nothing was judged."""
        order = list(cls)
        return max(statuses, key=order.index, default=cls.INCONCLUSIVE)


@dataclass(frozen=True)
class Check:
    """One thing that a gate looked at.

    Attributes:
        name: What was measured, as a metric's standard name.
        status: What it came to.
        observed: The value; None when it could not be computed.
        minimum: The least value that passes, inclusive; None when there is no such limit.
        maximum: The greatest value that passes, inclusive; None when there is no such limit.
        interval: Confidence interval of the value, low then high.
        confidence: The interval's confidence level, between 0 and 1.
        samples: The number of rows that the value rests on.
        scope: What the check is about when not the whole: `{"feature": "SEX", "group": "2"}`.
        message: One sentence that a person reads first.
    """

    name: str
    status: Status
    observed: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    interval: tuple[float | None, float | None] | None = None
    confidence: float | None = None
    samples: int | None = None
    scope: Mapping[str, str] = field(default_factory=dict)
    message: str = ""

    def __post_init__(self) -> None:
        limited = self.minimum is not None or self.maximum is not None
        if (
            self.status.passed
            and limited
            and judge(self.observed, minimum=self.minimum, maximum=self.maximum) is not Status.PASS
        ):
            raise IntegrityError(f"The check {self.name!r} must keep its limits to pass or warn; it does not.")


def judge(observed: float | None, *, minimum: float | None = None, maximum: float | None = None) -> Status:
    """Return `pass` when a value keeps its inclusive limits, `fail` when not, `inconclusive` without a finite value.

    Raises:
        InputError: If neither limit is given: a check without a limit judges nothing.
    """
    if minimum is None and maximum is None:
        raise InputError("A check must have a minimum or a maximum; got neither.")
    if observed is None or not math.isfinite(observed):
        return Status.INCONCLUSIVE
    if minimum is not None and not observed >= minimum:
        return Status.FAIL
    if maximum is not None and not observed <= maximum:
        return Status.FAIL
    return Status.PASS


def is_gate_name(value: object) -> bool:
    """Return whether a value can name a gate, and so a file: letters, digits, `-` and `_`, a letter first."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,99}", value) is not None


@dataclass(frozen=True)
class Verdict:
    """What one gate found out about one model or dataset.

    Attributes:
        gate: The gate's name.
        subjects: What was judged, role to digest: `{"model": "sha256:...", "dataset": "sha256:..."}`.
        checks: What the gate looked at.
        parameters: The gate's limits and settings.
        created: When the verdict was written, ISO 8601 in UTC.
    """

    gate: str
    subjects: Mapping[str, str]
    checks: list[Check]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    created: str = field(default_factory=now)

    def __post_init__(self) -> None:
        if not is_gate_name(self.gate):
            raise IntegrityError(
                f"A gate's name must be letters, digits, hyphens and underscores, a letter first; got {self.gate!r}."
            )
        for role, digest in self.subjects.items():
            if not is_digest(digest):
                raise IntegrityError(f"The subject {role!r} must be bound by a digest; got {digest!r}.")
        if not self.subjects:
            raise IntegrityError(f"A verdict must be bound to a subject; the one of {self.gate!r} has none.")

    @property
    def status(self) -> Status:
        """The worst status of the checks; `inconclusive` when there is no check."""
        return Status.worst(check.status for check in self.checks)

    def reasons(self) -> list[str]:
        """Return a sentence for each check that did not pass outright, the worst first."""
        order = list(Status)
        noted = [check for check in self.checks if check.status is not Status.PASS]
        noted.sort(key=lambda check: order.index(check.status), reverse=True)
        return [f"{check.status}: {check.message or check.name}" for check in noted]

    def said(self) -> list[str]:
        """Return the reasons, or, where all is well and there is one check, what that says."""
        told = [check.message for check in self.checks if check.message] if len(self.checks) == 1 else []
        return self.reasons() or told

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as a JSON value; NaN and infinities become null."""
        return finite(
            {
                "schema": SCHEMA,
                "gate": self.gate,
                "status": str(self.status),
                "created": self.created,
                "subjects": dict(self.subjects),
                "parameters": dict(self.parameters),
                "checks": [asdict(check) | {"status": str(check.status)} for check in self.checks],
            }
        )

    def write(self, path: str | Path) -> None:
        """Write the verdict as a JSON file."""
        write_json(path, self.to_json())

    def store(self, artifact: Artifact) -> None:
        """Write the verdict to an artifact, whose metadata get gate, status and the digest that a reader verifies."""
        self.write(artifact.path)
        artifact.metadata |= {"digest": artifact_digest(artifact.path), "gate": self.gate, "status": str(self.status)}

    @classmethod
    def read(cls, path: str | Path) -> Verdict:
        """Read a verdict, and refuse one that is not whole or whose status is not what its checks say.

        Raises:
            MissingInputError: If there is no such file.
            IntegrityError: If it is not a verdict, a field is missing or wrong, or its status contradicts its checks.
        """
        value = read_json(path, SCHEMA)
        try:
            verdict = cls(
                gate=value["gate"],
                subjects=dict(value["subjects"]),
                checks=[_read_check(entry) for entry in value["checks"]],
                parameters=dict(value["parameters"]),
                created=value["created"],
            )
            parse_time(verdict.created)
            if Status(value["status"]) is not verdict.status:
                raise IntegrityError(
                    f"The verdict of {verdict.gate!r} must have its worst check's status, {verdict.status}; "
                    f"got {value['status']}."
                )
            require_form(value, verdict.to_json())
        except IntegrityError:
            raise
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise IntegrityError(f"The verdict {str(path)!r} must be a whole {SCHEMA}; {error}.") from error
        return verdict


def _read_check(entry: dict[str, Any]) -> Check:
    """Return a check as its JSON value says it, each field of its type."""
    scope = dict(entry["scope"])
    interval = None if entry["interval"] is None else tuple(entry["interval"])
    check = Check(**entry | {"status": Status(entry["status"]), "interval": interval, "scope": scope})
    if interval is not None and len(interval) != 2:
        raise ValueError("an interval has two ends")
    for value in (check.observed, check.minimum, check.maximum, check.confidence, check.samples, *(interval or ())):
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise ValueError(f"a number is {type(value).__name__}")
    if not isinstance(check.samples, int | None):
        raise ValueError("samples are a whole number")
    if not all(isinstance(text, str) for text in (check.name, check.message, *scope.values())):
        raise ValueError("name, message and scope are text")
    return check
