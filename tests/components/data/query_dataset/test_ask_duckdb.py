"""query_dataset on DuckDB: a real file."""

import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import pytest

from kfp_hallmark.errors import InputError, MissingInputError, ServiceError

ALL = "SELECT * FROM loans ORDER BY id"


def test_every_plain_type_comes_through(duckdb_url, answered, holds_the_loans):
    holds_the_loans(answered(duckdb_url, ALL))


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("18446744073709551615::ubigint", "uint64", 18446744073709551615),
        ("9007199254740992::hugeint", "double", 2.0**53),
        ("sum(id)", "double", 6.0),
        ("avg(id)", "double", 2.0),
        ("'x'::enum('x', 'y')", "string", "x"),
        ("'6f0c7b0e-0000-4000-8000-000000000001'::uuid", "string", "6f0c7b0e-0000-4000-8000-000000000001"),
        ("'2024-01-01 00:00:00.000000001'::timestamp_ns", "timestamp[ns]", 1704067200000000001),
        ("null", "double", None),
    ],
)
def test_other_types_become_plain_ones(duckdb_url, answered, expression, kind, value):
    column = answered(duckdb_url, f"SELECT {expression} AS x FROM loans")["x"]
    assert str(column.type) == kind
    assert (column[0].value if kind == "timestamp[ns]" else column[0].as_py()) == value


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("'ab'::blob", "binary"),
        ("[1, 2]", "list<"),
        ("{'a': 1}", "struct<"),
        ("'{}'::json", "JSON"),
        ("time '10:00'", "time64[us]"),
        ("interval 1 day", "month_day_nano_interval"),
    ],
)
def test_a_type_that_is_not_plain_is_refused(duckdb_url, refused, expression, kind):
    message = refused(InputError, duckdb_url, f"SELECT id, {expression} AS odd FROM loans")
    assert message.startswith(f"The column 'odd' must hold numbers, text, booleans, dates or times; got {kind}")


@pytest.mark.parametrize(
    "value",
    [
        "'infinity'::date",
        "'-infinity'::timestamp",
        "'infinity'::timestamptz",
        "'infinity'::timestamp::timestamp_s",
        "'-infinity'::timestamp::timestamp_ns",
        "date '10000-01-01'",
        "timestamp '10000-01-01 00:00:00'",
        "date '0001-01-01' - 1",
        "timestamp '0001-01-01 00:00:00' - interval 1 microsecond",
    ],
)
def test_a_time_out_of_range_is_refused(duckdb_url, refused, value):
    message = refused(InputError, duckdb_url, f"SELECT {value} AS x UNION ALL SELECT NULL")
    assert "must hold dates and times of the years 1 to 9999; one is not." in message


def test_the_first_and_the_last_times_come_through(duckdb_url, answered):
    times = "timestamp '0001-01-01 00:00:00' AS first, timestamp '9999-12-31 23:59:59.999999' AS last"
    query = f"SELECT date '0001-01-01' AS low, date '9999-12-31' AS high, CAST(NULL AS date) AS none, {times}"
    assert list(answered(duckdb_url, query).to_pylist()[0].values()) == [
        *[date.min, date.max, None, datetime.min, datetime.max]
    ]


@pytest.mark.parametrize(
    "number", ["9007199254740993", "170141183460469231731687303715884105727", "99999999999999999.5"]
)
def test_a_great_decimal_is_not_merged_with_its_neighbour(duckdb_url, refused, number):
    kind = "hugeint" if "." not in number else "decimal(30, 2)"
    message = refused(InputError, duckdb_url, f"SELECT {number}::{kind} AS key FROM loans")
    assert "The decimals of the column 'key' must be exact in float64 beyond 2**53; one is not." in message
    assert number not in message


def test_a_parameter_within_quotes_is_refused_and_a_colon_is_not(duckdb_url, refused, answered, quoted):
    query = f"SELECT {quoted} AS x, :n AS n"
    message = refused(InputError, duckdb_url, query.format(":n"), parameters={"n": 5})
    assert message.startswith("A parameter in query must not stand within quotes or a comment; ':n' does.\nHint: ")
    assert message.endswith(r"a colon that begins none is written as \:.")
    found = answered(duckdb_url, query.format(r"\:n"), parameters={"n": 5}).to_pylist()[0]
    assert found["n"] == 5 and (found["x"] == 1 or found["x"].strip().endswith(":n"))


def test_a_parameter_beside_quotes_and_comments_is_bound(duckdb_url, answered, unquoted):
    found = answered(duckdb_url, f"SELECT {unquoted}\n AS n", parameters={"n": 5})
    assert found["n"].to_pylist() == [5]


@pytest.mark.parametrize("quoted", ["(SELECT 1 AS `it's {}`)", "1,\xa0$$ {} $$"])
def test_what_duckdb_alone_quotes_holds_no_parameter(duckdb_url, refused, quoted):
    query = f"SELECT {quoted.format(':n')} AS x, :n AS n"
    assert "':n' does." in refused(InputError, duckdb_url, query, parameters={"n": 5})


def test_only_the_first_piece_of_a_text_is_escaped(duckdb_url, answered):
    found = answered(duckdb_url, "SELECT E'it'\n's \\' AS x, :n AS n, '' AS y", parameters={"n": 5}).to_pylist()
    assert found == [{"x": "its \\", "n": 5, "y": ""}]


def test_what_looks_like_a_place_of_sqlalchemys_is_text(duckdb_url, answered):
    query = "SELECT 10 %(id)s, '%(n)s __[POSTCOMPILE_n] %s' AS t, :n AS n, '?' AS q FROM loans WHERE id < :n"
    found = answered(duckdb_url, query, parameters={"n": 2}).to_pylist()
    assert found == [{"s": 0, "t": "%(n)s __[POSTCOMPILE_n] %s", "n": 2, "q": "?"}]


