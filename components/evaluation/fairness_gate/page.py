"""The fairness gate's report."""

from __future__ import annotations

from collections.abc import Sequence

from kfp_hallmark.components.evaluation.fairness_gate.disparity import (
    SELECTION_RATE,
)
from kfp_hallmark.components.evaluation.fairness_gate.groups import Tally
from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.measures import wilson_interval
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

SIZE_CHECK = "group_size"
"""The name of the check that a group too small to judge gets."""
MEANINGS = {
    "demographic_parity_difference": "Greatest selection rate of a group minus the least. 0 is parity.",
    "demographic_parity_ratio": "Least selection rate of a group divided by the greatest. 1 is parity; the "
    "four-fifths rule asks for 0.8.",
    "equalized_odds_difference": "The greater of the differences in true and in false positive rate. 0 is parity.",
    "equal_opportunity_difference": "Greatest true positive rate of a group minus the least. 0 is parity.",
    "false_positive_rate_difference": "Greatest false positive rate of a group minus the least. 0 is parity.",
}


def fairness_page(verdict: Verdict, predictions: Predictions, tallies: Sequence[Tally]) -> str:
    """Return the report as one HTML document."""
    confidence, least = verdict.parameters["confidence"], verdict.parameters["min_group_size"]
    judged = [check for check in verdict.checks if check.name != SIZE_CHECK]
    small = [check for check in verdict.checks if check.name == SIZE_CHECK]
    about = Markup(
        f"{number(len(predictions.label))} rows; a positive prediction is {code(predictions.target)} = "
        f"{code(predictions.positive_class)}. A group with fewer than {number(least)} rows is not judged."
    )
    return page(
        "Fairness gate",
        section("What was judged", verdict_facts(verdict), paragraph(about)),
        section("Checks", check_table(judged)),
        *([_small_section(small)] if small else []),
        *(
            _feature_section(
                each, [check for check in judged if check.scope["feature"] == each.feature], confidence, least
            )
            for each in tallies
        ),
        section("How to read this", *_reading(judged, confidence)),
        status=verdict.status,
        lead=_lead(verdict.checks),
    )


def _small_section(checks: Sequence[Check]) -> Markup:
    rows = [[badge(check.status), check.message] for check in checks]
    return section("Groups too small to judge", table(["Status", "What it means"], rows))


def _lead(checks: Sequence[Check]) -> str:
    """Say which features came to what, the worst first."""
    phrases = {
        Status.FAIL: "A limit is broken between the groups of",
        Status.INCONCLUSIVE: "There is too little data to judge some groups of",
        Status.WARN: "Every limit is kept, but a true disparity beyond one cannot be ruled out, for",
        Status.PASS: "Every limit is kept for",
    }
    worst: dict[str, Status] = {}
    for check in checks:
        feature = check.scope["feature"]
        worst[feature] = Status.worst([check.status, worst.get(feature, Status.PASS)])
    found = {status: [name for name, state in worst.items() if state is status] for status in phrases}
    return " ".join(f"{phrases[status]} {', '.join(names)}." for status, names in found.items() if names)


def _feature_section(each: Tally, checks: Sequence[Check], confidence: float, least: int) -> Markup:
    chart = intervals(
        f"Disparity between the groups of {each.feature}",
        [(check.name.replace("_", " "), check.observed, check.interval, str(check.status)) for check in checks],
        item_limits=[_limit(check) for check in checks],
    )
    caption = f"Each measure with its {confidence:.0%} interval; the dashed mark is its limit."
    return section(each.feature, figure(chart, caption), _group_table(each, confidence, least))


def _limit(check: Check) -> float:
    return next(limit for limit in (check.minimum, check.maximum) if limit is not None)


def _group_table(each: Tally, confidence: float, least: int) -> Markup:
    """Return a row for each group, its rates with Wilson's intervals; what is too small to judge is flagged."""
    rows = []
    total = int(each.counts.sum())
    for place, name in enumerate(each.names):
        size = int(each.rates[SELECTION_RATE].trials[place])
        cells = [_rate(each, rate, place, confidence, least) for rate in each.rates]
        rows.append([code(name), size, f"{size / total:.1%}", *cells])
    columns = ["Group", "Rows", "Share", "Selection rate", "True positive rate", "False positive rate"]
    return table(columns, rows)


def _rate(each: Tally, rate: str, place: int, confidence: float, least: int) -> Markup:
    hits, trials = int(each.rates[rate].hits[place]), int(each.rates[rate].trials[place])
    small = trials < least or each.rates[SELECTION_RATE].trials[place] < least
    flag = f" {badge(Status.INCONCLUSIVE)}" if small else ""
    interval = wilson_interval(hits, trials, confidence)
    if interval is None:
        return Markup(f"–{flag}")
    low, high = (f"{end:.3f}" for end in interval)
    return Markup(f'{hits / trials:.3f} <span class="note">{low} to {high}, of {number(trials)}</span>{flag}')


def _reading(checks: Sequence[Check], confidence: float) -> list[Markup]:
    used = {check.name for check in checks}
    return [
        facts({name.replace("_", " "): meaning for name, meaning in MEANINGS.items() if name in used}),
        paragraph(
            "The selection rate is the share of a group's rows that is predicted positive; the true positive rate is "
            "that share among the rows that are positive, the false positive rate among those that are negative."
        ),
        paragraph(
            f"A check fails when its value breaks the limit, warns when only its {confidence:.0%} interval does, and "
            "is inconclusive when too few groups are large enough. The interval of a disparity holds the differences "
            "of all pairs of groups at once; the intervals in the tables are Wilson's, each for itself. The more "
            "groups and the fewer rows, the further apart the extremes lie by chance alone.",
            note=True,
        ),
    ]
