"""Search for changes of a row that change the decision on it.

The searches ask the model and nothing else, so any model can be searched. What they find is real; what they do not find
may still be there: the rates are lower bounds.

- **Smallest change**: each feature alone is moved up and down by each size, within the observed range.
- **Evasion**: within a box around the row, every feature is probed at both ends; the ends that help are then taken
  together, the most helpful 1, 2, 4, ... of them; from the best point so far, random points of the box are tried. For
  a model that is additive and monotone in its features, such as a linear one, the corner of all helpful ends is the
  best there is, and the search is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.evaluation.robustness_gate.perturb import CATEGORY, NUMBER, Feature, numbers, with_values
from kfp_hallmark.contracts.predictions import REGRESSION, Predictions
from kfp_hallmark.measures import select

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray
    from numpy.random import Generator

TRIES = 40
"""How many random points of the box are tried for each row."""


@dataclass(frozen=True)
class Searched:
    """The rows that are searched.

    Attributes:
        ask: A table to what the model says of it; its labels mean nothing.
        table: The rows.
        clean: What the model says of them, with their labels.
        change: Regression only: the change of a prediction that counts as another decision.
    """

    ask: Callable[[pyarrow.Table], Predictions]
    table: pyarrow.Table
    clean: Predictions
    change: float

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.table.num_rows)

    def of(self, places: ndarray) -> Searched:
        """Return some of the rows, by their positions."""
        return Searched(self.ask, self.table.take(places), select(self.clean, places), self.change)

    def right(self) -> ndarray:
        """Return whether the model decides each row rightly; always for a regression."""
        import numpy as np

        if self.clean.task == REGRESSION:
            return np.ones(self.rows, dtype=bool)
        return np.asarray(self.clean.prediction == self.clean.label, dtype=bool)

    def flipped(self, said: Predictions) -> ndarray:
        """Return whether each row of what the model said of changed rows is another decision; the rows may repeat."""
        import numpy as np

        before = np.tile(self.clean.prediction, len(said.prediction) // self.rows)
        if self.clean.task == REGRESSION:
            return np.asarray(abs(said.prediction - before) > self.change)
        return np.asarray(said.prediction != before, dtype=bool)

    def closeness(self, said: Predictions, sign: float) -> ndarray:
        """Return how far each row is from another decision, less is nearer; 0 throughout without scores."""
        import numpy as np

        times = len(said.prediction) // self.rows
        if self.clean.task == REGRESSION:
            return np.asarray(sign * said.prediction)
        if said.score is None:
            return np.zeros(len(said.prediction))
        if said.score.ndim == 1:
            return np.tile(np.where(self.clean.positive_prediction, 1.0, -1.0), times) * said.score
        names = {value: place for place, value in enumerate(self.clean.classes)}
        own = np.tile([names[value] for value in self.clean.prediction.tolist()], times)
        rest, rows = said.score.copy(), np.arange(len(own))
        rest[rows, own] = -np.inf
        return np.asarray(said.score[rows, own] - rest.max(axis=1))


@dataclass(frozen=True)
class Flips:
    """Which decisions one changed feature flips.

    Attributes:
        sizes: The sizes tried, in standard deviations of the feature, rising.
        smallest: Feature of numbers that are not all equal to the least size that flips each row, infinite where none
            does; shape (rows,).
        exchanged: Category to whether another of its values flips each row; shape (rows,).
    """

    sizes: Sequence[float]
    smallest: dict[str, ndarray]
    exchanged: dict[str, ndarray]

    def rows_within(self, size: float) -> ndarray:
        """Return whether each row is flipped by some feature of numbers within a size."""
        import numpy as np

        return np.any([found <= size for found in self.smallest.values()], axis=0)


def search_flips(searched: Searched, features: Sequence[Feature], sizes: Sequence[float]) -> Flips:
    """Return which decisions flip when one feature changes; the module says how it is searched."""
    moving = [each for each in features if each.kind == NUMBER and each.spread]
    smallest = {each.name: _smallest(searched, each, sizes) for each in moving}
    exchanged = {each.name: _exchanged(searched, each) for each in features if each.kind == CATEGORY}
    return Flips(sizes, smallest, exchanged)


def _smallest(searched: Searched, feature: Feature, sizes: Sequence[float]) -> ndarray:
    import numpy as np

    options = [end for size in sizes for end in _ends(searched.table, feature, size)]
    flipped = _tried(searched, feature, options).reshape(len(sizes), 2, -1).any(axis=1)
    return np.where(flipped.any(axis=0), np.asarray(sizes)[flipped.argmax(axis=0)], np.inf)


def _exchanged(searched: Searched, feature: Feature) -> ndarray:
    import numpy as np

    if not feature.values:
        return np.zeros(searched.rows, dtype=bool)
    options = [[value] * searched.rows for value in feature.values]
    return _tried(searched, feature, options).reshape(len(options), -1).any(axis=0)


def _tried(searched: Searched, feature: Feature, options: Sequence[Any]) -> ndarray:
    """Return whether each option of a feature flips each row, shape (options * rows,)."""
    return searched.flipped(searched.ask(_stacked(searched.table, feature.name, options)))


def _stacked(table: pyarrow.Table, name: str, options: Sequence[Any]) -> pyarrow.Table:
    """Return a table once for each option, with the option's values in one column."""
    import pyarrow

    return pyarrow.concat_tables([with_values(table, {name: option}) for option in options])


