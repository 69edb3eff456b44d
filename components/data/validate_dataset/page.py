"""The report on a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from kfp_hallmark.components.data.validate_dataset.comparison import (
    ALPHA,
    PSI,
    WORDS,
    Comparison,
    Move,
    chance_level,
    signs,
)
from kfp_hallmark.components.data.validate_dataset.contract import CHECKS, Given
from kfp_hallmark.components.data.validate_dataset.expected import is_expectation
from kfp_hallmark.components.data.validate_dataset.features import Feature
from kfp_hallmark.components.data.validate_dataset.joint import AUC, FOLDS, Separation
from kfp_hallmark.components.data.validate_dataset.schema import TOLERANCE
from kfp_hallmark.contracts.verdict import Status, Verdict
from kfp_hallmark.profiles.drift import BINS, CATEGORIES, EMPTY_SHARE, FREQUENT_ROWS, FREQUENT_SHARE
from kfp_hallmark.profiles.profile import FEW_INTEGERS, FEW_NUMBERS, Binned, Column
from kfp_hallmark.reports import (
    Markup,
    badge,
    bars,
    check_table,
    code,
    facts,
    figure,
    intervals,
    number,
    page,
    paragraph,
    section,
    table,
    verdict_facts,
)

SHOWN = 40
"""How many features the chart shows, the worst first."""
NAMED = 3
"""How many of the stable columns with odd values are named first."""
SHARES = ("missing_share", "tail_share", "value_share")
TOLD = (AUC, "repeated_batch", "time_gap")
"""What is told at the top where it is not in order."""
CONTENT = ("infinite_values", "missing_values", "distinct_values")
HEADINGS = {
    "baseline": "Drift from the baseline",
    "previous": "Drift from the previous span",
    "serving": "Training-serving skew",
}


@dataclass(frozen=True)
class Judged:
    """What the report is about.

    Attributes:
        verdict: The verdict.
        features: What the dataset's columns hold.
        comparisons: What came out against each side that it is compared with.
        separations: How well a classifier tells it apart from those whose rows are known.
        schema: The TFDV schema that was applied.
        contract: The contract that was given.
    """

    verdict: Verdict
    features: Sequence[Feature]
    comparisons: Sequence[Comparison]
    separations: Sequence[Separation]
    schema: Any
    contract: Given | None = None


def render(judged: Judged) -> str:
    """Return the report as a whole HTML document."""
    verdict = judged.verdict
    expected = [check for check in verdict.checks if is_expectation(check)]
    others = [check for check in verdict.checks if check.name not in (PSI, AUC, *CHECKS) and not is_expectation(check)]
    drifts = [section(HEADINGS[each.role], *_drift(each, judged)) for each in judged.comparisons]
    if drifts:
        drifts.append(section("How drift is measured", *_method(judged)))
    else:
        drifts = [section("Drift", "Nothing to compare with was given, so nothing is said about drift.")]
    return page(
        "Dataset validation",
        verdict_facts(verdict),
        *drifts,
        *([section("All columns together", *_joint(judged))] if judged.separations else []),
        *_contract(judged),
        *([section("Expectations", check_table(expected))] if expected else []),
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
    words = {Status.PASS: "stable", Status.WARN: "moved", Status.FAIL: "moved far", Status.INCONCLUSIVE: "unclear"}
    for comparison in judged.comparisons:
        counts = Counter(move.status for move in comparison.moves)
        if counts:
            found = ", ".join(f"{counts[status]} {words[status]}" for status in words if status in counts)
            told.append(f"Against the {WORDS[comparison.role]}: {found}.")
    shares = [check.message for check in judged.verdict.checks if check.name in SHARES]
    told += shares[:NAMED] + ([f"So it is of {len(shares) - NAMED} more."] if len(shares) > NAMED else [])
    told += [check.message for check in judged.verdict.checks if check.name in TOLD and check.status is not Status.PASS]
    about = [check.scope for check in judged.verdict.checks if check.name in ("schema_anomaly", "column")]
    wrong = len({scope.get("feature") for scope in about})
    told.append("Everything fits the schema." if not wrong else f"Not fitting: {wrong}.")
    if judged.contract is not None and judged.contract.contract.version is not None:
        broken = sum(check.name in CHECKS and not check.status.passed for check in judged.verdict.checks)
        kept = "is kept" if not broken else f"is not kept in {broken} {'point' if broken == 1 else 'points'}"
        told.append(f"Beyond its schema, the contract {judged.contract.contract.version} {kept}.")
    expected = [check for check in judged.verdict.checks if is_expectation(check)]
    if expected:
        held = sum(check.status is Status.PASS for check in expected)
        told.append(f"Expectations that hold: {held} of {len(expected)}.")
    odd = [check for check in judged.verdict.checks if check.name in CONTENT]
    told.extend(check.message for check in odd if check.status is Status.FAIL)
    excluded = judged.verdict.parameters["excluded_columns"]
    warnings = sum(check.status is Status.WARN for check in odd)
    if warnings:
        told.append(f"Constant or empty: {warnings}.")
    if excluded:
        told.append(f"Not judged: {', '.join(excluded)}.")
    return " ".join(told)


def _contract(judged: Judged) -> list[Markup]:
    """Return the section on the contract; none without one that has a version."""
    if judged.contract is None or judged.contract.contract.version is None:
        return []
    contract = judged.contract.contract
    about = {"version": contract.version, "digest": code(judged.contract.digest)}
    about |= {"sensitive": ", ".join(contract.sensitive)} if contract.sensitive else {}
    checks = [check for check in judged.verdict.checks if check.name in CHECKS]
    told = check_table(checks) if checks else "It asks for nothing beyond its schema and the limits of drift."
    described = [contract.description] if contract.description else []
    return [section("Contract", *described, facts(about), told)]


def duration(seconds: float) -> str:
    """Return a stretch of time as a reader says it."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{number(seconds / length, 3)} {unit}"
    return f"{number(seconds, 3)} seconds"


