"""Choose the features of a dataset and the preprocessing that fits their types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.columns import Column, feature_frame

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow

NUMBER, TEXT = "double", "string"
"""The MLflow types of features: every number and boolean is a double, so that a missing value is no other type."""

MAX_CATEGORIES = 32
"""Into how many columns a text feature is made at most; what is rarer than the most frequent shares one."""

MAX_TEXT_COLUMNS = 256
"""Into how many columns all text features are made together, at 8 bytes a row, if each is to have at least two."""


def choose_columns(dataset: str | Path, target: str, excluded: Sequence[str]) -> list[Column]:
    """Return the features of a dataset: every column but the target and the excluded ones.

    Raises:
        InputError: If target or an excluded column is absent, a feature is neither number, boolean nor text, or no
            feature is left.
    """
    schema = read_schema(dataset)
    require_column(target, schema.names, "target")
    for name in excluded:
        require_column(name, schema.names, "excluded_columns")
    columns = [Column(field.name, _type(field)) for field in schema if field.name not in {target, *excluded}]
    if not columns:
        raise InputError("The dataset must hold a feature beside the target and excluded_columns; got none.")
    return columns


def _type(field: pyarrow.Field) -> str:
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return TEXT
    if any(
        test(kind) for test in (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    ):
        return NUMBER
    raise InputError(
        f"A feature must be a number, a boolean or text; the column {field.name!r} is {field.type}.",
        "Add it to excluded_columns, or derive numbers from it: of a date its year, or the days since it.",
    )


def read_features(dataset: str | Path, columns: Sequence[Column]) -> pandas.DataFrame:
    """Return the features as a data frame.

    Raises:
        InputError: If a feature holds infinities, naming the columns.
    """
    import numpy

    frame = feature_frame(read_table(dataset, [column.name for column in columns]), columns)
    numbers = [column.name for column in columns if column.type == NUMBER]
    infinite = [name for name in numbers if numpy.isinf(frame[name].to_numpy()).any()]
    if infinite:
        raise InputError(
            f"A feature must be finite or missing; these hold infinities: {', '.join(map(repr, infinite))}."
        )
    return frame


def hash_rows(dataset: str | Path) -> numpy.ndarray:
    """Return a hash of each row, all columns of it, shape (rows,): equal rows stay on one side of what is held out."""
    import pandas

    return pandas.util.hash_pandas_object(read_table(dataset).to_pandas(), index=False).to_numpy()


def make_pipeline(estimator: Any, columns: Sequence[Column], frame: pandas.DataFrame) -> Any:
    """Return an estimator behind the preprocessing that its features need, all of it scikit-learn's and pandas' own.

    Text becomes one column a category, a missing value being one, and the rarest and those never seen sharing one. More
    than eight text features share `MAX_TEXT_COLUMNS`, which bounds memory.
    Numbers go as they are to an estimator that copes with missing ones; for any other, missing ones become the median
    and all are standardised. A column of numbers without a single value has nothing to tell and is dropped.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.utils import get_tags

    prepare: Any = "passthrough"
    if not get_tags(estimator).input_tags.allow_nan:
        prepare = Pipeline([("impute", SimpleImputer(strategy="median")), ("standardise", StandardScaler())])
    empty = [column.name for column in columns if column.type == NUMBER and frame[column.name].isna().all()]
    numbers = [column.name for column in columns if column.type == NUMBER and column.name not in empty]
    texts = [column.name for column in columns if column.type == TEXT]
    encode = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=max(2, min(MAX_CATEGORIES, MAX_TEXT_COLUMNS // max(1, len(texts)))),
        sparse_output=False,
        dtype="float64",
    )
    categories = Pipeline([("texts", as_texts(texts)), ("encode", encode)])
    parts = [("numbers", prepare, numbers), ("texts", categories, texts), ("empty", "drop", empty)]
    features = ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0)
    return Pipeline([("features", features), ("estimator", estimator)])


def as_texts(names: Sequence[str]) -> Any:
    """Return a transformer that gives some columns pandas' type of text, and leaves others as they are.

    There a missing text is NaN. To an encoder, None and `pandas.NA`, which other types hold, would be texts of their
    own that it was not shown.
    """
    import pandas
    from sklearn.preprocessing import FunctionTransformer

    types = dict.fromkeys(names, "str")
    return FunctionTransformer(pandas.DataFrame.astype, kw_args={"dtype": types}, feature_names_out="one-to-one")
