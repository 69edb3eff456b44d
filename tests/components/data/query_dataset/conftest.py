"""Databases to ask, and what every refusal is held to."""

from datetime import UTC, date, datetime
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


READ = {
    "id": ("int32", [1, 2, 3]),
    "amount": ("double", [1200.5, None, -3.25]),
    "opened": ("date32[day]", [date(2024, 2, 29), None, date(1969, 12, 31)]),
    "seen": ("timestamp[us]", [datetime(2024, 2, 29, 10), None, datetime(1969, 12, 31, 23, 59, 59, 500000)]),
    "zoned": (
        "timestamp[us, tz=UTC]",
        [datetime(2024, 2, 29, 10, tzinfo=UTC), None, datetime(1970, 1, 1, tzinfo=UTC)],
    ),
    "open": ("bool", [True, None, False]),
    "town": ("string", ["Zürich", None, "Bern; or '' else"]),
    "note": ("string", [None, None, None]),
}
QUOTED = [
    "'at {}'",
    "'it''s {}'",
    r"'C:\' || ' {}'",
    r"E'it\'s {}'",
    "$$it's {}$$",
    "$a$ $$ {} $a$",
    '(SELECT 1 AS "it\'s {}")',
    "1 -- it's {}\n",
    "1 /* it's\n {} */",
    "1 /* /* */ {} */",
    "1 /* /*/ */ */ /* ' {} */",
    "$é—$it's {}$é—$",
]
UNQUOTED = [
    "/* /* ' */ ' */ :n /* */",
    "/*/ */ :n --'",
    "--'\r:n --'",
    "1 --'\n+ :n - 1",
    "(SELECT a$$ + :n FROM (SELECT 0 AS a$$) AS b$$)",
    "(SELECT —e$e + :n FROM (SELECT 0 AS —e$e) AS b)",
]


@pytest.fixture
def dataset(output):
    return output("dataset")


def holding(file, statements):
    """Make a DuckDB file by statements; return its address."""
    with duckdb.connect(file) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(statements)
    return f"duckdb:///{file}"


@pytest.fixture
def duckdb_holding(tmp_path):
    """Make a DuckDB file by statements; return its address."""
    return lambda statements, name="t.duckdb": holding(tmp_path / name, statements)


@pytest.fixture(scope="session")
def duckdb_url(tmp_path_factory):
    """The address of a DuckDB file with a table of loans."""
    return holding(tmp_path_factory.mktemp("duckdb") / "loans.duckdb", LOANS)


@pytest.fixture
def holds_the_loans():
    """Whether a table holds the loans, in the types of a dataset."""

    def check(table):
        kinds = map(str, table.schema.types)
        assert dict(zip(table.column_names, zip(kinds, table.to_pydict().values(), strict=True), strict=True)) == READ

    return check


@pytest.fixture(params=QUOTED)
def quoted(request):
    """An expression with a place within quotes or a comment, as PostgreSQL and DuckDB write them."""
    return request.param


@pytest.fixture(params=UNQUOTED)
def unquoted(request):
    """An expression of the parameter `n`, that gives it, beside quotes or comments."""
    return request.param


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
def postgresql_address():
    """The address of a PostgreSQL server that holds the same table of loans, and one of other types."""
    with server() as folder:
        with psycopg.connect(host=folder, user=USER, password=PASSWORD, dbname="postgres") as connection:
            connection.execute(LOANS)
            connection.execute("create type mood as enum ('glad', 'sad')")
        yield f"postgresql://{USER}@/postgres?host={folder}"


@pytest.fixture
def postgresql_url(postgresql_address, monkeypatch):
    """The server's address; its password is where a step finds it."""
    monkeypatch.setenv("HALLMARK_DATABASE_PASSWORD", PASSWORD)
    return postgresql_address


@pytest.fixture
def postgresql_holding(postgresql_address):
    """Change what the server holds by statements."""

    def change(*statements):
        with psycopg.connect(postgresql_address, password=PASSWORD) as connection:
            for statement in statements:
                connection.execute(statement)

    return change
