from types import SimpleNamespace

import numpy as np
import pyarrow.parquet
import pytest
from kfp import dsl

from kfp_hallmark.components.data.screen_poisoning.screen import screen_dataset
from kfp_hallmark.contracts.verdict import Verdict

SETTINGS = {"excluded_columns": [], "min_rows": 1000, "min_class_rows": 50, "confidence": 0.95, "seed": 0}


@pytest.fixture
def screen(stored, tmp_path):
    """Screen columns, or a dataset; give the status, the verdict, its checks by name, the report and the suspects."""

    def run(data, limits=None, baseline=None, target="label", **settings):
        dataset = data if isinstance(data, dsl.Dataset) else stored(data)
        if baseline is not None and not isinstance(baseline, dsl.Dataset):
            baseline = stored(baseline, "baseline")
        folder = tmp_path / "out"
        (status,) = screen_dataset(
            dataset,
            baseline,
            dsl.Artifact(uri=str(folder / "verdict.json")),
            dsl.HTML(uri=str(folder / "report.html")),
            dsl.Dataset(uri=str(folder / "suspects.parquet")),
            target,
            limits,
            **(SETTINGS | settings),
        )
        verdict = Verdict.read(folder / "verdict.json")
        suspects = pyarrow.parquet.read_table(folder / "suspects.parquet").to_pandas()
        return SimpleNamespace(
            status=status,
            verdict=verdict,
            checks={check.name: check for check in verdict.checks},
            report=(folder / "report.html").read_text(),
            suspects=suspects,
            rows={name: set(rows.tolist()) for name, rows in suspects.groupby("check")["row"]},
        )

    return run


@pytest.fixture
def people():
    """Return columns of people with a label that is certain for the young and hard to tell for others."""

    def make(rows=4000, seed=0):
        random = np.random.default_rng(seed)
        age = random.integers(0, 80, rows)
        city = np.array(["Ams", "Bonn", "Cork", "Delft"])[random.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])]
        pay = random.lognormal(3, 0.5, rows)
        member = random.random(rows) < 0.5
        likely = np.where(age < 20, 0.0, 0.35 + 0.3 * (city == "Ams") + 0.2 * member - 0.1 * (pay > 25))
        return {
            "age": age,
            "city": city,
            "pay": pay,
            "member": member,
            "joined": np.datetime64("2020-01-01") + random.integers(0, 900, rows),
            "height": random.normal(170, 10, rows).round(),
            "label": (random.random(rows) < likely).astype(int),
        }

    return make


@pytest.fixture
def flip():
    """Return columns with the label of some rows flipped."""

    def make(columns, rows):
        label = columns["label"].copy()
        label[rows] = 1 - label[rows]
        return columns | {"label": label}

    return make
