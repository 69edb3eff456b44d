"""What a service that runs pipelines is asked for, and what it answers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from kfp_hallmark.errors import InputError, ServiceError
from kfp_hallmark.runner.record import FAILED, HALTED, PENDING, REUSED, RUNNING, SKIPPED, SUCCEEDED
from kfp_hallmark.settings import Settings

CANCELLING, CANCELLED, PAUSED = "cancelling", "cancelled", "paused"

STATES = (PENDING, RUNNING, PAUSED, CANCELLING, SUCCEEDED, REUSED, SKIPPED, FAILED, CANCELLED)
"""The states of runs and steps; only a step can be `reused` or `skipped`."""

ENDED = frozenset({SUCCEEDED, REUSED, SKIPPED, FAILED, CANCELLED})
"""The states that stay."""


class TransientError(ServiceError):
    """A service could not be reached, or did not answer in time: the same question may be answered later."""


class UncertainError(ServiceError):
    """Nobody knows whether a service made what it was asked for: asked again, it may make a second one."""


def require_id(what: str, value: str) -> str:
    """Return the id of a run or schedule.

    Args:
        what: What it is the id of, as `run`.
        value: The id.

    Raises:
        InputError: If no service gives such an id.
    """
    if not re.fullmatch(r"[A-Za-z0-9-]{1,128}", value):
        raise InputError(
            f"The id of a {what} must be 1 to 128 letters, digits and hyphens; got {value!r}.",
            f"`hallmark runs {'list' if what == 'run' else 'schedules'}` shows it in its last column.",
        )
    return value


def runs_command(settings: Settings, platform: str, *words: str) -> str:
    """Return a command of `hallmark runs` as it is to be typed to reach the same service.

    Args:
        settings: The settings that led to the service.
        platform: `kubeflow` or `vertex`.
        words: The command and its argument, as `show` and a run's id.
    """
    named = ["--settings", str(settings.named)] if settings.named else []
    return shlex.join(["hallmark", "runs", *words, "--platform", platform, *named])


@dataclass(frozen=True)
class RunStep:
    """One step of a run.

    Attributes:
        name: The task's name, with underscores; a step of a loop has its iteration's number behind it.
        state: One of `STATES`.
        started: When it began, with a time zone; None when it has not.
        finished: When it ended; None when it has not.
        reason: Why it failed, where the service says.
    """

    name: str
    state: str
    started: datetime | None = None
    finished: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Run:
    """What a service says of a run.

    Attributes:
        run_id: What the service knows it by; `Service.get` takes it.
        name: What a person knows it by.
        platform: `kubeflow` or `vertex`.
        state: One of `STATES`.
        link: Where the service's user interface shows it.
        pipeline: The pipeline's name; None where the service does not say.
        experiment: The experiment that it belongs to; None for none.
        labels: The labels that the service keeps; empty where it keeps none.
        created: When it was submitted, with a time zone.
        finished: When it ended; None when it has not.
        reason: Why it failed, where the service says.
        steps: Its steps, in the order in which a run on this machine would have them; empty in a listing.
    """

    run_id: str
    name: str
    platform: str
    state: str
    link: str
    pipeline: str | None = None
    experiment: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None
    finished: datetime | None = None
    reason: str | None = None
    steps: tuple[RunStep, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the state will stay as it is."""
        return self.state in ENDED

    @property
    def failed_steps(self) -> list[RunStep]:
        """The steps that failed."""
        return [step for step in self.steps if step.state == FAILED]

    @property
    def outcome(self) -> str:
        """The state; but `halted` where nothing failed but `enforce_decision`, which runs in the branch of a decision
        to halt."""
        enforced = [re.fullmatch(r"enforce[-_]decision([-_]\d+)?", step.name) for step in self.failed_steps]
        return HALTED if self.state == FAILED and enforced and all(enforced) else self.state

    @property
    def exit_code(self) -> int:
        """0 succeeded, 3 halted by the decision, 1 anything else, as for a run on this machine."""
        return {SUCCEEDED: 0, HALTED: 3}.get(self.outcome, 1)


@dataclass(frozen=True)
class Schedule:
    """A schedule by which a service starts runs.

    Attributes:
        schedule_id: What the service knows it by.
        name: What a person knows it by.
        when: When it starts runs: `0 6 * * 1` (minute, hour, day, month and weekday, in the service's time zone unless
            it says another) or `every 6 h`.
        active: Whether it starts runs now.
        link: Where the service's user interface shows it.
        next_run: When the next run starts, where the service says.
    """

    schedule_id: str
    name: str
    when: str
    active: bool
    link: str
    next_run: datetime | None = None


class Service(Protocol):
    """What runs pipelines elsewhere.

    Every method raises `InputError` for what is known to be wrong before anything is sent, `MissingInputError` for a
    run that is not there, and `ServiceError` for what the service refuses or fails at: what is wrong, and a hint that
    says what to do. `submit` and `schedule` raise `UncertainError` where nobody knows whether something was made.
    """

    platform: str

    def submit(
        self,
        spec_path: str | Path,
        parameters: Mapping[str, Any],
        *,
        run_name: str | None = None,
        experiment: str | None = None,
        labels: Mapping[str, str] | None = None,
        caching: bool | None = None,
    ) -> Run:
        """Start a run of a compiled pipeline.

        Args:
            spec_path: The pipeline as compiled for this platform.
            parameters: The pipeline's parameters, with the types that it declares.
            run_name: The run's name. Default: the pipeline's name and the time.
            experiment: The experiment that it belongs to; it is made when it is not there.
            labels: Labels of the run, beside those of the settings.
            caching: Whether steps may be reused; None leaves it to what was compiled.
        """

    def get(self, run_id: str) -> Run:
        """Return a run with its steps."""

    def list(self, *, experiment: str | None = None, limit: int = 20) -> Sequence[Run]:
        """Return the latest runs, the newest first, without their steps."""

    def cancel(self, run_id: str) -> Run:
        """Ask for a run to end, and return it as it is now; one that has ended is left alone."""

    def schedule(
        self,
        spec_path: str | Path,
        parameters: Mapping[str, Any],
        *,
        name: str,
        cron: str | None = None,
        every: timedelta | None = None,
        experiment: str | None = None,
        labels: Mapping[str, str] | None = None,
        caching: bool | None = None,
        max_concurrent_runs: int = 1,
    ) -> Schedule:
        """Start runs of a compiled pipeline by a schedule.

        Args:
            spec_path: As for `submit`.
            parameters: As for `submit`.
            name: The schedule's name, which no other schedule has.
            cron: Minute, hour, day, month and weekday, as in `0 6 * * 1`; for Vertex AI also with a time zone before
                it, as in `TZ=Europe/Berlin 0 6 * * 1`.
            every: The time from one run to the next, in place of `cron`; Vertex AI, which knows cron alone, refuses it.
            experiment: As for `submit`.
            labels: As for `submit`.
            caching: As for `submit`.
            max_concurrent_runs: How many of its runs may be under way at once.
        """

    def schedules(self) -> Sequence[Schedule]:
        """Return the schedules, the newest first."""

    def unschedule(self, schedule_id: str) -> None:
        """Remove a schedule; the runs that it started stay."""
