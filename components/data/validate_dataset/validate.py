"""Judge a dataset by its schema and by how far each feature has moved from what came before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kfp_hallmark.components.data.validate_dataset.comparison import (
    Comparing,
    Comparison,
    Limits,
    category_checks,
    column_checks,
    drift_checks,
    fitting,
    renaming_checks,
    without,
)
from kfp_hallmark.components.data.validate_dataset.contract import Given, contract_checks, load_contract
from kfp_hallmark.components.data.validate_dataset.features import Feature, describe
from kfp_hallmark.components.data.validate_dataset.joint import (
    LEAF,
    Separation,
    separate,
    separation_check,
    unlearnable,
)
from kfp_hallmark.components.data.validate_dataset.page import Judged, duration, render
from kfp_hallmark.components.data.validate_dataset.repeats import repeat_check, repeated_rows
from kfp_hallmark.components.data.validate_dataset.schema import (
    Anomaly,
    find_anomalies,
    infer_schema,
)
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_schema, require_column
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import writing
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.errors import InputError
from kfp_hallmark.profiles.profile import Profile, column
from kfp_hallmark.profiles.scan import scan
from kfp_hallmark.profiles.statistics import dataset_statistics, statistics_list
from kfp_hallmark.profiles.statistics import feature as feature_statistics
from kfp_hallmark.reports import write_page

LONG_GAP = 10
"""A gap is told when it is so many times as long as 99 % of the others."""


def validate(
    dataset: Artifact,
    baseline: Artifact | None,
    baseline_profile: Artifact | None,
    previous: Artifact | None,
    serving: Artifact | None,
    delivered: Artifact | None,
    contract_uri: str | None,
    excluded_columns: Sequence[str],
    max_stable_psi: float,
    max_psi: float,
    max_domain_auc: float,
    min_rows: int,
    seed: int,
    verdict: Artifact,
    report: Artifact,
    statistics: Artifact,
    schema: Artifact,
    profile: Artifact,
) -> tuple[str]:
    """Write a verdict, a report, statistics, the schema and a profile, and return the status; see the component.

    Raises:
        MissingInputError: If the dataset, what it is compared with, or the contract is not there.
        InputError: If one of them cannot be read, two baselines are given, or a limit is out of range.
        IntegrityError: If an input was changed since it was written, or a profile is none.
    """
    import pyarrow_hotfix  # noqa: F401  pyarrow 10 runs code from untrusted files without it
    from google.protobuf import text_format

    contract = None if contract_uri is None else load_contract(contract_uri)
    limits = _limits(contract, max_stable_psi, max_psi)
    _check_limits(limits.max_stable_psi, limits.max_psi, max_domain_auc, min_rows)
    if baseline is not None and baseline_profile is not None:
        raise InputError("A baseline must be a dataset or its profile; got both.")
    given = {
        "dataset": dataset,
        "baseline": baseline,
        "baseline_profile": baseline_profile,
        "previous": previous,
        "serving": serving,
        "delivered": delivered,
    }
    subjects = {
        role: artifact_digest(verified(side, role.replace("_", " ")))
        for role, side in given.items()
        if side is not None
    }
    names = _judged_columns(dataset, excluded_columns)
    references = {
        role: without(Profile.read(kept.path), excluded_columns)
        for role, kept in (("baseline", baseline_profile), ("previous", previous))
        if kept is not None
    }
    former = None
    if baseline is not None:
        former = _read(baseline, subjects["baseline"], _kept(baseline, excluded_columns))
        references = {"baseline": former.profile} | references
    comparing = [Comparing(role, before, names) for role, before in references.items()]
    found = _read(dataset, subjects["dataset"], names, comparing, limits.max_stable_psi)
    own = found.profile
    applied, origin = _schema(found, former, contract)
    sizes = {"dataset": own.rows} | {role: before.rows for role, before in references.items()}
    if serving is not None:
        kept = _kept(serving, excluded_columns)
        compared = Comparing("serving", own, kept)
        sampled = _read(serving, subjects["serving"], kept, [compared], limits.max_stable_psi).profile
        sizes["serving"] = sampled.rows
    checks = row_checks(sizes, min_rows)
    enough = {role for role, rows in sizes.items() if min(rows, own.rows) >= min_rows}
    comparisons = [each.finish(own, limits, each.role in enough) for each in comparing]
    if serving is not None:
        comparisons.append(compared.finish(sampled, limits, "serving" in enough))
    whole = found if delivered is None else _read(delivered, subjects["delivered"], _kept(delivered, excluded_columns))
    anomalies = [each for each in find_anomalies(whole.statistics, applied) if each.feature not in excluded_columns]
    checks += schema_checks(anomalies, list(whole.profile.columns), origin)
    if contract is not None:
        checks += contract_checks(delivered or dataset, contract.contract, contract.folder, whole.profile.rows)
    checks += content_checks(found.features)
    checks.append(repeat_check(*repeated_rows(dataset.path)))
    separations = []
    for comparison in comparisons:
        rows_given = {"baseline": baseline, "serving": serving}.get(comparison.role)
        by_schema = comparison.role == "baseline" and baseline is not None
        if contract is None or comparison.role == "serving":
            checks += [] if by_schema else column_checks(comparison)
            checks += category_checks(comparison, {anomaly.feature for anomaly in anomalies} if by_schema else ())
        checks += renaming_checks(comparison)
        if comparison.role in enough:
            checks += drift_checks(comparison, limits)
            if rows_given is not None and min(sizes[comparison.role], own.rows) < LEAF:
                checks.append(unlearnable(comparison.role))
            elif rows_given is not None:
                separations += _separation(comparison, rows_given, dataset, max_domain_auc, seed)
    checks += [separation_check(separation, max_domain_auc) for separation in separations]
    parameters = {
        "max_stable_psi": limits.max_stable_psi,
        "max_psi": limits.max_psi,
        "max_psi_of_features": {name: limits.of(name)[1] for name in limits.features},
        "max_domain_auc": max_domain_auc,
        "min_rows": min_rows,
        "seed": seed,
        "schema": origin,
        "contract": None if contract is None else contract.parameters(),
        "excluded_columns": list(excluded_columns),
    }
    result = Verdict("validate_dataset", subjects, checks, parameters)
    document = render(Judged(result, found.features, comparisons, separations, applied, contract))
    with writing(statistics.path) as temporary:
        temporary.write_bytes(found.statistics.SerializeToString(deterministic=True))
    with writing(schema.path) as temporary:
        temporary.write_text(text_format.MessageToString(applied), encoding="utf-8")
    own.write(profile.path)
    profile.metadata |= {"digest": artifact_digest(profile.path)}
    write_page(report.path, document)
    result.store(verdict)
    return (str(result.status),)


def _check_limits(max_stable_psi: float, max_psi: float, max_domain_auc: float, min_rows: int) -> None:
    if not (math.isfinite(max_stable_psi) and max_stable_psi >= 0):
        raise InputError(f"max_stable_psi must be 0 or above; got {max_stable_psi}.")
    if not (math.isfinite(max_psi) and max_psi >= max_stable_psi):
        raise InputError(f"max_psi must be at least max_stable_psi, {max_stable_psi}; got {max_psi}.")
    if not 0.5 <= max_domain_auc <= 1:
        raise InputError(f"max_domain_auc must be from 0.5 to 1; got {max_domain_auc}.")
    if min_rows < 1:
        raise InputError(f"min_rows must be 1 or above; got {min_rows}.")


def _kept(dataset: Artifact, excluded: Sequence[str]) -> list[str]:
    return [name for name in read_schema(dataset.path).names if name not in excluded]


def _judged_columns(dataset: Artifact, excluded: Sequence[str]) -> list[str]:
    """Return the columns to judge.

    Raises:
        InputError: If an excluded column is absent, or none is left.
    """
    names = read_schema(dataset.path).names
    for name in excluded:
        require_column(name, names, "excluded_columns")
    left = [name for name in names if name not in excluded]
    if not left:
        raise InputError(f"excluded_columns must leave a column to judge; got all {len(names)}.")
    return left


@dataclass(frozen=True)
class Side:
    """What a dataset holds.

    Attributes:
        features: What each column holds.
        profile: The same as later datasets are compared with it.
        statistics: The same as TFDV keeps it, a DatasetFeatureStatisticsList.
        booleans: Which columns hold booleans.
    """

    features: list[Feature]
    profile: Profile
    statistics: Any
    booleans: list[str]


def _read(
    dataset: Artifact,
    digest: str,
    names: Sequence[str],
    comparing: Sequence[Comparing] = (),
    max_stable_psi: float = 0.0,
) -> Side:
    """Read a dataset once; return what it holds, having compared each column.

    Raises:
        InputError: If there is no column to judge.
    """
    if not names:
        raise InputError(f"A dataset must have a column that is judged; {dataset.path!r} has none.")
    features, columns, statistics = [], {}, []
    for name, kind, counted in scan(dataset.path, names):
        columns[name] = column(kind, counted)
        features.append(describe(name, columns[name], counted))
        statistics.append(feature_statistics(name, kind, counted))
        for each in comparing:
            each.add(name, counted, max_stable_psi)
    return Side(
        features,
        Profile(digest, features[0].rows, columns),
        statistics_list([dataset_statistics(statistics)]),
        [name for name, held in columns.items() if held.type == "boolean"],
    )


def _limits(given: Given | None, max_stable_psi: float, max_psi: float) -> Limits:
    """Return the limits of drift: those of the contract go before the parameters."""
    if given is None:
        return Limits(max_stable_psi, max_psi)
    said = given.contract.drift
    greatest = said.get("max_psi", max_psi)
    stable = said.get("max_stable_psi", min(max_stable_psi, greatest))
    return Limits(stable, greatest, given.contract.feature_drift)


def _schema(found: Side, former: Side | None, contract: Given | None) -> tuple[object, str]:
    """Return the schema to apply, and where it is from, as a reader says it."""
    if contract is not None:
        return contract.schema, "given"
    if former is None:
        return infer_schema(found.statistics, found.booleans), "inferred from the dataset itself"
    return infer_schema(former.statistics, former.booleans), "inferred from the baseline"


def _separation(
    comparison: Comparison, given: Artifact, dataset: Artifact, max_area: float, seed: int
) -> list[Separation]:
    shared = [name for name in comparison.now.columns if name in comparison.before.columns]
    found = separate(comparison.role, given, dataset, shared, max_area, seed)
    return [] if found is None else [found]


def row_checks(sizes: Mapping[str, int], min_rows: int) -> list[Check]:
    """Return whether there are rows enough to judge by, on each side."""
    words = {"previous": "previous span", "serving": "serving sample"}
    return [
        Check(
            "rows",
            Status.PASS if count >= min_rows else Status.INCONCLUSIVE,
            observed=count,
            minimum=min_rows,
            samples=count,
            scope={"side": side},
            message=f"The {words.get(side, side)} has {count:,} rows"
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
        if feature.gap is not None and feature.gap[0] > LONG_GAP * feature.gap[1]:
            longest, usual = map(duration, feature.gap)
            message = f"{feature.name} has a gap of {longest}; 99 % of the others are {usual} at most."
            checks.append(Check("time_gap", Status.WARN, feature.gap[0], message=message, **about))
    return checks
