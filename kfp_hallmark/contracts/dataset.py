"""The dataset: one Parquet file, or a folder of Parquet files.

A file that Hallmark writes carries, in its schema's metadata under the key `hallmark`, the digests of the data it was
made from (`lineage`, nearest first) and whatever else its maker wants bound to it; so a dataset's own digest covers
where it came from, and no orchestrator has to be trusted to carry it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kfp_hallmark.contracts.digest import PREFIX, artifact_digest
from kfp_hallmark.contracts.documents import canonical, writing
from kfp_hallmark.errors import InputError, MissingInputError, nearest

if TYPE_CHECKING:
    import pyarrow

METADATA_KEY = b"hallmark"
ROW_GROUP = 131_072
"""How many rows a file that Hallmark writes holds between two marks; it bounds the memory that reading takes."""


def parquet_files(path: str | Path) -> list[Path]:
    """Return the Parquet files of a dataset, sorted by name.

    Raises:
        MissingInputError: If there is none.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet")) if path.is_dir() else []
    if not files:
        raise MissingInputError(f"A dataset must be a Parquet file or a folder of them; got {str(path)!r}.")
    return files


def read_schema(path: str | Path) -> pyarrow.Schema:
    """Return a dataset's Arrow schema, from its first file, with its columns as plain types (see `plain_type`).

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If the file is not whole Parquet, two columns have one name, or one is of a type that is not plain.
    """
    file = parquet_files(path)[0]
    return file_schema(file, str(file))


def file_schema(file: Path | BinaryIO, name: str) -> pyarrow.Schema:
    """Return the Arrow schema of one Parquet file; see `read_schema`.

    Args:
        file: The file, which may be open.
        name: What messages call it.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(file)
        repeated = repeated_names(schema.names)
    except (pyarrow.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise InputError(f"A dataset must be whole Parquet; {name!r} cannot be read ({error}).") from error
    if repeated:
        raise InputError(
            f"The columns of a dataset must have different names; got more than once: {', '.join(map(repr, repeated))}."
        )
    return plain_schema(schema).with_metadata(schema.metadata)


def count_rows(path: str | Path) -> int:
    """Return a dataset's number of rows, without reading them.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If a file is not whole Parquet.
    """
    import pyarrow
    import pyarrow.parquet

    rows = 0
    for file in parquet_files(path):
        try:
            rows += pyarrow.parquet.read_metadata(file).num_rows
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise InputError(f"A dataset must be whole Parquet; {str(file)!r} cannot be read ({error}).") from error
    return rows


def repeated_names(names: Sequence[str]) -> list[str]:
    """Return the names that occur more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Return a dataset as an Arrow table; see `read_batches`."""
    import pyarrow

    schema = read_schema(path)
    if columns is not None:
        for column in columns:
            require_column(column, schema.names)
        schema = pyarrow.schema([schema.field(column) for column in columns])
    return pyarrow.Table.from_batches(read_batches(path, columns), schema.remove_metadata())


def require_names(names: Sequence[str], source: str) -> None:
    """Raise `InputError` if a column of a source has no name, or one that another has too.

    Args:
        names: The columns' names.
        source: What messages call the source.
    """
    repeated = repeated_names(names)
    if "" in names:
        raise InputError(
            f"Every column of {source!r} must have a name; column {list(names).index('') + 1} has none.",
            "A table written together with its row numbers has such a column; write it without.",
        )
    if repeated:
        raise InputError(
            f"The columns of {source!r} must have different names; got more than once: "
            f"{', '.join(map(repr, repeated))}."
        )


def require_column(column: str, known: Sequence[str], role: str = "A column") -> None:
    """Raise `InputError`, naming the nearest one there is, if a column is absent.

    Args:
        column: The wanted column.
        known: The columns there are.
        role: What the column is for, as the message begins: `target`, `sensitive_features`.
    """
    if column not in known:
        raise InputError(f"{role} must be a column of the dataset; got {column!r}.", nearest(column, list(known)))


def plain_schema(schema: pyarrow.Schema) -> pyarrow.Schema:
    """Return a schema's columns as plain types, without metadata; see `plain_type`."""
    import pyarrow

    return pyarrow.schema([(field.name, plain_type(field.type, field.name)) for field in schema])


