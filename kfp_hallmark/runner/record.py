"""What is known of a run: the document `run.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kfp_hallmark import __version__
from kfp_hallmark.contracts.documents import finite, write_json

SCHEMA = "hallmark/run/v1"
RUN_FILE = "run.json"
PAGE_FILE = "index.html"
LOGS_FOLDER = "logs"
ARTIFACTS_FOLDER = "artifacts"
REPORTS_FOLDER = "reports"

RUNNING, SUCCEEDED, HALTED, FAILED = "running", "succeeded", "halted", "failed"
PENDING, REUSED, SKIPPED = "pending", "reused", "skipped"


@dataclass
class Step:
    """One step of a run.

    Attributes:
        name: The task's name; a step of a loop has its iteration's number behind it.
        component: The component that it is a call of.
        state: `pending`, `running`, `succeeded`, `reused`, `failed` or `skipped`; `reused` when the outputs are those
            of an earlier step with the same inputs.
        seconds: How long it took; None when it did not run.
        log: Where its log is, relative to the run's folder; None when it did not run.
        reason: Why it failed, where that is known.
        inputs: Where its input artifacts are, by name, relative to the run's folder where they are in it.
        outputs: Parameters as they are; artifacts as their type, path and metadata.
        key: The name of its component in the prepared spec.
    """

    name: str
    component: str
    state: str = PENDING
    seconds: float | None = None
    log: str | None = None
    reason: str | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    key: str = ""

    @property
    def verdict(self) -> str:
        """What a gate or a decision came to; "" for any other step."""
        return str(self.outputs.get("status") or self.outputs.get("outcome") or "")

    def to_json(self) -> dict[str, Any]:
        """Return the step as a JSON value."""
        return {name: value for name, value in asdict(self).items() if name != "key"}


@dataclass
class RunResult:
    """What came of a run; every path is relative to its folder unless it lies outside.

    Attributes:
        pipeline: The pipeline's name.
        run_id: The run's name, which steps know as the job's.
        platform: `local` or `docker`.
        directory: The run's folder.
        parameters: What it was given, without passwords in URIs.
        started: When, ISO 8601 in UTC.
        status: `running`, `succeeded`, `halted` or `failed`.
        finished: When; None while it runs.
        seconds: How long it took.
        reason: Why it failed; None when it did not.
        interrupted: The number of the signal that ended it; None when none did.
        steps: Its steps, in order.
        verdicts: Gate, status, path and report of every verdict.
        decision: Outcome, reasons, path and report; None when nothing was decided.
        model: Digest, name, version, uri and experiment hash, each None when not known; None without a model.
        release: Name, version, digest, uri and time of what was deployed, and the path of the document; None when
            nothing was.
        metrics: Metrics by step.
        lineage: From the source to the model: name, step, digest and what else is known.
        audit_log: Where the audit log is that has the run; None when no step recorded it.
        hallmark: The version that ran.
    """

    pipeline: str
    run_id: str
    platform: str
    directory: Path
    parameters: dict[str, Any]
    started: str
    status: str = RUNNING
    finished: str | None = None
    seconds: float | None = None
    reason: str | None = None
    interrupted: int | None = None
    steps: list[Step] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    decision: dict[str, Any] | None = None
    model: dict[str, Any] | None = None
    release: dict[str, Any] | None = None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    lineage: list[dict[str, Any]] = field(default_factory=list)
    audit_log: str | None = None
    hallmark: str = __version__

    @property
    def exit_code(self) -> int:
        """0 succeeded, 3 halted by the decision, 1 failed, 128 and the signal's number when interrupted."""
        if self.interrupted is not None:
            return 128 + self.interrupted
        return {SUCCEEDED: 0, HALTED: 3}.get(self.status, 1)

    @property
    def page(self) -> Path:
        """The page that shows the run."""
        return self.directory / PAGE_FILE

    @property
    def failed_steps(self) -> list[Step]:
        """The steps that failed."""
        return [step for step in self.steps if step.state == FAILED]

    def to_json(self) -> dict[str, Any]:
        """Return the run as a JSON value."""
        value: Mapping[str, Any] = vars(self) | {"steps": [step.to_json() for step in self.steps]}
        return {"schema": SCHEMA} | finite({name: entry for name, entry in value.items() if name != "directory"})

    def write(self) -> None:
        """Write `run.json`."""
        write_json(self.directory / RUN_FILE, self.to_json())

    def place(self, path: str | Path) -> str:
        """Return a path as the document has it: relative to the run's folder when it lies in it."""
        path = Path(path)
        return path.relative_to(self.directory).as_posix() if path.is_relative_to(self.directory) else str(path)


def whole_numbers(value: Any) -> Any:
    """Return a JSON value with its whole numbers written without a fraction, which kfp.local gives them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: whole_numbers(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [whole_numbers(entry) for entry in value]
    return value
