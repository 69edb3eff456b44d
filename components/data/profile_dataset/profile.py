"""Describe what a dataset holds."""

from __future__ import annotations

from collections.abc import Sequence

from kfp_hallmark.components.data.profile_dataset.page import render
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_schema, repeated_names, require_column
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import writing
from kfp_hallmark.errors import InputError
from kfp_hallmark.profiles.profile import Profile, column
from kfp_hallmark.profiles.scan import scan
from kfp_hallmark.profiles.statistics import (
    ALL_ROWS,
    dataset_statistics,
    feature,
    slice_statistics,
    statistics_list,
)
from kfp_hallmark.reports import write_page


def describe(
    dataset: Artifact,
    columns: Sequence[str] | None,
    slice_columns: Sequence[str],
    statistics: Artifact,
    profile: Artifact,
    report: Artifact,
) -> tuple[int, int]:
    """Write statistics, a profile and a report; return the number of rows and of columns; see the component.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If it cannot be read, a column is absent or given twice, or there would be too many slices.
        IntegrityError: If it was changed since it was written.
    """
    import pyarrow_hotfix  # noqa: F401  pyarrow 10 runs code from untrusted files without it

    path = verified(dataset, "dataset")
    names = _names(path, columns)
    _check_different(slice_columns, "slice_columns")
    slices = slice_statistics(path, slice_columns, names)
    features, described = [], {}
    for name, kind, counted in scan(path, names):
        features.append(feature(name, kind, counted))
        described[name] = column(kind, counted)
    whole = dataset_statistics(features, ALL_ROWS if slices else "")
    found = Profile(artifact_digest(path), whole.num_examples, described)
    document = render(whole, found, slices)
    with writing(statistics.path) as temporary:
        temporary.write_bytes(statistics_list([whole, *slices]).SerializeToString(deterministic=True))
    found.write(profile.path)
    profile.metadata["digest"] = artifact_digest(profile.path)
    write_page(report.path, document)
    return whole.num_examples, len(names)


def _names(path: str, columns: Sequence[str] | None) -> list[str]:
    """Return the columns to describe.

    Raises:
        InputError: If one is absent or given twice, or there is none.
    """
    known = read_schema(path).names
    names = known if columns is None else list(columns)
    for name in names:
        require_column(name, known, "columns")
    _check_different(names, "columns")
    if not names:
        raise InputError("columns must be at least one; got none.")
    return list(names)


def _check_different(names: Sequence[str], role: str) -> None:
    repeated = repeated_names(names)
    if repeated:
        raise InputError(f"{role} must be different; got more than once: {', '.join(map(repr, repeated))}.")
