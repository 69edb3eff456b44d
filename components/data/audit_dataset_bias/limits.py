"""What can be limited in a dataset, and what a given set of limits must be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kfp_hallmark.contracts.options import require_limits
from kfp_hallmark.errors import InputError
from kfp_hallmark.fairness.registry import DIFFERENCE, GROUP_MAX, GROUP_MIN, RATIO


@dataclass(frozen=True)
class Measure:
    """What can be limited.

    Attributes:
        name: Its name; that of its limit has `min_` or `max_` before it.
        title: How a sentence begins with it.
        meaning: What it is, in a sentence.
        statistic: How it comes from the values of groups or columns: `difference`, `ratio`, `group_min`, `group_max`.
        greatest: The greatest limit that makes sense; the least is 0.
    """

    name: str
    title: str
    meaning: str
    statistic: str
    greatest: float = 1.0

    @property
    def at_least(self) -> bool:
        """Whether its limit is a least value."""
        return self.statistic in (RATIO, GROUP_MIN)

    @property
    def limit(self) -> str:
        """The name of its limit."""
        return f"{'min' if self.at_least else 'max'}_{self.name}"


GROUP_SHARE = Measure("group_share", "Least share of a group", "The share of the rows that a group has.", GROUP_MIN)
REPRESENTATION = Measure(
    "representation_ratio",
    "Representation ratio",
    "The share of a group in the data divided by its share in the population, the least of all groups. 1 is parity.",
    GROUP_MIN,
)
IMPACT = Measure(
    "disparate_impact_ratio",
    "Disparate impact ratio",
    "Least label rate of a group divided by the greatest. 1 is parity; the four-fifths rule asks for 0.8.",
    RATIO,
)
PARITY = Measure(
    "statistical_parity_difference",
    "Statistical parity difference",
    "Greatest label rate of a group minus the least. 0 is parity.",
    DIFFERENCE,
)
MEAN = Measure(
    "mean_difference",
    "Mean difference",
    "Greatest mean label of a group minus the least, in the label's unit. 0 is parity.",
    DIFFERENCE,
    math.inf,
)
MISSING_DIFFERENCE = Measure(
    "missing_difference",
    "Missing difference",
    "Greatest share of a group's rows that lack a value minus the least, of the column where that is most.",
    DIFFERENCE,
)
PROXY = Measure(
    "proxy_strength",
    "Proxy strength",
    "Share of a sensitive feature's variance that the column which tells it best explains. 0 is none, 1 is all.",
    GROUP_MAX,
)
MEASURES = (GROUP_SHARE, REPRESENTATION, IMPACT, PARITY, MEAN, MISSING_DIFFERENCE, PROXY)
"""In the order in which verdicts and reports have them."""
OF_CLASSES = (IMPACT, PARITY)
"""Of labels that are classes."""
OF_LABELS = (*OF_CLASSES, MEAN)


def read_limits(limits: Mapping[str, float], population: Mapping[str, object]) -> dict[Measure, float]:
    """Return the limit of each measure that has one, in the order of the measures.

    Raises:
        InputError: If there is none, or one is unknown, out of range, or lacks the population that it is about.
    """
    require_limits(limits, {measure.limit: (0, measure.greatest) for measure in MEASURES})
    if REPRESENTATION.limit in limits and not population:
        raise InputError(f"{REPRESENTATION.limit} must be given together with population; got none.")
    return {measure: float(limits[measure.limit]) for measure in MEASURES if measure.limit in limits}
