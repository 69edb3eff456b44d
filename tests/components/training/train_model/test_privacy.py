import json
import math
import pickle
import random
import warnings
from pathlib import Path

import numpy
import pandas
import pytest
import scipy.stats
import sklearn.metrics
import yaml
from interpret.privacy import DPExplainableBoostingClassifier, DPExplainableBoostingRegressor
from interpret.utils._native import Booster, Native
from kfp import dsl
from mlflow.tracking import MlflowClient
from sklearn.base import clone

from kfp_hallmark.components.governance.privacy_gate.privacy import judge_privacy
from kfp_hallmark.components.training.train_model.privacy import (
    ESTIMATOR,
    REGRESSOR,
    Private,
    make_private,
    read_privacy,
)
from kfp_hallmark.components.training.train_model.train import train
from kfp_hallmark.contracts.dataset import dataset_lineage
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.model import model_metadata
from kfp_hallmark.contracts.privacy import PATH_VARIABLE, commitment, read_ledger
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError
from kfp_hallmark.modeling.columns import Column
from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.modeling.prediction import predict
from kfp_hallmark.serving.predictor import Predictor
from kfp_hallmark.training.estimators import make_estimator

CENSUS = Path(__file__).parents[4] / "examples" / "acs_employment" / "2015.parquet"
ROWS = 6000
PUBLIC = {"bounds": {"AGEP": [16, 95], "SCHL": [1, 24]}, "categories": {"MAR": [1, 2, 3, 4, 5], "SEX": [1, 2]}}
PEOPLE = {
    "bounds": {"age [years]": [18, 90], "income <k>": [0, 60]},
    "categories": {"home, town": ["Bonn", "Köln", "Ulm"], "student": [0.0, 1.0], 'said "yes"': ["a", "b"]},
}
QUICK = {"max_rounds": 20}
LEAVES = 3
REGRESSION = {"task": "regression"}
AGE = {"bounds": {"SCHL": [1, 24]}, "categories": {"MAR": [1, 2, 3, 4, 5], "SEX": [1, 2]}, "target_bounds": [0, 99]}


@pytest.fixture(scope="module")
def census():
    """Real people: the first rows are trained on, the others tell what came of it."""
    frame = pandas.read_parquet(CENSUS).sample(3 * ROWS, random_state=0).reset_index(drop=True)
    return frame[["AGEP", "SCHL", "MAR", "SEX", "employed"]]


@pytest.fixture
def ledger(tmp_path):
    path = tmp_path / "privacy.jsonl"
    path.touch()
    return path


@pytest.fixture
def outcome(run, census, ledger, tmp_path):
    """Train on the one part under differential privacy, and predict the other."""

    def outcome(epsilon=1.0, **options):
        privacy = {"epsilon": epsilon, "delta": 1e-6, "ledger": str(ledger), **PUBLIC}
        trained = run(census[:ROWS], "employed", **{"estimator": ESTIMATOR, "privacy": privacy} | options)
        census[ROWS:].to_parquet(tmp_path / "others.parquet", index=False)
        return trained, predict(load_model(trained.path), tmp_path / "others.parquet", "employed")

    return outcome


def asked(path, **others):
    return {"epsilon": 1.0, "delta": 1e-6, "ledger": str(path), **PEOPLE} | others


def private(epsilon, ledger, rows, bounds=(0, 10), delta=1e-6, target_bounds=None, **parameters):
    """Return an untrained classifier, or regressor, of one feature x."""
    given = {"epsilon": epsilon, "delta": delta, "bounds": {"x": list(bounds)}, "ledger": str(ledger)}
    privacy = read_privacy(given | {"target_bounds": target_bounds})
    meaning = {"task": "binary", "classes": [0, 1], "positive_class": 1} if target_bounds is None else REGRESSION
    return Private(make_private(ESTIMATOR, parameters, privacy), privacy, [Column("x", "double")], rows, meaning)


def test_it_predicts_people_it_was_not_trained_on(outcome):
    _, found = outcome()
    assert sklearn.metrics.roc_auc_score(found.positive_label, found.score) > 0.8
    assert sklearn.metrics.accuracy_score(found.label, found.prediction) > 0.7


def test_the_folder_needs_scikit_learn_alone_and_says_what_was_spent(outcome, ledger):
    trained, _ = outcome()
    content = (trained.path / "model.pkl").read_bytes()
    assert b"interpret" not in content
    assert b"kfp_hallmark" not in content
    assert [type(step).__name__ for _, step in pickle.loads(content).steps] == [
        "ColumnTransformer",
        "KBinsDiscretizer",
        "LogisticRegression",
    ]
    ((line, spent),) = read_ledger(ledger).items()
    said = model_metadata(trained.path)
    assert said["privacy"] == {
        "epsilon": 1.0,
        "delta": 1e-6,
        "mechanism": spent.mechanism,
        "library": spent.library,
        "ledger_entry": line,
        "ledger_key": said["privacy"]["ledger_key"],
    }
    assert "seed" not in said
    lineage = dataset_lineage(trained.data)
    assert said["datasets"] == lineage
    assert spent.commitment == commitment(said["privacy"]["ledger_key"], lineage, trained.experiment_hash)
    assert (spent.rows, spent.target) == (ROWS, "employed")
    assert (spent.epsilon, spent.delta) == (1.0, 1e-6)
    assert trained.model.metadata["framework"] == "sklearn"
    assert "interpret" not in (trained.path / "requirements.txt").read_text()


