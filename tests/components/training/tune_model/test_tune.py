import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import numpy
import pandas
import pytest
from mlflow.tracking import MlflowClient
from sklearn.metrics import log_loss, roc_auc_score

from kfp_hallmark.components.training.tune_model.folds import make_folds, read_keys
from kfp_hallmark.components.training.tune_model.ledger import Ledger, _search_run
from kfp_hallmark.components.training.tune_model.trial import Trial
from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.tracking import runs_with_tag
from kfp_hallmark.training.estimators import make_estimator
from kfp_hallmark.training.features import choose_columns, make_pipeline, read_features

ACS = Path(__file__).resolve().parents[4] / "examples" / "acs_employment"
BOOSTING = "sklearn.ensemble.HistGradientBoostingClassifier"

# It kills the process of the search, or its own, at a certain fit, once.
KILLER = """
import os, signal
from sklearn.linear_model import LogisticRegression

class Killer(LogisticRegression):
    def fit(self, X, y):
        with open(os.environ["FITS"], "a") as file:
            file.write("x")
        if os.path.getsize(os.environ["FITS"]) == int(os.environ["LAST"]) and os.environ["VICTIM"] != "nobody":
            os.kill(os.getppid() if os.environ["VICTIM"] == "search" else os.getpid(), signal.SIGKILL)
        return super().fit(X, y)
"""

SEARCH = """
import json, sys
from kfp import dsl
from kfp_hallmark.components.training.tune_model.tune import Request, tune
from kfp_hallmark.errors import EnvironmentFailure

if __name__ == "__main__":
    data, store, out, request = sys.argv[1:]
    try:
        outputs = dsl.Metrics(uri=out + ".m"), dsl.HTML(uri=out)
        found = tune(dsl.Dataset(uri=data), *outputs, Request(**json.loads(request)), "kill", store, 2)
        print("FOUND", json.dumps(found))
    except EnvironmentFailure as error:
        print("FAILED", error)
"""


def trials_of(store, run_id):
    """Return the runs below a search's run, with their trials."""
    client = MlflowClient(tracking_uri=store)
    above = client.get_run(run_id)
    runs = runs_with_tag(client, above.info.experiment_id, "mlflow.parentRunId", run_id)
    return above, [(run, Trial.from_text(run.data.tags["hallmark.trial"])) for run in runs]


def sides(path, count, seed):
    """Return the rows that are trained on and scored, for each fold."""
    label = pandas.read_parquet(path)["bought"].to_numpy()
    folds = make_folds(count, label, read_keys(str(path), None, None), "binary", seed)
    return [folds.sides(number) for number in folds.numbers]


def model_on(path, parameters, excluded, rows=None, target="employed", estimator=BOOSTING):
    columns = choose_columns(path, target, excluded)
    frame = read_features(path, columns)
    label = pandas.read_parquet(path)[target].to_numpy()
    rows = numpy.ones(len(label), dtype=bool) if rows is None else rows
    pipeline = make_pipeline(make_estimator(estimator, parameters, 0), columns, frame[rows])
    return pipeline.fit(frame[rows], label[rows]), frame, label


def test_a_small_search_improves_on_the_default_on_rows_of_another_year(search):
    frame = pandas.read_parquet(ACS / "2015.parquet").head(2000)
    space = {
        "learning_rate": {"type": "float", "low": 0.01, "high": 0.5, "log": True},
        "max_leaf_nodes": {"type": "int", "low": 3, "high": 63, "log": True},
        "min_samples_leaf": {"type": "int", "low": 5, "high": 100},
    }
    found = search(
        frame,
        target="employed",
        search_space=space,
        estimator=BOOSTING,
        estimator_parameters={"max_iter": 40},
        excluded_columns=["SEX"],
        trials=12,
        parallel_trials=4,
    )
    assert found.score > found.metrics["default_roc_auc"]
    scores = []
    for parameters in ({"max_iter": 40}, found.parameters):
        model, _, _ = model_on(found.path, parameters, ["SEX"])
        other = pandas.read_parquet(ACS / "2016.parquet")
        rows = other[model.feature_names_in_].astype(float)
        scores.append(roc_auc_score(other["employed"], model.predict_proba(rows)[:, 1]))
    assert scores[1] > scores[0] + 0.002


