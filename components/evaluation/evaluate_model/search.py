"""Search the slices of one and two columns on which a model is worst.

Among hundreds of slices some are bad by chance. So the slices are searched on one half of the rows, and what is told of
them is measured on the other, which had no part in choosing them; the intervals are corrected for the number of slices
told of (Bonferroni), so that any of them is called worse by chance with half of what the confidence leaves.

A slice is worse by the rows' loss: whether the prediction is wrong, and for numbers how far it is off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.dataset import read_schema, read_table
from kfp_hallmark.contracts.predictions import REGRESSION, Predictions
from kfp_hallmark.measures import LEAST_ROWS, Interval, normal_quantile
from kfp_hallmark.slicing import SMALL, divide

if TYPE_CHECKING:
    from numpy import ndarray

PAIRED = 30
"""How many columns are searched in pairs: those whose own slices differ most from the rest."""
KEPT = 1000
"""How many candidates, of one column and of two, the choice is made from."""
OWN = 0.5
"""How much of its score a slice must keep without the rows of worse ones, or it is not told of: it is bad by theirs."""


@dataclass(frozen=True)
class FoundSlice:
    """A slice that was chosen on one half of the rows, as it is on the other.

    Attributes:
        parts: Column and value, or band of values; one or two.
        rows: Its rows in the half that is told of.
        loss: The mean loss of these.
        rest: The mean loss of all other rows of that half.
        interval: Interval of the difference of the two, corrected for the number of slices; None with too few rows.
        seen: The difference in the half that was searched.
    """

    parts: tuple[tuple[str, str], ...]
    rows: int
    loss: float
    rest: float
    interval: Interval | None
    seen: float

    @property
    def confirmed(self) -> bool:
        """Whether the slice is shown to be worse than the rest."""
        return self.interval is not None and self.interval[0] > 0


@dataclass(frozen=True)
class Search:
    """What came of a search.

    Attributes:
        slices: The worst slices, as they were chosen, the worst first.
        searched: How many slices of rows enough were looked at.
        columns: How many columns.
        paired: How many of these in pairs.
        confidence: The confidence of each interval.
    """

    slices: list[FoundSlice]
    searched: int
    columns: int
    paired: int
    confidence: float


@dataclass(frozen=True)
class _Candidate:
    score: float
    columns: tuple[str, ...]
    codes: tuple[int, ...]


@dataclass(frozen=True)
class _Column:
    names: list[str]
    codes: ndarray


def find_slices(predictions: Predictions, dataset: str | Path, count: int, confidence: float, seed: int) -> Search:
    """Return the slices of one or two columns on which the model is worst.

    Args:
        predictions: What the model said.
        dataset: The data; all its columns but the target are searched.
        count: How many slices to tell of, at most.
        confidence: Confidence level that all intervals hold together, between 0 and 1.
        seed: Seed of the division into halves.
    """
    import numpy as np

    losses = _losses(predictions)
    searching = np.random.default_rng(seed).permutation(len(losses)) < len(losses) // 2
    columns = _columns(dataset, predictions.target)
    single, searched = _candidates(columns, [(name,) for name in columns], losses, searching)
    first = dict.fromkeys(name for each in single for name in each.columns)
    paired = list(first)[:PAIRED]
    double, more = _candidates(columns, list(combinations(paired, 2)), losses, searching)
    chosen = _choose(columns, sorted([*single, *double], key=lambda each: -each.score), losses, searching, count)
    corrected = 1 - (1 - confidence) / max(len(chosen), 1)
    binary = predictions.task != REGRESSION
    slices = [_tell(columns, each, losses, searching, corrected, binary) for each in chosen]
    return Search(slices, searched + more, len(columns), len(paired), corrected)


def _losses(predictions: Predictions) -> ndarray:
    """Return each row's loss: 1 for a wrong class, or the absolute error."""
    if predictions.task == REGRESSION:
        return abs(predictions.prediction.astype(float) - predictions.label.astype(float))
    return (predictions.prediction != predictions.label).astype(float)


def _columns(dataset: str | Path, target: str) -> dict[str, _Column]:
    import numpy as np

    found = {}
    for name in read_schema(dataset).names:
        if name == target:
            continue
        values = read_table(dataset, [name])[name]
        parts = divide(values)
        codes = np.zeros(len(values), dtype=np.uint8)
        for code, (_, rows) in enumerate(parts):
            codes[rows] = code
        found[name] = _Column([part for part, _ in parts], codes)
    return found


