"""Get point-in-time-correct features from a Feast feature repository for the rows of a dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.retrieve_features.repository import APPLY, Repository, View
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import dataset_lineage, read_table, repeated_names, require_column, write_table
from kfp_hallmark.contracts.documents import now, value_digest
from kfp_hallmark.errors import InputError

if TYPE_CHECKING:
    import pandas
    import pyarrow


def retrieve(
    entities: Artifact,
    dataset: Artifact,
    repository_uri: str,
    timestamp_column: str,
    features: Sequence[str] | None = None,
    feature_service: str | None = None,
    full_feature_names: bool = False,
    filter_by_created_timestamp: bool = True,
    max_missing_share: float | None = None,
) -> tuple[str, int]:
    """Get for each row what a feature repository knew of its entities at the row's time, and nothing later.

    Args:
        entities: Dataset of rows with join keys and a time.
        dataset: Where to write.
        repository_uri: Path or fsspec URI of the folder with feature_store.yaml.
        timestamp_column: Column of each row's time.
        features: What to get, each as view:feature; or
        feature_service: the feature service whose features to get.
        full_feature_names: Whether to name the columns view__feature.
        filter_by_created_timestamp: Whether to leave out values that were created after the row's time.
        max_missing_share: Greatest share of rows for which a feature may be missing; None refuses only what no row has.

    Returns:
        The dataset's digest and its number of rows.

    Raises:
        MissingInputError: If there is no such repository, or it was not applied.
        InputError: If a parameter, the repository or the entities cannot be used, or too many rows lack a feature.
        IntegrityError: If an input was changed since it was written, or a source changes while it is read.
    """
    if features is None and feature_service is None:
        raise InputError("features or feature_service must say what to get; got neither.")
    require_wish(features, feature_service)
    require_share(max_missing_share)
    path = verified(entities, "entity dataset")
    table = read_table(path)
    times = event_times(table, timestamp_column)
    repository = Repository(repository_uri)
    views = repository.views(features, feature_service)
    names = column_names(views, table.column_names, full_feature_names)
    for view in views:
        for column in view.keys.values():
            require_column(column, table.column_names, f"The join key of the feature view {view.name!r}")
    columns, sources = _features(repository, views, table, times, filter_by_created_timestamp)
    found = dict(zip(names, columns, strict=True))
    shares = {name: missing_share(column) for name, column in found.items()}
    require_found(shares, max_missing_share)
    for name, column in found.items():
        table = table.append_column(name, column)
    definitions = value_digest([repository.project, [vars(view) for view in views]])
    own, *ancestors = dataset_lineage(path)
    digest = write_table(dataset.path, table, {"lineage": [own, *sources, definitions, *ancestors]})
    dataset.metadata.update(
        digest=digest,
        rows=table.num_rows,
        columns=table.num_columns,
        source=repository.name,
        source_digest=definitions,
        snapshot_time=now(),
        missing_shares=shares,
    )
    return digest, table.num_rows


def require_wish(features: Sequence[str] | None, feature_service: str | None) -> None:
    """Raise `InputError` if features are named in two ways, twice, or not as they must be."""
    if features is not None and feature_service is not None:
        raise InputError("features and feature_service must not both be given; got both.")
    if features is None:
        return
    if not features:
        raise InputError("features must name at least one feature; got none.")
    for name in features:
        view, _, feature = name.partition(":") if isinstance(name, str) else ("", "", "")
        if not view or not feature:
            raise InputError(f"A feature must be written view:feature; got {name!r}.")
    if repeated := repeated_names(list(features)):
        raise InputError(f"Each feature must be named once; got more than once: {', '.join(map(repr, repeated))}.")


def require_share(max_missing_share: float | None) -> None:
    """Raise `InputError` if a share is none."""
    if max_missing_share is not None and not 0 <= max_missing_share <= 1:
        raise InputError(f"max_missing_share must be from 0 to 1; got {max_missing_share}.")


def event_times(table: pyarrow.Table, timestamp_column: str) -> pyarrow.ChunkedArray:
    """Return the time of each row in UTC, to the microsecond, rounded down.

    A time without a zone is in UTC; a date is its midnight in UTC.

    Raises:
        InputError: If there is no row, no such column, or a time is missing or out of range.
    """
    import pyarrow
    import pyarrow.compute

    require_column(timestamp_column, table.column_names, "timestamp_column")
    times = table[timestamp_column]
    if not (pyarrow.types.is_timestamp(times.type) or pyarrow.types.is_date(times.type)):
        raise InputError(
            f"timestamp_column must be a column of times or dates; {timestamp_column!r} is {times.type}.",
            "Text and numbers say no zone and no unit: make times of them first.",
        )
    if table.num_rows == 0:
        raise InputError("The entity dataset must hold at least one row; it holds none.")
    if times.null_count:
        raise InputError(
            f"Every row must have a time; {times.null_count} rows have none in {timestamp_column!r}.",
            "Without it, nothing tells which values were known.",
        )
    if pyarrow.types.is_timestamp(times.type):
        times = pyarrow.compute.floor_temporal(times, unit="microsecond")
    try:
        return times.cast(pyarrow.timestamp("us")).cast(pyarrow.timestamp("us", "UTC"))
    except pyarrow.ArrowInvalid:
        raise InputError(
            f"The times in {timestamp_column!r} must fit into microseconds since 1970 in 64 bits; one does not."
        ) from None


def column_names(views: Sequence[View], taken: Sequence[str], full_feature_names: bool) -> list[str]:
    """Return the column that each feature of each view is written to.

    Raises:
        InputError: If two would be one, or one is there already.
    """
    names = [f"{view.name}__{name}" if full_feature_names else name for view in views for name in view.features]
    if repeated := repeated_names([*names, *taken]):
        raise InputError(
            f"The features must have other names than one another and the dataset's columns; "
            f"got more than once: {', '.join(map(repr, repeated))}.",
            None if full_feature_names else "With full_feature_names they are called view__feature.",
        )
    return names


def missing_share(column: pyarrow.ChunkedArray) -> float:
    """Return the share of rows without a value, 0 to 1: null or NaN, which pandas writes for null."""
    import pyarrow.compute

    missing: int = pyarrow.compute.sum(column.is_null(nan_is_null=True)).as_py()
    return missing / len(column)


def require_found(shares: Mapping[str, float], max_missing_share: float | None) -> None:
    """Raise `InputError` if too many rows lack a feature.

    Args:
        shares: Feature to the share of rows that lack it.
        max_missing_share: The greatest there may be; None is any below 1.
    """
    name, share = max(shares.items(), key=lambda entry: entry[1])
    if share == 1 if max_missing_share is None else share > max_missing_share:
        limit = "below 1" if max_missing_share is None else f"at most {max_missing_share:g}"
        raise InputError(
            f"The share of rows without the feature {name!r} must be {limit}; got {share:.3g}.",
            "Values of a later time, older than the view's ttl, created after the row's time, or of other entities are "
            "not given.",
        )


def _features(
    repository: Repository,
    views: Sequence[View],
    table: pyarrow.Table,
    times: pyarrow.ChunkedArray,
    filter_by_created_timestamp: bool,
) -> tuple[list[pyarrow.ChunkedArray], list[str]]:
    """Return each feature for each row, and the digests of the sources.

    Each view is joined by itself, to the keys and times that differ, and its features are laid beside the rows here:
    so rows stay as they are and where they are, whatever the engine does with them.
    """
    from kfp_hallmark.components.data.retrieve_features.engine import database, feature_types, join, open_store
    from kfp_hallmark.components.data.retrieve_features.sources import Source, require_joinable

    types = [feature_types(view) for view in views]
    given = dict(zip(table.column_names, table.schema.types, strict=True))
    columns = []
    with tempfile.TemporaryDirectory(prefix="hallmark-") as folder:
        sources = [Source(view, repository, Path(folder, str(place))) for place, view in enumerate(views)]
        for source in sources:
            require_joinable(source.view, source, given)
        store = open_store(sources, Path(folder))
        with database(Path(folder, "joins")):
            for place, source in enumerate(sources):
                entities, rows = distinct_entities(table, list(source.view.keys.values()), times)
                joined = join(store, place, source.view, entities, filter_by_created_timestamp)
                source.require_unchanged()
                for name, kind in types[place].items():
                    columns.append(typed(joined[name], kind, name, source.view).take(rows))
    return columns, list(dict.fromkeys(source.digest for source in sources))


def distinct_entities(
    table: pyarrow.Table, columns: Sequence[str], times: pyarrow.ChunkedArray
) -> tuple[pandas.DataFrame, pyarrow.Array]:
    """Return the keys and times that differ, and for each row which of them is its own.

    Args:
        table: The rows.
        columns: The columns of the join keys.
        times: The time of each row, in UTC.

    Returns:
        A frame of the keys, called by their place, and the time; and for each row the place there, null where a key is
        missing: a row without a key is of no entity.
    """
    import numpy
    import pyarrow

    from kfp_hallmark.components.data.retrieve_features.engine import KEY, TIME

    keys = {KEY.format(place): table[column] for place, column in enumerate(columns)}
    rows = pyarrow.table({**keys, TIME: times, "row": numpy.arange(table.num_rows)}).drop_null().to_pandas()
    names = [*keys, TIME]
    places = numpy.full(table.num_rows, -1)
    places[rows["row"]] = rows.groupby(names, sort=False, dropna=False).ngroup()
    distinct = rows.drop_duplicates(names)[names].reset_index(drop=True)
    return distinct, pyarrow.array(places, mask=places < 0)


def typed(column: pyarrow.ChunkedArray, kind: pyarrow.DataType, name: str, view: View) -> pyarrow.ChunkedArray:
    """Return a feature in the type that its view declares, which is the one that is served.

    Raises:
        InputError: If a value does not fit.
    """
    import pyarrow
    import pyarrow.compute

    if pyarrow.types.is_timestamp(column.type):
        column = pyarrow.compute.floor_temporal(column, unit="microsecond")
    timely = pyarrow.types.is_temporal(column.type) == pyarrow.types.is_temporal(kind)
    try:
        # A whole number says no unit, so it is no time; a column without a value may be of any type.
        if timely or column.null_count == len(column):
            return column.cast(kind)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        pass
    raise InputError(
        f"The feature {name!r} of {view.name!r} must hold {kind} as it is declared; its source holds {column.type}.",
        f"Declare what the source holds, or change the source. {APPLY}",
    )