def plain_type(kind: pyarrow.DataType, column: str) -> pyarrow.DataType:
    """Return the plain type that holds a type's values.

    Plain are booleans, integers, float32, float64, strings, dates, and times in micro- or nanoseconds, without a zone
    or in UTC. Decimals become float64; a column without any type is all missing, and float64.

    Raises:
        InputError: If there is none: the type is nested, binary, or a time of day.
    """
    import pyarrow
    from pyarrow import types

    if isinstance(kind, pyarrow.BaseExtensionType):
        return plain_type(kind.storage_type, column)
    if types.is_dictionary(kind):
        return plain_type(kind.value_type, column)
    if types.is_timestamp(kind):
        return pyarrow.timestamp("ns" if kind.unit == "ns" else "us", None if kind.tz is None else "UTC")
    for plain, holds in (
        (kind, types.is_boolean(kind) or types.is_integer(kind)),
        (pyarrow.float32(), types.is_float16(kind) or types.is_float32(kind)),
        (pyarrow.float64(), types.is_float64(kind) or types.is_decimal(kind) or types.is_null(kind)),
        (pyarrow.string(), types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view"),
        (pyarrow.date32(), types.is_date(kind)),
    ):
        if holds:
            return plain
    raise InputError(
        f"The column {column!r} must hold numbers, text, booleans, dates or times; got {kind}.",
        "Flatten or drop it first.",
    )


def plain_batch(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Return a batch with its columns as plain types; see `plain_type`.

    Raises:
        InputError: If a column is of a type that has none, or holds a time that is out of the plain one's range.
    """
    import pyarrow

    schema = plain_schema(batch.schema)
    columns = [_plain_array(column, field) for column, field in zip(batch.columns, schema, strict=True)]
    return pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def decimals_as_floats(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Return a batch with its decimals as the nearest float64.

    Arrow's own conversion, which `plain_batch` makes do with, is off in the last place for 5 % of amounts of money. It
    takes a version of Arrow that makes text of decimals, such as the environments `ml` and `sources` hold.
    """
    import pyarrow

    for number, field in enumerate(batch.schema):
        if pyarrow.types.is_decimal(field.type):
            floats = batch.column(number).cast(pyarrow.string()).cast(pyarrow.float64())
            batch = batch.set_column(number, field.with_type(pyarrow.float64()), floats)
    return batch


def _plain_array(array: pyarrow.Array, field: pyarrow.Field, encoded: bool = False) -> pyarrow.Array:
    import pyarrow

    if isinstance(array, pyarrow.ExtensionArray):
        return _plain_array(array.storage, field, encoded)
    if isinstance(array, pyarrow.DictionaryArray):
        if encoded and pyarrow.types.is_string(array.type.value_type):
            return array
        return _plain_array(array.dictionary_decode(), field)
    try:
        return array.cast(field.type)
    except pyarrow.ArrowInvalid:
        raise InputError(
            f"The column {field.name!r} must hold values that fit into {field.type}; one of {array.type} does not."
        ) from None


def dataset_metadata(path: str | Path) -> dict[str, Any]:
    """Return what a dataset carries under its `hallmark` key; empty when it carries nothing."""
    raw = (read_schema(path).metadata or {}).get(METADATA_KEY)
    value = json.loads(raw) if raw else {}
    return value if isinstance(value, dict) else {}


def dataset_lineage(path: str | Path) -> list[str]:
    """Return the digest of a dataset, then those of the data it was made from, nearest first."""
    return [artifact_digest(path), *dataset_metadata(path).get("lineage", [])]


def bind(schema: pyarrow.Schema, metadata: Mapping[str, Any]) -> pyarrow.Schema:
    """Return a schema that carries `metadata` under the `hallmark` key, and nothing else beside it."""
    return schema.with_metadata({METADATA_KEY: canonical(dict(metadata))})


def read_batches(
    path: str | Path, columns: Sequence[str] | None = None, encoded: bool = False
) -> Iterator[pyarrow.RecordBatch]:
    """Give a dataset piece by piece, so that it need not fit into memory; its columns are of plain types.

    Args:
        path: The dataset.
        columns: The columns to read, in this order; None reads all.
        encoded: Whether to leave text as the dictionaries that Parquet keeps it in, which is faster to count.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If a file is not whole Parquet or differs from the first, or a column is absent or not plain.
    """
    import pyarrow
    import pyarrow.parquet

    schema = read_schema(path)
    fields = {field.name: field for field in schema}
    names = list(fields if columns is None else columns)
    for column in names:
        if column not in fields:
            require_column(column, schema.names)
    wanted = [fields[name] for name in names]
    text = [field.name for field in wanted if pyarrow.types.is_string(field.type)] if encoded else None
    for file in parquet_files(path):
        try:
            for batch in pyarrow.parquet.ParquetFile(file, read_dictionary=text).iter_batches(columns=columns):
                yield plain_columns(batch, wanted, str(file), encoded)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise InputError(f"A dataset must be whole Parquet; {str(file)!r} cannot be read ({error}).") from error


def plain_columns(
    batch: pyarrow.RecordBatch, wanted: Sequence[pyarrow.Field], file: str, encoded: bool = False
) -> pyarrow.RecordBatch:
    """Return some columns of a batch as plain types, in the order wanted.

    Args:
        batch: Rows of a dataset.
        wanted: The columns of the dataset's schema.
        file: What messages call the file that they are of.
        encoded: Whether to leave text as dictionaries.

    Raises:
        InputError: If a column is absent, of another type or not plain.
    """
    import pyarrow

    names = [field.name for field in wanted]
    held = {field.name: (field.type, column) for field, column in zip(batch.schema, batch.columns, strict=True)}
    if set(names) <= held.keys() and [plain_type(held[name][0], name) for name in names] == [
        field.type for field in wanted
    ]:
        arrays = [_plain_array(held[field.name][1], field, encoded) for field in wanted]
        return pyarrow.RecordBatch.from_arrays(arrays, names=names)
    raise InputError(f"The files of a dataset must have the same columns and types; {file!r} differs from the first.")


def write_table(path: str | Path, table: pyarrow.Table, metadata: Mapping[str, Any]) -> str:
    """Write a table as one Parquet file; see `write_batches`."""
    return write_batches(path, table.schema, table.to_batches(), metadata)


def write_batches(
    path: str | Path, schema: pyarrow.Schema, batches: Iterable[pyarrow.RecordBatch], metadata: Mapping[str, Any]
) -> str:
    """Write record batches as one Parquet file, zstd-compressed, by a temporary name, and return its digest.

    The bytes depend on the rows and their order, and not on how the rows are cut into batches.

    Args:
        path: Where to write.
        schema: The columns of every batch; its own metadata is left out.
        batches: What to write.
        metadata: What to bind to it; `lineage` holds the digests of the data it was made from.
    """
    import pyarrow.parquet

    with (
        writing(path) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, bind(schema, metadata), compression="zstd") as writer,
    ):
        for group in _row_groups(schema, batches):
            writer.write_table(group)
    return artifact_digest(path)


def rows_digest(schema: pyarrow.Schema, batches: Iterable[pyarrow.RecordBatch]) -> str:
    """Return the SHA-256 of a dataset's rows, `sha256:<64 hex digits>`, whatever file holds them.

    It is taken over the columns' names and types as canonical JSON; then, for every `ROW_GROUP` rows, over each column:
    a byte a row that is 1 where there is a value, then the values, little-endian, and 0 where there is none. Text is
    the lengths in bytes, as int32, then the text in UTF-8; a boolean is a byte; dates and times are the whole numbers
    that Parquet holds.

    Args:
        schema: The columns, of plain types.
        batches: The rows, cut anyhow.
    """
    state = hashlib.sha256(canonical([[field.name, str(field.type)] for field in schema]))
    for group in _row_groups(schema, batches):
        for column in group.columns:
            for chunk in column.chunks:
                for part in _value_bytes(chunk):
                    state.update(part)
    return PREFIX + state.hexdigest()


def _value_bytes(array: pyarrow.Array) -> Iterator[memoryview]:
    """Give what of an array enters a digest; see `rows_digest`."""
    import pyarrow
    import pyarrow.compute

    yield _fixed_bytes(array.is_valid().cast(pyarrow.uint8()))
    if pyarrow.types.is_string(array.type):
        text = array.fill_null("")
        yield _fixed_bytes(pyarrow.compute.binary_length(text))
        _, offsets, content = text.buffers()
        marks = memoryview(offsets).cast("i")
        yield memoryview(content or b"")[marks[text.offset] : marks[text.offset + len(text)]]
    elif pyarrow.types.is_timestamp(array.type):
        yield _fixed_bytes(array.cast(pyarrow.int64()).fill_null(0))
    else:
        whole = {"bool": pyarrow.uint8(), "date32[day]": pyarrow.int32()}.get(str(array.type), array.type)
        yield _fixed_bytes(array.cast(whole).fill_null(0))


def _fixed_bytes(array: pyarrow.Array) -> memoryview:
    """Return the values of an array without nulls, each of whole bytes."""
    width = array.type.bit_width // 8
    return memoryview(array.buffers()[1])[array.offset * width : (array.offset + len(array)) * width]


def _row_groups(schema: pyarrow.Schema, batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.Table]:
    """Give the rows as tables of `ROW_GROUP` rows in one piece each; the last may be shorter."""
    import pyarrow

    # The empty table that a schema itself gives imports pandas.
    waiting = pyarrow.Table.from_batches([], schema)
    for batch in batches:
        waiting = pyarrow.concat_tables([waiting, pyarrow.Table.from_batches([batch]).cast(schema)])
        while waiting.num_rows >= ROW_GROUP:
            yield waiting.slice(0, ROW_GROUP).combine_chunks()
            waiting = waiting.slice(ROW_GROUP)
    if waiting.num_rows:
        yield waiting.combine_chunks()
