"""A feature repository as Feast's own Python interface applies it, and the rows that its features are wanted for."""

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from kfp_hallmark.components.data.retrieve_features.library import calm, load
from kfp_hallmark.components.data.retrieve_features.retrieve import retrieve
from kfp_hallmark.contracts.dataset import read_table

STORE = """project: shop
provider: local
registry: data/registry.db
offline_store: {type: file}
entity_key_serialization_version: 3
"""
BIG = 2**53 + 1
"""A whole number that no double holds."""


def moment(text):
    return datetime.fromisoformat(text)


# Rows of one customer: before and after, with a correction, and a value that comes a microsecond after an event.
SPENDING = [
    (1, "2024-03-01T10:00:00", "2024-03-01T10:05:00", 10.5, 1, True),
    (1, "2024-03-02T12:00:00", "2024-03-04T09:00:00", 21.0, 3, None),
    (1, "2024-03-02T12:00:00", "2024-03-02T12:01:00", 20.0, 2, False),
    (1, "2024-03-05T00:00:00.000001", "2024-03-05T00:00:00.000001", 99.0, 4, True),
    (2, "2024-03-01T00:00:00", "2024-03-01T00:00:00", -7.25, BIG, False),
    (2, "2024-03-03T00:00:00", "2024-03-03T00:00:00", None, 9, True),
]


def spending():
    customer, at, written, amount, visits, vip = zip(*SPENDING, strict=True)
    return pyarrow.table(
        {
            "customer": pyarrow.array(customer, pyarrow.int32()),
            "at": pyarrow.array(map(moment, at), pyarrow.timestamp("ns")),
            "written": pyarrow.array(map(moment, written), pyarrow.timestamp("us", "UTC")),
            "amount_raw": amount,
            "visits": visits,
            "vip": vip,
        }
    )


def stores(city, first):
    return pyarrow.table(
        {
            "store": ["north", "south"],
            "seen": pyarrow.array([first, first + timedelta(hours=5)], pyarrow.timestamp("ms", "UTC")),
            "city_y": city,
            "area": [100.1, 2.5],
        }
    )


def bulk(generator):
    """Many rows a key and time, which only the creation time tells apart."""
    rows = 4000
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(0, 300, rows), unit="h")
    frame = pd.DataFrame({"customer": generator.integers(0, 40, rows), "at": at, "value": np.arange(rows)})
    frame["written"] = frame["at"] + pd.to_timedelta(generator.integers(0, 6000, rows), unit="min")
    return frame.drop_duplicates(["customer", "at", "written"])


@pytest.fixture(scope="session", autouse=True)
def elsewhere():
    """Run in a zone that is not UTC, which no result may depend on."""
    former = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if former is not None:
        os.environ["TZ"] = former
    time.tzset()


@pytest.fixture
def definitions():
    """What `feast apply` reads out of a repository's Python files."""
    return defined()


def defined():
    """Return the definitions of a shop."""
    import feast
    from feast import types

    def source(name, *times, **options):
        at, *created = times
        extra = {"created_timestamp_column": created[0]} if created else {}
        return feast.FileSource(name=name, path=f"data/{name}", timestamp_field=at, **extra, **options)

    def view(name, keys, fields, source, ttl=0, **options):
        schema = [feast.Field(name=field, dtype=getattr(types, kind)) for field, kind in fields.items()]
        return feast.FeatureView(
            name=name, entities=keys, schema=schema, source=source, ttl=timedelta(hours=ttl), **options
        )

    customer = feast.Entity(name="customer", join_keys=["customer"], value_type=feast.ValueType.INT64)
    store = feast.Entity(name="store", join_keys=["store"], value_type=feast.ValueType.STRING)
    spent = source("spending.parquet", "at", "written", field_mapping={"amount_raw": "amount"})
    spending = view("spending", [customer], {"amount": "Float64", "visits": "Int64", "vip": "Bool"}, spent, ttl=48)
    places = view("stores", [store], {"city_y": "String", "area": "Float32"}, source("stores", "seen"))
    market = view("market", [], {"index": "Float64"}, source("market.parquet", "day"), ttl=24)
    named = {"shop_y": "store", "at_raw": "at"}
    pairs = view("pairs", [customer, store], {"price": "Float64"}, source("pairs.parquet", "at", field_mapping=named))
    bulk = view("bulk", [customer], {"value": "Int64"}, source("bulk", "at", "written"), ttl=30)
    twice = view("twice", [customer], {"amount": "Float64"}, source("twice.parquet", "at"))
    off = view("off", [customer], {"vip": "Bool"}, source("off.parquet", "at"), enabled=False)
    vectors = view("vectors", [customer], {"vector": "Float32"}, source("vectors.parquet", "at"))
    vectors.features[0].dtype = types.Array(types.Float32)

    def doubled(inputs):
        return pd.DataFrame({"double": inputs["amount"] * 2})

    on_demand = feast.on_demand_feature_view.OnDemandFeatureView(
        name="doubled",
        sources=[spending],
        schema=[feast.Field(name="double", dtype=types.Float64)],
        feature_transformation=feast.transformation.pandas_transformation.PandasTransformation(
            doubled, udf_string="doubled"
        ),
        mode="pandas",
    )
    service = feast.FeatureService(
        name="training",
        features=[
            spending[["visits"]],
            places[["city_y"]].with_name("home").with_join_key_map({"store": "home_store"}),
            places[["city_y"]].with_name("work").with_join_key_map({"store": "work_store"}),
        ],
    )
    mixed = feast.FeatureService(name="mixed", features=[spending, on_demand])
    views = [spending, places, market, pairs, bulk, twice, off, vectors]
    return [customer, store, *views, on_demand, service, mixed]


