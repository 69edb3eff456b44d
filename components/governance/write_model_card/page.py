"""The model card as an HTML page and as Markdown: both say the same, from the same parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kfp_hallmark.components.governance.write_model_card.fields import FIELDS
from kfp_hallmark.contracts.predictions import REGRESSION
from kfp_hallmark.reports import number
from kfp_hallmark.reports.document import (
    Bars,
    Bullets,
    Facts,
    Part,
    Table,
    Text,
    html_document,
    markdown_document,
    verdict_parts,
)
from kfp_hallmark.statement import PARTS

if TYPE_CHECKING:
    from kfp_hallmark.components.governance.write_model_card.card import Card, Measured

SHOWN = 20
"""How many features, inputs and checks of a gate a table shows."""
NOT_SAID = "Not said."


def html_card(card: Card) -> str:
    """Return the card as one HTML document."""
    return html_document(_title(card), _lead(card), _sections(card), card.decision.outcome if card.decision else None)


def markdown_card(card: Card) -> str:
    """Return the card as Markdown (GitHub's, for its tables)."""
    return markdown_document(_title(card), _lead(card), _sections(card))


def _title(card: Card) -> str:
    return f"Model card: {card.statement.said.get('name', 'a model without a name')}"


def _lead(card: Card) -> str:
    missing = len(card.statement.missing)
    decided = f"It was decided to {card.decision.outcome} it. " if card.decision else "Nothing was decided on it. "
    left = (
        f"{missing} of {len(FIELDS)} fields that a person must say are missing." if missing else "Every field is said."
    )
    return f"{card.statement.said.get('description', '')} {decided}{left}".strip()


def _sections(card: Card) -> list[tuple[str, list[Part]]]:
    return [
        ("The model", _model(card)),
        ("Intended use", _said(card, "intended_use", "intended_users", "out_of_scope")),
        ("Data", [*_data(card), *_said(card, "training_data", "sensitive_data")]),
        ("Metrics", _metrics(card)),
        *([("Metrics by group", _groups(card))] if card.groups else []),
        ("Explanation", _explanation(card)),
        ("Verdicts", _verdicts(card)),
        ("Limits and risks", _said(card, "limitations", "tradeoffs", "ethical_considerations", "groups_at_risk")),
        ("Oversight", _said(card, "human_oversight")),
        ("What is missing", _missing(card)),
    ]


def _model(card: Card) -> list[Part]:
    said, given = card.statement.said, card.predictions
    classes = {} if given.task == REGRESSION else {"classes": ", ".join(map(str, given.classes))}
    threshold = {} if given.threshold is None else {"threshold": number(given.threshold)}
    values = {
        **{name: said.get(name, NOT_SAID) for name in ("version", "owner", "contact", "license")},
        "task": given.task,
        "target": given.target,
        **classes,
        **threshold,
        "digest": card.model,
        "experiment hash": card.origin.experiment_hash or "The model does not say.",
        "card written": card.created,
    }
    inputs = [[column.name, column.type] for column in card.inputs[:SHOWN]]
    rest = len(card.inputs) - len(inputs)
    parts: list[Part] = [Facts(values)]
    parts += [Table(["Input", "Type"], inputs)] if inputs else []
    parts += [Text(f"{rest} more inputs are in the model's signature.")] if rest else []
    return parts


def _said(card: Card, *names: str) -> list[Part]:
    """Return what was said of some fields, and of which nothing was."""
    parts: list[Part] = []
    for name in names:
        title = name.replace("_", " ").capitalize()
        said = card.statement.said.get(name)
        if said is None:
            parts.append(Text(f"{title}: {NOT_SAID}"))
        elif isinstance(said, str):
            parts.append(Text(f"{title}: {said}"))
        elif isinstance(said[0], str):
            parts += [Text(f"{title}:"), Bullets(said)]
        else:
            columns = [part for part in PARTS[FIELDS[name][0]] if any(part in entry for entry in said)]
            rows = [[entry.get(column, NOT_SAID) for column in columns] for entry in said]
            parts += [Text(f"{title}:"), Table([column.capitalize() for column in columns], rows)]
    return parts


def _data(card: Card) -> list[Part]:
    given = card.predictions
    made = ", ".join(card.origin.datasets) or "The model does not say."
    return [
        Facts({"made from": made, "measured on": given.dataset, "rows measured on": number(len(given.label))}),
        *(
            [Text("The model was measured on data that it was made from.")]
            if given.dataset in card.origin.datasets
            else []
        ),
    ]


def _metrics(card: Card) -> list[Part]:
    rows = [[measured.name.replace("_", " "), number(measured.value), _interval(measured)] for measured in card.metrics]
    return [Table(["Metric", "Value", f"{card.confidence:.0%} interval"], rows)]


def _interval(measured: Measured) -> str:
    return "–" if measured.interval is None else " to ".join(map(number, measured.interval))


def _groups(card: Card) -> list[Part]:
    names = next(([measured.name for measured in group.metrics] for group in card.groups if group.metrics), [])
    parts: list[Part] = []
    for column in dict.fromkeys(group.column for group in card.groups):
        groups = [group for group in card.groups if group.column == column]
        rows = [[group.value, number(group.rows), *_cells(group.metrics, len(names))] for group in groups]
        parts.append(Table([column, "Rows", *(name.replace("_", " ") for name in names)], rows))
    least = number(card.min_group_size)
    note = f"With {card.confidence:.0%} intervals. Of a group of fewer than {least} rows no metric is told."
    return [*parts, Text(note)]


def _cells(metrics: Sequence[Measured], count: int) -> list[str]:
    if not metrics:
        return ["too few rows"] * count
    return [
        "undefined" if measured.value is None else f"{number(measured.value, 3)} ({_short_interval(measured)})"
        for measured in metrics
    ]


def _short_interval(measured: Measured) -> str:
    return "no interval" if measured.interval is None else " to ".join(number(end, 3) for end in measured.interval)


def _explanation(card: Card) -> list[Part]:
    if card.importances is None:
        return [Text("The model was not explained.")]
    found = card.importances
    shown = list(found.importances.items())[:SHOWN]
    rest = len(found.importances) - len(shown)
    parts: list[Part] = [
        Text(
            f"Mean absolute SHAP values for {found.explained}, in {found.unit}, of {number(found.rows)} rows, by "
            f"{found.method}."
        ),
        Bars(["Feature", "Importance"], shown),
    ]
    return parts + ([Text(f"{rest} less important features are not shown.")] if rest else [])


def _verdicts(card: Card) -> list[Part]:
    if card.decision is None:
        return [Text("No decision was given, so no verdict is known.")]
    rows = [[entry.gate, entry.status, " ".join(entry.reasons[:3]) or "–"] for entry in card.decision.evidence]
    parts: list[Part] = [Table(["Gate", "Status", "What there is to say"], rows)]
    for verdict in card.verdicts:
        parts += verdict_parts(verdict, SHOWN)
    return parts


def _missing(card: Card) -> list[Part]:
    missing = card.statement.missing
    if not missing:
        return [Text("Every field that a person must say is said.")]
    return [
        Text("A person must say these, and nobody did:"),
        Bullets([f"{name}: {FIELDS[name][1]}" for name in missing]),
    ]
