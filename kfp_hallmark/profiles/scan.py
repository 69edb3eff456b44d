"""Read a dataset piece by piece, and count what its columns hold, in all rows or in each of some slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kfp_hallmark.contracts.dataset import count_rows, read_batches, read_schema, require_column
from kfp_hallmark.errors import InputError
from kfp_hallmark.profiles.tally import EXACT_ROWS, LONG, LONG_TEXT, MAX_COUNTED, Numbers, NumberTally, Texts, TextTally

if TYPE_CHECKING:
    import pyarrow

COLUMNS_AT_ONCE = 16
"""How many columns are held in memory at once; of few rows more, as many as take no more. A file is opened once for so
many."""
TEXT_CELLS = 8
"""A text that is counted takes as much memory as so many numbers, or twice that."""
MAX_SLICES = 100
"""Into how many slices a dataset may be cut: the values of all slice columns together."""

Counted: TypeAlias = Numbers | Texts
Tally: TypeAlias = NumberTally | TextTally


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
    types = _types(path, columns)
    for block in column_blocks(types, count_rows(path)):
        batches = read_batches(path, block, encoded=True)
        for name, counted in zip(block, count_columns(batches, block, types), strict=True):
            yield name, types[name], counted


def find_slices(path: str | Path, slice_columns: Sequence[str]) -> dict[tuple[str, str | int], int]:
    """Return how many rows each slice of a dataset has, a slice being all rows with one value of a column.

    Rows without a value are in no slice of the column. Booleans are 0 and 1.

    Args:
        path: One Parquet file, or a folder of them.
        slice_columns: Columns of text, whole numbers or booleans.

    Returns:
        The number of rows by column and value; the columns in the order given, each with its values ascending.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If a column is absent or of another type, or there are more than `MAX_SLICES` slices.
    """
    require_sliceable(read_schema(path), slice_columns)
    found: dict[tuple[str, str | int], int] = {}
    for name, _, counted in scan(path, slice_columns):
        add_slices(found, name, counted.counts if isinstance(counted, Texts) else counted.counts(MAX_SLICES))
    return found


def require_sliceable(schema: pyarrow.Schema, slice_columns: Sequence[str]) -> None:
    """Raise `InputError` if a column to slice by is absent, or of a type with too many values."""
    from pyarrow import types

    for name in slice_columns:
        require_column(name, schema.names, "slice_columns")
        kind = schema.field(name).type
        if not (types.is_string(kind) or types.is_integer(kind) or types.is_boolean(kind)):
            raise InputError(
                f"slice_columns must be columns of text, whole numbers or booleans; {name!r} holds {kind}."
            )


def add_slices(slices: dict[tuple[str, str | int], int], name: str, counts: Mapping[Any, int] | None) -> None:
    """Add the slices that the values of a column make.

    Args:
        slices: The rows by column and value, to which those of the column are added.
        name: The column.
        counts: How many rows hold each value; None of too many.

    Raises:
        InputError: If there are more than `MAX_SLICES` slices, or one would be known by a long text.
    """
    if counts is None or len(slices) + len(counts) > MAX_SLICES:
        raise InputError(
            f"slice_columns must have at most {MAX_SLICES} different values in all; with {name!r} they have more.",
            "Slice by fewer columns, or by one of fewer categories.",
        )
    if any(str(value).startswith(LONG) for value in counts):
        raise InputError(f"slice_columns must hold texts of at most {LONG_TEXT:,} bytes; {name!r} holds longer ones.")
    slices |= {(name, value): counts[value] for value in sorted(counts)}


def scan_slices(
    path: str | Path, slices: Mapping[tuple[str, str | int], int], columns: Sequence[str] | None = None
) -> Iterator[tuple[str, pyarrow.DataType, list[Counted]]]:
    """Count what the columns of a dataset hold in each slice.

    Args:
        path: One Parquet file, or a folder of them.
        slices: What `find_slices` found.
        columns: The columns to read. Default: all.

    Yields:
        A column's name, its type, and what it holds in each slice, in the order wanted.
    """
    types = _types(path, columns)
    for block in column_blocks(types, count_rows(path)):
        for name, counted in zip(block, _count_slices(path, block, types, list(slices)), strict=True):
            yield name, types[name], counted


def _types(path: str | Path, columns: Sequence[str] | None) -> dict[str, pyarrow.DataType]:
    """Return the type of each wanted column, in the order wanted."""
    schema = read_schema(path)
    types = dict(zip(schema.names, schema.types, strict=True))
    for name in columns or ():
        if name not in types:
            require_column(name, schema.names)
    return types if columns is None else {name: types[name] for name in columns}


def column_blocks(types: Mapping[str, pyarrow.DataType], rows: int) -> Iterator[list[str]]:
    """Give columns in blocks that are read at once: `COLUMNS_AT_ONCE`, or more that take no more memory.

    Args:
        types: The type of each column.
        rows: The dataset's number of rows.
    """
    import pyarrow

    block: list[str] = []
    taken = 0
    for name, kind in types.items():
        text = pyarrow.types.is_string(kind)
        cells = TEXT_CELLS * min(rows, 2 * MAX_COUNTED) if text else min(rows, EXACT_ROWS)
        if len(block) >= COLUMNS_AT_ONCE and taken + cells > COLUMNS_AT_ONCE * EXACT_ROWS:
            yield block
            block, taken = [], 0
        block.append(name)
        taken += cells
    if block:
        yield block


def _count_slices(
    path: str | Path,
    names: Sequence[str],
    types: Mapping[str, pyarrow.DataType],
    slices: Sequence[tuple[str, str | int]],
) -> list[list[Counted]]:
    by = list(dict.fromkeys(column for column, _ in slices))
    tallies = [[_tally(types[name], len(slices)) for _ in slices] for name in names]

    def add(parts: Sequence[Tally], column: pyarrow.Array, name: str, rows: Sequence[pyarrow.Array]) -> None:
        values = as_integers(column, name)
        for tally, held in zip(parts, rows, strict=True):
            if len(held):
                _add(tally, values.take(held), name)

    with ThreadPoolExecutor() as threads:
        for batch in read_batches(path, list(dict.fromkeys([*names, *by])), encoded=True):
            keys = {column: _plain(batch.column(batch.schema.get_field_index(column))) for column in by}
            rows = [_rows(keys[column], value) for column, value in slices]
            list(threads.map(add, tallies, batch.columns[: len(names)], names, [rows] * len(names)))
        return [[tally.finish() for tally in parts] for parts in tallies]


def _rows(column: pyarrow.Array, value: str | int) -> pyarrow.Array:
    """Return which rows hold a value."""
    import pyarrow
    import pyarrow.compute

    return pyarrow.compute.indices_nonzero(pyarrow.compute.equal(column, pyarrow.scalar(value, column.type)))


def _plain(column: pyarrow.Array) -> pyarrow.Array:
    """Return the values that a slice is known by: text, or whole numbers."""
    import pyarrow

    if isinstance(column, pyarrow.DictionaryArray):
        return column.dictionary_decode()
    return column.cast("int8") if pyarrow.types.is_boolean(column.type) else column


def count_columns(
    batches: Iterable[pyarrow.RecordBatch], names: Sequence[str], types: Mapping[str, pyarrow.DataType]
) -> list[Counted]:
    """Return what columns hold, given all rows piece by piece, texts by number (as dictionaries) or plainly."""
    tallies = [_tally(types[name]) for name in names]

    def add(tally: Tally, column: pyarrow.Array, name: str) -> None:
        _add(tally, as_integers(column, name), name)

    with ThreadPoolExecutor() as threads:
        for batch in batches:
            list(threads.map(add, tallies, batch.columns, names))
        return list(threads.map(lambda tally: tally.finish(), tallies))


def _tally(kind: pyarrow.DataType, parts: int = 1) -> Tally:
    """Return what counts a column, or one of several parts of it that share the memory of one."""
    import pyarrow

    if pyarrow.types.is_string(kind):
        return TextTally(MAX_COUNTED // parts)
    return NumberTally(EXACT_ROWS // parts)


def _add(tally: Tally, column: pyarrow.Array, name: str) -> None:
    try:
        tally.add(column)
    except UnicodeDecodeError:
        raise InputError(f"The column {name!r} must hold text in UTF-8; got bytes that are not.") from None


def as_integers(column: pyarrow.Array, name: str) -> pyarrow.Array:
    """Return times as microseconds since 1970, and any other column as it is.

    Raises:
        InputError: If a time is out of the range of microseconds in 64 bits.
    """
    import pyarrow

    if not pyarrow.types.is_temporal(column.type):
        return column
    try:
        # Nanoseconds are cut to microseconds; dates may be too far away for either.
        return column.cast(pyarrow.timestamp("us"), safe=pyarrow.types.is_date(column.type)).cast(pyarrow.int64())
    except pyarrow.ArrowInvalid:
        raise InputError(f"The column {name!r} must hold times between the years -290307 and 294246.") from None
