"""The classes of a dataset, and the rows that are screened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import read_table
from kfp_hallmark.errors import InputError
from kfp_hallmark.explanation.rows import sample

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray

MAX_NUMBERS = 20
"""A target of numbers with more values than this measures something; it names no classes."""
MAX_CLASSES = 50
"""A target with more values than this names no classes."""
MAX_ROWS = 1_000_000
"""So many rows of each side are screened at the most."""
MAX_PROBABILITIES = 20_000_000
"""So many probabilities of classes are told at the most, which of many classes takes fewer rows."""


@dataclass(frozen=True)
class Side:
    """The rows of a dataset that are screened.

    Attributes:
        path: The dataset.
        available: How many rows it has.
        unlabelled: How many of them have no label.
        rows: The positions of those that are screened, rising, shape (rows,).
        labels: The class of each, as a position among the classes, shape (rows,).
    """

    path: str
    available: int
    unlabelled: int
    rows: ndarray
    labels: ndarray


@dataclass(frozen=True)
class Labels:
    """The classes of a dataset, and of its baseline.

    Attributes:
        classes: The classes that are judged, in the order of their values.
        small: Each class of too few rows with the least number of rows that it has on a side; their rows are left out.
        sides: The dataset and, if there is one, the baseline.
    """

    classes: list[str]
    small: dict[str, int]
    sides: list[Side]


def read_labels(paths: Sequence[str], target: str, min_class_rows: int, seed: int) -> Labels:
    """Return the classes, and the rows that are screened: those of a class that has enough rows on each side.

    Args:
        paths: The dataset and, if there is one, the baseline.
        target: Column of the labels.
        min_class_rows: Fewest rows by which a class is judged.
        seed: Seed of the sample that is taken of more than `MAX_ROWS`.

    Raises:
        InputError: If the labels are no classes, or are all the same.
    """
    import numpy as np

    read = [_classes(read_table(path, [target])[target], target) for path in paths]
    # Of the dataset first, in the order of its values.
    names = list(dict.fromkeys(name for names, _ in read for name in names))
    if len(read[0][0]) < 2:
        raise InputError(f"target must have at least two values; the column {target!r} has {len(read[0][0])}.")
    counts = {
        name: min(int((codes == names.index(name)).sum()) if name in names else 0 for names, codes in read)
        for name in names
    }
    classes = [name for name in names if counts[name] >= min_class_rows]
    sides = []
    most = min(MAX_ROWS, MAX_PROBABILITIES // max(len(classes), 1))
    for path, (known, codes) in zip(paths, read, strict=True):
        places = np.array([*(classes.index(name) if name in classes else -1 for name in known), -1])[codes]
        rows = np.flatnonzero(places >= 0)
        if len(rows) > most:
            rows = rows[np.sort(sample(len(rows), most, seed))]
        sides.append(Side(path, len(codes), int((codes < 0).sum()), rows, places[rows]))
    return Labels(classes, {name: count for name, count in counts.items() if name not in classes}, sides)


def _classes(column: pyarrow.ChunkedArray, target: str) -> tuple[list[str], ndarray]:
    """Return the classes that a column holds, in order, and the place of each row's, -1 where it is missing."""
    import numpy as np
    from pyarrow import types

    kind = column.type
    numeric = types.is_integer(kind) or types.is_floating(kind)
    if not (numeric or types.is_string(kind) or types.is_boolean(kind)):
        raise InputError(
            f"target must hold classes: text, booleans or few numbers; the column {target!r} holds {kind}."
        )
    encoded = column.dictionary_encode(null_encoding="encode").combine_chunks()
    values = encoded.dictionary.to_pylist()
    present = sorted(value for value in values if value is not None and value == value)
    if len(present) > (most := MAX_NUMBERS if numeric else MAX_CLASSES):
        raise InputError(
            f"target must have at most {most} classes; the column {target!r} has {len(present):,} values.",
            "Of a number that is measured, put bands into a column of their own and screen with that as the target."
            if numeric
            else None,
        )
    places = {value: place for place, value in enumerate(present)}
    codes = np.array([places.get(value, -1) for value in values], dtype=np.int64)
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    return [_name(value) for value in present], codes[indices] if len(values) else np.zeros(0, dtype=np.int64)


def _name(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and value == float(f"{value:g}") else str(value)
