"""`hallmark env`: make, show and use the local environments."""

from __future__ import annotations

import os
import shutil
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console

from kfp_hallmark.environments import ENVIRONMENTS, local

app = typer.Typer(no_args_is_help=True, help="Make, show and use the local environments.")

Name = Annotated[str, typer.Argument(help=f"One of {', '.join(ENVIRONMENTS)}.")]
Names = Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(ENVIRONMENTS)}. Default: all.")]


@app.command()
def sync(names: Names = None) -> None:
    """Make the environments that are missing or broken."""
    console = Console()
    for name in names or ENVIRONMENTS:
        started = monotonic()
        with console.status(f"The environment {name} ..."):
            local.ensure(name, console.print)
        console.print(f"The environment {name} is ready [dim]({monotonic() - started:.1f} s)[/dim].")


@app.command("list")
def list_all() -> None:
    """Show the environments as this machine has them."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("environment", "state", "python", "packages", "size", "lock", "stale copies"):
        table.add_column(column, justify="right" if column in ("packages", "size") else "left", no_wrap=True)
    for name in ENVIRONMENTS:
        found = local.look(name)
        size = f"{_bytes(found) / 1e6:,.0f} MB" if found.state != "missing" else ""
        lock = found.digest.removeprefix("sha256:")[:12]
        stale = str(len(found.stale) or "")
        table.add_row(name, found.state, local.PYTHON, str(found.packages), size, lock, stale)
    console = Console()
    console.print(table)
    console.print(f"\nIn {local.root()}", soft_wrap=True, highlight=False)


@app.command()
def run(name: Name, command: Annotated[list[str], typer.Argument(help="The command, after `--`.")]) -> None:
    """Run a command in an environment, with its `python` and with this package; made first when missing."""
    local.ensure(name, lambda line: typer.echo(line, err=True))
    environment = os.environ | local.variables(name)
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise typer.BadParameter(f"no command {command[0]!r} in the environment {name} or on PATH")
    os.execve(program, command, environment)


@app.command()
def prune() -> None:
    """Remove what is no longer used: environments of other locks, links to other installations of this package."""
    for folder in local.prune():
        print(f"removed {folder}")


def _bytes(environment: local.LocalEnvironment) -> int:
    return sum(path.lstat().st_size for path in environment.folder.rglob("*"))
