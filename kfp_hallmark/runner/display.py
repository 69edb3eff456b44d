"""Show a run on the screen: a live table on a terminal, a line a step elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from pathlib import Path
from typing import IO, Any, cast

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from kfp_hallmark.runner.logs import last_lines
from kfp_hallmark.runner.record import (
    FAILED,
    HALTED,
    PENDING,
    REUSED,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    RunResult,
    Step,
)
from kfp_hallmark.runner.recorder import Recorder

LOG_LINES = 5
"""How much of a failed step's log is shown."""

_SIGNS = {PENDING: "·", RUNNING: "▸", SUCCEEDED: "✓", REUSED: "✓", FAILED: "✗", SKIPPED: "–"}
_WORDS = {SUCCEEDED: "ok"}
_COLOURS = {
    RUNNING: "cyan",
    SUCCEEDED: "green",
    REUSED: "green",
    FAILED: "red",
    HALTED: "yellow",
    "pass": "green",
    "release": "green",
    "warn": "yellow",
    "inconclusive": "magenta",
    "fail": "red",
    "halt": "red",
}
_QUIET = "bright_black"


class Screen:
    """A file to print to that, once it takes nothing more (a closed pipe, a full disk), is silent."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write where that is possible."""
        with self._forgiving():
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush where that is possible."""
        with self._forgiving():
            self._file.flush()

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):
            # What is left in the buffer goes nowhere when the process ends.
            with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), self._file.fileno())


class StepsDisplay:
    """Shows the steps of a run, wherever it runs, on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # Where it writes now, whatever becomes of the standard output.
        console.file = cast(IO[str], Screen(console.file))
        self._live: Live | None = None

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, style=_QUIET, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def live(self, steps: Callable[[], Sequence[Step]], elapsed: Callable[[Step], float | None]) -> Iterator[None]:
        """Show the steps inside the block, on a terminal as a table that follows them.

        Args:
            steps: Returns them as they are now.
            elapsed: Returns the seconds that a step took, or has been running.
        """
        if not self._console.is_terminal:
            yield
            return
        live = Live(
            console=self._console,
            get_renderable=lambda: _table(steps(), elapsed),
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with live as self._live:
            yield
            live.refresh()
        self._live = None

    def step(self, step: Step) -> None:
        """Tell of a step that has begun or ended."""
        if self._live is not None or self._console.is_terminal or step.state == RUNNING:
            return
        word = _WORDS.get(step.state, step.state)
        text = Text(f"{word:<7}", _colour(step.state)).append(f" {step.name}", "default")
        text.append(f"  {step.seconds:.1f} s" if step.seconds is not None else "", _QUIET)
        if step.verdict:
            text.append("  ").append(step.verdict, _colour(step.verdict))
        self._console.print(text, soft_wrap=True)

    def outcome(self, status: str, seconds: float | None) -> None:
        """Tell what came of the run."""
        took = f" in {seconds:.1f} s" if seconds is not None else ""
        self._console.print()
        self._console.print(Text(status.capitalize(), f"bold {_colour(status)}").append(took, _QUIET), soft_wrap=True)

    def line(self, name: str, value: str, style: str = "default") -> None:
        """Tell one thing of the run."""
        self._console.print(Text(f"{name:<9}", _QUIET).append(value, style), soft_wrap=True)


class Display(StepsDisplay):
    """Tells of a run on this machine."""

    def __init__(self, console: Console, result: RunResult) -> None:
        super().__init__(console)
        self._result = result

    @contextmanager
    def watching(self, recorder: Recorder) -> Iterator[None]:
        """Show the steps inside the block."""
        with self.live(lambda: list(self._result.steps), recorder.elapsed):
            yield

    def conclusion(self) -> None:
        """Tell what came of the run, and where to read on."""
        result = self._result
        self.outcome(result.status, result.seconds)
        if result.reason:
            self.line("reason", result.reason)
        if result.status == FAILED:
            for step in result.failed_steps:
                self._failure(step)
        if result.decision:
            self.line("decision", str(result.decision["outcome"]), _colour(str(result.decision["outcome"])))
            for reason in result.decision["reasons"]:
                self.line("", reason)
        if result.model and result.model["version"]:
            self.line("model", f"{result.model['name']} version {result.model['version']}  {result.model['uri'] or ''}")
        self.line("report", _near(result.page))

    def _failure(self, step: Step) -> None:
        self.line("step", step.name)
        for name, line in zip(chain(["because"], repeat("")), (step.reason or "").splitlines(), strict=False):
            self.line(name, line)
        if step.log and (path := self._result.directory / step.log).is_file():
            for line in last_lines(path, LOG_LINES):
                self._console.print(f"  [{_QUIET}]│[/] {escape(line)}", highlight=False, soft_wrap=True)
            self.line("log", _near(path))


def _table(steps: Sequence[Step], elapsed: Callable[[Step], float | None]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for step in steps:
        seconds = elapsed(step)
        state = step.state
        table.add_row(
            Text(f"{_SIGNS.get(state, '·')} {step.name}", _QUIET if state in (PENDING, SKIPPED) else "default"),
            Text(state, _colour(state)),
            Text("" if seconds is None else f"{seconds:.1f} s", _QUIET),
            Text(step.verdict, _colour(step.verdict)),
        )
    return table


def _colour(word: str) -> str:
    return _COLOURS.get(word, _QUIET)


def _near(path: Path) -> str:
    """Return a path as short as it can be written from here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
