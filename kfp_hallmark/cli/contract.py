"""`hallmark contract`: infer, compare and check data contracts."""

from __future__ import annotations

import inspect
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from kfp_hallmark.contracts.data_contract import read_contract
from kfp_hallmark.errors import InputError

if TYPE_CHECKING:
    from kfp_hallmark.contracts.verdict import Verdict
    from kfp_hallmark.environments.calling import LocalArtifact

app = typer.Typer(
    no_args_is_help=True, help="Infer, compare and check data contracts; see docs/contracts/data_contract.md."
)

LOAD = "kfp_hallmark.components.data.load_dataset.load:load"
VALIDATE = "kfp_hallmark.components.data.validate_dataset.validate:validate"
OUTPUTS = ("verdict", "report", "statistics", "schema", "profile")
COMMANDS = "kfp_hallmark.datacontract.commands"
COLOURS = {"pass": "green", "warn": "yellow", "inconclusive": "magenta", "fail": "red"}
Data = Annotated[str, typer.Argument(metavar="DATA", help="A CSV or Parquet file, or a folder of Parquet files.")]


@app.command()
def infer(
    data: Data,
    output: Annotated[Path, typer.Option(help="Where to write it; must not be there.")] = Path("contract.yaml"),
) -> None:
    """Write a first contract of data, for a person to review."""
    if output.exists():
        raise InputError(f"--output must not be there yet; {str(output)!r} is.", "A reviewed contract is not replaced.")
    with _loaded(data) as dataset:
        arguments = {"name": Path(data).name, "output": str(output.absolute())}
        found = _call("data", f"{COMMANDS}:infer", arguments, {"dataset": dataset})
    print(f"{output}: {found['features']} features of {dataset.metadata['rows']:,} rows.")
    print("A person must review it: see the lines marked REVIEW.")


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="OLD", help="The contract as it was.")],
    after: Annotated[Path, typer.Argument(metavar="NEW", help="The contract as it is to be.")],
) -> None:
    """Show what changes, and which changes break consumers. Exit codes: 0 the version says so, 1 it does not."""
    for path in (before, after):
        read_contract(path)
    found = _call("data", f"{COMMANDS}:diff", {"before": str(before.absolute()), "after": str(after.absolute())})
    _print_changes(found["changes"])
    print(_summary(found))
    if not found["in_order"]:
        raise typer.Exit(1)


def _print_changes(changes: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not changes:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("of", "change", "consumers", "earlier data"):
        table.add_column(column, overflow="fold")
    for change in changes:
        level = "[red]breaking[/red]" if change["level"] == "breaking" else change["level"]
        fits = "may not fit" if change["tightens"] else "fits"
        table.add_row(escape(change["part"]), escape(change["message"]), level, fits)
    console = Console()
    console.print(table)
    console.print()


def _summary(found: dict[str, Any]) -> str:
    """Return what the comparison came to, in a sentence or two."""
    breaking = sum(change["level"] == "breaking" for change in found["changes"])
    count = len(found["changes"])
    told = (
        "Nothing has changed."
        if not count
        else f"{count} {'change' if count == 1 else 'changes'}, {breaking} breaking."
    )
    versions = f"{found['before']} to {found['after']}"
    if found["in_order"]:
        return f"{told} The version says so: {versions}."
    return f"{told} The version must be {found['needed']} or above; it goes from {versions}."


@app.command()
def check(
    data: Data,
    contract: Annotated[Path, typer.Option(help="The contract.")] = Path("contract.yaml"),
    baseline: Annotated[
        str | None, typer.Option(help="Data to measure drift from. Default: drift is not judged.")
    ] = None,
    previous: Annotated[
        str | None, typer.Option(help="Data of the span before, to measure drift, and the gap since, from.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column that is not judged; may be given again.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write the report, HTML.")] = None,
    verdict: Annotated[Path | None, typer.Option(help="Where to write the verdict, JSON.")] = None,
) -> None:
    """Judge data by a contract, as validate_dataset does. Exit codes: 0 pass or warn, 1 fail or inconclusive."""
    from kfp_hallmark.contracts.verdict import Verdict
    from kfp_hallmark.environments.calling import LocalArtifact

    read_contract(contract)
    for name, path in (("report", report), ("verdict", verdict)):
        if path is not None and path.exists() and not path.is_file():
            raise InputError(f"--{name} must be a file, or not there yet; got {str(path)!r}.")
    with tempfile.TemporaryDirectory(prefix="hallmark-") as folder, ExitStack() as sides:
        given = {"dataset": sides.enter_context(_loaded(data))}
        if baseline is not None:
            given["baseline"] = sides.enter_context(_loaded(baseline))
        if previous is not None:
            given["previous"] = LocalArtifact(str(Path(folder, "previous")))
            before = sides.enter_context(_loaded(previous))
            _call("data", f"{COMMANDS}:describe", {}, {"dataset": before, "profile": given["previous"]})
        outputs = {name: LocalArtifact(str(Path(folder, name))) for name in OUTPUTS}
        for name, path in (("report", report), ("verdict", verdict)):
            if path is not None:
                outputs[name].path = str(path.absolute())
        settings = _defaults() | {"contract_uri": str(contract.absolute()), "excluded_columns": exclude or []}
        if baseline is None and previous is None:
            settings["min_rows"] = 1
        parameters = {name: value for name, value in settings.items() if name not in given}
        _call("data", VALIDATE, parameters, given | outputs)
        found = Verdict.read(outputs["verdict"].path)
    _print_verdict(found, f"{data} by {contract}")
    if not found.status.passed:
        raise typer.Exit(1)


def _defaults() -> dict[str, Any]:
    """Return what validate_dataset takes when nothing else is said."""
    from kfp_hallmark import components

    parameters = inspect.signature(components.validate_dataset.python_func).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}


def _print_verdict(verdict: Verdict, what: str) -> None:
    """Print each check that did not pass, the worst first, and how many did."""
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    colour = COLOURS[verdict.status]
    console.print(f"[bold {colour}]{verdict.status}[/bold {colour}]  {escape(what)}", soft_wrap=True)
    order = list(verdict.status.__class__)
    noted = [each for each in verdict.checks if str(each.status) != "pass"]
    noted.sort(key=lambda each: -order.index(each.status))
    if noted:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("", "check", "what it means"):
            table.add_column(column, overflow="fold", no_wrap=column == "")
        for each in noted:
            shown = f"[{COLOURS[each.status]}]{each.status}[/{COLOURS[each.status]}]"
            table.add_row(shown, escape(each.name.replace("_", " ")), escape(each.message))
        console.print()
        console.print(table)
    passed = Counter(each.name.replace("_", " ") for each in verdict.checks if str(each.status) == "pass")
    if passed:
        told = ", ".join(name if count == 1 else f"{name} ({count})" for name, count in passed.items())
        console.print(f"\n[dim]Passed: {escape(told)}.[/dim]")


@contextmanager
def _loaded(uri: str) -> Iterator[LocalArtifact]:
    """Give a dataset as `load_dataset` loads it, and remove it afterwards."""
    from kfp_hallmark.environments.calling import LocalArtifact

    with tempfile.TemporaryDirectory(prefix="hallmark-") as folder:
        dataset = LocalArtifact(str(Path(folder, "dataset.parquet")))
        _call("ml", LOAD, {"uri": uri}, {"dataset": dataset})
        yield dataset


def _call(
    environment: str, function: str, parameters: dict[str, Any], artifacts: dict[str, LocalArtifact] | None = None
) -> Any:
    from kfp_hallmark.environments.calling import call

    return call(environment, function, parameters, artifacts, lambda line: typer.echo(line, err=True))
