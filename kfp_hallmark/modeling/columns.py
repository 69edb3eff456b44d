"""The columns that a model takes, and those of a dataset in the types that it takes them in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.errors import InputError

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow

WORDS = {
    "boolean": "true or false",
    "integer": "whole numbers of 32 bits",
    "long": "whole numbers of 64 bits",
    "float": "finite numbers of 32 bits",
    "double": "finite numbers",
    "string": "text",
    "datetime": "times as in ISO 8601, of the years 1678 to 2261",
}
"""The column types that can be served, and what their values are called."""

ARROW_TYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "string",
    "datetime": "timestamp[ns]",
}
"""The type in Arrow of each of these."""


@dataclass(frozen=True)
class Column:
    """One input column of a model's signature.

    Attributes:
        name: The column's name.
        type: Its MLflow type: boolean, integer, long, float, double, string, datetime or another.
        required: Whether the data must hold it.
    """

    name: str
    type: str
    required: bool = True


def signature_of(document: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the named input columns of the signature in an `MLmodel` document."""
    inputs = json.loads((document.get("signature") or {}).get("inputs") or "[]")
    return tuple(
        Column(entry["name"], str(entry["type"]), entry.get("required", True)) for entry in inputs if entry.get("name")
    )


def require_servable(name: str, columns: Sequence[Column]) -> None:
    """Raise `InputError` unless a model's signature says what a request must hold."""
    if not columns:
        raise InputError(
            f"The model {name!r} must have a signature with named columns; it has none.",
            "Save it with a signature, such as MLflow's infer_signature gives for a data frame.",
        )
    for column in columns:
        if column.type not in WORDS:
            raise InputError(
                f"The columns of a served model must be {', '.join(WORDS)}; {column.name!r} is {column.type}."
            )


def feature_frame(table: pyarrow.Table, columns: Sequence[Column]) -> pandas.DataFrame:
    """Return the columns of a table as a data frame, each in the type that a signature states.

    A missing number is NaN, so an integer column with missing values becomes one of floats; a missing text is NaN.

    Raises:
        InputError: If a column cannot be had in that type.
    """
    import pyarrow

    arrays = [_cast(table[column.name], column) for column in columns]
    # One call makes the frame of all columns: of each by itself it takes longer than many a model takes to predict.
    made = pyarrow.Table.from_arrays(arrays, names=[column.name for column in columns])
    return made.to_pandas(ignore_metadata=True)


def _cast(values: pyarrow.ChunkedArray, column: Column) -> pyarrow.ChunkedArray:
    import pyarrow

    wanted = pyarrow.type_for_alias(ARROW_TYPES[column.type]) if column.type in ARROW_TYPES else values.type
    if values.type == wanted:
        return values
    try:
        return values.cast(wanted, safe=not pyarrow.types.is_floating(wanted))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        raise InputError(
            f"The column {column.name!r} must be of the type {column.type}, as the model's signature says; "
            f"got {values.type}."
        ) from None


def read_label(path: str | Path, target: str) -> numpy.ndarray:
    """Return the label column of a dataset, shape (rows,).

    Raises:
        InputError: If it is absent or holds a value that is missing or infinite.
    """
    import numpy
    import pyarrow
    import pyarrow.compute

    require_column(target, read_schema(path).names, "target")
    values = read_table(path, [target])[target]
    if pyarrow.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pyarrow.types.is_decimal(values.type):
        values = values.cast(pyarrow.float64())
    missing = pyarrow.compute.sum(pyarrow.compute.is_null(values, nan_is_null=True)).as_py() or 0
    if missing:
        raise InputError(
            f"target must have a value in every row; the column {target!r} has {missing:,} missing of {len(values):,}."
        )
    if not len(values):
        raise InputError("The dataset must hold at least one row; got none.")
    label = values.to_numpy()
    if label.dtype.kind == "f" and not numpy.isfinite(label).all():
        raise InputError(f"target must have a finite number in every row; the column {target!r} has infinite ones.")
    return label
