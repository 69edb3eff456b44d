from pathlib import Path

import pytest
import yaml

from kfp_hallmark.contracts import experiment
from kfp_hallmark.errors import InputError
from kfp_hallmark.runner.docker import referred, with_signature
from kfp_hallmark.runner.local import LocalPlatform
from kfp_hallmark.runner.platforms import Folders


def test_the_users_variables_say_where_the_state_is(tmp_path):
    folders = Folders(run=tmp_path / "run", state=tmp_path / "state", scratch=tmp_path, run_id="one")
    given = {
        "MLFLOW_TRACKING_URI": "http://host",
        "HALLMARK_SERVING_DIR": "/served",
        "HALLMARK_AUDIT_LOG": "/audit.jsonl",
    }
    assert given.items() <= folders.variables(given).items()
    assert folders.variables({"HALLMARK_SERVING_DIR": ""})["HALLMARK_SERVING_DIR"] == str(tmp_path / "state/serving")


@pytest.mark.parametrize("name", ["what?", "a%20b", "a#b"])
def test_a_state_that_no_uri_can_name_is_refused(tmp_path, name):
    folders = Folders(run=tmp_path / "run", state=tmp_path / name, scratch=tmp_path, run_id="one")
    with pytest.raises(InputError, match="The folder of the state must hold no"):
        folders.variables({})
    assert folders.variables({"MLFLOW_TRACKING_URI": "http://host"})["MLFLOW_TRACKING_URI"] == "http://host"


def test_every_run_looks_at_the_sources_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "PACKAGE", tmp_path)
    folders = Folders(run=tmp_path / "run", state=tmp_path / "state", scratch=tmp_path, run_id="one")
    digests = []
    for source in ("a = 1", "a = 1", "a = 2"):
        (tmp_path / "module.py").write_text(source)
        digests.append(LocalPlatform(folders).digest("image"))
    assert digests[0] == digests[1] != digests[2]


def test_a_container_sees_the_signature_beside_the_data(tmp_path):
    data = tmp_path / "data"
    assert with_signature(data) == []
    data.mkdir()
    assert with_signature(data) == [data]
    (tmp_path / "data.sig.json").write_text("{}")
    assert with_signature(data) == [data, tmp_path / "data.sig.json"]
    assert with_signature(Path("/")) == [Path("/")]


def test_a_container_sees_what_dvc_tracks(tmp_path):
    names = ["spring.dvc", "data/loans.csv", "data/loans.csv.sig.json"]
    (tmp_path / "data").mkdir()
    for name in [*names, "spring"]:
        (tmp_path / name).touch()
    (tmp_path / "spring.dvc").write_text(f"outs: [{{md5: {'0' * 32}, path: data/loans.csv}}]")
    assert with_signature(tmp_path / "spring.dvc") == [tmp_path / name for name in names]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "outs: [{path: ../secret}]",
        "outs: [{path: /}]",
        "outs: [{path: 5}]",
        "outs: [{path: secret}, {path: b}]",
        "outs: [secret]",
        "a: [",
        "[" * 5000,
        "\x00",
    ],
)
def test_a_container_sees_no_more_where_a_dvc_file_is_not_in_order(tmp_path, content):
    (tmp_path / "in").mkdir()
    for name in ("secret", "in/secret"):
        (tmp_path / name).touch()
    (tmp_path / "in" / "a.dvc").write_text(content)
    assert with_signature(tmp_path / "in" / "a.dvc") == [tmp_path / "in" / "a.dvc"]


def test_a_container_sees_all_of_a_database(tmp_path):
    """Without the log beside it, what was written last would not be in it."""
    names = ["loans.duckdb", "loans.duckdb.wal"]
    for name in names:
        (tmp_path / name).touch()
    assert with_signature(tmp_path / "loans.duckdb") == [tmp_path / name for name in names]


def contract_file(path, *datasets):
    references = [{"column": "town", "dataset": str(dataset), "key": "name"} for dataset in datasets]
    path.parent.mkdir(exist_ok=True)
    contract = {"hallmark": "contract/v1", "version": "1.0.0", "references": references, "schema": "feature {}"}
    path.write_text(yaml.safe_dump(contract))
    return path


def test_a_container_sees_the_datasets_that_a_contract_refers_to(tmp_path):
    there = [tmp_path / "contracts" / "towns.parquet", tmp_path / "regions", tmp_path / "streets.parquet"]
    contract = contract_file(tmp_path / "contracts" / "a.yaml", "towns.parquet", "../regions", there[2])
    assert referred(contract) == []
    there[0].touch()
    there[1].mkdir()
    there[2].touch()
    assert referred(contract) == there


def test_a_dataset_that_is_named_in_two_ways_is_mounted_once(tmp_path):
    (tmp_path / "towns.parquet").touch()
    contract = contract_file(tmp_path / "contracts" / "a.YML", "../towns.parquet", tmp_path / "towns.parquet")
    assert {*referred(contract)} == {tmp_path / "towns.parquet"}


def test_what_is_no_contract_refers_to_nothing(tmp_path):
    (tmp_path / "towns.parquet").touch()
    contract = contract_file(tmp_path / "a.yaml", "towns.parquet")
    contract.with_suffix(".txt").write_bytes(contract.read_bytes())
    assert referred(contract.with_suffix(".txt")) == []
    contract.write_text("answers: [1]")
    assert referred(contract) == []
    contract.write_text("references: [")
    assert referred(contract) == []
    contract.write_bytes(b"\xff")
    assert referred(contract) == []
    contract.unlink()
    assert referred(contract) == []
    contract.mkdir()
    assert referred(contract) == []
