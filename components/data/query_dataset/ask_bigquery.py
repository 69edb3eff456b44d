"""Ask BigQuery, after a dry run, which reads nothing, has told that the query only reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.query_dataset.database import (
    Answer,
    Question,
    Value,
    failed,
    not_understood,
    plain,
    wrong_type,
)
from kfp_hallmark.contracts.dataset import require_names
from kfp_hallmark.errors import InputError, ServiceError

if TYPE_CHECKING:
    import pyarrow
    from google.cloud.bigquery import Client, QueryJobConfig, ScalarQueryParameter, SchemaField
    from google.cloud.bigquery.table import RowIterator
    from sqlalchemy import URL

PAGE = 50_000
"""The most rows that are fetched at once; the service sends at most 10 MB."""
TYPES = {str: "STRING", bool: "BOOL", int: "INT64", float: "FLOAT64", type(None): "STRING"}
KINDS = {
    "BIGNUMERIC": "float64",
    "BOOL": "bool",
    "BOOLEAN": "bool",
    "DATE": "date32",
    "FLOAT": "float64",
    "FLOAT64": "float64",
    "INT64": "int64",
    "INTEGER": "int64",
    "NUMERIC": "float64",
    "STRING": "string",
}
"""Plain types of BigQuery's, but those of times."""


@contextmanager
def answer(url: URL, question: Question, name: str) -> Iterator[Answer]:
    """Ask BigQuery; see `Reader`."""
    with closing(_client(url, name)) as client:
        statement, values = question.positional()
        with _asking(name, dry=True):
            _require_select(client, statement, _config(url, values))
        with _asking(name):
            rows = client.query_and_wait(statement, job_config=_config(url, values), page_size=PAGE)
        yield Answer(_schema(rows.schema, name), _batches(rows, name))


def _client(url: URL, name: str) -> Client:
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import bigquery

    if not url.host:
        raise InputError(f"database_url must name a project, as bigquery://PROJECT/DATASET; got {name!r}.")
    try:
        return bigquery.Client(url.host, location=url.query.get("location"))
    except GoogleAuthError as error:
        raise _no_credentials(name, error) from None


def _no_credentials(name: str, error: Exception) -> ServiceError:
    return ServiceError(
        f"The database {name!r} must be asked with Google credentials; there are none that serve "
        f"({type(error).__name__}).",
        "Run as a service account with the roles roles/bigquery.jobUser and, on the data, roles/bigquery.dataViewer.",
    )


def _config(url: URL, values: list[Value]) -> QueryJobConfig:
    from google.cloud.bigquery import QueryJobConfig

    config = QueryJobConfig(query_parameters=[_parameter(value) for value in values])
    if url.database:
        config.default_dataset = f"{url.host}.{url.database}"
    if "maximum_bytes_billed" in url.query:
        config.maximum_bytes_billed = _bytes(str(url.query["maximum_bytes_billed"]))
    return config


def _bytes(text: str) -> int:
    if not text.isdecimal():
        raise InputError(f"maximum_bytes_billed of database_url must be a whole number; got {text!r}.")
    return int(text)


def _parameter(value: Value) -> ScalarQueryParameter:
    from google.cloud.bigquery import ScalarQueryParameter

    return ScalarQueryParameter(None, TYPES[type(value)], value)


def _require_select(client: Client, statement: str, config: QueryJobConfig) -> None:
    config.dry_run = True
    kind = client.query(statement, job_config=config).statement_type
    if kind != "SELECT":
        raise InputError(f"query must be one SELECT; got {kind}.")


def _schema(fields: list[SchemaField], name: str) -> pyarrow.Schema:
    """Return the plain schema of columns."""
    import pyarrow

    require_names([field.name for field in fields], name)
    kinds = {**KINDS, "DATETIME": pyarrow.timestamp("us"), "TIMESTAMP": pyarrow.timestamp("us", "UTC")}
    for field in fields:
        if field.mode == "REPEATED":
            raise wrong_type(field.name, f"ARRAY<{field.field_type}>")
        if field.field_type not in kinds:
            raise wrong_type(field.name, field.field_type)
    return pyarrow.schema([(field.name, kinds[field.field_type]) for field in fields])


def _batches(rows: RowIterator, name: str) -> Iterator[pyarrow.RecordBatch]:
    with _asking(name):
        for batch in rows.to_arrow_iterable():
            yield plain(batch, name)


@contextmanager
def _asking(name: str, dry: bool = False) -> Iterator[None]:
    """Turn what BigQuery's client raises into one of Hallmark's errors.

    Args:
        name: What messages call the database.
        dry: Whether no records are read, so that what the service says may be told.
    """
    from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPIError, NotFound
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError as error:
        raise _no_credentials(name, error) from None
    except (BadRequest, Forbidden, NotFound) as error:
        if dry:
            raise not_understood(name, " ".join(error.message.split())) from None
        raise failed(name, type(error).__name__) from None
    except (GoogleAPIError, OSError) as error:
        raise failed(name, type(error).__name__) from None
