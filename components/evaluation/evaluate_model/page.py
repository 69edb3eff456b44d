"""The report on a model's performance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kfp_hallmark.components.evaluation.evaluate_model.costs import ClassCosts, CostReport, Decided
from kfp_hallmark.components.evaluation.evaluate_model.search import FoundSlice, Search
from kfp_hallmark.components.evaluation.evaluate_model.slices import HEADLINES, Slice
from kfp_hallmark.contracts.predictions import BINARY, REGRESSION, Predictions
from kfp_hallmark.measures import Interval, calibration_curve, lift_table, roc_curve, wilson_interval
from kfp_hallmark.reports import (
    Markup,
    badge,
    code,
    facts,
    figure,
    intervals,
    lines,
    number,
    page,
    paragraph,
    section,
    table,
)
from kfp_hallmark.slicing import FEWEST, SMALL

Confusion = tuple[list[str], list[list[int]]]


def evaluation_page(
    predictions: Predictions,
    values: dict[str, float | None],
    spans: dict[str, Interval | None],
    slices: Sequence[Slice],
    confusion: Confusion | None,
    decided: CostReport | None,
    search: Search | None,
    confidence: float,
    seed: int,
) -> str:
    """Return the report.

    Args:
        predictions: What was measured.
        values: Metric to value.
        spans: Metric to confidence interval.
        slices: What was measured on each slice.
        confusion: Classes and counts; None for regression.
        decided: What was found out about costs, or None.
        search: What came of searching slices, or None.
        confidence: Confidence level of the intervals.
        seed: Seed of the resampling.
    """
    parts = [_about(predictions), _metrics(values, spans, predictions.task, confidence)]
    if slices:
        parts.append(_slices(slices, predictions.task, confidence))
    if search is not None:
        parts.append(_found(search, predictions.task, confidence))
    if confusion is not None:
        parts.append(_confusion(confusion))
    if predictions.task == BINARY and predictions.score is not None:
        parts += [
            _roc(predictions, values),
            _lift(predictions, confidence, seed),
            _calibration(predictions, confidence),
        ]
    if decided is not None:
        parts.append(_costs(decided, confidence))
    first = HEADLINES[predictions.task][0]
    lead = f"{_words(first)} {number(values[first])} on {len(predictions.label):,} rows."
    small = sum(each.small for each in slices)
    if small:
        lead += f" {small} of {len(slices)} slices have fewer than {SMALL} rows."
    return page("Evaluation", *parts, lead=lead)


def _about(predictions: Predictions) -> Markup:
    about: dict[str, Any] = {"task": predictions.task, "target": code(predictions.target)}
    if predictions.task == BINARY:
        share = float(predictions.positive_label.mean())
        about["positive class"] = f"{predictions.positive_class}, {share:.1%} of the rows"
        about["threshold"] = number(predictions.threshold)
    elif predictions.task != REGRESSION:
        about["classes"] = len(predictions.classes)
    return facts(about | {role: code(digest) for role, digest in predictions.subjects.items()})


def _metrics(
    values: dict[str, float | None], spans: dict[str, Interval | None], task: str, confidence: float
) -> Markup:
    rows = [[_words(name), value, _span(spans[name])] for name, value in values.items()]
    found = [table(["Metric", "Value", f"{confidence:.0%} interval"], rows)]
    if task != REGRESSION:
        title = f"Metrics with {confidence:.0%} intervals"
        chart = intervals(title, [(_words(name), value, spans[name], "") for name, value in values.items()])
        found.append(figure(chart, f"{title}."))
    return section("Metrics", *found)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _span(span: Interval | None) -> str | None:
    return None if span is None else f"{number(span[0])} to {number(span[1])}"


def _slices(slices: Sequence[Slice], task: str, confidence: float) -> Markup:
    names = HEADLINES[task]
    measured = (part for name in names for part in (_words(name), f"{confidence:.0%} interval"))
    head = ["Column", "Slice", "Rows", *measured, ""]
    rows = [
        [
            code(each.column),
            each.name,
            each.rows,
            *(part for name in names for part in (each.values[name], _span(each.intervals[name]))),
            badge("few rows") if each.small else "",
        ]
        for each in slices
    ]
    charts = []
    for column in dict.fromkeys(each.column for each in slices):
        of_column = [each for each in slices if each.column == column]
        title = f"{_words(names[0])} by {column}, with {confidence:.0%} intervals"
        items = [(each.name, each.values[names[0]], each.intervals[names[0]], "") for each in of_column]
        charts.append(figure(intervals(title, items), f"{title}."))
    note = (
        f"Values with fewer than {FEWEST} rows are put together, and not measured when they are still fewer; slices of "
        f"fewer than {SMALL} rows are marked: what is measured there says little."
    )
    return section("Slices", paragraph(note, note=True), table(head, rows), *charts)


def _found(search: Search, task: str, confidence: float) -> Markup:
    loss = "mean absolute error" if task == REGRESSION else "share of wrong predictions"
    note = (
        f"Of {number(search.searched)} slices of at least {SMALL} rows (columns taken singly: "
        f"{number(search.columns)}; in pairs: {number(search.paired)}), these were the worst on one half of the rows "
        f"by their {loss}. What is told of them was measured on the other half; with {confidence:.0%} confidence all "
        "intervals hold together."
    )
    if not search.slices:
        return section("Slices found", paragraph(note, note=True), "No slice of rows enough was worse than the rest.")
    items = [
        (f"{place}. {_name(each)}", each.loss - each.rest, each.interval, "fail" if each.confirmed else "")
        for place, each in enumerate(search.slices, 1)
    ]
    chart = intervals(f"{loss} above that of the rest", items, limits=[0.0])
    caption = f"By how much the {loss} exceeds that of all other rows; red where the whole interval does."
    rows = [
        [
            f"{place}. {_name(each)}",
            each.rows,
            each.loss,
            each.rest,
            _span(each.interval),
            "shown" if each.confirmed else "may be chance",
        ]
        for place, each in enumerate(search.slices, 1)
    ]
    head = ["Slice", "Rows", loss.capitalize(), "Of the rest", "Interval of the difference", "Worse"]
    return section("Slices found", paragraph(note, note=True), figure(chart, caption), table(head, rows))


def _name(found: FoundSlice) -> str:
    return " and ".join(f"{column} {value}" for column, value in found.parts)


def _confusion(confusion: Confusion) -> Markup:
    classes, counts = confusion
    head = ["True class", *(f"predicted {name}" for name in classes), "Rows", "Found"]
    rows = []
    for index, (name, row) in enumerate(zip(classes, counts, strict=True)):
        total = sum(row)
        rows.append([name, *row, total, f"{row[index] / total:.1%}" if total else None])
    return section("Confusion matrix", table(head, rows))


def _roc(predictions: Predictions, values: dict[str, float | None]) -> Markup:
    false, true, _ = roc_curve(predictions)
    chart = lines("ROC curve", [("model", false, true)], "false positive rate", "true positive rate", diagonal=True)
    area = number(values["roc_auc"])
    return section("ROC curve", figure(chart, f"The area under the curve is {area}; guessing has 0.5 (dotted)."))


def _lift(predictions: Predictions, confidence: float, seed: int) -> Markup:
    table_of = lift_table(predictions, confidence=confidence, seed=seed)
    shares, gains = ([0.0, *(getattr(each, name) for each in table_of)] for name in ("share", "gain"))
    chart = lines(
        "Cumulative gain",
        [("model", shares, gains)],
        "share of rows taken",
        "share of positives",
        diagonal=True,
        dots=True,
    )
    caption = "How many of the positives are among the rows of the greatest scores; taken by chance, the dotted line."
    rows = [[f"{each.share:.1%}", f"{each.gain:.1%}", each.lift, _span(each.interval)] for each in table_of]
    head = ["Rows taken", "Positives found", "Lift", f"{confidence:.0%} interval"]
    return section("Gain and lift", figure(chart, caption), table(head, rows))


def _costs(decided: CostReport, confidence: float) -> Markup:
    said = {name: number(value) for name, value in decided.costs.said().items()}
    several = isinstance(decided.costs, ClassCosts)
    rows = [["the model's own", *_decided(decided.own)]]
    if decided.chosen is not None and decided.saving is not None:
        chosen_on = "chosen on one half of the rows" if decided.halved else "chosen on the validation data"
        rows.append(["least expected cost" if several else chosen_on, *_decided(decided.chosen)])
        rows.append(["saved by it", None, decided.saving.cost, _span(decided.saving.interval)])
    head = ["Decision", "Threshold", "Cost of a row", f"{confidence:.0%} interval"]
    if several:
        head, rows = [name for name in head if name != "Threshold"], [[row[0], *row[2:]] for row in rows]
    parts = [facts(said), table(head, rows)]
    if several and decided.chosen is not None:
        note = "By the least expected cost, each row gets the class that costs least by the probabilities of all."
        parts.append(paragraph(note, note=True))
    if decided.halved:
        note = (
            "There were no validation data, so one half of the rows chose the threshold. What it costs and saves is "
            "told of the other half, and so need not add up to the model's own cost, which is of all rows."
        )
        parts.append(paragraph(note, note=True))
    thresholds, means = decided.curve
    if thresholds:
        chart = lines("Cost by threshold", [("this data", thresholds, means)], "threshold", "cost of a row")
        caption = (
            "What a row costs at each threshold on these rows. Its lowest point is no choice to make: chosen and "
            "measured on the same rows, a threshold seems cheaper than it is."
        )
        parts.append(figure(chart, caption))
    return section("Costs", *parts)


def _decided(decided: Decided) -> list[Any]:
    return [decided.threshold, decided.cost, _span(decided.interval)]


def _calibration(predictions: Predictions, confidence: float) -> Markup:
    mean, share, rows = calibration_curve(predictions)
    spans = [
        span
        for hits, count in zip(share, rows, strict=True)
        if (span := wilson_interval(hits * count, count, confidence)) is not None
    ]
    chart = lines(
        "Calibration",
        [("model", mean, share)],
        "mean score",
        "share of positives",
        diagonal=True,
        dots=True,
        spans=spans,
    )
    caption = (
        f"Each dot is about {round(sum(rows) / len(rows)):,} rows of like score with its {confidence:.0%} interval; on "
        "the dotted line scores are what they claim to be: probabilities."
    )
    return section("Calibration", figure(chart, caption))
