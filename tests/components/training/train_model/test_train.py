import json
import os
import re
import subprocess
import sys
import traceback

import mlflow.pyfunc
import numpy
import pandas
import pytest
import yaml
from mlflow.tracking import MlflowClient
from sklearn.metrics import accuracy_score, r2_score

from kfp_hallmark.contracts.dataset import dataset_lineage
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.experiment import Experiment, code_version
from kfp_hallmark.contracts.model import lineage, model_metadata
from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.modeling.prediction import predict

CLASSIFIERS = [
    "sklearn.ensemble.HistGradientBoostingClassifier",
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.ensemble.GradientBoostingClassifier",
    "sklearn.linear_model.LogisticRegression",
    "sklearn.neighbors.KNeighborsClassifier",
    "sklearn.neural_network.MLPClassifier",
    "sklearn.svm.LinearSVC",
    "xgboost.XGBClassifier",
    "lightgbm.LGBMClassifier",
]

REPRODUCED = [CLASSIFIERS[index] for index in (0, 1, 3, 7, 8)]

TRAIN_ALL = """
import sys
from kfp import dsl
from kfp_hallmark.components.training.train_model.train import train
data, out, store, *estimators = sys.argv[1:]
for place, name in enumerate(estimators):
    model, metrics = dsl.Model(uri=f"{out}/{place}"), dsl.Metrics(uri=f"{out}/metrics")
    found = train(dsl.Dataset(uri=data), model, metrics, "bought it", name, {}, [], None, {}, {}, 3, "again", store)
    print("DIGEST", found[0], found[1])
"""


@pytest.mark.parametrize("estimator", CLASSIFIERS)
def test_any_classifier_takes_mixed_columns(run, people, estimator):
    people["bought it"] = people["bought it"].map({True: "yes", False: "no"})
    trained = run(people, estimator=estimator, positive_class="no")
    found = predict(load_model(trained.path, trained.digest), trained.data, "bought it")
    assert found.classes == ("no", "yes")
    assert found.positive_class == "no"
    assert accuracy_score(people["bought it"], found.prediction) > 0.7
    assert (found.score is None) == estimator.endswith("LinearSVC")


@pytest.mark.parametrize(
    ("estimator", "labels"),
    [
        ("xgboost.XGBClassifier", [3, 5, 9]),
        ("lightgbm.LGBMClassifier", ["x", "y", "z"]),
        ("sklearn.ensemble.HistGradientBoostingClassifier", [0, 1, 2]),
    ],
)
def test_three_classes(run, people, estimator, labels):
    people["bought it"] = pandas.cut(people["income <k>"].fillna(0), 3, labels=labels).astype(type(labels[0]))
    found = predict(load_model(run(people, estimator=estimator).path), run(people).data, "bought it")
    assert (found.task, found.classes, found.score.shape) == ("multiclass", tuple(labels), (300, 3))
    assert accuracy_score(people["bought it"], found.prediction) > 0.9


@pytest.mark.parametrize("estimator", ["sklearn.ensemble.HistGradientBoostingRegressor", "xgboost.XGBRegressor"])
def test_a_regressor_predicts_numbers(run, people, estimator):
    people["bought it"] = people["age [years]"].fillna(50).astype(float) * 1.5
    trained = run(people, estimator=estimator)
    found = predict(load_model(trained.path), trained.data, "bought it")
    assert (found.task, found.score, found.classes) == ("regression", None, ())
    assert r2_score(found.label, found.prediction) > 0.9
    assert "classes" not in model_metadata(trained.path)


def test_the_model_says_what_it_was_made_from(run, people):
    trained = run(people, seed=5, positive_class="false", excluded_columns=["student"])
    assert model_metadata(trained.path) == {
        "task": "binary",
        "target": "bought it",
        "classes": [False, True],
        "positive_class": False,
        "threshold": 0.5,
        "datasets": dataset_lineage(trained.data),
        "experiment_hash": trained.experiment_hash,
        "seed": 5,
    }
    assert lineage(trained.path).experiment_hash == trained.experiment_hash
    assert trained.digest == artifact_digest(trained.path)
    assert trained.model.metadata == {
        "digest": trained.digest,
        "experiment_hash": trained.experiment_hash,
        "run_id": trained.run_id,
        "framework": "sklearn",
    }
    assert trained.metrics.metadata["rows"] == 300
    assert trained.metrics.metadata["features"] == 4
    assert [column.name for column in load_model(trained.path).columns] == [
        "age [years]",
        "income <k>",
        "home, town",
        'said "yes"',
    ]


