"""Databases to ask, and what every refusal is held to."""

from pathlib import Path

import duckdb
import psycopg
import pytest
from fakes.postgresql import PASSWORD, USER, server

from kfp_hallmark.components.data.query_dataset.query import ask
from kfp_hallmark.contracts.dataset import read_table

LOANS = """
create table loans (id integer, amount decimal(10, 2), opened date, seen timestamp, zoned timestamptz, open boolean,
    town varchar, note varchar);
insert into loans values
    (1, 1200.50, '2024-02-29', '2024-02-29 10:00:00', '2024-02-29 11:00:00+01', true, 'Zürich', null),
    (2, null, null, null, null, null, null, null),
    (3, -3.25, '1969-12-31', '1969-12-31 23:59:59.5', '1970-01-01 00:00:00+00', false, 'Bern; or '''' else', null);
"""


@pytest.fixture
def dataset(output):
    return output("dataset")


@pytest.fixture(scope="session")
def duckdb_url(tmp_path_factory):
    """The address of a DuckDB file with a table of loans."""
    file = tmp_path_factory.mktemp("duckdb") / "loans.duckdb"
    with duckdb.connect(file) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(LOANS)
    return f"duckdb:///{file}"


@pytest.fixture
def answered(dataset):
    """Ask; return the dataset as a table."""

    def run(url, query, **options):
        ask(url, query, dataset, **options)
        return read_table(dataset.path)

    return run


@pytest.fixture
def refused(dataset):
    """Ask what must be refused; return the message, having seen that nothing was written, and nothing is shown."""

    def run(error, url, query, **options):
        with pytest.raises(error) as caught:
            ask(url, query, dataset, **options)
        assert not [path for path in Path(dataset.path).parent.iterdir() if "dataset" in path.name]
        shown = caught.value
        while shown := shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__):
            raise AssertionError(f"a traceback shows {shown!r}")
        return str(caught.value)

    return run


@pytest.fixture(scope="session")
def postgresql_folder():
    """Where the socket of a PostgreSQL server is that holds the same table of loans, and one of other types."""
    with server() as folder:
        with psycopg.connect(host=folder, user=USER, password=PASSWORD, dbname="postgres") as connection:
            connection.execute(LOANS)
            connection.execute("create type mood as enum ('glad', 'sad')")
        yield folder


@pytest.fixture
def postgresql_url(postgresql_folder, monkeypatch):
    """The server's address; its password is where a step finds it."""
    monkeypatch.setenv("HALLMARK_DATABASE_PASSWORD", PASSWORD)
    return f"postgresql://{USER}@/postgres?host={postgresql_folder}"
