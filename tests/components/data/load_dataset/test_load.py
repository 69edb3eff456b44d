"""load_dataset: what comes out of CSV and Parquet, and what is refused."""

import gzip
import hashlib
import os
import time
import traceback
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from threading import Thread

import fsspec
import pyarrow
import pyarrow.parquet
import pytest
from fakes.credentials import no_credentials  # noqa: F401

from kfp_hallmark.components.data.load_dataset.load import load
from kfp_hallmark.contracts.dataset import dataset_lineage, dataset_metadata, read_table, write_table
from kfp_hallmark.contracts.digest import artifact_digest, file_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

ACS = Path(__file__).parents[4] / "examples" / "acs_employment" / "2015.parquet"

MESSY = """home town,age,monthly income,is active,signed up,seen at,zone,code,empty
Zürich,41,3200.50,True,2024-02-29,2024-02-29 10:00:00,2024-02-29T10:00:00+01:00,7,
,,NA,false,,2024-03-01,2024-03-01T00:00:00Z,007,
"said ""hi"",
and left",-3,4e3,,2023-01-01,,,x,
NA,0,inf,TRUE,2023-12-31,2023-12-31 23:59:59.5,2023-12-31T23:59:59Z,nan,
"""


@pytest.fixture
def dataset(output):
    return output("dataset")


def write_csv(folder: Path, text: str) -> str:
    path = folder / "source.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def load_csv(folder: Path, dataset, text: str) -> pyarrow.Table:
    load(write_csv(folder, text), dataset)
    return read_table(dataset.path)


def refused(error: type[Exception], dataset, uri: str, *arguments) -> str:
    """Load what must be refused; return the message, having seen that nothing was written."""
    with pytest.raises(error) as caught:
        load(uri, dataset, *arguments)
    folder = Path(dataset.path).parent
    assert not [entry for entry in folder.iterdir() if entry.name.startswith((".", "dataset"))]
    return str(caught.value)


def test_the_bundled_data_comes_whole(dataset):
    digest, rows = load(str(ACS), dataset)
    source = "sha256:" + hashlib.sha256(ACS.read_bytes()).hexdigest()
    assert rows == 68_785
    assert digest == artifact_digest(dataset.path)
    assert dataset_lineage(dataset.path) == [digest, source]
    changed = datetime.fromtimestamp(ACS.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert dict(dataset.metadata) == {
        "digest": digest,
        "rows": 68_785,
        "columns": 17,
        "source": str(ACS),
        "source_digest": source,
        "snapshot_time": changed,
    }
    read = read_table(dataset.path)
    assert read.equals(pyarrow.parquet.read_table(ACS).cast(read.schema))


def test_other_peoples_csv_comes_through(tmp_path, dataset):
    table = load_csv(tmp_path, dataset, MESSY)
    assert {field.name: str(field.type) for field in table.schema} == {
        "home town": "string",
        "age": "int64",
        "monthly income": "double",
        "is active": "bool",
        "signed up": "date32[day]",
        "seen at": "timestamp[us]",
        "zone": "timestamp[us, tz=UTC]",
        "code": "string",
        "empty": "double",
    }
    assert table["home town"].to_pylist() == ["Zürich", None, 'said "hi",\nand left', "NA"]
    assert table["age"].to_pylist() == [41, None, -3, 0]
    assert table["monthly income"].to_pylist() == [3200.5, None, 4000.0, float("inf")]
    assert table["is active"].to_pylist() == [True, False, None, True]
    assert [day and day.isoformat() for day in table["signed up"].to_pylist()] == [
        "2024-02-29",
        None,
        "2023-01-01",
        "2023-12-31",
    ]
    assert table["seen at"].to_pylist()[1] == datetime(2024, 3, 1)
    assert table["zone"].to_pylist()[0] == datetime(2024, 2, 29, 9, tzinfo=UTC)
    assert table["code"].to_pylist() == ["7", "007", "x", "nan"]
    assert table["empty"].null_count == 4


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5"], "double"),
        (["1", "true"], "string"),
        (["2024-01-01", "2024-01-01 10:00"], "timestamp[us]"),
        (["2024-01-01", "1"], "string"),
        (["1", "x", "2"], "string"),
        (["", "NA", "3"], "int64"),
        (["1", "99999999999999999999"], "double"),
        (["7", "007"], "string"),
        ([" 01234", "4321"], "string"),
        (["1.5", "-01.5"], "string"),
        (["1", "0x1F"], "string"),
        (["0", "10", "-0"], "int64"),
        (["0.5", "10"], "double"),
        (["0001-01-01"], "date32[day]"),
    ],
)
def test_a_columns_type_holds_values_that_come_late(tmp_path, dataset, values, kind):
    """The file is parsed in blocks of 4 MiB."""
    rows = "".join(f"{value},{'a' * 2**20}\n" * 5 for value in values)
    assert str(load_csv(tmp_path, dataset, "value,other\n" + rows).schema.field("value").type) == kind


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path, dataset):
    assert load_csv(tmp_path, dataset, "\ufeffname,n\na,1\n").column_names == ["name", "n"]


