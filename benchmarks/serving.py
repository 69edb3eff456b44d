"""How fast a model is served: Hallmark's runtime beside `mlflow models serve`, MLServer and KServe's ModelServer.

`governed_training` runs on the bundled data, and every server serves the model that it released: the same MLflow
folder, one row a request, one process, OMP_NUM_THREADS=1. Each peer has a virtual environment of its own, made from
PyPI with the scikit-learn, NumPy, SciPy and cloudpickle of the model. Before any is measured, the servers' answers to
one row must be equal.

All servers run all the while and are asked in turn, by wrk (in C, one thread) on the same machine. What wrk takes of it
grows with the answers, so a fast server loses more by it than a slow one.

At the end the version of Hallmark's runtime is switched again and again under load.

    .venv/bin/python benchmarks/serving.py [--seconds 4] [--rounds 3] [--switches 100] [--venvs FOLDER]

It needs wrk (Debian: `apt-get install wrk`). By default measuring takes three minutes: five servers at three numbers
of connections, three rounds of four seconds. The run of the pipeline, the starts of the servers and the switches take a
few minutes more, and making the environments, once if `--venvs` keeps them, takes longer.
"""

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from rich.console import Console
from uv import find_uv_bin

from kfp_hallmark import runner
from kfp_hallmark.contracts.documents import write_json
from kfp_hallmark.contracts.release import RELEASE_FILE, Release
from kfp_hallmark.environments import local, lock_file
from kfp_hallmark.pipelines import governed_training

ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = ROOT / "examples" / "acs_employment" / "released.yaml"
CONNECTIONS = (1, 8, 64)
PEERS = {
    "mlflow": ["mlflow==3.17.2"],
    "mlserver": ["mlserver==1.7.1", "mlserver-mlflow==1.7.1"],
    "kserve": ["kserve==0.21.0"],
}
SHARED = ("scikit-learn", "numpy", "scipy", "cloudpickle")

WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open(os.getenv("BODY"))
wrk.body = file:read("*a")
file:close()
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""

KSERVE = """
import os, pickle, sys
import pandas
from kserve import Model, ModelServer

class Served(Model):
    def load(self):
        with open(sys.argv[1], "rb") as file:
            self.model = pickle.load(file)
        self.ready = True

    async def predict(self, payload, headers=None):
        return {"predictions": self.model.predict_proba(pandas.DataFrame(payload["instances"])).tolist()}

model = Served("model")
model.load()
ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, workers=1, access_log_format=None).start([model])
"""


@dataclass(frozen=True)
class Server:
    """A server to measure.

    Attributes:
        name: What tables call it.
        command: Given the model's folder and a port, the command that starts it.
        ready: The path that answers 200 once it is ready.
        path: The path that predicts.
        body: Given one row, what is sent.
        scores: Given an answer, the probability of the positive class.
        variables: Environment variables.
    """

    name: str
    command: Callable[[Path, int], list[str]]
    ready: str
    path: str
    body: Callable[[dict], dict]
    scores: Callable[[dict], float]
    variables: dict[str, str]


def released(folder):
    """Run `governed_training` and return the serving folder of the model that it released, and one of its rows."""
    given = runner.resolve_paths(yaml.safe_load(PARAMETERS.read_text()), PARAMETERS.parent)
    with contextlib.redirect_stdout(io.StringIO()):
        result = runner.run(
            governed_training, given, state=folder / "state", reuse=False, console=Console(file=io.StringIO())
        )
    assert result.exit_code == 0, result.reason
    home = next(folder.glob("state/serving/*/release.json")).parent
    inputs = yaml.safe_load((home / Release.read(home / RELEASE_FILE).path / "MLmodel").read_text())["signature"][
        "inputs"
    ]
    return home, {entry["name"]: float(place) for place, entry in enumerate(json.loads(inputs))}


def environment(name, folder):
    """Return the Python of a peer's virtual environment; it is made when it is missing."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        shared = [f"{package}=={locked(package)}" for package in SHARED]
        subprocess.run([find_uv_bin(), "venv", "--quiet", "--python", "3.11", folder / name], check=True)
        subprocess.run(
            [find_uv_bin(), "pip", "install", "--quiet", "--python", python, *PEERS[name], *shared, "pyarrow"],
            check=True,
        )
    return python


def locked(package):
    """Return the version of a package that the model was trained with; the lock's first entry is for Python 3.11."""
    return re.search(rf"^{package}==([\w.]+)", lock_file("ml").read_text(), re.MULTILINE)[1]


