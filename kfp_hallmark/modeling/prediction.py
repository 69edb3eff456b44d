"""Let a loaded model predict a dataset, and tell what its output means."""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import dataset_lineage, read_schema, read_table, require_column
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, TASKS, Predictions
from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.columns import Column, feature_frame, read_label
from kfp_hallmark.modeling.loading import LoadedModel

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow

BATCH_ROWS = 100_000
"""How many rows a model is given at once, which bounds memory."""

THRESHOLD = 0.5
"""The threshold of a binary model that does not name its own."""

MAX_NUMBERS = 20
"""Up to how many different numbers a model's output may be classes, where it does not say."""


@contextlib.contextmanager
def in_step(name: str) -> Iterator[None]:
    """Name the step in an `InputError` that is raised in the block: the model alone does not say where it failed."""
    try:
        yield
    except InputError as error:
        raise InputError(f"In {name}: {error.message}", error.hint) from error


def predict(model: LoadedModel, dataset: str | Path, target: str) -> Predictions:
    """Let a model predict a dataset.

    Args:
        model: What `load_model` returned.
        dataset: The dataset; the columns that the model's signature names are its features, or, without a signature,
            all but the target.
        target: Label column.

    Raises:
        InputError: If the target or a feature is absent, a label is missing or no class of the model, or the model
            fails.
    """
    label = read_label(dataset, target)
    columns = input_columns(model, dataset, target)
    output = predict_table(model, read_table(dataset, [column.name for column in columns]), columns)
    meaning = meaning_of(model, output, label)
    digest, *lineage = dataset_lineage(dataset)
    if meaning["task"] != REGRESSION:
        require_classes(label, meaning["classes"], "target")
    prediction, score = interpret(model, output, meaning)
    return Predictions(
        task=meaning["task"],
        target=target,
        label=label,
        prediction=prediction,
        score=score,
        classes=tuple(meaning.get("classes") or ()),
        positive_class=meaning.get("positive_class"),
        threshold=_threshold(meaning),
        model=model.digest,
        dataset=digest,
        lineage=tuple(lineage),
    )


def input_columns(model: LoadedModel, dataset: str | Path, target: str) -> list[Column]:
    """Return the columns of a dataset that a model takes: those of its signature, or, without one, all but the target.

    Raises:
        InputError: If the dataset lacks one, or one is the target.
    """
    names = read_schema(dataset).names
    columns = [column for column in model.columns if column.required or column.name in names]
    for column in columns:
        require_column(column.name, names, "A feature of the model")
        if column.name == target:
            raise InputError(
                f"The model {model.name!r} must not take the target as a feature; its signature names {target!r}.",
                "What it would say of rows whose label it is given tells nothing; train it without that column.",
            )
    return columns or [Column(name, "any") for name in names if name != target]


def predict_table(model: LoadedModel, table: pyarrow.Table, columns: Sequence[Column]) -> numpy.ndarray:
    """Return a model's raw output for the columns of a table, shape (rows,) or (rows, classes).

    Raises:
        InputError: If the model fails, naming the rows.
    """
    import numpy

    parts = []
    for start in range(0, table.num_rows, BATCH_ROWS):
        parts.append(predict_frame(model, feature_frame(table.slice(start, BATCH_ROWS), columns), start))
    return numpy.concatenate(parts)


def predict_frame(model: LoadedModel, frame: pandas.DataFrame, start: int = 0) -> numpy.ndarray:
    """Return a model's raw output for rows that stand at a place of theirs, shape (rows,) or (rows, classes).

    Raises:
        InputError: If the model fails, naming the rows.
    """
    try:
        values = model.function(frame)
    except Exception as error:
        raise InputError(
            f"The model {model.name!r} must predict every row; it failed on rows {start:,} to "
            f"{start + len(frame) - 1:,} with {type(error).__name__} {origin(error)}."
        ) from None
    return as_output(model, values, len(frame))


def as_output(model: LoadedModel, values: Any, rows: int) -> numpy.ndarray:
    """Return what a model's function gave for some rows as an array, shape (rows,) or (rows, classes).

    Raises:
        InputError: If it is not one prediction a row.
    """
    import numpy

    output = numpy.atleast_1d(numpy.asarray(values))
    if len(output) != rows or output.ndim > 2:
        raise InputError(
            f"The model {model.name!r} must return one prediction a row; got the shape {output.shape} for "
            f"{rows:,} rows."
        )
    return output[:, 0] if output.ndim == 2 and output.shape[1] == 1 else output


