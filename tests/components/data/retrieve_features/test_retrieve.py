"""retrieve_features: what a row is given, held against tables computed by hand and by pandas."""

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import fsspec
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from fakes.postgresql import PASSWORD, USER, server

from kfp_hallmark.components.data.retrieve_features.library import calm
from kfp_hallmark.components.data.retrieve_features.retrieve import retrieve
from kfp_hallmark.contracts.dataset import dataset_lineage, dataset_metadata, read_table
from kfp_hallmark.contracts.digest import artifact_digest, file_digest

BIG = 2**53 + 1

# A row's customer and time; the amount and visits that were known then, and those that corrections tell of later.
EVENTS = [
    (1, "2024-03-01T09:59:59.999999", None, None),
    (1, "2024-03-01T10:00:00", None, (10.5, 1)),
    (1, "2024-03-01T10:05:00", (10.5, 1), (10.5, 1)),
    (1, "2024-03-02T11:59:59.999999", (10.5, 1), (10.5, 1)),
    (1, "2024-03-02T12:00:00", (10.5, 1), (21.0, 3)),
    (1, "2024-03-04T08:59:59.999999", (20.0, 2), (21.0, 3)),
    (1, "2024-03-04T09:00:00", (21.0, 3), (21.0, 3)),
    (1, "2024-03-04T12:00:00", (21.0, 3), (21.0, 3)),
    (1, "2024-03-04T12:00:00.000001", None, None),
    (1, "2024-03-05T00:00:00", None, None),
    (1, "2024-03-05T00:00:00.000001", (99.0, 4), (99.0, 4)),
    (2, "2024-03-01T00:00:00", (-7.25, BIG), (-7.25, BIG)),
    (2, "2024-03-02T23:59:59.999999", (-7.25, BIG), (-7.25, BIG)),
    (2, "2024-03-03T00:00:00", (None, 9), (None, 9)),
    (7, "2024-03-04T12:00:00", None, None),
    (None, "2024-03-04T12:00:00", None, None),
]


def events(order=None, kind=None):
    rows = [EVENTS[place] for place in (range(len(EVENTS)) if order is None else order)]
    return pyarrow.table(
        {
            "label": [f"row {place}" for place in range(len(rows))],
            "customer": [customer for customer, *_ in rows],
            "moment": pyarrow.array([datetime.fromisoformat(at) for _, at, *_ in rows], kind),
        }
    )


@pytest.mark.parametrize(("known_then", "place"), [(True, 2), (False, 3)])
def test_a_row_is_given_what_was_known_at_its_time(got, known_then, place):
    table = got(events(), ["spending:amount", "spending:visits"], filter_by_created_timestamp=known_then)
    wanted = [row[place] or (None, None) for row in EVENTS]
    assert list(zip(table["amount"].to_pylist(), table["visits"].to_pylist(), strict=True)) == wanted


def test_rows_keep_their_order_number_and_columns(got):
    order = [14, 7, 7, 0, 15, 10, 7, 4, 2, 2]
    given = events(order)
    table = got(given, ["spending:visits"])
    assert table.select(given.column_names).equals(given)
    assert table.schema.types == [*given.schema.types, pyarrow.int64()]
    assert table["visits"].to_pylist() == [(EVENTS[place][2] or (None, None))[1] for place in order]


@pytest.mark.parametrize("kind", [pyarrow.timestamp("us", "UTC"), pyarrow.timestamp("ns"), pyarrow.timestamp("ms")])
def test_a_time_without_a_zone_is_in_utc(got, kind):
    whole = [place for place, (_, at, *_) in enumerate(EVENTS) if "." not in at]
    table = got(events(whole, kind), ["spending:visits"])
    assert table["visits"].to_pylist() == [(EVENTS[place][2] or (None, None))[1] for place in whole]


def test_a_value_within_the_microsecond_of_an_event_is_not_of_its_future(got):
    """Times are compared in microseconds, an event's rounded down."""
    nanoseconds = np.array(["2024-03-05T00:00:00.000000999", "2024-03-05T00:00:00.000001"], "datetime64[ns]")
    table = got({"customer": [1, 1], "moment": pyarrow.array(nanoseconds)}, ["spending:visits"])
    assert table["visits"].to_pylist() == [None, 4]


def test_a_date_is_its_midnight(got):
    days = [date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 4), date(2024, 3, 5)]
    table = got({"customer": [1] * 4, "moment": days}, ["spending:visits"])
    assert table["visits"].to_pylist() == [None, 1, 2, None]