def test_padded_codes_keep_their_zeros(tmp_path, dataset):
    assert load_csv(tmp_path, dataset, "zip,n\n01234,1\n4321,2\n")["zip"].to_pylist() == ["01234", "4321"]


@pytest.mark.parametrize("scheme", ["{}", "memory://{}"])
def test_compressed_csv_gives_what_the_plain_one_gives(tmp_path, dataset, scheme):
    path = tmp_path / "source.csv.gz"
    path.write_bytes(gzip.compress("größe,n\nx,1\n,2\n".encode()))
    uri = scheme.format(path)
    if scheme != "{}":
        fsspec.filesystem("memory").pipe(uri, path.read_bytes())
    load(uri, dataset)
    assert read_table(dataset.path).to_pydict() == {"größe": ["x", None], "n": [1, 2]}
    assert dataset_lineage(dataset.path)[1] == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_spreadsheets_write_comes_through(tmp_path, dataset):
    text = '\ufeff"na,me","<b>q""uote</b>"\r\n1,"two\r\nlines"\r\n'
    path = tmp_path / "source.csv"
    path.write_bytes(text.encode())
    load(str(path), dataset)
    assert read_table(dataset.path).to_pydict() == {"na,me": [1], '<b>q"uote</b>': ["two\r\nlines"]}


@pytest.mark.parametrize("text", ["a;b\n1,5;2\n", "a;b\n1;2\n", "a\tb\n1\t2\n", "a|b\n1|2\n"])
def test_other_separators_are_refused(tmp_path, dataset, text):
    message = refused(InputError, dataset, write_csv(tmp_path, text))
    assert "must have commas between its values; its header has other separators.\nHint: Save it with commas" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", gzip.compress(b"a,b\n1,2\n")),
        ("a.csv", "a,b\n1,2\n".encode("utf-16")),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n")[:12]),
    ],
    ids=["compressed", "utf-16", "truncated"],
)
def test_what_is_not_text_is_refused(tmp_path, dataset, name, content):
    (tmp_path / name).write_bytes(content)
    message = refused(InputError, dataset, str(tmp_path / name))
    assert "must be CSV in UTF-8 with a header; " in message


def test_a_parquet_file_called_csv_is_refused(tmp_path, dataset):
    (tmp_path / "a.csv").write_bytes(ACS.read_bytes())
    assert "must be CSV in UTF-8 with a header; " in refused(InputError, dataset, str(tmp_path / "a.csv"))


def test_the_bytes_depend_on_the_rows_alone(tmp_path, output):
    table = pyarrow.table({"n": list(range(1000)), "text": [f"t{i % 7}" for i in range(1000)]})
    digests = set()
    for name, rows in (("one", 1000), ("many", 17)):
        path = tmp_path / f"{name}.parquet"
        pyarrow.parquet.write_table(table, path, row_group_size=rows)
        artifact = output(name)
        load(str(path), artifact)
        read = read_table(artifact.path)
        assert read.equals(table)
        bare = output(name + "-bare")
        digests.add(write_table(bare.path, read, {}))
    assert len(digests) == 1


