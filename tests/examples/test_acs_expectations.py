"""The suite of the bundled data, which docs/gates/expectations.md shows: a year meets it, a changed one does not."""

import json
from pathlib import Path

import great_expectations
import pyarrow
import pyarrow.compute
import pytest
from kfp import dsl

from kfp_hallmark.components.data.check_expectations.expectations import check
from kfp_hallmark.contracts.dataset import read_table, write_table
from kfp_hallmark.contracts.verdict import Status, Verdict

ENVIRONMENT = "expectations"
FOLDER = Path(__file__).parents[2] / "examples" / "acs_employment"
SUITE = FOLDER / "expectations.json"


@pytest.fixture
def judge(tmp_path):
    def run(table):
        write_table(tmp_path / "data.parquet", table, {})
        outputs = [dsl.Artifact(uri=str(tmp_path / name)) for name in ("verdict", "report", "validation")]
        dataset = dsl.Dataset(uri=str(tmp_path / "data.parquet"))
        check(dataset, str(SUITE), {"fewest_rows": 60_000}, *outputs)
        return Verdict.read(tmp_path / "verdict")

    return run


def test_it_is_as_great_expectations_saves_it():
    value = json.loads(SUITE.read_text())
    again = great_expectations.ExpectationSuite(**value).to_json_dict()
    assert len(again.pop("expectations")) == len(value.pop("expectations"))
    assert again == value


def test_a_year_meets_it(judge):
    verdict = judge(read_table(FOLDER / "2016.parquet"))
    assert verdict.status is Status.PASS
    assert len(verdict.checks) == 8


def test_a_changed_year_does_not(judge):
    table = read_table(FOLDER / "2016.parquet").slice(0, 50_000)
    ages = pyarrow.compute.multiply(table["AGEP"].cast("int64"), 12)
    verdict = judge(table.set_column(0, "AGEP", ages).rename_columns({"SEX": "GENDER"}))
    failed = {(each.name, each.scope.get("feature")) for each in verdict.checks if each.status is Status.FAIL}
    assert failed == {
        ("expect_table_columns_to_match_set", None),
        ("expect_table_row_count_to_be_between", None),
        ("expect_column_values_to_be_between", "AGEP"),
        ("expect_column_mean_to_be_between", "AGEP"),
        ("expect_column_values_to_be_in_set", "SEX"),
    }
