import math

import numpy as np
import pandas as pd
import pytest
from kfp import dsl
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from kfp_hallmark.components.evaluation.robustness_gate.retrain import summarise
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.predictions import BINARY, REGRESSION
from kfp_hallmark.errors import InputError, IntegrityError

FLIP = {"max_retraining_flip_rate": 0.2}
SPREAD = {"max_retraining_spread": 0.2}


class Coin(ClassifierMixin, BaseEstimator):
    """Decides by x, but for a share of the rows, which its seed chooses, the other way round."""

    def __init__(self, share=0.1, random_state=None):
        self.share, self.random_state = share, random_state

    def fit(self, rows, label):
        self.classes_ = np.unique(label)
        return self

    def predict(self, rows):
        turned = np.random.default_rng(self.random_state).random(len(rows)) < self.share
        return ((rows["x"].to_numpy() > 0) ^ turned).astype(int)


class Jitter(RegressorMixin, BaseEstimator):
    """Predicts x and noise of its seed."""

    def __init__(self, noise=0.3, random_state=None):
        self.noise, self.random_state = noise, random_state

    def fit(self, rows, label):
        self.fitted_ = True
        return self

    def predict(self, rows):
        return rows["x"].to_numpy() + np.random.default_rng(self.random_state).normal(0, self.noise, len(rows))


@pytest.fixture
def data(tmp_path):
    """Rows with a label of noise, and the same number to train on; the path of these."""
    random = np.random.default_rng(0)

    def make(task="binary", rows=2000):
        frames = []
        for _ in range(2):
            frame = pd.DataFrame({"x": random.normal(size=rows), "y": random.normal(size=rows)})
            value = frame["x"] + random.normal(size=rows)
            frames.append(frame.assign(label=value if task == "regression" else (value > 0).astype(int)))
        frames[1].to_parquet(tmp_path / "train.parquet", index=False)
        return frames[0], frames[1], tmp_path / "train.parquet"

    return make


@pytest.fixture
def retrained(robustness, save, data):
    """Fit an estimator, write it, and run the gate with a limit of retraining."""

    def run(estimator, limits, task="binary", metadata=None, **settings):
        frame, fitted, path = data(task)
        estimator.fit(fitted[["x", "y"]], fitted["label"])
        folder = save(estimator, frame[["x", "y"]], task, **(metadata or {}))
        training = dsl.Dataset(uri=str(path))
        rows = frame[["x", "y"]]
        return robustness(None, rows, frame["label"], limits, task, model=folder, **{"training": training} | settings)

    return run


def test_an_estimator_that_leaves_nothing_to_chance_never_changes(retrained):
    result = retrained(LogisticRegression(), FLIP)
    (check,) = result.verdict.checks
    assert (result.status, check.observed, check.interval[0]) == ("pass", 0.0, 0.0)
    assert check.interval[1] == pytest.approx(3.8414588 / (2000 + 3.8414588))
    assert (check.name, check.samples, check.scope) == ("retraining_flip_rate", 2000, {"retrainings": "10"})
    assert "On 0.0% of the rows at least one of them decides otherwise." in result.report
    (check,) = retrained(LinearRegression(), SPREAD, "regression").verdict.checks
    assert (check.name, check.observed, check.interval) == ("retraining_spread", 0.0, (0.0, 0.0))


def test_a_planted_flip_rate_is_found(retrained):
    """Two trainings decide a row differently when one of them turns it: 2 x 0.1 x 0.9."""
    result = retrained(Coin(0.1, random_state=3), FLIP)
    (check,) = result.verdict.checks
    assert result.status == "pass"
    assert check.interval[0] < 0.18 < check.interval[1] < 0.2
    assert check.observed == pytest.approx(0.18, abs=0.015)
    assert "Trainings with 10 other seeds give another decision on 1" in check.message
    assert retrained(Coin(0.1, 3), FLIP | {"max_retraining_flip_rate": 0.16}).status == "fail"
    assert retrained(Coin(0.1, 3), {"max_retraining_flip_rate": 0.181}, max_rows=300).status == "inconclusive"


def test_a_planted_spread_is_found(retrained):
    """The difference of two predictions has the deviation 0.3 x sqrt(2), the target sqrt(2)."""
    (check,) = retrained(Jitter(0.3, 3), SPREAD, "regression").verdict.checks
    assert check.observed == pytest.approx(0.3, abs=0.015)
    assert check.status == "fail"
    result = retrained(Jitter(0.3, 3), {"max_retraining_spread": 0.4}, "regression")
    assert result.status == "pass"
    assert "change the predictions by" in result.verdict.checks[0].message


def test_a_forest_of_few_trees_changes_more_than_one_of_many(retrained):
    few, many = (
        retrained(RandomForestClassifier(trees, max_depth=4, random_state=1), FLIP, retrainings=4, max_rows=500)
        for trees in (2, 60)
    )
    rates = [each.verdict.checks[0].observed for each in (few, many)]
    assert rates[0] > 2 * rates[1] > 0


