"""`hallmark compile PIPELINE`, as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kfp_hallmark.environments import ENVIRONMENTS, image, lock

SETTINGS = """
[images]
registry = "ghcr.io/acme"
[vertex.machines.train_modle]
cpu_limit = "8"
"""


@pytest.fixture
def hallmark(tmp_path):
    def call(*arguments, **variables):
        command = [str(Path(sys.executable).parent / "hallmark"), "compile", *map(str, arguments)]
        environment = os.environ | {"COLUMNS": "200"} | variables
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return call


@pytest.fixture
def folder(tmp_path):
    """A working folder with settings, and images pinned in two registries."""
    (tmp_path / "hallmark.toml").write_text(SETTINGS)
    references = [
        f"{registry}/{image(name).rpartition('/')[2]}"
        for registry in ("ghcr.io/acme", "quay.io/acme")
        for name in ENVIRONMENTS
    ]
    pins = {reference: f"{lock.repository(reference)}@sha256:{'5' * 64}" for reference in references}
    lock.write(tmp_path / "images.lock.json", pins)
    return tmp_path


def images(text):
    spec = next(yaml.safe_load_all(text))
    return {executor["container"]["image"] for executor in spec["deploymentSpec"]["executors"].values()}


def test_a_folder_is_not_replaced(hallmark, folder):
    (folder / "out").mkdir()
    (folder / "out" / "mine.txt").write_text("mine")
    done = hallmark("governed_training", "--platform", "vertex", "-o", "out")
    assert done.returncode == 2
    assert "--output must be a file, or not there yet; got 'out'." in done.stderr
    assert (folder / "out" / "mine.txt").read_text() == "mine"


def test_to_standard_output_by_the_settings_here(hallmark, folder):
    done = hallmark("governed_training", "--platform", "kubeflow")
    assert done.returncode == 0, done.stderr
    assert {name.partition("@")[0] for name in images(done.stdout)} == {
        f"ghcr.io/acme/{name}" for name in ("data", "ml", "release")
    }
    assert done.stderr == ""


def test_to_a_file_with_everything_named(hallmark, folder):
    other = folder / "other"
    other.mkdir()
    (folder / "images.lock.json").rename(other / "pins.json")
    (folder / "hallmark.toml").rename(other / "settings.toml")
    options = ("--registry", "quay.io/acme", "--images", other / "pins.json", "--settings", other / "settings.toml")
    done = hallmark("governed_training", "--platform", "vertex", *options, "-o", "out/flow.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "wrote out/flow.yaml" in done.stderr
    assert "Note: vertex.machines.train_modle names no size and no component of governed_training." in done.stderr
    assert all(name.startswith("quay.io/acme/") for name in images((folder / "out" / "flow.yaml").read_text()))


def test_a_module_of_the_user_s_own_and_its_yaml_are_alike(hallmark, folder):
    (folder / "flows.py").write_text(
        "from kfp import dsl\nfrom kfp_hallmark import components\n\n"
        "@dsl.pipeline(name='acme')\ndef acme():\n    components.load_dataset(uri='x')\n\n"
        "if __name__ == '__main__':\n    from kfp import compiler\n"
        "    compiler.Compiler().compile(acme, 'acme.yaml')\n"
    )
    subprocess.run([sys.executable, "flows.py"], cwd=folder, check=True)
    by_module, by_file = (hallmark(name, "--platform", "kubeflow") for name in ("flows:acme", "acme.yaml"))
    assert by_module.returncode == 0, by_module.stderr
    assert by_module.stdout == by_file.stdout
    assert "retryPolicy" in by_module.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["governed_trainin", "--platform", "vertex"], "Did you mean 'governed_training'?"),
        (["governed_training"], "--platform must be kubeflow or vertex; got none."),
        (["governed_training", "--platform", "vertx"], "Did you mean 'vertex'?"),
        (["governed_training", "--platform", "vertex", "--registry", "else.io/x"], "must be pinned by its digest"),
        (["governed_training", "--platform", "vertex", "--images", "none.json"], "'none.json' is not there"),
        (["governed_training", "--platform", "vertex", "--settings", "none.toml"], "must be a file; got 'none.toml'"),
        (["governed_training", "--check"], "--check must be without PIPELINE"),
        (["--platform", "vertex"], "PIPELINE must be given"),
    ],
)
def test_wrong_usage_writes_nothing(hallmark, folder, arguments, message):
    output = [] if "--check" in arguments else ["-o", "out.yaml"]
    done = hallmark(*arguments, *output)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "out.yaml").exists()


def test_a_wrong_variable_is_told(hallmark, folder):
    done = hallmark("governed_training", "--platform", "vertex", HALLMARK_VERTEX_PROJEKT="x")
    assert done.returncode == 2
    assert "Did you mean 'HALLMARK_VERTEX_PROJECT'?" in done.stderr
