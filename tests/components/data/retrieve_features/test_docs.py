"""The page's definitions are applied, and its rows are given what it says."""

import re
from datetime import datetime
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from kfp_hallmark.components.data.retrieve_features.library import calm, load

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "feature_store.md").read_text(encoding="utf-8")


def column(header, name):
    """The values of a column of the table that has such a header; None where a cell is empty."""
    rows = PAGE.partition(f"| {' | '.join(header)} |\n")[2].partition("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() or None for cell in row.strip("|").split("|")] for row in rows]
    return [row[header.index(name)] for row in cells]


@pytest.fixture
def folder(tmp_path):
    load()
    from feast import FeatureStore

    header = ["customer", "at", "written", "amount"]
    values = {name: column(header, name) for name in header}
    values |= {name: [datetime.fromisoformat(cell) for cell in values[name]] for name in ("at", "written")}
    values |= {"customer": list(map(int, values["customer"])), "amount": list(map(float, values["amount"]))}
    folder = tmp_path / "repository"
    folder.mkdir()
    pyarrow.parquet.write_table(pyarrow.table(values), folder / "spending.parquet")
    (folder / "feature_store.yaml").write_text("project: page\nregistry: registry.db\n")
    names = {}
    with calm():
        exec(re.search(r"```python\n# features.py\n(.*?)```", PAGE, re.DOTALL)[1], names)
        FeatureStore(repo_path=str(folder)).apply([names["customer"], names["spending"]])
    return str(folder)


@pytest.mark.parametrize(("known_then", "name"), [(True, "amount"), (False, "without the filter")])
def test_rows_are_given_what_the_page_says(got, folder, known_then, name):
    header = ["customer", "moment", "amount", "without the filter"]
    given = {
        "customer": list(map(int, column(header, "customer"))),
        "moment": [datetime.fromisoformat(cell) for cell in column(header, "moment")],
    }
    wanted = [None if cell is None else float(cell) for cell in column(header, name)]
    assert len(wanted) == 8
    table = got(given, ["spending:amount"], uri=folder, filter_by_created_timestamp=known_then)
    assert table["amount"].to_pylist() == wanted
