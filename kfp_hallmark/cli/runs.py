"""`hallmark runs`: look after the runs on Kubeflow or Vertex AI."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeAlias

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from kfp_hallmark.settings import Settings
    from kfp_hallmark.submission import Run, Service

INTERRUPTED = 130
"""The exit code of a wait that Ctrl-C ended."""

WIDE = 1000
"""The width of a table that is no screen's."""

app = typer.Typer(no_args_is_help=True, help="Look after the runs and schedules on Kubeflow or Vertex AI.")

Platform: TypeAlias = Annotated[str, typer.Option(help="Where they run: kubeflow or vertex.")]
SettingsFile: TypeAlias = Annotated[
    Path | None, typer.Option(help="Default: HALLMARK_SETTINGS, else hallmark.toml if it is here.")
]
RunId: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The run's id.")]


@app.command("list")
def list_runs(
    platform: Platform,
    experiment: Annotated[str | None, typer.Option(help="Only the runs of this experiment.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    settings: SettingsFile = None,
) -> None:
    """List the latest runs."""
    runs = _service(platform, settings).list(experiment=experiment, limit=limit)
    rows = [(run.state, run.name, run.experiment or "", _time(run.created), run.run_id) for run in runs]
    _table(("state", "run", "experiment", "submitted", "id"), rows, "There are no runs.")


@app.command()
def show(run_id: RunId, platform: Platform, settings: SettingsFile = None) -> None:
    """Show a run and its steps."""
    run = _service(platform, settings).get(run_id)
    console = Console(highlight=False)
    show_run(console, run)
    if run.steps:
        console.print()
        rows = [
            (step.state, step.name, _time(step.started), _time(step.finished), step.reason or "") for step in run.steps
        ]
        _table(("state", "step", "began", "ended", "why"), rows, "")


@app.command()
def wait(run_id: RunId, platform: Platform, settings: SettingsFile = None) -> None:
    """Show the steps of a run until it has ended. Exit codes: as of `hallmark run`; Ctrl-C leaves the run running."""
    from kfp_hallmark import settings as known

    wait_for(platform, known.load(settings), run_id, Console(highlight=False))


@app.command()
def cancel(run_id: RunId, platform: Platform, settings: SettingsFile = None) -> None:
    """Ask for a run to end."""
    tell(Console(highlight=False), run=run_id, state=_service(platform, settings).cancel(run_id).outcome)


@app.command()
def schedules(platform: Platform, settings: SettingsFile = None) -> None:
    """List the schedules."""
    found = _service(platform, settings).schedules()
    rows = [
        ("active" if entry.active else "paused", entry.name, entry.when, _time(entry.next_run), entry.schedule_id)
        for entry in found
    ]
    _table(("state", "schedule", "when", "next run", "id"), rows, "There are no schedules.")


@app.command()
def unschedule(
    schedule_id: Annotated[str, typer.Argument(metavar="ID", help="The schedule's id.")],
    platform: Platform,
    settings: SettingsFile = None,
) -> None:
    """Remove a schedule; the runs that it started stay."""
    _service(platform, settings).unschedule(schedule_id)
    tell(Console(highlight=False), removed=schedule_id)


def wait_for(platform: str, settings: Settings, run_id: str, console: Console) -> NoReturn:
    """Follow a run to its end, and exit as it says; Ctrl-C ends the wait alone."""
    from kfp_hallmark import submission
    from kfp_hallmark.errors import ServiceError

    again = submission.runs_command(settings, platform, "wait", run_id)
    try:
        run = submission.follow(submission.service(platform, settings), run_id, console=console)
    except KeyboardInterrupt:
        console.print()
        console.print("The run goes on; this took only the wait away.")
        tell(console, wait=again, end=submission.runs_command(settings, platform, "cancel", run_id))
        raise typer.Exit(INTERRUPTED) from None
    except ServiceError as error:
        hint = "The run goes on." if isinstance(error, submission.TransientError) or not error.hint else error.hint
        raise ServiceError(error.message, f"{hint} Take the wait up again: {again}") from None
    raise typer.Exit(run.exit_code)


def show_run(console: Console, run: Run) -> None:
    """Tell what there is to know of a run but its steps."""
    tell(
        console,
        run=run.name,
        id=run.run_id,
        state=run.outcome,
        pipeline=run.pipeline,
        experiment=run.experiment,
        labels=", ".join(f"{name}={value}" for name, value in run.labels.items()),
        reason=run.reason,
        link=run.link,
    )


def tell(console: Console, **lines: str | None) -> None:
    """Print names with their values; a value that is not there is left out."""
    for name, value in lines.items():
        if value:
            console.print(Text(f"{name:<11}", "bright_black").append(value, "default"), soft_wrap=True)


def _service(platform: str, file: Path | None) -> Service:
    from kfp_hallmark import settings, submission

    return submission.service(platform, settings.load(file))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    console = Console(highlight=False)
    if not rows:
        console.print(empty)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    if not console.is_terminal:
        console.width = WIDE
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    console.print(table)


def _time(value: datetime | None) -> str:
    return f"{value.astimezone():%Y-%m-%d %H:%M:%S}" if value else ""