def test_the_seeds_follow_from_the_seed(retrained):
    first, again, other = (
        retrained(Coin(0.1, 3), FLIP, seed=seed, max_rows=2000).verdict.checks[0].interval for seed in (1, 1, 2)
    )
    assert first != other
    assert again != other


@pytest.mark.parametrize("flavor", ["xgboost", "lightgbm", "skops"])
def test_models_of_other_flavors_are_trained_again(robustness, data, tmp_path, flavor):
    import mlflow
    from mlflow.models import infer_signature

    frame, fitted, path = data(rows=400)
    features, label = fitted[["x", "y"]], fitted["label"]
    if flavor == "xgboost":
        import xgboost

        made, module = xgboost.XGBClassifier(n_estimators=5, subsample=0.5, random_state=1, n_jobs=1), mlflow.xgboost
    elif flavor == "lightgbm":
        import lightgbm

        made = lightgbm.LGBMClassifier(
            n_estimators=5, subsample=0.5, subsample_freq=1, random_state=1, n_jobs=1, verbose=-1
        )
        module = mlflow.lightgbm
    else:
        made, module = LogisticRegression(), mlflow.sklearn
    made.fit(features, label)
    options = {"serialization_format": "skops", "pyfunc_predict_fn": "predict_proba"} if flavor == "skops" else {}
    module.save_model(
        made, str(tmp_path / "other"), signature=infer_signature(features, label), pip_requirements=[], **options
    )
    result = robustness(
        None, frame[["x", "y"]], frame["label"], FLIP, model=tmp_path / "other",
        training=dsl.Dataset(uri=str(path)), retrainings=3,
    )  # fmt: skip
    (check,) = result.verdict.checks
    assert (check.observed == 0) == (flavor == "skops")


def not_measured(result):
    """Return why the one check of retraining is not measured."""
    (check,) = result.verdict.checks
    assert (result.status, check.status, check.observed, check.interval, check.samples) == (
        "inconclusive",
        "inconclusive",
        None,
        None,
        None,
    )
    assert check.maximum == FLIP["max_retraining_flip_rate"]
    assert check.message in result.verdict.reasons()[0]
    assert "It cannot be told whether the limit is kept for retraining flip rate." in result.report
    assert check.message.startswith("What other seeds change was not measured. ")
    return check.message


def test_a_model_that_is_no_estimator_is_not_measured(robustness, linear, data):
    path = data()[2]
    result = robustness(linear.score, linear.frame, linear.label, FLIP, training=dsl.Dataset(uri=str(path)))
    assert "must be an estimator with scikit-learn's API to be trained again; it is not." in not_measured(result)


def test_what_is_not_measured_hides_nothing_else(robustness, linear, data):
    limits = FLIP | {"max_noise_drop": 0.5}
    result = robustness(linear.score, linear.frame, linear.label, limits, training=dsl.Dataset(uri=str(data()[2])))
    assert result.status == "inconclusive"
    assert {check.status for check in result.verdict.checks if check.name == "noise_drop"} == {"pass"}


def test_a_model_that_is_another_when_trained_as_it_was_is_not_measured(robustness, save, data):
    frame, fitted, path = data()
    weighted = LogisticRegression(random_state=0).fit(
        fitted[["x", "y"]], fitted["label"], np.where(fitted["label"] == 1, 3.0, 1.0)
    )
    folder, training = save(weighted, frame[["x", "y"]]), dsl.Dataset(uri=str(path))
    result = robustness(None, frame[["x", "y"]], frame["label"], FLIP, model=folder, training=training)
    assert "must be the same when it is trained as it was; it is another. It was trained" in not_measured(result)


class Once(Coin):
    """Can be fitted once, or gives nothing to predict with."""

    def fit(self, rows, label):
        if len(rows) < 2000:
            return super().fit(rows, label)
        raise RuntimeError("the value 41")


class Mute(Coin):
    def predict(self, rows):
        raise RuntimeError("the value 41")


@pytest.mark.parametrize(("made", "told"), [(Once, "must fit 2,000 rows"), (Mute, "must predict every row")])
def test_a_training_that_fails_is_not_measured(robustness, save, data, made, told):
    frame, fitted, path = data()
    folder = save(Coin(0.1, 3).fit(fitted[["x", "y"]], fitted["label"]), frame[["x", "y"]])
    other = save(made(0.1, 3), frame[["x", "y"]])
    assert other == folder
    if made is Mute:  # it must predict as it is, so it fails only once it is trained again
        made = type("Late", (Coin,), {"fit": lambda self, rows, label: Mute(0.1, 3)})
        save(made(0.1, 3), frame[["x", "y"]])
    training = dsl.Dataset(uri=str(path))
    message = not_measured(robustness(None, frame[["x", "y"]], frame["label"], FLIP, model=folder, training=training))
    assert told in message
    assert "41" not in message


