"""A Feast feature repository as it was applied: what its registry says of its feature views.

Neither the repository's Python files nor the functions that a registry holds (of on-demand, stream and transforming
views) are run: the registry's messages are read, and Feast is given views made anew from them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.data.retrieve_features.library import load
from kfp_hallmark.contracts.documents import NO_YAML
from kfp_hallmark.errors import InputError, MissingInputError, nearest
from kfp_hallmark.storage import advice, reading, shown

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from sqlalchemy import URL

FILE = "feature_store.yaml"
OFFLINE_STORES = ("dask", "duckdb", "file")
"""The offline stores whose features are in files."""
REGISTRIES = ("file", "sql")
NO_ENTITY = "__dummy"
"""What Feast calls the entity of a view that has none."""
APPLY = "Run `feast apply` in the repository."
FILES = "Features are read from Parquet files: export them, or ask a warehouse by query_dataset."
NO_CODE = "What holds Python code is not run: materialize it, and retrieve it from a plain feature view."


@dataclass(frozen=True)
class View:
    """A feature view, as far as its features are wanted.

    Attributes:
        name: Its name, or the alias that a feature service gives it.
        features: Name of each wanted feature to Feast's number of its type.
        keys: Join key to the column of the entity dataset that holds it.
        columns: Join key or feature to the source's column, where that has another name.
        ttl: Greatest age of a value, in nanoseconds; 0 is without limit.
        uri: The source, as the definition says it.
        endpoint: Where S3 is, if not at Amazon.
        timestamp: Column of the source with the time of an event.
        created: Column of the source with the time at which a row was written; None without.
    """

    name: str
    features: Mapping[str, int]
    keys: Mapping[str, str]
    columns: Mapping[str, str]
    ttl: int
    uri: str
    endpoint: str
    timestamp: str
    created: str | None

    @property
    def wanted(self) -> list[str]:
        """The source's columns that are read, each once."""
        names = map(self.column, (*self.keys, *self.features))
        return list(dict.fromkeys([*names, self.timestamp, *([self.created] if self.created else [])]))

    def column(self, name: str) -> str:
        """Return the source's column of a join key or a feature."""
        return self.columns.get(name, name)


