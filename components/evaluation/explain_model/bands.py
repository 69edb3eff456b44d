"""Say of a record's values where they stand among the others, without telling them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas
    from numpy import ndarray

BANDS = (
    (0.1, "lowest tenth"),
    (0.35, "low"),
    (0.65, "middle"),
    (0.9, "high"),
    (1.0, "highest tenth"),
)
"""Up to which rank, as a share of the rows, a number is called what."""

RARE, COMMON = 0.05, 0.5
"""Below which share of the rows a value is rare, and from which it is the most common."""

FEW = 20
"""A number with at most so many distinct values is told by how many rows share it, as text is."""


def ranks(column: pandas.Series) -> ndarray:
    """Return the rank of each number as a share from 0 to 1, equal ones sharing theirs; 0.5 for all else.

    The ranks of few distinct values are those of the values, not of the rows.
    """
    import numpy

    if not _is_number(column):
        return numpy.full(len(column), 0.5)
    few = column.nunique() <= FEW
    highest = column.nunique() if few else column.count()
    return ((column.rank(method="dense" if few else "average") - 1) / (highest - 1)).fillna(0.5).to_numpy()


def describe(column: pandas.Series) -> list[str]:
    """Return a band for each value: of a number by its rank, of all else by how many rows share it."""
    shares = column.map(column.value_counts(normalize=True)).fillna(0.0)
    by_rank = _is_number(column) and column.nunique() > FEW
    bands = [
        _of_rank(rank) if by_rank and share < COMMON else _of_share(share)
        for rank, share in zip(ranks(column), shares, strict=True)
    ]
    return ["missing" if empty else band for empty, band in zip(column.isna(), bands, strict=True)]


def _is_number(column: pandas.Series) -> bool:
    return column.dtype.kind in "biufM"


def _of_rank(rank: float) -> str:
    return next(name for limit, name in BANDS if rank <= limit)


def _of_share(share: float) -> str:
    return "rare" if share < RARE else "common" if share < COMMON else "most common"
