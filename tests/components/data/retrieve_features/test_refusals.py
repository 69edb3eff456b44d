"""retrieve_features: what is refused, in words that tell what to do, before anything is written."""

import math
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from kfp_hallmark.components.data.retrieve_features.early import check
from kfp_hallmark.components.data.retrieve_features.retrieve import retrieve
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

ROW = {"customer": [1, 2], "store": ["north", "south"], "moment": [datetime(2024, 3, 2), datetime(2024, 3, 3)]}
VISITS = ["spending:visits"]


@pytest.fixture
def refused(stored, output, repository):
    """Retrieve what must be refused; return the message, having seen that nothing was written."""

    def refuse(error=InputError, columns=ROW, features=VISITS, timestamp="moment", uri=repository, **options):
        entities, dataset = stored(columns, "entities"), output("retrieved")
        with pytest.raises(error) as caught:
            retrieve(entities, dataset, uri, timestamp, features, **options)
        assert {path.name for path in Path(dataset.path).parent.iterdir()} <= {"entities", "copy"}
        assert not dataset.metadata
        return str(caught.value)

    return refuse


@pytest.fixture
def copy(repository, tmp_path):
    """A copy of the repository, to be spoilt."""
    return Path(shutil.copytree(repository, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            ["spendings:visits"],
            "A feature must be of a feature view of the project 'shop'; got 'spendings'.\n"
            "Hint: Did you mean 'spending'?",
        ),
        (
            ["spending:visit"],
            "A feature must be one of the feature view 'spending'; got 'visit'.\nHint: Did you mean 'visits'?",
        ),
        (["spending"], "A feature must be written view:feature; got 'spending'."),
        ([":visits"], "A feature must be written view:feature; got ':visits'."),
        ([5], "A feature must be written view:feature; got 5."),
        ([], "features must name at least one feature; got none."),
        (VISITS * 2, "Each feature must be named once; got more than once: 'spending:visits'."),
        (
            ["doubled:double"],
            "A feature must be of a plain feature view; 'doubled' is an on-demand feature view.\n"
            "Hint: What holds Python code is not run",
        ),
        (
            ["off:vip"],
            "A feature must be of an enabled feature view; 'off' is disabled.\nHint: Set `enabled=True`",
        ),
        (["vectors:vector"], "The column 'vector' must hold numbers, text, booleans, dates or times; got list"),
        (
            ["twice:amount"],
            "The source 'data/twice.parquet' of the feature view 'twice' must hold one row for each entity and time; "
            "1 of them have several rows that differ.\n"
            "Hint: Drop all but one, or name a created_timestamp_column",
        ),
        (
            ["spending:amount", "twice:amount"],
            "The features must have other names than one another and the dataset's columns; "
            "got more than once: 'amount'.\nHint: With full_feature_names they are called view__feature.",
        ),
    ],
)
def test_features_that_cannot_be_had(refused, features, message):
    assert message in refused(features=features)


@pytest.mark.parametrize(
    ("service", "message"),
    [
        (
            "trainning",
            "feature_service must be a feature service of the project 'shop'; got 'trainning'.\n"
            "Hint: Did you mean 'training'?",
        ),
        ("mixed", "A feature must be of a plain feature view; 'doubled' is an on-demand feature view."),
        (
            "training",
            "The join key of the feature view 'home' must be a column of the dataset; got 'home_store'.\n"
            "Hint: Did you mean 'store'?",
        ),
    ],
)
def test_services_that_cannot_be_had(refused, service, message):
    assert message in refused(features=None, feature_service=service, full_feature_names=True)


def test_a_service_without_features(refused, altered):
    uri = altered(lambda registry: [service.spec.ClearField("features") for service in registry.feature_services])
    told = refused(uri=uri, features=None, feature_service="training")
    assert told == "feature_service must have features; 'training' has none."


def test_one_way_to_name_features_is_asked_for(refused):
    assert refused(features=None) == "features or feature_service must say what to get; got neither."
    both = "features and feature_service must not both be given; got both."
    assert refused(feature_service="training") == both
    with pytest.raises(InputError, match=both):
        check({"features": VISITS, "feature_service": "training"})


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan")])
def test_a_share_is_from_0_to_1(refused, share):
    assert f"max_missing_share must be from 0 to 1; got {share}." == refused(max_missing_share=share)
    with pytest.raises(InputError, match="must be from 0 to 1"):
        check({"max_missing_share": share})


