"""Judge how a dataset treats groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kfp_hallmark.components.data.audit_dataset_bias.checks import Terms, checks_of
from kfp_hallmark.components.data.audit_dataset_bias.findings import look, require_population
from kfp_hallmark.components.data.audit_dataset_bias.labels import labels_of
from kfp_hallmark.components.data.audit_dataset_bias.limits import read_limits
from kfp_hallmark.components.data.audit_dataset_bias.page import bias_page
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.errors import InputError
from kfp_hallmark.fairness.groups import Groups, group_by, intersect
from kfp_hallmark.measures import require_resampling
from kfp_hallmark.reports import write_page

GATE = "audit_dataset_bias"


def audit_bias(
    dataset: Artifact,
    verdict: Artifact,
    report: Artifact,
    target: str,
    sensitive_features: Sequence[str],
    limits: Mapping[str, float],
    positive_class: str | None,
    population: Mapping[str, Mapping[str, float]],
    excluded_columns: Sequence[str],
    min_group_size: int,
    intersection: bool,
    bootstrap_samples: int,
    confidence: float,
    seed: int,
) -> tuple[str]:
    """Write a verdict and a report on how a dataset treats groups, and return the status; see the component.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If a column, a limit, the population or a setting cannot be used.
        IntegrityError: If the dataset was changed since it was written.
    """
    import numpy as np

    require_seed(seed)
    wanted = read_limits(limits, population)
    require_resampling(bootstrap_samples, confidence)
    require_settings(sensitive_features, target, min_group_size)
    path = verified(dataset, "dataset")
    names = read_schema(path).names
    _require_columns(names, target, sensitive_features, excluded_columns)
    groupings = _groupings(path, sensitive_features, intersection)
    require_population(population, [groups for groups, _ in groupings[: len(sensitive_features)]])
    labels = labels_of(read_table(path, [target])[target], target, positive_class, wanted)
    columns = [name for name in names if name not in excluded_columns]
    features = look(path, groupings, labels, population, columns, confidence, seed)
    terms = Terms(wanted, min_group_size, bootstrap_samples, confidence, np.random.default_rng(seed))
    parameters = {
        "target": target,
        "sensitive_features": list(sensitive_features),
        "limits": dict(limits),
        "positive_class": positive_class,
        "population": {feature: dict(shares) for feature, shares in population.items()},
        "excluded_columns": list(excluded_columns),
        "min_group_size": min_group_size,
        "intersection": intersection,
        "bootstrap_samples": bootstrap_samples,
        "confidence": confidence,
        "seed": seed,
    }
    checks = [check for feature in features for check in checks_of(feature, terms)]
    judged = Verdict(GATE, {"dataset": artifact_digest(path)}, checks, parameters)
    document = bias_page(judged, labels, features)
    judged.store(verdict)
    write_page(report.path, document)
    return (str(judged.status),)


def _require_columns(names: Sequence[str], target: str, sensitive: Sequence[str], excluded: Sequence[str]) -> None:
    require_column(target, names, "target")
    for column in sensitive:
        require_column(column, names, "sensitive_features")
    for column in excluded:
        require_column(column, names, "excluded_columns")


def require_settings(sensitive: Sequence[str], target: str | None, min_group_size: int) -> None:
    """Raise `InputError` for what suits no dataset; the target is None where it is not known."""
    if not sensitive or not all(isinstance(column, str) for column in sensitive):
        raise InputError(f"sensitive_features must name at least one column, by text; got {list(sensitive)}.")
    if len(set(sensitive)) < len(sensitive):
        raise InputError(f"sensitive_features must name each column once; got {list(sensitive)}.")
    if target in sensitive:
        raise InputError(f"sensitive_features must not name the target; got {target!r}.")
    if min_group_size < 1:
        raise InputError(f"min_group_size must be at least 1; got {min_group_size}.")


def _groupings(path: str, features: Sequence[str], intersection: bool) -> list[tuple[Groups, Sequence[str]]]:
    """Return the groups of each feature, and of all together, with the features that make them."""
    table = read_table(path, list(features))
    if not table.num_rows:
        raise InputError("The dataset must have at least one row; got none.")
    found: list[tuple[Groups, Sequence[str]]] = [(group_by(table[feature], feature), [feature]) for feature in features]
    if intersection and len(features) > 1:
        found.append((intersect([groups for groups, _ in found]), list(features)))
    return found