def _drift(comparison: Comparison, judged: Judged) -> list[Markup]:
    if not comparison.moves:
        return [paragraph("No column can be compared.")]
    limits = [judged.verdict.parameters[name] for name in ("max_stable_psi", "max_psi")]
    shown = comparison.moves[:SHOWN]
    chart = bars(
        f"{HEADINGS[comparison.role]}: population stability index of each feature",
        [(move.drift.feature, round(move.drift.psi, 4), str(move.status)) for move in shown],
        limits,
    )
    chance = number(chance_level(comparison.before.rows, comparison.now.rows), 2)
    caption = (
        f"Population stability index (PSI) of each feature, the worst first. Dashed: {limits[0]:g}, up to which a "
        f"feature is stable, and {limits[1]:g}, above which it fails. With {comparison.before.rows:,} and "
        f"{comparison.now.rows:,} rows, all independent, chance alone moves a feature of {BINS} bins by up to {chance} "
        "in 95 of 100 cases."
    )
    if own := judged.verdict.parameters["max_psi_of_features"]:
        caption += f" Limits of their own: {', '.join(own)}."
    rest = comparison.moves[SHOWN:]
    more = [_folded(f"The {len(rest)} others", _moves(rest))] if rest else []
    return [figure(chart, caption), _moves(shown), *more]


def _folded(summary: str, content: Markup) -> Markup:
    return Markup(f"<details><summary>{escape(summary)}</summary>{content}</details>")


