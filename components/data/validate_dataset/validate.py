"""Judge a dataset by its schema and by how far each feature has moved from what came before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kfp_hallmark.components.data.validate_dataset.checks import content_checks, row_checks, schema_checks
from kfp_hallmark.components.data.validate_dataset.comparison import (
    Comparing,
    Comparison,
    category_checks,
    column_checks,
    comparable_checks,
    drift_checks,
    optional_checks,
    renaming_checks,
    same_checks,
)
from kfp_hallmark.components.data.validate_dataset.contract import contract_checks
from kfp_hallmark.components.data.validate_dataset.expected import expectation_checks
from kfp_hallmark.components.data.validate_dataset.gaps import exact_gaps, gap_checks
from kfp_hallmark.components.data.validate_dataset.inputs import Inputs, Settings, Side, kept_columns
from kfp_hallmark.components.data.validate_dataset.joint import (
    LEAF,
    Separation,
    separate,
    separation_check,
    unlearnable,
)
from kfp_hallmark.components.data.validate_dataset.odd import missing_checks, tail_checks, value_checks
from kfp_hallmark.components.data.validate_dataset.page import Judged, render
from kfp_hallmark.components.data.validate_dataset.repeats import repeat_check, repeated_rows
from kfp_hallmark.components.data.validate_dataset.schema import Anomaly, find_anomalies, find_other_kinds, infer_schema
from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import writing
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.profiles.profile import Profile
from kfp_hallmark.reports import write_page


def validate(
    dataset: Artifact,
    baseline: Artifact | None,
    baseline_profile: Artifact | None,
    previous: Artifact | None,
    serving: Artifact | None,
    delivered: Artifact | None,
    expectations: Artifact | None,
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
        IntegrityError: If an input was changed since it was written, a profile is none, or the expectations are about
            another dataset.
    """
    import pyarrow_hotfix  # noqa: F401  pyarrow 10 runs code from untrusted files without it

    settings = Settings.read(contract_uri, max_stable_psi, max_psi, excluded_columns, max_domain_auc, min_rows, seed)
    inputs = Inputs(dataset, baseline, baseline_profile, previous, serving, delivered, expectations)
    judged, found = judge(inputs, settings)
    document = render(judged)
    _write_tfdv(found.statistics, judged.schema, statistics, schema)
    found.profile.write(profile.path)
    profile.metadata |= {"digest": artifact_digest(profile.path)}
    write_page(report.path, document)
    judged.verdict.store(verdict)
    return (str(judged.verdict.status),)


def _write_tfdv(found: Any, applied: Any, statistics: Artifact, schema: Artifact) -> None:
    from google.protobuf import text_format

    with writing(statistics.path) as temporary:
        temporary.write_bytes(found.SerializeToString(deterministic=True))
    with writing(schema.path) as temporary:
        temporary.write_text(text_format.MessageToString(applied), encoding="utf-8")


def judge(inputs: Inputs, settings: Settings) -> tuple[Judged, Side]:
    """Return what came out, and what the dataset holds."""
    subjects = inputs.digests()
    expected = []
    if inputs.expectations is not None:
        about = [subjects[role] for role in ("dataset", "delivered") if role in subjects]
        expected = expectation_checks(inputs.expectations, about)
    compared = _compare(inputs, settings, subjects)
    applied, origin = _schema(compared, settings)
    whole = compared.found
    if inputs.delivered is not None:
        names = kept_columns(inputs.delivered, settings.excluded)
        whole = Side.read(inputs.delivered, subjects["delivered"], names)
    bare = settings.contract is not None and settings.contract.contract.version is None
    anomalies = [*find_anomalies(whole.statistics, applied), *find_other_kinds(whole.profile, applied, bare)]
    anomalies = [each for each in anomalies if each.feature not in settings.excluded]
    checks = row_checks(compared.sizes, settings.min_rows)
    checks += schema_checks(anomalies, list(whole.profile.columns), origin)
    checks += _own_checks(inputs, settings, compared, whole)
    for comparison in compared.comparisons:
        checks += _comparison_checks(comparison, compared, inputs, settings, anomalies)
    separations = _separations(compared, inputs, settings)
    checks += [separation_check(separation, settings.max_domain_auc) for separation in separations]
    verdict = Verdict("validate_dataset", subjects, checks + expected, settings.parameters(origin))
    found = compared.found
    return Judged(verdict, found.features, compared.comparisons, separations, applied, settings.contract), found


@dataclass(frozen=True)
class Compared:
    """The dataset, and what it was compared with.

    Attributes:
        found: What the dataset holds.
        former: What the baseline holds, if it was given itself.
        comparisons: How far it is from each side, in the order of the report.
        sizes: The rows of each side, the dataset first.
        enough: The sides that, like the dataset, have rows enough to judge drift by.
    """

    found: Side
    former: Side | None
    comparisons: Sequence[Comparison]
    sizes: Mapping[str, int]
    enough: frozenset[str]

    @property
    def previous(self) -> Profile | None:
        """The profile of the span before, if it was given."""
        return next((each.before for each in self.comparisons if each.role == "previous"), None)