def test_an_error_that_cuts_a_letter_in_two_is_told(duckdb_url, refused):
    message = refused(ServiceError, duckdb_url, "SELECT x'é' AS x")
    assert "must answer the query; it failed at it (UnicodeDecodeError)." in message


@pytest.mark.parametrize(
    ("query", "got"),
    [
        ("DELETE FROM loans", "got DELETE."),
        ("SELECT 1; DROP TABLE loans", "got SELECT, DROP."),
        ("COPY loans TO 'loans.csv'", "got COPY."),
        ("ATTACH 'other.duckdb'", "got ATTACH."),
        ("SET memory_limit = '1GB'", "got SET."),
        ("-- nothing", "got none."),
    ],
)
def test_what_is_no_single_select_is_refused(duckdb_url, refused, query, got):
    assert refused(InputError, duckdb_url, query) == f"query must be one SELECT; {got}"


@pytest.mark.parametrize("source", ["read_csv('/etc/passwd')", "'/etc/passwd'", "read_text('/etc/hostname')"])
def test_a_query_reaches_nothing_but_the_database(duckdb_url, refused, source):
    message = refused(InputError, duckdb_url, f"SELECT * FROM {source}")
    assert "must read the tables of" in message or "it says" in message


@pytest.mark.parametrize(
    "change", ["INSERT INTO loans (id) VALUES (4)", "DELETE FROM loans", "UPDATE loans SET id = 4"]
)
def test_a_part_that_writes_is_refused(duckdb_url, refused, answered, change):
    message = refused(InputError, duckdb_url, f"WITH changed AS ({change} RETURNING id) SELECT * FROM changed")
    assert message == f"query must only read from {duckdb_url!r}; it writes."
    assert answered(duckdb_url, "SELECT sum(id) AS n FROM loans")["n"].to_pylist() == [6]


def test_the_folder_beside_the_file_is_not_reached(tmp_path, duckdb_holding, refused):
    """DuckDB would spill rows into it, and lets queries read and write where it spills."""
    url = duckdb_holding("create table t as select 1 as n")
    folder = tmp_path / "t.duckdb.tmp"
    folder.mkdir()
    (folder / "a.csv").write_text("n\n1\n")
    wanted = "alone; it reads or writes elsewhere."
    assert wanted in refused(InputError, url, f"SELECT * FROM read_csv('{folder}/a.csv')")
    assert wanted in refused(InputError, url, f"WITH w AS (COPY t TO '{folder}/b.csv') SELECT * FROM w")
    assert [file.name for file in folder.iterdir()] == ["a.csv"]


def test_a_variable_of_the_step_is_no_table(duckdb_url, refused):
    assert "Table with name values" in refused(InputError, duckdb_url, "SELECT * FROM values")


@pytest.mark.parametrize(
    ("query", "says"),
    [("SELECT * FROM lones", "lones"), ("SELECT idd FROM loans", "idd"), ("SELEC 1", "SELEC")],
)
def test_a_query_that_is_not_understood_is_refused_with_what_is_wrong(duckdb_url, refused, query, says):
    message = refused(InputError, duckdb_url, query)
    assert message.startswith(f"query must be one SELECT that {duckdb_url!r} can answer; it says")
    assert says in message


def test_a_query_that_fails_on_a_record_does_not_show_it(duckdb_url, refused):
    message = refused(ServiceError, duckdb_url, "SELECT town::integer AS n FROM loans")
    assert message.startswith(f"The database {duckdb_url!r} must answer the query; it failed at it (")
    assert "Zürich" not in message


def test_rows_that_fail_late_leave_nothing(duckdb_holding, refused):
    rows = "select case i when 499999 then 'bad' else i::text end as n from range(500000) r(i)"
    url = duckdb_holding(f"create table t as {rows}")
    assert "bad" not in refused(ServiceError, url, "SELECT n::integer AS n FROM t")


def test_the_machines_time_zone_is_nothing_to_a_query(duckdb_url, tmp_path):
    """In a process of its own, because DuckDB asks for the zone once."""
    program = """
import sys
from kfp.dsl import Dataset
from kfp_hallmark.components.data.query_dataset.query import ask
from kfp_hallmark.contracts.dataset import read_table
day, zoned = "CAST(zoned + INTERVAL 13 HOUR AS date) AS day", "CAST(seen AS timestamptz) AS zoned"
query = f"SELECT {day}, {zoned} FROM loans WHERE id = 1"
ask(sys.argv[1], query, Dataset(uri=sys.argv[2]))
print(*read_table(sys.argv[2]).to_pylist()[0].values())
"""
    command = [sys.executable, "-c", program, duckdb_url, str(tmp_path / "dataset")]
    environment = {**os.environ, "TZ": "Asia/Kathmandu"}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "2024-02-29 2024-02-29 10:00:00+00:00\n"


def test_the_file_must_be_there(tmp_path, refused):
    for url in (f"duckdb:///{tmp_path}/none.duckdb", f"duckdb:///{'a' * 300}", "duckdb:///:memory:", "duckdb://"):
        assert "database_url must name a DuckDB file that is there" in refused(MissingInputError, url, "SELECT 1")


def test_the_file_must_be_whole(tmp_path, refused):
    (tmp_path / "bad.duckdb").write_bytes(b"no database" * 1000)
    message = refused(InputError, f"duckdb:///{tmp_path}/bad.duckdb", "SELECT 1")
    assert "database_url must name a whole DuckDB file that can be read" in message


def test_the_file_is_not_changed(duckdb_url, answered):
    file = Path(duckdb_url.removeprefix("duckdb:///"))
    content = file.read_bytes()
    answered(duckdb_url, ALL)
    assert file.read_bytes() == content