def test_the_scores_are_those_of_scikit_learn(search, shoppers, store):
    found = search(shoppers, metric="log_loss", folds=4, seed=3)
    _, below = trials_of(store, found.run_id)
    for _, trial in below:
        expected = []
        for rows, scored in sides(found.path, 4, 3):
            model, frame, label = model_on(
                found.path,
                trial.parameters,
                ["household", "day"],
                rows,
                "bought",
                "sklearn.linear_model.LogisticRegression",
            )
            expected.append(log_loss(label[scored], model.predict_proba(frame[scored])[:, 1]))
        assert trial.scores == pytest.approx(expected)
    assert found.score == min(trial.score for _, trial in below)


def test_the_number_of_processes_changes_nothing(search, shoppers):
    options = {"trials": 6, "parallel_trials": 3, "pruner": "median"}
    first, second = search(shoppers, processes=1, **options), search(shoppers, processes=2, **options)
    assert (first.parameters, first.score) == (second.parameters, second.score)
    assert first.run_id != second.run_id


KILLED = {"estimator": "killer.Killer", "trials": 9, "parallel_trials": 2, "outer_folds": 2}


@pytest.fixture
def killer(tmp_path, shoppers, request_of, new_store, monkeypatch):
    """Search in a process of its own with an estimator that kills."""
    (tmp_path / "killer.py").write_text(KILLER)
    (tmp_path / "search.py").write_text(SEARCH)
    shoppers.to_parquet(tmp_path / "data.parquet", index=False)
    store = new_store(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(victim, last):
        command = [sys.executable, str(tmp_path / "search.py"), str(tmp_path / "data.parquet"), store]
        command += [str(tmp_path / "report.html"), json.dumps(asdict(request_of(**KILLED)))]
        variables = {"VICTIM": victim, "LAST": str(last), "FITS": str(tmp_path / "fits")}
        variables["PYTHONPATH"] = os.pathsep.join(sys.path)
        return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)

    run.store = store
    return run


def test_a_search_that_is_killed_goes_on_and_finds_the_same(search, killer, shoppers, store, tmp_path, monkeypatch):
    """Ten trials on three folds; for two outer folds twice as many more, and each best one scored."""
    # The kill is in the search without the first outer fold.
    assert killer("search", 50).returncode == -signal.SIGKILL
    assert not (tmp_path / "report.html").exists()
    resumed = killer("nobody", 0)
    found = json.loads(resumed.stdout.rpartition("FOUND ")[2])
    # Only the two trials that were on the way, and two that were not noted yet, were tried again.
    assert 92 <= (tmp_path / "fits").stat().st_size <= 92 + 4 * 3
    for name, value in (("VICTIM", "nobody"), ("LAST", "0"), ("FITS", str(tmp_path / "fits-whole"))):
        monkeypatch.setenv(name, value)
    whole = search(shoppers, **KILLED)
    assert (tmp_path / "fits-whole").stat().st_size == 92
    assert found[:2] == [whole.parameters, whole.score], resumed.stderr
    above, below = trials_of(killer.store, found[2])
    assert above.info.status == "FINISHED"
    assert {run.info.status for run, _ in below} == {"FINISHED"}
    assert len(below) == 32
    same, again = (
        {(trial.search, trial.place): (trial.parameters, trial.scores) for _, trial in runs}
        for runs in (trials_of(store, whole.run_id)[1], below)
    )
    assert len(same) == 32
    assert again == same


# It begins when it is told to.
AT_ONCE = """
import sys

import mlflow.tracking

if __name__ == "__main__":
    from search import main

    print("READY", flush=True)
    sys.stdin.readline()
    main(sys.argv[1:])
"""


