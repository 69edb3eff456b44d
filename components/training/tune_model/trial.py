"""A trial: some parameters and how well they did."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"

MAX_TEXT = 8000
"""How many characters a trial has at most as text, for it to fit into a tag of MLflow's."""
MAX_PROBLEM = 500
"""How many characters of why a trial failed are kept."""


@dataclass(frozen=True)
class Trial:
    """One set of parameters.

    Attributes:
        search: The search it belongs to: 0 on all rows, k on those outside the outer fold k.
        place: Its place in the search; 0 is the estimator as it is given.
        parameters: What was proposed.
        state: `complete`, `pruned` (given up) or `failed`.
        scores: The metric on each fold that was tried, in order.
        seconds: How long it took.
        problem: Why it failed.
    """

    search: int
    place: int
    parameters: dict[str, Any]
    state: str = COMPLETE
    scores: tuple[float, ...] = ()
    seconds: float = 0.0
    problem: str | None = None

    @property
    def score(self) -> float:
        """The mean over the folds."""
        return sum(self.scores) / len(self.scores)

    @property
    def running_means(self) -> list[float]:
        """The mean over the first fold, the first two, and so on."""
        return [total / count for count, total in enumerate(accumulate(self.scores), 1)]

    def to_text(self) -> str:
        """Return it as JSON that `from_text` reads, to the last digit."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Trial | None:
        """Return what `to_text` wrote, or None if that is not it, as when somebody changed it."""
        try:
            value = json.loads(text)
            return cls(**value | {"scores": tuple(value["scores"])})
        except (KeyError, TypeError, ValueError):
            return None


def best_of(trials: Iterable[Trial], greater: bool) -> Trial:
    """Return the complete trial with the best mean; of equals the first."""
    sign = -1 if greater else 1
    complete = [trial for trial in trials if trial.state == COMPLETE]
    return min(complete, key=lambda trial: (sign * trial.score, trial.place))