@pytest.mark.parametrize(
    ("columns", "timestamp", "message"),
    [
        (
            ROW,
            "moments",
            "timestamp_column must be a column of the dataset; got 'moments'.\nHint: Did you mean 'moment'?",
        ),
        (ROW, "store", "timestamp_column must be a column of times or dates; 'store' is string."),
        (
            {**ROW, "moment": [1, 2]},
            "moment",
            "timestamp_column must be a column of times or dates; 'moment' is int64.",
        ),
        (
            {**ROW, "moment": [datetime(2024, 3, 2), None]},
            "moment",
            "Every row must have a time; 1 rows have none in 'moment'.",
        ),
        (
            {**ROW, "moment": pyarrow.array([0, 2**31 - 1], pyarrow.date32())},
            "moment",
            "The times in 'moment' must fit into microseconds since 1970 in 64 bits; one does not.",
        ),
        (pyarrow.table(ROW).slice(0, 0), "moment", "The entity dataset must hold at least one row; it holds none."),
        (
            {"moment": ROW["moment"]},
            "moment",
            "The join key of the feature view 'spending' must be a column of the dataset; got 'customer'.",
        ),
        (
            {**ROW, "customer": ["1", "2"]},
            "moment",
            "The join key 'customer' must be int32 as in the feature view 'spending'; got string.",
        ),
        (
            {**ROW, "customer": [1.0, 2.0]},
            "moment",
            "The join key 'customer' must be int32 as in the feature view 'spending'; got double.\n"
            "Hint: Keys are not converted",
        ),
        (
            {**ROW, "visits": [0, 0]},
            "moment",
            "The features must have other names than one another and the dataset's columns; got more "
            "than once: 'visits'.",
        ),
    ],
)
def test_entities_that_cannot_be_used(refused, columns, timestamp, message):
    assert message in refused(columns=columns, timestamp=timestamp)


def test_entities_that_were_changed(stored, output, repository):
    entities, dataset = stored(ROW, "entities"), output("retrieved")
    entities.metadata["digest"] = "sha256:" + "0" * 64
    with pytest.raises(IntegrityError, match="The entity dataset must have the digest"):
        retrieve(entities, dataset, repository, "moment", VISITS)


def test_too_many_rows_without_a_feature(refused, got):
    """Of four rows one lacks the amount, and two the store's area."""
    moments = [datetime(2024, 3, day) for day in (2, 2, 2, 2)]
    columns = {"customer": [1, 7, 1, 2], "store": ["north", "x", None, "south"], "moment": moments}
    features = ["spending:amount", "stores:area"]
    message = refused(columns=columns, features=features, max_missing_share=0.49)
    assert message.startswith("The share of rows without the feature 'area' must be at most 0.49; got 0.5.\nHint: ")
    assert got(columns, features, max_missing_share=0.5).num_rows == 4


def test_a_number_that_is_none_is_missing(refused, got, copy):
    """NaN is kept as it is, and counted."""
    spoil(copy, amount_raw=lambda values: pyarrow.array([math.nan, 21.0, math.nan, 99.0, 7.25, None]))
    columns = {"customer": [1], "moment": [datetime(2024, 3, 2)]}
    assert "must be below 1; got 1." in refused(columns=columns, features=["spending:amount"], uri=str(copy))
    columns = {"customer": [1, 2, 1, 2], "moment": [datetime(2024, 3, day) for day in (2, 2, 3, 3)]}
    message = refused(columns=columns, features=["spending:amount"], uri=str(copy), max_missing_share=0.74)
    assert "The share of rows without the feature 'amount' must be at most 0.74; got 0.75." in message
    table = got(columns, ["spending:amount"], uri=str(copy), max_missing_share=0.75)
    assert list(map(str, table["amount"].to_pylist())) == ["nan", "7.25", "nan", "None"]


