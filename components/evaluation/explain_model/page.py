"""The report on what a model's predictions rest on."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from kfp_hallmark.components.evaluation.explain_model.bands import describe, ranks
from kfp_hallmark.components.evaluation.explain_model.cohorts import LEAST_ROWS
from kfp_hallmark.contracts.importances import Importances
from kfp_hallmark.explanation.rows import ExplainedRows
from kfp_hallmark.reports import Markup, bars, code, facts, figure, number, page, paragraph, points, section, table

SHOWN = 20
"""How many features the charts show."""

LEADING = 4
"""How many features of a cohort the report shows."""

DOTS = 250
"""How many rows the chart of directions shows."""

REASONS = 6
"""How many features a single explanation shows."""


@dataclass(frozen=True)
class Explained:
    """What the report is about.

    Attributes:
        found: The importances.
        rows: The rows they rest on.
        predicted: The model's output for each of these, as words.
    """

    found: Importances
    rows: ExplainedRows
    predicted: list[str]


def explanation_page(explained: Explained, local_explanations: int) -> str:
    """Return the report, with so many single explanations."""
    top = list(explained.found.importances)[:SHOWN]
    lead = f"The predictions rest most on {', '.join(top[:3])}." if top else ""
    parts = [_about(explained), _importances(explained, top), _directions(explained, top)]
    if explained.found.cohorts:
        parts.append(_cohorts(explained))
    if local_explanations:
        parts.append(_singles(explained, local_explanations))
    return page("Explanation", *parts, lead=lead)


def _about(explained: Explained) -> Markup:
    rows, available = explained.found.rows, explained.rows.available
    sample = f"a sample of {rows:,} of {available:,}" if rows < available else f"all {rows:,}"
    return facts(
        {
            "explained": explained.found.explained,
            "rows": sample,
            "SHAP values by": explained.found.method,
            "measured in": explained.found.unit,
            "model": code(explained.found.model),
            "dataset": code(explained.found.dataset),
        }
    )


def _importances(explained: Explained, top: list[str]) -> Markup:
    unit = explained.found.unit
    title = f"Mean absolute SHAP value ({unit})"
    more = len(explained.found.importances) - len(top)
    rest = f" {more} less important features are not shown." if more else ""
    chart = bars(title, [(name, explained.found.importances[name]) for name in top])
    return section("Importances", figure(chart, f"{title}: how far a feature moves a prediction, on average.{rest}"))


def _cohorts(explained: Explained) -> Markup:
    """Return a table of the features that weigh most in each cohort, with their shares and those overall."""
    overall = sum(explained.found.importances.values()) or 1.0
    parts: list[Any] = [
        paragraph(
            "Which features the predictions of some of the rows rest on: the share of a feature in the sum of mean "
            f"absolute SHAP values, and how it differs from the share overall, in percentage points. A cohort of fewer "
            f"than {LEAST_ROWS} rows is not told.",
            note=True,
        )
    ]
    for column in dict.fromkeys(cohort.column for cohort in explained.found.cohorts):
        rows = []
        for cohort in explained.found.cohorts:
            if cohort.column == column:
                total = sum(cohort.importances.values()) or 1.0
                most = [
                    _weight(name, value / total, explained.found.importances[name] / overall)
                    for name, value in list(cohort.importances.items())[:LEADING]
                ]
                rows.append([code(cohort.value), cohort.rows, Markup(", ".join(most))])
        parts.append(table([column, "Rows", "Rests most on"], rows))
    return section("By cohort", *parts)


def _weight(name: str, share: float, overall: float) -> Markup:
    return Markup(f'{escape(name)} {share:.0%} <span class="note">({round(100 * (share - overall)):+d})</span>')


def _directions(explained: Explained, top: list[str]) -> Markup:
    values = explained.rows.attribution.values[:DOTS]
    names = list(explained.rows.frame.columns)
    items = []
    for name in top:
        shades = ranks(explained.rows.frame[name])[:DOTS].tolist()
        items.append((name, list(zip(values[:, names.index(name)].tolist(), shades, strict=True))))
    chart = points("SHAP values", items, f"SHAP value ({explained.found.unit})")
    caption = (
        f"One dot a row, {len(values):,} rows: blue where the feature's value is low, red where it is high, between "
        f"them for text. Dots to the right raise the output for {explained.found.explained}."
    )
    return section("Directions", figure(chart, caption))


def _singles(explained: Explained, count: int) -> Markup:
    import numpy

    order = numpy.argsort(explained.rows.explained_output, kind="stable")
    places = numpy.unique(numpy.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    bands = {name: describe(explained.rows.frame[name]) for name in explained.rows.frame.columns}
    note = (
        "Spread from the lowest output to the highest. Of a record only bands are told: where its value stands among "
        "the explained rows; of a text, or of a number with few values, how many rows share it."
    )
    parts: list[Any] = [paragraph(note, note=True)]
    for number_of, row in enumerate(order[places], start=1):
        parts.append(_single(explained, number_of, int(row), bands))
    return section("Single predictions", *parts)


def _single(explained: Explained, number_of: int, row: int, bands: dict[str, list[str]]) -> Markup:
    values = explained.rows.attribution.values[row]
    names = list(explained.rows.frame.columns)
    strongest = sorted(range(len(names)), key=lambda index: -abs(values[index]))[:REASONS]
    items = [(f"{names[index]}: {bands[names[index]][row]}", float(values[index])) for index in strongest]
    if len(names) > len(strongest):
        rest = float(values.sum() - values[strongest].sum())
        others = len(names) - len(strongest)
        items.append((f"{others} other {'feature' if others == 1 else 'features'}", rest))
    base = float(explained.rows.attribution.base[row])
    start, end = number(round(base, 6), 3), number(round(base + float(values.sum()), 6), 3)
    heading = f"<h3>Prediction {number_of}: {escape(explained.predicted[row])}</h3>"
    caption = f"From {start}, the mean output, to {end} ({explained.found.unit})."
    return Markup(heading + figure(bars(f"Contributions to prediction {number_of}", items), caption))
