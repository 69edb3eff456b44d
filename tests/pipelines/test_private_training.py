"""A pipeline with a private training, run again and again: what is spent, and what is not spent twice."""

from pathlib import Path

import pytest
from kfp import compiler, dsl

from kfp_hallmark import components

CENSUS = Path(__file__).resolve().parents[2] / "examples" / "acs_employment" / "2015.parquet"
OTHERS = ["RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM", "RAC1P", "SCHL", "MAR"]


@pytest.fixture(scope="module")
def runs(start, tmp_path_factory):
    """Three runs alike and the lines of the ledger after each; it is lost and begun anew before the last."""
    folder = tmp_path_factory.mktemp("private")
    ledger = folder / "privacy.jsonl"

    @dsl.pipeline(name="private-training")
    def private_training(uri: str):
        data = components.load_dataset(uri=uri)
        trained = components.train_model(
            dataset=data.outputs["dataset"],
            target="employed",
            estimator="interpret.privacy.DPExplainableBoostingClassifier",
            estimator_parameters={"max_rounds": 5},
            excluded_columns=OTHERS,
            privacy={
                "epsilon": 1.0,
                "delta": 1e-6,
                "bounds": {"AGEP": [16, 95]},
                "categories": {"SEX": [1, 2]},
                "ledger": str(ledger),
            },
        )
        components.privacy_gate(
            model=trained.outputs["model"],
            privacy={"ledger": str(ledger)},
            limits={"max_epsilon": 1.0, "max_delta": 1e-6},
        )

    compiler.Compiler().compile(private_training, str(folder / "pipeline.yaml"))
    found = []
    for number in range(3):
        if number != 1:
            ledger.write_bytes(b"")
        run = start(
            folder / f"run{number}", folder / "state", "--set", f"uri={CENSUS}", pipeline=folder / "pipeline.yaml"
        )
        found.append((run, len(ledger.read_text().splitlines())))
    return found


def test_a_training_spends_once(runs):
    run, lines = runs[0]
    assert run.step("train_model")["state"] == "succeeded", run.stdout + run.stderr
    assert run.step("privacy_gate")["outputs"]["status"] == "pass"
    assert lines == 1


def test_a_reused_training_is_the_same_model_and_spends_nothing(runs):
    (first, _), (run, lines) = runs[:2]
    assert run.step("train_model")["state"] == "reused"
    assert run.step("train_model")["outputs"]["digest"] == first.step("train_model")["outputs"]["digest"]
    assert run.step("privacy_gate")["state"] == "succeeded"
    assert run.step("privacy_gate")["outputs"]["status"] == "pass"
    assert lines == 1


def test_a_reused_training_that_the_ledger_does_not_know_fails_the_gate(runs):
    run, lines = runs[2]
    assert run.step("train_model")["state"] == "reused"
    assert run.step("privacy_gate")["outputs"]["status"] == "fail"
    assert lines == 0