def test_a_feature_that_no_row_has(refused, got):
    columns = {"customer": [7, 8], "moment": [datetime(2024, 3, 2)] * 2}
    assert "The share of rows without the feature 'visits' must be below 1; got 1." in refused(columns=columns)
    assert got(columns, VISITS, max_missing_share=1)["visits"].null_count == 2
    columns["customer"] = pyarrow.array([None, None], pyarrow.int64())
    assert got(columns, VISITS, max_missing_share=1)["visits"].type == pyarrow.int64()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (None, MissingInputError, "repository_uri must be a folder with feature_store.yaml; got "),
        ("project: shop\nregistry: ]", InputError, " must be YAML; it cannot be parsed (line 2)."),
        ("\a", InputError, " must be YAML; it cannot be parsed."),
        ("project: 2024-13-45", InputError, " must be YAML; it cannot be parsed."),
        ("project: !!bool shop", InputError, " must be YAML; it cannot be parsed."),
        ("registry: data/registry.db", InputError, " must name a project, as text; it names none.\nHint: Feast writes"),
        ("project: 5\nregistry: data/registry.db", InputError, " must name a project, as text; it names none."),
        ("project: shop", InputError, " must name a registry; it names none.\nHint: Feast writes it as in `registry: "),
        ("project: shop\nregistry: {cache_ttl_seconds: 5}", InputError, " must have a path; it has none.\nHint: Feast"),
        (
            "project: shop\nregistry: data/other.db",
            MissingInputError,
            " must be there; it is not.\nHint: Run `feast apply` in the repository.",
        ),
        ("project: shop\nregistry: definitions.py", InputError, " that Feast wrote; it is none.\nHint: Run `feast"),
        (
            "project: other\nregistry: data/registry.db",
            MissingInputError,
            " must hold feature views of the project 'other'; it holds none.\nHint: Known: shop. Run `feast apply`",
        ),
        (
            "project: shop\nregistry: secret://x:key@data/registry.db",
            InputError,
            "must be paths or URIs that fsspec can open; got 'secret://data/registry.db'.\nHint: Such are gs://BUCKET",
        ),
        (
            "project: shop\nregistry: {registry_type: remote, path: 'key@host'}",
            InputError,
            " must be of the type file or sql; got 'remote'.",
        ),
        (
            "project: shop\nregistry: {registry_type: sql, path: 'sqlite:///none.db?k=key'}",
            MissingInputError,
            " must be there; it is not.\nHint: Run `feast apply`",
        ),
        (
            "project: shop\nregistry: {registry_type: sql, path: 'postgresql://me:key@127.0.0.1:1/x'}",
            InputError,
            " must be a database that Feast was applied to; it cannot be read (OperationalError).\nHint: Check",
        ),
        (
            "project: shop\nregistry: {registry_type: sql, path: 'postgresql://me@host:key/x'}",
            InputError,
            " must be at a database's URL; it is not.",
        ),
        (
            "project: shop\nregistry: {registry_type: sql, path: 'postgresql+psycopg2://me:key@127.0.0.1:1/x'}",
            InputError,
            " it cannot be read (OperationalError).",
        ),
        (
            "project: shop\nregistry: {registry_type: sql, path: key}",
            InputError,
            " must be at a database's URL; it is not.\nHint: Such is postgresql://USER:${PASSWORD}@HOST/DATABASE.",
        ),
        (
            "project: shop\nregistry: {registry_type: sql, path: 'none://me:key@127.0.0.1/x'}",
            InputError,
            " it cannot be read (NoSuchModuleError).",
        ),
        (
            "project: shop\nregistry: {registry_type: sql, path: 'sqlite:///data/spending.parquet'}",
            InputError,
            " it cannot be read (DatabaseError).",
        ),
        (
            "project: shop\nregistry: data/registry.db\noffline_store: {type: bigquery, dataset: key}",
            InputError,
            " must be of the type dask, duckdb or file; got 'bigquery'.\nHint: Features are read from Parquet files",
        ),
        (
            "project: shop\nregistry: data/registry.db\noffline_store: my.key.OfflineStore",
            InputError,
            " must be of the type dask, duckdb or file; got 'my.key.OfflineStore'.",
        ),
    ],
)
def test_repositories_that_cannot_be_read(refused, copy, text, error, message):
    if text is None:
        (copy / "feature_store.yaml").unlink()
    else:
        (copy / "feature_store.yaml").write_text(text)
    told = refused(error, uri=str(copy))
    assert message in told
    assert "key" not in told or "my.key" in told


@pytest.mark.parametrize("uri", ["", "nothing://x:key@y"])
def test_places_that_are_none(refused, uri):
    told = refused(uri=uri)
    assert told.startswith("repository_uri ") and "key" not in told


