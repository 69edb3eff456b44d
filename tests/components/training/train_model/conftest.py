from types import SimpleNamespace

import numpy
import pandas
import pytest
from kfp import dsl

from kfp_hallmark.components.training.train_model.train import train


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture
def people():
    """Mixed columns, with names that XGBoost and LightGBM refuse, missing values and a boolean target."""
    generator = numpy.random.default_rng(7)
    rows = 300
    frame = pandas.DataFrame(
        {
            "age [years]": pandas.array(generator.integers(18, 80, rows), dtype="Int16"),
            "income <k>": generator.normal(30, 9, rows),
            "home, town": generator.choice(["Bonn", "Köln", "Ulm"], rows),
            "student": pandas.array(generator.random(rows) < 0.3, dtype="boolean"),
            'said "yes"': pandas.Categorical(generator.choice(["a", "b"], rows)),
        }
    )
    score = frame["age [years]"].astype(float) / 80 + 0.5 * (frame["home, town"] == "Ulm")
    frame["bought it"] = (score + generator.normal(0, 0.3, rows)) > 0.8
    for column, step in (("age [years]", 9), ("income <k>", 7), ("home, town", 11), ("student", 13)):
        frame.loc[::step, column] = None
    return frame


@pytest.fixture
def run(tmp_path, store):
    """Train on a data frame or a file, and return what came out."""

    def run(data, target="bought it", **options):
        path = tmp_path / "data.parquet"
        data.to_parquet(path, index=False)
        model, metrics = dsl.Model(uri=str(tmp_path / "model")), dsl.Metrics(uri=str(tmp_path / "metrics"))
        settings = {
            "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
            "estimator_parameters": {},
            "excluded_columns": [],
            "positive_class": None,
            "mitigation": {},
            "privacy": {},
            "seed": 0,
            "experiment": "tests",
            "tracking_uri": store,
        } | options
        digest, experiment_hash, run_id = train(dsl.Dataset(uri=str(path)), model, metrics, target, **settings)
        return SimpleNamespace(
            path=tmp_path / "model",
            data=path,
            digest=digest,
            experiment_hash=experiment_hash,
            run_id=run_id,
            model=model,
            metrics=metrics,
        )

    return run
