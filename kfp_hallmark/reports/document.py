"""A document of parts that say the same as an HTML page and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeAlias

from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.reports.charts import bars, sparkline
from kfp_hallmark.reports.page import Markup, badge, code, facts, markup, number, page, paragraph, section, table

BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Unsaid:
    """What nobody said.

    Attributes:
        meaning: What is to be said.
    """

    meaning: str


@dataclass(frozen=True)
class Shape:
    """A distribution, to be drawn in a cell of a table.

    Attributes:
        counts: How high each bar is, 0 or above, from left to right.
    """

    counts: Sequence[int]


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    values: Mapping[str, str | Sequence[str] | Unsaid]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of texts."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table; a cell that is a `Status` is shown as one."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Bars:
    """Names and numbers: bars in HTML, a table in Markdown."""

    columns: Sequence[str]
    values: Sequence[tuple[str, float]]


Part: TypeAlias = Facts | Text | Bullets | Table | Bars
Sections: TypeAlias = Sequence[tuple[str, Sequence[Part]]]
"""Headings with what stands under each."""


def html_document(title: str, lead: str, sections: Sections, status: Any = None) -> str:
    """Return the document as HTML; a status is shown beside the title."""
    return page(title, *(section(heading, *map(_html, parts)) for heading, parts in sections), status=status, lead=lead)


def markdown_document(title: str, lead: str, sections: Sections) -> str:
    """Return the document as Markdown (GitHub's, for its tables)."""
    blocks = [f"# {_plain(title)}", _plain(lead)]
    for heading, parts in sections:
        blocks += [f"## {_plain(heading)}", *filter(None, map(_markdown, parts))]
    return "\n\n".join(blocks) + "\n"


def verdict_parts(verdict: Verdict, shown: int) -> list[Part]:
    """Return the checks of a verdict, the worst first, at most `shown` of them."""
    order = list(Status)
    checks = sorted(verdict.checks, key=lambda check: order.index(check.status), reverse=True)
    rest = len(checks) - shown
    return [
        Text(f"{verdict.gate}, of {verdict.created}:"),
        Table(["Status", "Check", "Of", "Observed", "Limit"], [_check(check) for check in checks[:shown]]),
        *([Text(f"{rest} more checks, none of them worse, are in the verdict.")] if rest > 0 else []),
    ]


def _check(check: Check) -> list[Any]:
    limits = [f"≥ {number(check.minimum)}"] if check.minimum is not None else []
    limits += [f"≤ {number(check.maximum)}"] if check.maximum is not None else []
    scope = ", ".join(f"{key} {value}" for key, value in check.scope.items())
    return [
        check.status,
        check.name.replace("_", " "),
        scope or "–",
        number(check.observed),
        " and ".join(limits) or "–",
    ]


def _html(part: Part) -> Markup:
    if isinstance(part, Facts):
        return facts({name: _html_value(value) for name, value in part.values.items()})
    if isinstance(part, Text):
        return paragraph(part.text)
    if isinstance(part, Bullets):
        return _html_list(part.texts)
    if isinstance(part, Bars):
        return Markup(f"<figure>{bars(' and '.join(part.columns), part.values)}</figure>")
    return table(part.columns, [[_html_cell(cell) for cell in row] for row in part.rows])


def _html_value(value: str | Sequence[str] | Unsaid) -> Markup:
    if isinstance(value, Unsaid):
        return Markup(f'{badge("not said")} <span class="note">{escape(value.meaning)}</span>')
    if isinstance(value, str):
        return code(value) if value.startswith("sha256:") else markup(value)
    return _html_list(value)


def _html_list(texts: Iterable[str]) -> Markup:
    return Markup(f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>")


def _html_cell(cell: Any) -> Any:
    if isinstance(cell, Status):
        return badge(cell)
    return sparkline("Distribution", cell.counts) if isinstance(cell, Shape) else cell


def _markdown(part: Part) -> str:
    if isinstance(part, Facts):
        return "\n".join(f"- **{_plain(name)}**: {_markdown_value(value)}" for name, value in part.values.items())
    if isinstance(part, Text):
        return _plain(part.text)
    if isinstance(part, Bullets):
        return "\n".join(f"- {_plain(text)}" for text in part.texts)
    rows = [[name, number(value)] for name, value in part.values] if isinstance(part, Bars) else part.rows
    return "\n".join([_row(part.columns), _row(["---"] * len(part.columns), False), *map(_row, rows)])


def _markdown_value(value: str | Sequence[str] | Unsaid) -> str:
    if isinstance(value, Unsaid):
        return f"**Not said** ({_plain(value.meaning)})"
    return _plain(value) if isinstance(value, str) else "".join(f"\n  - {_plain(text)}" for text in value)


def _row(cells: Iterable[Any], escaped: bool = True) -> str:
    return f"| {' | '.join(_plain(_markdown_cell(cell)) if escaped else str(cell) for cell in cells)} |"


def _markdown_cell(cell: Any) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, Shape):
        most = max(cell.counts, default=0) or 1
        return "".join(BLOCKS[round(count / most * (len(BLOCKS) - 1))] for count in cell.counts)
    return number(cell) if isinstance(cell, float | int) and not isinstance(cell, bool) else str(cell)


def _plain(text: str) -> str:
    """Return a text on one line that Markdown shows as it is, HTML in it too."""
    line = re.sub(r"([\\`*_{}\[\]|~#])", r"\\\1", escape(" ".join(text.split()), quote=False))
    return re.sub(r"^(\d*)([-+=.)])(?=[-+=]|\s|$)", r"\1\\\2", line)
