"""The preprocessing of the pipelines that `train_model` makes, without data frames.

A data frame for one row costs more than all the rest of a request. The pipelines of `train_model` prepare each column
on its own: a number is kept, or its absence becomes the median and it is standardised; a text becomes one of some
columns. Here the same arithmetic is done on arrays. What a text becomes is not computed anew: the pipeline's encoder
is asked for every category, for a missing and for an unknown one, once. Before it is used, the result is held against
the pipeline's own on made-up rows, bit by bit; a pipeline that is built otherwise, or differs in one bit, is given
data frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy

from kfp_hallmark.errors import HallmarkError
from kfp_hallmark.modeling.columns import Column, feature_frame
from kfp_hallmark.modeling.loading import LoadedModel
from kfp_hallmark.serving.rows import Values, as_time

if TYPE_CHECKING:
    import pandas
    import pyarrow

UNKNOWN = "\x00 a category that no model was trained on"
PROBES = 256
"""How many made-up rows the arrays are held against the pipeline on."""

_NUMBERS = (0.0, -0.0, 1.0, -2.5, 1e-30, 1e30, 0.1)


def frame(columns: Sequence[Column], values: Sequence[Values]) -> pandas.DataFrame:
    """Return checked rows as the data frame that `kfp_hallmark.modeling` would make of the same rows.

    Args:
        columns: The model's inputs.
        values: The values of each, alike in length.
    """
    import pyarrow

    arrays = [_array(column, entries) for column, entries in zip(columns, values, strict=True)]
    return feature_frame(pyarrow.table(arrays, names=[column.name for column in columns]), columns)


def _array(column: Column, entries: Values) -> pyarrow.Array:
    import pyarrow

    types = {
        "boolean": pyarrow.bool_(),
        "integer": pyarrow.int32(),
        "long": pyarrow.int64(),
        "float": pyarrow.float32(),
        "double": pyarrow.float64(),
        "string": pyarrow.string(),
        "datetime": pyarrow.timestamp("us"),
    }
    if column.type == "datetime":
        entries = [None if entry is None else as_time(entry) for entry in entries]
    if column.type in ("float", "double"):
        entries = [None if entry is None else float(entry) for entry in entries]
    return pyarrow.array(entries, types[column.type])


@dataclass(frozen=True)
class Text:
    """What the encoder makes of one column of text.

    Attributes:
        index: Where the column is in the signature.
        places: Category to output column, or None for one that becomes no column.
        missing: The output column of a missing text, or None.
        unknown: The output column of a category that is not known, or None.
    """

    index: int
    places: dict[str, int | None]
    missing: int | None
    unknown: int | None


@dataclass(frozen=True)
class Features:
    """The preprocessing of one pipeline.

    Attributes:
        width: How many columns it makes.
        numbers: Where the numbers are in the signature, in the order of the output.
        block: Where the output has them.
        median: What a missing number becomes, shape (numbers,), or None: it stays missing.
        mean: What is subtracted from each number, or None.
        scale: What it is then divided by, or None.
        texts: The columns of text.
        order: The order of the output in memory, `C` or `F`; linear algebra may round by it.
    """

    width: int
    numbers: tuple[int, ...]
    block: slice
    median: numpy.ndarray | None
    mean: numpy.ndarray | None
    scale: numpy.ndarray | None
    texts: tuple[Text, ...]
    order: str

    def matrix(self, values: Sequence[Values]) -> numpy.ndarray:
        """Return the features of checked rows, shape (rows, width)."""
        made = numpy.zeros((len(values[0]), self.width), order=self.order)
        if self.numbers:
            numbers = numpy.array([values[index] for index in self.numbers], dtype=numpy.float64).T
            if self.median is not None:
                numbers = numpy.where(numpy.isnan(numbers), self.median, numbers)
            if self.mean is not None:
                numbers = numbers - self.mean
            if self.scale is not None:
                numbers = numbers / self.scale
            made[:, self.block] = numbers
        for text in self.texts:
            for row, entry in enumerate(values[text.index]):
                place = text.missing if entry is None else text.places.get(entry, text.unknown)
                if place is not None:
                    made[row, place] = 1.0
        return made


def features(model: LoadedModel) -> Features | None:
    """Return a model's preprocessing without data frames, or None when it is not one that `train_model` makes.

    Nothing is taken on trust: what is returned made, of `PROBES` rows, the very features that the pipeline makes.
    """
    try:
        made = _read(model)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    return made if made is not None and _equal(made, model) else None


def _read(model: LoadedModel) -> Features | None:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    pipeline = model.estimator
    if type(pipeline) is not Pipeline or len(pipeline) != 2 or type(pipeline[0]) is not ColumnTransformer:
        return None
    if any(column.type not in ("double", "string") for column in model.columns):
        return None
    transformer = pipeline[0]
    places = {column.name: index for index, column in enumerate(model.columns)}
    parts = {name: (part, names) for name, part, names in transformer.transformers_ if part != "drop"}
    if not parts or not set(parts) <= {"numbers", "texts"}:
        return None
    probe = transformer.transform(frame(model.columns, probes(model, 2)))
    numbers: tuple[int, ...] = ()
    median = mean = scale = None
    if "numbers" in parts:
        part, names = parts["numbers"]
        numbers = tuple(places[name] for name in names)
        median, mean, scale = _arithmetic(part)
    return Features(
        width=probe.shape[1],
        numbers=numbers,
        block=transformer.output_indices_.get("numbers", slice(0, 0)),
        median=median,
        mean=mean,
        scale=scale,
        texts=_texts(*parts["texts"], places, transformer.output_indices_["texts"].start) if "texts" in parts else (),
        order="C" if probe.flags.c_contiguous else "F",
    )


def _arithmetic(part: Any) -> tuple[numpy.ndarray | None, numpy.ndarray | None, numpy.ndarray | None]:
    """Return median, mean and scale of what prepares the numbers."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if part == "passthrough" or (type(part) is FunctionTransformer and part.func is None):
        return None, None, None
    if type(part) is Pipeline and [type(step) for step in part] == [SimpleImputer, StandardScaler]:
        return part[0].statistics_, part[1].mean_, part[1].scale_
    raise TypeError(f"not a preprocessing that is known: {part}")


