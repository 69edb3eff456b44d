"""LightGBM on Ray, run as its page says, and by a CustomJob on a fake of Vertex AI that runs what the job asks for."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from fakes.vertex import fixtures

from kfp_hallmark.environments import local

# Assigned, for an import that tests take as an argument looks unused to a linter, and defined twice.
fake, google = fixtures.fake, fixtures.google

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HALLMARK = str(Path(sys.executable).parent / "hallmark")
UV = str(Path(sys.executable).parent / "uv")

# LightGBM by itself, in one process, with what the example's workers are given; its area under the curve on the test.
ALONE = """
import json, sys
import lightgbm, pandas
from sklearn.metrics import roc_auc_score

train, test = map(pandas.read_parquet, sys.argv[1:3])
fixed = {"objective": "binary", "verbosity": -1, "deterministic": True, "force_row_wise": True, "num_threads": 1}
names = [name for name in train.columns if name not in ("employed", "SEX")]
data = lightgbm.Dataset(train[names].astype("float64"), train["employed"])
booster = lightgbm.train({**fixed, "seed": 0, **json.loads(sys.argv[3])}, data, 100)
print(len(train), roc_auc_score(test["employed"], booster.predict(test[names].astype("float64"))))
"""


# The custom job without the steps that judge what it trains.
SHORT = """
from kfp import compiler, dsl
from training import train_lightgbm
from vertex import run_custom_job

from kfp_hallmark import components


@dsl.pipeline(name="short")
def short(data_uri: str, training: dict):
    load = components.load_dataset(uri=data_uri)
    container = train_lightgbm.component_spec.implementation.container
    run_custom_job(
        dataset=load.outputs["dataset"],
        function="train_lightgbm",
        image=container.image,
        command=container.command,
        parameters=training,
        project="acme-ml",
        location="europe-west4",
        machine_type="n2-highmem-32",
    )


compiler.Compiler().compile(short, "short.yaml")
"""


def variables(folder):
    found = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    # A machine without OpenMP's library lends it to the example as it does to the environments.
    library = local.variables("ml")["LD_LIBRARY_PATH"]
    # pip reads this variable the other way round: 0 is not to compile, which halves the time of an installation.
    return found | {"HALLMARK_HOME": str(folder / "home"), "LD_LIBRARY_PATH": library, "PIP_NO_COMPILE": "0"}


def start(folder, name, *arguments):
    """Compile a pipeline of the example and run it; return the command's end."""
    subprocess.run([sys.executable, f"{name}.py"], cwd=folder / "lightgbm_ray", env=variables(folder), check=True)
    command = [HALLMARK, "run", f"{name}.yaml", *arguments, "--output", str(folder / "run")]
    return subprocess.run(command, cwd=folder / "lightgbm_ray", env=variables(folder), capture_output=True, text=True)


def steps_of(folder):
    return {step["name"]: step for step in json.loads((folder / "run" / "run.json").read_text())["steps"]}


