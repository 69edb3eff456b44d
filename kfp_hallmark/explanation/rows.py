"""Explain a model's predictions for a sample of a dataset's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import read_table
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION
from kfp_hallmark.errors import InputError
from kfp_hallmark.explanation.shapley import PROBABILITY, TARGET, Attribution, explain_predictions, explain_structure
from kfp_hallmark.modeling.columns import feature_frame, read_label
from kfp_hallmark.modeling.loading import LoadedModel
from kfp_hallmark.modeling.prediction import as_output, input_columns, meaning_of, origin, predict_table

if TYPE_CHECKING:
    import pandas
    from numpy import ndarray

PART_ROWS = 10
"""The fewest rows of a part by whose means an interval is told."""

MAX_PARTS = 200
"""The most parts; of more rows each part has more."""


@dataclass(frozen=True)
class ExplainedRows:
    """SHAP values of a sample of rows, and what they are of.

    Attributes:
        available: The number of rows in the dataset.
        places: Which of them were drawn, in random order; the first of them were explained.
        frame: The rows that were explained.
        outputs: The model's output for them, shape (rows,) or (rows, classes).
        chosen: Which class is explained in each, as a position; shape (rows,).
        meaning: What the output means; see `kfp_hallmark.modeling.prediction.meaning_of`.
        attribution: The SHAP values.
        function: Data frame to output, of the same form as `outputs`.
    """

    available: int
    places: ndarray
    frame: pandas.DataFrame
    outputs: ndarray
    chosen: ndarray
    meaning: Mapping[str, Any]
    attribution: Attribution
    function: Callable[[pandas.DataFrame], ndarray]

    @property
    def explained_output(self) -> ndarray:
        """The output that is explained in each row, shape (rows,)."""
        import numpy

        outputs = self.outputs
        return outputs if outputs.ndim == 1 else outputs[numpy.arange(len(outputs)), self.chosen]


def explain_rows(model: LoadedModel, dataset: str | Path, target: str, max_rows: int, seed: int) -> ExplainedRows:
    """Return the SHAP values of a sample of rows; the same rows for every model.

    Args:
        model: The model.
        dataset: The dataset.
        target: Label column, which is left out.
        max_rows: Number of rows to draw at the most; of some models fewer are explained, the first of these.
        seed: Seed of the sample.

    Raises:
        InputError: If the dataset lacks a feature, or the model cannot predict it.
    """
    columns = input_columns(model, dataset, target)
    table = read_table(dataset, [column.name for column in columns])
    available = table.num_rows
    places = sample(available, max_rows, seed)
    table = table.take(places)
    raw = _finite(model, predict_table(model, table, columns))
    frame = feature_frame(table, columns)
    label = None if model.metadata.get("task") else read_label(dataset, target)
    meaning = meaning_of(model, raw, label)
    outputs = as_outputs(raw, meaning)
    chosen = _chosen(outputs, meaning)
    function = _function(model, meaning)
    attribution = explain_structure(model.estimator, frame, chosen)
    if attribution is None:
        unit = TARGET if meaning["task"] == REGRESSION else PROBABILITY
        attribution = explain_predictions(function, frame, chosen, unit, seed)
    rows = len(attribution.values)
    return ExplainedRows(
        available, places, frame.iloc[:rows], outputs[:rows], chosen[:rows], meaning, attribution, function
    )


def sample(available: int, rows: int, seed: int) -> ndarray:
    """Return the positions of a sample without replacement, in random order."""
    import numpy

    return numpy.random.default_rng(seed).permutation(available)[:rows]


def as_outputs(raw: ndarray, meaning: Mapping[str, Any]) -> ndarray:
    """Return a model's output as numbers: shape (rows, classes) for a classifier, (rows,) for a regressor.

    Classes, from a model that gives no probabilities, become 1 for the predicted class and 0 for the others.
    """
    import numpy

    if meaning["task"] == REGRESSION:
        return raw.astype(float)
    if raw.ndim == 2:
        return raw
    classes = list(meaning["classes"])
    if meaning["task"] == BINARY and raw.dtype.kind in "biuf" and not set(raw.tolist()) <= set(classes):
        columns = [raw if value == meaning["positive_class"] else 1 - raw for value in classes]
        return numpy.column_stack(columns)
    return numpy.column_stack([raw == value for value in classes]).astype(float)


def _chosen(outputs: ndarray, meaning: Mapping[str, Any]) -> ndarray:
    """Return which class to explain in each row: the positive one of two, the predicted one of more."""
    import numpy

    if meaning["task"] == MULTICLASS:
        return outputs.argmax(axis=1)
    place = 0 if meaning["task"] == REGRESSION else list(meaning["classes"]).index(meaning["positive_class"])
    return numpy.full(len(outputs), place)


def _function(model: LoadedModel, meaning: Mapping[str, Any]) -> Callable[[pandas.DataFrame], ndarray]:
    """Return data frame to output; where the model fails, an `InputError` says so without a record's values."""

    def function(frame: pandas.DataFrame) -> ndarray:
        try:
            said = model.function(frame)
        except Exception as error:
            raise InputError(
                f"The model {model.name!r} must predict rows in which values are exchanged for those of other rows; it "
                f"failed with {type(error).__name__} {origin(error)}."
            ) from None
        return as_outputs(_finite(model, as_output(model, said, len(frame))), meaning)

    return function


def _finite(model: LoadedModel, raw: ndarray) -> ndarray:
    """Return a model's output; raise `InputError` if some of it is NaN or infinite."""
    import numpy

    if raw.dtype.kind == "f" and not numpy.isfinite(raw).all():
        raise InputError(f"The model {model.name!r} must predict finite numbers; some are NaN or infinite.")
    return raw


def output_name(meaning: Mapping[str, Any], target: str) -> str:
    """Return what is explained, in words: the target, its positive class, or the predicted one."""
    if meaning["task"] == REGRESSION:
        return target
    if meaning["task"] == MULTICLASS:
        return f"the predicted class of {target}"
    return f"{target} = {meaning['positive_class']}"


def ordered_means(values: ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return the mean absolute value of each feature, the greatest first, equal ones by name."""
    means = dict(zip(names, abs(values).mean(axis=0).tolist(), strict=True))
    return dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))


def part_rows(rows: int) -> int:
    """Return how many rows a part of so many explained rows has."""
    return max(PART_ROWS, -(-rows // MAX_PARTS))


def part_means(values: ndarray, size: int) -> ndarray:
    """Return the mean absolute values of parts of so many rows each, in order, shape (parts, features).

    The rows are in random order, so the parts are random. Rows left over are in none.
    """
    parts = len(values) // size
    return abs(values[: parts * size]).reshape(parts, size, values.shape[1]).mean(axis=1)
