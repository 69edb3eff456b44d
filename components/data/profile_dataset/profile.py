"""Describe what a dataset holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    import pyarrow


def describe(
    dataset: Artifact | None,
    columns: Sequence[str] | None,
    slice_columns: Sequence[str],
    statistics: Artifact,
    profile: Artifact,
    report: Artifact,
    uri: str | None = None,
    beam_pipeline_args: Sequence[str] | None = None,
) -> tuple[int, int]:
    """Write statistics, a profile and a report; return the number of rows and of columns; see the component.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If it cannot be read, a column is absent or given twice, there would be too many slices, or Beam has
            no such options.
        IntegrityError: If it was changed since it was written.
        ServiceError: If the pipeline on Beam failed.
    """
    import pyarrow_hotfix  # noqa: F401  pyarrow 10 runs code from untrusted files without it

    _check_different(slice_columns, "slice_columns")
    if (dataset is None) == (uri is None):
        raise InputError(f"profile_dataset must have either dataset or uri; got {'both' if dataset else 'none'}.")
    if beam_pipeline_args is not None:
        whole, slices, found = _on_beam(dataset, uri, columns, slice_columns, beam_pipeline_args)
    elif dataset is not None:
        whole, slices, found = _here(verified(dataset, "dataset"), columns, slice_columns)
    else:
        raise InputError(
            "uri must come with beam_pipeline_args, whose workers read it; got none.",
            "Give load_dataset the uri, and profile_dataset what it loads.",
        )
    document = render(whole, found, slices)
    with writing(statistics.path) as temporary:
        temporary.write_bytes(statistics_list([whole, *slices]).SerializeToString(deterministic=True))
    found.write(profile.path)
    profile.metadata["digest"] = artifact_digest(profile.path)
    write_page(report.path, document)
    return whole.num_examples, len(found.columns)


def _here(path: str, columns: Sequence[str] | None, slice_columns: Sequence[str]) -> tuple[Any, list[Any], Profile]:
    """Return the statistics of all rows and of each slice, and the profile, in one pass on this machine."""
    names = _names(read_schema(path), columns)
    slices = slice_statistics(path, slice_columns, names)
    features, described = [], {}
    for name, kind, counted in scan(path, names):
        features.append(feature(name, kind, counted))
        described[name] = column(kind, counted)
    whole = dataset_statistics(features, ALL_ROWS if slices else "")
    return whole, slices, Profile(artifact_digest(path), whole.num_examples, described)


def _on_beam(
    dataset: Artifact | None,
    uri: str | None,
    columns: Sequence[str] | None,
    slice_columns: Sequence[str],
    options: Sequence[str],
) -> tuple[Any, list[Any], Profile]:
    """Return the same, from Apache Beam's workers."""
    from kfp_hallmark.profiles import beam

    options = beam.checked(options)
    if dataset is not None and not beam.is_local(options):
        raise InputError(
            "dataset must be left out where workers are on other machines, which do not see this step's files.",
            "Give the uri where they find it.",
        )
    source = beam.find(uri if dataset is None else verified(dataset, "dataset"))
    (whole, *slices), found = beam.describe(source, _names(source.schema, columns), slice_columns, options)
    return whole, slices, found


def _names(schema: pyarrow.Schema, columns: Sequence[str] | None) -> list[str]:
    """Return the columns to describe.

    Raises:
        InputError: If one is absent or given twice, or there is none.
    """
    known = schema.names
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
