"""The groups that sensitive features make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kfp_hallmark.errors import InputError
from kfp_hallmark.measures import Partition, count_codes

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray

MISSING = "(missing)"
"""The group of the rows without a value."""
TIMES = " × "
"""What joins features, and values, to an intersection."""
MAX_NUMBERS = 20
"""A feature of numbers or times with more values than this measures something; it does not name groups."""
MAX_GROUPS = 1000
"""A feature of text, or a combination of features, with more values identifies rows; it does not name groups."""


@dataclass(frozen=True)
class Groups:
    """The groups of one sensitive feature, or of an intersection of several.

    Attributes:
        feature: The feature's name; of an intersection, the names joined.
        names: The groups, in the order of their values, the missing one last.
        titles: The groups as a sentence names them, with their features.
        codes: Each row's group, as a position in `names`, shape (rows,).
    """

    feature: str
    names: list[str]
    titles: list[str]
    codes: ndarray

    @cached_property
    def partition(self) -> Partition:
        """The rows by their groups."""
        return Partition(self.codes, len(self.names))


def group_by(column: pyarrow.ChunkedArray, feature: str) -> Groups:
    """Return the groups of a column; rows without a value, or NaN, are a group of their own.

    Raises:
        InputError: If the column has more values than groups can be told from, or times that no calendar has.
    """
    import numpy as np

    encoded = column.dictionary_encode(null_encoding="encode").combine_chunks()
    most = MAX_GROUPS if _names_groups(column.type) else MAX_NUMBERS
    if (distinct := len(encoded.dictionary)) > most:
        raise InputError(
            f"The sensitive feature {feature!r} must have at most {most} values; got {distinct:,}.",
            "Bin it into a few groups, such as bands of age, in a column of its own.",
        )
    try:
        values = encoded.dictionary.to_pylist()
    except OverflowError:
        raise InputError(f"The sensitive feature {feature!r} must hold times from the year 1 to 9999.") from None
    order = sorted(range(len(values)), key=lambda place: _order(values[place]))
    names = list(dict.fromkeys(_name(values[place]) for place in order))
    codes = np.array([names.index(_name(value)) for value in values], dtype=np.int32)
    titles = [f"{feature} {name}" for name in names]
    return Groups(feature, names, titles, codes.take(encoded.indices.to_numpy(zero_copy_only=False)))


def intersect(groups: Sequence[Groups]) -> Groups:
    """Return the groups that the combinations of several features make; combinations without a row are left out.

    Raises:
        InputError: If there are more than rows can be told apart by.
    """
    import numpy as np

    codes, places = groups[0].codes, np.arange(len(groups[0].names))[None]
    for last, other in enumerate(groups[1:], 1):
        count = len(other.names)
        found, codes = _renumbered(codes * count + other.codes, places.shape[1] * count)
        places = np.vstack([places[:, found // count], found % count])
        if places.shape[1] > MAX_GROUPS:
            features = " and ".join(repr(each.feature) for each in groups[: last + 1])
            raise InputError(
                f"The combinations of {features} must be at most {MAX_GROUPS:,} groups; got {places.shape[1]:,}.",
                "Bin them into fewer groups, or set intersection to false.",
            )
    parts = [list(zip(groups, combination, strict=True)) for combination in places.T.tolist()]
    return Groups(
        feature=TIMES.join(each.feature for each in groups),
        names=[TIMES.join(each.names[place] for each, place in part) for part in parts],
        titles=[", ".join(each.titles[place] for each, place in part) for part in parts],
        codes=codes,
    )


def _renumbered(codes: ndarray, most: int) -> tuple[ndarray, ndarray]:
    """Return the distinct codes, rising, and each row's place among them; `most` is above all codes."""
    import numpy as np

    if most > len(codes):
        found, places = np.unique(codes, return_inverse=True)
        return found, places.astype(np.int32)
    present = count_codes(codes, most) > 0
    return np.flatnonzero(present), codes if present.all() else (np.cumsum(present, dtype=np.int32) - 1).take(codes)


def _names_groups(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_boolean(kind)


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _order(value: Any) -> tuple[bool, Any]:
    return (True, 0) if _is_missing(value) else (False, value)


def _name(value: Any) -> str:
    if _is_missing(value):
        return MISSING
    if not isinstance(value, float):
        return str(value)
    short = f"{value + 0.0:g}"
    return short if float(short) == value else repr(value)
