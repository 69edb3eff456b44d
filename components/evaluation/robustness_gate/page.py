"""The robustness gate's report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kfp_hallmark.components.evaluation.robustness_gate.perturb import PERTURBATIONS, Perturbation
from kfp_hallmark.components.evaluation.robustness_gate.retrain import Retraining
from kfp_hallmark.components.evaluation.robustness_gate.search import Flips
from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.reports import (
    Markup,
    bars,
    check_table,
    code,
    figure,
    intervals,
    lines,
    number,
    page,
    paragraph,
    section,
    verdict_facts,
)

SHOWN = 20
"""How many features a chart shows, and how many checks the table."""
MEANINGS = {
    "missing": "A share of the values is missing.",
    "noise": "Normal noise is added to numbers, of so many of their standard deviations, and kept within their range; "
    "whole numbers stay whole.",
    "typo": "A share of the texts is misspelt by one letter.",
    "unseen": "A share of the categories is one that no row has.",
    "unit_shift": "One column of numbers is multiplied by a factor in every row, as when its unit changes.",
}


@dataclass
class Robustness:
    """What came out, as the report tells it.

    Attributes:
        clean: What the model says of the rows as they are.
        metric: The metric that drops.
        available: The number of rows in the dataset.
        searched: The number of rows for which other decisions are searched.
        features: The number of the model's features.
        checks: What was judged.
        flips: Which decisions one changed feature flips; None when that was not searched.
        evasions: Size to the rows evaded within it and the rows tried; empty when that was not searched.
        retraining: What models trained with other seeds say; None when that was not asked.
    """

    clean: Predictions
    metric: str
    available: int
    searched: int
    features: int
    checks: list[Check] = field(default_factory=list)
    flips: Flips | None = None
    evasions: dict[float, tuple[int, int]] = field(default_factory=dict)
    retraining: Retraining | None = None


def robustness_page(verdict: Verdict, found: Robustness) -> str:
    """Return the report as one HTML document."""
    rows = len(found.clean.label)
    of = (
        f"A sample of {number(rows)} of {number(found.available)} rows"
        if rows < found.available
        else f"All {rows:,} rows"
    )
    about = Markup(
        f"{of} with {number(found.features)} features, perturbed; the target is {code(found.clean.target)}. Other "
        f"decisions are searched for {number(found.searched)} of them."
    )
    kinds = [_kind_section(verdict, kind) for kind in PERTURBATIONS if f"{kind.name}_drop" in _names(verdict.checks)]
    return page(
        "Robustness gate",
        section("What was judged", verdict_facts(verdict), paragraph(about)),
        _checks_section(verdict.checks),
        *kinds,
        *([_flip_section(verdict, found.flips)] if found.flips else []),
        *([_evasion_section(found.evasions)] if found.evasions else []),
        *([_retraining_section(found.retraining)] if found.retraining else []),
        section("How to read this", *_reading(verdict)),
        status=verdict.status,
        lead=_lead(verdict.checks),
    )


def _names(checks: Sequence[Check]) -> set[str]:
    return {check.name for check in checks}


def _lead(checks: Sequence[Check]) -> str:
    """Say what came to what, the worst first."""
    phrases = {
        Status.FAIL: "A limit is broken for",
        Status.INCONCLUSIVE: "It cannot be told whether the limit is kept for",
        Status.PASS: "Every limit is kept for",
    }
    worst = {
        name: Status.worst(check.status for check in checks if check.name == name)
        for name in dict.fromkeys(check.name for check in checks)
    }
    said = []
    for status, phrase in phrases.items():
        names = [name.replace("_", " ") for name, state in worst.items() if state is status]
        said += [f"{phrase} {', '.join(names)}."] if names else []
    return " ".join(said)


def _worst_first(checks: Sequence[Check]) -> list[Check]:
    order = list(Status)
    return sorted(checks, key=lambda check: (-order.index(check.status), -(check.observed or 0.0)))


def _checks_section(checks: Sequence[Check]) -> Markup:
    """Return the checks that did not pass, and then the others, as far as the table goes."""
    shown = _worst_first(checks)[:SHOWN]
    rest = len(checks) - len(shown)
    passed = sum(check.status is Status.PASS for check in checks)
    note = f"{number(passed)} of {number(len(checks))} checks pass."
    note += f" The {SHOWN} worst are shown; the verdict holds all." if rest else ""
    return section("Checks", paragraph(note, note=True), check_table(shown))


def _kind_section(verdict: Verdict, kind: Perturbation) -> Markup:
    checks = [check for check in verdict.checks if check.name == f"{kind.name}_drop"]
    meaning = paragraph(MEANINGS[kind.name])
    if not checks[0].scope:
        return section(kind.title.capitalize(), meaning, checks[0].message)
    together = [check for check in checks if check.scope["feature"] == "all together"]
    single = sorted(
        (check for check in checks if check not in together),
        key=lambda check: (check.observed is not None, -(check.observed or 0.0)),
    )
    shown = [*together, *single[:SHOWN]]
    chart = intervals(
        f"Drop of {_metric(verdict)} under {kind.title}",
        [
            (f"{check.scope['feature']}, {_strength(check, kind)}", check.observed, check.interval, str(check.status))
            for check in shown
        ],
        limits=[checks[0].maximum or 0.0],
    )
    rest = len(single) - len(single[:SHOWN])
    more = f" The {SHOWN} features whose drop is greatest; {number(rest)} others are in the verdict." if rest else ""
    caption = (
        f"Drop of {_metric(verdict)} with its {verdict.parameters['confidence']:.0%} interval, at the strength that "
        f"came out worst; the dashed line is the limit.{more}"
    )
    return section(kind.title.capitalize(), meaning, figure(chart, caption))


def _metric(verdict: Verdict) -> str:
    return str(verdict.parameters["metric"]).replace("_", " ")


def _strength(check: Check, kind: Perturbation) -> str:
    strength = float(check.scope["strength"])
    if kind.share:
        return f"{strength:.0%}"
    return f"{strength:g} sd" if kind.together else f"× {strength:g}"


def _flip_section(verdict: Verdict, flips: Flips) -> Markup:
    sizes = list(flips.sizes)
    shares = [float(flips.rows_within(size).mean()) for size in sizes]
    chart = lines(
        "Rows whose decision one number flips",
        [("any one number", [0.0, *sizes], [0.0, *shares])],
        "change, in standard deviations of the feature",
        "share of the rows",
        dots=True,
    )
    caption = "Share of the rows in which some one number, moved by so much, flips the decision."
    parts = [figure(chart, caption)] if flips.smallest else [paragraph("The model takes no number that can move.")]
    last = sizes[-1]
    parts += _share_bars(
        {name: float((found <= last).mean()) for name, found in flips.smallest.items()},
        f"Share of the rows whose decision the number flips, moved by at most {number(last)} standard deviations.",
    )
    parts += _share_bars(
        {name: float(found.mean()) for name, found in flips.exchanged.items()},
        "Share of the rows whose decision another of the category's ten commonest values flips. That is no small "
        "change; no limit is held against it.",
    )
    meaning = (
        "Each number by itself is moved up and down within its observed range. What was found flips the decision; what "
        "was not found may still do so between the sizes that were tried, so the shares are lower bounds."
    )
    return section("Smallest change that flips a decision", paragraph(meaning), *parts)


def _share_bars(shares: dict[str, float], caption: str) -> list[Markup]:
    ordered = sorted(((share, name) for name, share in shares.items() if share), key=lambda item: (-item[0], item[1]))
    if not ordered:
        return []
    shown, rest = ordered[:SHOWN], len(shares) - len(ordered[:SHOWN])
    more = f" {number(rest)} features that flip fewer, or none, are not shown." if rest else ""
    return [figure(bars(caption, [(name, share) for share, name in shown]), caption + more)]


def _evasion_section(evasions: dict[float, tuple[int, int]]) -> Markup:
    shares = [hits / rows if rows else 0.0 for hits, rows in evasions.values()]
    chart = lines(
        "Rows whose decision an adversary changes",
        [("changeable features together", [0.0, *evasions], [0.0, *shares])],
        "greatest change of each feature, in standard deviations",
        "share of the rows decided rightly",
        dots=True,
    )
    meaning = (
        "An adversary who can ask the model moves the changeable features together, each by at most so much and within "
        "its observed range. The search is a simple one: a better one may find more, so the shares are lower bounds."
    )
    caption = "Share of the rows that the model decided rightly for which the search found another decision."
    return section("Evasion", paragraph(meaning), figure(chart, caption))


def _retraining_section(found: Retraining) -> Markup:
    """Return what each retraining came to, in rising order."""
    times, regression = len(found.each), found.ambiguous is None
    what = (
        "root mean squared change of a prediction, as a share of the target's standard deviation"
        if regression
        else "share of the rows that get another decision"
    )
    shown = sorted(found.each.tolist())
    shown = shown if times <= SHOWN else [shown[round(place * (times - 1) / (SHOWN - 1))] for place in range(SHOWN)]
    chart = bars(f"Each retraining: {what}", [(f"retraining {place + 1}", each) for place, each in enumerate(shown)])
    more = f" {SHOWN} of {times} are shown." if times > SHOWN else ""
    meaning = (
        f"{times} models were trained as this one on the same data, with other seeds. What changes then, the data did "
        "not decide."
    )
    if found.ambiguous is not None:
        meaning += f" On {found.ambiguous:.1%} of the rows at least one of them decides otherwise."
    caption = f"{what[0].upper()}{what[1:]}, for each retraining, in rising order.{more}"
    return section("Other seeds", paragraph(meaning), figure(chart, caption))


def _reading(verdict: Verdict) -> list[Markup]:
    confidence = verdict.parameters["confidence"]
    level = (1 - confidence) / 2
    return [
        paragraph(
            f"A drop is the {_metric(verdict)} of the rows as they are minus that of the same rows perturbed, or the "
            "reverse where less is better; its interval is paired. The interval of a share is Wilson's."
        ),
        paragraph(
            f"A check passes when the whole {confidence:.0%} interval keeps the limit, fails when none of it does or "
            "the model cannot predict the rows, and is inconclusive in between, where more rows would tell, and where "
            "nothing was measured. So a model "
            f"whose true value breaks a limit passes with a chance of at most about {level:.1%}. That holds for all "
            "checks together, for all must pass.",
            note=True,
        ),
    ]
