from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from kfp import dsl

from kfp_hallmark.components.evaluation.fairness_gate.fairness import judge_fairness
from kfp_hallmark.contracts.dataset import write_table
from kfp_hallmark.contracts.predictions import BINARY, Predictions, write_predictions
from kfp_hallmark.contracts.verdict import Verdict

MODEL = "sha256:" + "1" * 64


@pytest.fixture
def fairness(tmp_path):
    """Run the gate on columns, labels and predictions (0 or 1); give the status, the verdict and the report."""

    def run(columns, label, prediction, features, limits, dataset=None, task=BINARY, score=None, **settings):
        table = pa.table({**columns, "hired": label})
        digest = write_table(tmp_path / "dataset.parquet", table, {})
        predictions = Predictions(
            task=task,
            target="hired",
            label=np.asarray(label),
            prediction=np.asarray(prediction),
            score=score,
            classes=settings.pop("classes", (0, 1)),
            positive_class=settings.pop("positive_class", 1),
            threshold=0.5,
            model=MODEL,
            dataset=dataset or digest,
        )
        write_predictions(tmp_path / "predictions.parquet", predictions)
        settings = {
            "min_group_size": 20,
            "intersection": True,
            "bootstrap_samples": 200,
            "confidence": 0.95,
            "seed": 0,
            "model_name": None,
            "max_champion_losses": {},
            "tracking_uri": None,
        } | settings
        (status,) = judge_fairness(
            dsl.Dataset(uri=str(tmp_path / "predictions.parquet")),
            dsl.Dataset(uri=str(tmp_path / "dataset.parquet")),
            dsl.Artifact(uri=str(tmp_path / "out" / "verdict.json")),
            dsl.HTML(uri=str(tmp_path / "out" / "report.html")),
            features,
            limits,
            **settings,
        )
        return SimpleNamespace(
            status=status,
            verdict=Verdict.read(tmp_path / "out" / "verdict.json"),
            report=(tmp_path / "out" / "report.html").read_text(),
            folder=tmp_path,
        )

    return run


def rows_of(*groups):
    """Return group, label and prediction of rows given as (group, true positives, false negatives, false positives,
    true negatives)."""
    names, label, prediction = [], [], []
    for name, *counts in groups:
        for count, truth, said in zip(counts, (1, 1, 0, 0), (1, 0, 1, 0), strict=True):
            names += [name] * count
            label += [truth] * count
            prediction += [said] * count
    return names, label, prediction


@pytest.fixture
def rows():
    return rows_of
