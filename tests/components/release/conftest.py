"""Two real registries, SQLite and an `mlflow server`, a way to break the road to the second, and decided models."""

import http.client
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

import pytest
from fakes.vertex.fixtures import fake, google  # noqa: F401
from fakes.vertex.server import LOCATION, PROJECT
from kfp import dsl

from kfp_hallmark.components.release.register_model.register import register
from kfp_hallmark.contracts.decision import Policy, decide, write_decision
from kfp_hallmark.contracts.digest import artifact_digest

ENVIRONMENT = "release"
GATES = ("validate_dataset", "performance_gate", "fairness_gate")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def sqlite_uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'mlflow.db'}"


@pytest.fixture(scope="session")
def server_uri(tmp_path_factory):
    """A real MLflow server on the loopback, that keeps artifacts itself."""
    root, port = tmp_path_factory.mktemp("server"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{root / 'mlflow.db'}",
        "--artifacts-destination",
        str(root / "store"),
    ]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (root / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        wait_until_healthy(port, process, root / "log.txt")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)


def wait_until_healthy(port, process, log):
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    raise AssertionError(f"The server did not answer in time:\n{log.read_text()}")


@pytest.fixture(params=["sqlite", "server"])
def uri(request):
    """Each of the two registries in turn."""
    return request.getfixturevalue(f"{request.param}_uri")


@pytest.fixture
def registry(uri):
    """An MLflow client of the registry."""
    from kfp_hallmark.tracking import client

    return client(uri)


class Road:
    """A proxy before the MLflow server, which can refuse what would change something, or keep it waiting.

    Attributes:
        uri: Where clients reach the server by this road.
        changes: The changing requests so far, as `METHOD path`.
        refuse: Given a changing request and how many went before it, says whether to refuse it.
        stuck: Is set when a request waits.
        hold: Given a changing request, says whether to let it wait for ever.
    """

    def __init__(self, server_uri):
        self.host = server_uri.removeprefix("http://")
        self.changes = []
        self.refuse = lambda request, before: False
        self.hold = lambda request: False
        self.stuck = threading.Event()
        self.open = threading.Event()
        road = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.command != "GET" and not self.path.endswith("search"):
                    request = f"{self.command} {self.path}"
                    before, _ = len(road.changes), road.changes.append(request)
                    if road.hold(request):
                        road.stuck.set()
                        road.open.wait()
                        return
                    if road.refuse(request, before):
                        self.reply(403, b'{"error_code": "PERMISSION_DENIED", "message": "The road is closed."}')
                        return
                forward = http.client.HTTPConnection(road.host, timeout=60)
                headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
                forward.request(self.command, self.path, body, headers)
                response = forward.getresponse()
                self.reply(response.status, response.read())

            def reply(self, status, content):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  as http.server calls them

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def road(server_uri):
    made = Road(server_uri)
    yield made
    made.close()


class Candidate:
    """A model with a decision, ready to be registered and deployed under a name of its own."""

    def __init__(self, model, verdicts, root):
        self.model = dsl.Model(uri=str(model))
        self.verdicts = verdicts
        self.decision = dsl.Artifact(uri=str(root / "decision"))
        self.registration = dsl.Artifact(uri=str(root / "registration.json"))
        self.release = dsl.Artifact(uri=str(root / "release.json"))
        self.name = f"income-{uuid.uuid4().hex[:8]}"
        self.about = {"model": artifact_digest(model)}
        self.decide()

    @property
    def digest(self):
        return artifact_digest(self.model.path)

    def decide(self, *required_gates):
        """Decide anew."""
        policy = Policy(required_gates or GATES)
        write_decision(self.decision.path, decide(self.model.path, self.verdicts, policy), self.verdicts)
        self.decision.metadata["digest"] = artifact_digest(self.decision.path)

    def register(self, uri, alias="challenger", vertex=None):
        return register(self.model, self.decision, self.registration, self.name, alias, uri, vertex or {})


@pytest.fixture
def candidate(judged_model, tmp_path):
    return Candidate(*judged_model, tmp_path)


@pytest.fixture
def follow(write_model, write_verdict, tmp_path, candidate):
    """Make a further model, as write_model does, decided on, under the first one's name."""

    def follow(folder, **model):
        root = tmp_path / folder
        path = write_model(root / "model", **model)
        about = {"model": artifact_digest(path), "dataset": "sha256:" + "3" * 64}
        verdicts = {gate: write_verdict(root / f"{gate}.json", gate, about) for gate in GATES}
        made = Candidate(path, verdicts, root)
        made.name = candidate.name
        return made

    return follow


@pytest.fixture
def another(follow):
    """A second model."""
    return follow("another", weights="2.5 0.75")


IMAGE = f"{LOCATION}-docker.pkg.dev/{PROJECT}/hallmark/serve@sha256:{'5' * 64}"


@pytest.fixture
def vertex(fake):  # noqa: F811
    """The options by which register_model reaches Vertex AI."""
    return {
        "project": PROJECT,
        "location": LOCATION,
        "storage_uri": "gs://models/served",
        "serving_image": IMAGE,
        "api_endpoint": fake.api_endpoint,
    }
