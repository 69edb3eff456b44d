"""query_dataset on PostgreSQL: a real server, on a socket."""

import psycopg
import pytest
from fakes.postgresql import PASSWORD, USER

from kfp_hallmark.errors import InputError, ServiceError

pytestmark = pytest.mark.postgresql


def test_every_plain_type_comes_through(postgresql_url, answered, holds_the_loans):
    holds_the_loans(answered(postgresql_url, "SELECT * FROM loans ORDER BY id"))


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("'-32768'::int2", "int16", -32768),
        ("9223372036854775807", "int64", 9223372036854775807),
        ("1.5::float4", "float", 1.5),
        ("'-infinity'::float8", "double", float("-inf")),
        ("9007199254740992::numeric", "double", 2.0**53),
        ("0.1::numeric", "double", 0.1),
        ("1234567890123456.1::numeric", "double", 1234567890123456.1),
        ("'Infinity'::numeric", "double", float("inf")),
        ("sum(id)", "int64", 6),
        ("sum(id::int8)", "double", 6.0),
        ("'ab'::char(4)", "string", "ab  "),
        ("'sad'::mood", "string", "sad"),
        ("'6f0c7b0e-0000-4000-8000-000000000001'::uuid", "string", "6f0c7b0e-0000-4000-8000-000000000001"),
        ("current_user", "string", USER),
        ("null", "string", None),
        ("null::numeric", "double", None),
    ],
)
def test_other_types_become_plain_ones(postgresql_url, answered, expression, kind, value):
    column = answered(postgresql_url, f"SELECT {expression} AS x FROM loans")["x"]
    assert str(column.type) == kind
    assert column[0].as_py() == value


def test_a_decimal_that_is_no_number_is_nan(postgresql_url, answered):
    (value,) = answered(postgresql_url, "SELECT 'NaN'::numeric AS x")["x"].to_pylist()
    assert value != value


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("'ab'::bytea", "bytea"),
        ("array[1, 2]", "integer[]"),
        ("row(1, 2)", "record"),
        ("'{}'::json", "json"),
        ("'{}'::jsonb", "jsonb"),
        ("'10:00'::time", "time without time zone"),
        ("interval '1 day'", "interval"),
        ("'12.50'::money", "money"),
        ("'10.0.0.1'::inet", "inet"),
        ("loans", "loans"),
    ],
)
def test_a_type_that_is_not_plain_is_refused(postgresql_url, refused, expression, kind):
    message = refused(InputError, postgresql_url, f"SELECT id, {expression} AS odd FROM loans")
    wanted = f"The column 'odd' must hold numbers, text, booleans, dates or times; got {kind}.\nHint: Leave it out"
    assert message.startswith(wanted)


@pytest.mark.parametrize("number", ["9007199254740993", "-99999999999999999999", "99999999999999999.5"])
def test_a_great_decimal_is_not_merged_with_its_neighbour(postgresql_url, refused, number):
    message = refused(InputError, postgresql_url, f"SELECT {number}::numeric AS key")
    assert "The decimals of the column 'key' must be exact in float64 beyond 2**53; one is not." in message
    assert number not in message


def test_types_hold_over_pieces_whose_first_is_all_null(postgresql_url, answered):
    """A piece is of 200,000 values."""
    query = """
        SELECT i, CASE WHEN i >= 60000 THEN i * 0.5 END AS half, CASE WHEN i > 60000 THEN 'x' || i END AS text,
            CASE WHEN i > 60001 THEN now() END AS moment
        FROM generate_series(1, 60003) AS i ORDER BY i"""
    table = answered(postgresql_url, query)
    assert [str(field.type) for field in table.schema] == ["int32", "double", "string", "timestamp[us, tz=UTC]"]
    assert table["i"].to_pylist() == list(range(1, 60004))
    assert table["half"].to_pylist()[59998:] == [None, 30000.0, 30000.5, 30001.0, 30001.5]
    assert table["text"].null_count == 60000


def test_parameters_are_bound(postgresql_url, answered):
    query = r"""
        SELECT town, :town AS asked, '100 % \:sure' AS literal, :flag AS flag, :nothing\:\:integer AS nothing FROM loans
        WHERE town = :town AND id >= :least AND amount < :most"""
    values = {"town": "Bern; or '' else", "least": 3.0, "most": 0.5, "flag": True, "nothing": None}
    assert answered(postgresql_url, query, parameters=values).to_pylist() == [
        {"town": values["town"], "asked": values["town"], "literal": "100 % :sure", "flag": True, "nothing": None}
    ]