def _candidates(
    columns: dict[str, _Column], groups: Sequence[tuple[str, ...]], losses: ndarray, searching: ndarray
) -> tuple[list[_Candidate], int]:
    """Return the worst slices of groups of columns on the half that is searched, and how many there were."""
    found: list[_Candidate] = []
    searched = 0
    for group in groups:
        scores = list(_scored(columns, group, losses, searching))
        searched += len(scores)
        found = sorted([*found, *(each for each in scores if each.score > 0)], key=lambda each: -each.score)[:KEPT]
    return found, searched


def _scored(
    columns: dict[str, _Column], group: tuple[str, ...], losses: ndarray, searching: ndarray
) -> Iterator[_Candidate]:
    """Give the slices of a group of columns with rows enough, scored by how surely they are worse than the rest."""
    import numpy as np

    shape = tuple(len(columns[name].names) for name in group)
    place = np.ravel_multi_index([columns[name].codes[searching] for name in group], shape)
    loss = losses[searching]
    rows = np.bincount(place, minlength=math.prod(shape))
    total = np.bincount(place, loss, minlength=math.prod(shape))
    kept = np.flatnonzero((rows >= SMALL) & (len(loss) - rows >= SMALL))
    inside, outside = rows[kept], len(loss) - rows[kept]
    difference = total[kept] / inside - (loss.sum() - total[kept]) / outside
    deviation = float(loss.std())
    scores = difference / (deviation * np.sqrt(1 / inside + 1 / outside)) if deviation else np.zeros(len(kept))
    for index, score in zip(kept, scores, strict=True):
        yield _Candidate(float(score), group, tuple(int(code) for code in np.unravel_index(index, shape)))


def _rows(columns: dict[str, _Column], candidate: _Candidate) -> ndarray:
    import numpy as np

    masks = [columns[name].codes == code for name, code in zip(candidate.columns, candidate.codes, strict=True)]
    return np.logical_and.reduce(masks)


def _choose(
    columns: dict[str, _Column], candidates: Sequence[_Candidate], losses: ndarray, searching: ndarray, count: int
) -> list[_Candidate]:
    """Return the first candidates that are bad by more than the rows of those before."""
    chosen: list[_Candidate] = []
    left = searching.copy()
    for candidate in candidates:
        rows = _rows(columns, candidate)
        if _score(losses[rows & left], losses[~rows & left]) >= OWN * candidate.score:
            chosen.append(candidate)
            left &= ~rows
        if len(chosen) == count:
            break
    return chosen


def _score(inside: ndarray, outside: ndarray) -> float:
    """Return how surely the mean of some rows is above that of others; 0 for too few rows."""
    import numpy as np

    if min(len(inside), len(outside)) < SMALL:
        return 0.0
    deviation = float(np.concatenate([inside, outside]).std())
    error = deviation * math.sqrt(1 / len(inside) + 1 / len(outside))
    return float(inside.mean() - outside.mean()) / error if error else 0.0


def _tell(
    columns: dict[str, _Column],
    candidate: _Candidate,
    losses: ndarray,
    searching: ndarray,
    confidence: float,
    shares: bool,
) -> FoundSlice:
    rows = _rows(columns, candidate)
    inside, outside = losses[rows & ~searching], losses[~rows & ~searching]
    parts = zip(candidate.columns, candidate.codes, strict=True)
    return FoundSlice(
        tuple((name, columns[name].names[code]) for name, code in parts),
        len(inside),
        float(inside.mean()) if len(inside) else math.nan,
        float(outside.mean()) if len(outside) else math.nan,
        _difference(inside, outside, confidence, shares),
        float(losses[rows & searching].mean() - losses[~rows & searching].mean()),
    )


def _difference(first: ndarray, second: ndarray, confidence: float, shares: bool) -> Interval | None:
    """Return the interval of the difference of two means: Welch's, or Agresti and Caffo's of two shares.

    Source: A. Agresti, B. Caffo, The American Statistician 54 (2000): one hit and one miss more in each.
    """
    import numpy as np

    if min(len(first), len(second)) < LEAST_ROWS:
        return None
    if shares:
        first, second = np.append(first, [0, 1]), np.append(second, [0, 1])
    difference = float(first.mean() - second.mean())
    freedom = 0 if shares else 1
    error = math.sqrt(first.var(ddof=freedom) / len(first) + second.var(ddof=freedom) / len(second))
    reach = normal_quantile(confidence) * error
    return difference - reach, difference + reach
