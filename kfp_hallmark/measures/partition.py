"""Rows by their groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray

BLOCK = 65_536
"""How many codes are counted at once: NumPy copies them, and a copy that fits into the cache costs little."""


def count_codes(codes: ndarray, count: int) -> ndarray:
    """Return how often each of the codes from 0 to `count` - 1 occurs, shape (count,)."""
    import numpy as np

    counts = np.zeros(count, dtype=int)
    for start in range(0, len(codes), max(BLOCK, count)):
        counts += np.bincount(codes[start : start + max(BLOCK, count)], minlength=count)
    return counts


@dataclass(frozen=True)
class Partition:
    """Which rows belong to which of some groups.

    Attributes:
        codes: Each row's group, from 0, shape (rows,).
        groups: The number of groups.
    """

    codes: ndarray
    groups: int

    @cached_property
    def sizes(self) -> ndarray:
        """The rows of each group, shape (groups,)."""
        return count_codes(self.codes, self.groups)

    def split(self, values: ndarray) -> list[ndarray]:
        """Return a value of each row, shape (rows,), group by group, each in the order of the rows."""
        import numpy as np

        return np.split(values.take(self._order), np.cumsum(self.sizes)[:-1])

    @cached_property
    def _order(self) -> ndarray:
        """The rows of the first group, then those of the second; NumPy sorts numbers of 8 and 16 bits by counting."""
        import numpy as np

        kind = np.uint8 if self.groups <= 256 else np.uint16 if self.groups <= 65536 else np.int64
        return self.codes.astype(kind).argsort(kind="stable")
