"""Load an MLflow model and let it predict a dataset: what evaluation, explanation and the gates share.

A model folder of Hallmark's own, and any other that holds a pickled scikit-learn estimator, is loaded without importing
MLflow, which costs seconds; every other folder is loaded as MLflow's `python_function`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import pickle
import tempfile
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import dataset_lineage, read_schema, read_table, require_column
from kfp_hallmark.contracts.digest import PREFIX, Manifest, file_digest
from kfp_hallmark.contracts.model import MODEL_FILE, model_file, parse_model_file, stated_metadata
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, TASKS, Predictions
from kfp_hallmark.errors import EnvironmentFailure, HallmarkError, InputError, IntegrityError

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow

BATCH_ROWS = 100_000
"""How many rows a model is given at once, which bounds memory."""

BLOCK_BYTES = 2**20
"""How much of a file is held in memory while it is hashed, copied or unpickled."""

THRESHOLD = 0.5
"""The threshold of a binary model that does not name its own."""

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

MAX_NUMBERS = 20
"""Up to how many different numbers a model's output may be classes, where it does not say."""


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


@dataclass(frozen=True)
class LoadedModel:
    """A model, ready to predict.

    Attributes:
        name: How messages call it.
        digest: Digest of its folder.
        function: What predicts: a data frame to probabilities, scores, classes or numbers.
        columns: The inputs that its signature names; empty when it names none.
        metadata: What it says of itself under `metadata.hallmark`; may be empty.
        estimator: The scikit-learn estimator, or None when it is not one.
    """

    name: str
    digest: str
    function: Callable[[pandas.DataFrame], Any]
    columns: tuple[Column, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    estimator: Any = None


def load_model(path: str | Path, digest: str | None = None) -> LoadedModel:
    """Load a model folder; what it holds is code, so it is verified first when its digest is known.

    What is loaded is what was hashed, whoever changes the folder meanwhile: a pickle is held against its hash once more
    while it is unpickled, and MLflow is given a private copy that was hashed as it was made.

    Args:
        path: MLflow model folder.
        digest: The digest that the folder must have; None does not ask.

    Raises:
        MissingInputError: If the folder is not a model folder.
        IntegrityError: If its digest is another, and nothing in it was loaded then; if it changes while it is loaded.
        InputError: If it cannot be loaded.
        EnvironmentFailure: If MLflow must load it and no temporary folder can be written.
    """
    name, content = str(path), model_file(path).read_bytes()
    document = parse_model_file(content, path)
    flavors = document.get("flavors") or {}
    general, native = flavors.get("python_function") or {}, flavors.get("sklearn") or {}
    take = _take_pickle if _is_plain_pickle(general, native) else _take_copy
    with contextlib.ExitStack() as undo:
        found, load = take(Path(path), content, general, undo)
        if digest is not None and digest != found:
            raise IntegrityError(
                f"The model {name!r} must have the digest {digest}; got {found}.",
                "Its files were changed after the digest was taken; train it again.",
            )
        _require_one_model(name, general, native)
        try:
            estimator, function = load()
        except HallmarkError:
            raise
        except Exception as error:
            raise InputError(
                f"The model {name!r} must load as MLflow's python_function; got {type(error).__name__}: {error}.",
                "The environment must hold the packages that its requirements.txt names.",
            ) from error
    return LoadedModel(name, found, function, signature_of(document), stated_metadata(document), estimator)


def _require_one_model(name: str, general: Mapping[str, Any], native: Mapping[str, Any]) -> None:
    """Raise unless a model can be loaded, and is the same one for MLflow and for scikit-learn's flavor."""
    if not general:
        raise InputError(f"The model {name!r} must have MLflow's flavor python_function; it has not.")
    files = {general.get("data") or general.get("model_path"), native.get("pickled_model")} - {None}
    if native and len(files) > 1:
        named = ", ".join(sorted(map(str, files)))
        raise IntegrityError(f"The model {name!r} must be one model; its flavors load different files: {named}.")


Loading = Callable[[], tuple[Any, Callable[["pandas.DataFrame"], Any]]]
"""Returns the estimator, if it is scikit-learn's, and the function that predicts."""


def _take_pickle(
    folder: Path, content: bytes, general: Mapping[str, Any], undo: contextlib.ExitStack
) -> tuple[str, Loading]:
    """Return the digest of a model folder with a plain pickle, and what loads the very pickle that was hashed."""
    name = str(general.get("model_path"))
    pickled: list[_Hashed] = []

    def digest_of(file: Path) -> str:
        if file == folder / MODEL_FILE:
            return PREFIX + hashlib.sha256(content).hexdigest()
        if file != folder / name:
            return file_digest(file)
        pickled.append(_Hashed(file))
        return pickled[0].digest

    def load() -> tuple[Any, Callable[[pandas.DataFrame], Any]]:
        if not pickled:
            raise IntegrityError(f"The model {str(folder)!r} must hold what it loads; it names {name!r}.")
        estimator = pickle.load(io.BufferedReader(undo.enter_context(pickled[0]), BLOCK_BYTES))
        return estimator, getattr(estimator, general.get("predict_fn", "predict"))

    return Manifest.of(folder, digest_of).digest, load


class _Hashed(io.RawIOBase):
    """A file that is hashed when it is opened, and then gives what was hashed or nothing.

    The hash is noted block by block, so that reading can be held against it without keeping the file in memory.

    Attributes:
        digest: The file's digest.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("rb")
        state, notes = hashlib.sha256(), []
        while block := self._file.read(BLOCK_BYTES):
            state.update(block)
            notes.append(state.digest())
        self.digest = PREFIX + state.hexdigest()
        self._state, self._notes, self._block = hashlib.sha256(), iter(notes), memoryview(b"")
        self._file.seek(0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._block:
            block = self._file.read(BLOCK_BYTES)
            self._state.update(block)
            if next(self._notes, None) != (self._state.digest() if block else None):
                raise IntegrityError(f"The file {str(self._path)!r} must not change while it is loaded; it did.")
            self._block = memoryview(block)
        count = min(len(buffer), len(self._block))
        buffer[:count], self._block = self._block[:count], self._block[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _take_copy(
    folder: Path, content: bytes, general: Mapping[str, Any], undo: contextlib.ExitStack
) -> tuple[str, Loading]:
    """Return the digest of a private copy of a model folder, and what lets MLflow load it.

    The copy stays as long as the model, which may read in it whenever it predicts.
    """
    copy = undo.enter_context(private_folder())

    def digest_of(file: Path) -> str:
        target = copy / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            io.BytesIO(content) if file == folder / MODEL_FILE else file.open("rb") as source,
            target.open("xb") as made,
        ):
            state = hashlib.sha256()
            while block := source.read(BLOCK_BYTES):
                state.update(block)
                made.write(block)
        return PREFIX + state.hexdigest()

    digest = Manifest.of(folder, digest_of).digest

    def load() -> tuple[Any, Callable[[pandas.DataFrame], Any]]:
        if general.get("code"):
            _require_alone(str(folder), digest)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import pyfunc

        model = pyfunc.load_model(str(copy), suppress_warnings=True)
        weakref.finalize(model, undo.pop_all().close)
        wanted = _tensor_type(parse_model_file(content, folder))
        return None, model.predict if wanted is None else lambda frame: model.predict(frame.to_numpy(wanted))

    return digest, load


_with_code: set[str] = set()


def _require_alone(name: str, digest: str) -> None:
    """Raise if another model with code of its own was loaded: Python keeps one module of a name, so both would mix."""
    if _with_code - {digest}:
        raise InputError(
            f"The model {name!r} must be the only one with code of its own in its process; another was loaded before.",
            "Start the program anew to load it.",
        )
    _with_code.add(digest)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Give a new folder that no other user can look into; it is removed when the block, or the process, ends.

    Raises:
        EnvironmentFailure: If no temporary folder can be written.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix="hallmark-", ignore_cleanup_errors=True)
    except OSError as error:
        raise EnvironmentFailure(
            "There must be a temporary folder that can be written; there is none.",
            "Mount one at /tmp, or set TMPDIR to one.",
        ) from error
    with made as folder:
        yield Path(folder)


def _is_plain_pickle(general: Mapping[str, Any], native: Mapping[str, Any]) -> bool:
    """Return whether a model is one pickled scikit-learn estimator without code of its own beside it."""
    allowed = os.environ.get("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true").lower() in ("true", "1")
    return (
        allowed
        and general.get("loader_module") == "mlflow.sklearn"
        and native.get("serialization_format") in ("pickle", "cloudpickle")
        and not general.get("code")
        and not general.get("data")
    )


def signature_of(document: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the named input columns of the signature in an `MLmodel` document."""
    inputs = json.loads((document.get("signature") or {}).get("inputs") or "[]")
    return tuple(
        Column(entry["name"], str(entry["type"]), entry.get("required", True)) for entry in inputs if entry.get("name")
    )


def _tensor_type(document: Mapping[str, Any]) -> str | None:
    """Return the numpy type of a signature of one tensor without a name, as of a network; None for any other."""
    inputs = json.loads((document.get("signature") or {}).get("inputs") or "[]")
    if len(inputs) != 1 or inputs[0].get("type") != "tensor" or inputs[0].get("name"):
        return None
    return str(inputs[0]["tensor-spec"]["dtype"])


@contextlib.contextmanager
def in_step(name: str) -> Iterator[None]:
    """Name the step in an `InputError` that is raised in the block: the model alone does not say where it failed."""
    try:
        yield
    except InputError as error:
        raise InputError(f"In {name}: {error.message}", error.hint) from error


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