def copy_to(folder):
    shutil.copytree(EXAMPLES / "lightgbm_ray", folder / "lightgbm_ray")
    (folder / "acs_employment").symlink_to(EXAMPLES / "acs_employment")
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a run of the example."""
    folder = copy_to(tmp_path_factory.mktemp("ray"))
    done = start(folder, "training", "--params", "parameters.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def given():
    return yaml.safe_load((EXAMPLES / "lightgbm_ray" / "parameters.yaml").read_text())


def test_the_gates_judge_it(ran):
    document = json.loads((ran / "run" / "run.json").read_text())
    assert document["decision"]["outcome"] == "release", document["decision"]["reasons"]
    assert {step["state"] for step in steps_of(ran).values()} == {"succeeded"}


def test_both_workers_trained_on_all_rows_and_it_is_as_good_as_lightgbm_alone(ran, given):
    artifacts = ran / "run" / "artifacts"
    data = [str(artifacts / "split_dataset" / side) for side in ("train", "test")]
    (ran / "alone.py").write_text(ALONE)
    alone = [
        HALLMARK,
        "env",
        "run",
        "ml",
        "--",
        "python",
        str(ran / "alone.py"),
        *data,
        json.dumps(given["parameters"]),
    ]
    done = subprocess.run(alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows, expected = done.stdout.split()
    steps = steps_of(ran)
    assert steps["evaluate_model"]["outputs"]["metrics"]["metadata"]["roc_auc"] == pytest.approx(
        float(expected), abs=0.001
    )
    assert steps["train_lightgbm"]["outputs"]["metrics"]["metadata"] == {
        "rows": int(rows),
        "workers": 2,
        "trees": 100,
    }
    # Were the rows those of one worker alone, as without tree_learner, the first split would divide half of them.
    text = next((artifacts / "train_lightgbm" / "model").rglob("model.lgb")).read_text()
    assert int(re.search(r"internal_count=(\d+)", text)[1]) == int(rows)
    assert "[num_machines: 2]" in text


def test_the_model_keeps_the_contract(ran):
    steps = steps_of(ran)
    model = ran / "run" / "artifacts" / "train_lightgbm" / "model"
    document = yaml.safe_load((model / "MLmodel").read_text())
    data = steps["split_dataset"]["outputs"]["train"]["metadata"]["digest"]
    loaded = steps["load_dataset"]["outputs"]["dataset"]["metadata"]
    about = document["metadata"]["hallmark"]
    assert about["datasets"] == [data, loaded["digest"], loaded["source_digest"]]
    assert (about["task"], about["classes"], about["positive_class"]) == ("binary", [0, 1], 1)
    assert "SEX" not in document["signature"]["inputs"]
    assert list(model.rglob("*.pkl")) == []


def test_ray_does_not_fill_the_log(ran):
    log = (ran / "run" / "logs" / "train_lightgbm.log").read_text()
    assert "[LightGBM]" not in log
    assert "pid=" not in log
    assert len(log) < 20_000


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with the example's lock, from uv's cache."""
    folder = tmp_path_factory.mktemp("machine")
    lock = ["--no-deps", "--require-hashes", "--requirement", str(EXAMPLES / "lightgbm_ray" / "requirements.lock")]
    subprocess.run([UV, "venv", "--quiet", "--seed", "--python", "3.11", str(folder / "python")], check=True)
    subprocess.run([UV, "pip", "install", "--quiet", "--python", str(folder / "python"), *lock], check=True)
    return folder / "python" / "bin"