def test_a_parameter_within_quotes_is_refused_and_a_colon_is_not(postgresql_url, refused, answered, quoted):
    query = f"SELECT {quoted} AS x, :n AS n"
    message = refused(InputError, postgresql_url, query.format(":n"), parameters={"n": 5})
    assert message.startswith("A parameter in query must not stand within quotes or a comment; ':n' does.\nHint: ")
    found = answered(postgresql_url, query.format(r"\:n"), parameters={"n": 5}).to_pylist()[0]
    assert found["n"] == 5 and (found["x"] == 1 or found["x"].strip().endswith(":n"))


def test_a_parameter_beside_quotes_and_comments_is_bound(postgresql_url, answered, unquoted):
    found = answered(postgresql_url, f"SELECT {unquoted}\n AS n", parameters={"n": 5})
    assert found["n"].to_pylist() == [5]


def test_text_goes_on_after_the_end_of_a_line_with_its_escapes(postgresql_url, refused, answered):
    """DuckDB escapes only the first piece."""
    query = "SELECT E'it' -- is\n '\\'s {}' AS x, :n AS n"
    assert "':n' does." in refused(InputError, postgresql_url, query.format(":n"), parameters={"n": 5})
    found = answered(postgresql_url, query.format(r"\:n"), parameters={"n": 5}).to_pylist()
    assert found == [{"x": "it's :n", "n": 5}]


def test_backslashes_in_text_are_text_whatever_the_server_is_set_to(postgresql_holding, postgresql_url, answered):
    postgresql_holding(
        f"create role escaping login password '{PASSWORD}'",
        "alter role escaping set standard_conforming_strings = off",
    )
    url = postgresql_url.replace(f"//{USER}@", "//escaping@")
    found = answered(url, r"SELECT '\' AS x, :n AS n, '' AS y", parameters={"n": 5}).to_pylist()
    assert found == [{"x": "\\", "n": 5, "y": ""}]


@pytest.mark.parametrize("host", ["h" * 64, "a..b"])
def test_a_host_that_is_none_is_told(refused, host):
    message = refused(InputError, f"postgresql://{USER}@{host}/postgres", "SELECT 1 AS one")
    assert message == "Hosts must be names that a server can have, the password UTF-8; one is not."


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("DELETE FROM loans", "DELETE"),
        ("SELECT 1; DROP TABLE loans", "multiple commands"),
        ("SELECT 1; COMMIT; DROP TABLE loans", "multiple commands"),
        ("COMMIT", "COMMIT"),
        ("COPY loans TO '/tmp/loans.csv'", "COPY"),
        ("WITH gone AS (DELETE FROM loans RETURNING id) SELECT * FROM gone", "data-modifying"),
        ("SELECT * FROM lones", "lones"),
        ("SELECT idd FROM loans", "idd"),
        ("SELEC 1", "SELEC"),
    ],
)
def test_what_is_no_single_select_is_refused(postgresql_url, refused, answered, query, says):
    message = refused(InputError, postgresql_url, query)
    assert message.startswith("query must be one SELECT that ")
    assert says in message
    assert answered(postgresql_url, "SELECT count(*) AS n FROM loans")["n"].to_pylist() == [3]


@pytest.mark.parametrize("call", ["drain()", "setval('numbers', 5)", "nextval('numbers')"])
def test_a_function_that_writes_is_refused(postgresql_holding, postgresql_url, refused, call):
    postgresql_holding(
        "create or replace function drain() returns int as 'delete from loans; select 1' language sql",
        "create sequence if not exists numbers",
    )
    message = refused(InputError, postgresql_url, f"SELECT {call} AS n")
    assert "query must only read from " in message


def test_a_query_cannot_begin_to_write(postgresql_url, refused):
    query = "SELECT set_config('transaction_read_only', 'off', false) AS x"
    assert "SQLSTATE 25001" in refused(ServiceError, postgresql_url, query)


def test_a_query_that_fails_on_a_record_does_not_show_it(postgresql_url, refused):
    message = refused(ServiceError, postgresql_url, "SELECT town::integer AS n FROM loans")
    assert "it failed at it (InvalidTextRepresentation, SQLSTATE 22P02)." in message
    assert "Zürich" not in message


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("town::regclass::text", "UndefinedTable, SQLSTATE 42P01"),
        ("(town || '.a.b.c')::regclass::text", "SyntaxError, SQLSTATE 42601"),
        ("current_setting(town)", "UndefinedObject, SQLSTATE 42704"),
    ],
)
def test_a_record_that_is_taken_for_a_name_is_not_shown(postgresql_url, refused, expression, reason):
    message = refused(ServiceError, postgresql_url, f"SELECT {expression} AS x FROM loans WHERE id = 1")
    assert f"it failed at it ({reason})." in message
    assert "rich" not in message