def test_two_same_searches_at_once_note_each_trial_once(search, shoppers, request_of, new_store, tmp_path):
    (tmp_path / "search.py").write_text(
        SEARCH.replace('if __name__ == "__main__":', "def main(given):", 1).replace("sys.argv[1:]", "given")
    )
    (tmp_path / "at_once.py").write_text(AT_ONCE)
    shoppers.to_parquet(tmp_path / "data.parquet", index=False)
    store = new_store(tmp_path)
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    request = request_of(trials=12, parallel_trials=1, outer_folds=2)
    commands = [
        [
            sys.executable,
            *map(str, (tmp_path / "at_once.py", tmp_path / "data.parquet", store, tmp_path / f"{number}.html")),
        ]
        for number in range(2)
    ]
    both = [
        subprocess.Popen(
            [*command, json.dumps(asdict(request))],
            env=variables,
            stdin=-1,
            stdout=-1,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    ]
    for process in both:
        while process.stdout.readline() not in ("READY\n", ""):
            pass
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate()[0] for process in both]
    first, second = (json.loads(text.rpartition("FOUND ")[2]) for text in told)
    assert first == second
    above, below = trials_of(store, first[2])
    client = MlflowClient(tracking_uri=store)
    searches = runs_with_tag(client, above.info.experiment_id, "hallmark.search", above.data.tags["hallmark.search"])
    assert [run.info.run_id for run in searches] == [first[2]]
    assert above.info.status == "FINISHED"
    assert {run.info.status for run, _ in below} == {"FINISHED"}
    places = sorted((trial.search, trial.place) for _, trial in below)
    assert places == sorted(set(places))
    assert len(places) == 3 * 13 + 2
    for run, trial in below:
        told_of = client.get_metric_history(run.info.run_id, "fold_roc_auc")
        assert sorted((each.step, each.value) for each in told_of) == list(enumerate(trial.scores))


class Overtaken:
    """A client of the store before whose next run is made something else happens."""

    def __init__(self, client, event):
        self.client, self.event = client, event

    def __getattr__(self, name):
        return getattr(self.client, name)

    def create_run(self, *arguments, **options):
        self.event()
        return self.client.create_run(*arguments, **options)


@pytest.mark.parametrize("number", range(4))
def test_a_trial_that_another_notes_at_the_same_moment_stands_once(new_store, tmp_path, number):
    """Which of both is kept hangs on their random ids, so it is tried several times."""
    store = new_store(tmp_path)
    mine, theirs = (Ledger.open(store, "tests", "sha256:1", "roc_auc", {"folds": 3}) for _ in range(2))
    assert mine.run_id == theirs.run_id
    trial = Trial(0, 3, {"C": 0.5}, scores=(0.5, 0.75), seconds=1.25)
    mine.client = Overtaken(mine.client, lambda: theirs.note(trial))
    mine.note(trial)
    ((run, found),) = trials_of(store, mine.run_id)[1]
    assert (found, run.info.status, run.data.params) == (trial, "FINISHED", {"C": "0.5"})
    assert len(theirs.client.get_metric_history(run.info.run_id, "fold_roc_auc")) == 2
    theirs.end({}, {})
    assert [each.info.run_id for each, _ in trials_of(store, mine.run_id)[1]] == [run.info.run_id]


def test_a_trial_that_another_noted_is_not_noted_again(new_store, tmp_path):
    store = new_store(tmp_path)
    mine, theirs = (Ledger.open(store, "tests", "sha256:1", "roc_auc", {}) for _ in range(2))
    mine.note(Trial(0, 3, {"C": 0.5}, scores=(0.5,), seconds=1.0))
    theirs.note(Trial(0, 3, {"C": 0.5}, scores=(0.5,), seconds=9.0))
    ((_, found),) = trials_of(store, mine.run_id)[1]
    assert found.seconds == 1.0


