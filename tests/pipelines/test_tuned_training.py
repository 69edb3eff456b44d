"""The pipeline that searches by several steps at once, on real data, in local environments and in containers."""

import sqlite3
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "acs_employment" / "tuned.yaml"


@pytest.fixture(scope="module")
def tuned(start, platform, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"tuned-{platform}")
    arguments = ("--params", EXAMPLE, "--platform", platform)
    return start(folder / "run", folder / "state", *arguments, pipeline="tuned_training")


def test_every_shard_searches_and_the_best_is_trained(tuned):
    assert tuned.exit_code == 0, tuned.stdout + tuned.stderr
    shards = [tuned.step(f"tune_model[{shard}]")["outputs"] for shard in (0, 1)]
    best = max(shards, key=lambda outputs: outputs["score"])
    chosen = tuned.step("choose_parameters")["outputs"]
    assert chosen == {
        "best_parameters": best["parameters"],
        "best_score": best["score"],
        "best_shard": shards.index(best),
    }
    assert len({outputs["metrics"]["metadata"]["default_roc_auc"] for outputs in shards}) == 1
    assert best["score"] > best["metrics"]["metadata"]["default_roc_auc"]
    assert tuned.step("evaluate_model")["outputs"]["metrics"]["metadata"]["roc_auc"] > 0.88


def test_the_model_has_the_chosen_parameters(tuned):
    chosen = tuned.step("choose_parameters")["outputs"]["best_parameters"]
    with sqlite3.connect(tuned.state / "mlflow" / "mlflow.db") as database:
        run_id = tuned.step("train_model")["outputs"]["run_id"]
        logged = dict(database.execute("select key, value from params where run_uuid = ?", [run_id]).fetchall())
    assert len(chosen) == 5
    assert {name: float(logged[name]) for name in chosen} == pytest.approx(chosen)
    assert logged["max_iter"] == "60"
