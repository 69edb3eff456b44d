"""Judge a dataset by its schema and by how far each feature has moved from a baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kfp_hallmark.components.data.validate_dataset.features import (
    Drift,
    Feature,
    chance_level,
    describe,
    drift,
    read_column,
    type_name,
)
from kfp_hallmark.components.data.validate_dataset.page import Judged, render
from kfp_hallmark.components.data.validate_dataset.schema import (
    Anomaly,
    compute_statistics,
    find_anomalies,
    infer_schema,
    load_schema,
)
from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.dataset import read_schema
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import writing
from kfp_hallmark.contracts.verdict import Check, Status, Verdict, judge
from kfp_hallmark.errors import InputError
from kfp_hallmark.reports import number, write_page


def validate(
    dataset: Artifact,
    baseline: Artifact | None,
    schema_uri: str | None,
    max_stable_psi: float,
    max_psi: float,
    min_rows: int,
    verdict: Artifact,
    report: Artifact,
    statistics: Artifact,
    schema: Artifact,
) -> tuple[str]:
    """Write a verdict, a report, statistics and the schema, and return the status; see the component.

    Raises:
        MissingInputError: If the dataset, the baseline or the schema is not there.
        InputError: If one of them cannot be read, or a limit is out of range.
    """
    import pyarrow_hotfix  # noqa: F401  pyarrow 10 runs code from untrusted files without it
    from google.protobuf import text_format

    _check_limits(max_stable_psi, max_psi, min_rows)
    subjects = {"dataset": artifact_digest(dataset.path)}
    if baseline is not None:
        subjects["baseline"] = artifact_digest(baseline.path)
    found = compute_statistics(dataset.path)
    applied, origin = _schema(dataset, baseline, schema_uri, found)
    features, before, moves = _features(dataset, baseline)
    rows = found.datasets[0].num_examples
    checks = row_checks(rows, before[0].rows if before else None, min_rows)
    enough = all(check.status is Status.PASS for check in checks)
    checks += schema_checks(find_anomalies(found, applied), [feature.name for feature in features], origin)
    checks += content_checks(features)
    checks += drift_checks(moves, max_stable_psi, max_psi, rows, enough)
    parameters = {"max_stable_psi": max_stable_psi, "max_psi": max_psi, "min_rows": min_rows, "schema": origin}
    result = Verdict("validate_dataset", subjects, checks, parameters)
    chance = chance_level(before[0].rows, rows) if before else None
    document = render(Judged(result, features, before, moves, applied, max_stable_psi, max_psi, chance))
    with writing(statistics.path) as temporary:
        temporary.write_bytes(found.SerializeToString(deterministic=True))
    with writing(schema.path) as temporary:
        temporary.write_text(text_format.MessageToString(applied), encoding="utf-8")
    write_page(report.path, document)
    result.write(verdict.path)
    return (str(result.status),)


def _check_limits(max_stable_psi: float, max_psi: float, min_rows: int) -> None:
    if not (math.isfinite(max_stable_psi) and max_stable_psi >= 0):
        raise InputError(f"max_stable_psi must be 0 or above; got {max_stable_psi}.")
    if not (math.isfinite(max_psi) and max_psi >= max_stable_psi):
        raise InputError(f"max_psi must be at least max_stable_psi, {max_stable_psi}; got {max_psi}.")
    if min_rows < 1:
        raise InputError(f"min_rows must be 1 or above; got {min_rows}.")


def _schema(dataset: Artifact, baseline: Artifact | None, schema_uri: str | None, found: object) -> tuple[object, str]:
    """Return the schema to apply, and where it is from, as a reader says it."""
    import pyarrow

    if schema_uri is not None:
        return load_schema(schema_uri), "given"
    path = dataset.path if baseline is None else baseline.path
    booleans = [field.name for field in read_schema(path) if pyarrow.types.is_boolean(field.type)]
    if baseline is None:
        return infer_schema(found, booleans), "inferred from the dataset itself"
    return infer_schema(compute_statistics(baseline.path), booleans), "inferred from the baseline"


def _features(dataset: Artifact, baseline: Artifact | None) -> tuple[list[Feature], list[Feature], list[Drift]]:
    """Return what the columns of the dataset hold, those of the baseline, and the drift of those they share."""
    schema = read_schema(dataset.path)
    reference = {} if baseline is None else {field.name: field.type for field in read_schema(baseline.path)}
    features, before, moves = [], [], []
    for field in schema:
        column = read_column(dataset.path, field.name)
        features.append(describe(field.name, type_name(field.type), column))
        if baseline is None or field.name not in reference:
            continue
        expected = read_column(baseline.path, field.name)
        before.append(describe(field.name, type_name(reference[field.name]), expected))
        move = drift(field.name, expected, column)
        if move is not None:
            moves.append(move)
    return features, before, sorted(moves, key=lambda move: -move.psi)


def row_checks(rows: int, baseline_rows: int | None, min_rows: int) -> list[Check]:
    """Return whether there are rows enough to judge by, on each side."""
    sides = {"dataset": rows} | ({} if baseline_rows is None else {"baseline": baseline_rows})
    return [
        Check(
            "rows",
            Status.PASS if count >= min_rows else Status.INCONCLUSIVE,
            observed=count,
            minimum=min_rows,
            samples=count,
            scope={"side": side},
            message=f"The {side} has {count:,} rows" + ("." if count >= min_rows else ", too few to judge drift by."),
        )
        for side, count in sides.items()
    ]


def schema_checks(anomalies: Sequence[Anomaly], names: Sequence[str], origin: str) -> list[Check]:
    """Return a check for everything that does not fit the schema, and one that says how many features do."""
    checks = [
        Check(
            "schema_anomaly",
            anomaly.status,
            scope={"feature": anomaly.feature} if anomaly.feature is not None else {},
            message=f"{anomaly.feature or 'The dataset'} does not fit the schema: {', '.join(anomaly.reasons)}.",
        )
        for anomaly in sorted(anomalies, key=lambda anomaly: anomaly.feature or "")
    ]
    fitting = len(set(names) - {anomaly.feature for anomaly in anomalies})
    message = f"{fitting} of {len(names)} features fit the schema, which was {origin}."
    return [*checks, Check("schema", Status.PASS, observed=fitting, message=message)]


def content_checks(features: Sequence[Feature]) -> list[Check]:
    """Return a check for every feature that holds infinities, nothing, or one value only."""
    checks = []
    for feature in features:
        about = {"samples": feature.rows, "scope": {"feature": feature.name}}
        if feature.infinite:
            message = f"{feature.name} holds infinity in {feature.infinite:,} of {feature.rows:,} rows."
            checks.append(
                Check("infinite_values", Status.FAIL, observed=feature.infinite, maximum=0, message=message, **about)
            )
        if feature.rows and feature.missing == feature.rows:
            checks.append(Check("missing_values", Status.WARN, 1.0, message=f"{feature.name} holds no value.", **about))
        elif feature.distinct == 1 and not feature.missing and feature.rows > 1:
            message = f"{feature.name} holds the same value in every row."
            checks.append(Check("distinct_values", Status.WARN, 1, message=message, **about))
    return checks


def drift_checks(moves: Sequence[Drift], max_stable_psi: float, max_psi: float, rows: int, enough: bool) -> list[Check]:
    """Return a check for how far each feature has moved; inconclusive when there are too few rows."""
    checks = []
    for move in moves:
        status = judge(move.psi, maximum=max_psi)
        if status is Status.PASS and move.psi > max_stable_psi:
            status = Status.WARN
        word = {Status.PASS: "is stable", Status.WARN: "has moved", Status.FAIL: "has moved far"}[status]
        limit = {Status.PASS: "", Status.WARN: f", above {max_stable_psi:g}", Status.FAIL: f", above {max_psi:g}"}
        message = f"{move.feature} {word}: PSI {number(move.psi, 3)}{limit[status]}."
        if move.bins == 1:
            message = f"{move.feature} offers nothing to compare: all of its values share one bin."
        if not enough:
            status, message = Status.INCONCLUSIVE, f"Too few rows to tell whether {move.feature} has moved."
        checks.append(
            Check(
                "population_stability_index",
                status,
                observed=move.psi,
                maximum=max_psi,
                samples=rows,
                scope={"feature": move.feature},
                message=message,
            )
        )
    return checks