def servers(home, venvs, folder):
    """Return the servers: Hallmark's first."""
    model = home / Release.read(home / RELEASE_FILE).path
    name = Release.read(home / RELEASE_FILE).name
    python = {peer: environment(peer, venvs) for peer in PEERS}
    (folder / "kserve_server.py").write_text(KSERVE)

    def tensors(row):
        inputs = [{"name": key, "shape": [1], "datatype": "FP64", "data": [value]} for key, value in row.items()]
        return {"parameters": {"content_type": "pd"}, "inputs": inputs}

    def mlserver(settings):
        place = folder / f"mlserver-{len(settings)}"
        place.mkdir()
        parameters = {"uri": str(model)}
        document = {"name": "model", "implementation": "mlserver_mlflow.MLflowRuntime", "parameters": parameters}
        write_json(place / "model-settings.json", document | settings)

        def command(model, port):
            ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
            write_json(place / "settings.json", {"parallel_workers": 0, "debug": False, "host": "127.0.0.1"} | ports)
            return [str(python["mlserver"].parent / "mlserver"), "start", str(place)]

        return command

    def peer(name, command, ready, path, body, scores):
        binary = f"{python[name].parent}:{os.environ['PATH']}"
        return Server(name, command, ready, path, body, scores, {"PATH": binary, "MLFLOW_DISABLE_TELEMETRY": "true"})

    mlflow = peer(
        "mlflow",
        lambda model, port: [
            *[str(python["mlflow"].parent / "mlflow"), "models", "serve", "--model-uri", str(model)],
            *["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        ],
        "/ping",
        "/invocations",
        lambda row: {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}},
        lambda answer: answer["predictions"][0][1],
    )
    batching = {"max_batch_size": 64, "max_batch_time": 0.001}
    over_v2 = ("/v2/health/ready", "/v2/models/model/infer", tensors, lambda answer: answer["outputs"][0]["data"][1])
    return [
        Server(
            "hallmark",
            lambda model, port: [
                *[str(local.ensure("serve")), "-m", "kfp_hallmark.serving", str(home), "--port", str(port)],
            ],
            "/v2/health/ready",
            f"/v1/models/{name}:predict",
            lambda row: {"instances": [row], "parameters": {"scores": True}},
            lambda answer: answer["predictions"][0]["score"],
            local.variables("serve"),
        ),
        mlflow,
        peer("mlserver", mlserver({}), *over_v2),
        replace(peer("mlserver", mlserver(batching), *over_v2), name="mlserver, batching"),
        peer(
            "kserve",
            lambda model, port: [
                *[str(python["kserve"]), str(folder / "kserve_server.py"), str(model / "model.pkl"), str(port)],
            ],
            "/v2/health/ready",
            "/v1/models/model:predict",
            lambda row: {"instances": [row]},
            lambda answer: answer["predictions"][0][1],
        ),
    ]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path, value=None):
    body = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


@contextlib.contextmanager
def running(server, model, log):
    """Start a server; give its port and the seconds until it was ready."""
    port, began = free_port(), time.monotonic()
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | server.variables
    with log.open("w") as file:
        process = subprocess.Popen(
            server.command(model, port), env=variables, stdout=file, stderr=file, start_new_session=True
        )
        try:
            wait_until_ready(server, port, process, log)
            yield port, time.monotonic() - began
        finally:
            os.killpg(process.pid, 15)
            process.wait(timeout=60)


def wait_until_ready(server, port, process, log):
    while True:
        assert process.poll() is None, log.read_text()
        try:
            ask(port, server.ready)
            return
        except (OSError, urllib.error.URLError):
            time.sleep(0.02)


def start_load(server, port, connections, seconds, folder, row):
    """Let wrk ask; return its process."""
    (folder / "wrk.lua").write_text(WRK)
    (folder / "body.json").write_text(json.dumps(server.body(row)))
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", "30s", "--script", str(folder / "wrk.lua"), f"http://127.0.0.1:{port}{server.path}"]
    variables = os.environ | {"BODY": str(folder / "body.json")}
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)


