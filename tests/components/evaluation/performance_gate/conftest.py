from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from kfp import dsl

from kfp_hallmark.components.evaluation.performance_gate.performance import judge_performance
from kfp_hallmark.contracts.dataset import write_table
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions, write_predictions
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.tracking import client

MODEL = "sha256:" + "1" * 64
SETTINGS = {
    "serving_limits": {},
    "model_name": None,
    "champion_metric": None,
    "champion_question": "non_inferiority",
    "max_champion_loss": 0.01,
    "power": None,
    "slices": [],
    "max_slice_loss": 0.05,
    "bootstrap_samples": 200,
    "confidence": 0.95,
    "seed": 0,
    "tracking_uri": None,
}


@pytest.fixture
def performance(tmp_path):
    """Run the gate on labels and scores (or numbers); give the status, the verdict and the report.

    `frame` holds the features; the digests of dataset and model can be given to differ from what is judged.
    """

    def run(label, score, limits, frame=None, dataset=None, model=MODEL, task=BINARY, given_model=None, **settings):
        label, score = np.asarray(label), np.asarray(score, dtype=float)
        table = pa.Table.from_pandas((pd.DataFrame() if frame is None else frame).assign(label=label))
        digest = write_table(tmp_path / "dataset.parquet", table, {})
        predictions = Predictions(
            task=task,
            target="label",
            label=label,
            prediction={
                BINARY: lambda: (score >= 0.5).astype(int),
                MULTICLASS: lambda: score.argmax(axis=1),
                REGRESSION: lambda: score,
            }[task](),
            score=None if task == REGRESSION else score,
            classes={BINARY: (0, 1), MULTICLASS: (0, 1, 2), REGRESSION: ()}[task],
            positive_class=1 if task == BINARY else None,
            threshold=0.5 if task == BINARY else None,
            model=model,
            dataset=dataset or digest,
        )
        write_predictions(tmp_path / "predictions.parquet", predictions)
        (status,) = judge_performance(
            dsl.Dataset(uri=str(tmp_path / "predictions.parquet")),
            dsl.Dataset(uri=str(tmp_path / "dataset.parquet")),
            dsl.Artifact(uri=str(tmp_path / "out" / "verdict.json")),
            dsl.HTML(uri=str(tmp_path / "out" / "report.html")),
            limits,
            given_model and dsl.Model(uri=str(given_model)),
            **(SETTINGS | settings),
        )
        return SimpleNamespace(
            status=status,
            verdict=Verdict.read(tmp_path / "out" / "verdict.json"),
            report=(tmp_path / "out" / "report.html").read_text(),
        )

    return run


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """A local registry, with a function that registers a model folder as the champion of a name."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"
    store = client(uri)

    def champion(name, folder, tags=None):
        store.create_registered_model(name)
        tags = {"hallmark.digest": artifact_digest(folder)} if tags is None else tags
        version = store.create_model_version(name, source=str(folder), tags=tags)
        store.set_registered_model_alias(name, "champion", version.version)
        return version

    return SimpleNamespace(uri=uri, store=store, champion=champion)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Two models of one label and data to compare them on: the good one sees both features, the poor one little.

    Returns:
        Name to folder and scores, the features of 1,500 rows, and their labels.
    """
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(1500, 2)), columns=["a", "b c"])
    label = (frame["a"] + frame["b c"] + random.normal(0, 0.7, 1500) > 0.5).astype(int).to_numpy()
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for name, noise in (("good", 0.0), ("poor", 3.0)):
        seen = frame + random.normal(0, noise or 1e-9, frame.shape) * [1, 0]
        estimator = LogisticRegression(C=1.0 if name == "good" else 0.0005).fit(seen * [1, name == "good"], label)
        mlflow.sklearn.save_model(
            estimator,
            folder / name,
            signature=infer_signature(frame, estimator.predict_proba(frame)),
            pyfunc_predict_fn="predict_proba",
            serialization_format="pickle",
            pip_requirements=["scikit-learn"],
            metadata={
                "hallmark": {
                    "task": "binary",
                    "target": "label",
                    "classes": [0, 1],
                    "positive_class": 1,
                    "threshold": 0.5,
                }
            },
        )
        made[name] = SimpleNamespace(folder=folder / name, score=estimator.predict_proba(frame)[:, 1])
    return SimpleNamespace(**made, frame=frame, label=label)
