"""Checks of a dataset by itself: its rows, its schema, and what its columns hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kfp_hallmark.components.data.validate_dataset.comparison import WORDS, fitting
from kfp_hallmark.components.data.validate_dataset.features import Feature
from kfp_hallmark.components.data.validate_dataset.page import duration
from kfp_hallmark.components.data.validate_dataset.schema import Anomaly
from kfp_hallmark.contracts.verdict import Check, Status


def row_checks(sizes: Mapping[str, int], min_rows: int) -> list[Check]:
    """Return whether there are rows enough to judge by, on each side."""
    return [
        Check(
            "rows",
            Status.PASS if count >= min_rows else Status.INCONCLUSIVE,
            observed=count,
            minimum=min_rows,
            samples=count,
            scope={"side": side},
            message=f"The {WORDS.get(side, side)} has {count:,} rows"
            + ("." if count >= min_rows else f", too few to judge drift by (min_rows {min_rows:,})."),
        )
        for side, count in sizes.items()
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
    fits = fitting(names, {anomaly.feature for anomaly in anomalies})
    message = f"{fits} of {len(names)} features fit the schema, which was {origin}."
    return [*checks, Check("schema", Status.PASS, observed=fits, message=message)]


def content_checks(features: Sequence[Feature], limited: Collection[str] = ()) -> list[Check]:
    """Return a check for every feature that holds infinities, nothing, one value only, or times with an odd gap.

    Args:
        features: What the columns hold.
        limited: The columns whose gaps the contract limits; these are judged by it.
    """
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
        if feature.gap is not None and feature.gap.odd and feature.name not in limited:
            longest, usual = duration(feature.gap.longest), duration(feature.gap.usual)
            message = f"{feature.name} has a gap of {longest}; 99 % of the others are {usual} at most."
            checks.append(Check("time_gap", Status.WARN, feature.gap.longest, message=message, **about))
    return checks
