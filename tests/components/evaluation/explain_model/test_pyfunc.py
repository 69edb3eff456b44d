"""Whatever MLflow can load as a python_function is explained, by SHAP values and by LIME."""

import json
import re

import mlflow
import numpy as np
import pandas as pd
import pytest
from kfp import dsl
from mlflow.models import infer_signature

from kfp_hallmark.components.evaluation.explain_model.explain import explain
from kfp_hallmark.errors import InputError

NAMES = ["a", "b", "c"]


def chance(rows):
    return 1 / (1 + np.exp(-2 * np.asarray(rows, dtype=np.float32)[:, 0]))


class OneColumn(mlflow.pyfunc.PythonModel):
    """As mlflow.pytorch: float32 of shape (rows, 1) in a data frame."""

    def predict(self, context, model_input, params=None):
        return pd.DataFrame(chance(model_input).astype(np.float32)[:, None], index=model_input.index)


class ThreeColumns(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        scores = np.exp(model_input.to_numpy(np.float32))
        return pd.DataFrame(scores / scores.sum(axis=1, keepdims=True), index=model_input.index)


class Listing(mlflow.pyfunc.PythonModel):
    def predict(self, model_input, params=None):
        return [float(value) for value in 3 * model_input["a"]]


class Classes(mlflow.pyfunc.PythonModel):
    """Classes, in a Series with an index of its own."""

    def predict(self, model_input, params=None):
        return pd.Series((chance(model_input) >= 0.5).astype(int), index=range(7, 7 + len(model_input)))


class Unbounded(mlflow.pyfunc.PythonModel):
    """Says something that is no finite number of some rows; from the first, or only where values are exchanged."""

    def __init__(self, value, rows):
        self.value, self.rows = value, rows

    def predict(self, context, model_input, params=None):
        found = chance(model_input).astype(float)
        found[-1] = found[-1] if len(model_input) == self.rows else self.value
        return found


class Constant(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return np.full(len(model_input), 0.25)


class BreakingLater(mlflow.pyfunc.PythonModel):
    """Predicts the rows themselves; fails where values are exchanged."""

    def predict(self, context, model_input, params=None):
        if len(model_input) != 150:
            raise ValueError(f"cannot use {model_input.iloc[0, 0]}")
        return chance(model_input)


@pytest.fixture
def explained(tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(150, 3)), columns=NAMES)

    def run(model, label, method="lime"):
        folder, data = tmp_path / "model", tmp_path / "data.parquet"
        signature = infer_signature(frame, np.zeros(2))
        mlflow.pyfunc.save_model(folder, python_model=model, signature=signature, pip_requirements=[])
        frame.assign(label=label(frame)).to_parquet(data, index=False)
        outputs = [
            dsl.Artifact(uri=str(tmp_path / "importances.json")),
            dsl.Metrics(uri=str(tmp_path / "metrics")),
            dsl.HTML(uri=str(tmp_path / "report.html")),
        ]
        explain(dsl.Model(uri=str(folder)), dsl.Dataset(uri=str(data)), *outputs, "label", 1000, 3, 0, [], method)
        return json.loads((tmp_path / "importances.json").read_text()), (tmp_path / "report.html").read_text()

    return run


def yes(frame):
    return (frame["a"] > 0).astype(int)


@pytest.mark.parametrize(
    ("model", "label", "output"),
    [
        (OneColumn, yes, "label = 1"),
        (ThreeColumns, lambda frame: frame.to_numpy().argmax(axis=1), "the predicted class of label"),
        (Listing, lambda frame: 3 * frame["a"] + 0.1, "label"),
        (Classes, yes, "label = 1"),
    ],
)
def test_every_form_of_output_is_explained(explained, model, label, output):
    document, page = explained(model(), label)
    assert document["explained"] == output
    assert page.count("where no value is kept") == 3
    if model is ThreeColumns:
        assert min(document["importances"].values()) > 0.01
    else:
        assert list(document["importances"].values())[1:] == [0, 0]
        assert next(iter(document["importances"])) == "a"


@pytest.mark.parametrize("method", ["shap", "lime"])
def test_of_a_model_that_says_always_the_same_no_feature_is_named(explained, method):
    document, page = explained(Constant(), yes, method)
    assert set(document["importances"].values()) == {0}
    assert "No feature moves these predictions." in page
    assert "rest most" not in page


@pytest.mark.parametrize("method", ["shap", "lime"])
def test_a_model_that_fails_is_named_with_the_step_and_no_values(explained, tmp_path, method):
    with pytest.raises(InputError) as caught:
        explained(BreakingLater(), yes, method)
    assert re.match(
        r"In explain_model: The model '.*/model' must predict rows in which values are exchanged for those of other "
        r"rows; it failed with ValueError in predict \(test_pyfunc.py, line \d+\)\.",
        caught.value.message,
    )
    assert "cannot use" not in str(caught.value)
    assert not (tmp_path / "importances.json").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("rows", [0, 150])
@pytest.mark.parametrize("label", [yes, lambda frame: 3 * frame["a"] + 0.1])
def test_a_model_that_predicts_no_finite_number_is_refused(explained, tmp_path, value, rows, label):
    with pytest.raises(InputError, match=r"In explain_model: The model '.*' must predict finite numbers; some are NaN"):
        explained(Unbounded(value, rows), label, "shap")
    assert not (tmp_path / "importances.json").exists()
