"""Try parameters on the folds of some data, in this process or in others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.training.tune_model.folds import Folds
from kfp_hallmark.components.training.tune_model.space import Space, is_pruned
from kfp_hallmark.components.training.tune_model.trial import FAILED, MAX_PROBLEM, PRUNED, Trial
from kfp_hallmark.contracts.predictions import REGRESSION, Predictions
from kfp_hallmark.errors import HallmarkError, InputError
from kfp_hallmark.measures import METRICS, measure
from kfp_hallmark.modeling.columns import Column, read_label
from kfp_hallmark.modeling.loading import LoadedModel
from kfp_hallmark.modeling.prediction import interpret, predict_frame
from kfp_hallmark.training.estimators import accept_labels, make_estimator
from kfp_hallmark.training.features import make_pipeline, read_features
from kfp_hallmark.training.fitting import fit

if TYPE_CHECKING:
    import pandas
    from numpy import ndarray


@dataclass(frozen=True)
class Task:
    """A trial to be made.

    Attributes:
        trial: What to try.
        numbers: The folds to try it on, in order.
        known: The trials by which it may be given up.
    """

    trial: Trial
    numbers: tuple[int, ...]
    known: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class Work:
    """What all trials share. It is sent to each process once; the data are read there.

    Attributes:
        path: The dataset.
        target: The label column.
        columns: The features.
        meaning: What `describe_target` returned.
        estimator: The estimator's import path.
        fixed: The parameters that are not searched.
        space: Where to search, for the pruner.
        pruner: When to give up.
        metric: What to measure.
        seed: Seed of the estimator.
        folds: The folds of each search, by its number.
    """

    path: str
    target: str
    columns: tuple[Column, ...]
    meaning: Mapping[str, Any]
    estimator: str
    fixed: Mapping[str, Any]
    space: Space
    pruner: str
    metric: str
    seed: int
    folds: Mapping[int, Folds]

    @property
    def greater(self) -> bool:
        """Whether a greater score is better."""
        return METRICS[self.metric].greater_is_better

    @cached_property
    def frame(self) -> pandas.DataFrame:
        """The features of all rows."""
        return read_features(self.path, self.columns)

    @cached_property
    def label(self) -> ndarray:
        """The label of all rows."""
        return read_label(self.path, self.target)

    def run(self, task: Task) -> Trial:
        """Return a trial with its outcome; that the estimator fails is one."""
        started, trial = time.monotonic(), task.trial
        try:
            for number in task.numbers:
                score = self._score(trial.parameters, self.folds[trial.search], number)
                trial = replace(trial, scores=(*trial.scores, score))
                rest = len(trial.scores) < len(task.numbers)
                if rest and is_pruned(self.space, self.pruner, task.known, trial, self.greater):
                    trial = replace(trial, state=PRUNED)
                    break
        except HallmarkError as error:
            trial = replace(trial, state=FAILED, problem=error.message[:MAX_PROBLEM])
        return replace(trial, seconds=round(time.monotonic() - started, 3))

    def _score(self, parameters: Mapping[str, Any], folds: Folds, number: int) -> float:
        trained, scored = folds.sides(number)
        frame = self.frame[trained]
        made = make_estimator(self.estimator, {**self.fixed, **parameters}, self.seed)
        pipeline = make_pipeline(accept_labels(made, self.meaning), self.columns, frame)
        pipeline = fit(pipeline, frame, self.label[trained], self.estimator)
        value = measure(self._predict(pipeline, scored))[self.metric]
        if value is None:
            raise InputError(f"metric must be defined on every fold; {self.metric} is not on fold {number}.")
        return float(value)

    def _predict(self, pipeline: Any, rows: ndarray) -> Predictions:
        from threadpoolctl import threadpool_limits

        meaning, function = self.meaning, pipeline.predict
        if meaning["task"] != REGRESSION and hasattr(pipeline, "predict_proba"):
            function = pipeline.predict_proba
        model = LoadedModel(self.estimator, "", function)
        with threadpool_limits(1):
            output = predict_frame(model, self.frame[rows])
        prediction, score = interpret(model, output, meaning)
        return Predictions(
            task=meaning["task"],
            target=self.target,
            label=self.label[rows],
            prediction=prediction,
            score=score,
            classes=tuple(meaning.get("classes", ())),
            positive_class=meaning.get("positive_class"),
            threshold=meaning.get("threshold"),
            model="",
            dataset="",
        )
