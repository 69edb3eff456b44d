"""The image `serve`, as Vertex AI and KServe run it: it starts by itself, and writes nothing."""

import json
import os
import shutil
import time
import urllib.error
import urllib.request

import docker
import pytest

from kfp_hallmark.contracts.decision import Policy, decide, write_decision
from kfp_hallmark.contracts.digest import Manifest, artifact_digest
from kfp_hallmark.contracts.documents import write_json
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.environments import image

pytestmark = pytest.mark.docker

TRAIN = """
import mlflow.sklearn, pandas
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
table = pandas.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 0.0, 1.0, 0.5]})
estimator = LogisticRegression().fit(table, [0, 0, 1, 1])
meaning = {"task": "binary", "classes": [0, 1], "positive_class": 1, "threshold": 0.5}
mlflow.sklearn.save_model(estimator, "/made/model", signature=infer_signature(table), pyfunc_predict_fn="predict_proba",
    serialization_format="cloudpickle", pip_requirements=["scikit-learn"], metadata={"hallmark": meaning})
"""


@pytest.fixture(scope="module")
def engine():
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def home(engine, tmp_path_factory):
    """A serving folder with a model that was trained in the image itself."""
    made, home = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("serving") / "income"
    volumes = {str(made): {"bind": "/made", "mode": "rw"}}
    user = f"{os.getuid()}:{os.getgid()}"
    engine.containers.run(
        image("serve"), ["python", "-c", TRAIN], entrypoint="", volumes=volumes, user=user, remove=True
    )
    model = made / "model"
    check = Check("accuracy", Status.PASS, observed=0.9, minimum=0.8, samples=100)
    Verdict("performance_gate", {"model": artifact_digest(model)}, [check]).write(made / "verdict.json")
    verdicts = {"performance_gate": made / "verdict.json"}
    write_decision(made / "decision", decide(model, verdicts, Policy(("performance_gate",))), verdicts)
    release = Release("income", "1", Manifest.of(model), artifact_digest(made / "decision"))
    shutil.copytree(model, home / release.path)
    shutil.copytree(made / "decision", home / release.decision)
    write_json(home / "release.json", release.to_json())
    return home


def start(engine, mount, port, **variables):
    return engine.containers.run(
        image("serve"),
        detach=True,
        network_mode="host",
        read_only=True,
        user="23456:34567",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        mem_limit="1g",
        volumes={str(mount): {"bind": "/mnt/models", "mode": "ro"}},
        environment={"AIP_HTTP_PORT": str(port)} | variables,
    )


def ask(port, path, value=None):
    body = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def wait_until_ready(container, port):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        container.reload()
        assert container.status in ("created", "running"), container.logs().decode()
        try:
            return ask(port, "/v2/health/ready")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(container.logs().decode())


@pytest.fixture
def serving(engine, home, free_port):
    variables = {"AIP_HEALTH_ROUTE": "/health", "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict"}
    container = start(engine, home, free_port, **variables)
    yield container
    container.remove(force=True)


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_it_starts_by_itself_and_answers_every_dialect(serving, free_port):
    assert wait_until_ready(serving, free_port) == {"ready": True}
    rows = {"instances": [[3.0, 1.0]], "parameters": {"scores": True}}
    vertex = ask(free_port, "/v1/endpoints/1/deployedModels/2:predict", rows)
    assert vertex == ask(free_port, "/v1/models/income:predict", rows)
    tensors = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in (("x", 3), ("y", 1))
    ]
    answer = ask(free_port, "/v2/models/income/infer", {"inputs": tensors, "outputs": [{"name": "score"}]})
    assert answer["outputs"][0]["data"] == [vertex["predictions"][0]["score"]]
    assert vertex["predictions"][0]["prediction"] == 1
    assert ask(free_port, "/health")["version"] == "1"
    serving.stop(timeout=30)
    serving.reload()
    assert serving.attrs["State"]["ExitCode"] == 0


def test_it_refuses_a_changed_model(engine, home, free_port, tmp_path):
    changed = shutil.copytree(home, tmp_path / "changed")
    next(changed.glob("versions/*/model.pkl")).write_bytes(b"changed")
    container = start(engine, changed, free_port)
    try:
        assert container.wait(timeout=120)["StatusCode"] == 1
        assert "The model must be the one that was decided on" in container.logs().decode()
    finally:
        container.remove(force=True)
