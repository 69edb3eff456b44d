"""Screen a training dataset for traces of poisoning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.screen_poisoning.checks import Found, checks_of, size_checks, unknown_checks
from kfp_hallmark.components.data.screen_poisoning.duplicates import find_conflicts
from kfp_hallmark.components.data.screen_poisoning.encoding import Columns, encode
from kfp_hallmark.components.data.screen_poisoning.labels import Labels, read_labels
from kfp_hallmark.components.data.screen_poisoning.limits import (
    CONFLICTS,
    ISSUE_INCREASE,
    ISSUES,
    NOISE,
    NOISE_INCREASE,
    SHIFT,
    TRIGGER,
    Measure,
    read_limits,
)
from kfp_hallmark.components.data.screen_poisoning.models import out_of_fold
from kfp_hallmark.components.data.screen_poisoning.page import poisoning_page
from kfp_hallmark.components.data.screen_poisoning.regions import find_regions
from kfp_hallmark.components.data.screen_poisoning.suspicion import find_suspects
from kfp_hallmark.components.data.screen_poisoning.triggers import find_triggers
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_schema, require_column, write_table
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.errors import InputError
from kfp_hallmark.reports import number, write_page

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray

GATE = "screen_poisoning"


def screen_dataset(
    dataset: Artifact,
    baseline: Artifact | None,
    verdict: Artifact,
    report: Artifact,
    suspects: Artifact,
    target: str,
    limits: Mapping[str, float] | None,
    excluded_columns: Sequence[str],
    min_rows: int,
    min_class_rows: int,
    confidence: float,
    seed: int,
) -> tuple[str]:
    """Write a verdict, a report and the rows under suspicion, and return the status; see the component.

    Raises:
        MissingInputError: If there is no dataset, or no baseline where one is given.
        InputError: If a column, a limit or a setting cannot be used.
        IntegrityError: If the dataset or the baseline was changed since it was written.
    """
    wanted = read_limits(limits, baseline is not None)
    _require_settings(min_rows, min_class_rows, confidence, seed)
    path = verified(dataset, "dataset")
    paths = [path] if baseline is None else [path, verified(baseline, "baseline")]
    features = _features(paths, target, excluded_columns)
    labels = read_labels(paths, target, min_class_rows, seed)
    columns = encode(features, [(side.path, side.rows) for side in labels.sides])
    reason = _too_little(labels, columns, min_rows)
    if reason is None:
        found = look(columns, labels, wanted, confidence, seed)
        checks = checks_of(found, wanted, confidence)
    else:
        found = Found(len(labels.sides[0].rows), labels.classes, columns)
        checks = unknown_checks(wanted, found.rows, reason)
    parameters = {
        "target": target,
        "limits": {measure.limit: limit for measure, limit in wanted.items()},
        "excluded_columns": list(excluded_columns),
        "min_rows": min_rows,
        "min_class_rows": min_class_rows,
        "confidence": confidence,
        "seed": seed,
    }
    digests = [artifact_digest(each) for each in paths]
    subjects = dict(zip(["dataset", "baseline"], digests, strict=False))
    judged = Verdict(GATE, subjects, [*size_checks(labels.small, min_class_rows), *checks], parameters)
    rows = suspicious_rows(labels, columns, found, wanted)
    document = poisoning_page(judged, labels, found, wanted, rows.num_rows)
    judged.store(verdict)
    suspects.metadata["digest"] = write_table(suspects.path, rows, {"lineage": digests})
    write_page(report.path, document)
    return (str(judged.status),)


def _require_settings(min_rows: int, min_class_rows: int, confidence: float, seed: int) -> None:
    for name, value, least in (("min_rows", min_rows, 100), ("min_class_rows", min_class_rows, 10)):
        if value < least:
            raise InputError(f"{name} must be at least {least}; got {value}.")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be above 0 and below 1; got {confidence}.", "For 95 %, give 0.95.")
    require_seed(seed)


def _features(paths: Sequence[str], target: str, excluded: Sequence[str]) -> list[str]:
    """Return the columns by which rows are compared: all but the target and the excluded ones."""
    names = read_schema(paths[0]).names
    require_column(target, names, "target")
    for column in excluded:
        require_column(column, names, "excluded_columns")
    features = [name for name in names if name != target and name not in excluded]
    if not features:
        raise InputError("The dataset must hold a feature beside the target and excluded_columns; got none.")
    for path in paths[1:]:
        known = set(read_schema(path).names)
        absent = [name for name in [target, *features] if name not in known]
        if absent:
            more = f" and {number(len(absent) - 1)} more" if len(absent) > 1 else ""
            raise InputError(f"The baseline must hold the columns of the dataset; it lacks {absent[0]!r}{more}.")
    return features


def _too_little(labels: Labels, columns: Columns, min_rows: int) -> str | None:
    """Return why the data cannot be screened, if so."""
    for name, side in zip(("dataset", "baseline"), labels.sides, strict=False):
        if len(side.rows) < min_rows:
            return f"the {name} has {number(len(side.rows))} rows to judge by, fewer than {number(min_rows)}."
    if len(labels.classes) < 2:
        return "fewer than two classes have enough rows."
    return None if columns.names else "every feature has the same value in all rows."


def look(columns: Columns, labels: Labels, wanted: Mapping[Measure, float], confidence: float, seed: int) -> Found:
    """Return what there is to find of what has a limit."""
    here, classes = labels.sides[0].labels, len(labels.classes)
    former = labels.sides[1].labels if len(labels.sides) > 1 else None
    suspects = before = conflicts = patterns = regions = None
    if wanted.keys() & {NOISE, NOISE_INCREASE, ISSUES, ISSUE_INCREASE, CONFLICTS}:
        told = out_of_fold(columns.codes, columns.texts, here, classes, seed)
        suspects = find_suspects(here, told)
        conflicts = find_conflicts(columns.keys, here, told, confidence)
    if wanted.keys() & {NOISE_INCREASE, ISSUE_INCREASE} and former is not None:
        before = find_suspects(former, out_of_fold(columns.baseline, columns.texts, former, classes, seed))
    if TRIGGER in wanted:
        patterns = find_triggers(columns, here, former, classes, wanted[TRIGGER], seed)
    if SHIFT in wanted and former is not None:
        regions = find_regions(columns, here, former, classes, seed)
    return Found(len(here), labels.classes, columns, suspects, before, conflicts, patterns, regions)


def suspicious_rows(labels: Labels, columns: Columns, found: Found, wanted: Mapping[Measure, float]) -> pyarrow.Table:
    """Return the rows under suspicion: their positions, by which check, with which score, in which finding."""
    import numpy as np
    import pyarrow

    side = labels.sides[0]
    parts: list[tuple[str, ndarray, ndarray, int | None]] = []
    if found.suspects is not None:
        parts.append((ISSUES.name, found.suspects.wrong, found.suspects.scores, None))
    if found.conflicts is not None:
        parts.append((CONFLICTS.name, found.conflicts.shares > 0.5, found.conflicts.shares, None))
    for place, pattern in enumerate(found.triggers(wanted.get(TRIGGER, 1.0)), 1):
        members = pattern.among(columns.codes) & (side.labels == pattern.label)
        parts.append((TRIGGER.name, members, np.full(found.rows, pattern.strength), place))
    for place, region in enumerate(found.shifted(wanted.get(SHIFT, SHIFT.greatest)), 1):
        parts.append((SHIFT.name, region.members, np.full(found.rows, abs(region.shift)), place))
    schema = pyarrow.schema(
        [
            ("row", pyarrow.int64()),
            ("check", pyarrow.string()),
            ("score", pyarrow.float64()),
            ("finding", pyarrow.int32()),
        ]
    )
    tables = []
    for name, members, scores, finding in parts:
        places = np.flatnonzero(members)
        places = places[np.argsort(-scores[places], kind="stable")]
        cells = [side.rows[places], [name] * len(places), scores[places].astype(float), [finding] * len(places)]
        tables.append(
            pyarrow.table(
                [pyarrow.array(each, kind) for each, kind in zip(cells, schema.types, strict=True)], schema=schema
            )
        )
    return pyarrow.concat_tables(tables) if tables else schema.empty_table()
