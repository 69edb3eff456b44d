"""The columns of a dataset as small whole numbers, by which rows are compared and models learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.dataset import count_rows, read_table
from kfp_hallmark.errors import InputError
from kfp_hallmark.hashing import mix, number_bits, text_hash
from kfp_hallmark.profiles.scan import as_integers

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray

MISSING, OTHER = 0, 1
"""The codes of a missing value, and of a text that is too rare for a code of its own."""
CODES = 253
"""How many other codes texts have, and numbers that do not repeat."""
REPEATED = 0.001
"""A number that so large a share of the rows holds has a code of its own."""
NEAR = 8
"""So many neighbouring codes of numbers are near each other, where a column has more numbers than codes."""
LEARNT = 100_000
"""From so many rows of each side the codes are learnt at the most."""
READ_AT_ONCE = 2_000_000
"""So many values of each side are read at once at the most, but whole columns."""

Coded = tuple[list["ndarray"], tuple["ndarray", "ndarray"], frozenset[int]]
"""A column: its codes on each side, two hashes of each value of the dataset, and which codes are of ranges there."""


@dataclass(frozen=True)
class Columns:
    """Features in codes, those of the dataset and of the baseline alike.

    Attributes:
        names: The features that vary.
        texts: Whether each is of text, whose codes are in the order of how common the values are; those of numbers,
            dates and booleans are in the order of the values.
        codes: Of the dataset, shape (rows, features).
        baseline: Of the baseline, shape (rows, features); no rows without one.
        keys: Two hashes of each row of the dataset, shape (2, rows): near-duplicates have one in common.
        ranges: Of each feature, the codes that several numbers of the dataset have.
    """

    names: list[str]
    texts: list[bool]
    codes: ndarray
    baseline: ndarray
    keys: ndarray
    ranges: list[frozenset[int]]

    def held(self, feature: int, code: int) -> str:
        """Say what rows of the dataset with a code hold of a feature; what follows is `of` and its name."""
        if code == MISSING:
            return "no value"
        if self.texts[feature] and code == OTHER:
            return "a rare text"
        return "one range" if code in self.ranges[feature] else "one value"


def encode(names: Sequence[str], sides: Sequence[tuple[str, ndarray]]) -> Columns:
    """Return some columns in codes.

    Args:
        names: The features.
        sides: The dataset and, if there is one, the baseline: where each is, and the positions of the rows to take.

    Raises:
        InputError: If a column holds text in the dataset and none in the baseline, or the other way round.
    """
    import numpy as np

    rows = [len(places) for _, places in sides]
    keys = np.zeros((2, rows[0]), dtype=np.uint64)
    kept, texts, found, ranges = [], [], [], []
    for name, read in _columns(names, sides):
        if len({text for _, text in read}) > 1:
            raise InputError(f"The column {name!r} must hold text in both the dataset and the baseline, or in neither.")
        text = read[0][1]
        codes, near, several = (_text_codes if text else _number_codes)([column for column, _ in read])
        for place in range(2):
            keys[place] += mix(near[place] ^ np.uint64(text_hash(f"column {name}")))
        if len(np.unique(np.concatenate(codes))) > 1:
            kept.append(name)
            texts.append(text)
            found.append(codes)
            ranges.append(several)
    stacked = [
        np.column_stack([codes[side] for codes in found]) if found else np.zeros((rows[side], 0), dtype=np.int16)
        for side in range(len(sides))
    ]
    baseline = stacked[1] if len(sides) > 1 else np.zeros((0, len(kept)), dtype=np.int16)
    return Columns(kept, texts, stacked[0], baseline, keys, ranges)


def _columns(
    names: Sequence[str], sides: Sequence[tuple[str, ndarray]]
) -> Iterator[tuple[str, list[tuple[ndarray, bool]]]]:
    """Give each column of every side, as `_values` returns it; some are read at once, as opening a file takes time."""
    at_once = max(1, READ_AT_ONCE // max(1, *(count_rows(path) for path, _ in sides)))
    for start in range(0, len(names), at_once):
        some = list(names[start : start + at_once])
        tables = [(read_table(path, some), places) for path, places in sides]
        for name in some:
            yield name, [_values(table[name], name, places) for table, places in tables]


def _values(column: pyarrow.ChunkedArray, name: str, places: ndarray) -> tuple[ndarray, bool]:
    """Return some rows of a column, text as objects and all else as floats in which NaN is missing, and which it is."""
    import numpy as np
    import pyarrow

    text = pyarrow.types.is_string(column.type)
    if pyarrow.types.is_boolean(column.type):
        column = column.cast("int8")
    elif pyarrow.types.is_temporal(column.type):
        column = pyarrow.chunked_array([as_integers(chunk, name) for chunk in column.chunks], pyarrow.int64())
    if len(places) < len(column):
        column = column.take(pyarrow.array(places))
    return (column.to_numpy() if text else column.to_numpy().astype(np.float64)), text


def _text_codes(sides: Sequence[ndarray]) -> Coded:
    """Return texts in codes, the most common ones first; near are those that differ in case or spaces alone."""
    import numpy as np
    import pandas

    shares: Counter[str] = Counter()
    factorized = [pandas.factorize(side) for side in sides]
    for places, words in factorized:
        counts = np.bincount(places[places >= 0], minlength=len(words)) / max(len(places), 1)
        shares.update(dict(zip(words.tolist(), counts.tolist(), strict=True)))
    common = sorted(shares, key=lambda word: (-shares[word], word))[:CODES]
    known = {word: place for place, word in enumerate(common, OTHER + 1)}
    # The place of a missing value is -1, that of the last.
    codes = [
        np.array([*(known.get(word, OTHER) for word in words), MISSING], dtype=np.int16)[places]
        for places, words in factorized
    ]
    places, words = factorized[0]
    hashes = [text_hash(" ".join(word.casefold().split())) for word in words]
    near = np.array([*hashes, text_hash("missing value")], dtype=np.uint64)[places]
    return codes, (near, near), frozenset()


def _number_codes(sides: Sequence[ndarray]) -> Coded:
    """Return numbers in codes: one for each, or, of many, one for each of those that repeat and for the ranges between.

    Near are equal numbers or, of many, those of one of two overlapping ranges.
    """
    import numpy as np

    learnt = [_known(side[:: -(-len(side) // LEARNT)]) for side in sides if len(side)]
    values = np.unique(np.concatenate(learnt)) if learnt else np.empty(0)
    few = len(values) <= CODES
    if few:
        starts = values
    else:
        ranges = np.unique(np.quantile(np.concatenate(learnt), np.arange(1, CODES) / CODES, method="lower"))
        repeated = np.unique(np.concatenate([_repeated(side) for side in learnt]))
        starts = np.unique(np.concatenate([ranges, repeated, np.nextafter(repeated, np.inf)]))
    codes = [
        np.where(np.isnan(side), MISSING, np.searchsorted(starts, side, side="right") + OTHER).astype(np.int16)
        for side in sides
    ]
    here = sides[0]
    several = _ranges(here, codes[0], starts)
    if few:
        near = np.where(np.isnan(here), np.uint64(text_hash("missing value")), mix(number_bits(np.nan_to_num(here))))
        return codes, (near, near), several
    places = np.searchsorted(ranges, here, side="right")
    grids = [np.where(np.isnan(here), -1, (places + shift) // NEAR) for shift in (0, NEAR // 2)]
    return codes, (mix(number_bits(grids[0])), mix(number_bits(grids[1]))), several


def _ranges(values: ndarray, codes: ndarray, starts: ndarray) -> frozenset[int]:
    """Return the codes that some numbers have beside the one that their range starts with."""
    import numpy as np

    begun = np.concatenate([[np.nan, -np.inf], starts])[codes]
    return frozenset(np.unique(codes[(codes != MISSING) & (values != begun)]).tolist())


def _known(values: ndarray) -> ndarray:
    import numpy as np

    return values[~np.isnan(values)]


def _repeated(values: ndarray) -> ndarray:
    """Return the numbers that many rows hold."""
    import numpy as np

    found, counts = np.unique(values, return_counts=True)
    return found[counts >= max(2, REPEATED * len(values))]