def test_a_trial_whose_maker_was_killed_before_it_was_described_is_described_in_the_end(new_store, tmp_path):
    store = new_store(tmp_path)
    mine, theirs = (Ledger.open(store, "tests", "sha256:1", "roc_auc", {}) for _ in range(2))
    trial = Trial(0, 3, {"C": 0.5}, scores=(0.5,), seconds=1.0)
    mine._make(trial)
    theirs.note(trial)
    theirs.end({}, {})
    ((run, found),) = trials_of(store, mine.run_id)[1]
    assert (found, run.info.status, run.data.metrics["roc_auc"]) == (trial, "FINISHED", 0.5)


def test_of_two_searches_that_begin_at_once_one_run_stays(new_store, tmp_path):
    store = new_store(tmp_path)
    client = MlflowClient(tracking_uri=store)
    folder, found = client.create_experiment("both"), []
    overtaken = Overtaken(client, lambda: found.append(_search_run(client, folder, "sha256:1")))
    found.append(_search_run(overtaken, folder, "sha256:1"))
    assert len(set(found)) == 1
    assert [run.info.run_id for run in runs_with_tag(client, folder, "hallmark.search", "sha256:1")] == found[:1]


# Its first fit goes on when another one, in another process, is under way.
MEETER = """
import os, socket
from sklearn.linear_model import LogisticRegression

class Meeter(LogisticRegression):
    def fit(self, X, y):
        with socket.create_connection(("127.0.0.1", int(os.environ["MEETING"]))) as meeting:
            meeting.sendall(os.getpid().to_bytes(8))
            assert meeting.recv(1)
        return super().fit(X, y)
"""


def test_trials_are_on_the_way_at_once(search, shoppers, tmp_path, monkeypatch):
    (tmp_path / "meeter.py").write_text(MEETER)
    monkeypatch.syspath_prepend(str(tmp_path))
    processes, arrived = [], threading.Barrier(2, timeout=60)

    class Meeting(socketserver.BaseRequestHandler):
        def handle(self):
            processes.append(int.from_bytes(self.request.recv(8)))
            if len(processes) <= 2:
                arrived.wait()
            self.request.sendall(b"1")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Meeting) as server:
        monkeypatch.setenv("MEETING", str(server.server_address[1]))
        threading.Thread(target=server.serve_forever).start()
        try:
            search(shoppers, processes=2, estimator="meeter.Meeter", folds=2)
        finally:
            server.shutdown()
    assert len(set(processes)) == 2
    assert os.getpid() not in processes
    assert len(processes) == 10


def test_a_process_that_is_killed_ends_the_search_with_a_hint(killer):
    done = killer("worker", 8)
    assert "FAILED A process that tries parameters must end by itself; one was killed." in done.stdout, done.stderr
    assert "the same step run again goes on from there" in done.stdout


def test_every_trial_is_below_one_run(search, shoppers, store):
    found = search(shoppers, trials=5)
    above, below = trials_of(store, found.run_id)
    assert above.info.status == "FINISHED"
    assert above.data.params["sampler"] == "tpe"
    assert above.data.metrics["roc_auc"] == found.score
    assert json.loads(above.data.tags["hallmark.best_parameters"]) == found.parameters
    assert sorted(run.info.run_name for run, _ in below) == ["trial 0", *(f"trial {place}" for place in range(1, 6))]
    for run, trial in below:
        assert run.data.metrics["roc_auc"] == pytest.approx(trial.score)
        assert run.data.params == {name: str(value) for name, value in trial.parameters.items()}


