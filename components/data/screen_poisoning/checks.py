"""The checks of what a screening found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kfp_hallmark.components.data.screen_poisoning.duplicates import Conflicts
from kfp_hallmark.components.data.screen_poisoning.encoding import Columns
from kfp_hallmark.components.data.screen_poisoning.limits import (
    CONFLICTS,
    ISSUE_INCREASE,
    ISSUES,
    NOISE,
    NOISE_INCREASE,
    SHIFT,
    TRIGGER,
    Measure,
)
from kfp_hallmark.components.data.screen_poisoning.regions import LEVEL, Region
from kfp_hallmark.components.data.screen_poisoning.suspicion import Suspects
from kfp_hallmark.components.data.screen_poisoning.triggers import Pattern
from kfp_hallmark.contracts.verdict import Check, Status, judge
from kfp_hallmark.fairness.words import outcome
from kfp_hallmark.measures import Interval, judge_interval, wilson_interval
from kfp_hallmark.reports import number

CLASS_CHECK = "class_size"
"""The name of the check that a class too small to judge gets."""


@dataclass(frozen=True)
class Found:
    """What a screening found; None is what was not looked for.

    Attributes:
        rows: How many rows were screened.
        classes: The classes.
        columns: The features that vary.
        suspects: Labels that other rows gainsay.
        former: Those of the baseline, and of how many rows.
        conflicts: How near-duplicates contradict each other.
        patterns: Values that go with one label, the strongest first.
        regions: Where labels' shares have shifted, the most first.
    """

    rows: int
    classes: Sequence[str]
    columns: Columns
    suspects: Suspects | None = None
    former: Suspects | None = None
    conflicts: Conflicts | None = None
    patterns: Sequence[Pattern] | None = None
    regions: Sequence[Region] | None = None

    def held(self, pattern: Pattern) -> list[tuple[str, str]]:
        """Say what the rows of a pattern hold, such as `one range`, with the column that they hold it of."""
        pairs = zip(pattern.features, pattern.codes, strict=True)
        return [(self.columns.held(feature, code), self.columns.names[feature]) for feature, code in pairs]

    def triggers(self, limit: float) -> list[Pattern]:
        """Return the patterns above a limit that are not natural."""
        return [each for each in self.patterns or () if not each.natural and each.strength > limit]

    def shifted(self, limit: float) -> list[Region]:
        """Return the regions above a limit that chance does not explain."""
        return [each for each in self.regions or () if abs(each.shift) > limit and each.p_value < LEVEL]


def size_checks(small: Mapping[str, int], least: int) -> list[Check]:
    """Return a check for each class that has too few rows to judge."""
    return [
        Check(
            CLASS_CHECK,
            Status.INCONCLUSIVE,
            observed=rows,
            minimum=least,
            samples=rows,
            scope={"class": name},
            message=f"The class {name} has {number(rows)} rows, fewer than {number(least)}: its rows are not screened.",
        )
        for name, rows in small.items()
    ]


def unknown_checks(wanted: Mapping[Measure, float], rows: int, reason: str) -> list[Check]:
    """Return the checks of data that cannot be screened."""
    return [
        Check(measure.name, Status.INCONCLUSIVE, maximum=limit, samples=rows, message=f"{measure.title}: {reason}")
        for measure, limit in wanted.items()
    ]


def checks_of(found: Found, wanted: Mapping[Measure, float], confidence: float) -> list[Check]:
    """Return the check of each limit."""
    made = []
    for measure, limit in wanted.items():
        observed, interval, samples, detail = _FINDERS[measure](found, limit, confidence)
        status = (
            judge(observed, maximum=limit) if interval is None else judge_interval(observed, interval, maximum=limit)
        )
        made.append(
            Check(
                measure.name,
                status,
                observed=observed,
                maximum=limit,
                interval=interval,
                confidence=None if interval is None else confidence,
                samples=samples,
                message=f"{measure.title} {number(observed, 3)}, {_outcome(status, limit, interval)}: {detail}.",
            )
        )
    return made


def _outcome(status: Status, limit: float, interval: Interval | None) -> str:
    if interval is not None:
        return outcome(status, limit, interval, at_least=False, unclear="which is no number to judge")
    return (
        f"above the maximum of {number(limit)}" if status is Status.FAIL else f"within the maximum of {number(limit)}"
    )


Judged = tuple[float, Interval | None, int, str]


def _noise(found: Found, limit: float, confidence: float) -> Judged:
    assert found.suspects is not None
    gainsaid, certain = found.suspects.gainsaid, found.suspects.certain
    detail = (
        f"of the {number(certain)} rows of whose labels other rows are most certain, {number(gainsaid)} have an "
        "unlikely one"
    )
    return found.suspects.noise, wilson_interval(gainsaid, certain, confidence), certain, detail


def _noise_increase(found: Found, limit: float, confidence: float) -> Judged:
    assert found.suspects is not None
    assert found.former is not None
    now, before = found.suspects, found.former
    detail = (
        f"where other rows are most certain of a label, {now.noise:.2%} of the rows have another, and "
        f"{before.noise:.2%} of the baseline's"
    )
    return *_increase_of(now.noise, now.certain, before.noise, before.certain, confidence), now.certain, detail


def _increase_of(now: float, rows: int, before: float, former_rows: int, confidence: float) -> tuple[float, Interval]:
    """Return by how much a share has grown at least, which is the low end of the interval if that is above 0, and that.

    Source: Newcombe 1998, Statistics in Medicine 17, method 10: of the ends of Wilson's intervals.
    """
    low, high = wilson_interval(round(now * rows), rows, confidence)
    low_before, high_before = wilson_interval(round(before * former_rows), former_rows, confidence)
    grown = now - before
    down = math.hypot(now - low, high_before - before)
    up = math.hypot(high - now, before - low_before)
    return max(0.0, grown - down), (grown - down, grown + up)


def _issues(found: Found, limit: float, confidence: float) -> Judged:
    assert found.suspects is not None
    wrong = int(found.suspects.wrong.sum())
    detail = f"cleanlab holds {number(wrong)} of {number(found.rows)} labels for wrong"
    return found.suspects.share, wilson_interval(wrong, found.rows, confidence), found.rows, detail


def _increase(found: Found, limit: float, confidence: float) -> Judged:
    assert found.suspects is not None
    assert found.former is not None
    now, before = found.suspects.share, found.former.share
    detail = f"cleanlab holds {now:.1%} of the labels for wrong, and {before:.1%} of the baseline's"
    return *_increase_of(now, found.rows, before, len(found.former.wrong), confidence), found.rows, detail


def _conflicts(found: Found, limit: float, confidence: float) -> Judged:
    assert found.conflicts is not None
    duplicated, contradicted = found.conflicts.duplicated, found.conflicts.contradicted
    detail = (
        f"{number(duplicated)} rows have near-duplicates, {number(contradicted)} of them such with another label"
        if duplicated
        else "no row has a near-duplicate"
    )
    return found.conflicts.excess, found.conflicts.interval, found.rows, detail


def _trigger(found: Found, limit: float, confidence: float) -> Judged:
    findings = [each for each in found.patterns or () if not each.natural]
    natural = len(found.patterns or ()) - len(findings)
    aside = f"; {number(natural)} beside that may do so by nature" if natural else ""
    if not findings:
        return 0.0, None, found.rows, f"no values go with one label beyond what the rest of their rows explains{aside}"
    first = findings[0]
    values = " and ".join(f"{what} of {name!r}" for what, name in found.held(first))
    more = len(found.triggers(limit)) - 1
    others = f"; above the limit, too: {number(more)} more" if more > 0 else ""
    detail = (
        f"{number(first.same)} of {number(first.rows)} rows with {values} have the label {found.classes[first.label]}, "
        f"where {number(round(first.expected))} would be expected{others}{aside}"
    )
    return first.strength, None, found.rows, detail


def _shift(found: Found, limit: float, confidence: float) -> Judged:
    known = [each for each in found.regions or () if each.p_value < LEVEL]
    if not known:
        detail = f"chance explains the differences in all of {number(len(found.regions or ()))} regions"
        return 0.0, None, found.rows, detail
    first = known[0]
    more = len(found.shifted(limit)) - 1
    others = f"; above the limit, too: {number(more)} more" if more > 0 else ""
    detail = (
        f"in a region of {number(first.rows)} rows the label {found.classes[first.label]} has a share of "
        f"{first.now:.1%}, in the baseline of {first.before:.1%}{others}"
    )
    return abs(first.shift), None, found.rows, detail


_FINDERS = {
    NOISE: _noise,
    NOISE_INCREASE: _noise_increase,
    ISSUES: _issues,
    ISSUE_INCREASE: _increase,
    CONFLICTS: _conflicts,
    TRIGGER: _trigger,
    SHIFT: _shift,
}
