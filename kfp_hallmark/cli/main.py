"""The command `hallmark`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from kfp_hallmark import __version__
from kfp_hallmark.cli import audit, contract, dataset, env, image, new, run, runs, serve, submit
from kfp_hallmark.cli import compile as compiling
from kfp_hallmark.cli import lint as linting
from kfp_hallmark.errors import HallmarkError, InputError, nearest

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

    from kfp_hallmark.signature import Field

ERROR, USAGE = 1, 2

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Governed machine learning on Kubeflow Pipelines: every model leaves with evidence.",
)
app.command("run")(run.run)
app.command("submit")(submit.submit)
app.add_typer(runs.app, name="runs")
app.command("serve")(serve.serve)
app.command("compile")(compiling.compile_)
app.command("lint")(linting.lint)
app.add_typer(contract.app, name="contract")
app.add_typer(dataset.app, name="dataset")
app.add_typer(env.app, name="env")
app.add_typer(image.app, name="image")
app.add_typer(audit.app, name="audit")
app.add_typer(new.app, name="new")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command("list")
def list_all() -> None:
    """List the components, by stage, and the pipelines."""
    from rich.table import Table

    import kfp_hallmark.components as components
    import kfp_hallmark.pipelines as pipelines

    console = Console()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("stage", "component", "environment", "size", "what it does"):
        table.add_column(column, no_wrap=column != "what it does")
    previous = None
    for name in sorted(components.__all__, key=lambda name: (new.STAGES.index(components.STAGES[name]), name)):
        component = getattr(components, name)
        stage = components.STAGES[name]
        shown = stage if stage != previous else ""
        table.add_row(shown, name, component.environment, component.size, _summary(component))
        previous = stage
    console.print(table)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("pipeline", "what it does"):
        table.add_column(column, no_wrap=column == "pipeline")
    for name in pipelines.__all__:
        table.add_row(name, _summary(getattr(pipelines, name)))
    console.print()
    console.print(table)


def _summary(component: BaseComponent) -> str:
    """Return the first sentence of what a component says of itself."""
    return " ".join((component.description or "").partition("\n\n")[0].partition("\n")[0].split())


@app.command()
def show(name: Annotated[str, typer.Argument(help="A component or a pipeline.")]) -> None:
    """Show what a component or a pipeline takes and gives."""
    import kfp_hallmark.components as components
    import kfp_hallmark.pipelines as pipelines
    from kfp_hallmark.signature import signature

    if name in components.__all__:
        found = getattr(components, name)
    elif name in pipelines.__all__:
        found = getattr(pipelines, name)
    else:
        known = [*components.__all__, *pipelines.__all__]
        raise InputError(f"NAME must be a component or a pipeline; got {name!r}.", nearest(name, known))
    console = Console()
    console.print(f"[bold]{name}[/bold]\n")
    for part in (found.description or "").split("\n\n"):
        console.print(" ".join(part.split()), highlight=False)
    spec = found.pipeline_spec
    _show_fields(console, "inputs", signature(spec.root.input_definitions))
    _show_fields(console, "outputs", signature(spec.root.output_definitions))


def _show_fields(console: Console, title: str, fields: list[Field]) -> None:
    """Print each field on a line of its own, and below it what it is, wrapped to the width that there is."""
    from rich.markup import escape
    from rich.padding import Padding

    if fields:
        console.print(f"\n[dim]{title}[/dim]")
    for field in fields:
        need = "required" if field.required else "optional" if field.default is None else f"default {field.default!r}"
        told = field.type if title == "outputs" else f"{field.type}  {need}"
        console.print(Padding(f"[bold]{field.name}[/bold]  {escape(told)}", (0, 0, 0, 2), expand=False))
        console.print(Padding(escape(field.description), (0, 0, 0, 6), expand=False), highlight=False)


def main() -> None:
    """Run the command; what goes wrong outside the code, such as a full disk, is told without a traceback."""
    try:
        app()
    except HallmarkError as error:
        _tell(error.message, error.hint)
        sys.exit(USAGE if isinstance(error, InputError) else ERROR)
    except OSError as error:
        _tell(str(error), None)
        sys.exit(ERROR)


def _tell(message: str, hint: str | None) -> None:
    from rich.markup import escape

    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]Error:[/bold red] {escape(message)}", soft_wrap=True)
    if hint:
        console.print(f"[dim]Hint:[/dim] {escape(hint)}", soft_wrap=True)
