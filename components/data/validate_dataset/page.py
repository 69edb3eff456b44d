"""The report on a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kfp_hallmark.components.data.validate_dataset.features import (
    BINS,
    CATEGORIES,
    EMPTY_SHARE,
    FREQUENT_ROWS,
    FREQUENT_SHARE,
    Drift,
    Feature,
)
from kfp_hallmark.components.data.validate_dataset.schema import TOLERANCE
from kfp_hallmark.contracts.verdict import Status, Verdict
from kfp_hallmark.reports import (
    Markup,
    bars,
    check_table,
    figure,
    number,
    page,
    paragraph,
    section,
    table,
    verdict_facts,
)

SHOWN = 40
"""How many features the chart shows, the worst first."""
PSI = "population_stability_index"
CONTENT = ("infinite_values", "missing_values", "distinct_values")


@dataclass(frozen=True)
class Judged:
    """What the report is about.

    Attributes:
        verdict: The verdict.
        features: What the dataset's columns hold.
        before: What the baseline's hold.
        moves: The drift of the features, the worst first.
        schema: The TFDV schema that was applied.
        max_stable_psi: Greatest PSI of a stable feature.
        max_psi: Greatest PSI that does not fail.
        chance: The PSI that ten bins of stable data stay below in 95 of 100 cases; None without a baseline.
    """

    verdict: Verdict
    features: Sequence[Feature]
    before: Sequence[Feature]
    moves: Sequence[Drift]
    schema: Any
    max_stable_psi: float
    max_psi: float
    chance: float | None


def render(judged: Judged) -> str:
    """Return the report as a whole HTML document."""
    verdict = judged.verdict
    others = [check for check in verdict.checks if check.name != PSI]
    return page(
        "Dataset validation",
        verdict_facts(verdict),
        section("Drift from the baseline", *_drift(judged)),
        section("Schema and content", check_table(others)),
        section("Features", _features(judged)),
        section("Schema", *_schema(judged)),
        status=verdict.status,
        lead=lead(judged),
    )


def lead(judged: Judged) -> str:
    """Return what came out, in a sentence or two."""
    rows = judged.features[0].rows if judged.features else 0
    told = [f"{rows:,} rows, {len(judged.features)} features."]
    if judged.moves:
        counts = Counter(_statuses(judged).values())
        words = {Status.PASS: "stable", Status.WARN: "moved", Status.FAIL: "moved far", Status.INCONCLUSIVE: "unclear"}
        told.append("Against the baseline: " + ", ".join(f"{counts[s]} {words[s]}" for s in words if s in counts) + ".")
    wrong = sum(check.name == "schema_anomaly" for check in judged.verdict.checks)
    told.append("Everything fits the schema." if not wrong else f"Not fitting the schema: {wrong}.")
    odd = [check for check in judged.verdict.checks if check.name in CONTENT]
    told.extend(check.message for check in odd if check.status is Status.FAIL)
    excluded = judged.verdict.parameters["excluded_columns"]
    warnings = sum(check.status is Status.WARN for check in odd)
    if warnings:
        told.append(f"Constant or empty: {warnings}.")
    if excluded:
        told.append(f"Not judged: {', '.join(excluded)}.")
    return " ".join(told)


def _statuses(judged: Judged) -> dict[str, Status]:
    """Return the status of each feature that was compared; inconclusive when there are too few rows to judge."""
    found = {check.scope["feature"]: check.status for check in judged.verdict.checks if check.name == PSI}
    return {move.feature: found.get(move.feature, Status.INCONCLUSIVE) for move in judged.moves}


def _drift(judged: Judged) -> list[Markup]:
    if not judged.moves:
        return [paragraph("No baseline was given, so nothing is said about drift.")]
    statuses = _statuses(judged)
    shown = judged.moves[:SHOWN]
    chart = bars(
        "Population stability index of each feature",
        [(move.feature, round(move.psi, 4), str(statuses[move.feature])) for move in shown],
        [judged.max_stable_psi, judged.max_psi],
    )
    left_out = f" The {len(judged.moves) - SHOWN} that moved least are not drawn." if len(judged.moves) > SHOWN else ""
    caption = (
        "Population stability index (PSI) of each feature, the one that moved most first. Dashed: "
        f"{judged.max_stable_psi:g}, up to which a feature is stable, and {judged.max_psi:g}, above which it fails."
        f"{left_out}"
    )
    grouped = [move.feature for move in judged.moves if move.grouped]
    parts = [figure(chart, caption), paragraph(_method(judged), note=True)]
    if grouped:
        text = (
            f"Of more than {CATEGORIES} categories, those that are rare in the baseline (below {FREQUENT_SHARE:.0%} of "
            f"its rows, or below {FREQUENT_ROWS} rows) are taken together: {', '.join(grouped)}."
        )
        parts.append(paragraph(text, note=True))
    return parts


def _method(judged: Judged) -> str:
    return (
        "PSI is the sum of (a - e) ln(a / e) over bins, a the dataset's share and e the baseline's. "
        f"Numbers: {BINS} bins of equal frequency in the baseline. Text, booleans, integers with at most "
        f"{CATEGORIES} distinct values and other numbers with at most {BINS}: each value is a bin. "
        f"Missing values are a bin. An empty bin counts as a share of {EMPTY_SHARE}. "
        f"With so many rows, all independent, chance alone moves a feature of {BINS} bins by up to "
        f"{number(judged.chance, 2)} in 95 of 100 cases."
    )


def _features(judged: Judged) -> Markup:
    before = {feature.name: feature for feature in judged.before}
    rows = []
    for feature in judged.features:
        old = before.get(feature.name)
        rows.append(
            [
                feature.name,
                feature.type,
                _percent(feature.missing, feature.rows),
                feature.distinct,
                feature.mean,
                *([_percent(old.missing, old.rows), old.distinct, old.mean] if old else [None, None, None]),
            ]
        )
    columns = ["Feature", "Type", "Missing %", "Distinct", "Mean", "Baseline: missing %", "Distinct", "Mean"]
    width = len(columns) if judged.before else 5
    return table(columns[:width], [row[:width] for row in rows])


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _schema(judged: Judged) -> list[Markup]:
    from tensorflow_metadata.proto.v0 import schema_pb2

    sizes = {domain.name: len(domain.value) for domain in judged.schema.string_domain}
    types = schema_pb2.FeatureType
    rows = [
        [
            feature.name,
            types.Name(feature.type).lower().replace("bytes", "text"),
            f"{feature.presence.min_fraction:.0%}" if feature.presence.min_fraction else None,
            _domain(feature, sizes),
        ]
        for feature in judged.schema.feature
    ]
    parts = [table(["Feature", "Type", "Present in at least", "Domain"], rows)]
    origin = judged.verdict.parameters["schema"]
    if origin != "given":
        text = f"The schema was {origin}: up to {TOLERANCE:.0%} of the rows may lack a value or hold a new category."
        parts.append(paragraph(text, note=True))
    return parts


def _domain(feature: Any, sizes: dict[str, int]) -> str | None:
    if feature.HasField("bool_domain"):
        return "true or false"
    if feature.HasField("domain"):
        return f"{sizes.get(feature.domain, 0)} categories"
    return None
