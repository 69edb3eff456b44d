"""What was found, for people, for programs and for GitHub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from kfp_hallmark.lint.engine import Finding, Target
from kfp_hallmark.lint.rule import KUBEFLOW, VERTEX, Severity, written

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}


@dataclass(frozen=True)
class Checked:
    """A file and what was found in it.

    Attributes:
        file: The file.
        target: What it was held against.
        findings: What was found.
        asked: Whether the backends were asked for, and not chosen by what the file can be meant for.
    """

    file: str
    target: Target
    findings: list[Finding]
    asked: bool


def count(results: Sequence[Checked], severity: Severity) -> int:
    """Return how many findings are of a severity."""
    return sum(finding.rule.severity == severity for result in results for finding in result.findings)


def print_text(results: Sequence[Checked], console: Console) -> None:
    """Print what was found for people: by file, then by rule, errors first."""
    for result in results:
        if not result.findings:
            continue
        console.print(f"[bold]{escape(result.file)}[/bold]", highlight=False, soft_wrap=True)
        ordered = sorted(result.findings, key=_order)
        for _, group in groupby(ordered, key=_order):
            _print_group(list(group), console)
        console.print()
    for result in results:
        if VERTEX not in result.target.backends and not result.asked:
            console.print(
                f"[dim]{escape(result.file)} has settings for Kubernetes, so it was not held against Vertex AI.[/dim]",
                highlight=False,
                soft_wrap=True,
            )
    files = f"{len(results)} {'file' if len(results) == 1 else 'files'}"
    widest = max(results, key=lambda result: len(result.target.backends)).target
    console.print(f"{files} held against {widest}: {_counted(results)}.", highlight=False, soft_wrap=True)


def _order(finding: Finding) -> tuple[bool, str, str]:
    return finding.rule.severity != Severity.ERROR, finding.rule.code, finding.affected


def _print_group(findings: list[Finding], console: Console) -> None:
    rule = findings[0].rule
    style = _STYLES[rule.severity]
    title = f"[{style}]{rule.severity}[/{style}] [bold]{rule.code}[/bold] {rule.name} [dim]{findings[0].affected}[/dim]"
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(f"line {finding.line}", escape(finding.place), escape(finding.detail))
    console.print()
    console.print(Padding(title, (0, 0, 0, 2), expand=False), highlight=False)
    for part in (escape(rule.summary), table, f"[dim]Fix: {escape(rule.fix)}[/dim]"):
        console.print(Padding(part, (0, 0, 0, 4), expand=False), highlight=False)
    console.print(f"    [dim]{rule.source}[/dim]", highlight=False, soft_wrap=True)


def _counted(results: Sequence[Checked]) -> str:
    numbers = {severity: count(results, severity) for severity in Severity}
    if not any(numbers.values()):
        return "nothing found"
    return ", ".join(f"{number} {severity}{'' if number == 1 else 's'}" for severity, number in numbers.items())


def to_json(results: Sequence[Checked]) -> str:
    """Return what was found for programs."""
    files = [
        {
            "file": result.file,
            "backends": {
                backend: [written(number) for number in result.target.versions] if backend == KUBEFLOW else []
                for backend in result.target.backends
            },
            "findings": [_fields(finding) for finding in result.findings],
        }
        for result in results
    ]
    numbers = {f"{severity}s": count(results, severity) for severity in Severity}
    return json.dumps({"schema": "hallmark/lint/v1", **numbers, "files": files}, indent=2)


def _fields(finding: Finding) -> dict[str, object]:
    rule = finding.rule
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity,
        "affected": finding.affected,
        "line": finding.line,
        "place": finding.place,
        "path": finding.path,
        "detail": finding.detail,
        "summary": rule.summary,
        "fix": rule.fix,
        "source": rule.source,
    }


def to_github(results: Sequence[Checked]) -> str:
    """Return what was found as commands of GitHub Actions, which shows each beside its line."""
    lines = []
    for result in results:
        for finding in result.findings:
            rule = finding.rule
            text = f"{finding.place}: {finding.detail}. {rule.summary} ({finding.affected}) {rule.fix} {rule.source}"
            title = _property(f"{rule.code} {rule.name}")
            where = f"file={_property(finding.file)},line={finding.line},title={title}"
            lines.append(f"::{rule.severity} {where}::{_data(text)}")
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
