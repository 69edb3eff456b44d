"""`hallmark image`: build the images of the environments."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console

from kfp_hallmark.environments import ENVIRONMENTS, REGISTRY, REGISTRY_VARIABLE, images

app = typer.Typer(no_args_is_help=True, help="Build the images of the environments.")


@app.callback()
def _group() -> None:
    """Make `build` a subcommand, though it is the only one."""


@app.command()
def build(
    names: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(ENVIRONMENTS)}. Default: all.")] = None,
    base: Annotated[
        str | None,
        typer.Option(envvar="HALLMARK_BASE_IMAGE", help="Image to build on. Default: Python 3.11 on Debian, slim."),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            envvar=["HALLMARK_CA", "SSL_CERT_FILE"],
            help="Certificates to trust while building; they stay out of the image.",
        ),
    ] = None,
    registry: Annotated[
        str | None, typer.Option(envvar=REGISTRY_VARIABLE, help=f"Prefix of the names. Default: {REGISTRY}.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print what docker prints.")] = False,
) -> None:
    """Build images, and print their names."""
    if registry:
        os.environ[REGISTRY_VARIABLE] = registry
    console = Console(stderr=True, highlight=False)
    for name in names or ENVIRONMENTS:
        started = monotonic()
        report = (lambda line: console.print(line, markup=False)) if verbose else (lambda line: None)
        with console.status(f"Building the image of {name} ..."):
            reference = images.build(name, base, ca, report)
        console.print(f"[dim]built in {monotonic() - started:.0f} s[/dim]")
        print(reference)
