import numpy
import pandas
import pytest

from kfp_hallmark.modeling.columns import read_label
from kfp_hallmark.training.estimators import accept_labels
from kfp_hallmark.training.features import choose_columns, make_pipeline, read_features
from kfp_hallmark.training.fitting import fit
from kfp_hallmark.training.folder import write_folder
from kfp_hallmark.training.target import describe_target


@pytest.fixture
def customers():
    """Rows of mixed columns with missing values; age and town decide the label, noise does not."""
    generator = numpy.random.default_rng(11)
    rows = 400
    frame = pandas.DataFrame(
        {
            "age [years]": generator.integers(18, 80, rows).astype(float),
            "home town": generator.choice(["Bonn", "Köln", "Ulm"], rows, p=[0.5, 0.3, 0.2]),
            "noise": generator.normal(0, 1, rows),
        }
    )
    score = frame["age [years]"] / 80 + 0.6 * (frame["home town"] == "Ulm")
    frame["bought"] = numpy.where(score + generator.normal(0, 0.2, rows) > 0.75, "yes", "no")
    frame.loc[::17, "age [years]"] = None
    frame.loc[::19, "home town"] = None
    return frame


@pytest.fixture
def model_folder(tmp_path):
    """Train an estimator on a data frame and write it as `train_model` does; returns model folder and dataset."""

    def write(frame, estimator, positive_class=None, target="bought"):
        data, model = tmp_path / "data.parquet", tmp_path / "model"
        frame.to_parquet(data, index=False)
        columns, label = choose_columns(data, target, []), read_label(data, target)
        features = read_features(data, columns)
        meaning = describe_target(estimator, label, target, positive_class)
        pipeline = fit(make_pipeline(accept_labels(estimator, meaning), columns, features), features, label, "given")
        method = "predict_proba" if hasattr(pipeline, "predict_proba") else "predict"
        bound = meaning | {"target": target, "experiment_hash": "sha256:" + "4" * 64}
        write_folder(model, pipeline, columns, method, bound, type(estimator).__module__)
        return model, data

    return write
