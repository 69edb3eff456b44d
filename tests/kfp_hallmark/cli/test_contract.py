"""`hallmark contract`, as a user calls it: what it writes and prints, and how it exits."""

import csv
import json
import random
import sys
from types import SimpleNamespace

import pytest

from kfp_hallmark.cli import contract
from kfp_hallmark.cli.main import main
from kfp_hallmark.contracts.data_contract import DRIFT_LIMITS, read_contract
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.datacontract.evolution import DRIFT_DEFAULTS

CONTRACT = """\
hallmark: contract/v1
version: {version}
min_rows: {rows}
schema: |
  feature {{ name: "town" type: BYTES string_domain {{ {towns} }} }}
"""


@pytest.fixture
def hallmark_contract(tmp_path, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "argv", ["hallmark", "contract", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, out=printed.out, err=printed.err)

    return call


def write(path, rows, factor=1):
    pick = random.Random(len(path.name))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "visits", "sex"])
        writer.writerows([index, pick.randrange(90) * factor, pick.choice("fm")] for index in range(rows))


def write_contract(path, version="1.0.0", rows=10, towns=("Bern", "Chur")):
    values = " ".join(f'value: "{town}"' for town in towns)
    path.write_text(CONTRACT.format(version=version, rows=rows, towns=values))
    return path


def test_faulty_data_do_not_fit_what_was_inferred(hallmark_contract, tmp_path):
    write(tmp_path / "a.csv", 400)
    done = hallmark_contract("infer", "a.csv")
    assert (done.code, done.out.splitlines()[0]) == (0, "contract.yaml: 3 features of 400 rows.")
    found = read_contract(tmp_path / "contract.yaml")
    assert (found.keys, found.sensitive, found.min_rows) == ((("id",),), ("sex",), 200)

    write(tmp_path / "b.csv", 150, factor=1000)
    done = hallmark_contract("check", "b.csv", "--previous", "a.csv", "--report", "r.html", "--verdict", "v.json")
    assert done.code == 1
    assert done.out.splitlines()[0] == "fail  b.csv by contract.yaml"
    assert "visits does not fit the schema: values above the greatest allowed." in done.out
    assert "The dataset has 150 rows; the contract asks for 200 at least." in done.out
    assert "The previous span has 400 rows, too few to judge drift by" in done.out
    assert json.loads((tmp_path / "v.json").read_text())["status"] == "fail"
    assert "<h2>Contract</h2>" in (tmp_path / "r.html").read_text()


def test_what_passes_is_told_in_a_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    checks = [Check("rule", Status.PASS), Check("key_uniqueness", Status.PASS), Check("rule", Status.PASS)]
    contract._print_verdict(Verdict("validate_dataset", {"dataset": f"sha256:{'0' * 64}"}, checks), "a.csv by c.yaml")
    assert capsys.readouterr().out == "pass  a.csv by c.yaml\n\nPassed: rule (2), key uniqueness.\n"


def test_a_reviewed_contract_is_not_replaced(hallmark_contract, tmp_path):
    write_contract(tmp_path / "contract.yaml")
    done = hallmark_contract("infer", "a.csv")
    assert done.code == 2
    assert "--output must not be there yet; 'contract.yaml' is." in done.err


def test_what_breaks_consumers_needs_a_major_version(hallmark_contract, tmp_path):
    write_contract(tmp_path / "old.yaml")
    write_contract(tmp_path / "new.yaml", "1.1.0", rows=20, towns=["Bern", "Chur", "Genf"])
    done = hallmark_contract("diff", "old.yaml", "new.yaml")
    assert done.code == 1
    lines = [line.split("  ") for line in done.out.splitlines()]
    assert [[part.strip() for part in line if part.strip()] for line in lines if any(line)] == [
        ["of", "change", "consumers", "earlier data"],
        ["town", "domain widened: 'Genf' may come", "breaking", "fits"],
        ["min_rows", "limit tightened: 10 to 20", "compatible", "may not fit"],
        ["2 changes, 1 breaking. The version must be 2.0.0 or above; it goes from 1.0.0 to 1.1.0."],
    ]


def test_what_holds_where_a_contract_says_nothing_is_what_the_gate_holds():
    defaults = contract._defaults()
    assert {name: defaults[name] for name in DRIFT_LIMITS} == DRIFT_DEFAULTS


@pytest.mark.parametrize(
    ("version", "rows", "code", "told"),
    [
        ("1.0.0", 10, 0, "Nothing has changed. The version says so: 1.0.0 to 1.0.0."),
        ("1.1.0", 20, 0, "1 change, 0 breaking. The version says so: 1.0.0 to 1.1.0."),
        ("1.0.1", 20, 1, "1 change, 0 breaking. The version must be 1.1.0 or above; it goes from 1.0.0 to 1.0.1."),
    ],
)
def test_the_exit_code_says_whether_the_version_does(hallmark_contract, tmp_path, version, rows, code, told):
    write_contract(tmp_path / "old.yaml")
    write_contract(tmp_path / "new.yaml", version, rows)
    done = hallmark_contract("diff", "old.yaml", "new.yaml")
    assert (done.code, done.out.splitlines()[-1]) == (code, told)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "A data contract must be a file; got 'contract.yaml'."),
        (b"\xff", "The contract 'contract.yaml' must be text in UTF-8; it is not."),
        (b"hallmark: contract/v1\nmin_row: 3\n", "must have keys that there are; got 'min_row'."),
    ],
)
@pytest.mark.parametrize("command", [("check", "a.csv"), ("diff", "contract.yaml", "contract.yaml")])
def test_what_is_no_contract_is_told_at_once(hallmark_contract, tmp_path, command, content, message):
    if content is not None:
        (tmp_path / "contract.yaml").write_bytes(content)
    done = hallmark_contract(*command)
    assert done.code == 2
    assert message in done.err


def test_a_schema_that_cannot_be_read_is_told_with_its_file(hallmark_contract, tmp_path):
    write_contract(tmp_path / "old.yaml")
    (tmp_path / "new.yaml").write_text("hallmark: contract/v1\nversion: 1.0.0\nschema: 'feature {'\n")
    done = hallmark_contract("diff", "old.yaml", "new.yaml")
    assert done.code == 2
    assert "The schema of 'new.yaml' must be TFDV's Schema in text format; it cannot be read (1:" in done.err


@pytest.mark.parametrize("option", ["--report", "--verdict"])
def test_a_folder_is_not_replaced_by_a_file(hallmark_contract, tmp_path, option):
    write(tmp_path / "a.csv", 10)
    write_contract(tmp_path / "contract.yaml")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/work").touch()
    done = hallmark_contract("check", "a.csv", option, "kept")
    assert done.code == 2
    assert f"{option} must be a file, or not there yet; got 'kept'." in done.err
    assert (tmp_path / "kept/work").exists()


def test_data_that_are_not_there_are_told(hallmark_contract, tmp_path):
    write_contract(tmp_path / "contract.yaml")
    done = hallmark_contract("check", "none.csv")
    assert done.code == 2
    assert "uri must be a file or folder that is there; got 'none.csv'." in done.err
