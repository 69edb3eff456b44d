"""Rows by their groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray


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
        import numpy as np

        return np.bincount(self.codes, minlength=self.groups)

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
