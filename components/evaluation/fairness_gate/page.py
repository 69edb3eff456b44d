"""The fairness gate's report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kfp_hallmark.components.evaluation.fairness_gate.tradeoff import TradeOff
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, Predictions
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.fairness.registry import (
    DIFFERENCE,
    DISPARITIES,
    GROUP_MIN,
    KINDS,
    RATIO,
    SELECTION_RATE,
    Disparity,
)
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
    lines,
    number,
    page,
    paragraph,
    section,
    table,
    verdict_facts,
)

SIZE_CHECK = "group_size"
"""The name of the check that a group too small to judge gets."""
CHAMPION_CHECK = "champion"
"""The name of the checks that hold a disparity against the champion's."""
NAMED = {
    "accuracy_score": "accuracy",
    "zero_one_loss": "error rate",
    "balanced_accuracy_score": "balanced accuracy",
    "precision_score": "precision",
    "recall_score": "recall",
    "f1_score": "F1 score",
    "roc_auc_score": "ROC AUC",
    "r2_score": "R²",
}
"""How a sentence names what Fairlearn names for scikit-learn's function."""
MOST_CURVES = 5
"""How many disparities a chart of the trade-off shows; a colour is left for the threshold that the model has."""
CHAMPION_WORDS = {
    Status.FAIL: "Against the champion a limit is broken.",
    Status.INCONCLUSIVE: "Against the champion the data cannot tell.",
    Status.WARN: "There is no champion, though there were releases.",
    Status.PASS: "Against the champion every limit is kept.",
}
SUFFIXES = {"group_min": "least {} of a group", "group_max": "greatest {} of a group"}


def sentence(name: str) -> str:
    """Return the name of a disparity as a sentence begins with it."""
    for suffix, words in SUFFIXES.items():
        if name.endswith(f"_{suffix}"):
            return _capital(words.format(_plain(name.removesuffix(f"_{suffix}"))))
    stem, _, statistic = name.rpartition("_")
    return _capital(f"{_plain(stem)} {statistic}")


def _plain(stem: str) -> str:
    return NAMED.get(stem, stem.replace("_", " "))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def fairness_page(
    verdict: Verdict, predictions: Predictions, tallies: Sequence[Tally], trade_offs: Sequence[TradeOff] = ()
) -> str:
    """Return the report as one HTML document."""
    confidence, least = verdict.parameters["confidence"], verdict.parameters["min_group_size"]
    judged = [check for check in verdict.checks if check.name not in (SIZE_CHECK, CHAMPION_CHECK)]
    grown = [check for check in verdict.checks if check.name == CHAMPION_CHECK]
    small = [check for check in verdict.checks if check.name == SIZE_CHECK]
    about = Markup(
        f"{number(len(predictions.label))} rows; {_positive(predictions)}"
        f"A group with fewer than {number(least)} rows is not judged, and what the model makes of it is not told."
    )
    return page(
        "Fairness gate",
        section("What was judged", verdict_facts(verdict), paragraph(about)),
        section("Checks", check_table(judged)),
        *([_champion_section(grown)] if grown else []),
        *(
            _feature_section(each, [check for check in judged if check.scope == each.scope], confidence, least)
            for each in tallies
        ),
        *([_small_section(small)] if small else []),
        *([_trade_off_section(trade_offs)] if trade_offs else []),
        section("How to read this", *_reading(judged, confidence, predictions)),
        status=verdict.status,
        lead=_lead(verdict.checks),
    )


def _positive(predictions: Predictions) -> Markup:
    """Say which prediction is the positive one."""
    if predictions.task == BINARY:
        return Markup(f"a positive prediction is {code(predictions.target)} = {code(predictions.positive_class)}. ")
    if predictions.classes:
        return Markup(f"{len(predictions.classes)} classes of {code(predictions.target)}, each held against the rest. ")
    return Markup(f"{code(predictions.target)} is predicted as a number. ")


def _champion_section(checks: Sequence[Check]) -> Markup:
    """Return what became of each disparity since the champion."""
    words = (
        "By how much each difference is greater, or each ratio less, than the champion's on the same rows. A check "
        "passes when its whole interval keeps the limit, fails when its whole interval breaks it, and is inconclusive "
        "in between."
    )
    spoken = [
        replace(
            check,
            scope={key: value.replace("_", " ") if key == "measure" else value for key, value in check.scope.items()},
        )
        for check in checks
    ]
    return section("Against the champion", words, check_table(spoken))


def _small_section(checks: Sequence[Check]) -> Markup:
    """Return a row for each group that is too small, with all that it is too small for."""
    messages: dict[str, list[str]] = {}
    for check in checks:
        messages.setdefault(f"{check.scope['feature']} {check.scope['group']}", []).append(check.message)
    rows = [[badge(Status.INCONCLUSIVE), " ".join(each)] for each in messages.values()]
    return section("Groups too small to judge", table(["Status", "What it means"], rows))


