"""A loaded model that predicts checked rows, and gives every request what `kfp_hallmark.modeling` would give it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from kfp_hallmark.contracts.predictions import BINARY
from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.columns import Column, require_servable
from kfp_hallmark.modeling.loading import LoadedModel
from kfp_hallmark.modeling.prediction import as_output, interpret, meaning_of, origin
from kfp_hallmark.serving.bodies import NoJson, Refusal, as_json
from kfp_hallmark.serving.features import Features, features, frame, probes
from kfp_hallmark.serving.rows import Signature, Values
from kfp_hallmark.serving.trees import walked

SEPARABLE = frozenset(
    f"{kind}{task}"
    for kind in (
        "HistGradientBoosting",
        "GradientBoosting",
        "RandomForest",
        "ExtraTrees",
        "DecisionTree",
        "XGB",
        "LGBM",
    )
    for task in ("Classifier", "Regressor")
)
"""Estimators that send each row down trees on its own, so that no bit of an answer depends on the rows beside it.
Linear algebra may round otherwise for more rows."""

PLAIN = frozenset("?bBhHiIlLqQefdU")
"""NumPy's codes of what is a number, a boolean or a text as it is."""

_EXAMPLE: dict[str, Any] = {
    "boolean": False,
    "integer": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "string": "text",
    "datetime": "2000-01-01",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """What a model says of some rows.

    Attributes:
        prediction: Classes or numbers, shape (rows,); the raw output, perhaps (rows, outputs), of a model that does
            not say what it predicts.
        score: Probability of the positive class, shape (rows,), or of each class, shape (rows, classes); None when the
            model gives none.
    """

    prediction: numpy.ndarray
    score: numpy.ndarray | None

    def part(self, start: int, stop: int) -> Answers:
        """Return the answers for some of the rows."""
        return Answers(self.prediction[start:stop], None if self.score is None else self.score[start:stop])


class Predictor:
    """A model behind its signature.

    Attributes:
        model: The model.
        meaning: What its output means; empty when it does not say.
        signature: What it takes.
        features: Its preprocessing without data frames, or None when it is given data frames.
        separable: Whether the rows of several requests may be predicted together.
        scores: What its scores are called: `score`, `probabilities`, or None when it gives none.
    """

    def __init__(self, model: LoadedModel) -> None:
        require_servable(model.name, model.columns)
        self.model = model
        self.meaning = meaning_of(model, numpy.empty(0), None) if model.metadata.get("task") else {}
        classes = self.meaning.get("classes") or []
        if as_json(classes) != classes:
            raise InputError(
                f"The classes of the model {model.name!r} must be numbers, booleans or texts; got {classes}."
            )
        self.features: Features | None = features(model)
        self._estimate: Callable[[numpy.ndarray], Any] | None = None
        if self.features is not None:
            estimator = walked(model.estimator[-1], self.features.matrix(probes(model)))
            self._estimate = getattr(estimator, model.function.__name__)
        self.separable = self.features is not None and type(model.estimator[-1]).__name__ in SEPARABLE
        self.signature = Signature(model.columns, frozenset())
        self.signature = Signature(model.columns, self._nullable())
        self.scores = self._scores()

    def predict(self, values: Sequence[Values]) -> Answers:
        """Return what the model says of checked rows.

        Raises:
            Refusal: If the model cannot take them, which the signature did not tell.
        """
        try:
            return self._predict(values)
        except (ValueError, LookupError, ArithmeticError) as error:
            what = error.message if isinstance(error, InputError) else f"{type(error).__name__} {origin(error)}"
            raise Refusal(422, f"The model must be able to predict these rows; it is not: {what}") from None

    def _predict(self, values: Sequence[Values]) -> Answers:
        if self.features is not None and self._estimate is not None:
            raw = self._estimate(self.features.matrix(values))
        else:
            raw = self.model.function(frame(self.model.columns, values))
        output = as_output(self.model, raw, len(values[0]))
        if output.dtype.char not in PLAIN:
            output = numpy.array([as_json(entry) for entry in output], dtype=object)
        if self.meaning:
            return Answers(*interpret(self.model, output, self.meaning))
        if output.dtype.kind == "f" and not numpy.isfinite(output).all():
            raise InputError("The model must predict finite numbers; some are NaN or infinite.")
        return Answers(output, None)

    def _example(self) -> list[Values]:
        return [[_EXAMPLE[column.type]] for column in self.model.columns]

    def _nullable(self) -> frozenset[str]:
        """Ask the model in which columns it takes a missing value, for no signature says so.

        A whole number or a boolean has no missing value, unless the signature does not require the column.
        """
        columns = [
            column
            for column in self.model.columns
            if column.type not in ("boolean", "integer", "long") or not column.required
        ]
        if columns and self._takes(columns):
            return frozenset(column.name for column in columns)
        return frozenset(column.name for column in columns if self._takes([column]))

    def _takes(self, missing: Sequence[Column]) -> bool:
        """Tell whether the model predicts a row in which some columns are missing."""
        values: list[Values] = self._example()
        for column in missing:
            values[self.model.columns.index(column)] = [None]
        try:
            self._predict(values)
        except Exception:
            return False
        return True

    def _scores(self) -> str | None:
        """Return what the scores are called, after the model has predicted a first row."""
        try:
            if self._predict(self._example()).score is None:
                return None
        except NoJson:
            raise
        except Exception as error:
            _log.warning("The model could not predict a made-up row: %s %s", type(error).__name__, origin(error))
            if self.model.function.__name__ != "predict_proba" or not self.meaning:
                return None
        return "score" if self.meaning["task"] == BINARY else "probabilities"


class Together:
    """Predicts the rows of requests that arrive at once together.

    While a prediction runs, further requests arrive; all that are there when it ends are predicted at once. Nobody is
    made to wait for company, so a single client loses nothing.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._waiting: list[tuple[Sequence[Values], asyncio.Future[Answers]]] = []

    async def predict(self, values: Sequence[Values]) -> Answers:
        """Return what the model says of checked rows; see `Predictor.predict`."""
        if not self._predictor.separable:
            return self._predictor.predict(values)
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        future: asyncio.Future[Answers] = loop.create_future()
        self._waiting.append((values, future))
        return await future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            answers = self._predictor.predict(_join([values for values, _ in waiting]))
        except Exception:
            for values, future in waiting:
                self._alone(values, future)
            return
        start = 0
        for values, future in waiting:
            stop = start + len(values[0])
            if not future.done():
                future.set_result(answers.part(start, stop))
            start = stop

    def _alone(self, values: Sequence[Values], future: asyncio.Future[Answers]) -> None:
        """Predict one request: among several, one with rows that the model cannot take fails alone."""
        if future.done():
            return
        try:
            future.set_result(self._predictor.predict(values))
        except Exception as error:
            future.set_exception(error)


def _join(parts: Sequence[Sequence[Values]]) -> Sequence[Values]:
    if len(parts) == 1:
        return parts[0]
    return [[entry for entries in column for entry in entries] for column in zip(*parts, strict=True)]
