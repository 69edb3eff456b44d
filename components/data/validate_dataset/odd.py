"""What is odd about columns that have not moved: a share that is too small to move their distribution."""

from __future__ import annotations

import math
from collections.abc import Collection

from kfp_hallmark.components.data.validate_dataset.comparison import ALPHA, WORDS, Comparison
from kfp_hallmark.components.data.validate_dataset.schema import TOLERANCE
from kfp_hallmark.contracts.verdict import Check, Status
from kfp_hallmark.profiles.profile import PERCENT

TAIL, LONG_TAIL = 0.01, 0.03
"""What share of a column lies beyond its 1st, or 99th, percentile, and above which share it is told."""
FREQUENT = 0.02
"""A value that fewer than `TAIL` of the values were is told when it is more than this share of them."""


def missing_checks(comparison: Comparison, known: Collection[str | None]) -> list[Check]:
    """Return a warning for every stable column of which more, or fewer, rows are missing than chance explains.

    A share that was small already moves the PSI little, however much it grows.
    """
    rows = (comparison.before.rows, comparison.now.rows)
    checks = []
    for found in (move.drift for move in comparison.moves if move.status is Status.PASS):
        before, now = found.missing
        if found.feature in known or abs(now - before) <= TOLERANCE:
            continue
        counts = (round(before * rows[0]), round(now * rows[1]))
        if _by_chance(counts, rows) * len(comparison.moves) < ALPHA:
            reason = f"missing in {now:.1%} of the rows, formerly in {before:.1%}."
            checks.append(_odd_check("missing_share", comparison, found.feature, now, rows[1], reason))
    return checks


def tail_checks(comparison: Comparison) -> list[Check]:
    """Return a warning for every stable column of which more values lie far out than chance explains.

    Such are values that stand for something else, as -999 for none, and another unit in some of the rows.
    """
    stable = {move.drift.feature for move in comparison.moves if move.status is Status.PASS}
    checks = []
    for name, tails in comparison.tails.items():
        for count, side in ((tails.below, "below"), (tails.above, "above")):
            if name not in stable or count <= LONG_TAIL * tails.values:
                continue
            counts, values = (round(TAIL * tails.former), count), (tails.former, tails.values)
            if _by_chance(counts, values) * 2 * len(comparison.tails) < ALPHA:
                share = count / tails.values
                reason = f"{share:.1%} of its values are {side} where {TAIL:.0%} were: codes, or another unit?"
                checks.append(_odd_check("tail_share", comparison, name, share, tails.values, reason))
    return checks


def value_checks(comparison: Comparison) -> list[Check]:
    """Return a warning for every stable column of numbers in which one value has become frequent, or others are new.

    Such is a new code, or one that stands for something else, amid the others.
    """
    stable = [move.drift for move in comparison.moves if move.status is Status.PASS]
    names = {found.feature for found in stable}
    checks = []
    for name, tails in comparison.tails.items():
        if name not in names or tails.risen <= FREQUENT * tails.values:
            continue
        counts, values = (math.ceil(TAIL * tails.former), tails.risen), (tails.former, tails.values)
        if _by_chance(counts, values) * PERCENT * len(comparison.tails) < ALPHA:
            share = tails.risen / tails.values
            reason = f"{share:.1%} of its values are one that less than {TAIL:.0%} were: a new code?"
            checks.append(_odd_check("value_share", comparison, name, share, tails.values, reason))
    rows = (comparison.before.rows, comparison.now.rows)
    for found in stable:
        kind, new = comparison.before.columns[found.feature].type, found.unseen or 0
        if kind not in ("number", "integer") or new <= TOLERANCE * rows[1]:
            continue
        if _by_chance((0, new), rows) * len(comparison.moves) < ALPHA:
            reason = f"{new / rows[1]:.1%} of the rows hold values that were not there: a new code?"
            checks.append(_odd_check("value_share", comparison, found.feature, new / rows[1], rows[1], reason))
    return checks


def _odd_check(check: str, comparison: Comparison, name: str, observed: float, samples: int, reason: str) -> Check:
    where = "" if comparison.role == "baseline" else f" against the {WORDS[comparison.role]}"
    scope = {"feature": name, **comparison.scope}
    message = f"{name} is stable{where}, but {reason}"
    return Check(check, Status.WARN, observed, samples=samples, scope=scope, message=message)


def _by_chance(counts: tuple[int, int], rows: tuple[int, int]) -> float:
    """Return how probable two different counts are in samples of one population, by Pearson's chi-squared test."""
    from scipy import stats

    others = [total - count for count, total in zip(counts, rows, strict=True)]
    return float(stats.chi2_contingency([counts, others], correction=False).pvalue) if sum(others) else 1.0
