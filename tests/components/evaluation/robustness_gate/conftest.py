import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from kfp import dsl

from kfp_hallmark.components.evaluation.robustness_gate.robustness import judge_robustness
from kfp_hallmark.contracts.verdict import Verdict

SETTINGS = {
    "metric": None,
    "strengths": None,
    "categorical_features": [],
    "changeable_features": None,
    "min_prediction_change": None,
    "max_rows": 2000,
    "max_searched_rows": 100,
    "bootstrap_samples": 200,
    "confidence": 0.95,
    "seed": 0,
    "training": None,
    "retrainings": 10,
    "retrained_models": None,
}
MEANINGS = {
    "binary": {"task": "binary", "classes": [0, 1], "positive_class": 1, "threshold": 0.5},
    "multiclass": {"task": "multiclass", "classes": ["a", "b", "c"]},
    "regression": {"task": "regression"},
}


class Function:
    """A scikit-learn-like estimator around a function of a data frame."""

    def __init__(self, function):
        self.function = function

    def predict(self, frame):
        return self.function(frame)


@pytest.fixture
def save(tmp_path):
    """Write a function of a data frame, or an estimator, as an MLflow model; give its folder."""

    def write(function, frame, task="binary", types=None, **metadata):
        import cloudpickle

        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        words = {"f": "double", "i": "long", "b": "boolean"}
        inputs = [
            {"name": name, "type": (types or {}).get(name) or words.get(kind.kind, "string"), "required": True}
            for name, kind in frame.dtypes.items()
        ]
        estimator = function if hasattr(function, "fit") else Function(function)
        method = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
        document = {
            "flavors": {
                "python_function": {
                    "loader_module": "mlflow.sklearn",
                    "model_path": "model.pkl",
                    "predict_fn": method,
                },
                "sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"},
            },
            "signature": {"inputs": json.dumps(inputs)},
            "metadata": {"hallmark": {"target": "label"} | MEANINGS[task] | metadata},
        }
        (folder / "MLmodel").write_text(json.dumps(document))
        (folder / "model.pkl").write_bytes(cloudpickle.dumps(estimator))
        return folder

    return write


@pytest.fixture
def robustness(tmp_path, save):
    """Run the gate on a function and rows; give the status, the verdict and the report."""

    def run(function, frame, label, limits, task="binary", model=None, types=None, **settings):
        folder = model or save(function, frame, task, types)
        frame.assign(label=label).to_parquet(tmp_path / "data.parquet", index=False)
        (status,) = judge_robustness(
            dsl.Model(uri=str(folder)),
            dsl.Dataset(uri=str(tmp_path / "data.parquet")),
            dsl.Artifact(uri=str(tmp_path / "out" / "verdict.json")),
            dsl.HTML(uri=str(tmp_path / "out" / "report.html")),
            "label",
            limits,
            **(SETTINGS | settings),
        )
        return SimpleNamespace(
            status=status,
            verdict=Verdict.read(tmp_path / "out" / "verdict.json"),
            report=(tmp_path / "out" / "report.html").read_text(),
            out=tmp_path / "out",
        )

    return run


@pytest.fixture
def linear():
    """A logistic model of two normal features and an ignored one, its rows and labels drawn from it."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.normal(size=(1000, 3)) * [1.0, 10.0, 1.0], columns=["small", "large", "ignored"])
    weights = np.array([2.0, 0.1, 0.0])

    def score(rows):
        return 1 / (
            1 + np.exp(-(rows[["small", "large", "ignored"]].to_numpy() @ np.array([2.0, 0.1, 0.0])).clip(-700))
        )

    label = (random.random(1000) < score(frame)).astype(int)
    return SimpleNamespace(frame=frame, label=label, score=score, weights=weights)