def test_the_pipeline_loads_without_hallmark(run, people):
    content = (run(people, estimator="xgboost.XGBClassifier").path / "model.pkl").read_bytes()
    assert b"kfp_hallmark" not in content


def test_mlflow_loads_the_folder_and_agrees(run, people):
    trained = run(people)
    rows = people.drop(columns="bought it").astype(
        {"age [years]": float, "student": float, "home, town": object, 'said "yes"': object}
    )
    score = predict(load_model(trained.path), trained.data, "bought it").score
    assert mlflow.pyfunc.load_model(str(trained.path)).predict(rows)[:, 1] == pytest.approx(score)


def test_the_input_example_is_made_up(run, people):
    trained = run(people)
    example = json.loads((trained.path / "input_example.json").read_text())
    assert example["data"] == [[0.0, 0.0, "text", 0.0, "text"]]


def test_requirements_are_pinned(run, people):
    lines = (run(people, estimator="xgboost.XGBClassifier").path / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z-]+==[\d.]+", line) for line in lines)
    assert {"mlflow", "scikit-learn", "xgboost-cpu"} <= {line.partition("==")[0] for line in lines}


def test_two_processes_make_the_same_models(people, store, tmp_path):
    people.to_parquet(tmp_path / "data.parquet", index=False)
    children = []
    for seed in ("1", "2"):
        arguments = [str(tmp_path / "data.parquet"), str(tmp_path / f"out{seed}"), store, *REPRODUCED]
        environment = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed, "OPENBLAS_NUM_THREADS": seed}
        command = [sys.executable, "-c", TRAIN_ALL, *arguments]
        children.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    first, second = (re.findall("^DIGEST.*", child.communicate()[0], re.MULTILINE) for child in children)
    assert len(first) == len(set(first)) == len(REPRODUCED)
    assert first == second


def test_the_order_of_parameters_makes_no_other_model(run, people):
    parameters = {"n_estimators": 3, "verbose": -1, "bagging_fraction": 0.9, "bagging_freq": 1}
    turned = dict(reversed(parameters.items()))
    made = {
        run(people, estimator="lightgbm.LGBMClassifier", estimator_parameters=given).digest
        for given in (parameters, turned)
    }
    assert len(made) == 1


def test_another_seed_makes_another_model(run, people):
    forest = "sklearn.ensemble.RandomForestClassifier"
    first, second = run(people, estimator=forest), run(people, estimator=forest, seed=1)
    assert first.digest != second.digest
    assert first.experiment_hash != second.experiment_hash


def test_the_seed_reaches_the_estimator_unless_a_parameter_sets_it(run, people):
    forest = "sklearn.ensemble.RandomForestClassifier"
    parameters = {"n_estimators": 3}
    final = load_model(run(people, estimator=forest, estimator_parameters=parameters, seed=11).path).estimator[-1]
    assert (final.random_state, final.n_estimators) == (11, 3)
    parameters["random_state"] = 4
    final = load_model(run(people, estimator=forest, estimator_parameters=parameters, seed=11).path).estimator[-1]
    assert final.random_state == 4


@pytest.mark.parametrize("estimator", ["xgboost.XGBClassifier", "lightgbm.LGBMClassifier"])
def test_the_number_of_cores_does_not_reach_the_model(run, people, estimator):
    assert load_model(run(people, estimator=estimator).path).estimator[-1].n_jobs == 1


def test_the_run_is_logged(run, people, store):
    trained = run(people, estimator_parameters={"max_iter": 7})
    logged = MlflowClient(tracking_uri=store).get_run(trained.run_id)
    assert logged.info.status == "FINISHED"
    assert logged.data.params["estimator"] == "sklearn.ensemble.HistGradientBoostingClassifier"
    assert logged.data.params["max_iter"] == "7"
    assert logged.data.params["seed"] == "0"
    assert logged.data.metrics["rows"] == 300
    tags = {name: value for name, value in logged.data.tags.items() if name.startswith("hallmark.")}
    assert tags == {
        "hallmark.model_digest": trained.digest,
        "hallmark.dataset_digest": artifact_digest(trained.data),
        "hallmark.experiment_hash": trained.experiment_hash,
        "hallmark.environment_digest": str(os.environ.get("HALLMARK_ENVIRONMENT_DIGEST")),
        "hallmark.code_version": code_version(),
    }


