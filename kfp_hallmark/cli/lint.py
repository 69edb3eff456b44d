"""`hallmark lint`: what in a compiled pipeline will not run, where and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kfp_hallmark.errors import InputError, nearest

FORMATS = ("text", "json", "github")


def lint(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Compiled pipelines, ours or not.")],
    backend: Annotated[
        list[str] | None,
        typer.Option(help="kubeflow, vertex, local or docker; may be given again. Default: all."),
    ] = None,
    version: Annotated[
        list[str] | None,
        typer.Option(help="A version of Kubeflow Pipelines, 2.x; may be given again. Default: all supported."),
    ] = None,
    select: Annotated[str, typer.Option(help="Codes of the rules to apply, with commas. Default: all.")] = "",
    ignore: Annotated[str, typer.Option(help="Codes of rules to leave out, with commas.")] = "",
    format_: Annotated[str, typer.Option("--format", help="text, json or github.")] = "text",
    strict: Annotated[bool, typer.Option("--strict", help="Fail at warnings too.")] = False,
) -> None:
    """Say what in compiled pipelines will not run on which backend and version; see docs/lint.md."""
    from kfp_hallmark import lint as linting
    from kfp_hallmark.lint import formats

    if format_ not in FORMATS:
        raise InputError(f"--format must be one of {', '.join(FORMATS)}; got {format_!r}.")
    backends = _backends(backend or [])
    if version and backends and linting.KUBEFLOW not in backends:
        raise InputError("--version must be with the backend kubeflow: other backends have no versions.")
    versions = tuple(sorted({linting.version(text) for text in version or []})) or linting.SUPPORTED
    rules = linting.chosen(_codes(select), _codes(ignore))
    results = []
    for spec in [linting.read(file) for file in files]:
        target = linting.Target(backends, versions) if backends else linting.meant_for(spec, versions)
        results.append(formats.Checked(spec.file, target, linting.check(spec, target, rules), bool(backends)))
    if format_ == "text":
        formats.print_text(results, Console())
    elif output := formats.to_json(results) if format_ == "json" else formats.to_github(results):
        print(output)
    failing = [linting.Severity.ERROR, *([linting.Severity.WARNING] if strict else [])]
    if any(formats.count(results, severity) for severity in failing):
        raise typer.Exit(1)


def _backends(names: list[str]) -> tuple[str, ...]:
    from kfp_hallmark.lint import BACKENDS

    for name in names:
        if name not in BACKENDS:
            raise InputError(
                f"--backend must be one of {', '.join(BACKENDS)}; got {name!r}.", nearest(name, list(BACKENDS))
            )
    return tuple(name for name in BACKENDS if name in names)


def _codes(text: str) -> list[str]:
    return [code.strip() for code in text.split(",") if code.strip()]
