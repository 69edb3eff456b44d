"""The privacy gate's report."""

from __future__ import annotations

from collections.abc import Mapping

from kfp_hallmark.contracts.privacy import Spend, total
from kfp_hallmark.contracts.verdict import Status, Verdict
from kfp_hallmark.reports import (
    Markup,
    bars,
    check_table,
    code,
    figure,
    number,
    page,
    paragraph,
    section,
    table,
    verdict_facts,
)

SHOWN = 50
"""How many trainings are shown, the latest."""

NOT_PRIVATE = (
    "Without differential privacy, a model's parameters and predictions can tell of single people in its data. That "
    "nothing stands against release here says that nothing was promised, not that nothing is told."
)


def privacy_page(verdict: Verdict, spends: Mapping[str, Spend], own: str | None) -> str:
    """Return the report as one HTML document.

    Args:
        verdict: The verdict.
        spends: Hash of the ledger's line to what was spent, in order; empty when it cannot be read.
        own: The hash of the model's own line.
    """
    reading = _reading(spends) if verdict.parameters else [paragraph(NOT_PRIVATE)]
    return page(
        "Privacy gate",
        section("What was judged", verdict_facts(verdict)),
        section("Checks", check_table(verdict.checks)),
        *([_spent(spends, own, verdict.parameters["max_epsilon"])] if spends else []),
        section("How to read this", *reading),
        status=verdict.status,
        lead=_lead(verdict),
    )


def _lead(verdict: Verdict) -> str:
    if verdict.status is Status.PASS and not verdict.parameters:
        return " ".join(check.message for check in verdict.checks)
    if verdict.status is Status.PASS:
        return "The model is differentially private, and what was spent is within the limits."
    return " ".join(check.message for check in verdict.checks if check.status is not Status.PASS)


def _spent(spends: Mapping[str, Spend], own: str | None, limit: float) -> Markup:
    """Return the trainings, the latest last, and how epsilon grew."""
    lines = list(spends.items())
    shown = range(max(0, len(lines) - SHOWN), len(lines))
    sums = {place: total([spent for _, spent in lines[: place + 1]])[0] for place in shown}
    rows = [
        [
            number(place + 1),
            number(lines[place][1].rows),
            code(lines[place][1].target),
            number(lines[place][1].epsilon),
            f"{lines[place][1].delta:.3g}",
            number(sums[place]),
            "this model" if lines[place][0] == own else "",
        ]
        for place in shown
    ]
    left_out = len(lines) - len(shown)
    note = (
        [paragraph(f"The first {number(left_out)} are not shown; they are in the sums.", note=True)] if left_out else []
    )
    items = [(f"Training {place + 1}", sums[place]) for place in shown]
    chart = bars("Epsilon of all trainings up to each, added up", items, limits=[limit])
    return section(
        "What was spent",
        table(["Training", "Rows", "Target", "Epsilon", "Delta", "Epsilon so far", ""], rows),
        *note,
        figure(chart, "Epsilon of all trainings up to each, added up; the dashed line is its limit."),
    )


def _reading(spends: Mapping[str, Spend]) -> list[Markup]:
    """Say what the numbers mean, and what to keep."""
    kept = [
        paragraph(Markup(f"To notice next time that the ledger was cut, keep the hash of its last line: {code(line)}"))
        for line in list(spends)[-1:]
    ]
    return [
        paragraph(
            "Whatever anybody does with the models, one row more or less in the data makes no outcome more likely than "
            "exp(epsilon) times, but for a probability of delta. The number of rows counts as known."
        ),
        paragraph(
            "Epsilon and delta of all trainings in the ledger are added up, whichever snapshot or split of the data "
            "each used: this is always valid, and may be more than was lost. A training that was begun and not ended "
            "counts."
        ),
        paragraph(
            "This is about the models' parameters. Metrics, explanations and charts made from the data, and the "
            "digests of the data that a model folder states, are not covered and can tell of single people."
        ),
        *kept,
    ]