def test_the_same_source_gives_the_same_digest(output):
    first, second = output("first"), output("second")
    assert load(str(ACS), first) == load(str(ACS), second)


def test_types_become_plain_and_foreign_metadata_goes(tmp_path, dataset):
    columns = {
        "category": pyarrow.array(["a", "b", "a"]).dictionary_encode(),
        "long text": pyarrow.array(["a", None, "c"], pyarrow.large_string()),
        "view": pyarrow.array(["a", "b", "c"], pyarrow.string_view()),
        "price": pyarrow.array([Decimal("1.50"), Decimal("2.25"), None]),
        "nothing": pyarrow.nulls(3),
        "seen": pyarrow.array([0, 1, 2], pyarrow.timestamp("ms", "Europe/Zurich")),
    }
    json_type = pyarrow.json_(pyarrow.string())
    columns["json"] = pyarrow.ExtensionArray.from_storage(json_type, pyarrow.array(["{}", "1", None]))
    table = pyarrow.table(columns).replace_schema_metadata({"pandas": "{}", "other": "x"})
    pyarrow.parquet.write_table(table, tmp_path / "source.parquet")
    load(str(tmp_path / "source.parquet"), dataset)
    schema = pyarrow.parquet.read_schema(dataset.path)
    assert {field.name: str(field.type) for field in schema} == {
        "category": "string",
        "long text": "string",
        "view": "string",
        "price": "double",
        "nothing": "double",
        "seen": "timestamp[us, tz=UTC]",
        "json": "string",
    }
    assert list(schema.metadata) == [b"hallmark"]
    assert not any(field.metadata and b"ARROW:extension:name" in field.metadata for field in schema)
    assert dataset_metadata(dataset.path).keys() == {"lineage"}


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path, dataset):
    folder = tmp_path / "source"
    folder.mkdir()
    for name, value in (("b", 2), ("a", 1)):
        pyarrow.parquet.write_table(pyarrow.table({"n": [value]}), folder / f"{name}.parquet")
    digest, rows = load(str(folder), dataset)
    assert rows == 2
    assert read_table(dataset.path)["n"].to_pylist() == [1, 2]
    assert dataset_lineage(dataset.path) == [digest, artifact_digest(folder)]


@pytest.mark.parametrize("scheme", ["file://{}", "memory://{}"])
def test_a_uri_gives_what_the_path_gives(tmp_path, dataset, output, scheme):
    path = write_csv(tmp_path, "a,b\n1,x\n2,y\n")
    uri = scheme.format(path)
    if scheme.startswith("memory"):
        fsspec.filesystem("memory").pipe(uri, Path(path).read_bytes())
    other = output("other")
    assert load(uri, dataset, max_age_hours=1) == load(path, other)
    assert dataset.metadata["source"] == uri
    assert dataset.metadata["snapshot_time"].endswith("Z")


def test_a_remote_folder_gives_what_the_local_one_gives(tmp_path, dataset, output):
    memory = fsspec.filesystem("memory")
    folder = tmp_path / "source"
    folder.mkdir()
    for name in "ab":
        pyarrow.parquet.write_table(pyarrow.table({"name": [name]}), folder / f"{name}.parquet")
        memory.pipe(f"/remote/{name}.parquet", (folder / f"{name}.parquet").read_bytes())
    other = output("other")
    assert load("memory://remote", dataset) == load(str(folder), other)


def test_the_expected_digest_is_that_of_sha256sum(tmp_path, dataset):
    path = write_csv(tmp_path, "a\n1\n")
    digest = "sha256:" + hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert load(path, dataset, digest)[1] == 1


def test_another_digest_is_refused(tmp_path, dataset):
    path = write_csv(tmp_path, "a\n1\n")
    message = refused(IntegrityError, dataset, path, "sha256:" + "0" * 64)
    assert message.startswith(f"The source {path!r} must have the digest sha256:000")


def test_what_is_no_digest_is_refused(tmp_path, dataset):
    assert "expected_digest must be 'sha256:'" in refused(InputError, dataset, write_csv(tmp_path, "a\n1\n"), "abc")


