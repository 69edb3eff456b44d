"""The dataset: one Parquet file, or a folder of Parquet files.

A file that Hallmark writes carries, in its schema's metadata under the key `hallmark`, the digests of the data it was
made from (`lineage`, nearest first) and whatever else its maker wants bound to it; so a dataset's own digest covers
where it came from, and no orchestrator has to be trusted to carry it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.digest import artifact_digest
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
    """Return a dataset's Arrow schema, from its first file.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If the file is not whole Parquet.
    """
    import pyarrow
    import pyarrow.parquet

    file = parquet_files(path)[0]
    try:
        return pyarrow.parquet.read_schema(file)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InputError(f"A dataset must be whole Parquet; {str(file)!r} cannot be read ({error}).") from error


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Return a dataset as an Arrow table.

    Args:
        path: The dataset.
        columns: The columns to read, in this order; None reads all.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If a file is not whole Parquet, or a column is absent.
    """
    import pyarrow
    import pyarrow.parquet

    schema = read_schema(path)
    for column in columns or ():
        require_column(column, schema.names)
    try:
        tables = [
            pyarrow.parquet.ParquetFile(file).read(columns=None if columns is None else list(columns))
            for file in parquet_files(path)
        ]
        table = pyarrow.concat_tables(tables)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InputError(f"A dataset must be whole Parquet; {str(path)!r} cannot be read ({error}).") from error
    return table if columns is None else table.select(list(columns))


def require_column(column: str, known: Sequence[str], role: str = "A column") -> None:
    """Raise `InputError`, naming the nearest one there is, if a column is absent.

    Args:
        column: The wanted column.
        known: The columns there are.
        role: What the column is for, as the message begins: `target`, `sensitive_features`.
    """
    if column not in known:
        raise InputError(f"{role} must be a column of the dataset; got {column!r}.", nearest(column, list(known)))


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


def read_batches(path: str | Path, columns: Sequence[str] | None = None) -> Iterator[pyarrow.RecordBatch]:
    """Give a dataset piece by piece, so that it need not fit into memory.

    Args:
        path: The dataset.
        columns: The columns to read, in this order; None reads all.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If a file is not whole Parquet, or a column is absent.
    """
    import pyarrow
    import pyarrow.parquet

    names = read_schema(path).names if columns is None else list(columns)
    for column in names:
        require_column(column, read_schema(path).names)
    for file in parquet_files(path):
        try:
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches(columns=names):
                yield pyarrow.RecordBatch.from_arrays([batch.column(name) for name in names], names=names)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise InputError(f"A dataset must be whole Parquet; {str(file)!r} cannot be read ({error}).") from error


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


def _row_groups(schema: pyarrow.Schema, batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.Table]:
    """Give the rows as tables of `ROW_GROUP` rows in one piece each; the last may be shorter."""
    import pyarrow

    waiting = schema.empty_table()
    for batch in batches:
        waiting = pyarrow.concat_tables([waiting, pyarrow.Table.from_batches([batch]).cast(schema)])
        while waiting.num_rows >= ROW_GROUP:
            yield waiting.slice(0, ROW_GROUP).combine_chunks()
            waiting = waiting.slice(ROW_GROUP)
    if waiting.num_rows:
        yield waiting.combine_chunks()
