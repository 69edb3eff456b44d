"""How the gates that compare groups say what came out, and what they do not tell of groups of few rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kfp_hallmark.contracts.verdict import Check, Status
from kfp_hallmark.fairness.quantities import Ends
from kfp_hallmark.fairness.tally import Tally
from kfp_hallmark.measures import Interval
from kfp_hallmark.reports import Markup, number


def outcome(status: Status, limit: float, interval: Interval, *, at_least: bool, unclear: str) -> str:
    """Return how a value and its interval lie to a limit.

    Args:
        status: What the check came to.
        limit: The limit.
        interval: The value's confidence interval.
        at_least: Whether the limit is a minimum.
        unclear: What to say of an inconclusive one.
    """
    beyond = "below the minimum" if at_least else "above the maximum"
    chance = interval[1] >= limit if at_least else interval[0] <= limit
    return {
        Status.PASS: "within the limit, as is its whole interval",
        Status.WARN: "within the limit, but its interval reaches beyond it",
        Status.FAIL: f"{beyond} of {number(limit)}{', though its interval reaches within it' if chance else ''}",
        Status.INCONCLUSIVE: unclear,
    }[status]


def by_status(checks: Iterable[Check], phrases: Mapping[Status, str]) -> list[str]:
    """Return a sentence for each status that features came to, in the order of its beginnings, the phrases."""
    worst: dict[str, Status] = {}
    for check in checks:
        feature = check.scope["feature"]
        worst[feature] = Status.worst([check.status, worst.get(feature, Status.PASS)])
    found = {status: [name for name, state in worst.items() if state is status] for status in phrases}
    return [f"{phrases[status]} {', '.join(names)}." for status, names in found.items() if names]


def value_cell(tally: Tally, name: str, place: int, ends: Ends, min_size: int) -> Markup:
    """Return what a table tells of a quantity of a group; of too few rows, which are single persons, only how many.

    Of a group of too few rows that is the number of all its rows: how many of them are positive would tell of each.

    Args:
        tally: What is known of the groups.
        name: The quantity.
        place: The group's position.
        ends: The lower and upper ends of the quantity's intervals, each of shape (groups,).
        min_size: Fewest rows by which a group is judged.
    """
    quantity, size = tally.quantities[name], int(tally.sizes[place])
    trials = int(quantity.trials[place])
    if trials < tally.enough(name, min_size):
        return Markup(f'<span class="note">of only {number(size if size < min_size else trials)}</span>')
    value, low, high = (_decimal(float(values[place])) for values in (quantity.values, *ends))
    return Markup(f'{value} <span class="note">{low} to {high}, of {number(trials)}</span>')


def _decimal(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else number(value)
