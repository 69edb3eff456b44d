"""The report on what a model's predictions rest on."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.evaluation.explain_model.bands import describe, ranks
from kfp_hallmark.components.evaluation.explain_model.cohorts import LEAST_ROWS, Cohort
from kfp_hallmark.components.evaluation.explain_model.shapley import Attribution
from kfp_hallmark.reports import Markup, bars, code, facts, figure, number, page, paragraph, points, section, table

if TYPE_CHECKING:
    import pandas
    from numpy import ndarray

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
        model: The model's digest.
        dataset: The dataset's digest.
        available: The number of rows in the dataset.
        frame: The rows that were explained.
        attribution: Their SHAP values.
        output: What the values are for: the positive class, the predicted class or the target.
        importances: Feature to mean absolute SHAP value, the greatest first.
        cohorts: The importances by predicted class and by cohort.
        predicted: The model's output for each row, as words.
        order: By which to spread single explanations: the model's output, shape (rows,).
    """

    model: str
    dataset: str
    available: int
    frame: pandas.DataFrame
    attribution: Attribution
    output: str
    importances: dict[str, float]
    cohorts: list[Cohort]
    predicted: list[str]
    order: ndarray


def explanation_page(explained: Explained, local_explanations: int) -> str:
    """Return the report, with so many single explanations."""
    top = list(explained.importances)[:SHOWN]
    lead = f"The predictions rest most on {', '.join(top[:3])}." if top else ""
    parts = [_about(explained), _importances(explained, top), _directions(explained, top)]
    if explained.cohorts:
        parts.append(_cohorts(explained))
    if local_explanations:
        parts.append(_singles(explained, local_explanations))
    return page("Explanation", *parts, lead=lead)


def _about(explained: Explained) -> Markup:
    rows = len(explained.frame)
    sample = f"a sample of {rows:,} of {explained.available:,}" if rows < explained.available else f"all {rows:,}"
    return facts(
        {
            "explained": explained.output,
            "rows": sample,
            "SHAP values by": explained.attribution.method,
            "measured in": explained.attribution.unit,
            "model": code(explained.model),
            "dataset": code(explained.dataset),
        }
    )


def _importances(explained: Explained, top: list[str]) -> Markup:
    unit = explained.attribution.unit
    title = f"Mean absolute SHAP value ({unit})"
    more = len(explained.importances) - len(top)
    rest = f" {more} less important features are not shown." if more else ""
    chart = bars(title, [(name, explained.importances[name]) for name in top])
    return section("Importances", figure(chart, f"{title}: how far a feature moves a prediction, on average.{rest}"))


def _cohorts(explained: Explained) -> Markup:
    """Return a table of the features that weigh most in each cohort, with their shares and those overall."""
    overall = sum(explained.importances.values()) or 1.0
    parts: list[Any] = [
        paragraph(
            "Which features the predictions of some of the rows rest on: the share of a feature in the sum of mean "
            f"absolute SHAP values, and how it differs from the share overall, in percentage points. A cohort of fewer "
            f"than {LEAST_ROWS} rows is not told.",
            note=True,
        )
    ]
    for column in dict.fromkeys(cohort.column for cohort in explained.cohorts):
        rows = []
        for cohort in explained.cohorts:
            if cohort.column == column:
                total = sum(cohort.importances.values()) or 1.0
                most = [
                    _weight(name, value / total, explained.importances[name] / overall)
                    for name, value in list(cohort.importances.items())[:LEADING]
                ]
                rows.append([code(cohort.value), cohort.rows, Markup(", ".join(most))])
        parts.append(table([column, "Rows", "Rests most on"], rows))
    return section("By cohort", *parts)


def _weight(name: str, share: float, overall: float) -> Markup:
    return Markup(f'{escape(name)} {share:.0%} <span class="note">({round(100 * (share - overall)):+d})</span>')


def _directions(explained: Explained, top: list[str]) -> Markup:
    values = explained.attribution.values[:DOTS]
    names = list(explained.frame.columns)
    items = []
    for name in top:
        shades = ranks(explained.frame[name])[:DOTS].tolist()
        items.append((name, list(zip(values[:, names.index(name)].tolist(), shades, strict=True))))
    chart = points("SHAP values", items, f"SHAP value ({explained.attribution.unit})")
    caption = (
        f"One dot a row, {len(values):,} rows: blue where the feature's value is low, red where it is high, between "
        f"them for text. Dots to the right raise the output for {explained.output}."
    )
    return section("Directions", figure(chart, caption))


def _singles(explained: Explained, count: int) -> Markup:
    import numpy

    order = numpy.argsort(explained.order, kind="stable")
    places = numpy.unique(numpy.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    bands = {name: describe(explained.frame[name]) for name in explained.frame.columns}
    note = (
        "Spread from the lowest output to the highest. Of a record only bands are told: where its value stands among "
        "the explained rows; of a text, or of a number with few values, how many rows share it."
    )
    parts: list[Any] = [paragraph(note, note=True)]
    for number_of, row in enumerate(order[places], start=1):
        parts.append(_single(explained, number_of, int(row), bands))
    return section("Single predictions", *parts)


def _single(explained: Explained, number_of: int, row: int, bands: dict[str, list[str]]) -> Markup:
    values = explained.attribution.values[row]
    names = list(explained.frame.columns)
    strongest = sorted(range(len(names)), key=lambda index: -abs(values[index]))[:REASONS]
    items = [(f"{names[index]}: {bands[names[index]][row]}", float(values[index])) for index in strongest]
    if len(names) > len(strongest):
        rest = float(values.sum() - values[strongest].sum())
        others = len(names) - len(strongest)
        items.append((f"{others} other {'feature' if others == 1 else 'features'}", rest))
    base = float(explained.attribution.base[row])
    start, end = number(round(base, 6), 3), number(round(base + float(values.sum()), 6), 3)
    heading = f"<h3>Prediction {number_of}: {escape(explained.predicted[row])}</h3>"
    caption = f"From {start}, the mean output, to {end} ({explained.attribution.unit})."
    return Markup(heading + figure(bars(f"Contributions to prediction {number_of}", items), caption))
