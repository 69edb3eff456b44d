"""Compare a model with the champion on slices of the rows.

A slice fails when its whole interval shows a greater loss than is allowed. With many slices one of them seems worse by
chance, so the intervals are drawn at a confidence that leaves each slice an equal part of the error (Bonferroni): that
any slice fails though none is worse than allowed has a probability of at most half of what the confidence leaves,
however the slices overlap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kfp_hallmark.comparison import Advantage, advantage
from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.contracts.verdict import Check, Status
from kfp_hallmark.errors import InputError
from kfp_hallmark.measures import select
from kfp_hallmark.reports import number
from kfp_hallmark.slicing import SMALL, divide

CHECK = "champion_slices"
SLICE_CHECK = "champion_slice"
NAMED = 3
"""How many slices a message names."""


@dataclass(frozen=True)
class SliceTerms:
    """By what slices are compared.

    Attributes:
        columns: The columns by whose values the rows are divided.
        max_loss: How much worse than the champion a slice may be.
    """

    columns: Sequence[str]
    max_loss: float

    def __post_init__(self) -> None:
        if not 0 <= self.max_loss < math.inf:
            raise InputError(f"max_slice_loss must be a finite number, at least 0; got {self.max_loss}.")

    def require_columns(self, dataset: str | Path) -> None:
        """Raise `InputError` when the dataset lacks a column."""
        names = read_schema(dataset).names if self.columns else []
        for column in self.columns:
            require_column(column, names, "slices")


@dataclass(frozen=True)
class ComparedSlice:
    """How a model compares with the champion on some rows.

    Attributes:
        column: The column by which the rows were chosen.
        name: Its value, or band of values.
        rows: The number of rows.
        found: The advantage, its interval corrected for the number of slices; None where the rows are too few.
        max_loss: How much worse than the champion it may be.
    """

    column: str
    name: str
    rows: int
    found: Advantage | None
    max_loss: float

    @property
    def status(self) -> Status:
        """`fail` when shown to be worse than allowed, `pass` when shown not to be, else `warn`."""
        if self.found is None:
            return Status.INCONCLUSIVE
        low, high = self.found.interval
        return Status.FAIL if high < -self.max_loss else Status.PASS if low >= -self.max_loss else Status.WARN

    @property
    def seems_worse(self) -> bool:
        """Whether the loss that was seen is greater than allowed."""
        return self.found is not None and self.found.difference < -self.max_loss

    @property
    def label(self) -> str:
        """What names it in a message."""
        return f"{self.column} {self.name}"


@dataclass(frozen=True)
class SliceComparison:
    """What came of comparing slices.

    Attributes:
        checks: What the verdict gets: the whole, and each slice that is shown to be worse than allowed.
        slices: Every slice, those with an advantage from the worst to the best, then the others.
        confidence: The confidence of each slice's interval.
    """

    checks: list[Check]
    slices: list[ComparedSlice]
    confidence: float


def compare_slices(
    challenger: Predictions,
    champion: Predictions,
    dataset: str | Path,
    terms: SliceTerms,
    metric: str,
    samples: int,
    confidence: float,
    seed: int,
) -> SliceComparison:
    """Compare a model with the champion on each slice of at least `SMALL` rows."""
    table = read_table(dataset, list(dict.fromkeys(terms.columns)))
    divided = [(column, *part) for column in table.column_names for part in divide(table[column])]
    judged = sum(len(rows) >= SMALL for _, _, rows in divided)
    corrected = 1 - (1 - confidence) / max(judged, 1)
    slices = []
    for column, name, rows in divided:
        found = None
        if len(rows) >= SMALL:
            pair = select(challenger, rows), select(champion, rows)
            found = advantage(*pair, metric, samples, corrected, seed)
        slices.append(ComparedSlice(column, name, len(rows), found, terms.max_loss))
    slices.sort(key=lambda each: math.inf if each.found is None else each.found.difference)
    scope = {"metric": metric, "columns": ", ".join(table.column_names)}
    checks = [_whole(slices, terms, metric, len(challenger.label), scope)]
    checks += [_one(each, metric, corrected) for each in slices if each.status is Status.FAIL]
    return SliceComparison(checks, slices, corrected)


def _whole(slices: list[ComparedSlice], terms: SliceTerms, metric: str, rows: int, scope: dict[str, str]) -> Check:
    judged = [each for each in slices if each.found is not None]
    worse = [each for each in judged if each.status is Status.FAIL]
    seeming = [each for each in judged if each.seems_worse and each not in worse]
    allowed = f"by more than {number(terms.max_loss, 3)} in {metric.replace('_', ' ')}"
    count = f"{len(judged)} of {len(slices)} slices had rows enough to be compared"
    if worse:
        status, message = Status.FAIL, f"Shown to be worse than the champion {allowed}: {_names(worse)}; {count}."
    elif not judged:
        status, message = Status.INCONCLUSIVE, f"No slice has the {SMALL} rows, of both classes enough, to be compared."
    elif seeming:
        status = Status.WARN
        message = f"Seen to be worse than the champion {allowed}, though it may be chance: {_names(seeming)}; {count}."
    else:
        status, message = Status.PASS, f"No slice is worse than the champion {allowed}; {count}."
    return Check(CHECK, status, observed=float(len(worse)), maximum=0.0, samples=rows, scope=scope, message=message)


def _names(slices: list[ComparedSlice]) -> str:
    more = f" and {len(slices) - NAMED} more" if len(slices) > NAMED else ""
    return ", ".join(f"{each.label!r}" for each in slices[:NAMED]) + more


def _one(each: ComparedSlice, metric: str, confidence: float) -> Check:
    assert each.found is not None
    low, high = (number(end, 3) for end in each.found.interval)
    return Check(
        SLICE_CHECK,
        Status.FAIL,
        observed=each.found.difference,
        minimum=-each.max_loss,
        interval=each.found.interval,
        confidence=confidence,
        samples=each.rows,
        scope={"column": each.column, "slice": each.name, "metric": metric},
        message=f"On {each.label!r} the model is {number(-each.found.difference, 3)} worse than the champion "
        f"({low} to {high}, corrected for the number of slices); at most {number(each.max_loss, 3)} is allowed.",
    )
