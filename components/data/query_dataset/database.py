"""Which database an address names, and what each one's reader gives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, unquote

from kfp_hallmark.contracts.dataset import decimals_as_floats, plain_batch
from kfp_hallmark.errors import InputError, ServiceError, nearest

if TYPE_CHECKING:
    import pyarrow
    from sqlalchemy import URL

OPTIONS = {
    "duckdb": (),
    "postgresql": ("host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout"),
    "bigquery": ("location", "maximum_bytes_billed"),
}
"""What may follow the `?` of each database's address; nothing in it is secret."""

REPEATED = ("host", "port")
"""Options that may be there more than once, for a server and those that stand in for it."""

FORMS = "duckdb:///FILE, postgresql://USER@HOST/DATABASE or bigquery://PROJECT/DATASET"

EXACT = 2**53
"""Up to here float64 holds every whole number."""

FIRST = date.min.toordinal() - date(1970, 1, 1).toordinal()
END = date.max.toordinal() - date(1970, 1, 1).toordinal() + 1
"""The days since 1970 from the first on of the year 1 to the first of the year 10000."""
INFINITE = 2**63 - 1
"""What stands for an infinite time."""
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Question:
    """One query with its parameters.

    Attributes:
        text: The query, in which `:name` stands for a parameter.
        parameters: The values by name.
    """

    text: str
    parameters: Mapping[str, Value]

    def positional(self) -> tuple[str, list[Value]]:
        """Return the query with `?` in the places of its parameters, and the values in their order."""
        from sqlalchemy import text
        from sqlalchemy.engine.default import DefaultDialect

        # What SQLAlchemy would take for places that it has marked itself is parted; no query holds a zero character.
        parted = re.sub(r"%(?=\()|\[(?=POSTCOMPILE_)", "\\g<0>\0", self.text)
        compiled = text(parted).compile(dialect=DefaultDialect(paramstyle="qmark"))
        return str(compiled).replace("\0", ""), [self.parameters[name] for name in compiled.positiontup or ()]


@dataclass(frozen=True)
class Answer:
    """What a database answers.

    Attributes:
        schema: The columns, of plain types.
        batches: The rows, which are read while they are gone through.
    """

    schema: pyarrow.Schema
    batches: Iterator[pyarrow.RecordBatch]


class Reader(Protocol):
    """Asks one kind of database; what it raises for whatever fails is one of Hallmark's errors."""

    def __call__(self, url: URL, question: Question, name: str) -> AbstractContextManager[Answer]:
        """Ask within a transaction that reads alone, and end it with the block.

        Args:
            url: The database's address.
            question: What to ask.
            name: What messages call the database.
        """


def require_text(what: str, text: str) -> None:
    """Raise `InputError` if text holds what not every database takes: zero characters, or halves of surrogate pairs."""
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{what} must be Unicode text without zero characters; it is not.")


