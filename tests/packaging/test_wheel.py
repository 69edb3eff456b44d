"""The wheel, installed alone into a fresh environment, does what the README says of it."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).resolve().parents[2]

PIPELINE = """
from kfp import compiler, dsl
from kfp_hallmark import components

@dsl.pipeline(name="mine")
def mine(data_uri: str, target: str):
    load = components.load_dataset(uri=data_uri)
    split = components.split_dataset(dataset=load.outputs["dataset"], target=target)
    components.train_model(dataset=split.outputs["train"], target=target)

compiler.Compiler().compile(mine, "mine.yaml")
"""


PYTHONS = ("3.11", "3.12", "3.13")
"""The Pythons that the SDK supports."""


@pytest.fixture(scope="module")
def wheel(copy_checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    # From a copy, because building in the checkout would leave build folders in it.
    source = copy_checkout(tmp_path_factory.mktemp("source"))
    subprocess.run([uv.find_uv_bin(), "build", "-q", "--wheel", "-o", folder, source], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module", params=PYTHONS)
def python(request, wheel, tmp_path_factory):
    """Return the Python of a fresh environment that holds the wheel and what it needs."""
    found = subprocess.run([uv.find_uv_bin(), "python", "find", "--no-python-downloads", request.param])
    if found.returncode:
        pytest.skip(f"Python {request.param} is not on this machine")
    environment = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([uv.find_uv_bin(), "venv", "-q", "-p", request.param, environment], check=True)
    subprocess.run([uv.find_uv_bin(), "pip", "install", "-q", "-p", environment, wheel], check=True)
    return environment / "bin" / "python"


def run(*command, cwd):
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=True).stdout


def test_holds_what_is_not_python(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for wanted in (
        "kfp_hallmark/py.typed",
        "kfp_hallmark/reports/page.css",
        "kfp_hallmark/_resources/compiled/components/train_model.yaml",
        "kfp_hallmark/_resources/compiled/pipelines/governed_training.vertex.yaml",
        "kfp_hallmark/_resources/environments/ml/requirements.lock",
        "kfp_hallmark/_resources/environments/Dockerfile",
        "kfp_hallmark/components/training/train_model/train.py",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "examples/", "components/"))]


def test_a_users_pipeline_compiles(python, tmp_path):
    (tmp_path / "mine.py").write_text(PIPELINE)
    run(python, "mine.py", cwd=tmp_path)
    assert "comp-train-model" in (tmp_path / "mine.yaml").read_text()


def test_the_command_works(python, tmp_path):
    hallmark = python.parent / "hallmark"
    assert "train_model" in run(hallmark, "list", cwd=tmp_path)
    assert "sensitive_features" in run(hallmark, "show", "governed_training", cwd=tmp_path)


def test_resources_are_found(python, tmp_path):
    code = "from kfp_hallmark.resources import resource; print(resource('compiled', 'components').is_dir())"
    assert run(python, "-c", code, cwd=tmp_path).strip() == "True"


def test_every_python_compiles_to_the_same_bytes(python, tmp_path):
    code = """if True:
        from kfp_hallmark import compiling
        from kfp_hallmark.resources import resource
        files = [file for file in compiling.generated() if file.path.parts[0] == "compiled"]
        print(len(files), sum(resource(*file.path.parts).read_bytes() == file.content for file in files))
    """
    count, same = run(python, "-c", code, cwd=tmp_path).split()
    assert count == same
    assert int(count) > 13
