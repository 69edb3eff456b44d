"""Models as `train_model` writes them, released as `deploy_model` leaves them, and a server that runs as it would."""

import asyncio
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy
import pyarrow
import pyarrow.parquet
import pytest
from threadpoolctl import threadpool_limits

from kfp_hallmark.contracts.decision import Policy, decide, write_decision
from kfp_hallmark.contracts.digest import Manifest, artifact_digest
from kfp_hallmark.contracts.documents import write_json
from kfp_hallmark.contracts.release import RELEASE_FILE, Release
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.modeling.columns import read_label
from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.serving.app import Application
from kfp_hallmark.serving.metrics import Metrics
from kfp_hallmark.serving.releases import Releases
from kfp_hallmark.training.estimators import accept_labels, make_estimator
from kfp_hallmark.training.features import choose_columns, make_pipeline, read_features
from kfp_hallmark.training.target import describe_target

ENVIRONMENT = "serve"
TRAIN, SOURCE, TEST = ("sha256:" + digit * 64 for digit in "213")
TOWNS = ["Ulm", "Köln", "Bad Aibling", "Jena", "東京"]


def people(rows=240, seed=0):
    """Return a made-up table with numbers, text and missing values."""
    chance = numpy.random.default_rng(seed)
    age = chance.integers(16, 90, rows).astype(object)
    age[chance.random(rows) < 0.1] = None
    town = chance.choice([*TOWNS, None], rows)
    return pyarrow.table(
        {
            "age": pyarrow.array(age.tolist(), pyarrow.float64()),
            "town": pyarrow.array(town.tolist(), pyarrow.string()),
            "income": pyarrow.array(chance.normal(2500, 900, rows).tolist(), pyarrow.float64()),
            "job": pyarrow.array(chance.choice(["none", "clerk", "smith"], rows).tolist(), pyarrow.string()),
        }
    )


def labels(table, classes):
    """Return labels that depend on the features."""
    income = table["income"].to_numpy()
    age = numpy.nan_to_num(table["age"].to_numpy(), nan=40.0)
    score = income / 900 + age / 30 + numpy.sin(income)
    if not classes:
        return score
    return numpy.array(classes, dtype=object)[
        numpy.digitize(score, numpy.quantile(score, numpy.arange(1, len(classes)) / len(classes)))
    ]


