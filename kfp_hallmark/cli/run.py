"""`hallmark run`: run a pipeline on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kfp_hallmark.errors import InputError, MissingInputError, nearest

if TYPE_CHECKING:
    from kfp_hallmark.runner.parameters import Pipeline


def run(
    pipeline: Annotated[str, typer.Argument(help="A pipeline's name, or the path of a compiled pipeline's YAML.")],
    params: Annotated[
        Path | None, typer.Option(help="YAML file of parameters; its relative paths start there.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter; lists and dicts as YAML. Over --params."),
    ] = None,
    platform: Annotated[str, typer.Option(help="Where steps run: local or docker.")] = "local",
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: a new one in .hallmark/runs.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run every step, also where nothing has changed.")] = False,
) -> None:
    """Run a pipeline. Exit codes: 0 done, 1 error, 2 wrong usage, 3 halted by the decision."""
    from kfp_hallmark import runner

    found = _pipeline(pipeline)
    parameters = _from_file(params) if params else {}
    texts = dict(_setting(text) for text in settings or [])
    parameters |= runner.resolve_paths(runner.parse_parameters(found, texts), Path.cwd())
    result = runner.run(found, parameters, platform=platform, output=output, reuse=not fresh)
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


def _from_file(path: Path) -> dict[str, Any]:
    """Return the parameters in a file, with relative paths made absolute from the file's folder."""
    import yaml

    from kfp_hallmark import runner

    if not path.is_file():
        raise MissingInputError(f"--params must be a file; got {str(path)!r}.")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"--params must be a YAML file; {str(path)!r} is not.") from error
    if not isinstance(value, dict):
        raise InputError(f"--params must hold names and values; {str(path)!r} holds {type(value).__name__}.")
    for name in value:
        if not isinstance(name, str):
            raise InputError(f"--params must hold names that are text; {str(path)!r} holds {name!r}.", "Quote it.")
    return runner.resolve_paths(value, path.absolute().parent)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"--set must be NAME=VALUE; got {text!r}.")
    return name, value