def test_views_of_other_keys_are_joined_each_by_itself(got):
    """A value that one view has none of does not take another view's from the row."""
    given = {
        "customer": [1, 7, 2, 1, None],
        "store": ["north", "north", None, "south", "south"],
        "moment": [datetime(2024, 3, day, 4) for day in (1, 4, 3, 2, 3)],
    }
    features = ["pairs:price", "stores:area", "market:index", "spending:visits", "stores:city_y"]
    table = got(given, features)
    # What is asked of one view comes together.
    assert table.column_names[3:] == ["price", "area", "city_y", "index", "visits"]
    assert table["price"].to_pylist() == [1.5, None, None, 2.5, None]
    assert table["area"].to_pylist() == [pytest.approx(100.1), pytest.approx(100.1), None, 2.5, 2.5]
    assert table["city_y"].to_pylist() == ["Bern", "Basel", None, None, None]
    assert table["index"].to_pylist() == [1.0, 4.0, None, 2.0, None]
    assert table["visits"].to_pylist() == [None, None, 9, 1, None]
    assert [str(kind) for kind in table.schema.types[3:]] == ["double", "float", "string", "double", "int64"]


def test_a_service_may_use_a_view_twice(got):
    given = {
        "customer": [2, 1],
        "home_store": ["south", "north"],
        "work_store": ["north", "nowhere"],
        "moment": [datetime(2024, 3, 3, 5)] * 2,
    }
    table = got(given, feature_service="training", full_feature_names=True)
    assert table.column_names[4:] == ["spending__visits", "home__city_y", "work__city_y"]
    assert table["spending__visits"].to_pylist() == [9, 2]
    assert table["home__city_y"].to_pylist() == ["Ägeri", "Basel"]
    assert table["work__city_y"].to_pylist() == ["Basel", None]


def expected(rows, entities, known_then):
    """What pandas gives each row: the last value by time, then by creation, of at most 30 hours."""
    rows = rows.sort_values(["at", "written"])
    found = []
    for customer, moment in zip(entities["customer"], entities["moment"], strict=True):
        own = rows[
            (rows["customer"] == customer) & (rows["at"] <= moment) & (rows["at"] >= moment - timedelta(hours=30))
        ]
        own = own[own["written"] <= moment] if known_then else own
        found.append(None if own.empty else int(own["value"].iloc[-1]))
    return found


def test_a_call_is_not_given_the_views_of_an_earlier_one(got, monkeypatch):
    """Feast keeps what it read of a registry by `id`, which repeats: here always."""
    from feast.infra.registry import proto_registry_utils

    monkeypatch.setattr(proto_registry_utils, "id", lambda _: 0, raising=False)
    given = {"customer": [1], "store": ["north"], "moment": [datetime(2024, 3, 4)]}
    assert got(given, ["pairs:price"])["price"].to_pylist() == [1.5]
    assert got(given, ["stores:city_y"])["city_y"].to_pylist() == ["Basel"]


@pytest.mark.parametrize("name", ["written_y", "entity_row_id", "event_expire_timestamp", "event_timestamp", "rn"])
@pytest.mark.parametrize("created", [True, False])
def test_a_column_may_be_called_as_feast_calls_its_own(got, altered, name, created):
    """A time of creation, or text that is not wanted and is called so in capitals."""

    def change(registry):
        if created:
            registry.feature_views[0].spec.batch_source.created_timestamp_column = name

    uri = altered(change)
    path = Path(uri, "data", "spending.parquet")
    table = pyarrow.parquet.read_table(path)
    if created:
        table = table.rename_columns([name if column == "written" else column for column in table.column_names])
    else:
        table = table.append_column(name.upper(), table["visits"].cast("string"))
    pyarrow.parquet.write_table(table, path)
    found = got(events(), ["spending:visits"], uri=uri)
    assert found["visits"].to_pylist() == [(known or (None, None))[1] for _, _, known, _ in EVENTS]


@pytest.mark.parametrize("known_then", [True, False])
def test_many_corrected_values_are_joined_as_pandas_does(got, shop, known_then):
    generator = np.random.default_rng(3)
    moments = pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(-20, 340 * 2, 600) * 30, unit="min")
    entities = pd.DataFrame({"customer": generator.integers(0, 44, 600), "moment": moments.astype("datetime64[us]")})
    table = got(
        pyarrow.Table.from_pandas(entities, preserve_index=False),
        ["bulk:value"],
        filter_by_created_timestamp=known_then,
    )
    values = table["value"].to_pylist()
    assert values == expected(shop[1], entities, known_then)
    assert 50 < values.count(None) < 500
    if not known_then:
        rows = shop[1].sort_values(["at", "written"]).drop_duplicates(["customer", "at"], keep="last")
        joined = pd.merge_asof(
            entities.reset_index().sort_values("moment"),
            rows.astype({"at": "datetime64[us]"}),
            left_on="moment",
            right_on="at",
            by="customer",
            tolerance=pd.Timedelta(hours=30),
        ).sort_values("index")
        assert values == [None if pd.isna(value) else int(value) for value in joined["value"]]


