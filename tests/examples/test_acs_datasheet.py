"""The datasheet of the bundled data: what a person says of it, and what is measured."""

import json
from pathlib import Path

import pytest
from kfp import dsl

from kfp_hallmark.components.data.write_datasheet.datasheet import write_sheet
from kfp_hallmark.components.data.write_datasheet.fields import FIELDS
from kfp_hallmark.statement import read_statement

ENVIRONMENT = "ml"
FOLDER = Path(__file__).parents[2] / "examples" / "acs_employment"
STATEMENT = FOLDER / "datasheet.yaml"


@pytest.fixture
def outputs(tmp_path):
    return [dsl.Artifact(uri=str(tmp_path / name)) for name in ("datasheet.html", "datasheet.md", "croissant.json")]


def test_all_is_said_but_what_its_sources_do_not_tell():
    assert read_statement(str(STATEMENT), FIELDS).missing == ["release_date"]
    assert STATEMENT.read_text().splitlines()[1].startswith("# Left out, and so marked as missing: release_date,")


def test_the_datasheet_tells_both(outputs):
    dataset = dsl.Dataset(uri=str(FOLDER / "2015.parquet"))
    sensitive = ["SEX", "RAC1P", "DIS"]
    assert write_sheet(dataset, {}, str(STATEMENT), sensitive, 100, *outputs) == (1,)
    page, text = (Path(output.path).read_text() for output in outputs[:2])
    assert "68,785 rows, 17 columns. 1 of 50 fields that a person must say is missing." in page
    assert "- **Rows that equal an earlier one**: 27,008" in text
    assert "| 2 | 35,691 | 51.89 |" in text
    assert "(smaller groups)" in text
    croissant = json.loads(Path(outputs[2].path).read_text())
    assert croissant["name"] == "Employment in Massachusetts, 2015"
    assert croissant["distribution"][0]["sha256"] in (FOLDER / "SHA256SUMS").read_text()
    assert [field["name"] for field in croissant["recordSet"][0]["field"]][-1] == "employed"


@pytest.mark.parametrize(("column", "said"), [("RAC1P", "82 in 100 are White"), ("AGEP", "16 in 100 are under 16")])
def test_what_is_said_of_groups_is_so(column, said):
    from kfp_hallmark.contracts.dataset import read_table

    values = read_table(FOLDER / "2015.parquet", [column])[column].to_numpy()
    share = (values == 1).mean() if column == "RAC1P" else (values < 16).mean()
    assert f"{100 * share:.0f} in 100" == said[:9]
    assert said in " ".join(STATEMENT.read_text().split())