def test_the_run_that_the_platform_names_is_joined(run, people, store, monkeypatch):
    client = MlflowClient(tracking_uri=store)
    given = client.create_run(client.create_experiment("platform")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    assert run(people).run_id == given
    logged = client.get_run(given)
    assert logged.info.status == "RUNNING"
    assert logged.data.params["max_iter"] == "100"
    assert "target" not in logged.data.params  # the platform logs what it gave to the step


def test_a_run_of_another_server_is_not_joined(run, people, store, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/platform.db")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    logged = MlflowClient(tracking_uri=store).get_run(run(people).run_id)
    assert logged.data.params["target"] == "bought it"


def test_a_run_that_is_not_there_is_refused(run, people, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(MissingInputError, match="must answer"):
        run(people)
    assert not (tmp_path / "model").exists()


def test_a_store_that_is_down_leaves_no_model(run, people, tmp_path):
    (tmp_path / "broken.db").write_text("no database, but long enough to be taken for one " * 20)
    with pytest.raises(MissingInputError, match=r"The tracking store .* must answer"):
        run(people, tracking_uri=f"sqlite:///{tmp_path}/broken.db")
    assert not (tmp_path / "model").exists()


def test_the_experiment_hash_covers_everything():
    wanted = {
        "dataset": "sha256:a",
        "configuration": {"a": 1},
        "seed": 0,
        "environment": "sha256:e",
        "code": "sha256:c",
    }
    hashes = {
        Experiment(**wanted | change).hash
        for change in ({}, *({key: "other"} for key in wanted if key != "configuration"))
    }
    hashes.add(Experiment(**wanted | {"configuration": {"a": 2}}).hash)
    assert len(hashes) == 6


def bad(run, people, message, **options):
    with pytest.raises(InputError, match=message) as caught:
        run(people, **options)
    return str(caught.value)


def test_an_absent_target(run, people):
    bad(run, people, r"target must be a column of the dataset; got 'bought'\.\nHint: .*'bought it'", target="bought")


def test_a_constant_target(run, people):
    people["bought it"] = True
    bad(run, people, "target must have at least two values; the column 'bought it' has one in all 300 rows")


def test_one_row(run, people):
    bad(run, people.head(1), "target must have at least two values")


def test_no_row(run, people):
    bad(run, people.head(0), "The dataset must hold at least one row")


def test_a_missing_label(run, people):
    people["bought it"] = people["bought it"].astype("boolean")
    people.loc[:4, "bought it"] = None
    bad(run, people, "the column 'bought it' has 5 missing of 300")


def test_infinities_name_the_columns_and_no_value(run, people):
    people.loc[3, "income <k>"] = -numpy.inf
    people["more"] = 1.5
    people.loc[7, "more"] = numpy.inf
    bad(run, people, "A feature must be finite or missing; these hold infinities: 'income <k>', 'more'")


def test_nan_is_fine_even_in_a_whole_column(run, people):
    people["empty"] = numpy.nan
    for estimator in ("sklearn.linear_model.LogisticRegression", "sklearn.ensemble.HistGradientBoostingClassifier"):
        trained = run(people, estimator=estimator)
        assert numpy.isfinite(predict(load_model(trained.path), trained.data, "bought it").score).all()


def test_no_feature_is_left(run, people):
    names = [name for name in people if name != "bought it"]
    bad(run, people, "must hold a feature beside the target", excluded_columns=names)


def test_an_absent_excluded_column(run, people):
    bad(
        run,
        people,
        "excluded_columns must be a column of the dataset; got 'studnet'.*\n.*'student'",
        excluded_columns=["studnet"],
    )


def test_a_date_is_no_feature(run, people):
    people["born on"] = pandas.Timestamp("2001-02-03")
    message = bad(run, people, "the column 'born on' is timestamp")
    assert "excluded_columns" in message
    run(people, excluded_columns=["born on"])


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (
            "sklearn.ensemble.HistGradientBostingClassifier",
            "has no 'HistGradientBostingClassifier'.*\n.*'HistGradientBoostingClassifier'",
        ),
        (
            "sklearn.ensembles.RandomForestClassifier",
            "import path of a class .*\n.*'sklearn.ensemble.RandomForestClassifier'",
        ),
        ("RandomForestClassifier", "import path of a class .*\n.*'sklearn.ensemble.RandomForestClassifier'"),
        ("sklearn.preprocessing.StandardScaler", "'sklearn.preprocessing.StandardScaler' is none"),
        ("sklearn.metrics.accuracy_score", "'sklearn.metrics.accuracy_score' is none"),
        ("sklearn.cluster.KMeans", "estimator must be a classifier or a regressor; got 'KMeans'"),
        ("sklearn.ensemble.VotingClassifier", "estimator_parameters must suit 'sklearn.ensemble.VotingClassifier'"),
    ],
)
def test_an_unknown_estimator(run, people, estimator, message):
    bad(run, people, message, estimator=estimator)


def test_an_unknown_parameter(run, people):
    bad(run, people, "must be parameters of .*; got 'max_itre'.*\n.*'max_iter'", estimator_parameters={"max_itre": 5})


def test_a_parameter_out_of_range(run, people, tmp_path):
    bad(run, people, "estimator_parameters must suit .*; The 'max_iter'", estimator_parameters={"max_iter": -5})
    assert not (tmp_path / "model").exists()


def test_an_estimator_that_fails_shows_no_values(run, people, tmp_path):
    people["bought it"] = numpy.arange(300).clip(9) + 700_000
    with pytest.raises(InputError) as caught:
        run(people, estimator_parameters={"early_stopping": True})
    shown = "".join(traceback.format_exception(caught.value))
    assert "must fit 300 rows of 291 classes, the rarest of which has 1; it failed with ValueError in " in shown
    assert "(_split.py, line " in shown
    assert "70001" not in shown
    assert not (tmp_path / "model").exists()


def test_a_regressor_that_fails_names_no_classes(run, people):
    people["bought it"] = numpy.arange(300) + 0.5
    parameters = {"max_depth": "deep"}
    message = r"must fit 300 rows; it failed with \w+ in \w+ \(\w+\.py, line \d+\)\."
    bad(run, people, message, estimator="xgboost.XGBRegressor", estimator_parameters=parameters)


def test_a_positive_class_that_is_none(run, people):
    bad(run, people, "positive_class must be a class of the target; got 'ture'.*\n.*'True'", positive_class="ture")


def test_a_positive_class_of_three(run, people):
    people["bought it"] = numpy.resize([1, 2, 3], 300)
    bad(
        run,
        people,
        "positive_class must be left out when target has more than two classes; it has 3",
        positive_class="1",
    )


def test_a_number_for_a_classifier(run, people):
    people["bought it"] = numpy.linspace(0, 1, 300)
    bad(run, people, "target must hold text, booleans or whole numbers for a classifier")


def test_a_text_for_a_regressor(run, people):
    people["bought it"] = numpy.resize(["a", "b"], 300)
    bad(
        run,
        people,
        "target must hold finite numbers for a regressor",
        estimator="sklearn.linear_model.LinearRegression",
    )


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range(run, people, seed):
    bad(run, people, r"seed must be a whole number from 0 to 2\*\*32 - 1; got", seed=seed)


def test_the_greatest_seed(run, people):
    assert model_metadata(run(people, seed=2**32 - 1).path)["seed"] == 2**32 - 1


def test_unseen_categories_and_many_rare_ones(run, people):
    people["code"] = [f"c{index % 90}" for index in range(300)]
    trained = run(people, estimator="sklearn.linear_model.LogisticRegression")
    people["code"] = "never seen"
    people.to_parquet(trained.data, index=False)
    assert len(predict(load_model(trained.path), trained.data, "bought it").score) == 300
    width = load_model(trained.path).estimator[:-1].transform(people.astype({"student": float})).shape[1]
    assert width == 3 + 4 + 2 + 32


def test_nothing_in_the_folder_tells_time_or_place(run, people, tmp_path):
    document = yaml.safe_load((run(people).path / "MLmodel").read_text())
    assert document["utc_time_created"] == "1970-01-01 00:00:00"
    assert "run_id" not in document
    content = b"".join(file.read_bytes() for file in sorted((tmp_path / "model").iterdir()))
    assert str(tmp_path).encode() not in content


@pytest.mark.parametrize(
    ("name", "hint"), [("stuednt", "\nHint: Did you mean 'student'?"), ("income <k>", ""), ("bought it", "")]
)
def test_a_feature_that_later_steps_need_is_asked_for_before_training(run, people, tmp_path, name, hint):
    with pytest.raises(InputError) as caught:
        run(people, required_features=["student", name], excluded_columns=["income <k>"], tracking_uri="nowhere://")
    message = f"What later steps need (required_features) must be a feature of the model; got {name!r}."
    assert str(caught.value).startswith(message + hint)
    assert not (tmp_path / "model").exists()


def test_what_later_steps_need_makes_no_other_model(run, people):
    assert run(people, required_features=["student"]).digest == run(people).digest
