"""Compare a model with further ones that its user trained with other seeds: a folder of MLflow model folders.

What they share with the model must be the same, their seeds must not, or the comparison tells nothing of seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.evaluation.robustness_gate.retrain import (
    LEAST,
    MOST,
    Retraining,
    differences,
    require_spread,
    summarise,
)
from kfp_hallmark.contracts.model import MODEL_FILE, read_model_file
from kfp_hallmark.contracts.predictions import REGRESSION, Predictions
from kfp_hallmark.errors import EnvironmentFailure, InputError
from kfp_hallmark.modeling.columns import Column
from kfp_hallmark.modeling.loading import LoadedModel, load_model
from kfp_hallmark.modeling.prediction import interpret, meaning_of, predict_table

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray


@dataclass(frozen=True)
class _Said:
    """What one of the further models says.

    Attributes:
        name: How messages call it.
        columns: The inputs that its signature names.
        seed: The seed that it states.
        datasets: The data that it states.
        task: Its task.
        classes: Its classes; empty for a regression.
        prediction: What it says of the tested rows, shape (rows,).
    """

    name: str
    columns: tuple[Column, ...]
    seed: Any
    datasets: Any
    task: str
    classes: frozenset[Any]
    prediction: ndarray


def compare(
    folder: str | Path,
    model: LoadedModel,
    columns: Sequence[Column],
    tested: pyarrow.Table,
    clean: Predictions,
    confidence: float,
) -> Retraining:
    """Compare what further models say of the tested rows with what the model says.

    Args:
        folder: The folder that holds their folders.
        model: The model.
        columns: The columns that it takes.
        tested: The rows to decide.
        clean: What the model says of them.
        confidence: Confidence level of the interval, between 0 and 1.

    Raises:
        InputError: If there are too few or too many, one fails, differs in more than its seed, or states no seed.
    """
    import numpy as np

    places = sorted(file.parent for file in Path(folder).glob(f"*/{MODEL_FILE}"))
    if not LEAST <= len(places) <= MOST:
        raise InputError(
            f"retrained_models must be a folder of {LEAST} to {MOST} MLflow model folders; it holds {len(places)}."
        )
    require_spread(clean)
    said = [_said(place, columns, tested, clean.label) for place in places]
    for each in said:
        _require_alike(each, model, clean)
    _require_seeds([("the model", model.metadata.get("seed")), *((each.name, each.seed) for each in said)])
    return summarise(np.array([differences(each.prediction, clean) for each in said]), clean.task, confidence)


def _said(place: Path, columns: Sequence[Column], tested: pyarrow.Table, label: ndarray) -> _Said:
    """Return what a model says; one that brings code says so in a process of its own, where no other's modules are."""
    flavors = read_model_file(place).get("flavors") or {}
    if not (flavors.get("python_function") or {}).get("code"):
        return _say(place, columns, tested, label)
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_answer, args=(theirs, place, columns, tested, label), daemon=True)
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        raise EnvironmentFailure(f"The process of the model {place.name!r} must answer; it was killed.") from None
    finally:
        process.join()
    if isinstance(answer, Exception):
        raise answer
    return answer  # type: ignore[no-any-return]


def _answer(connection: Connection, *given: Any) -> None:
    try:
        answer: _Said | Exception = _say(*given)
    except Exception as error:
        answer = error
    connection.send(answer)


def _say(place: Path, columns: Sequence[Column], tested: pyarrow.Table, label: ndarray) -> _Said:
    model = load_model(place)
    output = predict_table(model, tested, columns)
    meaning = meaning_of(model, output, label)
    return _Said(
        place.name,
        model.columns,
        model.metadata.get("seed"),
        model.metadata.get("datasets"),
        meaning["task"],
        frozenset(meaning.get("classes") or ()),
        interpret(model, output, meaning)[0],
    )


def _require_alike(said: _Said, model: LoadedModel, clean: Predictions) -> None:
    """Raise `InputError` if a model differs from the one that is judged in more than its seed."""
    classes = frozenset() if clean.task == REGRESSION else frozenset(clean.classes)
    pairs = {
        "columns": (said.columns, model.columns),
        "task": (said.task, clean.task),
        "classes": (said.classes, classes),
        "training data (datasets)": (said.datasets, model.metadata.get("datasets")),
    }
    for what, (own, wanted) in pairs.items():
        if own != wanted:
            raise InputError(
                f"retrained_models must differ from the model in nothing but the seed; {said.name!r} has other {what}."
            )


def _require_seeds(seeds: Sequence[tuple[str, Any]]) -> None:
    """Raise `InputError` unless every model states a seed, each another."""
    known: dict[int, str] = {}
    for name, seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InputError(
                f"Every model must state its seed, a whole number, to be compared with others; {name!r} does not.",
                "Write it under metadata.hallmark.seed in its MLmodel file.",
            )
        if seed in known:
            raise InputError(
                f"retrained_models must each have another seed; {name!r} has the seed {seed} of {known[seed]!r}."
            )
        known[seed] = name
