"""Feast itself: a store of the views that are wanted, in a folder of the step's, and its point-in-time join."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.retrieve_features.library import calm
from kfp_hallmark.components.data.retrieve_features.repository import View
from kfp_hallmark.components.data.retrieve_features.sources import Source
from kfp_hallmark.contracts.dataset import plain_type
from kfp_hallmark.errors import InputError

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from feast import FeatureStore, FeatureView

PROJECT = "hallmark"
TIME = "event_timestamp"
"""What Feast calls the time of a row of entities."""
ROW, VALUE_TIME, CREATED = "hallmark_row", "hallmark_time", "hallmark_created"
KEY, FEATURE, OTHER = "hallmark_key_{}", "hallmark_feature_{}", "hallmark_other_{}"
"""What columns are called here, whatever the repository calls them: Feast's join drops columns by their names' endings,
and takes one column for another of the same name."""
TAKEN = {"entity_row_id", "event_expire_timestamp", "rn", TIME, ROW}
"""What the columns are called that the join adds; DuckDB tells no case."""
DAY = 86_400_000_000_000


def feature_types(view: View) -> dict[str, pyarrow.DataType]:
    """Return the plain type of each feature that is wanted, as the repository declares it.

    Raises:
        InputError: If one is not plain.
    """
    with calm():
        from feast.types import from_feast_to_pyarrow_type, from_value_type
        from feast.value_type import ValueType

    types = {}
    for name, number in view.features.items():
        try:
            kind = from_feast_to_pyarrow_type(from_value_type(ValueType(number)))
        except ValueError:
            declared = {kind.value: kind.name for kind in ValueType}.get(number, number)
            raise InputError(
                f"The feature {name!r} must hold numbers, text, booleans or times; it is declared as {declared}."
            ) from None
        types[name] = plain_type(kind, name)
    return types


def open_store(sources: Sequence[Source], folder: Path) -> FeatureStore:
    """Return a store whose views, called by their place, are over the sources' files.

    Feast reads files with one of two engines. This is DuckDB's. The default, on Dask, loses rows of entities, and of
    values that were corrected it may give an older one.
    Source: https://github.com/feast-dev/feast/issues/6787 and https://github.com/feast-dev/feast/issues/3360.

    Feast keeps the views of the last registry for the whole process, by its place in memory, which a later one may
    take, and its version. So each has a version of its own.
    """
    with calm():
        from feast import FeatureStore, RepoConfig
        from feast.protos.feast.core.Registry_pb2 import Registry

        registry = Registry(registry_schema_version="1", version_id=str(uuid.uuid4()))
        for place, source in enumerate(sources):
            view = _definition(view_name(place), source)
            view_message = registry.feature_views.add()
            view_message.CopyFrom(view.to_proto())
            view_message.spec.project = PROJECT
        path = folder / "registry.db"
        path.write_bytes(registry.SerializeToString())
        settings = {"registry": str(path), "offline_store": {"type": "duckdb"}, "online_store": None}
        config = RepoConfig(project=PROJECT, provider="local", **settings)
        return FeatureStore(repo_path=str(folder), config=config)


@contextmanager
def database(folder: Path) -> Iterator[None]:
    """Let Feast's engine be a DuckDB that goes to disk below a folder, and ends with the block.

    Ibis has one for the whole process: it would keep each call's entities, and go to disk in the working directory.
    """
    import duckdb
    import ibis

    former = ibis.options.default_backend
    with duckdb.connect(config={"temp_directory": str(folder)}) as connection:
        ibis.options.default_backend = ibis.duckdb.from_connection(connection)
        try:
            yield
        finally:
            ibis.options.default_backend = former


def view_name(place: int) -> str:
    """Return what the view at a place is called in the store."""
    return f"view_{place}"


def _definition(name: str, source: Source) -> FeatureView:
    """Return a view over a source's files, with keys and features that are called by their place."""
    from datetime import timedelta

    from feast import Entity, FeatureView, Field, FileSource
    from feast.data_format import ParquetFormat
    from feast.types import String, UnixTimestamp, from_value_type
    from feast.value_type import ValueType

    view = source.view
    renamed = _renamed(view)
    others = [column for column in source.columns if column.lower() in TAKEN and column not in renamed]
    keys = [KEY.format(place) for place in range(len(view.keys))]
    types = {renamed[view.column(name)]: from_value_type(ValueType(kind)) for name, kind in view.features.items()}
    return FeatureView(
        name=name,
        entities=[Entity(name=f"{name}_{key}", join_keys=[key]) for key in keys],
        schema=[
            *(Field(name=key, dtype=String) for key in keys),
            *(Field(name=field, dtype=kind) for field, kind in {VALUE_TIME: UnixTimestamp, **types}.items()),
        ],
        ttl=timedelta(days=-(-view.ttl // DAY)),
        source=FileSource(
            name=name,
            path=source.pattern,
            file_format=ParquetFormat(),
            timestamp_field=VALUE_TIME,
            created_timestamp_column=renamed[view.created] if view.created else "",
            field_mapping=renamed | {column: OTHER.format(place) for place, column in enumerate(others)},
        ),
    )


def _renamed(view: View) -> dict[str, str]:
    """Return what each column that is wanted of a source is called in the store."""
    renamed = {view.timestamp: VALUE_TIME}
    for names, pattern in ((view.keys, KEY), (view.features, FEATURE)):
        for place, name in enumerate(names):
            renamed.setdefault(view.column(name), pattern.format(place))
    if view.created:
        renamed.setdefault(view.created, CREATED)
    return renamed


def join(
    store: FeatureStore, place: int, view: View, entities: pandas.DataFrame, filter_by_created_timestamp: bool
) -> pyarrow.Table:
    """Return the features of a view for some entities, in their order.

    Args:
        store: Of `open_store`.
        place: The view's place in it.
        view: The view.
        entities: The view's keys in their order, called by their place, and `TIME`, in UTC.
        filter_by_created_timestamp: Whether to leave out what was created after the entities' time.

    Raises:
        InputError: If Feast cannot join them.
    """
    import numpy
    import pyarrow

    if entities.empty:
        return pyarrow.table({name: pyarrow.nulls(0) for name in view.features})
    renamed = _renamed(view)
    names = [renamed[view.column(name)] for name in view.features]
    with calm():
        try:
            table = store.get_historical_features(
                entity_df=entities.assign(**{ROW: range(len(entities))}),
                features=[f"{view_name(place)}:{name}" for name in dict.fromkeys([VALUE_TIME, *names])],
                filter_by_created_timestamp=filter_by_created_timestamp,
            ).to_arrow()
        except Exception as error:  # Feast and its engine raise errors of many kinds, which may show values.
            raise InputError(
                f"The features of {view.name!r} must be such that Feast can retrieve them; it cannot "
                f"({type(error).__name__}).",
                "Ask Feast itself, by `get_historical_features`: what it says may hold records, and is not told here.",
            ) from None
    table = table.sort_by(ROW)
    if not numpy.array_equal(table[ROW].to_numpy(), numpy.arange(len(entities))):
        raise InputError(f"Feast must give each entity the features of {view.name!r} once; it does not.")
    fresh = _fresh(table[VALUE_TIME], pyarrow.array(entities[TIME]), view.ttl)
    columns = [_where(fresh, table[name]) for name in names]
    return pyarrow.table(columns, names=list(view.features))


def _fresh(value_times: pyarrow.ChunkedArray, times: pyarrow.Array, ttl: int) -> pyarrow.ChunkedArray:
    """Return which values are not older than a ttl, in nanoseconds, at the time of their entity.

    Feast is told the ttl in whole days, because its engine takes no other of more than one. The value that it gives is
    the latest one, so where that is too old there is none.
    """
    import pyarrow
    import pyarrow.compute

    kind = pyarrow.timestamp("us", "UTC")
    age = pyarrow.compute.subtract(times.cast(kind), value_times.cast(kind)).cast(pyarrow.int64())
    return pyarrow.compute.less_equal(age, ttl // 1000) if ttl else age.is_valid()


def _where(kept: pyarrow.ChunkedArray, column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    import pyarrow
    import pyarrow.compute

    return pyarrow.compute.if_else(kept, column, pyarrow.scalar(None, column.type))
