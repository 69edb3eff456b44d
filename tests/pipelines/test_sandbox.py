"""`governed_training` in containers that may do as little as a strict cluster lets them.

Read-only root, a user who is nobody, no capability, the memory that is compiled in, and a network on which there is
nothing but an MLflow server.
"""

import json
import os
import threading
import time
from collections import defaultdict
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest
import yaml
from kfp.compiler import pipeline_spec_builder

from kfp_hallmark import runner
from kfp_hallmark.contracts.audit import records
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.environments import image
from kfp_hallmark.pipelines import governed_training
from kfp_hallmark.platforms.pipeline import Pipeline, set_resources
from kfp_hallmark.runner.docker import RUN_LABEL
from kfp_hallmark.settings import ResourceClasses
from kfp_hallmark.settings_checks import byte_count

pytestmark = [pytest.mark.docker, pytest.mark.filterwarnings("ignore:Task .* have no effect in the current local")]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "acs_employment"
NOBODY = "65534:65534"
SERVE = "mlflow server --host 0.0.0.0 --port 5000 --workers 1 --allowed-hosts '*' "
SERVE += "--backend-store-uri sqlite:////tmp/mlflow.db --artifacts-destination /tmp/artifacts"
OPTIONS = {
    "read_only": True,
    "tmpfs": {"/tmp": ""},
    "user": NOBODY,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}


@pytest.fixture(scope="module")
def engine():
    with closing(docker.from_env()) as client:
        yield client


@pytest.fixture(scope="module")
def network(engine):
    """A network without a way out."""
    made = engine.networks.create(f"hallmark-test-{os.getpid()}", internal=True)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def server(engine, network):
    """A real MLflow server on the network, and its address there."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "HOME": "/tmp"}
    container = engine.containers.run(
        image("release"),
        ["sh", "-c", SERVE],
        detach=True,
        network=network.name,
        environment=quiet,
        **OPTIONS,
    )
    try:
        assert any(b"Uvicorn running on" in line for line in container.logs(stream=True))
        container.reload()
        # By its address: an engine that may not touch the firewall resolves no names.
        address = container.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
        yield SimpleNamespace(container=container, uri=f"http://{address}:5000")
    finally:
        container.remove(force=True)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The pipeline with the memory limits that settings have by default, and these by component."""
    changed = Pipeline(governed_training)
    limits = {}
    for step in changed.steps.values():
        resources = getattr(ResourceClasses(), step.size)
        set_resources(step.container, replace(resources, cpu_limit="1", cpu_request="1"), requests=False)
        limits[step.component] = byte_count(resources.memory_limit)
    changed.put_back()
    path = tmp_path_factory.mktemp("compiled") / "governed_training.yaml"
    pipeline_spec_builder.write_pipeline_spec_to_file(
        pipeline_spec=changed.spec,
        pipeline_description=None,
        platform_spec=changed.platform,
        package_path=str(path),
    )
    return SimpleNamespace(path=path, limits=limits)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """The state of the runs, where nobody may write, which belongs to somebody else."""
    before = os.umask(0)
    yield tmp_path_factory.mktemp("sandbox") / "state"
    os.umask(before)


@contextmanager
def watching(engine):
    """Gather, by run, what the engine knows of the containers of steps that are made, until one more is made."""
    made, end = defaultdict(dict), f"hallmark-test-end-{os.getpid()}"
    filters = {"type": "container", "event": "create", "label": RUN_LABEL}
    events = engine.events(decode=True, since=int(time.time()), filters=filters)

    def gather():
        for event in events:
            if event["Actor"]["Attributes"]["name"] == end:
                return
            try:
                found = engine.api.inspect_container(event["id"])
            except docker.errors.NotFound:
                continue  # Of another run, that other tests have meanwhile; one of ours would be missed below.
            command = found["Config"]["Cmd"]
            run = made[event["Actor"]["Attributes"][RUN_LABEL]]
            run[command[command.index("--function_to_execute") + 1]] = found

    thread = threading.Thread(target=gather)
    thread.start()
    try:
        yield made
    finally:
        engine.containers.create(image("release"), "true", name=end, labels={RUN_LABEL: end}).remove()
        thread.join()
        events.close()


@pytest.fixture(scope="module")
def start(network, server, compiled, state):
    given = yaml.safe_load((EXAMPLE / "released.yaml").read_text())

    def start(name, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", server.uri)
            patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
            return runner.run(
                compiled.path,
                given | {"model_name": name},
                platform="docker",
                state=state,
                output=state.parent / name,
                base=EXAMPLE,
                container_options={**OPTIONS, "network_mode": network.name, **options},
            )

    return start


@pytest.fixture(scope="module")
def released(engine, start):
    with watching(engine) as made:
        result = start("strict")
    return SimpleNamespace(result=result, containers=made[result.run_id])


def logs_of(result):
    return "\n".join(path.read_text() for path in sorted((result.directory / "logs").iterdir()))


def test_a_model_is_released(released, state):
    assert released.result.status == "succeeded", logs_of(released.result)
    assert Release.read(state / "serving" / "strict" / "release.json").version == "1"
    assert [line["record"]["state"] for line in records(state / "audit.jsonl")][:1] == ["SUCCEEDED"]


def test_every_step_was_confined(released, compiled, network):
    ran = {step.component for step in released.result.steps if step.state == "succeeded"}
    assert set(released.containers) == ran
    network.reload()
    assert network.attrs["Internal"]
    for component, container in released.containers.items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], component
        assert container["Config"]["User"] == NOBODY
        assert (host["Memory"], host["MemorySwap"]) == (compiled.limits[component], compiled.limits[component])
        assert host["NetworkMode"] == network.name
        assert host["CapDrop"] == ["ALL"]


def test_a_full_disk_registers_nothing(released, start, state, server):
    result = start("full", tmpfs={"/tmp": "size=300k"})
    assert result.status == "failed"
    states = {step.name: step.state for step in result.steps}
    assert (states["register_model"], states["deploy_model"]) == ("failed", "skipped")
    assert "No space left on device" in logs_of(result)
    assert not (state / "serving" / "full").exists()
    told = {line["record"]["run_id"]: line["record"]["state"] for line in records(state / "audit.jsonl")}
    assert told[result.run_id] == "FAILED"
    asked = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"
    url = "http://127.0.0.1:5000/api/2.0/mlflow/model-versions/search"
    _, answer = server.container.exec_run(["python3", "-c", asked, url])
    assert [version["name"] for version in json.loads(answer)["model_versions"]] == ["strict"]