def _compare(inputs: Inputs, settings: Settings, subjects: Mapping[str, str]) -> Compared:
    """Read each side once, and compare the dataset with those before it, and the serving sample with the dataset."""
    names, limits = inputs.judged_columns(settings.excluded), settings.limits
    references = inputs.profiles(settings.excluded)
    former = None
    if inputs.baseline is not None:
        kept = kept_columns(inputs.baseline, settings.excluded)
        former = Side.read(inputs.baseline, subjects["baseline"], kept)
        references = {"baseline": former.profile} | references
    limited = {} if settings.contract is None else settings.contract.contract.max_gap_hours
    comparing = [Comparing(role, before, names, limited) for role, before in references.items()]
    found = Side.read(inputs.dataset, subjects["dataset"], names, comparing, limits.max_stable_psi)
    pairs = [(each, found.profile) for each in comparing]
    sizes = {"dataset": found.profile.rows} | {role: before.rows for role, before in references.items()}
    if inputs.serving is not None:
        kept = kept_columns(inputs.serving, settings.excluded)
        skew = Comparing("serving", found.profile, kept, limited)
        sample = Side.read(inputs.serving, subjects["serving"], kept, [skew], limits.max_stable_psi).profile
        pairs.append((skew, sample))
        sizes["serving"] = sample.rows
    enough = frozenset(role for role, rows in sizes.items() if min(rows, sizes["dataset"]) >= settings.min_rows)
    comparisons = [each.finish(now, limits, each.role in enough) for each, now in pairs]
    return Compared(found, former, comparisons, sizes, enough)


def _schema(compared: Compared, settings: Settings) -> tuple[Any, str]:
    """Return the schema to apply, and where it is from, as a reader says it."""
    if settings.contract is not None:
        return settings.contract.schema, "given"
    side, origin = compared.former, "inferred from the baseline"
    if side is None:
        side, origin = compared.found, "inferred from the dataset itself"
    return infer_schema(side.statistics, {name: held.type for name, held in side.profile.columns.items()}), origin


def _own_checks(inputs: Inputs, settings: Settings, compared: Compared, whole: Side) -> list[Check]:
    """Return the checks of the contract, of what the columns hold, and of rows that are there twice."""
    checks: list[Check] = []
    limited: Mapping[str, float] = {}
    if settings.contract is not None:
        given = settings.contract
        about = inputs.delivered or inputs.dataset
        checks += contract_checks(about, given.contract, given.folder, whole.profile.rows)
        limited = given.contract.max_gap_hours
        gaps = {feature.name: feature.gap for feature in whole.features if feature.name in limited}
        exact = exact_gaps(gaps, about.path, whole.profile)
        checks += gap_checks(limited, whole.profile, exact, compared.previous)
    return [
        *checks,
        *content_checks(compared.found.features, limited),
        repeat_check(repeated_rows(inputs.dataset.path)),
    ]


def _comparison_checks(
    comparison: Comparison, compared: Compared, inputs: Inputs, settings: Settings, anomalies: Sequence[Anomaly]
) -> list[Check]:
    """Return the checks of columns and drift against a side; what the schema tells of is not told again."""
    checks = []
    by_schema = comparison.role == "baseline" and compared.former is not None
    known = {anomaly.feature for anomaly in anomalies} if by_schema else set()
    if settings.contract is None or comparison.role == "serving":
        checks += [] if by_schema else column_checks(comparison)
        checks += category_checks(comparison, known)
        checks += missing_checks(comparison, known) if comparison.role in compared.enough else []
    else:
        told = {anomaly.feature for anomaly in anomalies}
        given = settings.contract.schema.feature
        checks += optional_checks(comparison, {each.name for each in given} - told)
        listed = {each.name for each in given if each.HasField("domain") or each.HasField("string_domain")}
        checks += category_checks(comparison, told | listed, Status.WARN)
    checks += [*renaming_checks(comparison), *comparable_checks(comparison), *same_checks(comparison)]
    if comparison.role in compared.enough:
        checks += [*drift_checks(comparison, settings.limits), *tail_checks(comparison), *value_checks(comparison)]
        if _rows_of(comparison.role, inputs) is not None and not _learnable(comparison.role, compared):
            checks.append(unlearnable(comparison.role))
    return checks


def _separations(compared: Compared, inputs: Inputs, settings: Settings) -> list[Separation]:
    """Return how well the dataset is told apart from each side whose rows are known, and enough to learn from."""
    found = []
    for comparison in compared.comparisons:
        role, side = comparison.role, _rows_of(comparison.role, inputs)
        if side is None or role not in compared.enough or not _learnable(role, compared):
            continue
        shared = [name for name in comparison.now.columns if name in comparison.before.columns]
        found.append(separate(role, side, inputs.dataset, shared, settings.max_domain_auc, settings.seed))
    return [each for each in found if each is not None]


def _rows_of(role: str, inputs: Inputs) -> Artifact | None:
    """Return the dataset that is compared with; None where only its profile is known."""
    return {"baseline": inputs.baseline, "serving": inputs.serving}.get(role)


def _learnable(role: str, compared: Compared) -> bool:
    return min(compared.sizes[role], compared.sizes["dataset"]) >= LEAF
