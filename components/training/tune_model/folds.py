"""Cut training data into folds: at random, by group, or by time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.predictions import REGRESSION
from kfp_hallmark.errors import InputError
from kfp_hallmark.training.features import hash_rows

if TYPE_CHECKING:
    from numpy import ndarray


@dataclass(frozen=True)
class Keys:
    """What holds rows together or puts them in order.

    Attributes:
        rows: What is the same number for equal rows, shape (rows,); None when every row is another.
        groups: Each row's group as a whole number, shape (rows,); None when there are no groups.
        times: Each row's time as a number, shape (rows,); None when rows have no order. With groups, that of the
            group's latest row.
    """

    rows: ndarray | None = None
    groups: ndarray | None = None
    times: ndarray | None = None


@dataclass(frozen=True)
class Folds:
    """Which rows are trained on and which are scored.

    Attributes:
        block: Each row's block, int16 of shape (rows,); -1 is left out.
        expanding: Whether a block is scored by what was trained on those before it, the first one never, and not by
            what was trained on all others.
    """

    block: ndarray
    expanding: bool

    @property
    def numbers(self) -> tuple[int, ...]:
        """The blocks that are scored, in order."""
        return tuple(range(1 if self.expanding else 0, int(self.block.max()) + 1))

    def sides(self, number: int) -> tuple[ndarray, ndarray]:
        """Return which rows to train on and which to score for a block, as masks."""
        before = self.block < number if self.expanding else self.block != number
        return before & (self.block >= 0), self.block == number


def read_keys(path: str, group_column: str | None, time_column: str | None) -> Keys:
    """Return the keys of a dataset's rows.

    Raises:
        InputError: If a column is absent, or a time or group is missing, or times are neither dates nor numbers.
    """
    import numpy

    names = read_schema(path).names
    for role, column in (("group_column", group_column), ("time_column", time_column)):
        if column is not None:
            require_column(column, names, role)
    groups = None if group_column is None else _groups(path, group_column)
    times = None if time_column is None else _times(path, time_column)
    if groups is not None and times is not None:
        latest = numpy.full(groups.max() + 1, times.min())
        numpy.maximum.at(latest, groups, times)
        times = latest[groups]
    rows = hash_rows(path) if groups is None and times is None else None
    return Keys(rows, groups, times)


def _groups(path: str, column: str) -> ndarray:
    values = read_table(path, [column])[column].combine_chunks()
    _require_present("group_column", column, values.null_count, len(values))
    return values.dictionary_encode().indices.to_numpy()


def _times(path: str, column: str) -> ndarray:
    import numpy
    import pyarrow
    from pyarrow import types

    values = read_table(path, [column])[column].combine_chunks()
    _require_present("time_column", column, values.null_count, len(values))
    if types.is_temporal(values.type):
        values = values.cast(pyarrow.timestamp(getattr(values.type, "unit", "us"))).cast(pyarrow.int64())
    if not (types.is_integer(values.type) or types.is_floating(values.type)):
        raise InputError(f"time_column must hold dates, times or numbers; {column!r} holds {values.type}.")
    times = values.to_numpy()
    _require_present("time_column", column, int(numpy.isnan(times).sum()), len(times))
    return times


def _require_present(role: str, column: str, missing: int, rows: int) -> None:
    if missing:
        raise InputError(f"{role} must have a value in every row; the column {column!r} lacks {missing:,} of {rows:,}.")


def make_folds(count: int, label: ndarray, keys: Keys, task: str, seed: int, rows: ndarray | None = None) -> Folds:
    """Return folds of some rows.

    Rows of a group stay together, and without groups equal rows, as on the sides of the split: a row that is trained on
    would be scored too. With times, blocks follow one another, equal times in one block, and each is scored
    by what was trained on those before it. Otherwise classes are spread evenly over the folds.

    Args:
        count: The number of folds that are scored, at least 2.
        label: What is predicted, shape (rows,).
        keys: What holds rows together or in order.
        task: binary, multiclass or regression.
        seed: Seed of what is random.
        rows: The rows to fold, as a mask; None is all.

    Raises:
        InputError: If there are too few rows, groups or times, or training on a fold would lack a class.
    """
    import numpy

    rows = numpy.ones(len(label), dtype=bool) if rows is None else rows
    block = numpy.full(len(label), -1, dtype=numpy.int16)
    expanding = keys.times is not None
    if keys.times is not None:
        block[rows] = _blocks_of_time(count + 1, keys.times[rows])
    else:
        classes = numpy.zeros(len(label)) if task == REGRESSION else label
        if keys.groups is not None:
            block[rows] = _blocks_of_groups(count, classes[rows], keys.groups[rows], seed)
        else:
            same = numpy.arange(len(label)) if keys.rows is None else keys.rows
            block[rows] = _blocks_of_rows(count, classes[rows], same[rows], seed)
    folds = Folds(block, expanding)
    if task != REGRESSION:
        _require_classes(folds, label, len(numpy.unique(label)))
    return folds


def _blocks_of_time(count: int, times: ndarray) -> ndarray:
    """Return the block of each row: about as many rows in each, equal times in one."""
    import numpy

    order = numpy.sort(times)
    starts = numpy.unique(order[[len(order) * number // count for number in range(1, count)]])
    block = numpy.searchsorted(starts, times, side="right")
    found = len(numpy.unique(block))
    if found < count:
        raise InputError(f"time_column must hold enough different times for {count} blocks; it gives {found}.")
    return block


def _blocks_of_groups(count: int, classes: ndarray, groups: ndarray, seed: int) -> ndarray:
    import numpy
    from sklearn.model_selection import StratifiedGroupKFold

    least = numpy.unique(classes, return_counts=True)[1].min()
    for what, most in (("groups", len(numpy.unique(groups))), ("rows of the rarest class", least)):
        if most < count:
            raise InputError(f"folds must be at most the number of {what}; got {count} for {most:,}.")
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    block = numpy.empty(len(classes), dtype=numpy.int16)
    for number, (_, scored) in enumerate(splitter.split(numpy.zeros(len(classes)), classes, groups)):
        block[scored] = number
    return block


def _blocks_of_rows(count: int, classes: ndarray, rows: ndarray, seed: int) -> ndarray:
    """Return the block of each row: the different rows of each class are dealt out in random order."""
    import numpy

    generator, dealt = numpy.random.default_rng(seed), 0
    block = numpy.empty(len(classes), dtype=numpy.int16)
    for value in numpy.unique(classes):
        of_class = numpy.flatnonzero(classes == value)
        different, place = numpy.unique(rows[of_class], return_inverse=True)
        if len(different) < count:
            raise InputError(
                "folds must be at most the number of different rows of the rarest class; "
                f"got {count} for {len(different):,}."
            )
        block[of_class] = (generator.permutation(len(different))[place] + dealt) % count
        dealt += len(different)
    return block


def _require_classes(folds: Folds, label: ndarray, classes: int) -> None:
    import numpy

    for number in folds.numbers:
        trained, scored = folds.sides(number)
        for side, mask, wanted in (("training", trained, classes), ("scored", scored, 2)):
            found = len(numpy.unique(label[mask]))
            if found < wanted:
                raise InputError(
                    f"The {side} rows of every fold must hold {wanted} classes; fold {number} holds {found}.",
                    "Choose fewer folds, or leave out classes with very few rows.",
                )
