"""The datasheet as an HTML page and as Markdown: both say the same, from the same parts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.data.write_datasheet.fields import FIELDS, SECTIONS
from kfp_hallmark.reports import number
from kfp_hallmark.reports.document import (
    Facts,
    Part,
    Shape,
    Table,
    Text,
    Unsaid,
    html_document,
    markdown_document,
    verdict_parts,
)

if TYPE_CHECKING:
    from kfp_hallmark.components.data.write_datasheet.columns import Column
    from kfp_hallmark.components.data.write_datasheet.datasheet import Sheet

SHOWN = 200
"""How many columns of each kind are told."""
CHECKS = 20
"""How many checks of a gate are told."""
FILES = 20
"""How many files are told."""


def html_sheet(sheet: Sheet) -> str:
    """Return the datasheet as one HTML document."""
    return html_document(_title(sheet), _lead(sheet), _sections(sheet))


def markdown_sheet(sheet: Sheet) -> str:
    """Return the datasheet as Markdown (GitHub's, for its tables)."""
    return markdown_document(_title(sheet), _lead(sheet), _sections(sheet))


def _title(sheet: Sheet) -> str:
    return f"Datasheet: {sheet.statement.said.get('name', 'a dataset without a name')}"


def _lead(sheet: Sheet) -> str:
    missing = len(sheet.statement.missing)
    left = (
        f"{missing} of {len(FIELDS)} fields that a person must say {'is' if missing == 1 else 'are'} missing."
        if missing
        else "Every field is said."
    )
    return f"{sheet.rows:,} rows, {len(sheet.columns):,} columns. {left}"


def _sections(sheet: Sheet) -> list[tuple[str, list[Part]]]:
    measured = {
        "The dataset": _identity,
        "Composition": _composition,
        "Collection process": _source,
        "Preprocessing, cleaning and labelling": _lineage,
    }
    found = [
        (heading, [_said(sheet, heading), *(measured[heading](sheet) if heading in measured else [])])
        for heading in SECTIONS
    ]
    return [*found, ("Verdicts", _verdicts(sheet))]


def _said(sheet: Sheet, heading: str) -> Facts:
    said = sheet.statement.said
    return Facts(
        {
            name.replace("_", " ").capitalize(): said.get(name, Unsaid(meaning))
            for name, (_, meaning) in SECTIONS[heading].items()
        }
    )


def _identity(sheet: Sheet) -> list[Part]:
    files = [[file.name, file.size, file.digest] for file in sheet.files[:FILES]]
    rest = len(sheet.files) - len(files)
    return [
        Text("Measured:"),
        Facts({"Digest": sheet.digest, "Datasheet written": sheet.created}),
        Table(["File", "Bytes", "SHA-256"], files),
        *([Text(f"{rest:,} more files are in the Croissant metadata.")] if rest else []),
    ]


def _composition(sheet: Sheet) -> list[Part]:
    parts: list[Part] = [
        Text("Measured:"),
        Facts(
            {
                "Rows": f"{sheet.rows:,}",
                "Rows that equal an earlier one": f"{sheet.repeated_rows:,}",
                "Columns": f"{len(sheet.columns):,}",
                "Columns that lack values": f"{sum(column.missing > 0 for column in sheet.columns):,}",
            }
        ),
    ]
    numbers = [column for column in sheet.columns if column.type in ("number", "integer", "boolean")]
    times = [column for column in sheet.columns if column.type == "time"]
    texts = [column for column in sheet.columns if column.type == "text"]
    tenths = ["10 %", "Median", "90 %"]
    for columns, heads, row in (
        (numbers, ["Column", "Type", "Missing %", "Mean", "Std dev", *tenths, "Distribution"], _number_row),
        (times, ["Column of times", "Missing %", *tenths, "Distribution"], _time_row),
        (texts, ["Column of text", "Missing %", "Distinct", "Most frequent %", "By frequency"], _text_row),
    ):
        if columns:
            parts.append(Table(heads, [row(column) for column in columns[:SHOWN]]))
        if len(columns) > SHOWN:
            parts.append(Text(f"{len(columns) - SHOWN:,} more such columns are in the Croissant metadata."))
    if sheet.groups:
        parts.append(Text("Groups of the sensitive columns:"))
    for name, groups in sheet.groups.items():
        rows = [[group.value, group.rows, _percent(group.rows, sheet.rows)] for group in groups]
        parts.append(Table([name, "Rows", "Of all rows, %"], rows))
    least = number(sheet.min_group_size)
    note = f"Of a column with fewer than {least} values neither mean nor distribution is told."
    return [*parts, Text(note + (f" Groups of fewer than {least} rows are taken together." if sheet.groups else ""))]


def _number_row(column: Column) -> list[Any]:
    return [
        column.name,
        column.type,
        _missing(column),
        column.mean,
        column.standard_deviation,
        *column.percentiles,
        _shape(column),
    ]


def _time_row(column: Column) -> list[Any]:
    return [column.name, _missing(column), *map(_moment, column.percentiles), _shape(column)]


def _text_row(column: Column) -> list[Any]:
    return [column.name, _missing(column), column.distinct, _percent(column.most or 0, column.present), _shape(column)]


def _missing(column: Column) -> float:
    return _percent(column.missing, column.missing + column.present)


def _shape(column: Column) -> Shape | None:
    return Shape(column.shape) if column.shape else None


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _moment(microseconds: float | None) -> str | None:
    """Return a time for reading, to the minute."""
    if microseconds is None:
        return None
    try:
        return (datetime(1970, 1, 1) + timedelta(microseconds=microseconds)).isoformat(" ", "minutes")
    except OverflowError:
        return f"{number(1970 + microseconds / 31_556_952e6)} (year)"


def _source(sheet: Sheet) -> list[Part]:
    names = {
        "source": "Source",
        "source_digest": "Digest of the source",
        "source_signed_by": "Key that signed the source",
        "snapshot_time": "Source asked" if "source_query" in sheet.known else "Source last changed",
    }
    some = {
        "source_query": "Query",
        "source_parameters": "Its parameters",
        "source_dvc_md5": "MD5 that DVC recorded",
        "source_dvc_repository": "Imported by DVC from",
        "source_dvc_revision": "Revision there",
    }
    facts = {title: sheet.known.get(name, "The dataset does not say.") for name, title in names.items()}
    facts |= {title: sheet.known[name] for name, title in some.items() if name in sheet.known}
    return [Text("Measured when it was loaded:"), Facts(facts)]


def _lineage(sheet: Sheet) -> list[Part]:
    made: str | Sequence[str] = sheet.lineage or "The dataset does not say."
    return [Text("Measured:"), Facts({"Made from, nearest first": made})]


def _verdicts(sheet: Sheet) -> list[Part]:
    if not sheet.verdicts:
        return [Text("No verdict on the dataset was given.")]
    return [part for verdict in sheet.verdicts for part in verdict_parts(verdict, CHECKS)]