def read_url(database_url: str) -> URL:
    """Return a database's address.

    Raises:
        InputError: If it is none, of an unknown database, or may hold a password, or holds an option that is not known.
            Nothing of one that cannot be read, and no value, is repeated, for a password may be in it.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    require_text("database_url", unquote(database_url))
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise InputError(f"database_url must be an address such as {FORMS}; it is none.") from None
    if url.password is not None:
        raise _no_password("it holds one")
    if url.drivername not in OPTIONS:
        raise InputError(
            f"database_url must be {FORMS}; got one of {url.drivername!r}.", nearest(url.drivername, [*OPTIONS])
        )
    for option in url.query:
        if option not in OPTIONS[url.drivername]:
            known = ", ".join(OPTIONS[url.drivername]) or "none"
            raise InputError(f"The options of a {url.drivername} address must be among: {known}; got {option!r}.")
        if option not in REPEATED and not isinstance(url.query[option], str):
            raise InputError(f"The option {option!r} of database_url must be there once; it is more often.")
    if not all(value for _, value in parse_qsl(database_url.partition("?")[2], keep_blank_values=True)):
        raise InputError("Every option of database_url must have a value; one has none, and would not be heeded.")
    signs = "@" if url.drivername == "duckdb" else "@="
    names = "".join([url.host or "", url.database or "", *chain(*url.normalized_query.values())])
    if ":" in (url.username or "") or set(signs) & set(names):
        raise _no_password("a user with a colon, or a name with one of @ and =, may hold one")
    return url


def _no_password(reason: str) -> InputError:
    return InputError(
        f"database_url must hold no password; {reason}.",
        "KFP stores parameters as plain text: put it into the step's variable HALLMARK_DATABASE_PASSWORD instead.",
    )


def shown(url: URL) -> str:
    """Return an address for messages and metadata: without the user, and with no option but those that say where."""
    from sqlalchemy import URL

    where = {option: value for option, value in url.query.items() if option in ("host", "port", "location")}
    return URL.create(url.drivername, None, None, url.host, url.port, url.database, where).render_as_string()


def reader(url: URL) -> Reader:
    """Return what asks the kind of database that an address is of."""
    if url.drivername == "duckdb":
        from kfp_hallmark.components.data.query_dataset.ask_duckdb import answer
    elif url.drivername == "postgresql":
        from kfp_hallmark.components.data.query_dataset.ask_postgresql import answer
    else:
        from kfp_hallmark.components.data.query_dataset.ask_bigquery import answer
    return answer


def wrong_type(column: str, kind: str) -> InputError:
    """Return the error for a column of a type that a dataset cannot hold."""
    return InputError(
        f"The column {column!r} must hold numbers, text, booleans, dates or times; got {kind}.",
        "Leave it out of the query, or make text or numbers of it there by CAST.",
    )


def plain(batch: pyarrow.RecordBatch, name: str) -> pyarrow.RecordBatch:
    """Return a batch of what a database answers with its columns as plain types.

    Raises:
        InputError: If a great decimal is not exact in float64, or a date or time is not of the years 1 to 9999.
    """
    import pyarrow.compute

    if not all(map(_of_years, batch.columns)):
        raise out_of_years(name)

    for field, column in zip(batch.schema, batch.columns, strict=True):
        if pyarrow.types.is_decimal(field.type):
            great = pyarrow.compute.greater_equal(pyarrow.compute.abs(column.cast(pyarrow.float64())), EXACT)
            require_exact(field.name, column.filter(great).to_pylist())
    return plain_batch(decimals_as_floats(batch))


def _of_years(column: pyarrow.Array) -> bool:
    """Return whether the dates or times of a column, if it holds such, are finite, and of the years 1 to 9999."""
    import pyarrow.compute

    if pyarrow.types.is_date32(column.type):
        day, numbers = 1, column.cast(pyarrow.int32())
    elif pyarrow.types.is_timestamp(column.type):
        day, numbers = UNITS[column.type.unit] * 86_400, column.cast(pyarrow.int64())
    else:
        return True
    least, most = pyarrow.compute.min_max(numbers).as_py().values()
    return least is None or (least >= max(FIRST * day, 1 - INFINITE) and most < min(END * day, INFINITE))


def out_of_years(name: str) -> InputError:
    """Return the error for an answer with a date or time that Python and pandas cannot hold."""
    return InputError(
        f"The answer of {name!r} must hold dates and times of the years 1 to 9999; one is not.",
        "Such is infinity; in the query, make NULL of it by CASE.",
    )


def require_exact(column: str, decimals: Sequence[Decimal]) -> None:
    """Raise `InputError` unless decimals beyond 2**53, such as keys, are exact in float64.

    Of smaller ones only fractions are rounded.
    """
    if not all(number == float(number) for number in decimals if abs(number) >= EXACT):
        raise InputError(
            f"The decimals of the column {column!r} must be exact in float64 beyond 2**53; one is not.",
            "In the query, make text of it if it is a key, and a float of it if it is a quantity, by CAST.",
        )


def failed(name: str, reason: str) -> ServiceError:
    """Return the error for a query that failed, whose own words may hold records.

    Args:
        name: The database.
        reason: What kind of failure it was.
    """
    return ServiceError(
        f"The database {name!r} must answer the query; it failed at it ({reason}).",
        "Run the query in the database's own tools; what it says there may hold records, and is not told here.",
    )


def not_understood(name: str, said: str) -> InputError:
    """Return the error for a query that a database cannot begin to answer.

    Args:
        name: The database.
        said: What it says of the query's text.
    """
    return InputError(f"query must be one SELECT that {name!r} can answer; it says {said!r}.")
