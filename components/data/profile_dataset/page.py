"""The page that describes a dataset. It tells no least and greatest values and no texts, which are single records'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from kfp_hallmark.profiles.profile import Column, Profile
from kfp_hallmark.reports import (
    Markup,
    bars,
    code,
    facts,
    figure,
    number,
    page,
    paragraph,
    section,
    sparkline,
    table,
)

SHOWN = 500
"""How many columns of each kind are told."""
DRAWN = 40
"""How many columns the chart of missing values shows, the worst first."""
PERCENTILE_ROWS = 100
"""How many values a column must have for its percentiles to be told: of fewer they would be single records'."""
RANKS = 40
"""How many of the most frequent texts are drawn."""


def render(statistics: Any, profile: Profile, slices: Sequence[Any]) -> str:
    """Return the page as a whole HTML document.

    Args:
        statistics: DatasetFeatureStatistics of all rows.
        profile: The profile.
        slices: DatasetFeatureStatistics of each slice.
    """
    told = [(feature, profile.columns[feature.path.step[0]]) for feature in statistics.features]
    numbers = [pair for pair in told if pair[1].type in ("number", "integer", "boolean")]
    times = [pair for pair in told if pair[1].type == "time"]
    texts = [pair for pair in told if pair[1].type == "text"]
    parts = [facts({"dataset": code(profile.dataset)})]
    if any(column.missing for column in profile.columns.values()):
        parts.append(section("Missing values", _missing(profile)))
    for heading, members, show in (("Numbers", numbers, _numbers), ("Times", times, _times), ("Text", texts, _texts)):
        if members:
            parts.append(section(heading, *show(members[:SHOWN]), *_left_out(len(members))))
    if slices:
        parts.append(section("Slices", *_slices(slices, profile.rows)))
    return page("Dataset profile", *parts, lead=lead(statistics, profile))


def lead(statistics: Any, profile: Profile) -> str:
    """Return what there is, in a few sentences."""
    kinds = Counter(column.type for column in profile.columns.values())
    told = [f"{profile.rows:,} rows, {len(profile.columns):,} columns: {_listed(kinds)}."]
    some = sum(column.missing > 0 for column in profile.columns.values())
    told.append(f"Values are missing in {some:,} columns." if some else "No value is missing.")
    empty = sum(column.missing == profile.rows for column in profile.columns.values())
    if empty and profile.rows:
        told.append(f"Without any value: {empty:,}.")
    infinite = sum(_infinite(feature) > 0 for feature in statistics.features)
    if infinite:
        told.append(f"Holding infinity: {infinite:,}.")
    return " ".join(told)


def _listed(kinds: Counter[str]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())


def _missing(profile: Profile) -> Markup:
    shares = {name: column.missing / profile.rows for name, column in profile.columns.items() if column.missing}
    worst = sorted(shares.items(), key=lambda entry: -entry[1])
    chart = bars("Share of the rows without a value, in %", [(name, 100 * share) for name, share in worst[:DRAWN]])
    more = f" {len(worst) - DRAWN:,} with fewer are not drawn." if len(worst) > DRAWN else ""
    return figure(chart, f"Rows without a value, in %, of each column that lacks some; NaN is none.{more}")


def _left_out(members: int) -> list[Markup]:
    return [paragraph(f"{members - SHOWN:,} more are not told here.", note=True)] if members > SHOWN else []


def _numbers(members: Sequence[tuple[Any, Column]]) -> list[Markup]:
    rows = []
    for feature, column in members:
        found = feature.num_stats
        present = found.common_stats.num_non_missing
        rows.append(
            [
                feature.path.step[0],
                column.type,
                _percent(column.missing, column.missing + present),
                _percent(found.num_zeros, present),
                found.mean if present else None,
                found.std_dev if present else None,
                *_percentiles(found),
                _shape(found),
            ]
        )
    heads = ["Column", "Type", "Missing %", "Zero %", "Mean", "Std dev", "10 %", "Median", "90 %", "Distribution"]
    return [table(heads, rows), paragraph(_distribution(), note=True)]


def _distribution() -> str:
    return (
        "Distribution: ten bars of equal width from the least to the greatest finite value. Percentiles are told of "
        f"columns with at least {PERCENTILE_ROWS} values."
    )


def _times(members: Sequence[tuple[Any, Column]]) -> list[Markup]:
    rows = []
    for feature, column in members:
        found = feature.num_stats
        rows.append(
            [
                feature.path.step[0],
                _percent(column.missing, column.missing + found.common_stats.num_non_missing),
                *(_moment(value) for value in _percentiles(found)),
                _shape(found),
            ]
        )
    return [table(["Column", "Missing %", "10 %", "Median", "90 %", "Distribution"], rows)]


def _texts(members: Sequence[tuple[Any, Column]]) -> list[Markup]:
    rows = []
    for feature, column in members:
        found = feature.string_stats
        present = found.common_stats.num_non_missing
        counts = [bucket.sample_count for bucket in found.rank_histogram.buckets]
        rows.append(
            [
                feature.path.step[0],
                _percent(column.missing, column.missing + present),
                found.unique,
                _percent(counts[0], present) if counts else None,
                found.avg_length if present else None,
                sparkline("Rows by frequency", counts[:RANKS]) if counts else None,
            ]
        )
    heads = ["Column", "Missing %", "Distinct", "Most frequent %", "Mean bytes", "By frequency"]
    return [table(heads, rows), paragraph(f"By frequency: the rows with each of the {RANKS} most frequent.", note=True)]


def _slices(slices: Sequence[Any], rows: int) -> list[Markup]:
    lines = []
    for each in slices:
        commons = [getattr(feature, feature.WhichOneof("stats")).common_stats for feature in each.features]
        missing = sum(common.num_missing for common in commons)
        lines.append(
            [
                each.name,
                each.num_examples,
                _percent(each.num_examples, rows),
                _percent(missing, each.num_examples * len(commons)),
            ]
        )
    note = "The statistics of each are in the file of statistics, under its name. Rows without a value are in no slice."
    return [table(["Slice", "Rows", "Of all rows, %", "Values missing, %"], lines), paragraph(note, note=True)]


def _percentiles(found: Any) -> list[float | None]:
    """Return the 10th, 50th and 90th percentiles."""
    if found.common_stats.num_non_missing < PERCENTILE_ROWS:
        return [None, None, None]
    buckets = found.histograms[1].buckets
    return [buckets[0].high_value, found.median, buckets[8].high_value]


def _shape(found: Any) -> Markup | None:
    finite = (
        [bucket.sample_count for bucket in found.histograms[0].buckets if _is_finite(bucket)]
        if found.histograms
        else []
    )
    return sparkline("Distribution", finite) if finite else None


def _is_finite(bucket: Any) -> bool:
    return float("-inf") < bucket.low_value <= bucket.high_value < float("inf")


def _infinite(feature: Any) -> float:
    found = feature.num_stats
    return (
        sum(bucket.sample_count for bucket in found.histograms[0].buckets if not _is_finite(bucket))
        if found.histograms
        else 0
    )


def _moment(microseconds: float | None) -> str | None:
    """Return a time for reading, to the minute."""
    if microseconds is None:
        return None
    try:
        return (datetime(1970, 1, 1) + timedelta(microseconds=microseconds)).isoformat(" ", "minutes")
    except OverflowError:
        return f"{number(1970 + microseconds / 31_556_952e6)} (year)"


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0
