"""What breaks while a model is released, on this machine and in containers: a clear end, and a retry that completes.

A real MLflow server stands behind a relay. Every step of a release speaks to it, so a fault can be put at one request:
there, and nowhere else, a step is killed, a file is changed, the server stops. Nothing waits, nothing is left to luck.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

import pytest
from fakes.mlflow_server import serving
from kfp import compiler, dsl

from kfp_hallmark import components
from kfp_hallmark.contracts.audit import records
from kfp_hallmark.contracts.digest import Manifest, artifact_digest
from kfp_hallmark.contracts.registration import DECISION_DIGEST_TAG, DIGEST_TAG
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.runner.docker import RUN_LABEL

HALLMARK = Path(sys.executable).parent / "hallmark"
GATES = ("validate_dataset", "performance_gate", "fairness_gate")


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("mlflow")) as made:
        yield made


@dsl.pipeline(name="releasing")
def releasing(
    model_uri: str,
    validate_dataset_uri: str,
    performance_gate_uri: str,
    fairness_gate_uri: str,
    model_name: str,
    deploy_target: str = "local",
):
    """The part of governed_training that changes the world outside its outputs."""
    record = components.record_run(pipeline="releasing", run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, experiment="faults")
    with dsl.ExitHandler(record):
        model = dsl.importer(artifact_uri=model_uri, artifact_class=dsl.Model).output
        verdicts = [
            dsl.importer(artifact_uri=uri, artifact_class=dsl.Artifact).output
            for uri in (validate_dataset_uri, performance_gate_uri, fairness_gate_uri)
        ]
        decide = components.decide_release(
            model=model,
            dataset_verdict=verdicts[0],
            performance_verdict=verdicts[1],
            fairness_verdict=verdicts[2],
            required_gates=list(GATES),
        )
        log = components.log_run(
            pipeline="releasing",
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            decision=decide.outputs["decision"],
            decision_report=decide.outputs["report"],
            experiment="faults",
        )
        with dsl.If(decide.outputs["outcome"] == "release", name="release"):
            register = components.register_model(
                model=model, decision=decide.outputs["decision"], model_name=model_name
            ).after(log)
            components.deploy_model(
                model=model,
                decision=decide.outputs["decision"],
                registration=register.outputs["registration"],
                target=deploy_target,
            )


class Releases:
    """Runs of `releasing` on one model, whose state is one folder."""

    def __init__(self, platform, relay, folder, model, verdicts):
        self.platform, self.relay, self.folder, self.model, self.name = platform, relay, folder, model, folder.name
        self.state = folder / "state"
        compiler.Compiler().compile(releasing, str(folder / "releasing.yaml"))
        given = {"model_uri": model, "model_name": self.name} | {f"{gate}_uri": verdicts[gate] for gate in GATES}
        self.command = [HALLMARK, "run", folder / "releasing.yaml", "--platform", platform]
        self.command += [part for name, value in given.items() for part in ("--set", f"{name}={value}")]

    def run(self, *before):
        """Run the pipeline, by the command that comes before it if there is one; return what it told, as JSON."""
        self.state.mkdir(exist_ok=True)
        output = self.folder / f"run-{len(list(self.folder.glob('run-*')))}"
        variables = {**os.environ, "HALLMARK_HOME": str(self.state), "MLFLOW_TRACKING_URI": self.relay.uri}
        variables |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "COLUMNS": "140"}
        command = [*before, *self.command, "--output", output]
        done = subprocess.run(list(map(str, command)), env=variables, cwd=self.state, capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        document = json.loads((output / "run.json").read_text())
        document["logs"] = {
            step["name"]: (output / step["log"]).read_text() for step in document["steps"] if step["log"]
        }
        assert (done.returncode == 0) == (document["status"] == "succeeded"), done.stdout + done.stderr
        return document

    @property
    def versions(self):
        """The registered versions, and the version that has the alias champion."""
        found = self.relay.ask(f"model-versions/search?filter=name%3D%27{self.name}%27").get("model_versions", [])
        with suppress(urllib.error.HTTPError):
            model = self.relay.ask(f"registered-models/get?name={self.name}")["registered_model"]
            return found, next(
                (each["version"] for each in model.get("aliases", []) if each["alias"] == "champion"), None
            )
        return found, None

    def tree(self, document):
        """The status of the pipeline run's own MLflow run."""
        experiment = self.relay.ask("experiments/get-by-name?experiment_name=faults")["experiment"]["experiment_id"]
        body = json.dumps(
            {
                "experiment_ids": [experiment],
                "filter": f"tags.`hallmark.pipeline_run` = '{document['run_id']}'",
            }
        ).encode()
        url = f"http://127.0.0.1:{self.relay.server.port}/api/2.0/mlflow/runs/search"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            (run,) = json.load(answer)["runs"]
        return run["info"]["status"]

    def kill(self, component):
        """Kill the step that runs a component, as the kernel does when memory is short."""
        if self.platform == "docker":
            import docker

            with closing(docker.from_env()) as engine:
                for container in engine.containers.list(filters={"label": RUN_LABEL}, ignore_removed=True):
                    if component in container.attrs["Config"]["Cmd"] and str(self.folder) in str(container.attrs):
                        container.kill()
            return
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                mine = str(self.folder).encode() in (process / "environ").read_bytes()
                if mine and component.encode() in words and b"-m" in words:
                    os.kill(int(process.name), signal.SIGKILL)

    def ended(self, document):
        """Assert that a run failed, says so everywhere, and left nothing half done."""
        assert document["status"] == "failed"
        self.books_are_true([document])
        found, champion = self.versions
        digest = artifact_digest(self.model)
        for version in found:
            tags = {tag["key"]: tag["value"] for tag in version["tags"]}
            assert tags[DIGEST_TAG] == digest
            assert DECISION_DIGEST_TAG in tags
        home = self.state / "serving" / self.name
        if (home / "release.json").exists():
            self.serves(home)
        else:
            assert champion is None

    def serves(self, home):
        release = Release.read(home / "release.json")
        assert Manifest.of(home / release.path).files == release.model.files == Manifest.of(self.model).files
        assert Manifest.of(home / release.decision).digest == release.decision_digest

    def books_are_true(self, documents):
        wanted = {each["run_id"]: "SUCCEEDED" if each["status"] == "succeeded" else "FAILED" for each in documents}
        told = {line["record"]["run_id"]: line["record"]["state"] for line in records(self.state / "audit.jsonl")}
        assert {run_id: told.get(run_id) for run_id in wanted} == wanted

    def completes(self, *before):
        """Run again, and assert that one whole version is registered, deployed and champion."""
        document = self.run()
        assert document["status"] == "succeeded", document["logs"]
        found, champion = self.versions
        assert ([version["version"] for version in found], champion) == (["1"], "1")
        self.serves(self.state / "serving" / self.name)
        self.books_are_true([document, *before])
        assert self.tree(document) == "FINISHED"


