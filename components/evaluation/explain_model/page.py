"""The report on what a model's predictions rest on."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from kfp_hallmark.components.evaluation.explain_model.bands import describe, ranks
from kfp_hallmark.components.evaluation.explain_model.cohorts import LEAST_ROWS
from kfp_hallmark.components.evaluation.explain_model.surrogate import DRAWN, Surrogate
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

LABEL = 30
"""How many letters of a label fit beside a chart."""


@dataclass(frozen=True)
class Explained:
    """What the report is about.

    Attributes:
        found: The importances.
        rows: The rows they rest on.
        predicted: The model's output for each of these, as words.
        singles: Those that are told one by one, as positions, with LIME's explanation or None for SHAP values.
    """

    found: Importances
    rows: ExplainedRows
    predicted: list[str]
    singles: dict[int, Surrogate | None]


def explanation_page(explained: Explained) -> str:
    """Return the report as one HTML document."""
    top = list(explained.found.importances)[:SHOWN]
    most = [name for name in top[:3] if explained.found.importances[name]]
    lead = f"The predictions rest most on {', '.join(most)}." if most else "No feature moves these predictions."
    parts = [_about(explained), _importances(explained, top), _directions(explained, top)]
    if explained.found.cohorts:
        parts.append(_cohorts(explained))
    if explained.singles:
        parts.append(_singles(explained))
    return page("Explanation", *parts, lead=lead)


def _about(explained: Explained) -> Markup:
    rows, available = explained.found.rows, explained.rows.available
    sample = f"a sample of {rows:,} of {available:,}" if rows < available else f"all {rows:,}"
    if rows < len(explained.rows.places):
        sample += f"; of all {len(explained.rows.places):,} that max_rows allows it would take too long"
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


def _singles(explained: Explained) -> Markup:
    frame = explained.rows.frame
    bands = {name: describe(frame[name]) for name in frame.columns}
    note = (
        "Spread from the lowest output to the highest. Of a record only bands are told: where its value stands among "
        "the explained rows; of a text, or of a number with few values, how many rows share it."
    )
    parts: list[Any] = [paragraph(note, note=True)]
    if None not in explained.singles.values():
        about = (
            f"By LIME: a linear model is fitted to the output for {DRAWN:,} rows near the record, in which features "
            "keep its value or take that of another row. A bar is what keeping the value adds in that model. Its "
            "fidelity is the R² on these rows, nearer ones weighing more: where it is low, the bars say little."
        )
        parts.append(paragraph(about, note=True))
    for number_of, (row, surrogate) in enumerate(explained.singles.items(), start=1):
        parts.append(_single(explained, number_of, row, surrogate, bands))
    return section("Single predictions", *parts)


def _single(
    explained: Explained, number_of: int, row: int, surrogate: Surrogate | None, bands: dict[str, list[str]]
) -> Markup:
    names = list(explained.rows.frame.columns)
    attribution = explained.rows.attribution
    values = attribution.values[row] if surrogate is None else surrogate.weights
    strongest = sorted(range(len(names)), key=lambda index: -abs(values[index]))[:REASONS]
    items = [(_label(names[index], bands[names[index]][row]), float(values[index])) for index in strongest]
    if len(names) > len(strongest):
        rest = float(values.sum() - values[strongest].sum())
        others = len(names) - len(strongest)
        items.append((f"{others} other {'feature' if others == 1 else 'features'}", rest))
    base = float(attribution.base[row]) if surrogate is None else surrogate.intercept
    start, end = number(round(base, 6), 3), number(round(base + float(values.sum()), 6), 3)
    heading = f"<h3>Prediction {number_of}: {escape(explained.predicted[row])}</h3>"
    if surrogate is None:
        caption = f"From {start}, the mean output, to {end} ({explained.found.unit})."
    else:
        told = number(float(explained.rows.explained_output[row]), 3)
        caption = (
            f"From {start}, where no value is kept, to {end}, where the model says {told}. "
            f"Fidelity: {number(surrogate.fidelity, 2)}."
        )
    return Markup(heading + figure(bars(f"Contributions to prediction {number_of}", items), caption))


def _label(name: str, band: str) -> str:
    """Return a feature and its band, of a long name the end: that is where numbered features differ."""
    room = LABEL - len(band) - 2
    return f"{name if len(name) <= room else f'…{name[1 - room :]}'}: {band}"
