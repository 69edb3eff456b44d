"""The dataset contract: reading and writing piece by piece."""

import itertools
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfp_hallmark.contracts import dataset as module
from kfp_hallmark.contracts.dataset import (
    dataset_lineage,
    dataset_metadata,
    read_batches,
    read_schema,
    read_table,
    write_batches,
    write_table,
)
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError, MissingInputError

ENVIRONMENT = "ml"
TABLE = pyarrow.table({"n": list(range(100)), "a b": [None if n % 7 == 0 else f"t{n % 5}" for n in range(100)]})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 100), max_size=8), group=st.integers(1, 120))
def test_the_bytes_depend_on_the_rows_and_not_on_the_pieces(tmp_path, monkeypatch, cuts, group):
    monkeypatch.setattr(module, "ROW_GROUP", group)
    whole = write_table(tmp_path / "whole", TABLE, {"lineage": []})
    edges = [0, *sorted(cuts), 100]
    pieces = [
        batch for start, end in itertools.pairwise(edges) for batch in TABLE.slice(start, end - start).to_batches()
    ]
    assert write_batches(tmp_path / "pieces", TABLE.schema, pieces, {"lineage": []}) == whole
    assert read_table(tmp_path / "pieces").equals(TABLE)


def test_foreign_metadata_is_left_out_and_ours_is_bound(tmp_path):
    foreign = TABLE.replace_schema_metadata({"pandas": "{}"})
    digest = write_table(tmp_path / "data", foreign, {"lineage": ["sha256:" + "1" * 64], "task": "binary"})
    assert list(pyarrow.parquet.read_schema(tmp_path / "data").metadata) == [b"hallmark"]
    assert dataset_metadata(tmp_path / "data")["task"] == "binary"
    assert dataset_lineage(tmp_path / "data") == [digest, "sha256:" + "1" * 64]
    assert digest == artifact_digest(tmp_path / "data")


def test_a_table_without_rows_keeps_its_columns(tmp_path):
    write_table(tmp_path / "data", TABLE.slice(0, 0), {})
    assert read_table(tmp_path / "data").schema.equals(TABLE.schema)
    assert not [batch for batch in read_batches(tmp_path / "data") if batch.num_rows]


def test_nothing_is_left_when_the_rows_break_off(tmp_path):
    def rows():
        yield from TABLE.to_batches()
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError):
        write_batches(tmp_path / "data", TABLE.schema, rows(), {})
    assert not list(tmp_path.iterdir())


def test_chosen_columns_come_in_the_order_asked_for(tmp_path):
    table = pyarrow.table({"a": [1], "a.b": [2], "c": [3]})
    write_table(tmp_path / "data", table, {})
    for names in (["c", "a"], ["a.b"], ["a"]):
        (batch,) = read_batches(tmp_path / "data", names)
        assert batch.schema.names == names
        assert batch.to_pylist() == table.select(names).to_pylist()


def test_the_files_of_a_folder_are_one_dataset(tmp_path):
    for index in range(2):
        write_table(tmp_path / "data" / f"{index}.parquet", TABLE.slice(50 * index, 50), {})
    assert pyarrow.Table.from_batches(read_batches(tmp_path / "data")).equals(TABLE)


def test_an_absent_column_is_refused(tmp_path):
    write_table(tmp_path / "data", TABLE, {})
    with pytest.raises(InputError, match="must be a column of the dataset; got 'a_b'"):
        list(read_batches(tmp_path / "data", ["a_b"]))


def test_a_missing_dataset_is_refused(tmp_path):
    with pytest.raises(MissingInputError):
        list(read_batches(tmp_path / "absent"))


def test_names_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "data"
    pyarrow.parquet.write_table(pyarrow.table({"Zürich": [1]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace("Zürich".encode(), b"Z\xff\xffrich"))
    with pytest.raises(InputError, match="must be whole Parquet"):
        read_schema(path)


def test_a_broken_page_is_refused(tmp_path):
    path = Path(tmp_path / "data")
    write_table(path, TABLE, {})
    content = bytearray(path.read_bytes())
    content[10:400] = bytes(390)
    path.write_bytes(content)
    with pytest.raises(InputError, match="must be whole Parquet"):
        list(read_batches(path))


def write_parquet(path: Path, table: pyarrow.Table) -> Path:
    pyarrow.parquet.write_table(table, path)
    return path


def test_files_of_other_makers_are_read_as_plain_types(tmp_path):
    foreign = pyarrow.table(
        {
            "long text": pyarrow.array(["a", None], pyarrow.large_string()),
            "category": pyarrow.array(["a", "b"]).dictionary_encode(),
            "price": pyarrow.array([Decimal("1.50"), None]),
            "nothing": pyarrow.nulls(2),
            "seen": pyarrow.array([0, 1], pyarrow.timestamp("ms", "Asia/Kolkata")),
        }
    )
    path = write_parquet(tmp_path / "data.parquet", foreign)
    kinds = ["string", "string", "double", "double", "timestamp[us, tz=UTC]"]
    assert [str(kind) for kind in read_schema(path).types] == kinds
    assert [str(kind) for kind in read_table(path).schema.types] == kinds
    assert [str(kind) for kind in next(read_batches(path, ["price", "category"])).schema.types] == ["double", "string"]
    assert read_table(path)["category"].to_pylist() == ["a", "b"]


def test_what_is_not_tabular_is_refused(tmp_path):
    path = write_parquet(tmp_path / "data.parquet", pyarrow.table({"tags": [["secret"]]}))
    with pytest.raises(InputError) as caught:
        read_table(path)
    message = "The column 'tags' must hold numbers, text, booleans, dates or times; got list"
    assert str(caught.value).startswith(message)
    assert "secret" not in str(caught.value)


def test_a_time_out_of_range_is_refused_without_showing_it(tmp_path):
    times = pyarrow.array([2**62], pyarrow.timestamp("ms"))
    path = write_parquet(tmp_path / "data.parquet", pyarrow.table({"when": times}))
    with pytest.raises(InputError) as caught:
        read_table(path)
    message = "The column 'when' must hold values that fit into timestamp[us]; one of timestamp[ms] does not."
    assert str(caught.value) == message


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["b", "b"])
    with pytest.raises(InputError, match="must have different names; got more than once: 'b'"):
        read_table(write_parquet(tmp_path / "data.parquet", table))


@pytest.mark.parametrize("other", [{"n": ["x"]}, {"m": [1]}], ids=["type", "name"])
def test_files_that_differ_are_refused(tmp_path, other):
    write_parquet(tmp_path / "a.parquet", pyarrow.table({"n": [1]}))
    write_parquet(tmp_path / "b.parquet", pyarrow.table(other))
    for columns in (None, ["n"]):
        with pytest.raises(InputError, match=r"must have the same columns and types; .*b\.parquet' differs"):
            read_table(tmp_path, columns)


def test_files_may_order_their_columns_as_they_like(tmp_path):
    write_parquet(tmp_path / "a.parquet", pyarrow.table({"n": [1], "t": ["x"]}))
    write_parquet(tmp_path / "b.parquet", pyarrow.table({"t": ["y"], "n": [2]}))
    assert read_table(tmp_path).to_pydict() == {"n": [1, 2], "t": ["x", "y"]}