def test_trained_again_as_it_stands_it_is_another_and_no_open_seed_hides_that(outcome, census):
    model = load_model(outcome()[0].path)
    found = model.estimator.get_params()
    assert all(isinstance(found[name], int) for name in found if name.endswith("random_state"))
    rows, label = census[:ROWS].drop(columns="employed").astype(float), census["employed"][:ROWS]
    again = clone(model.estimator).fit(rows, label)
    assert (again.predict(rows) != model.estimator.predict(rows)).mean() > 0.002


def test_what_the_folder_holds_beside_the_tables_is_public(run, census, ledger):
    """Values outside the bounds and unlisted categories leave no trace of themselves."""
    census = census[:2000].astype(float)
    census.loc[:9, "AGEP"], census.loc[:9, "MAR"] = 777.25, 41.5
    privacy = {"epsilon": 1.0, "delta": 1e-6, "ledger": str(ledger), **PUBLIC}
    trained = run(census, "employed", estimator=ESTIMATOR, privacy=privacy)
    features, bins, _ = (step for _, step in load_model(trained.path).estimator.steps)
    assert features.named_transformers_["numbers"].statistics_.tolist() == [55.5, 12.5]
    assert [each.tolist() for each in features.named_transformers_["categories"].categories_] == [
        [1, 2, 3, 4, 5],
        [1, 2],
    ]
    assert [(each[0], each[-1]) for each in bins.bin_edges_] == [(16, 95), (1, 24), (-1.5, 4.5), (-1.5, 1.5)]
    example = json.loads((trained.path / "input_example.json").read_text())
    assert example["data"] == [[0.0, 0.0, 0.0, 0.0]]


