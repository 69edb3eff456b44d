import shutil
from types import SimpleNamespace

import numpy
import pandas
import pytest
from kfp import dsl

from kfp_hallmark.components.training.tune_model.tune import Request, tune
from kfp_hallmark.tracking import client

LOGISTIC = "sklearn.linear_model.LogisticRegression"


@pytest.fixture(scope="session")
def new_store(tmp_path_factory):
    """Make an MLflow store without runs; to copy one takes no seconds."""
    empty = tmp_path_factory.mktemp("empty") / "mlflow.db"
    client(f"sqlite:///{empty}")

    def make(folder):
        return f"sqlite:///{shutil.copy(empty, folder)}"

    return make


@pytest.fixture(scope="session")
def store(new_store, tmp_path_factory):
    return new_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def shoppers():
    """Numbers and text with missing values, a group of several rows each, and a day."""
    generator = numpy.random.default_rng(3)
    rows = 240
    frame = pandas.DataFrame(
        {
            "age": generator.normal(40, 12, rows),
            "town": generator.choice(["Bonn", "Ulm"], rows),
            "noise": generator.normal(0, 1, rows),
            "household": generator.integers(0, 50, rows),
            "day": pandas.Timestamp("2026-01-01") + pandas.to_timedelta(generator.integers(0, 40, rows), "D"),
        }
    )
    frame["bought"] = (frame["age"] / 40 + 0.6 * (frame["town"] == "Ulm") + generator.normal(0, 0.4, rows) > 1.3) * 1
    frame.loc[::17, "age"] = None
    return frame


@pytest.fixture
def request_of():
    """Make a request from what differs from a small one."""

    def request_of(**options):
        settings = {
            "target": "bought",
            "search_space": {"C": {"type": "float", "low": 0.001, "high": 10, "log": True}},
            "estimator": LOGISTIC,
            "estimator_parameters": {},
            "excluded_columns": ["household", "day"],
            "positive_class": None,
            "metric": None,
            "trials": 4,
            "parallel_trials": 2,
            "sampler": "tpe",
            "pruner": "none",
            "folds": 3,
            "outer_folds": 0,
            "group_column": None,
            "time_column": None,
            "shard": 0,
            "seed": 0,
        }
        return Request(**settings | options)

    return request_of


@pytest.fixture
def search(tmp_path, store, request_of):
    """Search on a data frame, and return what came out."""

    def search(frame, processes=1, store=store, **options):
        path = tmp_path / "data.parquet"
        frame.to_parquet(path, index=False)
        metrics, report = dsl.Metrics(uri=str(tmp_path / "metrics")), dsl.HTML(uri=str(tmp_path / "report.html"))
        parameters, score, run_id = tune(
            dsl.Dataset(uri=str(path)), metrics, report, request_of(**options), "tests", store, processes
        )
        return SimpleNamespace(
            parameters=parameters,
            score=score,
            run_id=run_id,
            metrics=metrics.metadata,
            path=path,
            report=tmp_path / "report.html",
        )

    return search
