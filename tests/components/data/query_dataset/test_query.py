"""query_dataset: what a dataset says of what was asked, and which parameters are refused, whatever the database."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest

from kfp_hallmark.components.data.query_dataset.query import ask
from kfp_hallmark.contracts.dataset import dataset_metadata, read_table, rows_digest, write_table
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import parse_time, value_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

PAGE = Path(__file__).parents[4] / "docs" / "sources.md"
QUERY = "SELECT id, town FROM loans WHERE id >= :least ORDER BY id"


def test_a_dataset_says_what_was_asked_and_what_came(duckdb_url, dataset):
    digest, rows = ask(duckdb_url, QUERY, dataset, {"least": 2.0})
    table = read_table(dataset.path)
    assert (digest, rows) == (artifact_digest(dataset.path), 2)
    asked = {
        "source": duckdb_url,
        "source_query": QUERY,
        "source_parameters": {"least": 2},
        "source_content": rows_digest(table.schema, table.to_batches()),
    }
    assert dataset_metadata(dataset.path) == {"lineage": [value_digest(asked)], **asked}
    told = dict(dataset.metadata)
    parse_time(told.pop("snapshot_time"))
    assert told == {"digest": digest, "rows": 2, "columns": 2, "source_digest": value_digest(asked), **asked}


@pytest.mark.parametrize("changed", [False, True])
def test_whoever_has_the_file_can_verify_what_it_says(duckdb_url, dataset, tmp_path, changed):
    ask(duckdb_url, QUERY, dataset, {"least": 1})
    if changed:
        table = read_table(dataset.path)
        write_table(dataset.path, table.slice(1), dataset_metadata(dataset.path))
    (verify,) = re.findall(r"```python\n(# verify\.py\n.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "verify.py").write_text(verify)
    command = [sys.executable, str(tmp_path / "verify.py"), dataset.path]
    assert (subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0) == changed


def test_the_same_answer_has_the_same_digest(duckdb_url, dataset, output, refused):
    first, _ = ask(duckdb_url, QUERY, dataset, {"least": 1})
    expected = dataset.metadata["source_digest"]
    assert ask(duckdb_url, QUERY, output("again"), {"least": 1}, expected)[0] == first


@pytest.mark.parametrize(("query", "least"), [(QUERY, 2), (QUERY + " DESC", 1), (QUERY.replace("town", "note"), 1)])
def test_another_answer_is_refused_where_one_is_expected(duckdb_url, output, refused, query, least):
    expected = output("first")
    ask(duckdb_url, QUERY, expected, {"least": 1})
    message = refused(
        IntegrityError,
        duckdb_url,
        query,
        parameters={"least": least},
        expected_digest=expected.metadata["source_digest"],
    )
    assert f"must have the digest {expected.metadata['source_digest']}; got sha256:" in message


def test_changed_rows_change_the_digest_of_the_source(duckdb_holding, output):
    digests = set()
    for number in (1, 2):
        dataset = output(f"dataset{number}")
        ask(duckdb_holding(f"create or replace table t as select {number} as n"), "SELECT n FROM t", dataset)
        digests.add(dataset.metadata["source_digest"])
    assert len(digests) == 2


def test_parameters_are_bound(duckdb_url, answered):
    query = r"SELECT :town AS town, :number AS number, :flag AS flag, '\:x?' || '\:y' AS text, :town || '!' AS again"
    values = {"town": "'; DROP TABLE loans; --", "number": 1.5, "flag": False}
    assert answered(duckdb_url, query, parameters=values).to_pylist() == [
        {**values, "text": ":x?:y", "again": values["town"] + "!"}
    ]


@pytest.mark.parametrize(
    ("query", "parameters", "wanted"),
    [
        (QUERY, {}, "parameters must be those that query names; 'least' is none that the parameters hold."),
        (QUERY, {"leest": 1}, "parameters must be those that query names; 'least' is none that the parameters hold."),
        ("SELECT 1", {"least": 1}, "parameters must be those that query names; 'least' is none that the query names."),
        ("SELECT :a::int", {"a": 1}, "A parameter stands as :name, without quotes around it and without :: behind it"),
        (
            "SELECT {'a':5}.a WHERE :least",
            {"least": True},
            "'5' is none that the parameters hold.\nHint: Known: least. A parameter stands as :name, without quotes",
        ),
        ("SELECT ':least'", {}, "A parameter in query must not stand within quotes or a comment; ':least' does."),
        (QUERY + " -- :most", {"least": 1}, "':most' does."),
        (QUERY, {"least": [1]}, "parameters['least'] must be text, a number, true, false or null; got list."),
        (QUERY, {"least": {}}, "parameters['least'] must be text, a number, true, false or null; got dict."),
        (QUERY, {"least": math.nan}, "parameters['least'] must be finite; got nan."),
        (QUERY, {"least": -math.inf}, "parameters['least'] must be finite; got -inf."),
        (QUERY, {"least": "a\0"}, "parameters['least'] must be Unicode text without zero characters; it is not."),
        (QUERY, {"least": "\ud800"}, "parameters['least'] must be Unicode text without zero characters; it is not."),
        ("SELECT '\udfff'", {}, "query must be Unicode text without zero characters; it is not."),
        ("SELECT '\0'", {}, "query must be Unicode text without zero characters; it is not."),
        (" \n", {}, "query must be one SELECT; got none."),
    ],
)
def test_parameters_must_be_those_of_the_query(duckdb_url, refused, query, parameters, wanted):
    assert wanted in refused(InputError, duckdb_url, query, parameters=parameters)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("loans.duckdb", "database_url must be an address such as duckdb:///FILE, postgresql://USER@HOST/DATABASE or"),
        ("postgresql://ada@host:s3cret/loans", "database_url must be an address such as"),
        ("", "database_url must be an address such as"),
        ("duckdb:///s3cret\ud800", "database_url must be Unicode text without zero characters; it is not."),
        (
            "postgresql://ada@host/loans\0s3cret",
            "database_url must be Unicode text without zero characters; it is not.",
        ),
        (
            "postgresql://ada%00s3cret@host/loans",
            "database_url must be Unicode text without zero characters; it is not.",
        ),
        ("postgresql://ada:s3cret@host/loans", "database_url must hold no password; it holds one.\nHint: KFP stores"),
        ("postgresql://ada:12/s3cret@host/loans", "database_url must hold no password; it holds one."),
        (
            "postgresql://ada%3As3cret@host/loans",
            "a user with a colon, or a name with one of @ and =, may hold one.\nHint: KFP stores",
        ),
        ("postgresql://host/loans?host=ada:s3cret@host", "may hold one."),
        ("postgresql://host/loans?host=a&host=ada:s3cret@host", "may hold one."),
        ("postgresql://host/loans?host=host%20password=s3cret", "may hold one."),
        ("postgresql://host/loans%3Fpassword=s3cret", "may hold one."),
        ("postgresql://host/loans;password=s3cret", "may hold one."),
        ("postgresql://host/loans#password=s3cret", "may hold one."),
        ("postgresql://host/loans?sslkey=key.pem&sslpassword=s3cret", "connect_timeout; got 'sslpassword'."),
        ("postgresql://host/loans?%70assword=s3cret", "connect_timeout; got 'password'."),
        ("postgresql://host/loans?s3cret", "Every option of database_url must have a value; one has none"),
        ("postgresql://host/loans?port=5432&sslmode=", "Every option of database_url must have a value; one has none"),
        ("bigquery://acme/loans?maximum_bytes_billed=", "Every option of database_url must have a value; one has none"),
        ("bigquery://acme/loans?location=s3cret@EU", "may hold one."),
        (
            "bigquery://acme/loans?location=EU&location=s3cret",
            "The option 'location' of database_url must be there once",
        ),
        ("mysql://ada@host/loans", "got one of 'mysql'."),
        ("postgresql+psycopg2://ada@host/loans", "Did you mean 'postgresql'?"),
        ("postgresql://ada@host/loans?password=s3cret", "connect_timeout; got 'password'."),
        ("postgresql://ada@host/loans?options=-c%20a=s3cret", "connect_timeout; got 'options'."),
        ("bigquery://acme/loans?credentials_base64=s3cret", "maximum_bytes_billed; got 'credentials_base64'."),
        ("bigquery://acme/loans?destination=other.table", "maximum_bytes_billed; got 'destination'."),
        ("duckdb:///loans.duckdb?motherduck_token=s3cret", "among: none; got 'motherduck_token'."),
    ],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(refused, url, wanted):
    message = refused(InputError, url, "SELECT 1")
    assert wanted in message
    assert "s3cret" not in message


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"expected_digest": "abc"}, "expected_digest must be 'sha256:' and 64 hexadecimal digits; got 'abc'."),
        ({"max_rows": 0}, "max_rows must be at least 1; got 0."),
        ({"max_rows": 2}, "must have at most 2 rows (max_rows); it has more."),
        (
            {"required_columns": ["id", "toun"]},
            "must be a column of the dataset; got 'toun'.\nHint: Did you mean 'town'?",
        ),
    ],
)
def test_what_is_wanted_of_an_answer_is_held(duckdb_url, refused, options, wanted):
    assert wanted in refused(InputError, duckdb_url, "SELECT id, town FROM loans", **options)


def test_as_many_rows_as_may_be_come(duckdb_url, answered):
    assert answered(duckdb_url, "SELECT id FROM loans", max_rows=3, required_columns=["id"]).num_rows == 3


def test_an_answer_without_rows_is_refused(duckdb_url, refused):
    message = refused(InputError, duckdb_url, "SELECT id FROM loans WHERE id > 9")
    assert message == f"The source {duckdb_url!r} must hold at least one row; it holds none."


def test_two_columns_of_one_name_are_refused(duckdb_url, refused):
    message = refused(InputError, duckdb_url, "SELECT a.id, b.id FROM loans a, loans b")
    assert "must have different names; got more than once: 'id'." in message


def test_an_answer_may_be_larger_than_a_piece(duckdb_holding, dataset):
    url = duckdb_holding(
        "create table t as select i, case when i >= 250000 then 'x' end as late from range(300000) r(i)"
    )
    assert ask(url, "SELECT i, late FROM t ORDER BY i", dataset)[1] == 300_000
    table = read_table(dataset.path)
    assert table["i"].equals(pyarrow.chunked_array([range(300_000)], pyarrow.int64()))
    assert table["late"].null_count == 250_000


def test_a_files_folder_may_be_named_as_a_part(tmp_path, duckdb_holding, answered):
    (tmp_path / "year=2024").mkdir()
    url = duckdb_holding("create table t as select 1 as n", "year=2024/t.duckdb")
    assert answered(url, "SELECT n FROM t").num_rows == 1


def test_a_path_is_no_address(refused):
    message = refused(MissingInputError, "duckdb:////none/at/all", "SELECT 1")
    assert "database_url must name a DuckDB file" in message
    assert "Hint: duckdb:////folder/file.duckdb is an absolute path; duckdb:///file.duckdb is one from" in message
