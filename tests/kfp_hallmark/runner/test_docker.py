"""Runs of small pipelines as containers of the engine on this machine, in the image of the environment `release`."""

import io
import os
import signal
import subprocess
import sys

import docker
import pytest
from kfp import compiler, dsl

from kfp_hallmark.component import component
from kfp_hallmark.environments import image
from kfp_hallmark.environments.images import CODE_LABEL
from kfp_hallmark.errors import EnvironmentFailure, MissingInputError
from kfp_hallmark.runner.docker import RUN_LABEL

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def engine():
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def run_in_containers(run):
    return lambda pipeline, parameters=None, **options: run(pipeline, parameters, platform="docker", **options)


@pytest.fixture
def books_log(tmp_path):
    """Return a parameter whose name ends in `_log`, whose folder containers may write to, and its file."""
    return {"books_log": "books/books.txt"}, tmp_path / "books" / "books.txt"


@pytest.fixture
def governed(pipelines):
    @dsl.pipeline(name="contained")
    def contained(books_log: str, score: float = 1.0, note: str = "x"):
        close = pipelines.close_books(path=books_log, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
        with dsl.ExitHandler(close):
            made = pipelines.make_data()
            fitted = pipelines.fit(data=made.outputs["data"])
            judged = pipelines.own_gate(model=fitted.outputs["model"], score=score)
            settled = pipelines.settle(model=fitted.outputs["model"], verdict=judged.outputs["verdict"])
            with dsl.If(settled.outputs["outcome"] == "release", name="release"):
                pipelines.publish(model=fitted.outputs["model"], model_name="small")
            with dsl.Else(name="halt"):
                pipelines.refuse(decision=settled.outputs["decision"])

    return contained


def test_a_release(run_in_containers, governed, books_log, states):
    result, screen = run_in_containers(governed, books_log[0])
    assert result.status == "succeeded", screen
    assert states(result)["publish"] == "succeeded"
    assert result.model["version"] == "7"
    assert books_log[1].read_text() == f"SUCCEEDED {result.run_id} None\n"
    assert "making data" in (result.directory / "logs/make_data.log").read_text()


def test_what_is_written_belongs_to_the_user(run_in_containers, governed, books_log):
    result, _ = run_in_containers(governed, books_log[0])
    assert {path.stat().st_uid for path in (result.directory / "artifacts").rglob("*")} == {os.getuid()}


def test_a_halt(run_in_containers, governed, books_log):
    result, _ = run_in_containers(governed, books_log[0] | {"score": 0.2})
    assert (result.status, result.exit_code) == ("halted", 3)
    assert books_log[1].read_text() == f"FAILED {result.run_id} None\n"


def test_pure_steps_are_reused_but_not_across_platforms(run, run_in_containers, governed, books_log, states):
    run(governed, books_log[0])
    first, _ = run_in_containers(governed, books_log[0])
    second, _ = run_in_containers(governed, books_log[0])
    assert states(first)["fit"] == "succeeded"
    assert states(second)["fit"] == "reused"


def test_local_inputs_are_seen_and_cannot_be_written(run_in_containers, tmp_path):
    (tmp_path / "in:puts").mkdir()
    (tmp_path / "in:puts" / "a.txt").write_text("content")
    (tmp_path / "towns.parquet").write_text("towns")
    (tmp_path / "contracts").mkdir()
    reference = "{column: town, dataset: ../towns.parquet, key: name}"
    contract = f"hallmark: contract/v1\nversion: 1.0.0\nreferences: [{reference}]\nschema: feature {{}}\n"
    (tmp_path / "contracts" / "a.yaml").write_text(contract)

    @component(environment="release")
    def read(folder_uri: str, contract_uri: str) -> str:
        import pathlib

        folder = pathlib.Path(folder_uri)
        towns = pathlib.Path(contract_uri).parent / "../towns.parquet"
        try:
            (folder / "b.txt").write_text("written")
        except OSError:
            return f"{(folder / 'a.txt').read_text()} {towns.read_text()}"
        return "written"

    @dsl.pipeline(name="reading")
    def reading(folder_uri: str, contract_uri: str):
        read(folder_uri=folder_uri, contract_uri=contract_uri)

    result, screen = run_in_containers(reading, {"folder_uri": "in:puts", "contract_uri": "contracts/a.yaml"})
    assert result.status == "succeeded", screen
    assert result.steps[0].outputs["Output"] == "content towns"


def test_a_step_knows_its_surroundings(run_in_containers, pipelines, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a token")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("SOMETHING_ELSE", "a secret")
    result, screen = run_in_containers(pipelines.looking)
    assert result.status == "succeeded", screen
    seen = result.steps[0].outputs["Output"]["variables"]
    assert seen["HALLMARK_AUDIT_LOG"] == str(tmp_path / "state" / "audit.jsonl")
    assert seen["HALLMARK_ENVIRONMENT"] == "release"
    assert seen["HALLMARK_ENVIRONMENT_DIGEST"].startswith("sha256:")
    assert seen["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:1"
    assert seen["MLFLOW_TRACKING_TOKEN"] == "a token"
    assert not {"PYTHONPATH", "SOMETHING_ELSE"} & set(seen)
    assert seen["HOME"] == "/tmp"


def test_no_container_is_left(run_in_containers, pipelines, engine):
    result, _ = run_in_containers(pipelines.stumbling)
    assert result.status == "failed"
    assert engine.containers.list(all=True, filters={"label": f"{RUN_LABEL}={result.run_id}"}) == []


@pytest.fixture
def idle_on():
    """Make a pipeline of one idle step on an image of a registry."""

    def make(registry, monkeypatch):
        monkeypatch.setenv("HALLMARK_REGISTRY", registry)

        @component(environment="release")
        def idle():
            pass

        @dsl.pipeline(name="idle-run")
        def pipeline():
            idle()

        return pipeline

    return make


def test_an_image_of_other_sources_starts_nothing(run_in_containers, idle_on, engine, tmp_path, monkeypatch):
    text = f"FROM {image('release')}\nLABEL {CODE_LABEL}=sha256:{'0' * 64}\n".encode()
    pipeline = idle_on("hallmark-other-sources", monkeypatch)
    engine.images.build(fileobj=io.BytesIO(text), tag=image("release"))
    try:
        with pytest.raises(MissingInputError, match="must hold the sources that are here; it was built from others"):
            run_in_containers(pipeline)
    finally:
        engine.images.remove(image("release"))
    assert not list((tmp_path / "state").rglob("run.json"))


def test_an_image_that_is_not_built_starts_nothing(run_in_containers, idle_on, tmp_path, monkeypatch):
    unbuilt = idle_on("never-built.invalid/hallmark", monkeypatch)
    with pytest.raises(MissingInputError, match=r"'never-built\.invalid/hallmark/release:.*' must be built") as caught:
        run_in_containers(unbuilt)
    assert "Run `hallmark image build`." in str(caught.value)
    assert not list((tmp_path / "state").rglob("run.json"))


def test_an_engine_that_does_not_answer_is_told(run_in_containers, pipelines, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    with pytest.raises(EnvironmentFailure, match="must have a Docker engine that answers"):
        run_in_containers(pipelines.looking)


SCRIPT = """
import sys
from pathlib import Path
from kfp_hallmark import runner

folder = Path(sys.argv[1])
options = {"platform": "docker", "state": folder / "state", "base": folder}
result = runner.run(folder / "waiting.yaml", {"fifo_uri": "fifo"}, **options)
print(result.run_id)
sys.exit(result.exit_code)
"""


def test_an_interruption_ends_the_container(engine, written, tmp_path):
    @component(environment="release")
    def wait(fifo_uri: str):
        import signal

        with open(fifo_uri, "w") as fifo:  # noqa: PTH123
            fifo.write("waiting")
        signal.pause()

    @dsl.pipeline(name="waiting")
    def waiting(fifo_uri: str):
        wait(fifo_uri=fifo_uri)

    compiler.Compiler().compile(waiting, str(tmp_path / "waiting.yaml"))
    os.mkfifo(tmp_path / "fifo")
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert written(tmp_path / "fifo", process) == "waiting"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130
    run_id = output.split()[-1]
    assert engine.containers.list(all=True, filters={"label": f"{RUN_LABEL}={run_id}"}) == []