@pytest.fixture
def releases(request, relay, tmp_path, judged_model):
    model, verdicts = judged_model
    made = Releases(request.param, relay, tmp_path, model, verdicts)
    yield made
    relay.fault = None


def step(document, name):
    return next(step for step in document["steps"] if step["name"] == name)["state"]


API = "/api/2.0/mlflow"


@pytest.mark.parametrize("releases", ["local"], indirect=True)
def test_a_server_that_stops_in_the_middle_of_a_registration(releases, relay):
    relay.at(f"POST {API}/model-versions/create", relay.server.stop)
    try:
        failed = releases.run()
    finally:
        relay.server.start()
    assert (step(failed, "register_model"), step(failed, "deploy_model")) == ("failed", "skipped")
    assert "must answer" in failed["logs"]["register_model"]
    assert "The run's end is in the audit log but not in MLflow." in failed["logs"]["record_run"]
    releases.ended(failed)
    assert releases.versions == ([], None)
    releases.completes(failed)


ALIAS, VERSION = f"POST {API}/registered-models/alias", f"GET {API}/model-versions/get"


@pytest.mark.parametrize(
    ("releases", "component", "request_"),
    [
        ("local", "register_model", ALIAS),
        pytest.param("docker", "register_model", ALIAS, marks=pytest.mark.docker),
        ("local", "deploy_model", VERSION),
    ],
    indirect=["releases"],
)
def test_a_step_that_is_killed(releases, relay, component, request_):
    relay.at(request_, lambda: releases.kill(component))
    failed = releases.run()
    assert step(failed, component) == "failed"
    releases.ended(failed)
    assert not (releases.state / "serving" / releases.name / "release.json").exists()
    assert releases.tree(failed) == "FAILED"
    releases.completes(failed)


@pytest.mark.parametrize("releases", ["local"], indirect=True)
def test_a_model_that_is_changed_after_it_was_judged(releases, relay):
    weights = releases.model / "data" / "weights.txt"
    judged = weights.read_text()
    relay.at(f"POST {API}/runs/create", lambda: weights.write_text("9.9"))
    failed = releases.run()
    assert step(failed, "register_model") == "failed"
    assert "The model must be the one that was decided on" in failed["logs"]["register_model"]
    assert releases.versions == ([], None)
    weights.write_text(judged)
    releases.ended(failed)


@pytest.mark.parametrize("releases", ["local"], indirect=True)
def test_a_deployment_to_nowhere(releases):
    releases.command += ["--set", "deploy_target=kserve"]
    failed = releases.run()
    assert (step(failed, "register_model"), step(failed, "deploy_model")) == ("succeeded", "failed")
    assert "deployment must hold every required option; missing: " in failed["logs"]["deploy_model"]
    releases.ended(failed)
    assert releases.tree(failed) == "FAILED"
    del releases.command[-2:]
    releases.completes(failed)


@pytest.mark.parametrize("releases", ["local"], indirect=True)
def test_a_full_disk_where_models_are_served(releases):
    serving = releases.state / "serving"
    serving.mkdir(parents=True)
    small = f'mount -t tmpfs -o size=12k tmpfs "{serving}" && "$@"; code=$?; cp -r "{serving}" seen; exit $code'
    failed = releases.run("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", small, "sh")
    assert step(failed, "register_model") == "succeeded"
    assert step(failed, "deploy_model") == "failed"
    assert "No space left on device" in failed["logs"]["deploy_model"]
    assert [path.name for path in (releases.state / "seen").rglob("release.json*")] == []
    releases.ended(failed)
    releases.completes(failed)
