"""Judge a dataset by its schema and by how far each feature has moved from a baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kfp_hallmark.components.data.validate_dataset.features import (
    Drift,
    Feature,
    as_numbers,
    chance_level,
    describe,
    drift,
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
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import writing
from kfp_hallmark.contracts.verdict import Check, Status, Verdict, judge
from kfp_hallmark.errors import InputError
from kfp_hallmark.reports import number, write_page

COLUMNS_AT_ONCE = 16
"""How many columns are held in memory at once; a file is opened once for so many."""


def validate(
    dataset: Artifact,
    baseline: Artifact | None,
    schema_uri: str | None,
    excluded_columns: Sequence[str],
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
        IntegrityError: If the dataset or the baseline was changed since it was written.
    """
    import pyarrow_hotfix  # noqa: F401  pyarrow 10 runs code from untrusted files without it
    from google.protobuf import text_format

    _check_limits(max_stable_psi, max_psi, min_rows)
    subjects = {"dataset": artifact_digest(verified(dataset, "dataset"))}
    if baseline is not None:
        subjects["baseline"] = artifact_digest(verified(baseline, "baseline"))
    names = _judged_columns(dataset, excluded_columns)
    reference = [] if baseline is None else [name for name in _names(baseline) if name not in excluded_columns]
    found = compute_statistics(dataset.path, names)
    applied, origin = _schema(dataset, names, baseline, reference, schema_uri, found)
    features, before, moves = _features(dataset, names, baseline, reference)
    rows = found.datasets[0].num_examples
    checks = row_checks(rows, before[0].rows if before else None, min_rows)
    enough = all(check.status is Status.PASS for check in checks)
    anomalies = [each for each in find_anomalies(found, applied) if each.feature not in excluded_columns]
    checks += schema_checks(anomalies, names, origin)
    checks += content_checks(features)
    checks += drift_checks(moves, max_stable_psi, max_psi, rows) if enough else []
    parameters = {
        "max_stable_psi": max_stable_psi,
        "max_psi": max_psi,
        "min_rows": min_rows,
        "schema": origin,
        "excluded_columns": list(excluded_columns),
    }
    result = Verdict("validate_dataset", subjects, checks, parameters)
    chance = chance_level(before[0].rows, rows) if before else None
    document = render(Judged(result, features, before, moves, applied, max_stable_psi, max_psi, chance))
    with writing(statistics.path) as temporary:
        temporary.write_bytes(found.SerializeToString(deterministic=True))
    with writing(schema.path) as temporary:
        temporary.write_text(text_format.MessageToString(applied), encoding="utf-8")
    write_page(report.path, document)
    result.store(verdict)
    return (str(result.status),)


def _check_limits(max_stable_psi: float, max_psi: float, min_rows: int) -> None:
    if not (math.isfinite(max_stable_psi) and max_stable_psi >= 0):
        raise InputError(f"max_stable_psi must be 0 or above; got {max_stable_psi}.")
    if not (math.isfinite(max_psi) and max_psi >= max_stable_psi):
        raise InputError(f"max_psi must be at least max_stable_psi, {max_stable_psi}; got {max_psi}.")
    if min_rows < 1:
        raise InputError(f"min_rows must be 1 or above; got {min_rows}.")


def _names(dataset: Artifact) -> list[str]:
    return read_schema(dataset.path).names


def _judged_columns(dataset: Artifact, excluded: Sequence[str]) -> list[str]:
    """Return the columns to judge.

    Raises:
        InputError: If an excluded column is absent, or none is left.
    """
    names = _names(dataset)
    for column in excluded:
        require_column(column, names, "excluded_columns")
    left = [name for name in names if name not in excluded]
    if not left:
        raise InputError(f"excluded_columns must leave a column to judge; got all {len(names)}.")
    return left


def _schema(
    dataset: Artifact,
    names: Sequence[str],
    baseline: Artifact | None,
    reference: Sequence[str],
    schema_uri: str | None,
    found: object,
) -> tuple[object, str]:
    """Return the schema to apply, and where it is from, as a reader says it."""
    import pyarrow

    if schema_uri is not None:
        return load_schema(schema_uri), "given"
    path, columns = (dataset.path, names) if baseline is None else (baseline.path, reference)
    schema = read_schema(path)
    booleans = [name for name in columns if pyarrow.types.is_boolean(schema.field(name).type)]
    if baseline is None:
        return infer_schema(found, booleans), "inferred from the dataset itself"
    return infer_schema(compute_statistics(path, columns), booleans), "inferred from the baseline"


def _features(
    dataset: Artifact, names: Sequence[str], baseline: Artifact | None, reference: Sequence[str]
) -> tuple[list[Feature], list[Feature], list[Drift]]:
    """Return what the columns of the dataset hold, those of the baseline, and the drift of those they share."""
    shared = set(names) & set(reference)
    features, before, moves = [], [], []
    for start in range(0, len(names), COLUMNS_AT_ONCE):
        block = names[start : start + COLUMNS_AT_ONCE]
        table = read_table(dataset.path, block)
        known = [name for name in block if name in shared]
        former = read_table(baseline.path, known) if baseline is not None else None
        for name in block:
            column = as_numbers(table[name])
            features.append(describe(name, type_name(table[name].type), column))
            if former is None or name not in shared:
                continue
            expected = as_numbers(former[name])
            before.append(describe(name, type_name(former[name].type), expected))
            move = drift(name, expected, column)
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
            message=f"The {side} has {count:,} rows"
            + ("." if count >= min_rows else f", too few to judge drift by (min_rows {min_rows:,})."),
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


def drift_checks(moves: Sequence[Drift], max_stable_psi: float, max_psi: float, rows: int) -> list[Check]:
    """Return a check for how far each feature has moved."""
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
