"""What can be limited in a screening, and what a given set of limits must be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kfp_hallmark.contracts.options import require_limits
from kfp_hallmark.errors import InputError


@dataclass(frozen=True)
class Measure:
    """What can be limited.

    Attributes:
        name: Its name; that of its limit has `max_` before it.
        title: How a sentence begins with it.
        meaning: What it is, in a sentence.
        usual: The limit unless others are given; None if it is not judged then.
        greatest: The greatest limit that makes sense; the least is 0.
        compared: Whether it takes a baseline.
    """

    name: str
    title: str
    meaning: str
    usual: float | None
    greatest: float = 1.0
    compared: bool = False

    @property
    def limit(self) -> str:
        """The name of its limit."""
        return f"max_{self.name}"


NOISE = Measure(
    "label_noise",
    "Label noise",
    "The share of rows with an unlikely label among the 5 % of whose labels other rows are most certain. Labels "
    "flipped by chance show there, whatever the labels elsewhere are like.",
    0.005,
)
NOISE_INCREASE = Measure(
    "label_noise_increase",
    "Label noise increase",
    "Label noise minus that of the baseline, at least: the low end of the interval.",
    0.005,
    compared=True,
)
ISSUES = Measure(
    "label_issues",
    "Label issues",
    "The share of rows that cleanlab holds for wrongly labelled; where labels are hard to tell, right ones too.",
    None,
)
ISSUE_INCREASE = Measure(
    "label_issue_increase",
    "Label issue increase",
    "The share of rows that cleanlab holds for wrongly labelled minus that of the baseline, at least: the low end "
    "of the interval.",
    0.02,
    compared=True,
)
CONFLICTS = Measure(
    "conflict_excess",
    "Conflict excess",
    "By how much more near-duplicates contradict each other than rows with their features would by chance, as a share "
    "of all rows.",
    0.005,
)
TRIGGER = Measure(
    "trigger_strength",
    "Trigger strength",
    "Of the rows that hold some values together and, by all that is known, should have another label, the share that "
    "has one and the same: at least so large, three standard errors below the estimate. A backdoor's is near 1.",
    0.4,
)
SHIFT = Measure(
    "label_shift",
    "Label shift",
    "Cohen's h between a label's share in the dataset and in the baseline, in the region of features where it is "
    "greatest and no chance explains it. 0.2 is small, 0.5 medium, 0.8 large.",
    0.2,
    greatest=math.pi,
    compared=True,
)
MEASURES = (NOISE, NOISE_INCREASE, ISSUES, ISSUE_INCREASE, CONFLICTS, TRIGGER, SHIFT)
"""In the order in which verdicts and reports have them."""


def read_limits(limits: Mapping[str, float] | None, baseline: bool) -> dict[Measure, float]:
    """Return the limit of each measure that has one, in the order of the measures.

    Args:
        limits: Limit to value; None takes the usual ones: of the noise, its increase where there is a baseline.
        baseline: Whether there is a baseline.

    Raises:
        InputError: If there is none, or one is unknown, out of range, or lacks the baseline that it takes.
    """
    if limits is None:
        usual = {each: each.usual for each in MEASURES if each.usual is not None and (baseline or not each.compared)}
        return {each: limit for each, limit in usual.items() if each is not NOISE or not baseline}
    require_limits(limits, {measure.limit: (0, measure.greatest) for measure in MEASURES})
    wanted = {measure: float(limits[measure.limit]) for measure in MEASURES if measure.limit in limits}
    for measure in wanted:
        if measure.compared and not baseline:
            raise InputError(f"{measure.limit} must be given together with a baseline; got none.")
    return wanted