def test_an_old_source_is_refused(tmp_path, dataset):
    path = write_csv(tmp_path, "a\n1\n")
    old = time.time() - 3 * 3600
    os.utime(path, (old, old))
    message = refused(InputError, dataset, path, None, 2.9)
    assert "must have changed within 2.9 hours; it last changed 3.0 hours ago." in message
    assert load(path, dataset, None, 3.1)[1] == 1


def test_a_source_from_the_future_is_refused_unless_clocks_explain_it(tmp_path, dataset):
    path = write_csv(tmp_path, "a\n1\n")
    hours_from_now(path, 2)
    message = refused(InputError, dataset, path, None, 1)
    assert "must not be from the future when max_age_hours is set; it changed 2.0 hours from now." in message
    assert load(path, dataset)[1] == 1
    hours_from_now(path, 0.05)
    assert load(path, dataset, None, 1)[1] == 1


def hours_from_now(path, hours):
    changed = time.time() + hours * 3600
    os.utime(path, (changed, changed))


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf")])
def test_an_age_out_of_range_is_refused(tmp_path, dataset, hours):
    assert "max_age_hours must be above 0" in refused(InputError, dataset, str(ACS), None, hours)


def test_an_age_may_be_as_great_as_a_number(tmp_path, dataset):
    assert load(write_csv(tmp_path, "a\n1\n"), dataset, max_age_hours=1e300)[1] == 1


def test_a_whole_store_is_refused(dataset):
    message = refused(InputError, dataset, "s3://")
    assert message.startswith("uri must be a file that can be read; 's3://' cannot (ValueError).\nHint: ")


def test_a_source_without_a_required_column_is_refused(tmp_path, dataset):
    path = write_csv(tmp_path, "gender,age\nf,31\n")
    message = refused(InputError, dataset, path, None, None, ["age", "gendr"])
    told = "What later steps need (required_columns) must be a column of the dataset; got 'gendr'."
    assert message == f"{told}\nHint: Did you mean 'gender'?"
    assert load(path, dataset, required_columns=["age", "gender"])[1] == 1


def test_an_empty_uri_is_not_the_working_folder(dataset):
    assert refused(InputError, dataset, "") == "uri must be a path or a URI; got ''."


def test_a_missing_file_is_refused(tmp_path, dataset):
    path = str(tmp_path / "absent.csv")
    assert refused(MissingInputError, dataset, path) == f"uri must be a file or folder that is there; got {path!r}."


def test_a_folder_without_parquet_is_refused(tmp_path, dataset):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").write_text("x")
    message = refused(MissingInputError, dataset, str(tmp_path / "source"))
    assert "must be a Parquet file or a folder of them" in message


def test_an_unknown_protocol_is_refused_without_its_secret(dataset, tmp_path):
    message = refused(InputError, dataset, "nowhere://user:secret@host/data.csv?token=secret")
    assert "must be a path or a URI that fsspec can open; got 'nowhere://host/data.csv'" in message
    assert "secret" not in message


@pytest.mark.usefixtures("no_credentials")
def test_a_bucket_without_credentials_says_what_to_do(dataset):
    message = refused(InputError, dataset, "s3://data/loans.csv")
    assert message == (
        "uri must be a file that can be read; 's3://data/loans.csv' cannot (NoCredentialsError).\n"
        "Hint: Check the address, and that the step has AWS credentials that may read it, as by AWS_ACCESS_KEY_ID."
    )