def test_the_run_that_the_platform_names_is_above(search, shoppers, store, monkeypatch):
    client = MlflowClient(tracking_uri=store)
    given = client.create_run(client.create_experiment("platform")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    above, _ = trials_of(store, search(shoppers).run_id)
    assert above.data.tags["mlflow.parentRunId"] == given
    assert client.get_run(given).info.status == "RUNNING"


def test_failed_trials_are_told(search, shoppers, store):
    space = {
        "solver": {"type": "choice", "choices": ["lbfgs", "saga"]},
        "l1_ratio": {"type": "choice", "choices": [0, 1]},
    }
    found = search(shoppers, search_space=space, trials=8, sampler="random")
    _, below = trials_of(store, found.run_id)
    failed = [(run, trial) for run, trial in below if trial.state == "failed"]
    assert 0 < len(failed) == found.metrics["failed_trials"]
    for run, trial in failed:
        assert trial.parameters == {"solver": "lbfgs", "l1_ratio": 1}
        assert run.info.status == "FAILED"
        assert "failed with ValueError" in run.data.tags["hallmark.problem"]
    assert "Failed trials" in found.report.read_text()


def test_a_trial_that_fails_when_it_predicts_is_one_of_many(search, shoppers):
    found = search(
        shoppers,
        estimator="sklearn.neighbors.KNeighborsClassifier",
        search_space={"n_neighbors": {"type": "int", "low": 1, "high": 400}},
        trials=6,
        sampler="random",
    )
    assert 0 < found.metrics["failed_trials"] < 6
    assert "must predict every row; it failed on rows 0 to 79 with ValueError" in found.report.read_text()


def test_all_trials_may_fail(search, shoppers):
    space = {"l1_ratio": {"type": "choice", "choices": [1, 0.5]}}
    found = search(shoppers, search_space=space, trials=2)
    assert (found.parameters, found.metrics["failed_trials"]) == ({}, 2)
    assert found.score == found.metrics["default_roc_auc"]


def test_what_others_put_below_a_search_is_no_trial(search, shoppers, store):
    first = search(shoppers)
    client = MlflowClient(tracking_uri=store)
    above, below = trials_of(store, first.run_id)
    client.update_run(first.run_id, status="RUNNING")
    parent = {"mlflow.parentRunId": first.run_id}
    client.create_run(above.info.experiment_id, tags=parent)
    client.create_run(above.info.experiment_id, tags=parent | {"hallmark.trial": '{"place": 1}'})
    client.set_tag(below[-1][0].info.run_id, "hallmark.trial", below[-1][1].to_text()[:-5])
    again = search(shoppers)
    assert (again.run_id, again.parameters, again.score) == (first.run_id, first.parameters, first.score)


def test_pruned_trials_are_told(search, shoppers, store):
    space = {"learning_rate": {"type": "float", "low": 1e-5, "high": 0.3, "log": True}}
    found = search(
        shoppers,
        search_space=space,
        estimator=BOOSTING,
        estimator_parameters={"max_iter": 5},
        metric="log_loss",
        pruner="median",
        trials=16,
        sampler="random",
    )
    _, below = trials_of(store, found.run_id)
    pruned = [(run, trial) for run, trial in below if trial.state == "pruned"]
    assert 0 < len(pruned) == found.metrics["pruned_trials"]
    for run, trial in pruned:
        assert run.info.status == "KILLED"
        assert len(trial.scores) < 3
    assert f"{len(pruned)} pruned" in found.report.read_text()


def test_nothing_better_is_found(search, shoppers):
    space = {"max_iter": {"type": "int", "low": 1, "high": 2}}
    found = search(shoppers, search_space=space, metric="log_loss", estimator_parameters={"C": 0.5})
    assert found.parameters == {"C": 0.5}
    assert found.score == found.metrics["default_log_loss"]
    assert "None of 4 trials did better" in found.report.read_text()


def test_shards_propose_others_on_the_same_folds(search, shoppers):
    first, second = search(shoppers), search(shoppers, shard=1)
    assert first.metrics["default_roc_auc"] == second.metrics["default_roc_auc"]
    assert first.parameters != second.parameters


def test_nested_cross_validation_scores_what_it_has_not_seen(search, shoppers, store):
    found = search(shoppers, outer_folds=3, trials=2)
    _, below = trials_of(store, found.run_id)
    assert sorted((trial.search, trial.place) for _, trial in below) == [
        *((-1, outer) for outer in (1, 2, 3)),
        *((number, place) for number in range(4) for place in range(3)),
    ]
    outer = [trial for _, trial in sorted(below, key=lambda pair: pair[1].place) if trial.search == -1]
    expected = []
    for trial, (rows, scored) in zip(outer, sides(found.path, 3, 1), strict=True):
        model, frame, label = model_on(
            found.path,
            trial.parameters,
            ["household", "day"],
            rows,
            "bought",
            "sklearn.linear_model.LogisticRegression",
        )
        expected.append(roc_auc_score(label[scored], model.predict_proba(frame[scored])[:, 1]))
    assert [trial.score for trial in outer] == pytest.approx(expected)
    assert found.metrics["nested_roc_auc"] == pytest.approx(numpy.mean(expected))
    assert "Nested cross-validation" in found.report.read_text()


@pytest.mark.parametrize("keys", [{"group_column": "household"}, {"time_column": "day"}])
def test_groups_and_times(search, shoppers, keys):
    assert 0.5 < search(shoppers, trials=1, outer_folds=2, seed=2**32 - 1, **keys).score < 1


def test_three_classes_and_numbers(search, shoppers):
    shoppers["bought"] = pandas.cut(shoppers["noise"], 3, labels=["a", "b", "c"]).astype(str)
    assert search(shoppers, folds=2).metrics["default_log_loss"] < 1.1
    shoppers["bought"] = shoppers["noise"] * 3
    space = {"alpha": {"type": "float", "low": 0.1, "high": 100, "log": True}}
    found = search(shoppers, estimator="sklearn.linear_model.Ridge", search_space=space)
    assert found.metrics["default_root_mean_squared_error"] < 1


def test_a_choice_may_be_a_list(search, shoppers):
    space = {"hidden_layer_sizes": {"type": "choice", "choices": [[2], [3, 2]]}}
    found = search(
        shoppers,
        search_space=space,
        estimator="sklearn.neural_network.MLPClassifier",
        estimator_parameters={"max_iter": 5},
        metric="log_loss",
        trials=2,
    )
    assert found.parameters.get("hidden_layer_sizes") in ([2], [3, 2], None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials must be at least 1; got 0"),
        ({"parallel_trials": 0}, "parallel_trials must be at least 1; got 0"),
        ({"folds": 1}, "folds must be at least 2; got 1"),
        ({"outer_folds": 1}, "outer_folds must be 0 or at least 2; got 1"),
        ({"outer_folds": -2}, "outer_folds must be 0 or at least 2; got -2"),
        ({"shard": -1}, "shard must be at least 0; got -1"),
        ({"seed": 2**32}, r"seed must be a whole number from 0 to 2\*\*32 - 1; got 4294967296"),
        ({"sampler": "tpa"}, "sampler must be one of tpe, random; got 'tpa'.*\n.*'tpe'"),
        ({"pruner": "medain"}, "pruner must be one of median, wilcoxon, none; got 'medain'.*\n.*'median'"),
        ({"metric": "r2"}, "metric must be a metric of a binary task; got 'r2'"),
        (
            {"search_space": {"class_weight": {"type": "choice", "choices": [None, {str(n): 1 for n in range(900)}]}}},
            r"A trial must fit into a tag of MLflow's of 8,000 characters; .* one may have \d+,\d{3}\.",
        ),
        ({"folds": 300}, "A trial must fit into a tag of MLflow's"),
        ({"target": "bougt"}, "target must be a column of the dataset; got 'bougt'"),
        (
            {"estimator": "sklearn.svm.LinearSVC"},
            "metric must need no probabilities, for the estimator gives none; got 'roc_auc'",
        ),
        (
            {"estimator_parameters": {"solver": "liblinear", "l1_ratio": 0.5}},
            "The estimator must work as it is given, before its parameters are searched. .*failed with",
        ),
    ],
)
def test_a_bad_request(search, shoppers, options, message):
    with pytest.raises(InputError, match=message):
        search(shoppers, **options)


def test_a_store_that_is_down(search, shoppers, tmp_path):
    (tmp_path / "broken.db").write_text("no database, but long enough to be taken for one " * 20)
    with pytest.raises(MissingInputError, match=r"The tracking store .* must answer"):
        search(shoppers, store=f"sqlite:///{tmp_path}/broken.db")
