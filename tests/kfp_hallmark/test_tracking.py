import os
import socket
import subprocess
import sys

import pytest

from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.tracking import client, experiment, sqlite_file, tracking_uri, without_password

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
        with pytest.raises(MissingInputError, match=rf"The tracking store 'http://{address}' must answer") as caught:
            experiment(client(f"http://user:secret@{address}"), "one")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://bob:secret@host/a", "http://host/a"),
        ("http://bob:se@cret@host/a@b", "http://host/a@b"),
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
