"""Ask PostgreSQL in a transaction that only reads, by a cursor on the server, so that memory is bounded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.data.query_dataset.database import (
    Answer,
    Question,
    failed,
    not_understood,
    out_of_years,
    require_exact,
    wrong_type,
)
from kfp_hallmark.contracts.dataset import require_names
from kfp_hallmark.errors import InputError, ServiceError

if TYPE_CHECKING:
    import pyarrow
    from psycopg import ServerCursor
    from sqlalchemy import URL, Connection

PASSWORD = "HALLMARK_DATABASE_PASSWORD"
SECONDS = "30"
"""How long to wait for the server to take the connection, unless the address says `connect_timeout`."""
ENCODING = {"client_encoding": "UTF8"}
"""From a database of no encoding (SQL_ASCII), the driver would else give bytes for text."""
VALUES = 200_000
"""How many values are fetched at once."""
KINDS = {
    "bool": "bool",
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "oid": "int64",
    "float4": "float32",
    "float8": "float64",
    "numeric": "float64",
    "text": "string",
    "varchar": "string",
    "bpchar": "string",
    "char": "string",
    "name": "string",
    "uuid": "string",
    "date": "date32",
}
"""Plain types of PostgreSQL's, but those of times."""
STRINGS = ("E", "S")
"""Categories of types whose values are text: enumerations, and such as citext.
Source: https://www.postgresql.org/docs/15/catalog-pg-type.html"""
LONG_NUMBER = r"^-?[0-9]{16,}"
STANDARD_STRINGS = "SET LOCAL standard_conforming_strings = on"
"""Where it is off, backslashes escape in every text, and text ends elsewhere than `quoted_parameters` takes it to."""


@contextmanager
def answer(url: URL, question: Question, name: str) -> Iterator[Answer]:
    """Ask PostgreSQL; see `Reader`."""
    from sqlalchemy import text

    with _connected(url, name) as connection, connection.connection.driver_connection.cursor("answer") as cursor:
        # Asked of the driver, because SQLAlchemy fetches a row with it: what is said would not be of the text alone.
        with _asking(name, records=True):
            connection.connection.driver_connection.execute(STANDARD_STRINGS)
        with _asking(name):
            cursor.execute(str(text(question.text).compile(dialect=connection.dialect)), dict(question.parameters))
            columns = cursor.description or ()
            require_names([column.name for column in columns], name)
            schema = _schema(connection, [(column.name, column.type_code) for column in columns])
        yield Answer(schema, _batches(cursor, schema, name))


@contextmanager
def _connected(url: URL, name: str) -> Iterator[Connection]:
    import sqlalchemy
    from psycopg.types.string import TextLoader

    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": SECONDS})
    url = url.set(drivername="postgresql+psycopg", password=os.environ.get(PASSWORD) or None)
    try:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=ENCODING)
        connection = engine.connect()
    except sqlalchemy.exc.ArgumentError:
        raise InputError("Ports in database_url must be whole numbers, of as many hosts; they are not.") from None
    except UnicodeError:
        raise InputError("Hosts must be names that a server can have, the password UTF-8; one is not.") from None
    except sqlalchemy.exc.DBAPIError as error:
        raise ServiceError(
            f"The database {name!r} must be reached; got {str(error.orig).splitlines()[0]!r}.",
            f"The user is in database_url, the password in the step's variable {PASSWORD}.",
        ) from None
    with connection:
        for kind in ("numeric", "uuid"):
            connection.connection.driver_connection.adapters.register_loader(kind, TextLoader)
        try:
            yield connection.execution_options(postgresql_readonly=True)
        except BaseException:
            # A lost connection cannot be rolled back; one that is closed, the server rolls back.
            connection.invalidate()
            raise


def _schema(connection: Connection, columns: Sequence[tuple[str, int]]) -> pyarrow.Schema:
    """Return the plain schema of columns that are of the types with these numbers."""
    import pyarrow
    from sqlalchemy import text

    if not columns:
        raise InputError("query must give at least one column; got none.")
    asked = text("SELECT oid, typname, typcategory, format_type(oid, NULL) FROM pg_type WHERE oid = ANY(:codes)")
    rows = connection.execute(asked, {"codes": [code for _, code in columns]})
    found = {code: (kind, category, told) for code, kind, category, told in rows}
    kinds = {**KINDS, "timestamp": pyarrow.timestamp("us"), "timestamptz": pyarrow.timestamp("us", "UTC")}
    fields = []
    for column, code in columns:
        kind, category, told = found[code]
        if kind not in kinds and category not in STRINGS:
            raise wrong_type(column, told)
        fields.append((column, kinds.get(kind, "string")))
    return pyarrow.schema(fields)


def _batches(cursor: ServerCursor, schema: pyarrow.Schema, name: str) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow

    size = max(1, VALUES // len(schema))
    with _asking(name, records=True):
        while rows := cursor.fetchmany(size):
            columns = [_array(values, field) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
            yield pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def _array(values: Sequence[Any], field: pyarrow.Field) -> pyarrow.Array:
    """Return values as an array; decimals are the text that the server sends."""
    import pyarrow
    import pyarrow.compute

    if not (field.type == pyarrow.float64() and any(isinstance(value, str) for value in values)):
        return pyarrow.array(values, field.type)
    text = pyarrow.array(values, pyarrow.string())
    long = text.filter(pyarrow.compute.match_substring_regex(text, LONG_NUMBER))
    require_exact(field.name, [Decimal(number) for number in long.to_pylist()])
    return text.cast(pyarrow.float64())


@contextmanager
def _asking(name: str, records: bool = False) -> Iterator[None]:
    """Turn what PostgreSQL raises into one of Hallmark's errors; only what it says of the query itself is repeated.

    Source of the codes: https://www.postgresql.org/docs/15/errcodes-appendix.html

    Args:
        name: What messages call the database.
        records: Whether records are read, which the same codes may then tell of, as where a value is cast to regclass.
    """
    import psycopg
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(reason, "sqlstate", None)
        if not records and code and code.startswith(("0A", "42")):
            raise not_understood(name, reason.diag.message_primary) from None
        if code == "25006":
            raise InputError(f"query must only read from {name!r}; it writes.") from None
        if code is None and isinstance(reason, psycopg.DataError):
            raise out_of_years(name) from None
        raise failed(name, f"{type(reason).__name__}{f', SQLSTATE {code}' if code else ''}") from None
    except UnicodeDecodeError as error:
        raise failed(name, type(error).__name__) from None
