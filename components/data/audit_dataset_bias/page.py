"""The report of an audit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kfp_hallmark.components.data.audit_dataset_bias.checks import SIZE_CHECK
from kfp_hallmark.components.data.audit_dataset_bias.findings import MAX_ROWS, Feature
from kfp_hallmark.components.data.audit_dataset_bias.labels import Labels
from kfp_hallmark.components.data.audit_dataset_bias.limits import MEASURES, PROXY
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.fairness.proxies import Association
from kfp_hallmark.fairness.tally import Tally
from kfp_hallmark.fairness.words import by_status, value_cell
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

SHOWN = 20
"""How many groups or columns a chart, or a table of the foremost, shows."""


def bias_page(verdict: Verdict, labels: Labels, features: Sequence[Feature]) -> str:
    """Return the report as one HTML document."""
    confidence, least = verdict.parameters["confidence"], verdict.parameters["min_group_size"]
    judged = [check for check in verdict.checks if check.name != SIZE_CHECK]
    small = [check for check in verdict.checks if check.name == SIZE_CHECK]
    rows, labelled = len(labels.known), len(labels.values)
    unlabelled = f" {number(rows - labelled)} rows have no label." if labelled < rows else ""
    about = Markup(
        f"{number(rows)} rows; {_meaning(labels)}{unlabelled} Groups of fewer than {number(least)} rows are shown, "
        "but not compared, and what their labels are is not told."
    )
    return page(
        "Dataset bias audit",
        section("What was judged", verdict_facts(verdict), paragraph(about)),
        section("Checks", check_table(judged)),
        *(part for feature in features for part in _feature_sections(feature, features, verdict, confidence, least)),
        *([_small_section(small)] if small else []),
        section("How to read this", *_reading(judged, confidence)),
        status=verdict.status,
        lead=_lead(verdict.checks),
    )


def _meaning(labels: Labels) -> Markup:
    if not labels.classes:
        return Markup(f"the label {code(labels.target)} is taken as a number.")
    if labels.positive is None:
        return Markup(f"{len(labels.classes)} classes of {code(labels.target)}, each held against the rest.")
    return Markup(f"the label rate is the share with {code(labels.target)} = {code(labels.classes[labels.positive])}.")


def _lead(checks: Sequence[Check]) -> str:
    """Say which features came to what, the worst first."""
    phrases = {
        Status.FAIL: "A limit is broken for",
        Status.INCONCLUSIVE: "There is too little data to judge all of",
        Status.WARN: "Every limit is kept, but that a true value lies beyond one cannot be ruled out, for",
        Status.PASS: "Every limit is kept for",
    }
    return " ".join(by_status(checks, phrases))


def _feature_sections(
    feature: Feature, features: Sequence[Feature], verdict: Verdict, confidence: float, least: int
) -> list[Markup]:
    """Return what there is to see of the groups of one feature."""
    parts = [_label_chart(tally, confidence, least) for tally in feature.labels if tally.of_class is None]
    parts.append(_group_table(feature, confidence, least))
    if feature.proxies is None and (absent := _absent(features)):
        parts.append(paragraph(f"No row has one of {number(absent)} other combinations of these groups.", note=True))
    sections = [section(feature.name, *parts)]
    if feature.missing:
        sections.append(_missing_section(feature, least))
    if feature.proxies:
        limit = verdict.parameters["limits"].get(PROXY.limit)
        sections.append(_proxy_section(feature, feature.proxies, confidence, limit))
    return sections


def _label_chart(tally: Tally, confidence: float, least: int) -> Markup:
    """Return the label rate, or the mean label, of the groups that are compared; of many the lowest and the highest."""
    ((name, quantity),) = tally.quantities.items()
    known = tally.comparable([name], least).get(name)
    if known is None:
        return Markup("")
    low, high = quantity.ends(confidence)
    order = sorted(known.tolist(), key=lambda place: float(quantity.values[place]))
    left = len(order) - SHOWN
    shown = order if left <= 0 else [*order[: SHOWN // 2], *order[-SHOWN // 2 :]]
    items = [
        (tally.groups.names[place], float(quantity.values[place]), (float(low[place]), float(high[place])), "")
        for place in shown
    ]
    more = f" The {number(left)} groups in between are in the table alone." if left > 0 else ""
    caption = f"{_capital(name)} of each group, with its own {confidence:.0%} interval.{more}"
    return figure(intervals(f"{_capital(name)} by {tally.groups.feature}", items), caption)


def _group_table(feature: Feature, confidence: float, least: int) -> Markup:
    """Return a row for each group: its share, that of the population, its labels where they are not of few rows."""
    shares = feature.shares
    low, high = shares.ends(confidence)
    names, ratios = feature.representation
    compared = {
        name: (f"{ratios.reference[place]:.1%}", f"{ratios.values[place]:.2f}") for place, name in enumerate(names)
    }
    columns = [
        "Group",
        "Rows",
        "Share",
        *(["In population", "Ratio"] if names else []),
        *map(_label_column, feature.labels),
    ]
    told = [
        (tally, name, quantity.ends(confidence))
        for tally in feature.labels
        for name, quantity in tally.quantities.items()
    ]
    rows = []
    for place, name in enumerate(feature.groups.names):
        share = Markup(f'{shares.values[place]:.1%} <span class="note">{low[place]:.1%} to {high[place]:.1%}</span>')
        cells = [value_cell(tally, quantity, place, ends, least) for tally, quantity, ends in told]
        beside = list(compared.get(name, (None, None))) if names else []
        rows.append([code(name), int(feature.sizes[place]), share, *beside, *cells])
    rows += [
        [code(name), 0, "0.0%", *compared[name], *(None for _ in feature.labels)]
        for name in names
        if name not in feature.groups.names
    ]
    return table(columns, rows)


def _label_column(tally: Tally) -> str:
    (name,) = tally.quantities
    return _capital(name) if tally.of_class is None else f"{_capital(name)} of {tally.of_class}"


def _absent(features: Sequence[Feature]) -> int:
    """Return how many combinations of the groups of single features no row has."""
    single = [len(each.groups.names) for each in features if each.proxies is not None]
    return math.prod(single) - len(features[-1].groups.names)


def _missing_section(feature: Feature, least: int) -> Markup:
    """Return a row for each column that lacks values, the greatest difference between groups first."""
    import numpy as np

    heading, large = f"Missing values by {feature.name}", np.flatnonzero(feature.sizes >= least)
    if len(large) < 2:
        return section(heading, "Fewer than two groups are large enough to compare.")
    rows = []
    for name, rate in feature.missing.items():
        values = rate.of(large).values
        ends = [
            Markup(f"{values[place]:.1%} {code(feature.groups.names[large[place]])}")
            for place in (values.argmin(), values.argmax())
        ]
        whole = rate.hits.sum() / rate.trials.sum()
        rows.append((values.max() - values.min(), [code(name), f"{whole:.1%}", *ends]))
    rows.sort(key=lambda row: -row[0])
    left = len(rows) - SHOWN
    more = f" {number(left)} columns in which groups differ less are not shown." if left > 0 else ""
    columns = ["Column", "All rows", "Least of a group", "Greatest of a group", "Difference"]
    cells = [[*row, f"{100 * difference:.1f} points"] for difference, row in rows[:SHOWN]]
    return section(heading, f"The share of a group's rows that lack a value.{more}", table(columns, cells))


def _proxy_section(feature: Feature, proxies: Sequence[Association], confidence: float, limit: float | None) -> Markup:
    items = [
        (
            each.feature,
            round(each.strength, 4),
            each.interval,
            "fail" if limit is not None and each.strength > limit else "",
        )
        for each in proxies[:SHOWN]
    ]
    left = len(proxies) - len(items)
    more = f" {number(left)} columns that tell it less are not shown." if left > 0 else ""
    caption = (
        f"Share of the variance of {feature.name} that a column explains, with {confidence:.0%} intervals that hold "
        f"for all columns together.{more}"
    )
    limits = [] if limit is None else [limit]
    chart = intervals(f"How well columns tell {feature.name}", items, limits=limits)
    return section(f"What tells {feature.name}", figure(chart, caption))


def _small_section(checks: Sequence[Check]) -> Markup:
    rows = [[badge(check.status), check.message] for check in checks]
    return section("Groups too small to judge", table(["Status", "What it means"], rows))


def _reading(checks: Sequence[Check], confidence: float) -> list[Markup]:
    names = {check.name for check in checks}
    return [
        facts({measure.title: measure.meaning for measure in MEASURES if measure.name in names}),
        paragraph(
            f"A check fails when its value breaks the limit, warns when only its {confidence:.0%} interval does, and "
            "is inconclusive when too little can be compared. The interval of a difference or a ratio holds those of "
            "all pairs of groups at once, for missing values of all columns too; those of single groups in tables and "
            "charts are each for itself. The more groups and the fewer rows, the further apart the extremes lie by "
            f"chance alone. Columns that tell a group are looked for in at most {number(MAX_ROWS)} rows."
        ),
        paragraph(
            "Equal label rates do not make labels right, nor do unequal ones make them wrong: groups may differ in "
            "what is labelled, and labels may carry past unfairness. What a model makes of the data, fairness_gate "
            "judges.",
            note=True,
        ),
    ]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