def _trade_off_section(found: Sequence[TradeOff]) -> Markup:
    """Return a chart for each feature, a curve for each disparity."""
    charts = []
    for feature in dict.fromkeys(each.feature for each in found):
        curves = [each for each in found if each.feature == feature][:MOST_CURVES]
        series = [(sentence(each.measure.name), each.disparities, each.accuracies) for each in curves]
        first = curves[0]
        now = (
            f"Now, at {number(first.thresholds[first.chosen])}",
            [each.disparities[each.chosen] for each in curves],
            [each.accuracies[each.chosen] for each in curves],
        )
        title = f"Balanced accuracy against disparity between the groups of {feature}"
        chart = lines(title, [*series, now], "disparity", "balanced accuracy", dots=True)
        charts.append(
            figure(chart, f"{feature}: each dot is a threshold; further left is more alike, further up better.")
        )
    words = "What other thresholds of the score would give on these rows; the choice belongs on validation data."
    return section("Trade-off over thresholds", words, *charts)


def _lead(checks: Sequence[Check]) -> str:
    """Say which features came to what, the worst first, and what came of the champion."""
    phrases = {
        Status.FAIL: "A limit is broken between the groups of",
        Status.INCONCLUSIVE: "There is too little data to judge some groups of",
        Status.WARN: "Every limit is kept, but a true disparity beyond one cannot be ruled out, for",
        Status.PASS: "Every limit is kept for",
    }
    said = by_status([check for check in checks if check.name != CHAMPION_CHECK], phrases)
    grown = [check.status for check in checks if check.name == CHAMPION_CHECK]
    return " ".join([*said, *([CHAMPION_WORDS[Status.worst(grown)]] if grown else [])])


def _feature_section(each: Tally, checks: Sequence[Check], confidence: float, least: int) -> Markup:
    caption = f"Each measure with its {confidence:.0%} interval; the dashed mark is its limit."
    charts = [figure(_chart(each, alike), caption) for alike in _by_unit(checks)]
    return section(each.title, *charts, _group_table(each, confidence, least))


def _by_unit(checks: Sequence[Check]) -> list[list[Check]]:
    """Return the checks that can share an axis together: all shares, and each of the others with its own."""
    units: dict[tuple[str, ...], list[Check]] = {}
    for check in checks:
        measure = next(measure for measure in DISPARITIES if measure.name == check.name)
        units.setdefault(() if measure.bounds == (0, 1) else measure.quantities, []).append(check)
    return list(units.values())


def _chart(each: Tally, checks: Sequence[Check]) -> Markup:
    return intervals(
        f"Disparity between the groups of {each.title}",
        [(sentence(check.name), check.observed, check.interval, str(check.status)) for check in checks],
        item_limits=[_limit(check) for check in checks],
    )


def _limit(check: Check) -> float:
    return next(limit for limit in (check.minimum, check.maximum) if limit is not None)


def _group_table(each: Tally, confidence: float, least: int) -> Markup:
    """Return a row for each group, what is compared with its intervals; what is of too few rows is not told."""
    ends = {name: quantity.ends(confidence) for name, quantity in each.quantities.items()}
    total = int(each.sizes.sum())
    rows = []
    for place, name in enumerate(each.groups.names):
        size = int(each.sizes[place])
        cells = [value_cell(each, compared, place, ends[compared], least) for compared in each.quantities]
        rows.append([code(name), size, f"{size / total:.1%}", *cells])
    return table(["Group", "Rows", "Share", *(_capital(name) for name in each.quantities)], rows)


def _meaning(measure: Disparity) -> str:
    """Say how a disparity comes from the values of the groups."""
    if len(measure.quantities) > 1:
        first, second = measure.quantities
        worse = "lesser" if measure.statistic == RATIO else "greater"
        parity = 1 if measure.statistic == RATIO else 0
        return f"The {worse} of the {measure.statistic}s in {first} and in {second}. {parity} is parity."
    (name,) = measure.quantities
    if measure.statistic == DIFFERENCE:
        return f"Greatest {name} of a group minus the least. 0 is parity."
    if measure.statistic == RATIO:
        fifths = "; the four-fifths rule asks for 0.8" if name == SELECTION_RATE else ""
        return f"Least {name} of a group divided by the greatest. 1 is parity{fifths}."
    return f"{'Least' if measure.statistic == GROUP_MIN else 'Greatest'} {name} of a group."


def _reading(checks: Sequence[Check], confidence: float, predictions: Predictions) -> list[Markup]:
    names = {check.name for check in checks}
    used = [measure for measure in DISPARITIES if measure.name in names]
    compared = [name for name in KINDS if any(name in measure.quantities for measure in used)]
    return [
        facts({sentence(measure.name): _meaning(measure) for measure in used}),
        paragraph(
            "Of a group, where positive is the class that is held against the rest:"
            if predictions.task == MULTICLASS
            else "Of a group:"
        ),
        facts({name: f"{KINDS[name].meaning}." for name in compared}),
        paragraph(
            f"A check fails when its value breaks the limit, warns when only its {confidence:.0%} interval does, and "
            "is inconclusive when too few groups are large enough. The interval of a disparity holds the differences "
            "of all pairs of groups at once; the intervals in the tables are each for itself, of shares Wilson's; "
            "what is of only so many rows is not told, as it would tell of single persons. "
            "The more groups and the fewer rows, the further apart the extremes lie by chance alone.",
            note=True,
        ),
    ]
