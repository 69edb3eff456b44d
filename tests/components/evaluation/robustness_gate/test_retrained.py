"""Models that a user trained with other seeds, compared with the one that is judged."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from kfp import dsl

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError, IntegrityError

FLIP = {"max_retraining_flip_rate": 0.2}
SPREAD = {"max_retraining_spread": 0.2}
DATA = ["sha256:" + "5" * 64]


def coin(seed, share=0.1):
    """A classifier without any training that is known here: x decides, but for a share of the rows of its seed."""

    def score(rows):
        turned = np.random.default_rng(seed).random(len(rows)) < share
        return (((rows["x"] > 0) ^ turned) * 1.0).to_numpy()

    return score


def jitter(seed, noise=0.3):
    return lambda rows: rows["x"].to_numpy() + np.random.default_rng(seed).normal(0, noise, len(rows))


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    return pd.DataFrame({"x": random.normal(size=2000), "y": random.normal(size=2000)})


@pytest.fixture
def further(save, tmp_path):
    """Write a model, and further ones in the folder `others`; give the model's folder and theirs."""

    def write(make, frame, seeds, task="binary", own=0, theirs=None, **metadata):
        for place, seed in enumerate(seeds):
            folder = save(make(seed), frame, theirs or task, **{"seed": seed, "datasets": DATA} | metadata)
            shutil.move(folder, tmp_path / "others" / f"model_{place}")
        return save(make(own), frame, task, seed=own, datasets=DATA), tmp_path / "others"

    (tmp_path / "others").mkdir()
    return write


def compared(robustness, frame, label, limits, folders, task="binary", **settings):
    model, others = folders
    given = {"retrained_models": dsl.Artifact(uri=str(others))}
    return robustness(None, frame, label, limits, task, model=model, **given | settings)


def test_a_planted_flip_rate_is_found(robustness, further, rows):
    """Two trainings decide a row differently when one of them turns it: 2 x 0.1 x 0.9."""
    label, folders = (rows["x"] > 0) * 1, further(coin, rows, range(1, 11))
    result = compared(robustness, rows, label, FLIP, folders)
    (check,) = result.verdict.checks
    assert result.status == "pass"
    assert (check.name, check.samples, check.scope) == ("retraining_flip_rate", 2000, {"retrainings": "10"})
    expected = np.mean([(coin(seed)(rows) != coin(0)(rows)).mean() for seed in range(1, 11)])
    assert check.interval[0] < 0.18 < check.interval[1] < 0.2
    parameters = result.verdict.parameters
    assert parameters["retrained_models"] == artifact_digest(folders[1])
    assert parameters["training"] is None
    order = np.random.default_rng(0).permutation(2000)
    turned = [(coin(seed)(rows.iloc[order]) != coin(0)(rows.iloc[order])).mean() for seed in range(1, 11)]
    assert check.observed == pytest.approx(np.mean(turned), abs=1e-12)
    assert check.observed == pytest.approx(expected, abs=0.01)
    assert "10 models were trained as this one on the same data, with other seeds." in result.report
    assert compared(robustness, rows, label, {"max_retraining_flip_rate": 0.15}, folders).status == "fail"
    assert compared(robustness, rows, label, {"max_retraining_flip_rate": 0.18}, folders).status == "inconclusive"


def test_a_planted_spread_is_found(robustness, further, rows):
    """The difference of two predictions has the deviation 0.3 x sqrt(2), the target sqrt(2)."""
    label = rows["x"] + np.random.default_rng(5).normal(size=2000)
    folders = further(jitter, rows, range(1, 6), "regression")
    (check,) = compared(robustness, rows, label, SPREAD, folders, "regression").verdict.checks
    assert check.observed == pytest.approx(0.3, abs=0.02)
    assert check.status == "fail"
    assert compared(robustness, rows, label, {"max_retraining_spread": 0.4}, folders, "regression").status == "pass"


def test_models_of_several_classes_and_of_text_are_compared(robustness, further, rows):
    def dice(seed):
        def classes(frame):
            turned = np.random.default_rng(seed).random(len(frame)) < 0.1
            return np.where(turned, "c", np.where(frame["x"] > 0, "a", "b"))

        return classes

    label = np.where(rows["x"] > 0, "a", np.where(rows["y"] > 0, "b", "c"))
    folders = further(dice, rows, [7, 8], "multiclass")
    (check,) = compared(robustness, rows, label, FLIP, folders, "multiclass").verdict.checks
    assert check.observed == pytest.approx(0.18, abs=0.02)


def test_models_that_are_all_the_same_flip_nothing(robustness, further, rows):
    folders = further(lambda seed: coin(3), rows, [1, 2])
    (check,) = compared(robustness, rows, (rows["x"] > 0) * 1, FLIP, folders).verdict.checks
    assert (check.status, check.observed, check.interval[0]) == ("pass", 0.0, 0.0)