@pytest.mark.parametrize(
    ("settings", "limits", "message"),
    [
        (
            {"training": None},
            FLIP,
            r"Either training or retrained_models must be given together with max_retraining_flip_rate; got neither\.",
        ),
        (
            {"retrained_models": dsl.Artifact(uri="/nowhere")},
            FLIP,
            r"Either training or retrained_models must be given together with max_retraining_flip_rate; got both\.",
        ),
        ({"retrainings": 1}, FLIP, r"retrainings must be from 2 to 100; got 1\."),
        ({"retrainings": 101}, FLIP, r"retrainings must be from 2 to 100; got 101\."),
        ({}, SPREAD, r"The limit of retraining must be max_retraining_flip_rate here; got max_retraining_spread\."),
        ({}, FLIP | SPREAD, r"limits must hold one limit of retraining"),
        ({}, {"max_retraining_flip_rate": 1.1}, r"must be a number from 0 to 1; got 1\.1\."),
        (
            {"metadata": {"datasets": ["sha256:" + "0" * 64]}},
            FLIP,
            r"training must be the data that the model '.*' was trained on; its digest is another\.",
        ),
    ],
)
def test_what_cannot_be_used_raises(retrained, tmp_path, settings, limits, message):
    with pytest.raises(InputError, match=message):
        retrained(Coin(0.1, 3), limits, **settings)
    assert not (tmp_path / "out").exists()


def test_a_spread_wants_a_target_that_varies(robustness, save, data, tmp_path):
    frame, fitted, path = data("regression")
    folder = save(LinearRegression().fit(fitted[["x", "y"]], fitted["label"]), frame[["x", "y"]], "regression")
    training = dsl.Dataset(uri=str(path))
    with pytest.raises(InputError, match="The target 'label' must vary in the tested rows to tell a spread"):
        robustness(None, frame[["x", "y"]], 1.5, SPREAD, "regression", model=folder, training=training)
    assert not (tmp_path / "out").exists()


def test_changed_data_to_train_on_are_refused(retrained, tmp_path, data):
    changed = dsl.Dataset(uri=str(data()[2]), metadata={"digest": "sha256:" + "0" * 64})
    with pytest.raises(IntegrityError, match="The training must have the digest"):
        retrained(Coin(0.1, 3), FLIP, training=changed)


def test_the_named_data_are_taken(data, save, robustness):
    frame, fitted, path = data()
    coin = Coin(0.1, 3).fit(fitted[["x", "y"]], fitted["label"])
    folder = save(coin, frame[["x", "y"]], datasets=[artifact_digest(path)])
    result = robustness(
        None, frame[["x", "y"]], frame["label"], FLIP, model=folder, training=dsl.Dataset(uri=str(path))
    )
    assert result.verdict.parameters["training"] == artifact_digest(path)


def test_the_interval_by_hand():
    """Four rows, two retrainings: rows 0.5, 0, 0, 0.5 and seeds 0.25, 0.25."""
    found = summarise(np.array([[1, 0, 0, 0], [0, 0, 0, 1]], dtype=float), BINARY, 0.95)
    assert (found.observed, found.each.tolist(), found.ambiguous) == (0.25, [0.25, 0.25], 0.5)
    variance, quantile = 1 / 12 / 4, 3.182446305
    size = 0.1875 / variance * (1.959963985 / quantile) ** 2
    z = 1.959963985
    centre = (0.25 + z * z / (2 * size)) / (1 + z * z / size)
    reach = z * math.sqrt(0.1875 / size + z * z / (4 * size * size)) / (1 + z * z / size)
    assert found.interval == pytest.approx((centre - reach, centre + reach))


@pytest.mark.parametrize(
    ("rows", "times", "of_seed", "of_row"), [(500, 10, 0.0, 0.2), (500, 5, 0.1, 0.2), (1000, 10, 0.05, 0.2)]
)
def test_the_interval_of_the_flip_rate_holds_it_as_often_as_it_says(rows, times, of_seed, of_row):
    """A score moves with the seed as a whole and in each row; a flip is a change of its sign."""
    random = np.random.default_rng(7)

    def flips(rows, times):
        score = random.normal(size=rows)
        own = score + of_row * random.normal(size=rows) > 0
        moved = score + of_seed * random.normal(size=(times, 1)) + of_row * random.normal(size=(times, rows)) > 0
        return (moved != own).astype(float)

    truth = np.mean([flips(4000, 100).mean() for _ in range(60)])
    ends = np.array([summarise(flips(rows, times), BINARY, 0.95).interval for _ in range(1000)])
    assert 0.93 <= ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean() <= 0.98


@pytest.mark.parametrize(("times", "of_seed"), [(10, 0.0), (10, 0.05)])
def test_the_interval_of_the_spread_holds_it_as_often_as_it_says(times, of_seed):
    random = np.random.default_rng(7)

    def squares(rows):
        noise = 0.2 * random.normal(size=(times + 1, rows)) + of_seed * random.normal(size=(times + 1, 1))
        noise[0] -= noise[0].mean()
        return (noise[1:] - noise[0]) ** 2

    truth = math.sqrt(2 * 0.2**2 + of_seed**2)
    ends = np.array([summarise(squares(1000), REGRESSION, 0.95).interval for _ in range(1000)])
    assert 0.92 <= ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean() <= 0.98
