"""Ask a database one query, and keep its answer as a dataset that says what was asked, of whom, and what came."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.data.query_dataset.database import (
    Answer,
    Question,
    Value,
    read_url,
    reader,
    require_text,
    shown,
)
from kfp_hallmark.components.data.query_dataset.quoted import quoted_parameters
from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.dataset import rows_digest
from kfp_hallmark.contracts.digest import is_digest
from kfp_hallmark.contracts.documents import now, value_digest
from kfp_hallmark.contracts.origin import Origin, require_columns, write_dataset
from kfp_hallmark.errors import InputError, IntegrityError, nearest

if TYPE_CHECKING:
    import pyarrow

COLONS = (
    r"A parameter stands as :name, without quotes around it and without :: behind it; a colon that begins none is "
    r"written as \:."
)


def ask(
    database_url: str,
    query: str,
    dataset: Artifact,
    parameters: Mapping[str, Any] | None = None,
    expected_digest: str | None = None,
    required_columns: Sequence[str] = (),
    max_rows: int | None = None,
) -> tuple[str, int]:
    """Ask a database one query, and write its answer as a dataset.

    The answer is first kept in a temporary file, so that the database is left as soon as it has answered, and what was
    answered is known before the dataset, which says so, is begun.

    Args:
        database_url: The database's address, without a password.
        query: One SELECT, with `:name` for each parameter.
        dataset: Where to write.
        parameters: The values by name.
        expected_digest: What the digest of the query and its answer must be.
        required_columns: Columns that the answer must have.
        max_rows: The most rows that it may have.

    Returns:
        The dataset's digest and its number of rows.

    Raises:
        InputError: If a parameter is not of its form, or the answer is empty or cannot be held by a dataset.
        IntegrityError: If the answer is not the expected one.
        ServiceError: If the database cannot be reached, or fails at the query.
    """
    if expected_digest is not None and not is_digest(expected_digest):
        raise InputError(f"expected_digest must be 'sha256:' and 64 hexadecimal digits; got {expected_digest!r}.")
    if max_rows is not None and max_rows < 1:
        raise InputError(f"max_rows must be at least 1; got {max_rows}.")
    url = read_url(database_url)
    question = read_question(query, parameters or {}, url.drivername)
    name = shown(url)
    asked = now()
    with tempfile.TemporaryDirectory(prefix="hallmark-") as folder:
        file = Path(folder) / "answer.arrow"
        with reader(url)(url, question, name) as answer:
            require_columns(required_columns, answer.schema)
            _keep(answer, file, name, max_rows)
        bound = {
            "source": name,
            "source_query": question.text,
            "source_parameters": dict(question.parameters),
            "source_content": rows_digest(answer.schema, _kept(file)),
        }
        digest = value_digest(bound)
        if expected_digest not in (None, digest):
            raise IntegrityError(
                f"The answer of {name!r} must have the digest {expected_digest}; got {digest}.",
                "The data have changed, or the query does not ORDER BY a key.",
            )
        return write_dataset(dataset, answer.schema, _kept(file), Origin(name, digest, asked, bound))


def read_question(query: str, parameters: Mapping[str, Any], database: str) -> Question:
    """Return a query with its parameters; a whole number may be written as 2.0, as KFP hands on numbers inside a dict.

    Args:
        query: The query.
        parameters: The values by name.
        database: The kind of database, as its address names it.

    Raises:
        InputError: If the query is empty or names a parameter within quotes or a comment, it and the parameters name
            different ones, or a value cannot be bound.
    """
    from sqlalchemy import text

    if not query.strip():
        raise InputError("query must be one SELECT; got none.")
    require_text("query", query)
    for name in quoted_parameters(query, database):
        raise InputError(f"A parameter in query must not stand within quotes or a comment; ':{name}' does.", COLONS)
    named = text(query).compile().params
    for name in [*named, *parameters]:
        if name not in named or name not in parameters:
            where = "query names" if name in parameters else "parameters hold"
            known = [*named] if name in parameters else [*parameters]
            raise InputError(
                f"parameters must be those that query names; {name!r} is none that the {where}.",
                " ".join(filter(None, [nearest(name, known), COLONS])),
            )
    return Question(query, {name: _value(name, parameters[name]) for name in sorted(named)})


def _value(name: str, value: Any) -> Value:
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"parameters[{name!r}] must be finite; got {value}.", "Pass text, and CAST it in the query.")
    if isinstance(value, str):
        require_text(f"parameters[{name!r}]", value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise InputError(f"parameters[{name!r}] must be text, a number, true, false or null; got {type(value).__name__}.")


def _keep(answer: Answer, file: Path, name: str, max_rows: int | None) -> None:
    """Write an answer into a temporary file, piece by piece."""
    import pyarrow.ipc

    rows = 0
    options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
    with pyarrow.ipc.new_file(file, answer.schema, options=options) as writer:
        for batch in answer.batches:
            rows += batch.num_rows
            if max_rows is not None and rows > max_rows:
                raise InputError(f"The answer of {name!r} must have at most {max_rows} rows (max_rows); it has more.")
            writer.write_batch(batch)


def _kept(file: Path) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow.ipc

    with pyarrow.ipc.open_file(file) as reader:
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
