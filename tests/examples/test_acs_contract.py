"""The contract of the bundled data: every year keeps it, and what is changed in a year does not."""

from pathlib import Path

import pyarrow
import pytest

from kfp_hallmark.components.data.validate_dataset.contract import contract_checks, load_contract
from kfp_hallmark.contracts.dataset import read_table, write_table
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.datacontract.inference import import_tfdv
from kfp_hallmark.profiles.statistics import compute_statistics

ENVIRONMENT = "data"
FOLDER = Path(__file__).parents[2] / "examples" / "acs_employment"


@pytest.fixture(scope="module")
def given():
    return load_contract(str(FOLDER / "contract.yaml"))


@pytest.fixture
def broken(given):
    """Return the rules that a dataset breaks, and the columns that do not fit the schema."""

    def find(path):
        from kfp import dsl

        rows = read_table(path).num_rows
        checks = contract_checks(dsl.Dataset(uri=str(path)), given.contract, FOLDER, rows)
        anomalies = import_tfdv().validate_statistics(compute_statistics(path), given.schema).anomaly_info
        failed = {check.scope.get("rule", check.name) for check in checks if check.status is not Status.PASS}
        return failed, {info.path.step[0] for info in anomalies.values()}

    return find


@pytest.mark.parametrize("year", [2015, 2016, 2017, 2018])
def test_every_year_keeps_it(broken, year):
    assert broken(FOLDER / f"{year}.parquet") == (set(), set())


def test_columns_that_were_swapped_are_found(broken, tmp_path):
    """Two columns of the same codes, which the schema cannot tell apart."""
    table = read_table(FOLDER / "2016.parquet")
    names = [{"NATIVITY": "DIS", "DIS": "NATIVITY"}.get(name, name) for name in table.column_names]
    write_table(tmp_path / "swapped.parquet", table.rename_columns(names), {})
    rules, columns = broken(tmp_path / "swapped.parquet")
    assert {rule.partition(" ")[0] for rule in rules} == {"(CIT", "(DEAR"}
    assert columns == set()


def test_half_a_year_and_an_identifier_are_found(broken, tmp_path):
    table = read_table(FOLDER / "2016.parquet").slice(0, 30_000)
    table = table.append_column("serialno", pyarrow.array(range(30_000)))
    write_table(tmp_path / "half.parquet", table, {})
    assert broken(tmp_path / "half.parquet") == ({"contract_rows", "forbidden_columns"}, {"serialno"})
