"""Follow a run elsewhere to its end, and show it as a run on this machine is shown."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from rich.console import Console

from kfp_hallmark.runner.display import StepsDisplay
from kfp_hallmark.runner.record import SKIPPED, SUCCEEDED, Step
from kfp_hallmark.submission.service import ENDED, Run, RunStep, Service, TransientError

POLL_SECONDS = 5.0
"""The time between two looks at a run."""

PATIENCE_SECONDS = 300.0
"""How long looks in a row may fail because the service does not answer."""


def follow(service: Service, run_id: str, *, console: Console | None = None) -> Run:
    """Wait until a run has ended, and return it.

    Whatever ends the wait, the run goes on; following it again takes the wait up.

    Args:
        service: Where it runs.
        run_id: What the service knows it by.
        console: Where to show its steps. Default: the standard output.

    Raises:
        MissingInputError: If there is no such run.
        ServiceError: If the service refuses, or does not answer for about five minutes.
    """
    display = _Display(console or Console())
    run = service.get(run_id)
    display.show(run)
    with display.live(display.steps, display.elapsed):
        while not run.ended:
            time.sleep(POLL_SECONDS)
            run = _look(service, run, display)
            display.show(run)
    display.conclusion(run)
    return run


def _look(service: Service, before: Run, display: _Display) -> Run:
    given_up = time.monotonic() + PATIENCE_SECONDS
    told = False
    while True:
        try:
            return service.get(before.run_id)
        except TransientError as error:
            if time.monotonic() >= given_up:
                raise
            if not told:
                display.say(f"{error.message} Waiting for it.")
            told = True
            time.sleep(POLL_SECONDS)


class _Display(StepsDisplay):
    """Tells of a run that a service runs."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._steps: dict[str, RunStep] = {}

    def show(self, run: Run) -> None:
        """Take in what is known now, and tell of the steps that have ended since."""
        before, self._steps = self._steps, {step.name: step for step in run.steps}
        for step in run.steps:
            known = before.get(step.name)
            if step.state in ENDED - {SKIPPED} and (known is None or known.state != step.state):
                self.step(_as_shown(step))

    def steps(self) -> list[Step]:
        return [_as_shown(step) for step in self._steps.values()]

    def elapsed(self, step: Step) -> float | None:
        return step.seconds

    def conclusion(self, run: Run) -> None:
        self.outcome(run.outcome, _seconds(run.created, run.finished))
        if run.reason:
            self.line("reason", run.reason)
        if run.outcome != SUCCEEDED:
            for step in run.failed_steps:
                self.line("step", step.name)
                if step.reason:
                    self.line("because", step.reason)
        self.line("link", run.link)


def _as_shown(step: RunStep) -> Step:
    running = step.started is not None and step.finished is None and step.state not in ENDED
    seconds = _seconds(step.started, datetime.now(UTC) if running else step.finished)
    return Step(step.name, "", state=step.state, seconds=seconds, reason=step.reason)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())
