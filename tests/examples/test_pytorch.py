"""The example of a training component of a user's own, run as its page says: in an environment that is made for it."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PYPI = "https://pypi.org/simple"
CPU = "https://download.pytorch.org/whl/cpu"


def torch_index():
    """PyTorch's index of CPU files where it answers; else PyPI's, where pip's own settings may name files beside it."""
    try:
        with urllib.request.urlopen(f"{CPU}/torch/", timeout=20):
            return CPU
    except OSError:
        return PYPI


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of the example."""
    folder = tmp_path_factory.mktemp("pytorch")
    shutil.copytree(EXAMPLES / "pytorch", folder / "pytorch")
    (folder / "acs_employment").symlink_to(EXAMPLES / "acs_employment")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    variables["HALLMARK_HOME"] = str(folder / "home")
    # pip reads this variable the other way round: 0 is not to compile, which halves the time of an installation.
    variables |= {"TORCH_INDEX": torch_index(), "PIP_NO_COMPILE": "0"}
    hallmark = str(Path(sys.executable).parent / "hallmark")
    start = [hallmark, "run", "training.yaml", "--params", "parameters.yaml", "--output", str(folder / "run")]
    for command in ([sys.executable, "training.py"], start):
        done = subprocess.run(command, cwd=folder / "pytorch", env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


def test_the_gates_judge_a_network(run):
    document = json.loads((run / "run.json").read_text())
    assert document["decision"]["outcome"] == "release", document["decision"]["reasons"]
    assert {entry["gate"]: entry["status"] for entry in document["verdicts"]}.keys() == {
        "validate_dataset",
        "performance_gate",
        "fairness_gate",
        "robustness_gate",
    }
    steps = {step["name"]: step for step in document["steps"]}
    assert {step["state"] for step in steps.values()} == {"succeeded"}
    assert steps["evaluate_model"]["outputs"]["metrics"]["metadata"]["roc_auc"] > 0.88


def test_the_model_keeps_the_contract(run):
    model = run / "artifacts" / "train_network" / "model"
    document = yaml.safe_load((model / "MLmodel").read_text())
    about = document["metadata"]["hallmark"]
    steps = {step["name"]: step for step in json.loads((run / "run.json").read_text())["steps"]}
    data = steps["split_dataset"]["outputs"]["train"]["metadata"]["digest"]
    loaded = steps["load_dataset"]["outputs"]["dataset"]["metadata"]
    assert about["datasets"] == [data, loaded["digest"], loaded["source_digest"]]
    assert (about["task"], about["target"], about["classes"], about["positive_class"]) == (
        "binary",
        "employed",
        [0, 1],
        1,
    )
    assert "SEX" not in document["signature"]["inputs"]
    assert "torch" not in (model / "requirements.txt").read_text()
    assert list(model.rglob("*.pkl")) == []


def test_networks_of_other_seeds_are_compared_with_it(run):
    folder = run / "artifacts" / "train_network" / "retrained"
    stated = {
        place.name: yaml.safe_load((place / "MLmodel").read_text())["metadata"]["hallmark"]["seed"]
        for place in folder.iterdir()
    }
    assert stated == {f"seed_{seed}": seed for seed in range(1, 6)}
    verdict = json.loads((run / "artifacts" / "robustness_gate" / "verdict").read_text())
    (check,) = (check for check in verdict["checks"] if check["name"] == "retraining_flip_rate")
    assert check["status"] == "pass", check["message"]
    assert check["scope"] == {"retrainings": "5"}
    assert 0 < check["observed"] < 0.1