def spoil(copy, **columns):
    path = copy / "data" / "spending.parquet"
    table = pyarrow.parquet.read_table(path)
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.remove_column(place) if values is None else table.set_column(place, name, [values(table[name])])
    pyarrow.parquet.write_table(table, path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"visits": None}, "must have the column 'visits'; it has none."),
        ({"customer": None}, "must have the column 'customer'; it has none."),
        ({"at": None}, "must have the column 'at'; it has none."),
        (
            {"at": lambda values: values.cast("int64")},
            "must hold times in 'at'; it holds int64.\nHint: Text and numbers",
        ),
        ({"written": lambda values: values.cast("string")}, "must hold times in 'written'; it holds string."),
        (
            {"visits": lambda values: pyarrow.array([0.5] * len(values))},
            "The feature 'visits' of 'spending' must hold int64 as it is declared; its source holds double.\n"
            "Hint: Declare what the source holds, or change the source. Run `feast apply` in the repository.",
        ),
        (
            {"visits": lambda values: pyarrow.array([datetime(2024, 3, 1)] * len(values))},
            "The feature 'visits' of 'spending' must hold int64 as it is declared; its source holds timestamp[us].",
        ),
    ],
)
def test_sources_that_do_not_hold_what_is_declared(refused, copy, columns, message):
    spoil(copy, **columns)
    assert message in refused(uri=str(copy))


def test_numbers_are_no_times(refused, got, altered):
    """Such as seconds since 1970, which would be taken for microseconds."""
    from feast.value_type import ValueType

    def change(registry):
        fields = {field.name: field for field in registry.feature_views[0].spec.features}
        fields["visits"].value_type = fields["amount"].value_type = ValueType.UNIX_TIMESTAMP.value

    uri = altered(change)
    told = (
        "The feature 'visits' of 'spending' must hold timestamp[us, tz=UTC] as it is declared; its source holds int64."
    )
    assert told in refused(uri=uri)
    spoil(
        Path(uri),
        visits=lambda values: pyarrow.array([datetime(2024, 3, 1)] * len(values)),
        amount_raw=lambda values: pyarrow.nulls(len(values)),
    )
    table = got(ROW, ["spending:visits", "spending:amount"], uri=uri, max_missing_share=1)
    assert table["visits"].to_pylist() == [datetime(2024, 3, 1, tzinfo=UTC)] * 2
    assert table["amount"].null_count == 2


def test_sources_that_are_not_there(refused, copy):
    (copy / "data" / "spending.parquet").unlink()
    told = refused(MissingInputError, uri=str(copy))
    assert "The source 'data/spending.parquet' of the feature view 'spending' must be a Parquet file" in told
    assert told.endswith("Hint: A path that is not absolute is below repository_uri.")


def test_sources_that_are_no_parquet(refused, copy):
    (copy / "data" / "spending.parquet").write_bytes(b"PAR1 1001 PAR1")
    told = refused(uri=str(copy))
    assert "must be whole Parquet; it is not." in told and "1001" not in told


def test_sources_whose_names_are_no_text_or_there_twice(refused, copy):
    path = copy / "data" / "spending.parquet"
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.append_column("Zürich", table["visits"]), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace("Zürich".encode(), b"Z\xff\xffrich"))
    assert "must be whole Parquet; it is not." in refused(uri=str(copy))
    pyarrow.parquet.write_table(table.append_column("customer", table["visits"]), path)
    assert "must have the column 'customer' once; it has it more often." in refused(uri=str(copy))


def test_sources_that_are_damaged(refused, copy):
    path = copy / "data" / "spending.parquet"
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    assert "must be Parquet that DuckDB can read; it cannot (" in refused(uri=str(copy))


@pytest.mark.parametrize("moment", ["__init__", "get_historical_features"])
def test_sources_that_change_once_their_digest_is_taken(refused, copy, monkeypatch, moment):
    """Feast is set up and asked after that; the file is replaced by one of the same size and time."""
    from feast import FeatureStore

    path = copy / "data" / "spending.parquet"
    former = getattr(FeatureStore, moment)

    def late(*arguments, **options):
        shutil.copy2(path, copy / "other")
        (copy / "other").replace(path)
        return former(*arguments, **options)

    monkeypatch.setattr(FeatureStore, moment, late)
    told = refused(IntegrityError, uri=str(copy))
    assert "of the feature view 'spending' must not change while it is read; it did.\nHint: Run the step again" in told


