import mlflow.sklearn
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from mlflow.models import infer_signature
from sklearn.datasets import make_classification


@pytest.fixture
def write_data():
    """Return what writes a data frame and its labels as a dataset; returns the path."""

    def write(path, frame, label):
        pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame.assign(label=label), preserve_index=False), path)
        return path

    return write


@pytest.fixture
def features():
    """Return what makes rows of five features, and their labels."""

    def make(rows=60, classes=2):
        values, label = make_classification(
            rows, n_informative=4, n_redundant=0, n_features=5, n_classes=classes, random_state=3
        )
        return pandas.DataFrame(values, columns=[f"x {index}" for index in range(5)]), label

    return make


@pytest.fixture
def save():
    """Return what fits an estimator and saves it as an MLflow model; returns the path."""

    def fit_and_save(path, estimator, frame, label, function="predict_proba", metadata=None, **options):
        estimator.fit(frame, label)
        mlflow.sklearn.save_model(
            estimator,
            path,
            signature=infer_signature(frame, getattr(estimator, function)(frame)),
            pyfunc_predict_fn=function,
            metadata={"hallmark": metadata} if metadata else None,
            serialization_format=options.pop("serialization_format", "pickle"),
            pip_requirements=["scikit-learn"],
            **options,
        )
        return path

    return fit_and_save
