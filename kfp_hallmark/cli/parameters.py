"""The parameters of a run, as `hallmark run` and `hallmark submit` take them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from kfp_hallmark.contracts.documents import NO_YAML
from kfp_hallmark.errors import InputError, MissingInputError

if TYPE_CHECKING:
    from kfp_hallmark.runner.parameters import Pipeline

Params: TypeAlias = Annotated[Path | None, typer.Option(help="YAML file of parameters.")]

Given: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter; lists and dicts as YAML. Over --params."),
]


def gather(pipeline: Pipeline, file: Path | None, given: Sequence[str] | None) -> dict[str, Any]:
    """Return the parameters in a file with those given as `NAME=VALUE` over them."""
    from kfp_hallmark import runner

    return (_read(file) if file else {}) | runner.parse_parameters(pipeline, _texts(given))


def gather_here(pipeline: Pipeline, file: Path | None, given: Sequence[str] | None) -> dict[str, Any]:
    """Return the same for a run on this machine: relative paths start in the file's folder, or the working folder."""
    from kfp_hallmark import runner

    parameters = runner.resolve_paths(_read(file), file.absolute().parent) if file else {}
    return parameters | runner.resolve_paths(runner.parse_parameters(pipeline, _texts(given)), Path.cwd())


def _read(path: Path) -> dict[str, Any]:
    import yaml

    from kfp_hallmark.runner.parameters import read_yaml

    if not path.is_file():
        raise MissingInputError(f"--params must be a file; got {str(path)!r}.")
    try:
        value = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, *NO_YAML) as error:
        raise InputError(f"--params must be a YAML file; {str(path)!r} is not.") from error
    if not isinstance(value, dict):
        raise InputError(f"--params must hold names and values; {str(path)!r} holds {type(value).__name__}.")
    for name in value:
        if not isinstance(name, str):
            raise InputError(f"--params must hold names that are text; {str(path)!r} holds {name!r}.", "Quote it.")
    return value


def _texts(given: Sequence[str] | None) -> dict[str, str]:
    return dict(split("--set", text) for text in given or [])


def split(option: str, text: str) -> tuple[str, str]:
    """Return the name and the value in an option's `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"{option} must be NAME=VALUE; got {text!r}.")
    return name, value
