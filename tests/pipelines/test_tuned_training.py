"""The pipeline that searches by several steps at once, on real data, in local environments and in containers."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from fakes.mlflow_server import serving

HALLMARK = str(Path(sys.executable).parent / "hallmark")
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


def kill_run(process, folder):
    """Kill a run with all its processes at once, as when the machine stops; they have the folder in their variables."""
    process.kill()
    for found in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (found / "environ").read_bytes() and int(found.name) != process.pid:
                os.kill(int(found.name), signal.SIGKILL)


def noted(database):
    """Return the runs of searches and of trials: identifier to status, and search to its trials with their starts."""
    query = (
        "select r.run_uuid, r.status, r.start_time, t.value from runs r join tags t using (run_uuid) where t.key = ?"
    )
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as store:
        searches = {run: status for run, status, _, _ in store.execute(query, ["hallmark.search"])}
        parents = {run: parent for run, _, _, parent in store.execute(query, ["mlflow.parentRunId"])}
        trials = {
            run: (parents[run], json.loads(trial)["place"])
            for run, _, _, trial in store.execute(query, ["hallmark.trial"])
        }
    return searches, trials


@pytest.mark.parametrize("platform", ["local"], indirect=True)
def test_a_run_that_is_killed_goes_on_with_its_searches_and_finds_the_same(tuned, tmp_path):
    killed, store = tmp_path / "killed", tmp_path / "store"
    variables = {**os.environ, "HALLMARK_HOME": str(killed), "COLUMNS": "140"}
    for folder in (killed, store):
        folder.mkdir()
    with serving(store) as relay:
        command = [HALLMARK, "run", "tuned_training", "--params", str(EXAMPLE), "--set", f"tracking_uri={relay.uri}"]

        def begin(name):
            output = ["--output", str(tmp_path / name)]
            return subprocess.Popen(
                [*command, *output], cwd=killed, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )

        first = begin("first")
        made = Counter()

        def count():
            made["runs"] += 1
            if made["runs"] == 9:  # of 16: one a shard, and a few trials of each
                kill_run(first, killed)
            else:
                relay.at("POST /api/2.0/mlflow/runs/create", count)

        count()
        first.communicate()
        assert first.returncode == -signal.SIGKILL
        searches, before = noted(store / "mlflow.db")
        assert set(searches.values()) == {"RUNNING"}
        assert 0 < len(before) < 14
        second = begin("second")
        told, _ = second.communicate()
        assert second.returncode == 0, told.decode()
    again, after = noted(store / "mlflow.db")
    assert again == dict.fromkeys(searches, "FINISHED")
    assert before.items() <= after.items()
    assert sorted(after.values()) == sorted((search, place) for search in searches for place in range(7))
    document = json.loads((tmp_path / "second" / "run.json").read_text())
    steps = {step["name"]: step for step in document["steps"]}
    assert steps["split_dataset"]["state"] == "reused"
    assert steps["choose_parameters"]["outputs"] == tuned.step("choose_parameters")["outputs"]