def differences(first, second, path=""):
    """Return where two JSON documents differ."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return set() if first == second else {path}
    return {
        found
        for key in first.keys() | second.keys()
        for found in differences(first.get(key), second.get(key), f"{path}.{key}".lstrip("."))
    }


def test_one_person_more_changes_the_noisy_tables_digests_and_the_number_of_rows_alone(run, people, ledger, store):
    """docs/privacy.md names these digests: they are no noisy ones, so who knows the other rows can try a value."""
    folders, runs = [], []
    for rows in (300, 299):
        trained = run(people[:rows], estimator=ESTIMATOR, estimator_parameters=QUICK, privacy=asked(ledger))
        folders.append({file.name: file.read_bytes() for file in trained.path.iterdir()})
        runs.append(MlflowClient(store).get_run(trained.run_id).data)
        digests = model_metadata(trained.path)["datasets"]
        assert digests == [artifact_digest(trained.data)]
        assert digests[0].removeprefix("sha256:").encode() not in folders[-1]["model.pkl"]
    files = [
        {name: yaml.safe_load(content) for name, content in each.items() if name != "model.pkl"} for each in folders
    ]
    stated = ("datasets", "experiment_hash", "privacy.ledger_entry", "privacy.ledger_key")
    assert differences(*files) - {"MLmodel.model_size_bytes"} == {
        "MLmodel.model_uuid",
        *(f"MLmodel.metadata.hallmark.{name}" for name in stated),
    }
    assert differences(*(each.params for each in runs)) == set()
    assert differences(*(each.metrics for each in runs)) == {"rows", "training_seconds"}
    assert differences(*(each.tags for each in runs)) - {"mlflow.runName"} == {
        "hallmark.dataset_digest",
        "hallmark.experiment_hash",
        "hallmark.model_digest",
    }


def test_the_ledger_holds_nothing_of_the_data_and_commits_anew_each_time(run, people, ledger):
    """Twice the same data: who reads the ledger cannot even tell that; docs/privacy.md says what he can."""
    for _ in range(2):
        trained = run(people, estimator=ESTIMATOR, estimator_parameters=QUICK, privacy=asked(ledger))
    written = ledger.read_text()
    told = [*dataset_lineage(trained.data), trained.experiment_hash]
    assert not any(digest in written for digest in told)
    assert len({spent.commitment for spent in read_ledger(ledger).values()}) == 2
    ledger_key = model_metadata(trained.path)["privacy"]["ledger_key"]
    assert ledger_key not in written
    assert ledger_key not in repr([trained.model.metadata])


def test_a_secret_column_hides_the_data_in_all_digests_and_stands_nowhere(run, people, ledger, store):
    told = []
    for secret in ("first secret", "second secret"):
        given = {"estimator": ESTIMATOR, "estimator_parameters": QUICK, "privacy": asked(ledger)}
        trained = run(people.assign(secret=secret), **given, excluded_columns=["secret"])
        said = yaml.safe_load((trained.path / "MLmodel").read_text())
        told.append({said["model_uuid"], *map(str, said["metadata"]["hallmark"]["datasets"])})
        told[-1] |= {said["metadata"]["hallmark"]["experiment_hash"]}
        content = b"".join(file.read_bytes() for file in trained.path.iterdir())
        content += repr(MlflowClient(store).get_run(trained.run_id).to_dictionary()).encode() + ledger.read_bytes()
        assert secret.encode() not in content
    assert not told[0] & told[1]


def test_a_training_that_fails_tells_no_number_but_that_of_the_rows(run, people, ledger, monkeypatch):
    fit = DPExplainableBoostingClassifier.fit

    def fail(self, rows, label):
        if len(rows) > 2:
            raise ValueError("the age 41")
        return fit(self, rows, label)

    monkeypatch.setattr(DPExplainableBoostingClassifier, "fit", fail)
    with pytest.raises(InputError) as caught:
        run(people, estimator=ESTIMATOR, estimator_parameters=QUICK, privacy=asked(ledger))
    assert caught.value.message.startswith(
        f"The estimator '{ESTIMATOR}' must fit 300 rows; it failed with ValueError in fail (test_privacy.py, line "
    )
    assert len(read_ledger(ledger)) == 1


def test_the_model_says_what_the_library_says(ledger, monkeypatch):
    kept = []
    fit = DPExplainableBoostingClassifier.fit

    def keep(self, rows, label):
        kept.append(fit(self, rows, label))
        return kept[-1]

    monkeypatch.setattr(DPExplainableBoostingClassifier, "fit", keep)
    chance = numpy.random.default_rng(0)
    frame = pandas.DataFrame({"x": chance.uniform(-2, 12, 500)})
    for epsilon in (0.05, 50.0):
        model = private(epsilon, ledger, 500, **QUICK).fit(frame, (frame["x"] > 4).to_numpy().astype(int))
        cuts = kept[-1].bins_[0][0]
        rows = pandas.DataFrame({"x": [*numpy.linspace(0, 10, 101), *cuts, *numpy.nextafter(cuts, -1), -5, 99]})
        wanted = kept[-1].predict_proba(rows.to_numpy())
        assert model.predict_proba(rows) == pytest.approx(wanted, abs=1e-12)
        assert model.predict_proba(pandas.DataFrame({"x": [numpy.nan]})) == pytest.approx(
            kept[-1].predict_proba(numpy.array([[5.0]])), abs=1e-12
        )


def test_the_library_adds_the_noise_that_gaussian_differential_privacy_asks_for(ledger, monkeypatch):
    """J. Dong, A. Roth and W. Su, Gaussian Differential Privacy (2022): mu-GDP is (epsilon, delta)-DP, corollary 1."""
    kept = []
    fit = DPExplainableBoostingClassifier.fit
    monkeypatch.setattr(
        DPExplainableBoostingClassifier, "fit", lambda self, *rows: kept.append(fit(self, *rows)) or kept[-1]
    )
    frame = pandas.DataFrame({"x": numpy.linspace(0, 10, 100)})
    parameters = {"max_rounds": 30, "learning_rate": 0.02, "bin_budget_frac": 0.2}
    private(0.7, ledger, 100, delta=1e-5, **parameters).fit(frame, (frame["x"] > 4).to_numpy().astype(int))
    for epsilon, mu in (
        (0.2 * 0.7, 1 / kept[-1].noise_scale_binning_),
        (0.8 * 0.7, 0.02 * math.sqrt(30) / kept[-1].noise_scale_boosting_),
    ):
        normal = scipy.stats.norm.cdf
        delta = normal(-epsilon / mu + mu / 2) - math.exp(epsilon) * normal(-epsilon / mu - mu / 2)
        assert delta == pytest.approx(0.5e-5, rel=1e-3)


@pytest.mark.parametrize(("noise", "wrong"), [(1e30, 700), (-1e30, 300)])
def test_a_row_moves_a_sum_of_residuals_by_no_more_than_the_noise_is_made_for(ledger, monkeypatch, noise, wrong):
    """That is 1 times the learning rate; after such noise every row of a class has the greatest residual there is."""
    sums, get = [], Booster.get_term_update

    def keep(self):
        sums.append(get(self))
        return sums[-1].copy()

    def draw(self, rng, stddev, count):
        return numpy.full(count, noise if count <= LEAVES else 0.0)  # the histogram has more bins than that

    monkeypatch.setattr(Booster, "get_term_update", keep)
    monkeypatch.setattr(Native, "generate_gaussian_random", draw)
    model = private(1.0, ledger, 1000, max_rounds=40, learning_rate=0.5, max_leaves=LEAVES)
    sums.clear()
    model.fit(pandas.DataFrame({"x": [1.0] * 700 + [9.0] * 300}), numpy.repeat([1, 0], [700, 300]))
    assert len(sums) == 40
    assert max(numpy.abs(each).max() for each in sums[1:]) == pytest.approx(0.5 * wrong, rel=1e-6)


def test_no_feature_bound_or_type_is_read_from_the_data(ledger):
    frame = pandas.DataFrame({"x": numpy.linspace(0, 10, 100)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the library warns of whatever it has to look up
        private(1.0, ledger, 100, **QUICK).fit(frame, (frame["x"] > 4).to_numpy().astype(int))


def test_no_seed_makes_the_noise_again(run, census, ledger):
    privacy = {"epsilon": 1.0, "delta": 1e-6, "ledger": str(ledger), **PUBLIC}
    found = []
    for _ in range(2):
        random.seed(0)
        numpy.random.seed(0)
        given = {"estimator": ESTIMATOR, "estimator_parameters": QUICK, "privacy": privacy, "seed": 3}
        found.append(run(census[:ROWS], "employed", **given))
    assert found[0].experiment_hash == found[1].experiment_hash
    assert found[0].digest != found[1].digest
    assert len(read_ledger(ledger)) == 2


def test_little_privacy_is_near_the_truth_and_much_is_far_from_it(ledger):
    chance = numpy.random.default_rng(1)
    frame = pandas.DataFrame({"x": chance.uniform(0, 10, 1000)})
    label = (chance.random(1000) < numpy.where(frame["x"] > 5, 0.9, 0.2)).astype(int)
    rows = pandas.DataFrame({"x": [1.0, 2.0, 8.0, 9.0]})
    errors = {}
    for epsilon in (100.0, 0.003):
        model = private(epsilon, ledger, 1000, learning_rate=0.1)
        found = [model.fit(frame, label).predict_proba(rows)[:, 1] for _ in range(5)]
        errors[epsilon] = numpy.abs(numpy.array(found) - [0.2, 0.2, 0.9, 0.9]).mean()
    assert errors[100.0] < 0.05
    assert errors[0.003] > 0.2


RUNS = 150


def told_apart(epsilon, ledger):
    """Return how often a model seems to know of a fifth person, when they are among the data and when they are not.

    There are two people at 1 and two at 9, one of each class; the fifth, at 9, is of the positive class.
    """
    rows, counts = pandas.DataFrame({"x": [1.0, 9.0]}), []
    for people in (5, 4):
        frame, label = (
            pandas.DataFrame({"x": [1.0, 1.0, 9.0, 9.0, 9.0][:people]}),
            numpy.array([0, 1, 0, 1, 1][:people]),
        )
        model = private(epsilon, ledger, 5, delta=1e-3, max_rounds=1, max_bins=4, learning_rate=0.5)
        scores = [model.fit(frame, label).decision_function(rows) for _ in range(RUNS)]
        counts.append(sum(bool(there > elsewhere + 0.04) for elsewhere, there in scores))
    return counts


def least_ratio(seen, unseen):
    """Return a lower bound of (P(event | five) - delta) / P(event | four), each at 99.9 % confidence."""
    low = scipy.stats.beta.ppf(0.001, seen, RUNS - seen + 1) if seen else 0.0
    high = scipy.stats.beta.ppf(0.999, unseen + 1, RUNS - unseen) if unseen < RUNS else 1.0
    return (low - 1e-3) / high


def test_one_person_more_cannot_be_told_by_more_than_the_stated_epsilon(ledger):
    seen, unseen = told_apart(0.5, ledger)
    assert least_ratio(seen, unseen) <= math.exp(0.5)
    assert least_ratio(RUNS - unseen, RUNS - seen) <= math.exp(0.5)


def test_too_little_noise_would_be_noticed(ledger):
    assert least_ratio(*told_apart(60.0, ledger)) > math.exp(0.5)


def test_served_it_says_the_same(run, people, ledger):
    trained = run(people, estimator=ESTIMATOR, estimator_parameters=QUICK, privacy=asked(ledger))
    model = load_model(trained.path)
    found = predict(model, trained.data, "bought it")
    values = pandas.DataFrame(
        {
            name: people[name].astype(object).where(people[name].notna(), None)
            for name in people.drop(columns="bought it")
        }
    )
    served = Predictor(model)
    assert served.signature.nullable == set(values.columns)
    rows = [[float(entry) if isinstance(entry, bool) else entry for entry in values[name]] for name in values]
    assert served.predict(rows).score == pytest.approx(found.score, abs=1e-12)


def test_what_a_training_that_came_to_nothing_may_have_used_is_spent(people, ledger, store, tmp_path):
    people.to_parquet(tmp_path / "data.parquet", index=False)
    (tmp_path / "file").touch()
    model, metrics = dsl.Model(uri=str(tmp_path / "file" / "model")), dsl.Metrics(uri=str(tmp_path / "metrics"))
    given = ("bought it", ESTIMATOR, QUICK, [], None, {}, asked(ledger), 0, "tests", store)
    with pytest.raises(OSError, match="file"):
        train(dsl.Dataset(uri=str(tmp_path / "data.parquet")), model, metrics, *given)
    assert len(read_ledger(ledger)) == 1


def test_the_ledger_is_named_by_the_environment(run, people, ledger, monkeypatch):
    monkeypatch.setenv(PATH_VARIABLE, str(ledger))
    given = asked(ledger)
    del given["ledger"]
    run(people, estimator=ESTIMATOR, estimator_parameters=QUICK, privacy=given)
    assert len(read_ledger(ledger)) == 1


def test_where_the_ledger_is_makes_no_other_experiment(run, people, ledger, tmp_path):
    (tmp_path / "moved").touch()
    given = {"estimator": ESTIMATOR, "estimator_parameters": QUICK}
    hashes = {
        run(people, **given, privacy=asked(ledger, **change)).experiment_hash
        for change in ({}, {"ledger": str(tmp_path / "moved")}, {"epsilon": 2.0})
    }
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilom": 1}, "privacy must hold known settings; got 'epsilom'."),
        ({"epsilon": 0}, "privacy's epsilon must be from 0.001 to 100; got 0."),
        ({"epsilon": 100.5}, "privacy's epsilon must be from 0.001 to 100; got 100.5."),
        ({"epsilon": None}, "privacy's epsilon must be from 0.001 to 100; got None."),
        ({"epsilon": True}, "privacy's epsilon must be from 0.001 to 100; got True."),
        ({"delta": 0}, "privacy's delta must be above 0 and below 1; got 0."),
        ({"delta": 1}, "privacy's delta must be above 0 and below 1; got 1."),
        ({"delta": 1 / 300}, "privacy's delta must be below one in the number of rows, 300; got 0.00333333."),
        ({"bounds": [1, 2]}, "privacy's bounds must be an object with features; got [1, 2]."),
        (
            {"bounds": {"age [years]": [90, 18]}},
            "privacy's bounds of 'age [years]' must be two numbers, the lesser first; got [90, 18].",
        ),
        (
            {"bounds": {"age [years]": [0, math.inf]}},
            "privacy's bounds of 'age [years]' must be two numbers, the lesser first; got [0, inf].",
        ),
        (
            {"categories": {"student": [0, "1"]}},
            "privacy's categories of 'student' must be a list of different texts, or of different numbers; "
            "got [0, '1'].",
        ),
        (
            {"categories": {"student": []}},
            "privacy's categories of 'student' must be a list of different texts, or of different numbers; got [].",
        ),
        (
            {"categories": {"student": [0, 0]}},
            "privacy's categories of 'student' must be a list of different texts, or of different numbers; got [0, 0].",
        ),
        (
            {"bounds": PEOPLE["bounds"] | {"student": [0, 1]}},
            "privacy must give bounds or categories of a feature, not both; 'student' has both.",
        ),
        ({"bounds": PEOPLE["bounds"] | {"agee": [0, 1]}}, "privacy must tell of features; 'agee' is none."),
        (
            {"bounds": {"age [years]": [18, 90]}},
            "privacy must give bounds or categories of every feature; missing: 'income <k>'.",
        ),
        (
            {"categories": PEOPLE["categories"] | {"home, town": [1, 2]}},
            "privacy must give categories that are texts of the feature 'home, town'.",
        ),
        (
            {"categories": PEOPLE["categories"] | {"student": ["0", "1"]}},
            "privacy must give bounds, or categories that are numbers of the feature 'student'.",
        ),
        ({"ledger": 5}, "privacy's ledger must be a path; got 5."),
        ({"ledger": "s3://a/b"}, "The privacy ledger must be a local or mounted file; got 's3://a/b'."),
    ],
)
def test_what_cannot_be_used_is_refused_and_spends_nothing(run, people, ledger, tmp_path, change, message):
    with pytest.raises(InputError) as caught:
        run(people, estimator=ESTIMATOR, estimator_parameters=QUICK, privacy=asked(ledger, **change))
    assert caught.value.message == message
    assert not (tmp_path / "model").exists()
    assert read_ledger(ledger) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"estimator": "sklearn.linear_model.LogisticRegression"},
            f"estimator must be '{ESTIMATOR}' with privacy; got 'sklearn.linear_model.LogisticRegression'.",
        ),
        (
            {"estimator_parameters": {"random_state": 1}},
            "estimator_parameters must be bin_budget_frac, learning_rate, max_bins, max_leaves, max_rounds with "
            "privacy; got 'random_state'.",
        ),
        (
            {"estimator_parameters": {"max_bins": 2}},
            "estimator_parameters' max_bins must be a whole number from 3 to 10,000; got 2.",
        ),
        (
            {"estimator_parameters": {"max_rounds": 1.5}},
            "estimator_parameters' max_rounds must be a whole number from 1 to 10,000; got 1.5.",
        ),
        (
            {"estimator_parameters": {"bin_budget_frac": 1}},
            "estimator_parameters' bin_budget_frac must be above 0 and below 1; got 1.",
        ),
        (
            {
                "mitigation": {
                    "method": "grid_search",
                    "constraint": "equalized_odds",
                    "sensitive_features": ["student"],
                }
            },
            "mitigation must be left out with privacy: it looks at the data more often; got both.",
        ),
    ],
)
def test_nothing_beside_what_is_private_is_done(run, people, ledger, options, message):
    with pytest.raises(InputError) as caught:
        run(people, **{"estimator": ESTIMATOR, "privacy": asked(ledger)} | options)
    assert caught.value.message == message
    assert read_ledger(ledger) == {}


def test_of_several_classes_none_is_private_and_what_is_possible_is_told(run, people, ledger):
    with pytest.raises(InputError) as caught:
        run(people.assign(**{"bought it": numpy.arange(300) % 3}), estimator=ESTIMATOR, privacy=asked(ledger))
    assert caught.value.message == "privacy must be of a binary task, or of a regression; got multiclass."
    assert "state its target_bounds" in caught.value.hint
    assert "one class against all others" in caught.value.hint
    assert read_ledger(ledger) == {}


def test_without_a_ledger_nothing_is_trained(run, people, tmp_path, monkeypatch):
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    given = asked(tmp_path / "lost")
    with pytest.raises(MissingInputError, match="The privacy ledger must be a file; got "):
        run(people, estimator=ESTIMATOR, privacy=given)
    del given["ledger"]
    with pytest.raises(InputError, match="The privacy ledger must be named"):
        run(people, estimator=ESTIMATOR, privacy=given)
    assert not (tmp_path / "model").exists()


def test_on_a_changed_ledger_nothing_is_trained(run, people, ledger, tmp_path):
    run(people, estimator=ESTIMATOR, estimator_parameters=QUICK, privacy=asked(ledger))
    ledger.write_bytes(ledger.read_bytes().replace(b'"epsilon":1.0', b'"epsilon":0.1'))
    with pytest.raises(IntegrityError, match="must be unbroken; line 1 was changed"):
        run(people, estimator=ESTIMATOR, privacy=asked(ledger))


@pytest.mark.parametrize("path", [ESTIMATOR, "interpret.glassbox._ebm._ebm.DPExplainableBoostingClassifier"])
def test_the_estimator_is_not_trained_without_privacy(path):
    with pytest.raises(InputError, match="estimator must be trained with train_model's privacy, or be another; got"):
        make_estimator(path, {}, 0)


@pytest.fixture
def ages(run, census, ledger, tmp_path):
    """Train on the ages of the one part under differential privacy, and predict those of the other."""

    def ages(epsilon=1.0, **options):
        privacy = {"epsilon": epsilon, "delta": 1e-6, "ledger": str(ledger), **AGE}
        frame = census[["AGEP", "SCHL", "MAR", "SEX"]]
        trained = run(frame[:ROWS], "AGEP", **{"estimator": ESTIMATOR, "privacy": privacy} | options)
        frame[ROWS:].to_parquet(tmp_path / "others.parquet", index=False)
        return trained, predict(load_model(trained.path), tmp_path / "others.parquet", "AGEP")

    return ages


def test_a_regression_predicts_people_it_was_not_trained_on(ages):
    _, found = ages()
    assert found.task == "regression"
    assert sklearn.metrics.r2_score(found.label, found.prediction) > 0.5
    assert abs(found.label.mean() - found.prediction.mean()) < 2
    assert found.prediction.min() >= 0
    assert found.prediction.max() <= 99


def test_much_privacy_spoils_a_regression(ages):
    _, found = ages(0.005)
    assert sklearn.metrics.r2_score(found.label, found.prediction) < 0.4


def test_the_folder_of_a_regression_says_what_was_spent_and_the_gate_limits_it(ages, ledger, tmp_path):
    trained, _ = ages()
    content = (trained.path / "model.pkl").read_bytes()
    assert b"interpret" not in content
    assert [type(step).__name__ for _, step in pickle.loads(content).steps][1:] == ["KBinsDiscretizer", "MLPRegressor"]
    ((line, spent),) = read_ledger(ledger).items()
    said = model_metadata(trained.path)
    assert (said["task"], said["privacy"]["ledger_entry"]) == ("regression", line)
    assert said["privacy"]["mechanism"] == spent.mechanism
    assert spent.mechanism.endswith("; of the target's place between its bounds")
    assert (spent.rows, spent.target, spent.epsilon, spent.delta) == (ROWS, "AGEP", 1.0, 1e-6)
    out = [dsl.Artifact(uri=str(tmp_path / name)) for name in ("verdict.json", "report.html")]
    for most, status in ((1.0, "pass"), (0.99, "fail")):
        limits = {"max_epsilon": most, "max_delta": 1e-6}
        assert judge_privacy(trained.model, *out, limits, {"ledger": str(ledger)}, line) == (status,)


def test_a_regression_is_served_and_says_the_same(ages):
    trained, found = ages(estimator_parameters=QUICK)
    frame = pandas.read_parquet(trained.path.parent / "others.parquet")[:50].drop(columns="AGEP").astype(float)
    served = Predictor(load_model(trained.path)).predict([frame[name].tolist() for name in frame])
    assert served.prediction == pytest.approx(found.prediction[:50], abs=1e-9)


def test_the_regression_is_the_library_s_share_between_the_bounds(ledger, monkeypatch):
    kept = []
    fit = DPExplainableBoostingClassifier.fit

    def keep(self, rows, label, sample_weight):
        kept.append((fit(self, rows, label, sample_weight=sample_weight), sample_weight))
        return kept[-1][0]

    chance = numpy.random.default_rng(0)
    frame = pandas.DataFrame({"x": chance.uniform(-2, 12, 500)})
    model = private(5.0, ledger, 500, target_bounds=[-20, 30], **QUICK)
    monkeypatch.setattr(DPExplainableBoostingClassifier, "fit", keep)
    model = model.fit(frame, frame["x"].to_numpy() * 8 - 40)  # some are outside the bounds
    library, weights = kept[-1]
    assert (weights[:500] + weights[500:1000] == 1.0).all()
    assert weights.sum() == weights[::-1].cumsum()[-1] == 502.0  # without rounding, in whatever order
    assert (weights.max(), weights[:1000].max() < 1, weights.min() > 0) == (1.0, True, True)
    rows = pandas.DataFrame({"x": [*numpy.linspace(0, 10, 101), -5, 99]})
    wanted = -20 + 50 * library.predict_proba(rows.to_numpy())[:, 1]
    assert model.predict(rows) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(("noise", "wrong"), [(1e30, 700), (-1e30, 300)])
@pytest.mark.parametrize("bounds", [(0, 1), (100, 101), (-3, 5)])
def test_a_target_moves_a_sum_by_no_more_than_the_noise_of_a_regression_is_made_for(
    ledger, monkeypatch, noise, wrong, bounds
):
    """It is the learning rate for each row, wherever the bounds are and however far the scores have gone."""
    sums, scales, get = [], [], Booster.get_term_update

    def keep(self):
        sums.append(get(self))
        return sums[-1].copy()

    def draw(self, rng, stddev, count):
        if count > LEAVES:  # the histogram has more bins than that
            return numpy.zeros(count)
        scales.append(stddev)
        return numpy.full(count, noise)

    monkeypatch.setattr(Booster, "get_term_update", keep)
    monkeypatch.setattr(Native, "generate_gaussian_random", draw)
    parameters = {"max_rounds": 40, "learning_rate": 0.5, "max_leaves": LEAVES}
    model = private(1.0, ledger, 1000, target_bounds=list(bounds), **parameters)
    sums.clear()
    scales.clear()
    frame = pandas.DataFrame({"x": [1.0] * 700 + [9.0] * 300})
    model.fit(frame, numpy.repeat([bounds[1], bounds[0]], [700, 300]))
    assert len(sums) == 40
    # one of the two made-up rows is of the class that is wrong
    assert max(numpy.abs(each).max() for each in sums[1:]) == pytest.approx(0.5 * wrong, abs=0.5 + 1e-6)
    classifier = private(1.0, ledger, 1000, **parameters)
    scales, own = [], set(scales)
    classifier.fit(frame, numpy.repeat([1, 0], [700, 300]))
    assert own == set(scales)


def test_the_noise_of_a_regression_does_not_follow_the_targets_that_are_there(ledger, monkeypatch):
    """The library makes it for the greatest weight; targets in the middle have 0.5."""
    kept = []
    fit = DPExplainableBoostingClassifier.fit
    monkeypatch.setattr(
        DPExplainableBoostingClassifier, "fit", lambda self, *rows, **k: kept.append(fit(self, *rows, **k)) or kept[-1]
    )
    frame = pandas.DataFrame({"x": numpy.linspace(0, 10, 100)})
    for target in (numpy.tile([49.9, 50.1], 50), numpy.tile([0.0, 100.0], 50), numpy.tile([-1e9, 1e9], 50)):
        private(0.7, ledger, 100, target_bounds=[0, 100], **QUICK).fit(frame, target)
    scales = [(each.noise_scale_binning_, each.noise_scale_boosting_) for each in kept[1::2]]
    assert scales[0] == scales[1] == scales[2]
    private(0.7, ledger, 100, learning_rate=0.1, **QUICK).fit(frame, numpy.tile([0, 1], 50))
    assert (kept[-1].noise_scale_binning_, kept[-1].noise_scale_boosting_) == scales[0]


def test_the_library_s_own_regressor_adds_too_little_noise(monkeypatch):
    """Why it is not used: one row moves a sum by 101 times of what its noise is made for."""
    sums, get = [], Booster.get_term_update

    def keep(self):
        sums.append(get(self))
        return sums[-1].copy()

    monkeypatch.setattr(Booster, "get_term_update", keep)
    settings = {"privacy_bounds": numpy.array([[0.0, 10.0]]), "feature_types": ["continuous"], "n_jobs": 1}
    model = DPExplainableBoostingRegressor(
        privacy_target_min=100, privacy_target_max=101, epsilon=100.0, learning_rate=0.5, max_rounds=1, **settings
    )
    model.fit(numpy.array([[1.0]] * 50), numpy.full(50, 101.0))
    made_for = 101 - 100
    assert numpy.abs(sums[0]).max() == pytest.approx(0.5 * 101 * 50)
    assert numpy.abs(sums[0]).max() > 100 * 0.5 * made_for * 50


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            {"target_bounds": [95, 16]},
            {},
            "privacy's target_bounds must be two numbers, the lesser first; got [95, 16].",
        ),
        ({"target_bounds": 95}, {}, "privacy's target_bounds must be two numbers, the lesser first; got 95."),
        (
            {"target_bounds": [16, math.nan]},
            {},
            "privacy's target_bounds must be two numbers, the lesser first; got [16, nan].",
        ),
        (
            {"target_bounds": None},
            {},
            "privacy must have target_bounds for a target of fractions; the column 'AGEP' has them.",
        ),
        (
            {},
            {"estimator": REGRESSOR},
            f"estimator must be '{ESTIMATOR}' with privacy; got '{REGRESSOR}'.",
        ),
        (
            {},
            {"positive_class": "1"},
            "positive_class must be left out with privacy's target_bounds; got '1'.",
        ),
        (
            {"categories": {"MAR": [1, 2], "SEX": [1, 2], "AGEP": [1]}},
            {},
            "privacy must tell of features; 'AGEP' is none.",
        ),
    ],
)
def test_what_cannot_be_a_private_regression_is_refused_and_spends_nothing(
    run, census, ledger, change, options, message
):
    frame = census[["AGEP", "SCHL", "MAR", "SEX"]][:300].assign(AGEP=lambda all_of: all_of["AGEP"] + 0.5)
    privacy = {"epsilon": 1.0, "delta": 1e-6, "ledger": str(ledger), **AGE} | change
    with pytest.raises(InputError) as caught:
        run(frame, "AGEP", **{"estimator": ESTIMATOR, "privacy": privacy} | options)
    assert caught.value.message == message
    assert read_ledger(ledger) == {}


@pytest.mark.parametrize("bounds", [[-1.7e308, 1.7e308], [1e308, 1.7e308], [1.0, 1.0000000001], [2**53, 2**53 + 1]])
@pytest.mark.parametrize("key", ["target_bounds", "bounds"])
def test_bounds_that_doubles_cannot_divide_are_refused(ledger, key, bounds):
    given = {"epsilon": 1.0, "delta": 1e-6, "ledger": str(ledger)}
    what = "target_bounds" if key == "target_bounds" else "bounds of 'x'"
    with pytest.raises(InputError) as caught:
        read_privacy(given | {key: bounds if key == "target_bounds" else {"x": bounds}})
    assert caught.value.message == (
        f"privacy's {what} must be at most 4.49423e+307 and differ by a billionth or more; got {bounds!r}."
    )


@pytest.mark.parametrize("bounds", [[-4.4e307, 4.4e307], [0, 1e-12], [1.0, 1.00000001], [-5, -4.9999999]])
def test_bounds_of_all_sizes_are_learnt_and_kept_within(ledger, bounds):
    low, high = bounds
    chance = numpy.random.default_rng(0)
    share = chance.random(1000)
    parameters = {"max_rounds": 100, "learning_rate": 0.1}
    model = private(100.0, ledger, 1000, bounds=bounds, target_bounds=bounds, **parameters)
    found = model.fit(pandas.DataFrame({"x": low + share * (high - low)}), low + share * (high - low))
    told = found.predict(pandas.DataFrame({"x": [low, low + (high - low) * 0.9]}))
    assert low <= told[0] < low + 0.4 * (high - low) < low + 0.6 * (high - low) < told[1] <= high


def test_a_private_regression_can_be_cloned_and_trained_as_it_stands(run, census, ledger):
    frame = census[["AGEP", "SCHL", "MAR", "SEX"]][:300]
    privacy = {"epsilon": 1.0, "delta": 1e-6, "ledger": str(ledger), **AGE}
    trained = run(frame, "AGEP", estimator=ESTIMATOR, estimator_parameters=QUICK, privacy=privacy)
    estimator = load_model(trained.path).estimator
    assert estimator["estimator"].hidden_layer_sizes == (1,)
    estimator["estimator"]._validate_params()
    assert clone(estimator).fit(frame.drop(columns="AGEP").astype(float), frame["AGEP"]) is not None


def test_a_target_of_text_is_no_regression(run, people, ledger):
    given = {"estimator": ESTIMATOR, "privacy": asked(ledger, target_bounds=[0, 1])}
    for target in (people["home, town"].fillna("Ulm"), people["bought it"]):
        with pytest.raises(InputError, match="target must hold finite numbers for a regressor; the column 'bought it'"):
            run(people.assign(**{"bought it": target}), **given)
    assert read_ledger(ledger) == {}
