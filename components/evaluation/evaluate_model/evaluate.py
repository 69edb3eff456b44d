"""Measure a model on a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from kfp_hallmark.components.evaluation.evaluate_model.page import evaluation_page
from kfp_hallmark.components.evaluation.evaluate_model.slices import measure_slices
from kfp_hallmark.contracts.artifacts import Artifact, Metrics, log_metrics, verified
from kfp_hallmark.contracts.dataset import read_schema, require_column
from kfp_hallmark.contracts.predictions import BINARY, REGRESSION, Predictions, write_predictions
from kfp_hallmark.errors import InputError
from kfp_hallmark.measures import (
    Interval,
    bootstrap_intervals,
    confusion_matrix,
    measure,
    require_resampling,
    roc_curve,
)
from kfp_hallmark.modeling import load_model, predict
from kfp_hallmark.reports import write_page


class Classification(Artifact, Protocol):
    """An artifact that holds a confusion matrix and a ROC curve, which the user interfaces draw."""

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        """Set the matrix."""

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None:
        """Set the curve."""


def evaluate(
    model: Artifact,
    dataset: Artifact,
    predictions: Artifact,
    metrics: Metrics,
    classification: Classification,
    report: Artifact,
    target: str,
    slices: Sequence[str],
    bootstrap_samples: int,
    confidence: float,
    seed: int,
) -> None:
    """Measure a model on a dataset, and write predictions, metrics and report; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If target or a slice is absent, the data holds one class alone, or the model cannot predict it.
        IntegrityError: If model or dataset were changed since they were written.
    """
    require_resampling(bootstrap_samples, confidence)
    names = read_schema(verified(dataset, "dataset")).names
    require_column(target, names, "target")
    for column in slices:
        require_column(column, names, "slices")
    given = predict(load_model(model.path, model.metadata.get("digest")), dataset.path, target)
    _require_classes(given)

    values = measure(given)
    spans = bootstrap_intervals(given, list(values), bootstrap_samples, confidence, seed)
    measured = measure_slices(given, dataset.path, slices, bootstrap_samples, confidence, seed) if slices else []
    confusion = None if given.task == REGRESSION else confusion_matrix(given)
    document = evaluation_page(given, values, spans, measured, confusion, confidence)

    predictions.metadata |= {"digest": write_predictions(predictions.path, given), **given.subjects}
    write_page(report.path, document)
    log_metrics(metrics, _with_intervals(values, spans) | {"rows": len(given.label)})
    if confusion is not None:
        classification.log_confusion_matrix(*confusion)
    if given.task == BINARY and given.score is not None:
        classification.log_roc_curve(*roc_curve(given))


def _require_classes(given: Predictions) -> None:
    import numpy

    if given.task != REGRESSION and len(numpy.unique(given.label)) < 2:
        raise InputError(
            f"The dataset must hold at least two classes of the target {given.target!r}; got one in all "
            f"{len(given.label):,} rows.",
            "A test set without a class cannot tell how well it is found: take more rows or split them otherwise.",
        )


def _with_intervals(values: dict[str, float | None], spans: dict[str, Interval | None]) -> dict[str, Any]:
    """Return each metric followed by the ends of its interval."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        low, high = spans[name] or (None, None)
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return found
