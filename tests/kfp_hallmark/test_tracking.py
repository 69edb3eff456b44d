import os
import socket
import subprocess
import sys

import pytest

from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.tracking import RunTree, client, experiment, sqlite_file, tracking_uri, without_password

ENVIRONMENT = "ml"

MAKE = """
import sys
from kfp_hallmark.tracking import client, experiment

ENVIRONMENT = "ml"
print(experiment(client(sys.argv[1]), "shared"))
"""


def test_the_given_uri_goes_before_the_variable(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere/mlflow.db")
    assert tracking_uri("http://here:5000") == "http://here:5000"
    assert tracking_uri(None) == "sqlite:////elsewhere/mlflow.db"


def test_no_uri_is_refused_with_a_hint(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match=r"(?s)tracking_uri must name an MLflow server.*Hint: A local store"):
        tracking_uri(None)


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////folder/mlflow.db", "/folder/mlflow.db"),
        ("sqlite:////folder/mlflow.db?timeout=9", "/folder/mlflow.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("http://server:5000", None),
    ],
)
def test_the_file_of_a_store(uri, file):
    assert (str(sqlite_file(uri)) if file else sqlite_file(uri)) == file


def test_an_experiment_keeps_its_artifacts_beside_the_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = client(f"sqlite:///{tmp_path}/a b/mlflow.db")
    made = experiment(store, "one")
    assert experiment(store, "one") == made
    run = store.create_run(made)
    store.log_text(run.info.run_id, "text", "note.txt")
    assert (tmp_path / "a b" / "mlruns" / run.info.run_id / "artifacts" / "note.txt").read_text() == "text"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a b"]


def test_two_at_once_make_one_store_and_one_experiment(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    command = [sys.executable, "-c", MAKE, uri]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) for _ in range(2)]
    outputs = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert outputs[0] == outputs[1] != b""


def test_a_deleted_experiment_is_refused(tmp_path):
    store = client(f"sqlite:///{tmp_path}/mlflow.db")
    store.delete_experiment(experiment(store, "gone"))
    with pytest.raises(InputError, match="experiment must be active; 'gone' was deleted"):
        experiment(store, "gone")


def test_a_server_that_is_down_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for uri in (f"http://user:secret@{address}", f"http://user:sec/secret@{address}?token=secret"):
            with pytest.raises(
                MissingInputError, match=rf"The tracking store 'http://{address}' must answer"
            ) as caught:
                experiment(client(uri), "one")
            assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "told", "message"),
    [
        (
            "postgresql://ada:s3c/ret@host/db?password=s3cret",
            InputError,
            "tracking_uri must be one that MLflow can open here; 'postgresql://host/db' cannot (ModuleNotFoundError).",
        ),
        ("http://[::1", InputError, "tracking_uri must be one that MLflow can open here; 'http://[::1' cannot"),
        ("nowhere://x", MissingInputError, "The tracking store 'nowhere://x' must answer; got Unsupported"),
        (
            "file:///nowhere/runs",
            MissingInputError,
            "The tracking store 'file:///nowhere/runs' must answer; got Mlflow",
        ),
    ],
)
def test_a_store_that_mlflow_cannot_open_is_told(uri, told, message):
    with pytest.raises(told) as caught:
        client(uri)
    assert type(caught.value) is told
    assert caught.value.message.startswith(message)
    assert "ret" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://bob:secret@host/a", "http://host/a"),
        ("http://bob:se@cret@host/a@b", "http://host/a@b"),
        ("http://bob:se/cret@host/a", "http://host/a"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("s3://key@bucket", "s3://bucket"),
        ("sqlite:////home/me@here/mlflow.db", "sqlite:////home/me@here/mlflow.db"),
        ("mail me@here or see http://host/me@here", "mail me@here or see http://host/me@here"),
    ],
)
def test_passwords_are_taken_out_of_uris_alone(text, shown):
    assert without_password(text) == shown


def test_a_store_that_is_no_database_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, and long enough to be read as one " * 20)
    with pytest.raises(MissingInputError, match=r"The tracking store 'sqlite:.*mlflow.db' must answer"):
        client(f"sqlite:///{tmp_path}/mlflow.db")


class TestRunTree:
    @pytest.fixture
    def uri(self, tmp_path, monkeypatch):
        for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):
            monkeypatch.delenv(name, raising=False)
        return f"sqlite:///{tmp_path}/mlflow.db"

    def test_a_parent_is_made_once_and_found_by_the_pipeline_run(self, uri):
        made = RunTree.open(uri, "one", "training", "run-1")
        assert RunTree.open(uri, "one", "training", "run-1").parent_id == made.parent_id
        assert RunTree.open(uri, "one", "training", "run-2").parent_id != made.parent_id
        run = client(uri).get_run(made.parent_id)
        assert (run.info.run_name, run.data.tags["hallmark.pipeline_run"]) == ("training", "run-1")

    def test_of_two_parents_everybody_takes_the_first(self, uri):
        store = client(uri)
        folder = experiment(store, "one")
        later, first = (
            store.create_run(folder, start_time=start, tags={"hallmark.pipeline_run": "run-1"}).info.run_id
            for start in (2000, 1000)
        )
        assert later != first
        assert RunTree.open(uri, "one", "training", "run-1").parent_id == first

    def test_a_step_is_made_below_the_parent_and_found_by_its_name(self, uri):
        tree = RunTree.open(uri, "one", "training", "run-1")
        made = tree.make("train-model")
        assert {name: run.info.run_id for name, run in tree.steps().items()} == {"train-model": made.info.run_id}
        assert RunTree.open(uri, "one", "training", "run-2").steps() == {}

    @pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
    def test_a_parent_ends(self, uri, status):
        tree = RunTree.open(uri, "one", "training", "run-1")
        tree.end(status)
        assert client(uri).get_run(tree.parent_id).info.status == status

    def test_a_run_of_the_platform_is_joined_and_not_ended(self, uri, monkeypatch):
        store = client(uri)
        folder = experiment(store, "platform")
        root = store.create_run(folder).info.run_id
        own = store.create_run(folder, tags={"mlflow.parentRunId": root}).info.run_id
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_RUN_ID", own)
        tree = RunTree.open(None, "one", "training", "run-1")
        tree.end("FAILED")
        assert (tree.parent_id, tree.experiment_id) == (root, folder)
        assert store.get_run(root).info.status == "RUNNING"

    def test_a_run_of_another_server_is_none_of_ours(self, uri, tmp_path, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/platform.db")
        monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
        tree = RunTree.open(uri, "one", "training", "run-1")
        assert not tree.joined
        assert client(uri).get_experiment_by_name("one").experiment_id == tree.experiment_id