@pytest.mark.parametrize("value", ["'infinity'::timestamp", "'-infinity'::date", "'0044-03-15 BC'::timestamptz"])
def test_a_time_out_of_range_is_refused(postgresql_url, refused, value):
    message = refused(InputError, postgresql_url, f"SELECT {value} AS x")
    assert "must hold dates and times of the years 1 to 9999; one is not." in message
    assert "infinity'" not in message


@pytest.mark.parametrize("text", ["'é'", "'é' FROM generate_series(1, 3)"])
def test_text_that_is_not_of_the_connections_encoding_is_told(postgresql_url, refused, text):
    query = f"SELECT set_config('client_encoding', 'LATIN1', false) AS a, {text}"
    assert "it failed at it (UnicodeDecodeError)." in refused(ServiceError, postgresql_url, query)


def test_a_database_of_no_encoding_gives_text_if_it_holds_some(postgresql_address, postgresql_url, answered, refused):
    with psycopg.connect(postgresql_address, password=PASSWORD, autocommit=True) as connection:
        connection.execute("create database bytes encoding 'SQL_ASCII' template template0 locale 'C'")
    url = postgresql_url.replace("/postgres?", "/bytes?")
    assert "SQLSTATE 22021" in refused(ServiceError, url, r"SELECT E'\xff' AS a")
    assert answered(url, "SELECT 'é' AS a, :n AS n", parameters={"n": "ü"}).to_pylist() == [{"a": "é", "n": "ü"}]


def test_two_columns_of_one_name_are_refused(postgresql_url, refused):
    message = refused(InputError, postgresql_url, "SELECT a.id, b.id, 1, 2 FROM loans a, loans b")
    assert "must have different names; got more than once: '?column?', 'id'." in message


def test_an_answer_without_columns_is_refused(postgresql_url, refused):
    assert refused(InputError, postgresql_url, "SELECT FROM loans") == "query must give at least one column; got none."


def test_the_password_comes_from_the_step_alone(postgresql_url, refused, monkeypatch, answered):
    monkeypatch.setenv("HALLMARK_DATABASE_PASSWORD", "another")
    message = refused(ServiceError, postgresql_url, "SELECT 1 AS one")
    assert "password authentication failed" in message
    assert (
        "Hint: The user is in database_url, the password in the step's variable HALLMARK_DATABASE_PASSWORD" in message
    )
    monkeypatch.delenv("HALLMARK_DATABASE_PASSWORD")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert answered(postgresql_url, "SELECT 1 AS one")["one"].to_pylist() == [1]


def test_no_password_and_no_user_is_told(postgresql_url, dataset, answered):
    answered(postgresql_url, "SELECT 1 AS one")
    assert dataset.metadata["source"].startswith("postgresql:///postgres?host=")
    assert PASSWORD not in str(dataset.metadata)
    assert USER not in dataset.metadata["source"]


def test_a_server_that_is_not_there_is_told(tmp_path, refused):
    message = refused(ServiceError, f"postgresql://{USER}@/postgres?host={tmp_path}", "SELECT 1 AS one")
    assert "must be reached; got " in message


def test_a_port_that_is_none_is_not_shown(postgresql_url, refused):
    message = refused(InputError, f"{postgresql_url}&port=s3cret", "SELECT 1 AS one")
    assert message == "Ports in database_url must be whole numbers, of as many hosts; they are not."


@pytest.mark.parametrize("row", [1, 250_000])
def test_a_connection_that_is_lost_is_told(postgresql_url, refused, row):
    """While the first piece is fetched, and the second."""
    ended = f"CASE WHEN i = {row} THEN pg_terminate_backend(pg_backend_pid()) END"
    message = refused(ServiceError, postgresql_url, f"SELECT {ended} AS x FROM generate_series(1, 300000) AS i")
    assert "it failed at it (AdminShutdown, SQLSTATE 57P01)." in message


def test_one_answer_is_of_one_moment(postgresql_holding, postgresql_url, answered):
    """Rows that another connection writes while the first of two pieces is read are not in it."""
    server = f"user={USER} password={PASSWORD} dbname=postgres host="
    postgresql_holding(
        "create extension dblink",
        "create table moment as select generate_series(1, 150000) as n",
        f"""
        create function write() returns text language sql as $$
            select dblink_exec('{server}' || current_setting('unix_socket_directories'),
                'insert into moment select generate_series(1, 100)')
        $$""",
    )
    table = answered(postgresql_url, "SELECT n, CASE WHEN n = 1 THEN write() END AS written FROM moment")
    assert table["written"].drop_null().to_pylist() == ["INSERT 0 100"]
    assert table.num_rows == 150_000
    assert answered(postgresql_url, "SELECT count(*) AS n FROM moment")["n"].to_pylist() == [150_100]
