"""`hallmark compile`: a pipeline for a platform, or the generated files of this checkout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kfp_hallmark.errors import HallmarkError, InputError


def compile_(
    pipeline: Annotated[
        str | None,
        typer.Argument(help="A pipeline's name, module:function, or the path of a compiled pipeline's YAML."),
    ] = None,
    platform: Annotated[str | None, typer.Option(help="Where it is to run: kubeflow or vertex.")] = None,
    registry: Annotated[str | None, typer.Option(help="Where our images are. Default: of the settings.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="File that pins images. Default: of the settings, images.lock.json.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="Default: HALLMARK_SETTINGS, else hallmark.toml if it is here.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: standard output.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Without PIPELINE: change nothing; fail if a file is out of date.")
    ] = False,
) -> None:
    """Compile a pipeline for a platform, its images pinned; without PIPELINE, write this checkout's generated files."""
    if pipeline is None:
        if any((platform, registry, images, settings, output)):
            raise InputError("PIPELINE must be given to compile for a platform; got none.")
        _check_checkout() if check else _write_checkout()
        return
    if check:
        raise InputError("--check must be without PIPELINE: it is for the generated files of this checkout.")
    if platform is None:
        raise InputError("--platform must be kubeflow or vertex; got none.")
    _compile(pipeline, platform, registry, images, settings, output)


def _compile(
    name: str, platform: str, registry: str | None, images: Path | None, file: Path | None, output: Path | None
) -> None:
    from kfp_hallmark import compiling, settings
    from kfp_hallmark.contracts.documents import writing

    if output is not None and output.exists() and not output.is_file():
        raise InputError(f"--output must be a file, or not there yet; got {str(output)!r}.")
    loaded = settings.load(file)
    pipeline = compiling.find_pipeline(name)
    content = compiling.compile_for(pipeline, platform, loaded, registry, images)
    console = Console(stderr=True, highlight=False)
    if platform == compiling.VERTEX:
        for unused in compiling.unused_machines(pipeline, loaded):
            console.print(f"[yellow]Note:[/yellow] vertex.machines.{unused} names no size and no component of {name}.")
    if output is None:
        sys.stdout.buffer.write(content)
        return
    with writing(output) as temporary:
        temporary.write_bytes(content)
    console.print(f"wrote {output} [dim]({len(content):,} bytes)[/dim]")


def _check_checkout() -> None:
    from kfp_hallmark import compiling
    from kfp_hallmark.resources import checkout

    root = checkout()
    files = compiling.stale(root)
    for path in files:
        print(f"out of date: {path.relative_to(root)}")
    if files:
        raise HallmarkError(f"Generated files must be up to date; {len(files)} are not.", "Run `hallmark compile`.")
    print("Generated files are up to date.")


def _write_checkout() -> None:
    from kfp_hallmark import compiling
    from kfp_hallmark.resources import checkout

    root = checkout()
    for path in compiling.write(root):
        print(f"{'wrote' if path.exists() else 'removed'} {path.relative_to(root)}")
