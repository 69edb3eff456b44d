"""Small pipelines that write the contracts' documents, for the runner to run."""

# KFP reads these signatures.
# ruff: noqa: UP006, UP035, UP045, PTH109, PTH123

import io
import json
import os
import select
from types import SimpleNamespace
from typing import Dict, List, NamedTuple, Optional

import pytest
from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output, PipelineTaskFinalStatus
from rich.console import Console

from kfp_hallmark import runner
from kfp_hallmark.component import component


@component(environment="release", pure=True)
def make_data(data: Output[Dataset], rows: int = 3, source_uri: Optional[str] = None, options: Dict = {}):
    import json

    print("making data")
    with open(data.path, "w") as file:
        json.dump({"rows": rows, "options": options}, file)
    data.metadata["rows"] = rows
    data.metadata["source"] = source_uri or "made"


@component(environment="release", pure=True)
def fit(data: Input[Dataset], model: Output[Model], metrics: Output[Metrics]):
    import pathlib

    folder = pathlib.Path(model.path)
    folder.mkdir(parents=True)
    experiment = "sha256:" + "1" * 64
    (folder / "MLmodel").write_text(f"metadata:\n  hallmark:\n    experiment_hash: {experiment}\n")
    (folder / "data").write_text(pathlib.Path(data.path).read_text())
    metrics.log_metric("accuracy", 0.9)


@component(environment="release")
def own_gate(model: Input[Model], verdict: Output[Artifact], report: Output[HTML], score: float = 1.0) -> NamedTuple(
    "Outputs", [("status", str)]
):
    import pathlib

    from kfp_hallmark.contracts.digest import artifact_digest
    from kfp_hallmark.contracts.verdict import Check, Verdict, judge

    check = Check("score", judge(score, minimum=0.5), observed=score, minimum=0.5)
    judged = Verdict("own_gate", {"model": artifact_digest(model.path)}, [check])
    judged.write(verdict.path)
    pathlib.Path(report.path).write_text("<!DOCTYPE html><title>own gate</title>")
    return (str(judged.status),)


@component(environment="release")
def settle(model: Input[Model], verdict: Input[Artifact], decision: Output[Artifact]) -> NamedTuple(
    "Outputs", [("outcome", str)]
):
    from kfp_hallmark.contracts.decision import Policy, decide, write_decision

    verdicts = {"own_gate": verdict.path}
    decided = decide(model.path, verdicts, Policy(("own_gate",)))
    write_decision(decision.path, decided, verdicts)
    return (decided.outcome,)


@component(environment="release")
def publish(model: Input[Model], registration: Output[Artifact], model_name: str):
    import json

    from kfp_hallmark.contracts.digest import artifact_digest

    document = {
        "schema": "hallmark/registration/v1",
        "name": model_name,
        "version": "7",
        "uri": f"models:/{model_name}/7",
        "digest": artifact_digest(model.path),
    }
    with open(registration.path, "w") as file:
        json.dump(document, file)


@component(environment="release")
def refuse(decision: Input[Artifact]):
    raise PermissionError("the decision is to halt")


@component(environment="release")
def close_books(status: PipelineTaskFinalStatus, path: str, run_id: str, note: Optional[str] = None):
    with open(path, "a") as file:
        file.write(f"{status.state} {run_id} {note}\n")


@dsl.pipeline(name="small-governed")
def governed(
    books_uri: str,
    score: float = 1.0,
    rows: int = 3,
    note: Optional[str] = None,
    limit: Optional[int] = None,
    options: Dict = {"depth": 3, "rate": 0.5},
    model_name: str = "small",
):
    close = close_books(path=books_uri, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, note=note)
    with dsl.ExitHandler(close):
        made = make_data(rows=rows, source_uri=note, options=options)
        fitted = fit(data=made.outputs["data"])
        judged = own_gate(model=fitted.outputs["model"], score=score)
        settled = settle(model=fitted.outputs["model"], verdict=judged.outputs["verdict"])
        with dsl.If(settled.outputs["outcome"] == "release", name="release"):
            publish(model=fitted.outputs["model"], model_name=model_name)
        with dsl.Else(name="halt"):
            refuse(decision=settled.outputs["decision"])


@component(environment="release", pure=True)
def note_down(text: str, copy: Output[Artifact], number: Optional[int] = None) -> str:
    with open(copy.path, "w") as file:
        file.write(f"{text} {number}")
    return text


@component(environment="release")
def stumble(lines: int = 1):
    for line in range(lines):
        print(f"line {line}")
    raise RuntimeError("stumbled")


@component(environment="release")
def read_back(copy: Input[Artifact]) -> str:
    with open(copy.path) as file:
        return file.read()


@component(environment="release")
def look_around() -> Dict:
    import os
    import sys

    return {"variables": dict(os.environ), "folder": os.getcwd(), "python": sys.executable}


