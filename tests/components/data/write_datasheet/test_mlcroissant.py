"""Croissant's reference library, mlcroissant, finds nothing to object to, and reads every row through the metadata."""

import pickle
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from kfp import dsl

from kfp_hallmark.components.data.write_datasheet.datasheet import write_sheet

LIBRARY = Path(__file__).resolve().parents[4] / ".venv" / "croissant"

# In a process of its own, for what it needs is not in the environment. A field's id is `records/<column>`.
READ = """
import pickle, sys
from urllib.parse import unquote

sys.path.append(sys.argv[1])
import mlcroissant

dataset = mlcroissant.Dataset(jsonld=sys.argv[2])
issues = dataset.metadata.ctx.issues
rows = [
    {unquote(name.removeprefix("records/")): value for name, value in row.items()} for row in dataset.records("records")
]
with open(sys.argv[3], "wb") as file:
    pickle.dump((sorted(issues.errors), sorted(issues.warnings), rows), file)
"""

# Types with and without a missing value; text that a CSV file would have to quote.
COLUMNS = {
    "height": pyarrow.array([1.5, None, -2.25, 1e300, 0.1], "float64"),
    "weight": pyarrow.array([0.5, 61.25, 3.0, None, 7.0], "float32"),
    "visits": pyarrow.array([None, 3, -7, 2**40, 0], "int64"),
    "person": pyarrow.array([2**62, 1, 2, 3, 4], "int64"),
    "member": pyarrow.array([True, None, False, True, False], "bool"),
    "adult": pyarrow.array([True, False, False, True, True], "bool"),
    "born": pyarrow.array([date(1990, 1, 1), None, date(1582, 10, 15), date(2400, 2, 29), date(1969, 12, 31)]),
    "seen": pyarrow.array([datetime(2021, 3, 28, 2, 30), datetime(1960, 1, 1, 0, 0, 0, 7), None, None, None]),
    "paid": pyarrow.array([datetime(2021, 3, 28, 2, tzinfo=UTC), None, None, datetime(1900, 1, 1, tzinfo=UTC), None]),
    "town, Größe/Ü %": pyarrow.array(["Köln, West", None, 'say "Grüß Gott"\nto ß', "", "NaN"]),
    "grade": pyarrow.array(["a, b", "ü", None, "ü", "a, b"]).dictionary_encode(),
}
KINDS = {float: float, int: int, bool: bool, str: bytes, date: pandas.Timestamp, datetime: pandas.Timestamp}
"""Type of a value to the type that mlcroissant gives it."""


@pytest.fixture
def read(tmp_path):
    """Read the rows through a dataset's metadata, which lie beside it: errors, warnings and rows."""

    def run(document):
        found = tmp_path / "found.pickle"
        command = [sys.executable, "-c", READ, str(LIBRARY), str(document), str(found)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return pickle.loads(found.read_bytes())

    return run


def as_read(value):
    """Return a value of Parquet as mlcroissant gives it."""
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else KINDS[type(value)](value)


def check_rows(rows, table):
    expected = [{name: as_read(value) for name, value in row.items()} for row in table.to_pylist()]
    assert rows == expected
    kinds = [{name: type(value) for name, value in row.items()} for row in rows]
    assert kinds == [{name: type(value) for name, value in row.items()} for row in expected]


def test_it_reads_every_row_of_a_file(written, read, statement, tmp_path):
    table = pyarrow.table(COLUMNS)
    said = statement | {"version": "1.20.3", "license": "https://creativecommons.org/licenses/by/4.0/"}
    result = written(said, table)
    shutil.copy(result.out / "croissant.json", tmp_path)
    errors, warnings, rows = read(tmp_path / "croissant.json")
    assert (errors, warnings) == ([], [])
    check_rows(rows, table)


def test_it_reads_every_row_of_a_folder_and_recommends_what_nobody_said(read, tmp_path):
    table = pyarrow.table(COLUMNS)
    folder = tmp_path / "folder"
    (folder / "zum Schluß").mkdir(parents=True)
    pyarrow.parquet.write_table(table.slice(0, 3), folder / "part 1.parquet")
    pyarrow.parquet.write_table(table.slice(3), folder / "zum Schluß" / "2.parquet")
    outputs = [dsl.Artifact(uri=str(folder / name)) for name in ("sheet.html", "sheet.md", "croissant.json")]
    write_sheet(dsl.Dataset(uri=str(folder)), {}, None, [], 50, *outputs)
    errors, warnings, rows = read(folder / "croissant.json")
    assert errors == []
    assert len(warnings) == 4
    assert {warning.split('"')[1].rpartition("/")[2] for warning in warnings} == {
        *("citeAs", "datePublished", "license", "version")
    }
    check_rows(rows, table)
