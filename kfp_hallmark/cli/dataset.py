"""`hallmark dataset`: sign data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, help="Sign data; see docs/contracts/dataset_signature.md.")

SIGN = "kfp_hallmark.contracts.dataset_signature:sign_file"


@app.callback()
def main() -> None:
    """Keep `sign` a command of its own."""


@app.command()
def sign(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A file, or a folder.")],
    key: Annotated[Path, typer.Option(help="An Ed25519 private key in PEM, not encrypted.")],
) -> None:
    """Write DATA.sig.json beside the data: who answers for which files."""
    from kfp_hallmark.environments.calling import call

    arguments = {"path": str(data), "key_path": str(key)}
    found = call("ml", SIGN, arguments, report=Console(stderr=True, highlight=False).print)
    files = "1 file" if found["files"] == 1 else f"{found['files']:,} files"
    print(f"{found['signature']}: {files}, signed by {found['key']}.")