def result(process):
    """Return what wrk found: requests a second, p50 and p99 in milliseconds, and how many requests failed."""
    output, _ = process.communicate()
    found = json.loads(re.search(r"^RESULT (.*)$", output, re.MULTILINE)[1])
    rate = found["requests"] / found["microseconds"] * 1e6
    return rate, found["p50"] / 1e3, found["p99"] / 1e3, found["failed"]


def measure(measured, model, row, seconds, rounds, folder):
    """Return by server the seconds until ready, and by connections the figures: each the median of some rounds.

    All servers run, and are asked in turn in every round, so that what else the machine does meets them alike.
    """
    with contextlib.ExitStack() as stack:
        ports, ready, scores = {}, {}, {}
        for server in measured:
            started = running(server, model, folder / f"{server.name}.log")
            ports[server.name], ready[server.name] = stack.enter_context(started)
            scores[server.name] = server.scores(json.loads(ask(ports[server.name], server.path, server.body(row))))
            result(start_load(server, ports[server.name], 8, 2, folder, row))
        assert len(set(scores.values())) == 1, f"The servers must agree; they say {scores}."
        figures = {(server.name, connections): [] for server in measured for connections in CONNECTIONS}
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for server in measured:
                    found = result(start_load(server, ports[server.name], connections, seconds, folder, row))
                    figures[server.name, connections].append(found)
                    print(server.name, connections, found, file=sys.stderr, flush=True)
    assert not any(found[3] for several in figures.values() for found in several), "No request may fail."
    return ready, {
        key: [statistics.median(column) for column in zip(*found, strict=True)] for key, found in figures.items()
    }


def switch(server, home, row, switches, folder):
    """Switch versions under load; return wrk's figures."""
    base = Release.read(home / RELEASE_FILE)
    with running(server, home, folder / "switches.log") as (port, _):
        load = start_load(server, port, 64, 24 * 3600, folder, row)
        for number in range(2, switches + 2):
            following = replace(base, version=str(number))
            shutil.copytree(home / base.path, home / following.path)
            write_json(home / RELEASE_FILE, following.to_json())
            while json.loads(ask(port, "/health"))["version"] != following.version:
                time.sleep(0.02)
        load.send_signal(2)
        return result(load)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=4, help="How long each figure is measured in each round.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--switches", type=int, default=100)
    parser.add_argument("--venvs", type=Path, help="Where the peers' environments are kept; made when missing.")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("The command wrk must be on PATH: apt-get install wrk.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venvs = (given.venvs or folder / "venvs").absolute()
        venvs.mkdir(parents=True, exist_ok=True)
        home, row = released(folder)
        model = home / Release.read(home / RELEASE_FILE).path
        measured = servers(home, venvs, folder)
        report(*measure(measured, model, row, given.seconds, given.rounds, folder))
        rate, p50, p99, failed = switch(measured[0], home, row, given.switches, folder)
    print(f"\n{given.switches} switches at 64 connections: {failed} failed requests, {rate:,.0f} a second, ", end="")
    print(f"p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    sys.exit(1 if failed else 0)


def report(ready, figures):
    """Print a table for each number of connections; ratios are to the best peer, figure by figure."""
    peers = [name for name in ready if name != "hallmark"]
    for connections in CONNECTIONS:
        print(f"\n{connections} connection{'s' if connections > 1 else ''}\n")
        print("| server | requests/s | p50 ms | p99 ms |\n|---|---|---|---|")
        for name in ready:
            rate, p50, p99, _ = figures[name, connections]
            print(f"| {name} | {rate:,.0f} | {p50:.2f} | {p99:.2f} |")
        ours = figures["hallmark", connections]
        best = [pick(figures[name, connections][place] for name in peers) for place, pick in enumerate((max, min, min))]
        print(
            f"| ratio to the best peer | {ours[0] / best[0]:.1f} | {best[1] / ours[1]:.1f} | {best[2] / ours[2]:.1f} |"
        )
    print("\nready after: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in ready.items()))


if __name__ == "__main__":
    main()
