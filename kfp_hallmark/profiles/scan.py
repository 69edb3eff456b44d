"""Read a dataset once, piece by piece, and count what its columns hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kfp_hallmark.contracts.dataset import read_batches, read_schema
from kfp_hallmark.profiles.tally import Numbers, NumberTally, Texts, TextTally

if TYPE_CHECKING:
    import pyarrow

COLUMNS_AT_ONCE = 16
"""How many columns are held in memory at once; a file is opened once for so many."""

Counted: TypeAlias = Numbers | Texts


def scan(path: str | Path, columns: Sequence[str] | None = None) -> Iterator[tuple[str, pyarrow.DataType, Counted]]:
    """Count what the columns of a dataset hold.

    Args:
        path: One Parquet file, or a folder of them.
        columns: The columns to read. Default: all.

    Yields:
        A column's name, its type, and what it holds, in the order wanted.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If a file is not whole Parquet or differs from the first, or a column is absent or not plain.
    """
    schema = read_schema(path)
    names = list(schema.names if columns is None else columns)
    for start in range(0, len(names), COLUMNS_AT_ONCE):
        block = names[start : start + COLUMNS_AT_ONCE]
        for name, counted in zip(block, _count(path, block, schema), strict=True):
            yield name, schema.field(name).type, counted


def _count(path: str | Path, names: Sequence[str], schema: pyarrow.Schema) -> list[Counted]:
    import pyarrow

    tallies = [TextTally() if pyarrow.types.is_string(schema.field(name).type) else NumberTally() for name in names]

    def add(tally: NumberTally | TextTally, column: pyarrow.Array) -> None:
        tally.add(as_integers(column))

    with ThreadPoolExecutor() as threads:
        for batch in read_batches(path, names, encoded=True):
            list(threads.map(add, tallies, batch.columns))
        return list(threads.map(lambda tally: tally.finish(), tallies))


def as_integers(column: pyarrow.Array) -> pyarrow.Array:
    """Return times as microseconds since 1970, and any other column as it is."""
    import pyarrow

    if pyarrow.types.is_temporal(column.type):
        return column.cast(pyarrow.timestamp("us"), safe=False).cast(pyarrow.int64())
    return column
