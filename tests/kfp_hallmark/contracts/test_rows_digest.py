"""rows_digest: the same rows have the same one, whatever holds them; computed here by hand."""

import hashlib
import itertools
import struct
from datetime import UTC, date, datetime

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_hallmark.contracts import dataset
from kfp_hallmark.contracts.dataset import read_table, rows_digest, write_table

ENVIRONMENT = "ml"

SCHEMA = pyarrow.schema([("n", pyarrow.int16()), ("t", pyarrow.string()), ("b", pyarrow.bool_())])
ROWS = {"n": [-2, None, 3], "t": ["é", "", None], "b": [True, None, False]}


def digest(table):
    return rows_digest(table.schema, table.to_batches())


def test_it_is_what_it_is_said_to_be():
    expected = hashlib.sha256(b'[["n","int16"],["t","string"],["b","bool"]]')
    expected.update(bytes([1, 0, 1]) + struct.pack("<3h", -2, 0, 3))
    expected.update(bytes([1, 1, 0]) + struct.pack("<3i", 2, 0, 0) + "é".encode())
    expected.update(bytes([1, 0, 1]) + bytes([1, 0, 0]))
    assert digest(pyarrow.table(ROWS, schema=SCHEMA)) == f"sha256:{expected.hexdigest()}"


def test_dates_times_and_floats_are_what_parquet_holds():
    columns = {
        "d": pyarrow.array([date(1970, 1, 3)]),
        "u": pyarrow.array([datetime(1970, 1, 1, 0, 0, 1)], pyarrow.timestamp("us")),
        "z": pyarrow.array([datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)], pyarrow.timestamp("us", "UTC")),
        "f": pyarrow.array([0.5], pyarrow.float32()),
    }
    names = b'[["d","date32[day]"],["u","timestamp[us]"],["z","timestamp[us, tz=UTC]"],["f","float"]]'
    parts = [struct.pack("<i", 2), struct.pack("<q", 10**6), struct.pack("<q", 2 * 10**6), struct.pack("<f", 0.5)]
    expected = hashlib.sha256(names + b"".join(b"\1" + part for part in parts)).hexdigest()
    assert digest(pyarrow.table(columns)) == f"sha256:{expected}"


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=4), offset=st.integers(0, 3))
def test_it_does_not_depend_on_how_the_rows_are_cut(cuts, offset):
    numbers = [None if number % 7 == 0 else number for number in range(43)]
    text = [None if number is None else str(number) * (number % 3) for number in numbers]
    table = pyarrow.table({"n": pyarrow.array(numbers, pyarrow.int16()), "t": text, "b": [n == 5 for n in numbers]})
    whole = digest(pyarrow.table(table.slice(offset).to_pydict(), schema=table.schema))
    marks = sorted({0, *cuts, 43 - offset})
    pieces = [table.slice(offset + begin, end - begin) for begin, end in itertools.pairwise(marks)]
    assert rows_digest(table.schema, [batch for piece in pieces for batch in piece.to_batches()]) == whole


def test_it_is_the_same_of_a_written_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "ROW_GROUP", 2)
    table = pyarrow.table(ROWS, schema=SCHEMA)
    write_table(tmp_path / "data", table, {"lineage": []})
    assert digest(read_table(tmp_path / "data")) == digest(table)


@pytest.mark.parametrize(
    "other",
    [
        {**ROWS, "n": [-2, 0, 3]},
        {**ROWS, "t": ["", "é", None]},
        {**ROWS, "t": ["é", None, None]},
        {**ROWS, "b": [True, False, False]},
        {name: values[::-1] for name, values in ROWS.items()},
    ],
)
def test_other_rows_have_another(other):
    assert digest(pyarrow.table(other, schema=SCHEMA)) != digest(pyarrow.table(ROWS, schema=SCHEMA))


def test_other_names_and_types_have_another():
    table = pyarrow.table(ROWS, schema=SCHEMA)
    wider = table.set_column(0, "n", table["n"].cast(pyarrow.int32()))
    assert len({digest(table), digest(wider), digest(table.rename_columns(["m", "t", "b"]))}) == 3
