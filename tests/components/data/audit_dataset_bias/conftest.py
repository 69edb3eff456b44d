from types import SimpleNamespace

import pytest
from kfp import dsl

from kfp_hallmark.components.data.audit_dataset_bias.audit import audit_bias
from kfp_hallmark.contracts.verdict import Verdict

SETTINGS = {
    "positive_class": None,
    "population": {},
    "excluded_columns": [],
    "min_group_size": 20,
    "intersection": True,
    "bootstrap_samples": 200,
    "confidence": 0.95,
    "seed": 0,
}


@pytest.fixture
def audit(stored, tmp_path):
    """Audit columns, or a dataset at a path; give the status, the verdict, its checks by name, and the report."""

    def run(data, target, features, limits, **settings):
        dataset = stored(data) if not isinstance(data, dsl.Dataset) else data
        folder = tmp_path / "out"
        (status,) = audit_bias(
            dataset,
            dsl.Artifact(uri=str(folder / "verdict.json")),
            dsl.HTML(uri=str(folder / "report.html")),
            target,
            features,
            limits,
            **(SETTINGS | settings),
        )
        verdict = Verdict.read(folder / "verdict.json")
        return SimpleNamespace(
            status=status,
            verdict=verdict,
            checks={
                (check.name, *(value for key, value in check.scope.items() if key != "feature")): check
                for check in verdict.checks
                if check.scope["feature"] == features[0] or len(features) == 1
            },
            report=(folder / "report.html").read_text(),
        )

    return run


@pytest.fixture
def people():
    """Return columns of groups given as (name, rows that are hired, other rows)."""

    def make(*groups):
        names, hired = [], []
        for name, yes, no in groups:
            names += [name] * (yes + no)
            hired += ["yes"] * yes + ["no"] * no
        return {"sex": names, "hired": hired}

    return make
