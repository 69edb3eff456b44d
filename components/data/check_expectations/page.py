"""The report on a suite of expectations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from kfp_hallmark.components.data.check_expectations.results import Result
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.reports import (
    Markup,
    bars,
    check_table,
    code,
    facts,
    figure,
    page,
    paragraph,
    section,
    verdict_facts,
)

SHOWN = 40
"""How many expectations the chart shows, the worst first."""
WORDS = {
    Status.PASS: "hold",
    Status.WARN: "warn",
    Status.FAIL: "do not hold",
    Status.INCONCLUSIVE: "cannot be told",
}


def render(verdict: Verdict, results: Sequence[Result], rows: int, columns: int) -> str:
    """Return the report as a whole HTML document."""
    parameters = verdict.parameters
    about = {
        "suite": parameters["suite"],
        "suite digest": code(parameters["suite_digest"]),
        "Great Expectations": parameters["great_expectations"],
    }
    about |= {f"${name}": str(value) for name, value in parameters["suite_parameters"].items()}
    shown = [
        replace(each, scope={key: value for key, value in each.scope.items() if key != "suite"})
        for each in verdict.checks
    ]
    return page(
        "Expectations",
        verdict_facts(verdict),
        facts(about),
        *_unexpected(verdict.checks, results),
        section("Expectations", check_table(shown), paragraph(_note(), note=True)),
        status=verdict.status,
        lead=lead(verdict, rows, columns),
    )


def lead(verdict: Verdict, rows: int, columns: int) -> str:
    """Return what came out, in a sentence or two."""
    counts = Counter(check.status for check in verdict.checks)
    told = ", ".join(f"{counts[status]} {words}" for status, words in WORDS.items() if counts[status])
    return f"{rows:,} rows, {columns:,} columns. Of {len(verdict.checks)} expectations {told}."


def _unexpected(checks: Sequence[Check], results: Sequence[Result]) -> list[Markup]:
    """Return a chart of the expectations that some rows do not meet."""
    shares = [
        (_label(result), float(result.counts["unexpected_count"] or 0) / result.considered, str(check.status))
        for check, result in zip(checks, results, strict=True)
        if result.considered and result.counts.get("unexpected_count")
    ]
    if not shares:
        return []
    worst = sorted(shares, key=lambda each: -each[1])[:SHOWN]
    chart = bars("Unexpected rows, in %", [(label, 100 * share, status) for label, share, status in worst])
    more = f" {len(shares) - SHOWN} with fewer are not drawn." if len(shares) > SHOWN else ""
    caption = f"Rows that are not as expected, in % of those that have a value.{more}"
    return [section("Unexpected rows", figure(chart, caption))]


def _label(result: Result) -> str:
    words = result.type.removeprefix("expect_").removeprefix("column_").replace("_", " ")
    return f"{', '.join(result.columns)} {words}"


def _note() -> str:
    return (
        "Observed: the share of rows as expected, of those that have a value, against the share that is asked for; the "
        "number of distinct values that are not expected; or the aggregate that is limited. Values of single records, "
        "such as the greatest, are not shown. What cannot be computed is no pass, whatever its severity."
    )
