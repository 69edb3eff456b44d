from pathlib import Path

import pytest

from kfp_hallmark.contracts import experiment
from kfp_hallmark.errors import InputError
from kfp_hallmark.runner.docker import with_signature
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
    names = ["loans.csv.dvc", "loans.csv", "loans.csv.sig.json"]
    for name in names:
        (tmp_path / name).touch()
    assert with_signature(tmp_path / "loans.csv.dvc") == [tmp_path / name for name in names]
