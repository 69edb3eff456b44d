from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from kfp import dsl

from kfp_hallmark.components.evaluation.explain_model.explain import explain
from kfp_hallmark.components.evaluation.explanation_gate.explanation import judge_explanation
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.importances import Importances
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.explanation.rows import ordered_means, part_means, part_rows

SETTINGS = {
    "forbidden_features": [],
    "min_proxy_strength": 0.25,
    "model_name": None,
    "confidence": 0.95,
    "seed": 0,
    "tracking_uri": None,
}


@pytest.fixture
def judge(tmp_path):
    """Run the gate; give the status, the verdict, its checks by name and scope, and the report."""

    def run(importances, data, limits, metadata=None, **settings):
        (status,) = judge_explanation(
            dsl.Artifact(uri=str(importances), metadata=metadata or {}),
            dsl.Dataset(uri=str(data)),
            dsl.Artifact(uri=str(tmp_path / "out" / "verdict.json")),
            dsl.HTML(uri=str(tmp_path / "out" / "report.html")),
            limits,
            **(SETTINGS | settings),
        )
        verdict = Verdict.read(tmp_path / "out" / "verdict.json")
        checks = {(check.name, check.scope.get("feature")): check for check in verdict.checks}
        report = (tmp_path / "out" / "report.html").read_text()
        return SimpleNamespace(status=status, verdict=verdict, checks=checks, report=report)

    return run


@pytest.fixture
def stated(tmp_path):
    """Write rows, and importances that rest on given SHAP values of them; give both paths."""

    def write(frame, values, **fields):
        frame = frame.assign(label=np.arange(len(frame)) % 2)
        data, path = tmp_path / "data.parquet", tmp_path / "importances.json"
        frame.to_parquet(data, index=False)
        size = part_rows(len(values))
        names = list(frame.columns[: values.shape[1]])
        given = {
            "model": "sha256:" + "1" * 64,
            "dataset": artifact_digest(data),
            "target": "label",
            "explained": "label = 1",
            "method": "the structure of the trees, exactly",
            "unit": "log-odds",
            "rows": len(values),
            "seed": 0,
            "importances": ordered_means(values, names),
            "cohorts": [],
            "part_rows": size,
            "parts": dict(zip(names, part_means(values, size).T.tolist(), strict=True)),
        }
        Importances(**(given | fields)).write(path)
        return path, data

    return write


@pytest.fixture
def explained(tmp_path, model_folder):
    """Fit an estimator to all but some columns and explain it; give the importances, the dataset and the model."""

    def run(frame, estimator, hidden=()):
        written, data = model_folder(frame.drop(columns=list(hidden)), estimator)
        model = written.rename(tmp_path / f"model{len(list(tmp_path.glob('model*')))}")
        frame.to_parquet(data, index=False)
        importances = dsl.Artifact(uri=str(tmp_path / "importances.json"))
        explain(
            dsl.Model(uri=str(model)),
            dsl.Dataset(uri=str(data)),
            importances,
            dsl.Metrics(uri=str(tmp_path / "metrics")),
            dsl.HTML(uri=str(tmp_path / "explanation.html")),
            "bought",
            1000,
            0,
            0,
        )
        found = Importances.read(importances.path)
        return SimpleNamespace(
            path=importances.path, metadata=importances.metadata, data=data, model=model, found=found
        )

    return run


@pytest.fixture
def people():
    """Rows in which an office, a text with missing values, tells the group; skill and noise do not."""
    random = np.random.default_rng(5)
    group = random.integers(0, 2, 1500)
    skill = random.normal(size=1500)
    code = np.where(group == 1, random.choice(["K7", "M2"], 1500), random.choice(["Q1", "Z9"], 1500)).astype(object)
    code[(group == 1) & (random.random(1500) < 0.5)] = None
    score = skill + 1.5 * group + random.normal(0, 0.5, 1500)
    return pd.DataFrame(
        {
            "skill": skill,
            "office": code,
            "noise": random.normal(size=1500),
            "group": np.where(group, "a", "b"),
            "bought": np.where(score > 0.75, "yes", "no"),
        }
    )