@pytest.fixture(scope="module")
def cluster(python):
    """The address of a Ray cluster of two nodes with a core each, so that two workers are on both."""
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True))
        common = ["--num-cpus=1", "--object-store-memory=100000000", f"--plasma-directory={folder}", "--block"]

        def start_node(*arguments):
            node = subprocess.Popen(
                [python / "ray", "start", "--disable-usage-stats", *common, *arguments],
                env=os.environ | secret,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.callback(stop, node)
            told = []
            for line in node.stdout:
                told.append(line)
                if "To terminate the Ray runtime" in line:
                    break
            threading.Thread(target=node.stdout.read, daemon=True).start()
            return "".join(told)

        def stop(node):
            node.terminate()
            node.wait(timeout=60)

        told = start_node("--head", "--port=0", "--include-dashboard=false", f"--temp-dir={folder}")
        address = re.search(r"--address='([^']+)'", told)[1]
        start_node(f"--address={address}")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in secret.items():
                patch.setenv(name, value)
            yield address


@pytest.fixture(scope="module")
def machine(python):
    """Run a container's command as Vertex AI does."""

    def run(container):
        path = f"{python}{os.pathsep}{os.environ['PATH']}"
        # kfp.local puts the step's own Python wherever a step is given the word python3, also in the job's command.
        command = [word.replace(str(local.ensure("release")), "python3") for word in container.command]
        done = subprocess.run(
            [*command, *container.args],
            env=variables(python) | {"PATH": path},
            capture_output=True,
            text=True,
        )
        return (done.stdout + done.stderr).strip().splitlines()[-1] if done.returncode else None

    return run


def options(given, **training):
    place = {"project": "acme-ml", "location": "europe-west4", "machine_type": "n2-highmem-32"}
    limits = {name: value for name, value in given.items() if name.endswith("_limits")}
    asked = {"target": "employed", "excluded_columns": ["SEX"], "parameters": given["parameters"], **training}
    data = {"data_uri": given["data_uri"], "target": "employed", "sensitive_features": ["SEX"]}
    job = {"job_spec": {"service_account": "trainer@acme-ml.iam.gserviceaccount.com"}}
    return {**data, **limits, **place, **job, "training": asked}


def test_a_custom_job_trains_it_by_the_workers_of_a_cluster(fake, machine, cluster, given, tmp_path, ran):
    fake.machine = machine
    folder = copy_to(tmp_path)
    (folder / "lightgbm_ray" / "job.yaml").write_text(yaml.safe_dump(options(given, ray_address=cluster)))
    done = start(folder, "vertex", "--params", "job.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = fake.custom_jobs.values()
    (pool,) = job.job_spec.worker_pool_specs
    assert (pool.machine_spec.machine_type, pool.replica_count) == ("n2-highmem-32", 1)
    assert pool.container_spec.image_uri == "python:3.11"
    assert job.job_spec.service_account == "trainer@acme-ml.iam.gserviceaccount.com"
    steps = steps_of(tmp_path)
    outputs = steps["run_custom_job"]["outputs"]
    assert outputs["model"]["metadata"]["custom_job"] == job.name
    assert outputs["model"]["metadata"]["framework"] == "lightgbm"
    assert outputs["metrics"]["metadata"] == steps_of(ran)["train_lightgbm"]["outputs"]["metrics"]["metadata"]
    # The same model as by two workers of the step itself.
    scores = [found["evaluate_model"]["outputs"]["metrics"]["metadata"] for found in (steps, steps_of(ran))]
    assert scores[0] == scores[1]


@pytest.fixture
def short(tmp_path, given):
    """A folder with the short pipeline, and the command that runs it with what the training component is given."""
    folder = copy_to(tmp_path) / "lightgbm_ray"
    (folder / "short.py").write_text(SHORT)
    subprocess.run([sys.executable, "short.py"], cwd=folder, env=variables(tmp_path), check=True)

    def command(**training):
        parameters = {"data_uri": given["data_uri"], "training": {"excluded_columns": ["SEX"], **training}}
        (folder / "job.yaml").write_text(yaml.safe_dump(parameters))
        words = [HALLMARK, "run", "short.yaml", "--params", "job.yaml", "--output", str(tmp_path / "run")]
        return {"args": words, "cwd": folder, "env": variables(tmp_path)}

    return command


def test_a_refusal_is_told_in_a_sentence(fake, short, tmp_path):
    fake.fail("CreateCustomJob", "RESOURCE_EXHAUSTED", "The quota of n2 is used up.")
    assert subprocess.run(**short(target="employed"), capture_output=True).returncode == 1
    told = "Vertex AI must run the job; it answered RESOURCE_EXHAUSTED: The quota of n2 is used up."
    assert told in steps_of(tmp_path)["run_custom_job"]["reason"]


def test_a_job_whose_first_answer_is_lost_is_found_and_not_begun_again(fake, machine, short, tmp_path):
    fake.machine = machine
    fake.fail("CreateCustomJob", "DEADLINE_EXCEEDED", "Socket closed", after=True)
    done = subprocess.run(**short(target="MAR"), capture_output=True)
    assert done.returncode == 1
    assert fake.calls.count("CreateCustomJob") == 1
    (job,) = fake.custom_jobs.values()
    # The step followed the job that there is, to its end.
    told = f"The job {job.name} must succeed; it ended as JOB_STATE_FAILED: ValueError: target must have two classes"
    assert told in steps_of(tmp_path)["run_custom_job"]["reason"]
    assert re.fullmatch("[0-9a-f]{40}", job.labels["hallmark_step"])


def test_a_step_that_runs_again_takes_up_the_job_that_it_began(fake, machine, short, tmp_path):
    """The first attempt ends without knowing how its job does, as when its machine is taken away."""
    arrived, ended = threading.Event(), threading.Event()

    def slow(container):
        arrived.set()
        ended.wait(timeout=150)
        return machine(container)

    fake.machine = slow
    fake.fail("GetCustomJob", "PERMISSION_DENIED", "Not now.", times=1000)
    assert subprocess.run(**short(target="MAR"), capture_output=True).returncode == 1
    assert "PERMISSION_DENIED: Not now." in steps_of(tmp_path)["run_custom_job"]["reason"]
    assert arrived.is_set()
    shutil.rmtree(tmp_path / "run")
    fake.faults.clear()
    asked = fake.arrival("GetCustomJob")
    with subprocess.Popen(**short(target="MAR"), stdout=-1, stderr=-1) as process:
        assert asked.wait(timeout=150)
        ended.set()
        process.communicate()
    (job,) = fake.custom_jobs.values()
    told = f"The job {job.name} must succeed; it ended as JOB_STATE_FAILED: ValueError: target must have two classes"
    assert told in steps_of(tmp_path)["run_custom_job"]["reason"]


def test_a_job_that_failed_is_told_and_begun_anew_when_the_step_runs_again(fake, machine, short, tmp_path):
    fake.machine = machine
    for _ in range(2):
        assert subprocess.run(**short(target="MAR"), capture_output=True).returncode == 1
        ended = f"The job {[*fake.custom_jobs][-1]} must succeed; it ended as JOB_STATE_FAILED: ValueError: "
        assert f"{ended}target must have two classes" in steps_of(tmp_path)["run_custom_job"]["reason"]
        shutil.rmtree(tmp_path / "run")
    first, second = fake.custom_jobs.values()
    assert first.labels == second.labels


def test_a_step_that_is_cancelled_ends_its_job(fake, short):
    arrived, held = threading.Event(), threading.Event()

    def machine(container):
        arrived.set()
        held.wait(timeout=150)

    fake.machine = machine
    with subprocess.Popen(**short(target="employed"), stdout=-1, stderr=-1) as process:
        assert arrived.wait(timeout=150)
        process.send_signal(signal.SIGINT)
        process.communicate()
    held.set()
    (job,) = fake.custom_jobs.values()
    assert job.state.name == "JOB_STATE_CANCELLED"


def test_the_lock_is_of_what_the_component_names():
    source = (EXAMPLES / "lightgbm_ray" / "training.py").read_text().partition("def train_lightgbm")[0]
    asked = (EXAMPLES / "lightgbm_ray" / "requirements.in").read_text().splitlines()[1:]
    assert asked == ["kfp==2.17.0", *re.findall(r'"([a-z-]+==[0-9.]+)"', source)]
    lock = (EXAMPLES / "lightgbm_ray" / "requirements.lock").read_text()
    assert set(asked) <= set(re.findall(r"^([a-z-]+==[0-9.]+) ", lock, re.MULTILINE))


def test_it_is_fit_for_vertex(tmp_path):
    folder = copy_to(tmp_path)
    for name in ("training", "vertex"):
        subprocess.run([sys.executable, f"{name}.py"], cwd=folder / "lightgbm_ray", check=True)
        command = [HALLMARK, "lint", "--backend", "vertex", "--ignore", "HM502", "--strict", f"{name}.yaml"]
        done = subprocess.run(command, cwd=folder / "lightgbm_ray", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
