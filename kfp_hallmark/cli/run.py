"""`hallmark run`: run a pipeline on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kfp_hallmark.cli.parameters import Given, Params, gather_here
from kfp_hallmark.errors import InputError, nearest

if TYPE_CHECKING:
    from kfp_hallmark.runner.parameters import Pipeline


def run(
    pipeline: Annotated[str, typer.Argument(help="A pipeline's name, or the path of a compiled pipeline's YAML.")],
    params: Params = None,
    given: Given = None,
    platform: Annotated[str, typer.Option(help="Where steps run: local or docker.")] = "local",
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: a new one in .hallmark/runs.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run every step, also where nothing has changed.")] = False,
) -> None:
    """Run a pipeline. Exit codes: 0 done, 1 error, 2 wrong usage, 3 halted by the decision."""
    from kfp_hallmark import runner

    found = _pipeline(pipeline)
    result = runner.run(found, gather_here(found, params, given), platform=platform, output=output, reuse=not fresh)
    raise typer.Exit(result.exit_code)


def _pipeline(name: str) -> Pipeline:
    import kfp_hallmark.pipelines as pipelines

    if name in pipelines.__all__:
        return getattr(pipelines, name)
    path = Path(name)
    if path.suffix or path.is_file():
        return path
    raise InputError(
        f"PIPELINE must be a pipeline's name or the path of a YAML file; got {name!r}.",
        nearest(name, list(pipelines.__all__)),
    )
