"""The page and its parts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from kfp_hallmark import __version__
from kfp_hallmark.contracts.documents import writing
from kfp_hallmark.contracts.verdict import Check, Verdict

STATUSES = ("pass", "warn", "inconclusive", "fail")
WORDS = {
    "release": "pass",
    "succeeded": "pass",
    "halt": "fail",
    "halted": "fail",
    "failed": "fail",
    "stable": "pass",
    "not said": "warn",
}
"""Which colour a word other than a status takes."""


class Markup(str):
    """HTML that is safe to put into a page as it is."""

    __slots__ = ()


def markup(value: Any) -> Markup:
    """Return a value as HTML: `Markup` as it is, everything else escaped."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def badge(status: Any) -> Markup:
    """Return a status as a coloured label."""
    word = str(status)
    colour = word if word in STATUSES else WORDS.get(word, "none")
    return Markup(f'<span class="badge {colour}">{escape(word)}</span>')


def code(value: Any) -> Markup:
    """Return a value in the font for code: a digest, a path, a column's name."""
    return Markup(f"<code>{escape(str(value))}</code>")


def _word(text: str) -> Markup:
    """Return a text that stays on one line."""
    return Markup(f'<span class="word">{escape(text)}</span>')


def number(value: float | None, digits: int = 4) -> str:
    """Return a number for reading: at most `digits` significant digits, thousands grouped, `n/a` for none."""
    if value is None or not math.isfinite(value):
        return "n/a"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:,.0f}" if 10**digits <= abs(value) < 1e15 else f"{value:,.{digits}g}"


def paragraph(text: Any, note: bool = False) -> Markup:
    """Return a paragraph; a note is set smaller and softer."""
    return Markup(f'<p class="note">{markup(text)}</p>' if note else f"<p>{markup(text)}</p>")


def facts(values: Mapping[str, Any]) -> Markup:
    """Return names and values in two columns."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{markup(value)}</dd>" for name, value in values.items())
    return Markup(f'<dl class="facts">{rows}</dl>')


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """Return a table; numbers are aligned right and written as `number` does, None is a dash."""
    body = [list(row) for row in rows]
    numeric = [
        any(_is_number(row[index]) for row in body)
        and all(_is_number(row[index]) or row[index] is None for row in body)
        for index in range(len(columns))
    ]
    head = "".join(
        f'<th class="number">{escape(name)}</th>' if right else f"<th>{escape(name)}</th>"
        for name, right in zip(columns, numeric, strict=True)
    )
    lines = []
    for row in body:
        cells = []
        for value, right in zip(row, numeric, strict=True):
            shown = "–" if value is None else number(value) if _is_number(value) else markup(value)
            cells.append(f'<td class="number">{shown}</td>' if right else f"<td>{shown}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return Markup(
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def figure(svg: Markup, caption: str) -> Markup:
    """Return a chart with its caption."""
    return Markup(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>")


def section(heading: str, *parts: Any) -> Markup:
    """Return a heading with what stands under it; a part that is plain text becomes a paragraph."""
    body = "".join(part if isinstance(part, Markup) else paragraph(part) for part in parts)
    return Markup(f"<section><h2>{escape(heading)}</h2>{body}</section>")


def check_table(checks: Sequence[Check]) -> Markup:
    """Return the checks of a verdict as a table, the worst first."""
    order = {status: index for index, status in enumerate(("fail", "inconclusive", "warn", "pass"))}
    rows = []
    for check in sorted(checks, key=lambda check: order[str(check.status)]):
        limits = [_word(f"≥ {number(check.minimum)}")] if check.minimum is not None else []
        limits += [_word(f"≤ {number(check.maximum)}")] if check.maximum is not None else []
        between = _word(f"{number(check.interval[0])} to {number(check.interval[1])}") if check.interval else None
        scope = ", ".join(f"{key} {value}" for key, value in check.scope.items())
        rows.append(
            [
                badge(check.status),
                check.name.replace("_", " "),
                scope or None,
                number(check.observed),
                Markup(" and ".join(limits)) or None,
                between,
                check.samples,
                check.message,
            ]
        )
    confidence = {check.confidence for check in checks if check.confidence is not None}
    interval = f"{next(iter(confidence)):.0%} interval" if len(confidence) == 1 else "Interval"
    columns = ["Status", "Check", "Of", "Observed", "Limit", interval, "Rows", "What it means"]
    used = [index for index in range(len(columns)) if any(row[index] not in (None, "") for row in rows)]
    return table([columns[index] for index in used], [[row[index] for index in used] for row in rows])


def verdict_facts(verdict: Verdict) -> Markup:
    """Return what a verdict is bound to and when it was written."""
    bound = {role: code(digest) for role, digest in verdict.subjects.items()}
    return facts({"gate": verdict.gate, "written": verdict.created, **bound})


def page(title: str, *parts: Any, status: Any = None, lead: str = "") -> str:
    """Return a whole HTML document.

    Args:
        title: The heading.
        parts: What `section` and the other functions return.
        status: A status to show beside the heading.
        lead: One or two sentences under the heading that say what came out.
    """
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    label = f" {badge(status)}" if status is not None else ""
    under = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    body = "".join(part if isinstance(part, Markup) else paragraph(part) for part in parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n'
        f"<body>\n<header><h1>{escape(title)}{label}</h1>{under}</header>\n<main>\n{body}\n</main>\n"
        f"<footer>Hallmark {__version__}</footer>\n</body>\n</html>\n"
    )


def write_page(path: str | Path, document: str) -> None:
    """Write a page as UTF-8, by a temporary name and a rename."""
    with writing(path) as temporary:
        temporary.write_text(document, encoding="utf-8")
