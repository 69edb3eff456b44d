"""Write a model card from what was measured and from what a person says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.governance.write_model_card.cyclonedx import bill_of_materials
from kfp_hallmark.components.governance.write_model_card.fields import FIELDS
from kfp_hallmark.components.governance.write_model_card.page import html_card, markdown_card
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.decision import Decision
from kfp_hallmark.contracts.digest import artifact_digest, file_digest
from kfp_hallmark.contracts.documents import now, write_json, writing
from kfp_hallmark.contracts.importances import Importances
from kfp_hallmark.contracts.model import Lineage, lineage, read_model_file
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions, read_predictions
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.errors import InputError, IntegrityError
from kfp_hallmark.measures import Interval, bootstrap_intervals, measure, metrics_for, require_resampling
from kfp_hallmark.modeling.columns import Column, signature_of
from kfp_hallmark.reports import write_page
from kfp_hallmark.statement import Statement, read_statement

if TYPE_CHECKING:
    from numpy import ndarray

GROUP_METRICS = {
    BINARY: ("accuracy", "precision", "recall"),
    MULTICLASS: ("accuracy", "balanced_accuracy", "f1_macro"),
    REGRESSION: ("r2", "mean_absolute_error", "root_mean_squared_error"),
}
"""What is told of each group."""
MAX_GROUPS = 100
"""A column with more values than this does not name groups."""
MISSING = "(missing)"


@dataclass(frozen=True)
class Measured:
    """A metric of some rows.

    Attributes:
        name: The metric.
        value: Its value; None where it is undefined.
        interval: Its confidence interval, or None.
    """

    name: str
    value: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Group:
    """The rows with one value of a column.

    Attributes:
        column: The column.
        value: The value, as text.
        rows: The number of rows.
        metrics: What was measured; empty when the rows are too few.
    """

    column: str
    value: str
    rows: int
    metrics: tuple[Measured, ...]


@dataclass(frozen=True)
class Card:
    """All that a card tells.

    Attributes:
        model: The model's digest.
        origin: What the model says that it was made from.
        inputs: The columns that it takes.
        predictions: What it said of the data it was measured on.
        metrics: Its metrics on them.
        groups: Its metrics on groups of them.
        min_group_size: The fewest rows of a group whose metrics are told.
        confidence: Confidence level of the intervals.
        decision: Whether it may be released; None when nothing was decided.
        verdicts: What its gates found.
        importances: How much each feature moves its predictions; None when absent.
        statement: What a person said.
        created: When the card was written, ISO 8601 in UTC.
    """

    model: str
    origin: Lineage
    inputs: tuple[Column, ...]
    predictions: Predictions
    metrics: tuple[Measured, ...]
    groups: tuple[Group, ...]
    min_group_size: int
    confidence: float
    decision: Decision | None
    verdicts: tuple[Verdict, ...]
    importances: Importances | None
    statement: Statement
    created: str


def write_card(
    model: Artifact,
    predictions: Artifact,
    dataset: Artifact,
    card: Artifact,
    markdown: Artifact,
    cyclonedx: Artifact,
    decision: Artifact | None,
    importances: Artifact | None,
    statement_uri: str | None,
    group_columns: Sequence[str],
    min_group_size: int,
    bootstrap_samples: int,
    confidence: float,
    seed: int,
) -> tuple[int]:
    """Write a model card in three forms, and return how much is missing; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If the statement or a setting cannot be used.
        IntegrityError: If an input is about another model or other data, or was changed since it was written.
    """
    require_seed(seed)
    require_resampling(bootstrap_samples, confidence)
    if min_group_size < 1:
        raise InputError(f"min_group_size must be at least 1; got {min_group_size}.")
    statement = read_statement(statement_uri, FIELDS)
    digest = artifact_digest(verified(model, "model"))
    given = read_predictions(verified(predictions, "predictions"), verified(dataset, "dataset"))
    _require_model(given.model, digest, "predictions")
    decided = None if decision is None else Decision.read(decision.path, decision.metadata.get("digest"))
    if decided:
        _require_model(decided.model.digest, digest, "decision")

    def measured(rows: ndarray | None, names: Sequence[str]) -> tuple[Measured, ...]:
        values = measure(given, rows)
        spans = bootstrap_intervals(given, names, bootstrap_samples, confidence, seed, rows)
        return tuple(Measured(name, values[name], spans[name]) for name in names)

    groups = [
        Group(
            column, value, len(rows), measured(rows, GROUP_METRICS[given.task]) if len(rows) >= min_group_size else ()
        )
        for column in dict.fromkeys(group_columns)
        for value, rows in _groups(dataset.path, column)
    ]
    told = Card(
        model=digest,
        origin=lineage(model.path),
        inputs=signature_of(read_model_file(model.path)),
        predictions=given,
        metrics=measured(None, [metric.name for metric in metrics_for(given.task)]),
        groups=tuple(groups),
        min_group_size=min_group_size,
        confidence=confidence,
        decision=decided,
        verdicts=_verdicts(decision, decided),
        importances=_importances(importances, digest),
        statement=statement,
        created=now(),
    )
    page, text, bom = html_card(told), markdown_card(told), bill_of_materials(told)
    write_page(card.path, page)
    with writing(markdown.path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_json(cyclonedx.path, bom)
    cyclonedx.metadata |= {"digest": artifact_digest(cyclonedx.path), "model_digest": digest}
    return (len(statement.missing),)


def _require_model(found: str, wanted: str, what: str) -> None:
    if found != wanted:
        raise IntegrityError(f"The {what} must be about the model given, {wanted}; got {found}.")


def _verdicts(decision: Artifact | None, decided: Decision | None) -> tuple[Verdict, ...]:
    """Return the verdicts that a decision holds, those that could be read."""
    if decision is None or decided is None:
        return ()
    found = []
    for entry in decided.evidence:
        if entry.digest is None:
            continue
        file = Path(decision.path) / entry.file
        if not file.is_file() or file_digest(file) != entry.digest:
            raise IntegrityError(f"The evidence must be what was decided on; {entry.file} is not.")
        try:
            found.append(Verdict.read(file))
        except IntegrityError:
            continue
    return tuple(found)


def _importances(importances: Artifact | None, digest: str) -> Importances | None:
    if importances is None:
        return None
    found = Importances.read(verified(importances, "importances"))
    _require_model(found.model, digest, "importances")
    return found


def _groups(dataset: str, column: str) -> list[tuple[str, ndarray]]:
    """Return each value of a column as text, with the positions of its rows; missing ones are last.

    Raises:
        InputError: If the column is absent or has too many values.
    """
    import numpy as np

    require_column(column, read_schema(dataset).names, "group_columns")
    encoded = read_table(dataset, [column])[column].combine_chunks().dictionary_encode(null_encoding="encode")
    values = encoded.dictionary.to_pylist()
    if len(values) > MAX_GROUPS:
        raise InputError(
            f"The group column {column!r} must have at most {MAX_GROUPS} values; got {len(values):,}.",
            "Bin it into a few groups, in a column of its own.",
        )
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    missing = [place for place, value in enumerate(values) if value is None or value != value]
    known = sorted((place for place in range(len(values)) if place not in missing), key=lambda place: values[place])
    found = [(_text(values[place]), np.flatnonzero(codes == place)) for place in known]
    return [*found, (MISSING, np.flatnonzero(np.isin(codes, missing)))] if missing else found


def _text(value: Any) -> str:
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