def test_what_is_written_says_where_it_comes_from(stored, output, repository):
    entities, dataset = stored(events(), "entities"), output("retrieved")
    digest, rows = retrieve(entities, dataset, repository, "moment", ["spending:amount", "stores:area"][:1])
    metadata = dict(dataset.metadata)
    assert metadata.pop("snapshot_time").endswith("Z")
    definitions = metadata.pop("source_digest")
    assert metadata == {
        "digest": digest,
        "rows": rows,
        "columns": 4,
        "source": repository,
        "missing_shares": {"amount": 7 / 16},
    }
    assert (digest, rows) == (artifact_digest(dataset.path), len(EVENTS))
    source = file_digest(Path(repository, "data", "spending.parquet"))
    assert dataset_lineage(dataset.path) == [digest, artifact_digest(entities.path), source, definitions]
    assert dataset_metadata(dataset.path).keys() == {"lineage"}
    again = output("again")
    assert retrieve(entities, again, repository, "moment", ["spending:amount"])[0] == digest


def test_definitions_have_a_digest_of_their_own(stored, output, repository):
    entities = stored(events(), "entities")
    digests = set()
    for features in (["spending:amount"], ["spending:visits"]):
        dataset = output(features[0].replace(":", "-"))
        retrieve(entities, dataset, repository, "moment", features)
        digests.add(dataset.metadata["source_digest"])
    assert len(digests) == 2


def test_a_repository_elsewhere_gives_the_same(got, repository):
    system = fsspec.filesystem("memory")
    for path in Path(repository).rglob("*"):
        if path.is_file():
            system.pipe(f"/shop/{path.relative_to(repository)}", path.read_bytes())
    given = {"customer": [1], "store": ["north"], "moment": [datetime(2024, 3, 2, tzinfo=UTC)]}
    features = ["spending:visits", "stores:city_y"]
    assert got(given, features, uri="memory://shop").equals(got(given, features))


