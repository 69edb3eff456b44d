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
"""Below which share of the rows a text is rare, and from which it is the most common."""


def ranks(column: pandas.Series) -> ndarray:
    """Return the rank of each number as a share from 0 to 1, equal ones sharing theirs; 0.5 for all else."""
    import numpy

    present = int(column.notna().sum())
    if column.dtype.kind not in "biufM" or present < 2:
        return numpy.full(len(column), 0.5)
    return ((column.rank() - 1) / (present - 1)).fillna(0.5).to_numpy()


def describe(column: pandas.Series) -> list[str]:
    """Return a band for each value: of a number by its rank, of a text by how many rows share it."""
    if column.dtype.kind in "biufM":
        bands = [next(name for limit, name in BANDS if rank <= limit) for rank in ranks(column)]
    else:
        shares = column.map(column.value_counts(normalize=True)).fillna(0.0)
        bands = ["rare" if share < RARE else "common" if share < COMMON else "most common" for share in shares]
    return ["missing" if empty else band for empty, band in zip(column.isna(), bands, strict=True)]
