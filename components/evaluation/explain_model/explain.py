"""Explain what a model's predictions rest on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.evaluation.explain_model.cohorts import as_texts, cohorts_of, ordered_means
from kfp_hallmark.components.evaluation.explain_model.page import Explained, explanation_page
from kfp_hallmark.components.evaluation.explain_model.shapley import (
    PROBABILITY,
    TARGET,
    Attribution,
    explain_predictions,
    explain_structure,
    require_sizes,
)
from kfp_hallmark.contracts.artifacts import Artifact, Metrics, log_metrics, verified
from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import write_json
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION
from kfp_hallmark.modeling import (
    LoadedModel,
    feature_frame,
    input_columns,
    load_model,
    meaning_of,
    predict_table,
    read_label,
)
from kfp_hallmark.reports import number, write_page

if TYPE_CHECKING:
    from numpy import ndarray

SCHEMA = "hallmark/importances/v1"

MAX_LOGGED = 100
"""How many importances become metrics."""


def explain(
    model: Artifact,
    dataset: Artifact,
    importances: Artifact,
    metrics: Metrics,
    report: Artifact,
    target: str,
    max_rows: int,
    local_explanations: int,
    seed: int,
    cohort_columns: Sequence[str] = (),
) -> None:
    """Explain a model on a dataset, and write importances and report; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If the dataset lacks a feature, or the model cannot predict it.
        IntegrityError: If model or dataset were changed since they were written.
    """
    require_sizes(max_rows, local_explanations)
    loaded = load_model(model.path, model.metadata.get("digest"))
    columns = input_columns(loaded, verified(dataset, "dataset"), target)
    table = read_table(dataset.path, [column.name for column in columns])
    available = table.num_rows
    places = _sample(available, max_rows, seed)
    table = table.take(places)
    shared = _shared(dataset.path, cohort_columns, places)
    raw = predict_table(loaded, table, columns)
    frame = feature_frame(table, columns)
    label = None if loaded.metadata.get("task") else read_label(dataset.path, target)
    meaning = meaning_of(loaded, raw, label)
    outputs = as_outputs(raw, meaning)
    chosen = _chosen(outputs, meaning)

    attribution = explain_structure(loaded.estimator, frame, chosen)
    if attribution is None:
        unit = TARGET if meaning["task"] == REGRESSION else PROBABILITY
        attribution = explain_predictions(_function(loaded, meaning), frame, chosen, unit, seed)
    rows = len(attribution.values)
    ordered = ordered_means(attribution.values, list(frame.columns))
    if meaning["task"] == MULTICLASS:
        shared = {"predicted class": [str(meaning["classes"][place]) for place in chosen], **shared}
    cohorts = [
        cohort
        for column, values in shared.items()
        for cohort in cohorts_of(column, values[:rows], attribution.values, list(frame.columns))
    ]
    explained = Explained(
        model=loaded.digest,
        dataset=artifact_digest(dataset.path),
        available=available,
        frame=frame.iloc[:rows],
        attribution=attribution,
        output=_what(meaning, target),
        importances=ordered,
        cohorts=cohorts,
        predicted=_words(outputs, chosen, meaning, target)[:rows],
        order=_explained_output(outputs, chosen)[:rows],
    )
    document = explanation_page(explained, local_explanations)
    write_json(importances.path, _document(explained))
    write_page(report.path, document)
    log_metrics(metrics, metric_names(dict(list(ordered.items())[:MAX_LOGGED])))


def _sample(available: int, rows: int, seed: int) -> ndarray:
    """Return the positions of a sample without replacement, in random order."""
    import numpy

    return numpy.random.default_rng(seed).permutation(available)[:rows]


def _shared(dataset: str, columns: Sequence[str], places: ndarray) -> dict[str, list[str]]:
    """Return the values of the cohort columns in a sample, as text."""
    for column in columns:
        require_column(column, read_schema(dataset).names, "cohort_columns")
    table = read_table(dataset, columns).take(places) if columns else None
    return {} if table is None else {column: as_texts(table[column], column) for column in columns}


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


def _function(model: LoadedModel, meaning: Mapping[str, Any]) -> Any:
    import numpy

    return lambda frame: as_outputs(numpy.asarray(model.function(frame)), meaning)


def _explained_output(outputs: ndarray, chosen: ndarray) -> ndarray:
    import numpy

    return outputs if outputs.ndim == 1 else outputs[numpy.arange(len(outputs)), chosen]


def _what(meaning: Mapping[str, Any], target: str) -> str:
    if meaning["task"] == REGRESSION:
        return target
    if meaning["task"] == MULTICLASS:
        return f"the predicted class of {target}"
    return f"{target} = {meaning['positive_class']}"


def _words(outputs: ndarray, chosen: ndarray, meaning: Mapping[str, Any], target: str) -> list[str]:
    """Return each row's prediction as words."""
    values = _explained_output(outputs, chosen).tolist()
    if meaning["task"] == REGRESSION:
        return [f"{target} {number(value, 3)}" for value in values]
    classes = meaning["classes"]
    return [f"{value:.1%} for {target} = {classes[place]}" for value, place in zip(values, chosen, strict=True)]


def _document(explained: Explained) -> dict[str, Any]:
    attribution: Attribution = explained.attribution
    return {
        "schema": SCHEMA,
        "model": explained.model,
        "dataset": explained.dataset,
        "explained": explained.output,
        "method": attribution.method,
        "unit": attribution.unit,
        "rows": len(attribution.values),
        "importances": explained.importances,
        "cohorts": [asdict(cohort) for cohort in explained.cohorts],
    }


def metric_names(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values under names of letters, digits and underscores, each its own."""
    found: dict[str, float] = {}
    for name, value in values.items():
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "feature"
        unique, count = plain, 2
        while unique in found:
            unique, count = f"{plain}_{count}", count + 1
        found[unique] = value
    return found
