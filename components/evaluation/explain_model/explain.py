"""Explain what a model's predictions rest on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kfp_hallmark.components.evaluation.explain_model.cohorts import as_texts, cohorts_of
from kfp_hallmark.components.evaluation.explain_model.page import Explained, explanation_page
from kfp_hallmark.components.evaluation.explain_model.surrogate import (
    LIME,
    SHAP,
    Surrogate,
    explain_record,
    require_method,
)
from kfp_hallmark.contracts.artifacts import Artifact, Metrics, log_metrics, verified
from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.importances import Importances
from kfp_hallmark.contracts.predictions import MULTICLASS, REGRESSION
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.explanation.rows import (
    ExplainedRows,
    explain_rows,
    ordered_means,
    output_name,
    part_means,
    part_rows,
)
from kfp_hallmark.explanation.shapley import require_sizes
from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.modeling.prediction import in_step
from kfp_hallmark.reports import number, write_page

if TYPE_CHECKING:
    import pandas
    from numpy import ndarray

STEP = "explain_model"

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
    local_method: str = SHAP,
) -> None:
    """Explain a model on a dataset, and write importances and report; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If the dataset lacks a feature, or the model cannot predict it.
        IntegrityError: If model or dataset were changed since they were written.
    """
    require_seed(seed)
    require_sizes(max_rows, local_explanations)
    require_method(local_method)
    loaded = load_model(model.path, model.metadata.get("digest"))
    for column in cohort_columns:
        require_column(column, read_schema(verified(dataset, "dataset")).names, "cohort_columns")
    with in_step(STEP):
        rows = explain_rows(loaded, verified(dataset, "dataset"), target, max_rows, seed)
    values, names = rows.attribution.values, list(rows.frame.columns)
    shared = _shared(dataset.path, cohort_columns, rows.places)
    if rows.meaning["task"] == MULTICLASS:
        shared = {"predicted class": [str(rows.meaning["classes"][place]) for place in rows.chosen], **shared}
    size = part_rows(len(values))
    parts = part_means(values, size)
    found = Importances(
        model=loaded.digest,
        dataset=artifact_digest(dataset.path),
        target=target,
        explained=output_name(rows.meaning, target),
        method=rows.attribution.method,
        unit=rows.attribution.unit,
        rows=len(values),
        seed=seed,
        importances=ordered_means(values, names),
        cohorts=[
            cohort
            for column, texts in shared.items()
            for cohort in cohorts_of(column, texts[: len(values)], values, names)
        ],
        part_rows=size,
        parts=dict(zip(names, parts.T.tolist(), strict=True)),
    )
    with in_step(STEP):
        singles = _singles(rows, local_explanations, local_method, seed)
    document = explanation_page(Explained(found, rows, _words(rows, target), singles))
    found.write(importances.path)
    importances.metadata["digest"] = artifact_digest(importances.path)
    write_page(report.path, document)
    log_metrics(metrics, metric_names(dict(list(found.importances.items())[:MAX_LOGGED])))


def _shared(dataset: str, columns: Sequence[str], places: ndarray) -> dict[str, list[str]]:
    """Return the values of the cohort columns in a sample, as text."""
    table = read_table(dataset, columns).take(places) if columns else None
    return {} if table is None else {column: as_texts(table[column], column) for column in columns}


def _singles(rows: ExplainedRows, count: int, method: str, seed: int) -> dict[int, Surrogate | None]:
    """Return the rows to explain one by one, spread from the lowest output to the highest, with LIME's explanation."""
    import numpy

    order = numpy.argsort(rows.explained_output, kind="stable")
    places = numpy.unique(numpy.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return {int(row): _surrogate(rows, int(row), seed) if method == LIME else None for row in order[places]}


def _surrogate(rows: ExplainedRows, row: int, seed: int) -> Surrogate:
    def function(frame: pandas.DataFrame) -> ndarray:
        outputs = rows.function(frame)
        return outputs if outputs.ndim == 1 else outputs[:, rows.chosen[row]]

    return explain_record(function, rows.frame, row, seed)


def _words(rows: ExplainedRows, target: str) -> list[str]:
    """Return each row's prediction as words."""
    values = rows.explained_output.tolist()
    if rows.meaning["task"] == REGRESSION:
        return [f"{target} {number(value, 3)}" for value in values]
    classes = rows.meaning["classes"]
    return [f"{value:.1%} for {target} = {classes[place]}" for value, place in zip(values, rows.chosen, strict=True)]


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