@pytest.mark.usefixtures("no_credentials")
def test_a_traceback_shows_no_secret_of_a_uri(dataset):
    """What the client of a web server raises that tells of a file, and then refuses it, holds the whole URI."""
    answers, secret = iter([200]), token_hex()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(next(answers, 403))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            with pytest.raises(InputError, match=r"cannot \(ClientResponseError\)") as caught:
                load(f"http://127.0.0.1:{server.server_port}/loans.csv?token={secret}", dataset)
        finally:
            server.shutdown()
            thread.join()
    assert secret not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        (
            "ftp://ada:s3cret@ho\u2100st/a.csv",
            "that fsspec can open; got 'ftp://ho\u2100st/a.csv'.\nHint: Such are gs://",
        ),
        ("ftp://ada:s3cret@127.0.0.1:1/a.csv", "'ftp://127.0.0.1:1/a.csv' cannot (ConnectionRefusedError)."),
    ],
)
def test_a_server_that_is_none_or_does_not_answer_is_told(dataset, uri, wanted):
    with pytest.raises(InputError) as caught:
        load(uri, dataset)
    assert wanted in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_an_unknown_suffix_is_refused(tmp_path, dataset):
    (tmp_path / "source.xlsx").write_bytes(b"x")
    message = refused(InputError, dataset, str(tmp_path / "source.xlsx"))
    assert "uri must end in one of .csv, .csv.gz, .parquet, .pq, or be a folder" in message


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_empty_file_is_refused(tmp_path, dataset, suffix):
    path = tmp_path / f"source.{suffix}"
    path.touch()
    assert refused(InputError, dataset, str(path)) == f"The source {str(path)!r} must hold data; it is empty."


def test_a_header_alone_is_refused(tmp_path, dataset):
    path = write_csv(tmp_path, "a,b\n")
    assert "must hold at least one row; it holds none." in refused(InputError, dataset, path)


def test_parquet_without_rows_is_refused(tmp_path, dataset):
    path = str(tmp_path / "source.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"a": pyarrow.array([], pyarrow.int64())}), path)
    assert "must hold at least one row; it holds none." in refused(InputError, dataset, path)


def test_duplicate_columns_are_refused_in_csv(tmp_path, dataset):
    message = refused(InputError, dataset, write_csv(tmp_path, "a,b,a\n1,2,3\n"))
    assert message.endswith("must have different names; got more than once: 'a'.")


def test_duplicate_columns_are_refused_in_parquet(tmp_path, dataset):
    path = str(tmp_path / "source.parquet")
    table = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["b", "b"])
    pyarrow.parquet.write_table(table, path)
    assert "must have different names; got more than once: 'b'." in refused(InputError, dataset, path)


def test_a_column_without_a_name_is_refused(tmp_path, dataset):
    message = refused(InputError, dataset, write_csv(tmp_path, "a,,b\n1,2,3\n"))
    assert "must have a name; column 2 has none." in message
    assert "row numbers" in message


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_truncated_parquet_is_refused(tmp_path, dataset, kept):
    content = ACS.read_bytes()
    path = tmp_path / "source.parquet"
    path.write_bytes(content[: int(len(content) * kept)])
    message = refused(InputError, dataset, str(path))
    assert message == f"The source {str(path)!r} must be whole Parquet; 'source.parquet' is not."


def test_parquet_with_names_that_are_no_text_is_refused(tmp_path, dataset):
    path = tmp_path / "source.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"Zürich": [1, 2]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace("Zürich".encode(), b"Z\xff\xffrich"))
    assert "must be whole Parquet; 'source.parquet' is not." in refused(InputError, dataset, str(path))


def test_parquet_with_texts_that_are_no_unicode_is_refused(tmp_path, dataset):
    texts = pyarrow.array([b"Bern", b"Z\xfcrich"], pyarrow.binary()).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"town": texts}), tmp_path / "source.parquet")
    message = refused(InputError, dataset, str(tmp_path / "source.parquet"))
    assert "must be whole Parquet; 'source.parquet' is not." in message


def test_parquet_with_broken_pages_is_refused(tmp_path, dataset):
    content = bytearray(ACS.read_bytes())
    content[1000:200_000] = bytes(199_000)
    path = tmp_path / "source.parquet"
    path.write_bytes(content)
    assert "must be whole Parquet" in refused(InputError, dataset, str(path))


@pytest.mark.parametrize("other", [{"n": [1.5]}, {"m": [1]}, {"n": [1], "m": [1]}])
def test_a_folder_with_differing_columns_is_refused(tmp_path, dataset, other):
    folder = tmp_path / "source"
    folder.mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"n": [1]}), folder / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table(other), folder / "b.parquet")
    message = refused(InputError, dataset, str(folder))
    assert "must have the same columns and types in the same order; 'b.parquet' differs from 'a.parquet'" in message


