"""Values that go with one label beyond what everything else that is known of the rows explains: traces of a backdoor.

A pattern is a value of one column, or values of up to four together. Of the n rows that hold it, `same` have its most
common label, and `expected` would have it by the probabilities that a model gives. Of those that should have another
label, (same - expected) / (n - expected) have this one: the pattern's strength. A stamped backdoor's is 1, chance's 0.
What counts is three standard errors less, the error being the root of the sum of p (1 - p).

With a baseline the model is one that learnt from it: a value that tells the label there, too, is no finding. Without
one, patterns are looked for beside the shares of a tree of large leaves, which cannot hold one; then a model that
learnt from rows without the pattern says what its rows should be. A value that tells the label by nature is as strong
as a trigger. But its rows differ in other columns, too, and those of a stamped trigger are like other rows, or like the
rows of the labels that were overwritten: only a pattern that a classifier cannot well tell from either is a finding.

Source of stamped triggers with a label of the attacker's: Gu, Dolan-Gavitt and Garg 2017, BadNets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.screen_poisoning.encoding import Columns
from kfp_hallmark.components.data.screen_poisoning.models import chance, learn, out_of_fold, tell

if TYPE_CHECKING:
    from numpy import ndarray

MINED = 200_000
"""In so many rows patterns are looked for at the most; those found are counted in all rows."""
LEAST_SHARE, LEAST_ROWS, MOST_SHARE = 0.0025, 50, 0.05
"""What share of the rows a pattern has at least, how many, and what share at most."""
CONTRADICTED, CONTRADICTED_SHARE = 20, 0.05
"""How many rows of a pattern, and what share, should have another label at least for its strength to be told."""
ERRORS = 3
"""How many standard errors are taken off."""
TOLD = 0.1
"""The least strength by which a pattern is kept."""
PAIRED = 60
"""Of so many columns, the strongest alone, all pairs are looked at."""
BEAM = 20
"""From how many patterns longer ones are made, and how many are kept."""
WORTH = 0.05
"""By how much a further value must strengthen a pattern to be worth it."""
LONGEST = 4
"""How many columns a pattern has at the most."""
OVERLAP = 0.5
"""A pattern whose rows are so largely those of a stronger one is left out."""
LEAF_SHARE = 0.05
"""The least share of the rows in a leaf of the tree that stands in for a baseline."""
GROUPS = 4
"""Patterns are held out from learning in so many groups."""
APART = 0.75
"""From this ROC AUC on, rows are well told from others by their other columns."""
COMPARED, TREES = 2000, 20
"""How many rows of a side that takes at most, and how many trees."""
HELD_TREES = 100
"""How many trees the model has that says what the rows of patterns should be that it did not see."""


@dataclass(frozen=True)
class Pattern:
    """Values that go with one label.

    Attributes:
        features: The columns, as positions.
        codes: The code that the rows hold in each.
        label: The label, as a position.
        rows: How many rows hold the values.
        same: How many of these have the label.
        expected: How many would by what else is known.
        variance: Of that number.
        area: The least ROC AUC by which the rows are told from others; None when it was not needed.
    """

    features: tuple[int, ...]
    codes: tuple[int, ...]
    label: int
    rows: int
    same: int
    expected: float
    variance: float
    area: float | None = None

    @property
    def strength(self) -> float:
        """Of the rows that should have another label, the share that has this one; at least so much."""
        rest = self.rows - self.expected
        if rest < max(CONTRADICTED, CONTRADICTED_SHARE * self.rows):
            return 0.0
        return max(0.0, (self.same - self.expected - ERRORS * self.variance**0.5) / rest)

    @property
    def natural(self) -> bool:
        """Whether the rows differ from others so much that the values may tell the label by nature."""
        return self.area is not None and self.area >= APART

    def among(self, codes: ndarray) -> ndarray:
        """Return which rows hold the values, shape (rows,)."""
        import numpy as np

        return np.all([codes[:, feature] == code for feature, code in zip(self.features, self.codes, strict=True)], 0)


def find_triggers(
    columns: Columns, labels: ndarray, former: ndarray | None, classes: int, limit: float, seed: int
) -> list[Pattern]:
    """Return the patterns that are found, the strongest first; natural ones last.

    Args:
        columns: The features.
        labels: The class of each row of the dataset.
        former: That of each row of the baseline; None without one.
        classes: How many classes there are.
        limit: Without a baseline, of patterns stronger than this it is told whether they may be natural.
        seed: Seed of the samples and the models.
    """
    import numpy as np

    everywhere = np.arange(len(labels))
    chosen = everywhere
    if len(labels) > MINED:
        chosen = np.sort(chance(seed, "mining").choice(everywhere, MINED, replace=False))
    codes, mined = columns.codes[chosen], labels[chosen]
    if former is not None:
        model = learn(columns.baseline, columns.texts, former, np.arange(len(former)), seed)
        told = tell(model, columns.codes, classes)
        found = _Search(codes, mined, told[chosen]).patterns()
        return _ordered(_measured(pattern, columns.codes, labels, told) for pattern in found)
    found = _Search(codes, mined, _coarse(codes, mined, classes, seed)).patterns()
    kept = [pattern for pattern in _verified(found, columns, labels, classes, seed) if pattern.strength > TOLD]
    return _ordered(
        replace(pattern, area=_area(pattern, columns, labels, seed)) if pattern.strength > limit else pattern
        for pattern in kept
    )


def _ordered(patterns: Iterator[Pattern]) -> list[Pattern]:
    return sorted(patterns, key=lambda pattern: (pattern.natural, -pattern.strength, pattern.features, pattern.codes))


def _measured(pattern: Pattern, codes: ndarray, labels: ndarray, told: ndarray) -> Pattern:
    """Return a pattern as it is in all rows."""
    import numpy as np

    rows = np.flatnonzero(pattern.among(codes))
    return _with(pattern, labels[rows], told[rows, pattern.label])


def _with(pattern: Pattern, labels: ndarray, probabilities: ndarray) -> Pattern:
    import numpy as np

    p = probabilities.astype(np.float64)
    return replace(
        pattern,
        rows=len(labels),
        same=int((labels == pattern.label).sum()),
        expected=float(p.sum()),
        variance=float((p * (1 - p)).sum()),
    )


def _coarse(codes: ndarray, labels: ndarray, classes: int, seed: int) -> ndarray:
    """Return what the leaf of a row says of its label; a leaf is too large to hold a pattern alone."""
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(min_samples_leaf=LEAF_SHARE, random_state=seed).fit(codes.astype(np.float32), labels)
    found = np.zeros((len(labels), classes), dtype=np.float32)
    found[:, tree.classes_] = tree.predict_proba(codes.astype(np.float32))
    return found


def _verified(
    patterns: Sequence[Pattern], columns: Columns, labels: ndarray, classes: int, seed: int
) -> Iterator[Pattern]:
    """Give the patterns as a model sees them that did not learn from their rows."""
    import numpy as np

    for group in range(GROUPS):
        held = [(pattern, pattern.among(columns.codes)) for pattern in patterns[group::GROUPS]]
        if not held:
            return
        others = np.flatnonzero(~np.any([rows for _, rows in held], axis=0))
        model = learn(columns.codes, columns.texts, labels, others, seed, HELD_TREES)
        for pattern, rows in held:
            told = tell(model, columns.codes[rows], classes)
            yield _with(pattern, labels[rows], told[:, pattern.label])


def _area(pattern: Pattern, columns: Columns, labels: ndarray, seed: int) -> float:
    """Return the ROC AUC by which a pattern's rows are told from others by the other columns.

    The lesser counts of two: from all other rows, and from those of other labels.
    """
    import numpy as np
    from sklearn.metrics import roc_auc_score

    random = chance(seed, "areas")
    rest = [place for place in range(len(columns.names)) if place not in pattern.features]
    if not rest:
        return 0.5
    texts = [columns.texts[place] for place in rest]
    among = pattern.among(columns.codes)
    inside = random.permutation(np.flatnonzero(among))[:COMPARED]
    areas = []
    for other in (~among, ~among & (labels != pattern.label)):
        outside = random.permutation(np.flatnonzero(other))[: len(inside)]
        codes = columns.codes[np.concatenate([inside, outside])][:, rest]
        side = np.repeat([1, 0], [len(inside), len(outside)])
        areas.append(float(roc_auc_score(side, out_of_fold(codes, texts, side, 2, seed, TREES)[:, 1])))
    return min(areas)


def _worth(pattern: Pattern) -> tuple[float, tuple[int, ...], tuple[int, ...]]:
    """Return what patterns are sorted by, those first of which less is said and more explained."""
    return WORTH * len(pattern.features) - pattern.strength, pattern.features, pattern.codes


class _Search:
    """Looks for patterns: all values, all pairs of values, and longer ones from the strongest.

    Args:
        codes: The features, shape (rows, features).
        labels: The class of each row, shape (rows,).
        told: The probability of each class for each row, shape (rows, classes).
    """

    def __init__(self, codes: ndarray, labels: ndarray, told: ndarray) -> None:
        import numpy as np

        self._codes, self._labels, self._told = codes, labels, told
        self._least = max(LEAST_ROWS, LEAST_SHARE * len(labels))
        self._everywhere = np.arange(len(labels))

    def patterns(self) -> list[Pattern]:
        """Return the strongest patterns, none of which is largely part of a stronger one."""
        features = range(self._codes.shape[1])
        alone = {feature: self._among(self._everywhere, (feature,)) for feature in features}
        found = [pattern for patterns in alone.values() for pattern in patterns]
        strongest = {feature: max((each.strength for each in alone[feature]), default=0.0) for feature in features}
        paired = sorted(sorted(features, key=lambda feature: -strongest[feature])[:PAIRED])
        for pair in combinations(paired, 2):
            found += self._among(self._everywhere, pair)
        beam = self._distinct(found)
        for _ in range(LONGEST - 2):
            longer = [each for pattern in beam for each in self._longer(pattern)]
            beam = self._distinct([*beam, *longer])
        return beam

    def _longer(self, pattern: Pattern) -> Iterator[Pattern]:
        """Give the patterns that a further value makes."""
        import numpy as np

        rows = np.flatnonzero(pattern.among(self._codes))
        for feature in range(self._codes.shape[1]):
            if feature not in pattern.features and len(pattern.features) < LONGEST:
                for each in self._among(rows, (feature,)):
                    yield replace(each, features=(*pattern.features, feature), codes=(*pattern.codes, *each.codes))

    def _among(self, rows: ndarray, features: tuple[int, ...]) -> list[Pattern]:
        """Return what is strong enough of the values that some columns have together in some rows."""
        import numpy as np

        held = self._codes[rows[:, None], list(features)].astype(np.int64)
        sizes = held.max(axis=0) + 1
        cells = np.ravel_multi_index(tuple(held.T), tuple(sizes.tolist()))
        counts = np.bincount(cells)
        large = np.flatnonzero((counts >= self._least) & (counts <= MOST_SHARE * len(self._labels)))
        if not len(large):
            return []
        places = np.full(len(counts), -1)
        places[large] = np.arange(len(large))
        inside = np.flatnonzero(places[cells] >= 0)
        rows, groups = rows[inside], places[cells[inside]]
        classes = self._told.shape[1]
        labels = self._labels[rows]
        by_class = np.bincount(groups * classes + labels, minlength=len(large) * classes).reshape(-1, classes)
        label = by_class.argmax(axis=1)
        p = self._told[rows, label[groups]].astype(np.float64)
        expected, variance = np.bincount(groups, p), np.bincount(groups, p * (1 - p))
        codes = np.stack(np.unravel_index(large, tuple(sizes.tolist())), axis=1)
        found = (
            Pattern(
                features,
                tuple(codes[place].tolist()),
                int(label[place]),
                int(counts[large[place]]),
                int(by_class[place].max()),
                float(expected[place]),
                float(variance[place]),
            )
            for place in range(len(large))
        )
        return [pattern for pattern in found if pattern.strength > TOLD]

    def _distinct(self, patterns: Sequence[Pattern]) -> list[Pattern]:
        """Return the strongest patterns but those that are largely part of a stronger one."""
        kept: list[tuple[Pattern, ndarray]] = []
        for pattern in sorted(patterns, key=_worth):
            rows = pattern.among(self._codes)
            if all((rows & other).sum() < OVERLAP * pattern.rows for _, other in kept):
                kept.append((pattern, rows))
            if len(kept) == BEAM:
                break
        return [pattern for pattern, _ in kept]