def write(folder, generator):
    """Write the files that the definitions name."""
    data = folder / "data"
    (data / "stores").mkdir(parents=True)
    (data / "bulk").mkdir()
    parquet = pyarrow.parquet.write_table
    parquet(spending(), data / "spending.parquet")
    parquet(stores(["Bern", None], datetime(2024, 3, 1, tzinfo=UTC)), data / "stores" / "a.parquet")
    parquet(stores(["Basel", "Ägeri"], datetime(2024, 3, 3, tzinfo=UTC)), data / "stores" / "b.parquet")
    days = [datetime(2024, 3, day).date() for day in (1, 2, 4)]
    parquet(pyarrow.table({"day": days, "index": [1.0, 2.0, 4.0]}), data / "market.parquet")
    at = [datetime(2024, 3, 1), datetime(2024, 3, 1), datetime(2024, 3, 2)]
    pairs = {"customer": [1, 1, 2], "shop_y": ["north", "south", "north"], "at_raw": at, "price": [1.5, 2.5, 3.5]}
    parquet(pyarrow.table(pairs), data / "pairs.parquet")
    twice = {"customer": [1, 1, 2], "at": [at[0], at[0], at[0]], "amount": [1.0, 2.0, 3.0]}
    parquet(pyarrow.table(twice), data / "twice.parquet")
    parquet(pyarrow.table({"customer": [1], "at": at[:1], "vip": [True]}), data / "off.parquet")
    parquet(pyarrow.table({"customer": [1], "at": at[:1], "vector": [[1.0]]}), data / "vectors.parquet")
    rows = bulk(generator)
    for place in range(3):
        parquet(
            pyarrow.Table.from_pandas(rows.iloc[place::3], preserve_index=False), data / "bulk" / f"{place}.parquet"
        )
    return rows


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """The repository's folder, applied, and the rows of its view `bulk`."""
    load()
    import feast

    folder = tmp_path_factory.mktemp("shop")
    rows = write(folder, np.random.default_rng(8))
    (folder / "feature_store.yaml").write_text(STORE)
    (folder / "definitions.py").write_text("raise SystemExit('definitions are not to be run')\n")
    with calm():
        feast.FeatureStore(repo_path=str(folder)).apply(defined())
    return folder, rows


@pytest.fixture
def repository(shop):
    return str(shop[0])


@pytest.fixture
def altered(repository, tmp_path):
    """Copy the repository, with its registry's message altered by a function; return the copy."""
    from feast.protos.feast.core.Registry_pb2 import Registry

    def alter(change):
        copy = Path(shutil.copytree(repository, tmp_path / "copy"))
        registry = Registry.FromString((copy / "data" / "registry.db").read_bytes())
        change(registry)
        (copy / "data" / "registry.db").write_bytes(registry.SerializeToString())
        return str(copy)

    return alter


@pytest.fixture
def got(stored, output, repository):
    """Retrieve features for the rows of a table; return what was written, as a table."""

    def get(columns, features=None, timestamp="moment", uri=repository, **options):
        dataset = output("retrieved")
        retrieve(stored(columns, "entities"), dataset, uri, timestamp, features, **options)
        return read_table(dataset.path)

    return get