@dsl.pipeline(name="twice")
def twice():
    first = note_down(text="first")
    second = note_down(text="second")
    read_back(copy=first.outputs["copy"]).after(second)


@dsl.pipeline(name="telling-uri")
def telling_uri(password: str):
    note_down(text=f"http://bob:{password}@host/store")


@dsl.pipeline(name="inner")
def inner(text: str, number: Optional[int] = None) -> str:
    return note_down(text=text, number=number).outputs["Output"]


@dsl.pipeline(name="outer")
def outer(text: str = "outer", number: Optional[int] = None):
    first = inner(text=text, number=number)
    inner(text=first.output)


@dsl.pipeline(name="looped")
def looped(texts: List[str] = ["a", "b", "c"]):
    with dsl.ParallelFor(texts) as text:
        noted = note_down(text=text)
        read_back(copy=noted.outputs["copy"])


@dsl.pipeline(name="stumbling")
def stumbling(lines: int = 1):
    fallen = stumble(lines=lines)
    note_down(text="after").after(fallen)
    note_down(text="beside")


@dsl.pipeline(name="looking")
def looking():
    look_around()


@component(environment="release")
def linger(fifo_uri: str, output: Output[Artifact]):
    import os
    import pathlib
    import signal
    import subprocess

    child = subprocess.Popen(["sleep", "600"])
    pathlib.Path(output.path).write_text("half")
    with open(fifo_uri, "w") as fifo:
        fifo.write(f"{os.getpid()} {child.pid}")
    signal.pause()


@component(environment="release")
def tidy(fifo_uri: str, books_uri: str):
    import pathlib
    import signal
    import subprocess
    import sys

    def stop(number, frame):
        # Longer than the shell takes to end, which gets the signal too.
        subprocess.run([sys.executable, "-c", "import json"], check=True)
        pathlib.Path(books_uri).write_text("tidied")
        raise SystemExit(1)

    signal.signal(signal.SIGTERM, stop)
    with open(fifo_uri, "w") as fifo:
        fifo.write("ready")
    signal.pause()


@dsl.pipeline(name="tidying")
def tidying(fifo_uri: str, books_uri: str):
    tidy(fifo_uri=fifo_uri, books_uri=books_uri)


@component(environment="release")
def fork() -> int:
    import subprocess

    return subprocess.Popen(["sleep", "600"]).pid


@dsl.pipeline(name="forking")
def forking():
    fork()


@dsl.pipeline(name="lingering")
def lingering(fifo_uri: str, books_uri: str):
    close = close_books(path=books_uri, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    with dsl.ExitHandler(close):
        slow = linger(fifo_uri=fifo_uri)
        note_down(text="after").after(slow)
        note_down(text="beside")


@component(environment="release")
def close_slowly(status: PipelineTaskFinalStatus, fifo_uri: str, path: str):
    """Tell that the books are being closed, and close them when told to."""
    with open(fifo_uri, "w") as fifo:
        fifo.write("closing")
    with open(fifo_uri) as fifo:
        fifo.read()
    with open(path, "w") as file:
        file.write(status.state)


@dsl.pipeline(name="closing")
def closing(fifo_uri: str, books_uri: str):
    with dsl.ExitHandler(close_slowly(fifo_uri=fifo_uri, path=books_uri)):
        note_down(text="body")


@pytest.fixture(scope="session")
def pipelines():
    """The components and pipelines of this file, by name."""
    return SimpleNamespace(**{name: value for name, value in globals().items() if hasattr(value, "pipeline_spec")})


@pytest.fixture(scope="session")
def written():
    """Wait for what a step writes to a FIFO, and return it; fail if the run's process ends before."""

    def wait(fifo, process):
        reader, ended = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), os.pidfd_open(process.pid)
        with open(reader) as file, open(ended):
            assert reader in select.select([reader, ended], [], [])[0], "The run ended before its step wrote."
            os.set_blocking(reader, True)
            return file.read()

    return wait


@pytest.fixture
def run(tmp_path):
    """Run a pipeline with a state of the test's own; the screen is kept in `screen` of the result."""

    def start(pipeline, parameters=None, **options):
        screen = io.StringIO()
        options = {"state": tmp_path / "state", "base": tmp_path} | options
        result = runner.run(
            pipeline, parameters or {}, console=Console(file=screen, width=200, force_terminal=False), **options
        )
        return result, screen.getvalue()

    return start


@pytest.fixture
def books(tmp_path):
    """Return the parameter that `governed` and `lingering` need, and the file that it names."""
    return {"books_uri": "books.txt"}, tmp_path / "books.txt"


@pytest.fixture
def document():
    """Read a run's `run.json`."""
    return lambda result: json.loads((result.directory / "run.json").read_text())


@pytest.fixture
def states():
    """Return the steps' states by name."""
    return lambda result: {step.name: step.state for step in result.steps}
