"""Runs of `governed_training` by the command line, as a user starts them; each is made once and looked at by many."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "acs_employment"
HALLMARK = Path(sys.executable).parent / "hallmark"


@dataclass(frozen=True)
class Run:
    """What a run of the command left behind."""

    exit_code: int
    stdout: str
    stderr: str
    folder: Path
    state: Path

    @cached_property
    def document(self):
        return json.loads((self.folder / "run.json").read_text())

    def step(self, name):
        return next(step for step in self.document["steps"] if step["name"] == name)

    def verdicts(self):
        """Return gate to verdict document, without the time it was written."""
        found = {}
        for entry in self.document["verdicts"]:
            verdict = json.loads((self.folder / entry["path"]).read_text())
            found[entry["gate"]] = {key: value for key, value in verdict.items() if key != "created"}
        return found


def run_hallmark(*arguments, state, cwd=None):
    variables = {**os.environ, "HALLMARK_HOME": str(state), "COLUMNS": "140"}
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PYTHONPATH"):
        variables.pop(name, None)
    command = [str(HALLMARK), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd or state, env=variables, capture_output=True, text=True)


def start_run(folder, state, *arguments, pipeline="governed_training"):
    state.mkdir(parents=True, exist_ok=True)
    done = run_hallmark("run", pipeline, *arguments, "--output", folder, state=state)
    return Run(done.returncode, done.stdout, done.stderr, folder, state)


@contextmanager
def served_model(state, name):
    """Serve a model that was released into a state by the command; gives its address."""
    folder = state / "serving" / name
    process = subprocess.Popen([HALLMARK, "serve", folder, "--port", "0"], stderr=subprocess.PIPE, text=True, cwd=state)
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if f"Serving {name}" in line:
                break
        assert process.poll() is None, "".join(lines)
        yield next(line for line in lines if "Listening on" in line).split()[-1]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.stderr.close()
        process.wait(timeout=30)


def ask_server(url, value=None):
    body = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="session")
def serve():
    """Return the context that serves a released model."""
    return served_model


@pytest.fixture(scope="session")
def ask():
    """Return the function that gets what a server says, of a JSON value if there is one."""
    return ask_server


@pytest.fixture(scope="session")
def hallmark():
    """Return the function that runs the command `hallmark`."""
    return run_hallmark


@pytest.fixture(scope="session")
def start():
    """Return the function that runs `governed_training`, or another, and gives a `Run`."""
    return start_run


PLATFORMS = ["local", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(scope="session", params=PLATFORMS)
def platform(request):
    return request.param


@pytest.fixture(scope="session")
def state(platform, tmp_path_factory):
    return tmp_path_factory.mktemp(f"state-{platform}")


@pytest.fixture(scope="session")
def released(platform, state, tmp_path_factory):
    folder = tmp_path_factory.mktemp("released") / "run"
    return start_run(folder, state, "--platform", platform, "--params", EXAMPLES / "released.yaml")


@pytest.fixture(scope="session")
def halted(platform, state, released, tmp_path_factory):
    folder = tmp_path_factory.mktemp("halted") / "run"
    return start_run(folder, state, "--platform", platform, "--params", EXAMPLES / "halted.yaml")


@pytest.fixture(scope="session")
def repeated(platform, state, halted, tmp_path_factory):
    """Return the released run, made again from the compiled file without reusing any step."""
    folder = tmp_path_factory.mktemp("repeated") / "run"
    compiled = ROOT / "compiled" / "pipelines" / "governed_training.kubeflow.yaml"
    arguments = ("--platform", platform, "--fresh", "--params", EXAMPLES / "released.yaml")
    return start_run(folder, state, *arguments, pipeline=compiled)
