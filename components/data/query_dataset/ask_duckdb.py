"""Ask a DuckDB file: it is opened read only, and a query reaches nothing else on the machine or the network."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.query_dataset.database import (
    Answer,
    Question,
    failed,
    not_understood,
    plain,
    wrong_type,
)
from kfp_hallmark.contracts.dataset import plain_schema, require_names
from kfp_hallmark.errors import InputError, MissingInputError

if TYPE_CHECKING:
    import pyarrow
    from duckdb import DuckDBPyConnection
    from sqlalchemy import URL

BATCH = 65_536
CONFIGURATION = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
SETTINGS = "SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET lock_configuration = true"

READ_ONLY = "attached in read-only mode"


@contextmanager
def answer(url: URL, question: Question, name: str) -> Iterator[Answer]:
    """Ask a DuckDB file; see `Reader`."""
    # Queries may reach the folder that rows are spilled to, so it is one with nothing else in it, and is not kept.
    with tempfile.TemporaryDirectory(prefix="hallmark-") as spilled, closing(_open(url, name, spilled)) as connection:
        with _asking(name):
            statement, values = question.positional()
            _require_select(connection, statement)
            relation = connection.sql(statement, params=values)
            columns = list(zip(relation.columns, map(str, relation.types), strict=True))
            reader = relation.to_arrow_reader(BATCH)
        # As long as a reader is open the file is too, and to open it again waits without end.
        with closing(reader):
            require_names([column for column, _ in columns], name)
            for column, kind in columns:
                if kind == "JSON":
                    raise wrong_type(column, kind)
            yield Answer(plain_schema(reader.schema), _batches(reader, name))


def _open(url: URL, name: str, spilled: str) -> DuckDBPyConnection:
    import duckdb

    if url.host or not url.database or not _is_file(url.database):
        raise MissingInputError(
            f"database_url must name a DuckDB file that is there; got {name!r}.",
            "duckdb:////folder/file.duckdb is an absolute path; duckdb:///file.duckdb is one from the folder of the "
            "run's parameters, in a parameter of the run whose name ends in _url, and else from where the step runs.",
        )
    try:
        connection = duckdb.connect(url.database, read_only=True, config={**CONFIGURATION, "temp_directory": spilled})
    except duckdb.Error as error:
        raise InputError(
            f"database_url must name a whole DuckDB file that can be read; {name!r} cannot ({type(error).__name__}).",
            f"This is DuckDB {duckdb.__version__}; a program that writes to a file keeps others from it.",
        ) from None
    connection.execute(SETTINGS)
    return connection


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # As where its name is too long.
        return False


def _require_select(connection: DuckDBPyConnection, statement: str) -> None:
    import duckdb

    kinds = [entry.type for entry in connection.extract_statements(statement)]
    if kinds != [duckdb.StatementType.SELECT]:
        got = ", ".join(kind.name for kind in kinds) or "none"
        raise InputError(f"query must be one SELECT; got {got}.")


def _batches(reader: pyarrow.RecordBatchReader, name: str) -> Iterator[pyarrow.RecordBatch]:
    with _asking(name):
        for batch in reader:
            yield plain(batch, name)


@contextmanager
def _asking(name: str) -> Iterator[None]:
    """Turn what DuckDB raises into one of Hallmark's errors; only what it says of the query's own text is repeated."""
    import duckdb
    import pyarrow

    try:
        yield
    except duckdb.PermissionException:
        raise InputError(f"query must read the tables of {name!r} alone; it reads or writes elsewhere.") from None
    except (duckdb.ParserException, duckdb.CatalogException, duckdb.BinderException) as error:
        raise not_understood(name, str(error).splitlines()[0]) from None
    except duckdb.InvalidInputException as error:
        if READ_ONLY in str(error):
            raise InputError(f"query must only read from {name!r}; it writes.") from None
        raise failed(name, type(error).__name__) from None
    except (duckdb.Error, pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # What it says may be cut.
        raise failed(name, type(error).__name__) from None