def _moves(moves: Sequence[Move]) -> Markup:
    """Return the measures of each feature, and what may be behind those that moved."""
    columns = ["Feature", "Band", "PSI", "JS", "L∞", "KS", "W₁", "χ²", "p", "Missing %", "formerly", "What shows"]
    rows = [
        [
            move.drift.feature,
            badge(move.status),
            _rounded(move.drift.psi),
            _rounded(move.drift.jensen_shannon),
            _rounded(move.drift.l_infinity),
            _rounded(move.drift.kolmogorov_smirnov),
            _rounded(move.drift.wasserstein),
            round(move.drift.chi_squared, 1),
            float(f"{move.p_value:.1e}"),
            *(
                [round(100 * share, 2) for share in reversed(move.drift.missing)]
                if any(move.drift.missing)
                else [None] * 2
            ),
            "; ".join(signs(move.drift)) if move.status is not Status.PASS else None,
        ]
        for move in moves
    ]
    used = [index for index in range(len(columns)) if any(row[index] not in (None, "") for row in rows)]
    return table([columns[index] for index in used], [[row[index] for index in used] for row in rows])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _method(judged: Judged) -> list[Markup]:
    texts = [
        "A feature has moved only if its PSI exceeds a limit and its p-value, adjusted for the number of features "
        f"(Benjamini-Hochberg), is below {ALPHA:g}. Many rows make any shift significant, few make any large.",
        "PSI is the sum of (a - e) ln(a / e) over bins, a the share now and e the former one. "
        f"Numbers: {BINS} bins of equal frequency in the reference. Text, booleans, integers with at most "
        f"{FEW_INTEGERS} distinct values and other numbers with at most {FEW_NUMBERS}: each value is a bin. "
        f"Missing values are a bin. An empty bin counts as a share of {EMPTY_SHARE}.",
        "JS: Jensen-Shannon divergence of the bins, in bits. L∞: the greatest difference of a bin's share. KS: the "
        "Kolmogorov-Smirnov distance at the reference's percentiles. W₁: the Wasserstein distance between percentiles, "
        "in standard deviations of the reference. χ²: Pearson's statistic. p: the adjusted p-value.",
    ]
    moves = [move.drift for comparison in judged.comparisons for move in comparison.moves]
    grouped = list(dict.fromkeys(found.feature for found in moves if found.grouped))
    if grouped:
        some = f"{', '.join(grouped[:SHOWN])}{f' and {len(grouped) - SHOWN} more' if len(grouped) > SHOWN else ''}"
        texts.append(
            f"Of categories beyond the {CATEGORIES} most frequent, those that are rare in the reference (below "
            f"{FREQUENT_SHARE:.0%} of its rows), and all that fewer than {FREQUENT_ROWS} of its rows hold, are taken "
            f"together, unless they have risen to {FREQUENT_SHARE:.0%}: {some}."
        )
    return [paragraph(text, note=True) for text in texts]


def _joint(judged: Judged) -> list[Markup]:
    statuses = {check.scope["reference"]: check for check in judged.verdict.checks if check.name == AUC}
    chart = intervals(
        "How well the rows can be told apart",
        [
            (WORDS[found.role], found.area, found.interval, str(statuses[found.role].status))
            for found in judged.separations
        ],
        [0.5, judged.verdict.parameters["max_domain_auc"]],
    )
    caption = (
        "ROC AUC, with its 95 % interval, of a classifier that tells rows of the dataset from those of the other side. "
        "0.5: they are alike. It fails if the whole interval is above the right one of the dashed limits."
    )
    first = judged.separations[0]
    note = (
        "A changed relation between columns shows here even where each column by itself holds what it held. "
        f"Histogram gradient boosting on {first.rows:,} rows taken by chance from both sides and {first.columns} "
        f"columns, times left out; each row is scored by one of {FOLDS} models that did not learn from it. "
        "The interval is by DeLong's variance."
    )
    lines = [paragraph(check.message) for check in statuses.values()]
    return [figure(chart, caption), *lines, paragraph(note, note=True)]


def _features(judged: Judged) -> Markup:
    before = {each.role: each.before for each in judged.comparisons}.get("baseline")
    rows = []
    for feature in judged.features:
        old = None if before is None else before.columns.get(feature.name)
        known = [None, None] if old is None else [_percent(old.missing, before.rows), _mean(old)]
        rows.append(
            [
                feature.name,
                feature.type,
                _percent(feature.missing, feature.rows),
                feature.distinct,
                feature.mean,
                *known,
            ]
        )
    columns = ["Feature", "Type", "Missing %", "Distinct", "Mean", "Baseline: missing %", "Mean"]
    width = len(columns) if before else 5
    return table(columns[:width], [row[:width] for row in rows])


def _mean(column: Column) -> float | None:
    """Return the mean of a column of numbers, if its profile has it, of values enough not to be a record's."""
    held = column.distribution
    if column.type not in ("integer", "number") or not isinstance(held, Binned):
        return None
    return held.mean if sum(held.counts) - held.below - held.above >= FREQUENT_ROWS else None


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
    if feature.HasField("time_domain"):
        return "dates or times"
    if feature.HasField("domain"):
        return f"{sizes.get(feature.domain, 0)} categories"
    return None