def origin(error: BaseException) -> str:
    """Return where an error was raised; its message may hold a record's values and is not shown."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"in {frame.name} ({Path(frame.filename).name}, line {frame.lineno})"


def meaning_of(model: LoadedModel, output: numpy.ndarray, label: numpy.ndarray | None) -> dict[str, Any]:
    """Return what a model's output means: task, classes, positive class and threshold.

    Args:
        model: The model; what it says of itself comes first.
        output: Its raw output.
        label: The labels that the meaning is inferred from when the model says nothing; unused when it does.

    Raises:
        InputError: If the model does not say, and its output does not fit the labels.
    """
    if model.metadata.get("task"):
        return _stated_meaning(model)
    assert label is not None
    known = set(label.tolist())
    predicted = set(output.tolist()) if output.ndim == 1 else set()
    score = output.dtype.kind == "f" and bool(((output >= 0) & (output <= 1)).all())
    if output.ndim == 2 and output.shape[1] == len(known):
        return _classification(sorted(known))
    if predicted & known and _are_classes(output.dtype.kind, predicted, known):
        return _classification(sorted(known | predicted))
    if output.ndim == 1 and score and len(known) <= 2:
        return _classification(sorted(known))
    if output.ndim == 1 and output.dtype.kind in "fiu" and label.dtype.kind in "fiu" and len(known) > 2:
        return {"task": REGRESSION}
    raise InputError(
        f"The model {model.name!r} must say what it predicts; its output of shape {output.shape} fits no label with "
        f"{len(known)} values.",
        "Write task, classes and positive_class under metadata.hallmark in its MLmodel file.",
    )


def _are_classes(kind: str, predicted: Set[Any], known: Set[Any]) -> bool:
    """Return whether predictions, of which some are labels, are classes and not numbers that chance upon labels."""
    if kind == "f":
        return predicted <= known and len(known) <= MAX_NUMBERS
    return kind not in "iu" or predicted <= known or len(known | predicted) <= MAX_NUMBERS


def _stated_meaning(model: LoadedModel) -> dict[str, Any]:
    """Return what a model says of its output, which somebody may have written by hand."""
    meaning = dict(model.metadata)
    stated = meaning.get("classes")
    classes = stated if isinstance(stated, list) else []
    if meaning["task"] not in TASKS or (meaning["task"] != REGRESSION and len(classes) < 2):
        problem = "task, one of binary, multiclass and regression, and, for a classifier, at least two classes"
    elif meaning["task"] == BINARY and (len(classes) > 2 or meaning.get("positive_class") not in classes):
        problem = "two classes and one of them as positive_class for a binary model"
    elif meaning["task"] == BINARY and not _is_finite(meaning.get("threshold", THRESHOLD)):
        problem = "a finite number as threshold"
    else:
        return meaning
    raise InputError(f"The model {model.name!r} must name {problem}, under metadata.hallmark in its MLmodel file.")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _classification(classes: Sequence[Any]) -> dict[str, Any]:
    if len(classes) > 2:
        return {"task": MULTICLASS, "classes": list(classes)}
    return {"task": BINARY, "classes": list(classes), "positive_class": classes[-1], "threshold": THRESHOLD}


def _threshold(meaning: Mapping[str, Any]) -> float | None:
    return float(meaning.get("threshold", THRESHOLD)) if meaning["task"] == BINARY else None


def interpret(
    model: LoadedModel, output: numpy.ndarray, meaning: Mapping[str, Any]
) -> tuple[numpy.ndarray, numpy.ndarray | None]:
    """Return predictions and scores from a model's output; see `Predictions`.

    Args:
        model: The model.
        output: Its raw output, shape (rows,) or (rows, classes).
        meaning: What `meaning_of` returned.

    Raises:
        InputError: If the output is not what the meaning says.
    """
    import numpy

    if meaning["task"] == REGRESSION:
        try:
            output = output.astype(float)
        except (TypeError, ValueError):
            raise InputError(f"The model {model.name!r} must predict finite numbers; some are no numbers.") from None
    if output.dtype.kind == "f" and not numpy.isfinite(output).all():
        raise InputError(f"The model {model.name!r} must predict finite numbers; some are NaN or infinite.")
    if meaning["task"] == REGRESSION:
        return output, None
    classes = list(meaning["classes"])
    names = numpy.array(classes, dtype=object if isinstance(classes[0], str) else None)
    if output.ndim == 2 and output.shape[1] != len(classes):
        raise InputError(
            f"The model {model.name!r} must give one probability for each of its {len(classes)} classes; "
            f"got {output.shape[1]}."
        )
    if output.ndim == 1 and (meaning["task"] == MULTICLASS or set(output.tolist()) <= set(classes)):
        require_classes(output, classes, f"The prediction of {model.name!r}")
        return output, None
    if output.dtype.kind not in "biuf" or not ((output >= 0) & (output <= 1)).all():
        raise InputError(f"The model {model.name!r} must give classes, or probabilities from 0 to 1; it gives neither.")
    if meaning["task"] == MULTICLASS:
        return names[output.argmax(axis=1)], output
    positive = classes.index(meaning["positive_class"])
    score = output[:, positive] if output.ndim == 2 else output
    return names[numpy.where(score >= _threshold(meaning), positive, 1 - positive)], score.astype(float)


def require_classes(values: numpy.ndarray, classes: Sequence[Any], what: str) -> None:
    """Raise `InputError` when some of the values are none of the classes.

    Args:
        values: Labels or predictions, shape (rows,).
        classes: The classes of the model.
        what: What the values are, as the message begins.
    """
    known = set(classes)
    other = sum(value not in known for value in values.tolist())
    if other:
        raise InputError(f"{what} must be one of the model's {len(classes)} classes in every row; {other:,} are not.")