def _texts(part: Any, names: Sequence[str], places: dict[str, int], start: int) -> tuple[Text, ...]:
    """Ask what prepares texts what it makes of each category of each column, of a missing and of an unknown one."""
    found, encoder = [], _encoder(part)
    known = [[entry for entry in categories if isinstance(entry, str)] for categories in encoder.categories_]
    columns = [Column(name, "string") for name in names]
    for index, (name, categories) in enumerate(zip(names, known, strict=True)):
        asked: Values = [*categories, None, UNKNOWN]
        rows = [asked if other == index else [UNKNOWN] * len(asked) for other in range(len(names))]
        width = encoder._n_features_outs[index]
        first = sum(encoder._n_features_outs[:index])
        answer = part.transform(frame(columns, rows))[:, first : first + width]
        hot = [start + first + int(row.argmax()) if row.any() else None for row in answer]
        known_places = dict(zip(categories, hot[:-2], strict=True))
        found.append(Text(places[name], known_places, hot[-2], hot[-1]))
    return tuple(found)


def _equal(made: Features, model: LoadedModel) -> bool:
    """Tell whether features, and what the model says of them, are those of its own pipeline, to the bit."""
    values = probes(model)
    try:
        rows = frame(model.columns, values)
        wanted, found = model.estimator[0].transform(rows), made.matrix(values)
        same = wanted.dtype == found.dtype and numpy.array_equal(wanted, found, equal_nan=True)
        if not same or wanted.flags.c_contiguous != found.flags.c_contiguous:
            return False
        method = getattr(model.estimator[-1], model.function.__name__)
        return numpy.array_equal(model.function(rows), method(found))
    except (HallmarkError, ValueError):
        return False


def probes(model: LoadedModel, rows: int = PROBES) -> list[Values]:
    """Return made-up rows: numbers of all sizes and missing ones, known categories, unknown and missing ones."""
    chance = numpy.random.default_rng(0)
    made: list[Values] = []
    for column in model.columns:
        if column.type == "string":
            choice: Values = [*_categories(model, column.name), None, UNKNOWN]
        else:
            choice = [*_NUMBERS, None, *chance.normal(size=8).tolist(), *(chance.normal(size=8) * 1e4).round().tolist()]
        made.append([choice[index] for index in chance.integers(len(choice), size=rows)])
    return made


def _categories(model: LoadedModel, column: str) -> Values:
    for _, part, names in model.estimator[0].transformers_:
        categories = getattr(_encoder(part), "categories_", None)
        if column in names and categories is not None:
            return [entry for entry in categories[list(names).index(column)] if isinstance(entry, str)]
    return []


def _encoder(part: Any) -> Any:
    """Return the last step of what prepares some columns, which is their encoder if they are texts."""
    from sklearn.pipeline import Pipeline

    return part[-1] if isinstance(part, Pipeline) else part