def test_columns_in_the_names_of_folders_are_refused(tmp_path, dataset):
    folder = tmp_path / "source" / "year=2015"
    folder.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table({"n": [1]}), folder / "a.parquet")
    message = refused(InputError, dataset, str(tmp_path / "source"))
    assert "must hold every column in its files; it holds some in the names of folders." in message


@pytest.mark.parametrize("values", [[[1, 2]], [{"a": 1}], [b"bytes"]], ids=["list", "struct", "binary"])
def test_what_is_not_tabular_is_refused(tmp_path, dataset, values):
    path = str(tmp_path / "source.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"odd": values}), path)
    message = refused(InputError, dataset, path)
    assert "The column 'odd' must hold numbers, text, booleans, dates or times; got" in message


@pytest.mark.parametrize("text", ["n,name\n1,Zürich\n", "n,größe\n1,x\n"], ids=["value", "header"])
def test_csv_in_another_encoding_is_refused(tmp_path, dataset, text):
    path = tmp_path / "source.csv"
    path.write_bytes(text.encode("latin-1"))
    assert "must be CSV in UTF-8 with a header; its encoding is another." in refused(InputError, dataset, str(path))


def test_an_uneven_row_is_refused_without_showing_it(tmp_path, dataset):
    path = write_csv(tmp_path, "a,b\n1,2\nsecret,4,5\n")
    with pytest.raises(InputError) as caught:
        load(path, dataset)
    assert str(caught.value).endswith("a row has 3 values where the header has 2.")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("word", ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None"])
def test_every_word_for_a_missing_number_is_known(tmp_path, dataset, word):
    table = load_csv(tmp_path, dataset, f"n,m\n1.5,1\n {word} ,2\n")
    assert table["n"].to_pylist() == [1.5, None]


def test_decimals_become_the_nearest_floats(tmp_path, dataset):
    """Arrow's own conversion is off by one in the last place for some of these."""
    amounts = [Decimal(cents) / 100 for cents in range(1000)]
    table = pyarrow.table({"amount": pyarrow.array([*amounts, None], pyarrow.decimal128(10, 2))})
    pyarrow.parquet.write_table(table, tmp_path / "source.parquet")
    load(str(tmp_path / "source.parquet"), dataset)
    assert read_table(dataset.path)["amount"].to_pylist() == [*map(float, amounts), None]


def test_a_folder_is_as_old_as_its_latest_file(tmp_path, dataset):
    folder = tmp_path / "source"
    folder.mkdir()
    for name, hours in (("a", 5), ("b", 1)):
        path = folder / f"{name}.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"n": [1]}), path)
        changed = time.time() - hours * 3600
        os.utime(path, (changed, changed))
    assert load(str(folder), dataset, None, 2)[1] == 2


def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path, dataset):
    path = Path(write_csv(tmp_path, "a\n1\n"))

    class Late:
        """Once it is asked where to write, which is when the rows are to be read, the source changes."""

        @property
        def path(self):
            path.write_text("a\n22\n")
            return dataset.path

    with pytest.raises(IntegrityError, match=r"must not change while it is read; it did\."):
        load(str(path), Late())
    assert not Path(dataset.path).exists()


def test_a_source_that_changes_after_its_digest_is_taken_is_refused(tmp_path, dataset):
    """Also by other bytes of the same length, and with the time put back."""
    path = Path(write_csv(tmp_path, "a\n1\n"))
    before = path.stat()

    class Expected(str):
        """Once the source's digest is compared with it, the source changes."""

        __hash__ = str.__hash__

        def __eq__(self, other):
            path.write_text("a\n2\n")
            while path.stat().st_ctime_ns == before.st_ctime_ns or path.stat().st_mtime_ns != before.st_mtime_ns:
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            return super().__eq__(other)

    expected = Expected(file_digest(path))
    assert "must not change while it is read; it did." in refused(IntegrityError, dataset, str(path), expected)


def test_a_folder_with_a_link_to_nothing_is_refused(tmp_path, dataset):
    folder = tmp_path / "source"
    folder.mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"n": [1]}), folder / "a.parquet")
    (folder / "b.parquet").symlink_to(tmp_path / "none")
    assert "must hold no symbolic links" in refused(IntegrityError, dataset, str(folder))
