"""Small models and verdicts that any test may make."""

import json
from pathlib import Path

import pytest

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import now
from kfp_hallmark.contracts.verdict import Check, Status, Verdict

SOURCE, TRAIN, TEST = ("sha256:" + digit * 64 for digit in "123")


@pytest.fixture
def write_model():
    """Write a folder that reads as an MLflow model trained from the digests TRAIN and SOURCE."""

    def write(path, weights="0.5 -1.25", datasets=(TRAIN, SOURCE)):
        path = Path(path)
        (path / "data").mkdir(parents=True)
        (path / "data" / "weights.txt").write_text(weights)
        metadata = {"hallmark": {"task": "binary", "datasets": list(datasets), "experiment_hash": "sha256:" + "e" * 64}}
        flavors = {"python_function": {"loader_module": "weights", "data": "data"}}
        (path / "MLmodel").write_text(json.dumps({"flavors": flavors, "metadata": metadata}))
        return path

    return write


@pytest.fixture
def write_verdict():
    """Write a verdict with one check whose limit of 0.1 is kept or not, as its status says."""

    def write(path, gate, subjects, status="pass", created=None):
        observed = {"pass": 0.02, "warn": 0.04, "fail": 0.31, "inconclusive": None}[status]
        check = Check(f"{gate}_difference", Status(status), observed=observed, maximum=0.1, samples=20636)
        Verdict(gate, subjects, [check], {"max_difference": 0.1}, created or now()).write(path)
        return Path(path)

    return write


@pytest.fixture
def judged_model(tmp_path, write_model, write_verdict):
    """A model with a passing verdict of each gate that governed training asks for: the model's folder and the files."""
    model = write_model(tmp_path / "model")
    about = {"model": artifact_digest(model), "dataset": TEST}
    verdicts = {
        "validate_dataset": {"dataset": TEST, "baseline": TRAIN},
        "performance_gate": about,
        "fairness_gate": about,
    }
    return model, {gate: write_verdict(tmp_path / f"{gate}.json", gate, of) for gate, of in verdicts.items()}
