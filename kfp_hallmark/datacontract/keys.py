"""Whether columns identify a row, and whether their values are those of another dataset, in bounded memory.

Rows are compared by a hash of 64 bits of what they hold (`kfp_hallmark.hashing`), which is put by its first bits into
files, 8 bytes a row, unless the rows are few; one file at a time is then sorted. Of n rows that all differ, two have
the same hash with a probability of about n^2 / 2^65: 1 in 37 million for a million rows, 1 in 15,000 for 50 million.
For a single column of whole numbers it is 0: their hash is one to one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark.hashing import row_hashes, seeded

if TYPE_CHECKING:
    import numpy
    import pyarrow

BITS = 6
"""How many first bits of a hash choose its file: a 64th of the rows is in memory at once."""


HELD_ROWS = 1 << 17
"""How many hashes are held in memory before they are put into files."""


class Spool:
    """Hashes of rows, in files below a folder where they are many."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._files = [folder / str(number) for number in range(1 << BITS)]
        self._held: list[numpy.ndarray] = []
        self._held_rows = 0
        self.rows = 0

    def add(self, hashes: numpy.ndarray) -> None:
        """Add hashes, uint64 of shape (rows,)."""
        self.rows += len(hashes)
        self._held.append(hashes)
        self._held_rows += len(hashes)
        if self._held_rows > HELD_ROWS:
            for file, part in zip(self._files, self._split(), strict=True):
                with file.open("ab") as stream:
                    stream.write(part.tobytes())
            self._held, self._held_rows = [], 0

    def parts(self) -> Iterator[numpy.ndarray]:
        """Give the hashes, those of one file at a time, sorted."""
        import numpy

        for file, held in zip(self._files, self._split(), strict=True):
            part = numpy.concatenate([numpy.fromfile(file, dtype="uint64"), held]) if file.exists() else held
            part.sort()
            yield part

    def _split(self) -> list[numpy.ndarray]:
        """Return the hashes in memory by the file that they belong to."""
        import numpy

        ordered = numpy.sort(numpy.concatenate([*self._held, numpy.empty(0, dtype="uint64")]))
        starts = numpy.arange(1, 1 << BITS, dtype="uint64") << numpy.uint64(64 - BITS)
        return numpy.split(ordered, numpy.searchsorted(ordered, starts, side="left"))


class KeyTally:
    """Counts the rows that some columns do not identify."""

    def __init__(self, columns: Sequence[str], folder: Path) -> None:
        self.columns = tuple(columns)
        self.missing = 0
        self._spool = Spool(folder)

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return self._spool.rows + self.missing

    def add(self, batch: pyarrow.RecordBatch) -> None:
        """Count the rows of a batch."""
        whole, missing = _present(batch, self.columns)
        self.missing += missing
        self._spool.add(row_hashes(whole))

    def repeated(self) -> int:
        """Return how many rows hold what an earlier one holds."""
        return sum(int((part[1:] == part[:-1]).sum()) for part in self._spool.parts())


class ReferenceTally:
    """Counts the rows whose value another dataset does not hold; a missing value refers to nothing."""

    def __init__(self, column: str, folder: Path) -> None:
        folder.mkdir()
        self.columns = (column,)
        self._values, self._known = Spool(folder / "values"), Spool(folder / "known")

    @property
    def rows(self) -> int:
        """How many rows hold a value."""
        return self._values.rows

    def add(self, batch: pyarrow.RecordBatch) -> None:
        """Count the rows of a batch."""
        self._values.add(_single(batch, self.columns[0]))

    def add_known(self, batch: pyarrow.RecordBatch, key: str) -> None:
        """Take the values of a batch of the other dataset as known."""
        self._known.add(_single(batch, key))

    def unknown(self) -> int:
        """Return how many rows hold a value that is not known."""
        import numpy

        parts = zip(self._values.parts(), self._known.parts(), strict=True)
        return sum(int(numpy.isin(values, known, invert=True).sum()) for values, known in parts)


def _single(batch: pyarrow.RecordBatch, column: str) -> numpy.ndarray:
    """Return the hashes of a column's values, whatever its name is; numbers that differ have others, signed or not."""
    import pyarrow

    whole, _ = _present(batch, [column])
    (values,) = whole.columns
    hashes = row_hashes(pyarrow.RecordBatch.from_arrays([values], names=["value"]))
    if values.type == pyarrow.uint64():
        # Those of 64 bits are hashed like the negative numbers of the same bits.
        beyond = values.to_numpy() >= 1 << 63
        hashes[beyond] = seeded(hashes[beyond], 0)
    return hashes


def _present(batch: pyarrow.RecordBatch, columns: Sequence[str]) -> tuple[pyarrow.RecordBatch, int]:
    """Return the rows in which no column is missing, with these columns alone, and how many others there are."""
    import pyarrow
    import pyarrow.compute as pc

    arrays = [batch.column(batch.schema.get_field_index(name)) for name in columns]
    missing = pc.is_null(arrays[0], nan_is_null=True)
    for array in arrays[1:]:
        missing = pc.or_(missing, pc.is_null(array, nan_is_null=True))
    chosen = pyarrow.RecordBatch.from_arrays(arrays, names=list(columns))
    lost = pc.sum(missing).as_py() or 0
    return (chosen.filter(pc.invert(missing)) if lost else chosen), lost
