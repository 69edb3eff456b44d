"""The report of a screening."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kfp_hallmark.components.data.screen_poisoning.checks import Found
from kfp_hallmark.components.data.screen_poisoning.labels import Labels
from kfp_hallmark.components.data.screen_poisoning.limits import MEASURES, SHIFT, TRIGGER, Measure
from kfp_hallmark.components.data.screen_poisoning.regions import LEVEL, Region
from kfp_hallmark.components.data.screen_poisoning.triggers import APART, Pattern
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.reports import (
    Markup,
    badge,
    bars,
    check_table,
    code,
    facts,
    figure,
    number,
    page,
    paragraph,
    section,
    table,
    verdict_facts,
)

SHOWN = 10
"""How many findings of a kind are shown at the most."""


def poisoning_page(
    verdict: Verdict, labels: Labels, found: Found, wanted: Mapping[Measure, float], suspected: int
) -> str:
    """Return the report as one HTML document."""
    side = labels.sides[0]
    return page(
        "Poisoning screening",
        section("What was judged", verdict_facts(verdict), paragraph(_about(labels, found, verdict))),
        section("Checks", check_table(verdict.checks)),
        *([_label_section(found, side.labels)] if found.suspects is not None else []),
        *([_trigger_section(found, wanted[TRIGGER])] if found.patterns is not None else []),
        *([_region_section(found, wanted[SHIFT])] if found.regions is not None else []),
        section("How to read this", *_reading(wanted, suspected)),
        status=verdict.status,
        lead=_lead(verdict.checks),
    )


def _about(labels: Labels, found: Found, verdict: Verdict) -> Markup:
    side = labels.sides[0]
    taken = "all" if len(side.rows) == side.available else number(len(side.rows))
    unlabelled = f" {number(side.unlabelled)} have no label." if side.unlabelled else ""
    beside = (
        f" The baseline has {number(labels.sides[1].available)} rows, of which {number(len(labels.sides[1].rows))} "
        "were taken."
        if len(labels.sides) > 1
        else " There is no baseline: what a label's share was before is not known."
    )
    return Markup(
        f"{number(side.available)} rows, of which {taken} were screened.{unlabelled} The label "
        f"{code(verdict.parameters['target'])} has {len(labels.classes)} classes that are judged; "
        f"{len(found.columns.names)} features vary.{beside}"
    )


def _lead(checks: Sequence[Check]) -> str:
    """Say what came out, the worst first."""
    phrases = {
        Status.FAIL: "Above the limit: {}.",
        Status.INCONCLUSIVE: "There is too little data to judge by: {}.",
        Status.WARN: "Every limit is kept, but a true value beyond it cannot be ruled out: {}.",
        Status.PASS: "Within the limit: {}.",
    }
    said = []
    for status, phrase in phrases.items():
        names = list(dict.fromkeys(check.name.replace("_", " ") for check in checks if check.status is status))
        if names:
            said.append(phrase.format(", ".join(names)))
    return " ".join(said)


def _label_section(found: Found, labels: Sequence[int]) -> Markup:
    import numpy as np

    assert found.suspects is not None
    count = len(found.classes)
    rows, wrong = (
        np.bincount(np.asarray(labels)[mask], minlength=count) for mask in (slice(None), found.suspects.wrong)
    )
    order = sorted(range(count), key=lambda place: -wrong[place] / max(rows[place], 1))[:SHOWN]
    cells = [
        [code(found.classes[place]), int(rows[place]), int(wrong[place]), f"{wrong[place] / max(rows[place], 1):.1%}"]
        for place in order
    ]
    return section(
        "Labels that cleanlab holds for wrong",
        "By probabilities from models that did not learn from the row. Where labels are hard to tell, most of these "
        "are right: their number says little by itself, its change more.",
        table(["Label", "Rows", "Held for wrong", "Share"], cells),
    )


def _trigger_section(found: Found, limit: float) -> Markup:
    assert found.patterns is not None
    heading = "Values that go with one label"
    if not found.patterns:
        return section(heading, "None goes with one label beyond what the rest of its rows explains.")
    flagged = found.triggers(limit)
    rows = [
        [
            flagged.index(pattern) + 1 if pattern in flagged else None,
            _held(found, pattern),
            code(found.classes[pattern.label]),
            pattern.rows,
            pattern.same,
            round(pattern.expected),
            f"{pattern.strength:.2f}",
            None if pattern.area is None else f"{pattern.area:.2f}",
            badge("fail" if pattern in flagged else "natural" if pattern.natural else "pass"),
        ]
        for pattern in found.patterns[:SHOWN]
    ]
    headings = ["Finding", "Rows with", "Label", "Rows", "Labelled so", "Expected", "Strength", "Told apart", "Status"]
    if all(pattern.area is None for pattern in found.patterns):
        return section(heading, table(headings[:-2] + headings[-1:], [row[:-2] + row[-1:] for row in rows]))
    note = (
        "Told apart is the ROC AUC by which a classifier tells the rows from others by their other columns: "
        f"from {APART} on, values may tell the label by nature. A baseline would decide it."
    )
    return section(heading, table(headings, rows), paragraph(note, note=True))


def _held(found: Found, pattern: Pattern) -> Markup:
    return Markup(" and ".join(f"{what} of {code(name)}" for what, name in found.held(pattern)))


def _region_section(found: Found, limit: float) -> Markup:
    assert found.regions is not None
    flagged = found.shifted(limit)
    shown = found.regions[:SHOWN]
    items = [
        (
            f"region {place}, {found.classes[region.label]}",
            round(abs(region.shift), 3),
            "fail" if region in flagged else "",
        )
        for place, region in enumerate(shown, 1)
    ]
    rows = [
        [
            place,
            ", ".join(region.conditions),
            code(found.classes[region.label]),
            region.rows,
            f"{region.before:.1%}",
            f"{region.now:.1%}",
            f"{region.shift:+.2f}",
            _chance(region),
        ]
        for place, region in enumerate(shown, 1)
    ]
    left = len(found.regions) - len(shown)
    more = f" {number(left)} regions that shifted less are not shown." if left > 0 else ""
    headings = ["Region", "Where", "Label", "Rows", "Before", "Now", "Cohen's h", "By chance"]
    caption = f"Cohen's h of the label that shifted most in a region, whatever its direction.{more}"
    chart = figure(bars("Shift of a label's share by region", items, limits=[limit]), caption)
    note = (
        "A tree made the regions of one half of the baseline; the shares before are those of the other half. Where a "
        "region lies is told by ranks and not by values: from 20 % is above the least 20 % of the baseline, or, of "
        "text, rarer than the most common 20 %."
    )
    return section("Labels by region of the features", chart, table(headings, rows), paragraph(note, note=True))


def _chance(region: Region) -> str:
    return f"no, p {region.p_value:.1g}" if region.p_value < LEVEL else f"p {region.p_value:.2f}"


def _reading(wanted: Mapping[Measure, float], suspected: int) -> list[Markup]:
    return [
        facts({measure.title: measure.meaning for measure in MEASURES if measure in wanted}),
        paragraph(
            f"The table suspects has {number(suspected)} entries: the positions of rows, by which check they are under "
            "suspicion, with which score, and the number of the finding here. Neither it nor this page holds values of "
            "the data: look the rows up to see what they have in common."
        ),
        paragraph(
            "A pass is no proof. Not found are single labels flipped where labels are hard to tell, triggers on fewer "
            "rows than 0.25 %, those whose rows were chosen to be alike otherwise, and what the baseline holds, too.",
            note=True,
        ),
    ]
