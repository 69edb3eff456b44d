"""`hallmark audit`: read the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kfp_hallmark.contracts import audit

app = typer.Typer(no_args_is_help=True, help="Verify and show the audit log.")

File = Annotated[Path, typer.Argument(help="The audit log.")]


@app.command()
def verify(
    file: File,
    expect: Annotated[
        str | None, typer.Option(help="A hash that must be in the log: it shows nothing was cut.")
    ] = None,
) -> None:
    """Follow the chain of hashes from the first line to the last."""
    count, last = audit.verify(file, expect)
    print(f"{count} {'line' if count == 1 else 'lines'}, unbroken. The last hash is {last}")


@app.command()
def show(file: File) -> None:
    """Verify the log and print a line for each record."""
    for line in audit.records(file):
        record = line["record"]
        print(f"{line['index']:>5}  {line['time']}  {record.get('pipeline', '')}  {record.get('state', '')}")
