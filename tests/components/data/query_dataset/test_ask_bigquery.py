"""query_dataset on BigQuery: Google's own client, against a stand-in for the service."""

import json
from datetime import UTC, date, datetime

import pytest
from fakes.bigquery import Answer, Service, service_account, serving

from kfp_hallmark.components.data.query_dataset.query import ask
from kfp_hallmark.errors import InputError, ServiceError

URL = "bigquery://acme/credit?location=EU&maximum_bytes_billed=1000000"


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    """A service account's key file, without the address of the token service."""
    return service_account("")


@pytest.fixture
def service(tmp_path, monkeypatch, account):
    """The service, and a machine that knows it and a service account."""
    service = Service()
    with serving(service) as address:
        (tmp_path / "account.json").write_text(json.dumps(account | {"token_uri": f"{address}/token"}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", address)
        # What the client asks of Google's other services, in the background, does not leave this machine.
        for name, value in (("http_proxy", ""), ("https_proxy", address), ("no_proxy", "127.0.0.1")):
            monkeypatch.setenv(name, value)
            monkeypatch.setenv(name.upper(), value)
        yield service


def test_every_plain_type_comes_through_over_pages(service, answered, dataset):
    schema = [
        ("id", "INTEGER"),
        ("amount", "NUMERIC"),
        ("exact", "BIGNUMERIC"),
        ("share", "FLOAT"),
        ("opened", "DATE"),
        ("seen", "DATETIME"),
        ("zoned", "TIMESTAMP"),
        ("open", "BOOLEAN"),
        ("town", "STRING"),
    ]
    first = ["-1", "1200.5", "0.25", "0.5", "2024-02-29", "2024-02-29T10:00:00", "1709200800000000", "true", "Zürich"]
    second = ["9223372036854775807", "-3.25", None, "NaN", None, "1969-12-31T23:59:59.5", "-1", "false", ""]
    service.answers["SELECT 1"] = Answer(schema, [[None] * 9, [None] * 9, first, second, [None] * 9])
    table = answered(URL, "SELECT 1")
    assert [str(field.type) for field in table.schema] == [
        *[
            "int64",
            "double",
            "double",
            "double",
            "date32[day]",
            "timestamp[us]",
            "timestamp[us, tz=UTC]",
            "bool",
            "string",
        ]
    ]
    assert table.num_rows == 5
    assert list(table.to_pylist()[2].values()) == [
        *[-1, 1200.5, 0.25, 0.5, date(2024, 2, 29), datetime(2024, 2, 29, 10)],
        *[datetime(2024, 2, 29, 10, tzinfo=UTC), True, "Zürich"],
    ]
    assert table["id"][3].as_py() == 9223372036854775807
    assert table["zoned"][3].as_py() == datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert dataset.metadata["source"] == "bigquery://acme/credit?location=EU"


def test_parameters_are_bound_by_their_places(service, dataset):
    query = "SELECT @ AS x WHERE town = :town AND n >= :n AND share < :share AND open = :open AND town != :town"
    sent = query.replace(":town", "?").replace(":n ", "? ").replace(":share", "?").replace(":open", "?")
    service.answers[sent] = Answer([("x", "INTEGER")], [["1"]])
    ask(URL, query, dataset, {"town": "a'b", "n": 3.0, "share": 0.5, "open": True})
    dry, asked = service.requests
    wanted = [("STRING", "a'b"), ("INT64", "3"), ("FLOAT64", 0.5), ("BOOL", "true"), ("STRING", "a'b")]
    for request in (dry["query"], asked):
        given = [
            (entry["parameterType"]["type"], entry["parameterValue"]["value"]) for entry in request["queryParameters"]
        ]
        assert given == wanted
        assert request["defaultDataset"] == {"projectId": "acme", "datasetId": "credit"}
        assert request["maximumBytesBilled"] == "1000000"
        assert request["useLegacySql"] is False
    assert dry["dryRun"] is True
    assert asked["location"] == "EU"


@pytest.mark.parametrize(
    "quoted",
    [
        r"'it\'s {}'",
        r'"it\"s {}"',
        "'''it's {}'''",
        '"""a "\n{}" """',
        r"r'\' {}'",
        "(SELECT 1 AS `it's {}`)",
        "1 # it's {}\n",
        "1 -- it's {}\n",
        "1 /* it's\n{} */",
    ],
)
def test_a_parameter_within_quotes_is_refused_and_a_colon_is_not(service, refused, dataset, quoted):
    query = f"SELECT {quoted}, :n, 'x'"
    message = refused(InputError, URL, query.format(":n"), parameters={"n": 5})
    assert message.startswith("A parameter in query must not stand within quotes or a comment; ':n' does.\nHint: ")
    assert not service.requests
    service.answers[f"SELECT {quoted}, ?, 'x'".format(":n")] = Answer([("x", "INTEGER")], [["1"]])
    ask(URL, query.format(r"\:n"), dataset, {"n": 5})


def test_a_parameter_after_a_comment_in_a_comment_is_bound(service, dataset):
    """BigQuery's comments do not nest."""
    service.answers["SELECT 1 /* /* */, ?"] = Answer([("x", "INTEGER")], [["1"]])
    ask(URL, "SELECT 1 /* /* */, :n", dataset, {"n": 5})


def test_a_comment_ends_with_its_line_however_that_ends(service, refused):
    message = refused(InputError, URL, "SELECT 1, --\r'''\n:n'''", parameters={"n": 5})
    assert "':n' does." in message
    assert not service.requests


@pytest.mark.parametrize("kind", ["DELETE", "SCRIPT", "CREATE_TABLE_AS_SELECT"])
def test_what_is_no_select_is_never_run(service, refused, kind):
    service.answers["SELECT 1"] = Answer([], kind=kind)
    assert refused(InputError, URL, "SELECT 1") == f"query must be one SELECT; got {kind}."
    assert len(service.requests) == 1


@pytest.mark.parametrize("kind", ["RECORD", "INTEGER[]", "JSON", "BYTES", "GEOGRAPHY", "TIME", "INTERVAL", "RANGE"])
def test_a_type_that_is_not_plain_is_refused(service, refused, kind):
    service.answers["SELECT 1"] = Answer([("id", "INTEGER"), ("odd", kind)], [["1", None]])
    told = "ARRAY<INTEGER>" if kind == "INTEGER[]" else kind
    message = refused(InputError, URL, "SELECT 1")
    assert f"The column 'odd' must hold numbers, text, booleans, dates or times; got {told}." in message


def test_a_great_decimal_is_not_merged_with_its_neighbour(service, refused):
    service.answers["SELECT 1"] = Answer([("key", "NUMERIC")], [["9007199254740993"]])
    message = refused(InputError, URL, "SELECT 1")
    assert "The decimals of the column 'key' must be exact in float64 beyond 2**53; one is not." in message


@pytest.mark.parametrize(
    ("status", "reason", "says"),
    [
        (400, "invalidQuery", "Syntax error: Unexpected identifier SELEC at [1:1]"),
        (404, "notFound", "Not found: Table acme:credit.lones was not found in location EU"),
        (403, "accessDenied", "Access Denied: Table acme:credit.loans: User does not have permission"),
    ],
)
def test_a_query_that_is_not_understood_is_refused_with_what_is_wrong(service, refused, status, reason, says):
    service.answers["SELECT 1"] = Answer([], refusal=(status, reason, says))
    message = refused(InputError, URL, "SELECT 1")
    assert message.startswith("query must be one SELECT that 'bigquery://acme/credit?location=EU' can answer; it says")
    assert says in message


def test_a_query_that_fails_on_a_record_does_not_show_it(service, refused):
    service.answers["SELECT 1"] = Answer([("x", "INTEGER")], failure=(400, "invalidQuery", "Bad int64 value: Zürich"))
    message = refused(ServiceError, URL, "SELECT 1")
    assert "must answer the query; it failed at it (BadRequest)." in message
    assert "Zürich" not in message


def test_an_answer_without_rows_is_refused(service, refused):
    service.answers["SELECT 1"] = Answer([("x", "INTEGER")])
    assert "must hold at least one row; it holds none." in refused(InputError, URL, "SELECT 1")


def test_two_columns_of_one_name_are_refused(service, refused):
    service.answers["SELECT 1"] = Answer([("x", "INTEGER"), ("x", "STRING")], [["1", "a"]])
    assert "must have different names; got more than once: 'x'." in refused(InputError, URL, "SELECT 1")


def test_a_machine_without_credentials_is_told_which_to_have(service, refused, monkeypatch, tmp_path):
    (tmp_path / "account.json").write_text("{}")
    message = refused(ServiceError, URL, "SELECT 1")
    assert "must be asked with Google credentials; there are none that serve (DefaultCredentialsError)." in message
    assert "Hint: Run as a service account with the roles roles/bigquery.jobUser" in message


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("bigquery:///credit", "database_url must name a project, as bigquery://PROJECT/DATASET"),
        ("bigquery://acme?maximum_bytes_billed=1e9", "maximum_bytes_billed of database_url must be a whole number"),
    ],
)
def test_an_address_must_be_whole(service, refused, url, wanted):
    assert wanted in refused(InputError, url, "SELECT 1")