def train(path, estimator="sklearn.ensemble.HistGradientBoostingClassifier", classes=(0, 1), seed=0, **parameters):
    """Write a model folder as `train_model` does."""
    table = people(seed=seed)
    target = labels(table, list(classes)).tolist()
    data = path.with_suffix(".parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table.append_column("label", pyarrow.array(target)), data)
    columns = choose_columns(data, "label", [])
    frame, label = read_features(data, columns), read_label(data, "label")
    made = make_estimator(estimator, parameters, seed)
    meaning = describe_target(made, label, "label", None)
    pipeline = make_pipeline(accept_labels(made, meaning), columns, frame).fit(frame, label)
    method = "predict_proba" if classes and hasattr(pipeline, "predict_proba") else "predict"
    bound = meaning | {"target": "label", "datasets": [TRAIN, SOURCE], "experiment_hash": "sha256:" + "e" * 64}
    return save(path, pipeline, [(column.type, column.name) for column in columns], method, bound)


def save(path, estimator, inputs, method="predict_proba", metadata=None):
    """Write a model folder; inputs are pairs of type and name."""
    import mlflow.sklearn
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    mlflow.sklearn.save_model(
        estimator,
        path,
        mlflow_model=Model(utc_time_created="1970-01-01 00:00:00", model_uuid="0" * 32),
        signature=ModelSignature(Schema([ColSpec(*entry) for entry in inputs])),
        pyfunc_predict_fn=method,
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"],
        metadata={"hallmark": metadata} if metadata else None,
    )
    return path


def release(home, model, version="1", name="people", created=None, max_age_hours=24.0, status=Status.PASS, **changes):
    """Put a model into a serving folder as `deploy_model` does, and return its release."""
    digest = artifact_digest(model)
    work = home.with_name(f"{home.name}-work-{version}")
    work.mkdir(parents=True, exist_ok=True)
    check = Check("accuracy", status, observed=0.9 if status.passed else 0.5, minimum=0.8, samples=100)
    verdict = Verdict("performance_gate", {"model": digest, "dataset": TEST}, [check])
    (replace(verdict, created=created) if created else verdict).write(work / "performance_gate.json")
    verdicts = {"performance_gate": work / "performance_gate.json"}
    policy = Policy(("performance_gate",), max_age_hours=max_age_hours)
    write_decision(work / "decision", decide(model, verdicts, policy), verdicts)
    made = Release(name, version, Manifest.of(model), artifact_digest(work / "decision"), **changes)
    for source, place in ((model, made.path), (work / "decision", made.decision)):
        if not (home / place).exists():
            shutil.copytree(source, home / place)
    write_json(home / RELEASE_FILE, made.to_json())
    return made


@pytest.fixture
def saved(tmp_path):
    """Save a fitted estimator, load it and return it."""
    return lambda *arguments, **options: load_model(save(tmp_path / "model", *arguments, **options))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Train each kind of model once."""
    root, made = tmp_path_factory.mktemp("models"), {}

    def get(estimator="sklearn.ensemble.HistGradientBoostingClassifier", classes=(0, 1), seed=0, **parameters):
        key = (estimator, classes, seed, *sorted(parameters.items()))
        if key not in made:
            made[key] = train(root / f"model-{len(made)}", estimator, classes, seed, **parameters)
        return made[key]

    return get


@pytest.fixture(scope="session")
def released():
    """Put a model into a serving folder."""
    return release


@pytest.fixture(scope="session")
def new_client():
    """Make the application over a serving folder; nothing is loaded yet."""
    return Client


@pytest.fixture
def home(tmp_path, trained):
    """A serving folder with version 1 of the model `people`."""
    release(tmp_path / "people", trained(max_iter=20))
    return tmp_path / "people"


@pytest.fixture
def rows():
    """Rows as clients send them: some known, some missing, an unknown category."""
    made = people(40, seed=9).to_pylist()
    made[3]["town"] = "a town that nobody knows"
    made[4] |= {"age": None, "town": None, "income": None, "job": None}
    return made


class Client:
    """The application, asked without a socket."""

    def __init__(self, home):
        self.metrics = Metrics()
        self.releases = Releases(home, self.metrics, lambda served: self.app.switch(served))
        self.app = Application(self.releases, self.metrics, "/predict", "/health")

    def load(self):
        assert asyncio.run(self.releases.first()), self.releases.failure
        return self

    async def ask(self, method, path, body=b"", headers=(("content-type", "application/json"),)):
        sent, messages = [], [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            return messages.pop(0)

        async def send(message):
            sent.append(message)

        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await self.app({"type": "http", "method": method, "path": path, "headers": encoded}, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, sent[1]["body"]

    def get(self, path):
        status, _, body = asyncio.run(self.ask("GET", path))
        return status, json.loads(body)

    def post(self, path, value, **options):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        status, _, answer = asyncio.run(self.ask("POST", path, body, **options))
        return status, json.loads(answer)


@pytest.fixture
def client(home):
    return Client(home).load()


PROGRAM = (sys.executable, "-m", "kfp_hallmark.serving")


class Program:
    """The program, in a process of its own."""

    def __init__(self, folder, *arguments, **variables):
        command = [*PROGRAM, *([str(folder), "--port", "0"] if folder else []), *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | variables)
        self.log = []
        self.port = int(self.wait_for("Listening on").rpartition(":")[2])

    def wait_for(self, words):
        """Read the log up to a line with these words, and return the line."""
        for line in self.process.stderr:
            self.log.append(line.rstrip())
            if words in line:
                return line.rstrip()
        raise AssertionError("\n".join(self.log))

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, body=None, headers={"Content-Type": "application/json"}):
        connection = self.connect()
        connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body), headers)
        answer = connection.getresponse()
        status, content = answer.status, answer.read()
        connection.close()
        return status, content

    def end(self, number=signal.SIGTERM):
        """Ask the program to end, and return its exit code and the rest of its log."""
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=60)
        return self.process.returncode, rest

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.stderr.close()
        self.process.wait(timeout=30)


@pytest.fixture
def run():
    """Start the program; it is ended with the test."""
    programs = []

    def start(*arguments, **variables):
        programs.append(Program(*arguments, **variables))
        return programs[-1]

    yield start
    for program in programs:
        program.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory, trained):
    """The program, for tests that leave it as it was."""
    home = tmp_path_factory.mktemp("standing") / "people"
    release(home, trained(max_iter=20))
    program = Program(home)
    program.wait_for("Serving people")
    yield program
    program.close()


@pytest.fixture
def call():
    """Run the program until it ends by itself, and return its exit code and its log."""

    def until_it_ends(folder, *arguments, **variables):
        command = [*PROGRAM, str(folder), "--port", "0", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, timeout=120)
        return done.returncode, done.stderr

    return until_it_ends


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Use one thread, as the program does; more would only wait for one another on a busy machine."""
    with threadpool_limits(1):
        yield
