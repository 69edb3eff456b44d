"""Measure a model on a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kfp_hallmark.components.evaluation.evaluate_model.costs import CostReport, read_costs, report_costs
from kfp_hallmark.components.evaluation.evaluate_model.page import evaluation_page
from kfp_hallmark.components.evaluation.evaluate_model.search import find_slices
from kfp_hallmark.components.evaluation.evaluate_model.slices import measure_slices
from kfp_hallmark.contracts.artifacts import Artifact, Metrics, log_metrics, verified
from kfp_hallmark.contracts.dataset import read_schema, require_column
from kfp_hallmark.contracts.predictions import BINARY, REGRESSION, Predictions, write_predictions
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.errors import InputError
from kfp_hallmark.measures import (
    Interval,
    bootstrap_intervals,
    confusion_matrix,
    measure,
    require_resampling,
    roc_curve,
)
from kfp_hallmark.modeling.loading import LoadedModel, load_model
from kfp_hallmark.modeling.prediction import in_step, predict
from kfp_hallmark.reports import write_page

STEP = "evaluate_model"
MOST_FOUND = 50
"""How many slices can be searched for."""


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
    costs: Mapping[str, Any],
    validation: Artifact | None,
    found_slices: int,
) -> None:
    """Measure a model on a dataset, and write predictions, metrics and report; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If target or a slice is absent, the data holds one class alone, or the model cannot predict it.
        IntegrityError: If model or dataset were changed since they were written.
    """
    require_seed(seed)
    require_resampling(bootstrap_samples, confidence)
    names = read_schema(verified(dataset, "dataset")).names
    require_column(target, names, "target")
    for column in slices:
        require_column(column, names, "slices")
    require_found_slices(found_slices)
    matrix = read_costs(costs)
    if validation is not None and matrix is None:
        raise InputError("costs must be given together with validation; got none.", "They say what to choose by.")
    loaded = load_model(model.path, model.metadata.get("digest"))
    with in_step(STEP):
        given = predict(loaded, dataset.path, target)
    _require_classes(given)
    decided = None
    if matrix is not None:
        others = None if validation is None else _predict_validation(loaded, validation, given)
        decided = report_costs(given, matrix, others, confidence, seed)

    values = measure(given)
    spans = bootstrap_intervals(given, list(values), bootstrap_samples, confidence, seed)
    measured = measure_slices(given, dataset.path, slices, bootstrap_samples, confidence, seed) if slices else []
    search = find_slices(given, dataset.path, found_slices, confidence, seed) if found_slices else None
    confusion = None if given.task == REGRESSION else confusion_matrix(given)
    document = evaluation_page(given, values, spans, measured, confusion, decided, search, confidence, seed)

    predictions.metadata |= {"digest": write_predictions(predictions.path, given), **given.subjects}
    write_page(report.path, document)
    log_metrics(metrics, _with_intervals(values, spans) | _cost_metrics(decided) | {"rows": len(given.label)})
    if confusion is not None:
        classification.log_confusion_matrix(*confusion)
    if given.task == BINARY and given.score is not None:
        classification.log_roc_curve(*roc_curve(given))


def require_found_slices(found_slices: int) -> None:
    """Raise `InputError` when it is no number of slices that can be searched."""
    if not 0 <= found_slices <= MOST_FOUND:
        raise InputError(f"found_slices must be from 0 to {MOST_FOUND}; got {found_slices}.")


def _predict_validation(model: LoadedModel, validation: Artifact, test: Predictions) -> Predictions:
    """Predict the rows on which the threshold is chosen.

    Raises:
        InputError: If they are those of the test, or those that the model was trained on.
    """
    with in_step(f"{STEP}, of validation"):
        found = predict(model, verified(validation, "validation"), test.target)
    if found.dataset == test.dataset:
        raise InputError(
            "validation must be other data than the dataset; it is the same.",
            "A threshold chosen on the rows that it is measured on seems cheaper than it is.",
        )
    if found.dataset in list(model.metadata.get("datasets") or [])[:1]:
        raise InputError(
            "validation must be other data than the model was trained on; it is the same.",
            "Scores of the rows of the training are surer than those of new rows.",
        )
    return found


def _cost_metrics(decided: CostReport | None) -> dict[str, float | None]:
    if decided is None:
        return {}
    parts = {"cost": decided.own, "chosen_cost": decided.chosen, "saving": decided.saving}
    found: dict[str, float | None] = {}
    for name, part in parts.items():
        if part is not None:
            low, high = part.interval or (None, None)
            found |= {name: part.cost, f"{name}_low": low, f"{name}_high": high}
    return found | ({"chosen_threshold": decided.chosen.threshold} if decided.chosen else {})


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