def _ends(table: pyarrow.Table, feature: Feature, size: float) -> tuple[ndarray, ndarray]:
    """Return the least and the greatest value that each row can be given, of the observed range; NaN stays NaN."""
    import numpy as np

    own, reach = numbers(table[feature.name]), size * feature.spread
    low, high = np.maximum(own - reach, feature.low), np.minimum(own + reach, feature.high)
    return (np.ceil(low), np.floor(high)) if feature.whole else (low, high)


def search_evasions(
    searched: Searched, features: Sequence[Feature], sizes: Sequence[float], generator: Generator
) -> ndarray:
    """Return the least size of the box in which another decision on each row was found; infinite where none was.

    Args:
        searched: The rows.
        features: The features that may change; a category may take any of its commonest values.
        sizes: Half the box's edges, in standard deviations of each feature, rising.
        generator: The source of chance.
    """
    import numpy as np

    found = np.full(searched.rows, np.inf)
    features = [feature for feature in features if feature.kind == NUMBER or feature.values]
    signs = (1.0, -1.0) if searched.clean.task == REGRESSION else (1.0,)
    for size in sizes:
        for sign in signs:
            left = np.flatnonzero(np.isinf(found))
            if len(left) and features:
                hit = _Attack(searched.of(left), features, size, sign).run(generator)
                found[left[hit]] = size
    return found


class _Attack:
    """One search for evasions of some rows in one box, in one direction."""

    def __init__(self, searched: Searched, features: Sequence[Feature], size: float, sign: float) -> None:
        self.searched, self.features, self.sign = searched, features, sign
        self.options = [_options(searched.table, feature, size) for feature in features]
        self.own = [_values(searched.table, feature) for feature in features]

    def run(self, generator: Generator) -> ndarray:
        """Return whether another decision was found, shape (rows,)."""
        import numpy as np

        hit, place, near = self._probe()
        start = self.searched.closeness(self.searched.clean, self.sign)
        order = np.argsort(near - start, axis=0, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(len(order))[:, None], axis=0)
        helps = near < start
        best, nearest = [np.array(own, dtype=object) for own in self.own], start
        count = 1
        while count < 2 * len(self.features):
            moved = helps & (ranks < count)
            point = [
                _pick(own, options, np.where(mask, chosen, -1))
                for own, options, mask, chosen in zip(self.own, self.options, moved, place, strict=True)
            ]
            best, nearest, hit = self._better(point, best, nearest, hit)
            count *= 2
        for _ in range(TRIES):
            best, nearest, hit = self._better(self._random(best, generator), best, nearest, hit)
        return hit

    def _probe(self) -> tuple[ndarray, ndarray, ndarray]:
        """Return whether a single feature flips a row, and each feature's best option with its closeness."""
        import numpy as np

        hit, places, nears = np.zeros(self.searched.rows, dtype=bool), [], []
        for feature, options in zip(self.features, self.options, strict=True):
            said = self.searched.ask(_stacked(self.searched.table, feature.name, options))
            hit |= self.searched.flipped(said).reshape(len(options), -1).any(axis=0)
            near = self.searched.closeness(said, self.sign).reshape(len(options), -1)
            places.append(near.argmin(axis=0))
            nears.append(near.min(axis=0))
        return hit, np.array(places), np.array(nears)

    def _random(self, best: list[ndarray], generator: Generator) -> list[ndarray]:
        """Return a point of the box: the best one, with a random share of its features drawn anew, half at an end."""
        import numpy as np

        point, share = [], generator.random(self.searched.rows)
        for feature, options, values in zip(self.features, self.options, best, strict=True):
            drawn: Any = _pick(values, options, generator.integers(len(options), size=len(values)))
            if feature.kind == NUMBER:
                low, high = options
                within = low + generator.random(len(low)) * (high - low)
                within = np.floor(within).clip(low, high) if feature.whole else within
                drawn = np.where(generator.random(len(low)) < 0.5, within, drawn)
            point.append(np.where(generator.random(len(values)) < share, drawn, values))
        return point

    def _better(
        self, point: list[ndarray], best: list[ndarray], nearest: ndarray, hit: ndarray
    ) -> tuple[list[ndarray], ndarray, ndarray]:
        """Return the better of two points of each row, how near it is, and which rows are hit by now."""
        import numpy as np

        moved = {
            feature.name: values if feature.kind == NUMBER else values.tolist()
            for feature, values in zip(self.features, point, strict=True)
        }
        said = self.searched.ask(with_values(self.searched.table, moved))
        near = self.searched.closeness(said, self.sign)
        nearer = near < nearest
        best = [np.where(nearer, new, old) for new, old in zip(point, best, strict=True)]
        return best, np.minimum(near, nearest), hit | self.searched.flipped(said)


def _options(table: pyarrow.Table, feature: Feature, size: float) -> list[Any]:
    """Return what each row can be given: the ends of the box, or the values of the category."""
    if feature.kind == NUMBER:
        return list(_ends(table, feature, size))
    return [[value] * table.num_rows for value in feature.values]


def _values(table: pyarrow.Table, feature: Feature) -> ndarray:
    import numpy as np

    column = table[feature.name]
    return numbers(column) if feature.kind == NUMBER else np.array(column.to_pylist(), dtype=object)


def _pick(own: ndarray, options: Sequence[Any], place: ndarray) -> ndarray:
    """Return each row's option by its place, or its own value where the place is -1."""
    import numpy as np

    found = np.array(own, dtype=object)
    for index, option in enumerate(options):
        found = np.where(place == index, np.array(option, dtype=object), found)
    return found
