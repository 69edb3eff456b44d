"""The examples of docs/elsewhere.md, read from the page and run as they stand there."""

import email
import functools
import http.server
import json
import os
import random
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark import components

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "elsewhere.md").read_text()
PYTHON = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_is_tried():
    assert list(PYTHON) == ["training.py", "from_file.py", "from_url.py", "upload.py"]
    assert PAGE.count("```") == 2 * (len(PYTHON) + len(COMMANDS))
    assert len(COMMANDS) == 1


@pytest.fixture
def folder(tmp_path):
    """A folder with the examples and the compiled files, and a table."""
    for name, source in PYTHON.items():
        (tmp_path / name).write_text(source)
    (tmp_path / "compiled").symlink_to(ROOT / "compiled")
    numbers = random.Random(3)
    rows = [f"{numbers.random():.4f},{number % 2}" for number in range(400)]
    (tmp_path / "loans.csv").write_text("\n".join(["income,repaid", *rows, ""]))
    return tmp_path


def run(command, folder, **variables):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "HALLMARK_"))}
    kept |= {name: os.environ[name] for name in ("HALLMARK_ENVIRONMENTS",) if name in os.environ}
    environment = {**kept, "PATH": path, **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def spec(content):
    """A compiled pipeline or component, as KFP's message."""
    found = next(yaml.safe_load_all(content))
    return json_format.ParseDict(found, pipeline_spec_pb2.PipelineSpec())


def test_as_a_python_import(folder):
    for command in COMMANDS[0].splitlines():
        told = run(command.split(), folder)
    assert "Succeeded" in told
    (result,) = folder.glob(".hallmark/runs/*/run.json")
    states = {step["name"]: step["state"] for step in json.loads(result.read_text())["steps"]}
    assert states == dict.fromkeys(["load_dataset", "split_dataset", "train_model"], "succeeded")


def test_as_a_file(folder):
    run([sys.executable, "from_file.py"], folder)
    made = spec((folder / "from_file.yaml").read_text())
    assert set(made.root.dag.tasks) == {"load-dataset", "split-dataset"}
    cached = {name: task.caching_options.enable_cache for name, task in made.root.dag.tasks.items()}
    assert cached == {
        name.replace("_", "-"): getattr(components, name).pure for name in ("load_dataset", "split_dataset")
    }


@contextmanager
def served(handler):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_by_url(folder):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=ROOT / "compiled" / "components")
    with served(handler) as address:
        run([sys.executable, "from_url.py"], folder, HALLMARK_COMPONENTS=address)
    made = spec((folder / "from_url.yaml").read_text())
    command = made.deployment_spec["executors"]["exec-explain-model"]["container"]["command"]
    assert list(command) == components.explain_model.component_spec.implementation.container.command


def test_by_upload(folder):
    uploaded = {}

    class Service(http.server.BaseHTTPRequestHandler):
        """What `upload_pipeline` asks of Kubeflow Pipelines."""

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert urlparse(self.path).path == "/apis/v2beta1/pipelines/upload"
            (name,) = parse_qs(urlparse(self.path).query)["name"]
            message = email.message_from_bytes(
                b"Content-Type: %s\r\n\r\n" % self.headers["Content-Type"].encode() + body
            )
            (part,) = message.get_payload()
            uploaded[name] = part.get_payload(decode=True).decode()
            self.answer({"pipeline_id": "1", "display_name": name})

        def do_GET(self):
            assert self.path == "/apis/v2beta1/healthz"
            self.answer({"multi_user": False})

        def answer(self, value):
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with served(Service) as address:
        told = run([sys.executable, "upload.py"], folder, KUBEFLOW_HOST=address)
    assert re.findall(r"^[a-z-]+$", told, re.MULTILINE) == ["load-dataset", "validate-dataset"]
    for name, content in uploaded.items():
        assert spec(content).pipeline_info.name == name


def test_what_the_page_says_of_forms_is_so():
    """A component that can run alone takes parameters; its form shows them with types and defaults."""
    parameters = spec((ROOT / "compiled/components/load_dataset.yaml").read_text()).root.input_definitions
    assert parameters.parameters["uri"].description
    assert not parameters.artifacts