class Repository:
    """A feature repository.

    Attributes:
        name: Its URI without credentials, for messages and metadata.
        project: Feast's project.
    """

    def __init__(self, uri: str) -> None:
        """Read what a repository's feature_store.yaml and its registry say.

        Raises:
            MissingInputError: If there is no such repository, or it was not applied.
            InputError: If it cannot be read, or its features are not in files.
        """
        if not uri:
            raise InputError("repository_uri must be a path or a URI; got ''.")
        self.name = shown(uri)
        self._uri = uri
        config = self._config()
        self.project: str = config["project"]
        self._registry = self._read_registry(config["registry"])

    def located(self, path: str) -> tuple[AbstractFileSystem, str]:
        """Return the file system of a path as the repository writes it, and the path there.

        Raises:
            InputError: If nothing can open it.
        """

        system, folder = _file_system(self._uri, self.name)
        if "://" in path or Path(path).is_absolute():
            return _file_system(path, shown(path))
        return system, f"{folder.rstrip('/')}/{path.removeprefix('./')}"

    def views(self, features: Sequence[str] | None, service: str | None) -> list[View]:
        """Return the views of the features that are wanted, each view and feature in the order in which it is named.

        Args:
            features: Each as view:feature.
            service: Name of the feature service whose features are wanted, if not by name.

        Raises:
            InputError: If there is no such view, feature or service, or one is not plain and of files.
        """
        if service is not None:
            views = [self._projected(projection) for projection in self._service(service).spec.features]
            if not any(view.features for view in views):
                raise InputError(f"feature_service must have features; {service!r} has none.")
            return views
        wanted: dict[str, list[str]] = {}
        for name in features or ():
            view, _, feature = name.partition(":")
            wanted.setdefault(view, []).append(feature)
        return [self._view(view, view, names, {}) for view, names in wanted.items()]

    def _config(self) -> dict[str, Any]:
        """Return what feature_store.yaml says, checked as far as it is used."""
        import yaml

        system, folder = _file_system(self._uri, self.name)
        with reading("repository_uri", self._uri):
            try:
                text = system.cat_file(f"{folder.rstrip('/')}/{FILE}").decode()
            except (FileNotFoundError, NotADirectoryError):
                raise MissingInputError(
                    f"repository_uri must be a folder with {FILE}; got {self.name!r}.", advice(self._uri)
                ) from None
        try:
            config = yaml.safe_load(os.path.expandvars(text))
        except (yaml.YAMLError, *NO_YAML) as error:
            mark = getattr(error, "problem_mark", None)
            where = f" (line {mark.line + 1})" if mark else ""
            raise InputError(f"The {FILE} of {self.name!r} must be YAML; it cannot be parsed{where}.") from None
        if not isinstance(config, dict) or not isinstance(config.get("project"), str):
            raise InputError(
                f"The {FILE} of {self.name!r} must name a project, as text; it names none.",
                "Feast writes it as in `project: shop`.",
            )
        if not isinstance(config.get("registry"), str | dict):
            raise InputError(
                f"The {FILE} of {self.name!r} must name a registry; it names none.",
                "Feast writes it as in `registry: data/registry.db`.",
            )
        kind = _type(config.get("offline_store", "dask"), "type")
        self._require_known("offline_store", kind, OFFLINE_STORES, FILES)
        return config

    def _require_known(self, what: str, kind: object, known: Sequence[str], hint: str | None = None) -> None:
        if kind not in known:
            raise InputError(
                f"The {what} of {self.name!r} must be of the type {', '.join(known[:-1])} or {known[-1]}; "
                f"got {kind!r}.",
                hint,
            )

    def _read_registry(self, config: str | dict[str, Any]) -> Any:
        """Return the registry's message; see `feast/core/Registry.proto`."""
        kind = "file" if isinstance(config, str) else config.get("registry_type", "file")
        self._require_known("registry", kind, REGISTRIES)
        path = config if isinstance(config, str) else config.get("path")
        if not isinstance(path, str) or not path:
            raise InputError(
                f"The registry of {self.name!r} must have a path; it has none.",
                "Feast writes it as in `registry: {registry_type: file, path: data/registry.db}`.",
            )
        load()
        registry = self._of_tables(path) if kind == "sql" else self._of_file(path)
        projects = {view.spec.project for view in registry.feature_views}
        if self.project not in projects:
            raise MissingInputError(
                f"The registry of {self.name!r} must hold feature views of the project {self.project!r}; "
                "it holds none.",
                " ".join(filter(None, [nearest(self.project, [*projects]), APPLY])),
            )
        return registry

    def _of_file(self, path: str) -> Any:
        from feast.protos.feast.core.Registry_pb2 import Registry
        from google.protobuf.message import DecodeError

        content = self._content("The registry", path)
        registry = Registry()
        try:
            registry.ParseFromString(content)
        except DecodeError:
            raise InputError(
                f"The registry of {self.name!r} must be one that Feast wrote; it is none.", APPLY
            ) from None
        return registry

    def _content(self, what: str, path: str) -> bytes:
        """Return the bytes of a file of the repository's."""
        system, location = self.located(path)
        with reading(f"{what} of repository_uri", self._uri):
            try:
                content: bytes = system.cat_file(location)
            except FileNotFoundError:
                raise MissingInputError(f"{what} of {self.name!r} must be there; it is not.", APPLY) from None
        return content

    def _of_tables(self, path: str) -> Any:
        """Read the tables of a SQL registry, and change nothing in them."""
        from feast.infra.registry import sql
        from feast.protos.feast.core.Registry_pb2 import Registry
        from google.protobuf.message import DecodeError
        from sqlalchemy import NullPool, create_engine, select
        from sqlalchemy.exc import SQLAlchemyError

        registry = Registry()
        tables = {
            sql.entities: registry.entities,
            sql.feature_views: registry.feature_views,
            sql.feature_services: registry.feature_services,
            sql.on_demand_feature_views: registry.on_demand_feature_views,
            sql.stream_feature_views: registry.stream_feature_views,
            sql.label_views: registry.label_views,
        }
        with tempfile.TemporaryDirectory(prefix="hallmark-") as folder:
            try:
                engine = create_engine(self._database(path, Path(folder)), poolclass=NullPool)
                with engine.connect() as connection:
                    for table, messages in tables.items():
                        column = next(column for column in table.columns if column.name.endswith("_proto"))
                        rows = connection.execute(select(column).where(table.c.project_id == self.project))
                        for (content,) in rows:
                            message = messages.add()
                            message.ParseFromString(content)
                            message.spec.project = self.project
            except (SQLAlchemyError, DecodeError, ImportError) as error:
                raise InputError(
                    f"The registry of {self.name!r} must be a database that Feast was applied to; "
                    f"it cannot be read ({type(error).__name__}).",
                    "Check its path, that the step may read it there, and that `feast apply` was run.",
                ) from None
        return registry

    def _database(self, path: str, folder: Path) -> URL:
        """Return the address of a registry's database; a SQLite file is copied, as it may be anywhere."""
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            url = make_url(path)
        except (ArgumentError, ValueError):  # They may show a part of a password.
            raise InputError(
                f"The registry of {self.name!r} must be at a database's URL; it is not.",
                "Such is postgresql://USER:${PASSWORD}@HOST/DATABASE.",
            ) from None
        if url.get_backend_name() == "postgresql":
            return url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() != "sqlite" or not url.database:
            return url
        copy = folder / "registry.db"
        copy.write_bytes(self._content("The registry", url.database))
        return url.set(database=str(copy))

    def _service(self, name: str) -> Any:
        return self._named(self._registry.feature_services, name, "feature_service must be a feature service")

    def _named(self, messages: Iterable[Any], name: str, rule: str) -> Any:
        """Return the message of that name in the project."""
        known = {message.spec.name: message for message in messages if message.spec.project == self.project}
        if name not in known:
            raise InputError(f"{rule} of the project {self.project!r}; got {name!r}.", nearest(name, list(known)))
        return known[name]

    def _projected(self, projection: Any) -> View:
        """Return a view as a feature service uses it."""
        return self._view(
            projection.feature_view_name,
            projection.feature_view_name_alias or projection.feature_view_name,
            [field.name for field in projection.feature_columns],
            dict(projection.join_key_map),
        )

    def _view(self, name: str, alias: str, features: Sequence[str], renamed: Mapping[str, str]) -> View:
        spec = self._plain_view(name)
        known = {field.name: field.value_type for field in spec.features}
        for feature in features:
            if feature not in known:
                raise InputError(
                    f"A feature must be one of the feature view {name!r}; got {feature!r}.",
                    nearest(feature, list(known)),
                )
        source = spec.batch_source
        columns = {field: column for column, field in source.field_mapping.items()}
        keys = [self._join_key(entity, name) for entity in spec.entities if entity != NO_ENTITY]
        return View(
            name=alias,
            features={feature: known[feature] for feature in features},
            keys={key: renamed.get(key, key) for key in keys},
            columns=columns,
            ttl=spec.ttl.ToNanoseconds(),
            uri=source.file_options.uri,
            endpoint=source.file_options.s3_endpoint_override,
            timestamp=columns.get(source.timestamp_field, source.timestamp_field),
            created=columns.get(source.created_timestamp_column, source.created_timestamp_column) or None,
        )

    def _join_key(self, entity: str, view: str) -> str:
        rule = f"An entity of the feature view {view!r} must be one"
        return self._named(self._registry.entities, entity, rule).spec.join_key

    def _plain_view(self, name: str) -> Any:
        """Return the definition of a view that holds no code and is of Parquet files."""
        from feast.protos.feast.core.DataSource_pb2 import DataSource

        for kind, messages in (
            ("an on-demand feature view", self._registry.on_demand_feature_views),
            ("a stream feature view", self._registry.stream_feature_views),
            ("a label view", self._registry.label_views),
        ):
            if any(view.spec.name == name and view.spec.project == self.project for view in messages):
                raise InputError(f"A feature must be of a plain feature view; {name!r} is {kind}.", NO_CODE)
        spec = self._named(self._registry.feature_views, name, "A feature must be of a feature view").spec
        if spec.HasField("feature_transformation") or spec.source_views:
            raise InputError(f"A feature must be of a plain feature view; {name!r} transforms others.", NO_CODE)
        if spec.disabled:
            raise InputError(
                f"A feature must be of an enabled feature view; {name!r} is disabled.",
                f"Set `enabled=True` in its definition. {APPLY}",
            )
        source = spec.batch_source
        form = source.file_options.file_format.WhichOneof("format")
        if source.type != DataSource.BATCH_FILE or form not in (None, "parquet_format"):
            kinds = {number: kind for kind, number in DataSource.SourceType.items()}
            got = kinds.get(source.type, source.type) if source.type != DataSource.BATCH_FILE else form
            raise InputError(f"The source of the feature view {name!r} must be of Parquet files; got {got}.", FILES)
        return spec


def _type(value: object, key: str) -> object:
    return value.get(key, "dask") if isinstance(value, dict) else value


def _file_system(uri: str, name: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of a path or URI, and the path there.

    Raises:
        InputError: If nothing can open it.
    """
    import fsspec

    try:
        system, location = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError):
        raise InputError(
            f"repository_uri and what it names must be paths or URIs that fsspec can open; got {name!r}.",
            "Such are gs://BUCKET/FOLDER and s3://BUCKET/FOLDER.",
        ) from None
    return system, location
