"""The performance gate's report."""

from __future__ import annotations

from collections.abc import Sequence

from kfp_hallmark.comparison import Question
from kfp_hallmark.components.evaluation.performance_gate.champion import Comparison
from kfp_hallmark.components.evaluation.performance_gate.serving import WORDS, Served
from kfp_hallmark.components.evaluation.performance_gate.slices import SliceComparison
from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.measures import LOGIT, METRICS, measure
from kfp_hallmark.reports import (
    Markup,
    badge,
    check_table,
    code,
    facts,
    figure,
    intervals,
    number,
    page,
    paragraph,
    section,
    table,
    verdict_facts,
)
from kfp_hallmark.slicing import SMALL

SHOWN = 30
"""How many slices the chart shows."""

DASHED = {
    Question.SUPERIORITY: "To be shown as better, all of it must lie right of the dashed line.",
    Question.NON_INFERIORITY: "The dashed line is the greatest loss allowed.",
    Question.EQUIVALENCE: "The dashed lines are the margin, within which all of it must lie.",
}
ASKED = {
    Question.SUPERIORITY: "The question is superiority: is the model better?",
    Question.NON_INFERIORITY: "The question is non-inferiority: is the model worse by no more than the margin?",
    Question.EQUIVALENCE: "The question is equivalence: do the two differ by no more than the margin, either way?",
}


def performance_page(
    verdict: Verdict,
    predictions: Predictions,
    comparison: Comparison | None,
    sliced: SliceComparison | None = None,
    served: Served | None = None,
) -> str:
    """Return the report as one HTML document."""
    limits = [check for check in verdict.checks if check.name in METRICS]
    serving = [check for check in verdict.checks if check.name in WORDS]
    confidence = verdict.parameters["confidence"]
    question = Question(verdict.parameters["champion_question"])
    about = f"{number(len(predictions.label))} rows, {predictions.task}."
    parts = [
        section("What was judged", verdict_facts(verdict), paragraph(about)),
        section("Checks", check_table(verdict.checks)),
        section("Limits", *_limit_charts(limits, confidence)),
    ]
    if comparison is not None:
        parts.append(_champion_section(predictions, comparison, question, confidence))
    if sliced is not None:
        parts.append(_slices_section(sliced, verdict.parameters["max_slice_loss"]))
    if served is not None:
        parts.append(_serving_section(served, verdict.checks))
    parts.append(section("How to read this", *_reading(confidence, comparison, question)))
    return page("Performance gate", *parts, status=verdict.status, lead=_lead([*limits, *serving], comparison, sliced))


def _lead(limits: Sequence[Check], comparison: Comparison | None, sliced: SliceComparison | None) -> str:
    broken = [check.name.replace("_", " ") for check in limits if check.status is Status.FAIL]
    unknown = [check.name.replace("_", " ") for check in limits if check.status is Status.INCONCLUSIVE]
    near = [check.name.replace("_", " ") for check in limits if check.status is Status.WARN]
    said = [f"Limits broken: {', '.join(broken)}."] if broken else []
    said += [f"Not to be judged: {', '.join(unknown)}."] if unknown else []
    said += [f"Kept, but with an interval that reaches beyond the limit: {', '.join(near)}."] if near else []
    said = said or ["Every limit is kept."]
    return " ".join(
        [
            *said,
            *(check.message for check in (comparison.checks if comparison else [])),
            *([sliced.checks[0].message] if sliced else []),
        ]
    )


def _limit_charts(checks: Sequence[Check], confidence: float) -> list[Markup]:
    """Return one chart of the metrics that lie between 0 and 1, and one for each other."""
    shares = [check for check in checks if _is_share(check)]
    charts = [shares] if shares else []
    charts += [[check] for check in checks if not _is_share(check)]
    caption = f"Each metric with its {confidence:.0%} interval; the dashed mark is its limit."
    captions = [""] * (len(charts) - 1) + [caption]
    return [figure(_limit_chart(chart), text) for chart, text in zip(charts, captions, strict=True)]


def _is_share(check: Check) -> bool:
    metric = METRICS[check.name]
    return (
        metric.of_counts is not None
        or metric.scale == LOGIT
        or metric.name in ("brier_score", "expected_calibration_error")
    )


