"""`hallmark image`: build, push and pin the images of the environments."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console

from kfp_hallmark.environments import ENVIRONMENTS, REGISTRY, REGISTRY_VARIABLE, images, lock
from kfp_hallmark.errors import InputError
from kfp_hallmark.settings import Settings, load

app = typer.Typer(no_args_is_help=True, help="Build, push and pin the images of the environments.")

Names = Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(ENVIRONMENTS)}. Default: all.")]
Registry = Annotated[str | None, typer.Option(help="Where the images go. Default: of the settings, HALLMARK_REGISTRY.")]
File = Annotated[Path | None, typer.Option("--settings", help="Default: HALLMARK_SETTINGS, else hallmark.toml here.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print what docker prints.")]


@app.command()
def build(
    names: Names = None,
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
    verbose: Verbose = False,
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


@app.command()
def push(
    names: Names = None,
    registry: Registry = None,
    settings: File = None,
    verbose: Verbose = False,
) -> None:
    """Push images to a registry, and print their names there."""
    place = _registry(registry, load(settings))
    console = Console(stderr=True, highlight=False)
    for name in names or ENVIRONMENTS:
        report = (lambda line: console.print(line, markup=False)) if verbose else (lambda line: None)
        with console.status(f"Pushing the image of {name} ..."):
            reference = images.push(name, place, report)
        print(reference)


@app.command("lock")
def lock_images(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Environments, and other images that pipelines use. Default: all environments."),
    ] = None,
    registry: Registry = None,
    settings: File = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: of the settings, images.lock.json.")
    ] = None,
) -> None:
    """Pin images by the digests that their registry has, in the file that `hallmark compile` reads.

    What the file pins already and is not named stays.
    """
    loaded = load(settings)
    path = output or loaded.path(loaded.images.lock)
    pins = lock.read(path) if path.exists() else {}
    for name in names or ENVIRONMENTS:
        reference = images.in_registry(name, _registry(registry, loaded)) if name in ENVIRONMENTS else name
        if lock.is_pinned(reference):
            raise InputError(f"An image to pin must be named by a tag; {reference!r} is by a digest already.")
        pins[reference] = images.pinned(reference)
        print(pins[reference])
    lock.write(path, pins)


def _registry(given: str | None, settings: Settings) -> str:
    return given or settings.images.registry or os.environ.get(REGISTRY_VARIABLE) or REGISTRY