def test_files_of_a_source_that_differ(refused, copy):
    table = pyarrow.parquet.read_table(copy / "data" / "stores" / "b.parquet")
    other = table.set_column(3, "area", [table["area"].cast("string")])
    pyarrow.parquet.write_table(other, copy / "data" / "stores" / "b.parquet")
    message = refused(features=["stores:area"], uri=str(copy))
    assert (
        "must have the same types in every file; 'b.parquet' holds string in 'area', those before it double." in message
    )
    pyarrow.parquet.write_table(table.drop_columns(["area"]), copy / "data" / "stores" / "b.parquet")
    assert "must have the column 'area'; 'b.parquet' has none." in refused(features=["stores:area"], uri=str(copy))
    (copy / "data" / "stores" / "b.parquet").write_bytes(b"PAR1")
    assert "must be whole Parquet; 'b.parquet' is not." in refused(features=["stores:area"], uri=str(copy))


def test_rows_that_are_there_twice_but_alike_are_no_matter(got, copy):
    path = copy / "data" / "spending.parquet"
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(pyarrow.concat_tables([table, table]), path)
    assert got(ROW, VISITS, uri=str(copy))["visits"].to_pylist() == [1, 9]


def test_rows_whose_creation_does_not_tell_them_apart(refused, copy):
    spoil(copy, written=lambda values: pyarrow.array([datetime(2024, 3, 1, tzinfo=UTC)] * len(values)))
    told = refused(uri=str(copy))
    assert "must hold one row for each entity and time and creation time; 1 of them have several rows" in told


def source_of(registry):
    return registry.feature_views[3].spec.batch_source


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda registry: registry.entities.pop(1),
            "An entity of the feature view 'pairs' must be one of the project 'shop'; got 'store'.",
        ),
        (
            lambda registry: registry.feature_views[3].spec.source_views.add(),
            "A feature must be of a plain feature view; 'pairs' transforms others.",
        ),
        (
            lambda registry: registry.feature_views[
                3
            ].spec.batch_source.file_options.file_format.delta_format.SetInParent(),
            "The source of the feature view 'pairs' must be of Parquet files; got delta_format.\nHint: Features",
        ),
        (
            lambda registry: setattr(source_of(registry), "type", 2),
            "The source of the feature view 'pairs' must be of Parquet files; got BATCH_BIGQUERY.",
        ),
        (
            lambda registry: setattr(source_of(registry), "type", 99),
            "The source of the feature view 'pairs' must be of Parquet files; got 99.",
        ),
        (
            lambda registry: setattr(registry.feature_views[3].spec.features[0], "value_type", 0),
            "The feature 'price' must hold numbers, text, booleans or times; it is declared as UNKNOWN.",
        ),
    ],
)
def test_definitions_that_cannot_be_used(refused, altered, change, message):
    assert message in refused(features=["pairs:price"], uri=altered(change))


def test_an_entity_that_feast_gives_twice(shop, monkeypatch):
    """No engine that is used does so; others do."""
    from kfp_hallmark.components.data.retrieve_features import engine

    entities = pd.DataFrame({"event_timestamp": [pd.Timestamp(2024, 3, 1, tz=UTC)]})

    class Store:
        def get_historical_features(self, entity_df, **_):
            return self

        def to_arrow(self):
            return pyarrow.table({engine.ROW: [0, 0], engine.VALUE_TIME: entities["event_timestamp"].repeat(2)})

    from kfp_hallmark.components.data.retrieve_features.repository import Repository

    (view,) = Repository(str(shop[0])).views(["market:index"], None)
    with pytest.raises(InputError, match="Feast must give each entity the features of 'market' once; it does not"):
        engine.join(Store(), 0, view, entities, True)


def test_what_feast_says_is_not_repeated(refused, monkeypatch):
    from feast import FeatureStore

    def fail(*_, **__):
        raise RuntimeError("customer 1001 of postgresql://me:key@host")

    monkeypatch.setattr(FeatureStore, "get_historical_features", fail)
    told = refused()
    assert told.startswith("The features of 'spending' must be such that Feast can retrieve them; it cannot")
    assert " (RuntimeError).\nHint: Ask Feast itself" in told