def _limit_chart(checks: Sequence[Check]) -> Markup:
    return intervals(
        ", ".join(check.name.replace("_", " ") for check in checks),
        [(check.name.replace("_", " "), check.observed, check.interval, str(check.status)) for check in checks],
        item_limits=[limit for check in checks for limit in (check.minimum, check.maximum) if limit is not None],
    )


def _champion_section(
    predictions: Predictions, comparison: Comparison, question: Question, confidence: float
) -> Markup:
    check = comparison.check
    if comparison.champion is None:
        return section("Champion", check.message)
    metric = check.scope["metric"].replace("_", " ")
    chart = intervals(
        f"Advantage over the champion in {metric}",
        [(f"advantage in {metric}", check.observed, check.interval, str(check.status))],
        limits=[limit for limit in (check.minimum, check.maximum) if limit is not None],
    )
    caption = (
        f"How much better than version {check.scope['version']} the model is on the same rows, with its paired "
        f"{confidence:.0%} interval; below 0 it is worse. {DASHED[question]}"
    )
    first, second = measure(predictions), measure(comparison.champion)
    rows = [
        [name.replace("_", " "), first[name], second[name], "greater" if METRICS[name].greater_is_better else "smaller"]
        for name in first
    ]
    return section("Champion", figure(chart, caption), table(["Metric", "This model", "Champion", "Better is"], rows))


def _slices_section(sliced: SliceComparison, max_loss: float) -> Markup:
    metric = sliced.checks[0].scope["metric"].replace("_", " ")
    compared = [(each, each.found) for each in sliced.slices if each.found is not None]
    note = (
        f"The advantage over the champion in {metric} on each slice, the worst first. The intervals hold with "
        f"{number(100 * sliced.confidence)}% each, so that all hold together; a slice fails when all of its interval "
        f"lies beyond the loss allowed, and warns when a part of it does. Slices of fewer than {SMALL} rows are not "
        "compared."
    )
    rows = [
        [
            "" if each.found is None else badge(each.status),
            code(each.column),
            each.name,
            each.rows,
            None if each.found is None else each.found.difference,
            None if each.found is None else f"{number(each.found.interval[0])} to {number(each.found.interval[1])}",
        ]
        for each in sliced.slices
    ]
    parts = [paragraph(note, note=True)]
    if compared:
        items = [(each.label, found.difference, found.interval, str(each.status)) for each, found in compared]
        chart = intervals(f"Advantage in {metric} by slice", items[:SHOWN], limits=[-max_loss])
        which = f"The {SHOWN} worst slices" if len(items) > SHOWN else "Every slice that was compared"
        parts.append(figure(chart, f"{which}; the dashed line is the greatest loss allowed."))
    head = ["Status", "Column", "Slice", "Rows", "Advantage", "Corrected interval"]
    return section("Slices against the champion", *parts, table(head, rows))


def _serving_section(served: Served, checks: Sequence[Check]) -> Markup:
    about = {"size of the model": f"{number(served.size / 1e6, 3)} MB", "requests timed": number(len(served.seconds))}
    if served.refused:
        about["rows refused"] = f"{served.refused}: the model cannot be asked them in the form in which it is served"
    charts = [
        figure(_limit_chart([check]), f"{WORDS[check.name].capitalize()}; the dashed mark is its limit.")
        for check in checks
        if check.name in WORDS
    ]
    note = (
        "Requests of one row, from the bytes of a body to those of the answer, one after another in this process, "
        "without the network. The times are of the machine that ran the gate, beside all that ran on it."
    )
    return section("As it is served", paragraph(note, note=True), facts(about), *charts)


def _reading(confidence: float, comparison: Comparison | None, question: Question) -> list[Markup]:
    parts = [
        paragraph(
            f"A check fails when the metric breaks its limit, warns when only its {confidence:.0%} interval does, and "
            "is inconclusive when the metric is undefined on these rows."
        )
    ]
    if comparison is not None:
        parts.append(
            paragraph(
                f"The champion predicts the same rows. {ASKED[question]} The check passes when the whole "
                "interval of the advantage shows it, fails when the whole interval shows the contrary, and is "
                f"inconclusive in between. A model of which it is not true passes with a probability of at most about "
                f"{(1 - confidence) / 2:.2g}."
            )
        )
    return parts