CODE = """
from mlflow.pyfunc import PythonModel

SHIFT = {shift}


class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        return (model_input["x"] > SHIFT).astype(float).to_numpy()
"""


def test_models_with_code_of_their_own_do_not_mix(robustness, rows, tmp_path, monkeypatch):
    """Python keeps one module of a name: in one process all would have the shift of the first."""
    import sys

    import mlflow
    from mlflow.models import infer_signature

    folders = []
    for place, shift in enumerate([0.0, 0.5, 1.0]):
        code = tmp_path / f"code_{place}"
        code.mkdir()
        (code / "of_the_user.py").write_text(CODE.format(shift=shift))
        monkeypatch.syspath_prepend(code)
        from of_the_user import Model

        folders.append(tmp_path / ("model" if place == 0 else f"others/model_{place}"))
        mlflow.pyfunc.save_model(
            str(folders[-1]),
            python_model=Model(),
            code_paths=[str(code / "of_the_user.py")],
            signature=infer_signature(rows),
            pip_requirements=[],
            metadata={"hallmark": {"task": "binary", "classes": [0, 1], "positive_class": 1, "seed": place}},
        )
        del sys.modules["of_the_user"]
    given = folders[0], tmp_path / "others"
    (check,) = compared(robustness, rows, (rows["x"] > 0) * 1, {"max_retraining_flip_rate": 0.9}, given).verdict.checks
    x = rows["x"].to_numpy()
    assert check.observed == pytest.approx((((x > 0) & (x <= 0.5)).mean() + ((x > 0) & (x <= 1)).mean()) / 2)


@pytest.mark.parametrize(
    ("seeds", "change", "message"),
    [
        ([1], {}, r"retrained_models must be a folder of 2 to 100 MLflow model folders; it holds 1\."),
        ([], {}, r"retrained_models must be a folder of 2 to 100 MLflow model folders; it holds 0\."),
        ([1, 1], {}, r"retrained_models must each have another seed; 'model_1' has the seed 1 of 'model_0'\."),
        ([1, 0], {}, r"retrained_models must each have another seed; 'model_1' has the seed 0 of 'the model'\."),
        ([1, 2], {"seed": None}, r"Every model must state its seed, a whole number, .*; 'model_0' does not\."),
        ([1, 2], {"seed": True}, r"Every model must state its seed, a whole number, .*; 'model_0' does not\."),
        (
            [1, 2],
            {"datasets": ["sha256:" + "6" * 64]},
            r"must differ from the model in nothing but the seed; 'model_0' has other training data \(datasets\)\.",
        ),
        ([1, 2], {"datasets": None}, r"'model_0' has other training data \(datasets\)\."),
        ([1, 2], {"theirs": "regression"}, r"'model_0' has other task\."),
        ([1, 2], {"classes": [0, 5], "positive_class": 5}, r"'model_0' has other classes\."),
    ],
)
def test_what_cannot_be_compared_raises(robustness, further, rows, tmp_path, seeds, change, message):
    folders = further(coin, rows, seeds, **change)
    with pytest.raises(InputError, match=message):
        compared(robustness, rows, (rows["x"] > 0) * 1, FLIP, folders)
    assert not (tmp_path / "out").exists()


def test_a_model_of_other_columns_or_one_that_fails_raises(robustness, further, save, rows):
    model, others = further(coin, rows, [1, 2])
    text = yaml.safe_load((others / "model_1" / "MLmodel").read_text())
    text["signature"]["inputs"] = text["signature"]["inputs"].replace('"y"', '"z"')
    (others / "model_1" / "MLmodel").write_text(yaml.safe_dump(text))
    with pytest.raises(InputError, match="'model_1' has other columns"):
        compared(robustness, rows, (rows["x"] > 0) * 1, FLIP, (model, others))
    shutil.rmtree(others / "model_1")
    shutil.copytree(save(lambda frame: frame["no"], rows, seed=5, datasets=DATA), others / "model_1")
    save(coin(0), rows, seed=0, datasets=DATA)
    with pytest.raises(InputError, match=r"In robustness_gate, in a retraining: The model '.*model_1' must predict"):
        compared(robustness, rows, (rows["x"] > 0) * 1, FLIP, (model, others))


def test_changed_models_are_not_loaded(robustness, further, rows):
    model, others = further(coin, rows, [1, 2])
    changed = dsl.Artifact(uri=str(others), metadata={"digest": "sha256:" + "0" * 64})
    with pytest.raises(IntegrityError, match="The retrained_models must have the digest"):
        compared(robustness, rows, (rows["x"] > 0) * 1, FLIP, (model, others), retrained_models=changed)


def test_without_a_limit_they_are_not_looked_at(robustness, rows, save):
    folder = save(coin(0), rows, seed=0)
    given = {"retrained_models": dsl.Artifact(uri="/nowhere"), "model": folder}
    result = robustness(None, rows, (rows["x"] > 0) * 1, {"max_missing_drop": 1.0}, **given)
    assert result.verdict.parameters["retrained_models"] is None
