"""Split a dataset into train and test by the hash of its rows, or by time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import (
    dataset_lineage,
    read_batches,
    read_schema,
    read_table,
    require_column,
    write_batches,
)
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.errors import InputError
from kfp_hallmark.hashing import row_hashes, seeded

if TYPE_CHECKING:
    import numpy
    import pyarrow

MAX_NUMBER_CLASSES = 20
"""A target of whole numbers with more distinct values is a quantity, whose values need not all be on both sides."""
ROUNDING = 1e-9
"""What keeps 0.29 * 100 from being 28 rows."""


def split(
    dataset: Artifact,
    train: Artifact,
    test: Artifact,
    target: str | None = None,
    test_fraction: float = 0.3,
    key_column: str | None = None,
    group_column: str | None = None,
    time_column: str | None = None,
    seed: int = 0,
    required_columns: Sequence[str] = (),
) -> tuple[int, int]:
    """Split a dataset; the rows of each side keep the order that they have in the dataset.

    Without a time column, a row is of the test when the seeded hash of its group, its key or the whole row, taken as
    a share of 2^64, is below `test_fraction`; so a row's side depends on nothing but itself. With a time column, the
    rows after its (1 - test_fraction) quantile are the test; equal times stay together. With a group column too, all
    rows of a group count as being of its latest time.

    Returns:
        The number of train rows and of test rows.

    Raises:
        InputError: If a column is absent, two that exclude one another are given, the target is required beside itself,
            a time is missing, a side would be empty, the target is constant, or a side lacks one of its classes.
        IntegrityError: If the dataset was changed since it was written.
    """
    require_seed(seed)
    require_no_target(required_columns, target)
    verified(dataset, "dataset")
    _check(dataset, target, test_fraction, key_column, group_column, time_column)
    for column in required_columns:
        require_column(column, read_schema(dataset.path).names, "What later steps need (required_columns)")
    label = None if target is None else _label(dataset, target)
    if label is not None:
        check_varies(label, target)
    if time_column is None:
        of_test = seeded(_hashes(dataset, group_column or key_column), seed) < _share(test_fraction)
    else:
        groups = _hashes(dataset, group_column) if group_column else None
        of_test = latest(_times(dataset, time_column), test_fraction, groups)
    test_rows = int(of_test.sum())
    train_rows = len(of_test) - test_rows
    for side, rows in (("train", train_rows), ("test", test_rows)):
        if rows == 0:
            raise InputError(
                f"The {side} side must hold at least one row; it holds none of {len(of_test)}.",
                "Choose another test_fraction or seed, or a column with more distinct values.",
            )
    if label is not None:
        check_classes(label, of_test, target)
    lineage = dataset_lineage(dataset.path)
    for artifact, chosen, rows in ((train, ~of_test, train_rows), (test, of_test, test_rows)):
        schema = read_schema(dataset.path)
        digest = write_batches(artifact.path, schema, _chosen(dataset, chosen), {"lineage": lineage})
        artifact.metadata.update(digest=digest, rows=rows, columns=len(schema.names))
    return train_rows, test_rows


def require_no_target(required_columns: Sequence[str], target: str | None) -> None:
    """Raise `InputError` if the target is among the columns that are required beside it."""
    if target in required_columns:
        raise InputError(f"required_columns must not name the target; got {target!r}.")


def _check(
    dataset: Artifact,
    target: str | None,
    test_fraction: float,
    key_column: str | None,
    group_column: str | None,
    time_column: str | None,
) -> None:
    if not 0 < test_fraction < 1:
        raise InputError(f"test_fraction must be above 0 and below 1; got {test_fraction}.")
    if key_column and (group_column or time_column):
        raise InputError("key_column must be unset together with group_column or time_column; got both.")
    names = read_schema(dataset.path).names
    for role, column in (
        ("target", target),
        ("key_column", key_column),
        ("group_column", group_column),
        ("time_column", time_column),
    ):
        if column is not None:
            require_column(column, names, role)


def _share(fraction: float) -> numpy.uint64:
    """Return a share of 2^64."""
    import numpy

    return numpy.uint64(math.floor(fraction * 2**64))


def _hashes(dataset: Artifact, column: str | None) -> numpy.ndarray:
    """Return the hash of every row, or of every value of one column, uint64 of shape (rows,)."""
    import numpy

    batches = read_batches(dataset.path, None if column is None else [column])
    hashes = [row_hashes(batch) for batch in batches]
    return numpy.concatenate(hashes) if hashes else numpy.empty(0, dtype=numpy.uint64)


def _label(dataset: Artifact, target: str) -> pyarrow.ChunkedArray:
    """Return the target, NaN as null."""
    import pyarrow
    from pyarrow import compute, types

    label = read_table(dataset.path, [target]).column(0)
    if types.is_floating(label.type):
        return compute.if_else(compute.is_nan(label), pyarrow.scalar(None, label.type), label)
    return label


def _times(dataset: Artifact, column: str) -> numpy.ndarray:
    """Return a column of dates or numbers as numbers that sort like it, shape (rows,)."""
    import pyarrow
    from pyarrow import compute, types

    times = read_table(dataset.path, [column]).column(0)
    if types.is_temporal(times.type):
        times = times.cast(pyarrow.timestamp(getattr(times.type, "unit", "us"))).cast(pyarrow.int64())
    if not (types.is_integer(times.type) or types.is_floating(times.type)):
        raise InputError(
            f"time_column must hold dates, times or numbers; {column!r} holds {times.type}.",
            "Write dates as in ISO 8601, such as 2026-11-21, so that they are read as dates.",
        )
    missing = compute.sum(compute.is_null(times, nan_is_null=True)).as_py() or 0
    if missing:
        raise InputError(f"time_column must hold a time in every row; {column!r} lacks {missing:,} of {len(times):,}.")
    return times.to_numpy()


def latest(times: numpy.ndarray, fraction: float, groups: numpy.ndarray | None = None) -> numpy.ndarray:
    """Return which rows are after the (1 - fraction) quantile of the times, bool of shape (rows,).

    The quantile is the least time that at least that share of the rows does not exceed (the inverse of the empirical
    distribution). A group counts as being of its latest time.
    """
    import numpy

    if len(times) == 0:
        return numpy.zeros(0, dtype=bool)
    if groups is not None:
        _, group = numpy.unique(groups, return_inverse=True)
        last = numpy.full(group.max() + 1, times.min())
        numpy.maximum.at(last, group, times)
        times = last[group]
    after = math.floor(fraction * len(times) + ROUNDING)
    quantile = numpy.partition(times, len(times) - after - 1)[len(times) - after - 1]
    return times > quantile


def check_varies(label: pyarrow.ChunkedArray, target: str) -> None:
    """Raise `InputError` if the target has no two different values."""
    distinct = len(label.drop_null().unique())
    if distinct < 2:
        raise InputError(f"target must hold at least two different values; {target!r} holds {distinct}.")


def check_classes(label: pyarrow.ChunkedArray, of_test: numpy.ndarray, target: str) -> None:
    """Raise `InputError` if a side lacks one of the target's classes.

    Text, booleans and whole numbers with at most 20 distinct values are classes; missing values are none.
    """
    from pyarrow import types

    classes = label.drop_null().unique()
    if not (types.is_string(label.type) or types.is_boolean(label.type) or _few_whole_numbers(classes)):
        return
    for side, chosen in (("train", ~of_test), ("test", of_test)):
        present = len(label.filter(_mask(chosen)).drop_null().unique())
        if present < len(classes):
            raise InputError(
                f"target must have every class on both sides; "
                f"the {side} side lacks {len(classes) - present} of the {len(classes)} classes of {target!r}.",
                "Choose another test_fraction or seed, or leave out classes with very few rows.",
            )


def _few_whole_numbers(classes: pyarrow.Array) -> bool:
    from pyarrow import compute, types

    if len(classes) > MAX_NUMBER_CLASSES:
        return False
    if not types.is_floating(classes.type):
        return types.is_integer(classes.type)
    return bool(compute.all(compute.equal(classes, compute.trunc(classes))).as_py())


def _mask(chosen: numpy.ndarray) -> pyarrow.Array:
    import pyarrow

    return pyarrow.array(chosen)


def _chosen(dataset: Artifact, chosen: numpy.ndarray) -> Iterator[pyarrow.RecordBatch]:
    """Give the chosen rows of a dataset."""
    start = 0
    for batch in read_batches(dataset.path):
        yield batch.filter(_mask(chosen[start : start + batch.num_rows]))
        start += batch.num_rows