def test_a_registry_in_sql_gives_what_one_in_a_file_gives(got, repository, definitions, tmp_path):
    import feast

    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    database = copy / "registry.sqlite"
    settings = "project: shop\nonline_store: null\nregistry: {{registry_type: sql, path: 'sqlite:///{}.sqlite'}}\n"
    (copy / "feature_store.yaml").write_text(settings.format(database.with_suffix("")))
    with calm():
        feast.FeatureStore(repo_path=str(copy)).apply(definitions)
    (copy / "feature_store.yaml").write_text(settings.format("${SHOP_REGISTRY}"))
    before = file_digest(database)
    given = {"customer": [1], "moment": [datetime(2024, 3, 2)]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_REGISTRY", "registry")
        found = got(given, ["spending:visits"], uri=str(copy))
    assert found.equals(got(given, ["spending:visits"]))
    assert file_digest(database) == before


@pytest.mark.postgresql
def test_a_registry_may_be_in_postgresql(got, repository, definitions, tmp_path, monkeypatch):
    import feast

    copy = Path(shutil.copytree(repository, tmp_path / "copy"))
    settings = "project: shop\nonline_store: null\nregistry: {{registry_type: sql, path: '{}'}}\n"
    with server() as folder:
        address = f"{USER}:{quote(PASSWORD, safe='')}@/postgres?host={folder}"
        (copy / "feature_store.yaml").write_text(settings.format(f"postgresql+psycopg://{address}"))
        with calm():
            feast.FeatureStore(repo_path=str(copy)).apply(definitions)
        monkeypatch.setenv("SHOP_REGISTRY", address)
        (copy / "feature_store.yaml").write_text(settings.format("postgresql://${SHOP_REGISTRY}"))
        table = got({"customer": [1], "moment": [datetime(2024, 3, 2)]}, ["spending:visits"], uri=str(copy))
    assert table["visits"].to_pylist() == [1]


def test_a_repository_is_read_and_nothing_else(got, repository):
    before = artifact_digest(repository)
    got({"customer": [1], "moment": [datetime(2024, 3, 2)]}, ["spending:visits"])
    assert artifact_digest(repository) == before


def test_nothing_is_laid_beside_the_step_or_kept(got, monkeypatch):
    """What DuckDB has no memory for goes to the step's own folder; both connections are closed, and none is shared."""
    import duckdb
    import ibis

    made, connect, shared = {}, duckdb.connect, ibis.options.default_backend

    def watched(*arguments, **options):
        connection = connect(*arguments, **options)
        (folder,) = connection.execute("SELECT current_setting('temp_directory')").fetchone()
        made[folder] = connection
        return connection

    monkeypatch.setattr(duckdb, "connect", watched)
    got({"customer": [1], "moment": [datetime(2024, 3, 2)]}, ["spending:visits"])
    assert len(made) == 2
    for folder, connection in made.items():
        assert Path(folder).is_relative_to(tempfile.gettempdir()) and "hallmark-" in folder
        with pytest.raises(duckdb.ConnectionException):
            connection.execute("SELECT 1")
    assert ibis.options.default_backend is shared


def test_nothing_is_printed(got, capfd):
    got({"customer": [1], "moment": [datetime(2024, 3, 2)]}, ["spending:visits"])
    assert capfd.readouterr() == ("", "")


def test_a_step_ends_calmly():
    """DuckDB tells in many lines of what Python did not free, if it ends without that."""
    code = "import kfp_hallmark, duckdb"
    variables = {**os.environ, "_KFP_RUNTIME": "true"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_functions_in_a_registry_are_not_run(got, altered, tmp_path):
    """What is unpickled runs code: an on-demand view of the registry would make a folder."""

    class Trap:
        def __reduce__(self):
            return Path.mkdir, (tmp_path / "trapped",)

    def lay(registry):
        function = registry.on_demand_feature_views[0].spec.feature_transformation.user_defined_function
        function.body = pickle.dumps(Trap())

    got({"customer": [1], "moment": [datetime(2024, 3, 2)]}, ["spending:visits"], uri=altered(lay))
    assert not (tmp_path / "trapped").exists()


def test_other_projects_of_a_registry_do_not_matter(got, altered):
    def add(registry):
        for messages in (registry.entities, registry.feature_views):
            other = type(messages[0])()
            other.CopyFrom(messages[0])
            other.spec.project = "other"
            messages.insert(0, other)
        registry.entities[0].spec.join_key = "other"
        registry.feature_views[0].spec.batch_source.file_options.uri = "other.parquet"

    given = {"customer": [1], "moment": [datetime(2024, 3, 2)]}
    assert got(given, ["spending:visits"], uri=altered(add))["visits"].to_pylist() == [1]


def test_a_source_may_be_of_a_store_that_speaks_s3(got, altered, repository, monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    asked = []

    class Store(MemoryFileSystem):
        store, cachable = {}, False

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(path.removeprefix("s3://"))

        def __init__(self, **options):
            asked.append(options.get("client_kwargs"))
            super().__init__()

    def move(registry):
        view = next(view for view in registry.feature_views if view.spec.name == "spending")
        view.spec.batch_source.file_options.uri = "s3://bucket/spending.parquet"
        view.spec.batch_source.file_options.s3_endpoint_override = "http://minio:9000"

    Store().pipe("bucket/spending.parquet", Path(repository, "data", "spending.parquet").read_bytes())
    monkeypatch.setattr("s3fs.S3FileSystem", Store)
    given = {"customer": [1], "moment": [datetime(2024, 3, 2)]}
    assert got(given, ["spending:visits"], uri=altered(move))["visits"].to_pylist() == [1]
    assert {"endpoint_url": "http://minio:9000"} in asked


def test_times_of_other_centuries(got):
    given = {"store": ["north"] * 3, "moment": [datetime(1500, 1, 1), datetime(2024, 3, 4), datetime(2500, 1, 1)]}
    assert got(given, ["stores:city_y"])["city_y"].to_pylist() == [None, "Basel", "Basel"]


def test_only_what_is_wanted_is_read(got, repository, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    (copy / "data" / "pairs.parquet").unlink()
    table = got({"customer": [1], "moment": [datetime(2024, 3, 2)]}, ["spending:visits"], uri=str(copy))
    assert table.num_columns == 3


@pytest.mark.parametrize("given", [{"feature_service": "training"}, {"features": ["a:b"]}, {"max_missing_share": 0.5}])
def test_what_may_be_right_is_let_through_early(given):
    from kfp_hallmark.components.data.retrieve_features.early import check

    check(given)


def test_the_unused_columns_of_a_table_do_not_matter(stored, output, repository):
    given = {"event_timestamp": ["x"], "hallmark_row": [5], "customer": [1], "moment": [datetime(2024, 3, 2)]}
    dataset = output("retrieved")
    retrieve(stored(given, "entities"), dataset, repository, "moment", ["spending:visits"])
    assert read_table(dataset.path).to_pylist() == [{**{name: cell[0] for name, cell in given.items()}, "visits": 1}]
