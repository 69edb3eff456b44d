"""Write a trained pipeline as an MLflow model folder that is the same, to the byte, whenever it is trained again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from kfp_hallmark.modeling.columns import Column

CREATED = "1970-01-01 00:00:00"
"""The time that every folder states: the true one is in the MLflow run, and would change the digest."""

EXAMPLE = {"double": 0.0, "string": "text"}
"""What the input example holds for each type: made up, so that no folder holds a record."""


def write_folder(
    path: Path, pipeline: Any, columns: Sequence[Column], method: str, metadata: Mapping[str, Any], module: str
) -> None:
    """Write a model folder.

    The pipeline is pickled by cloudpickle: it takes any estimator and gives the same bytes for the same model. The
    skops format takes only types that are listed one by one, and names its parts by memory addresses and times.

    Args:
        path: Where to write; nothing must be there.
        pipeline: The fitted pipeline.
        columns: Its features.
        method: The method that predicts: predict_proba or predict.
        metadata: What stands under `metadata.hallmark`.
        module: The module of the estimator, whose package the model requires.
    """
    import logging

    import mlflow.sklearn
    import pandas
    from mlflow.models import Model, ModelSignature, infer_signature
    from mlflow.types.schema import ColSpec, Schema

    logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)
    example = pandas.DataFrame({column.name: [EXAMPLE[column.type]] for column in columns})
    outputs = infer_signature(model_output=getattr(pipeline, method)(example)).outputs
    inputs = Schema([ColSpec(column.type, column.name) for column in columns])
    identity = str(metadata["experiment_hash"]).removeprefix("sha256:")[:32]
    mlflow.sklearn.save_model(
        pipeline,
        path,
        mlflow_model=Model(utc_time_created=CREATED, model_uuid=identity),
        serialization_format="cloudpickle",
        signature=ModelSignature(inputs, outputs),
        input_example=example,
        pip_requirements=requirements(module),
        pyfunc_predict_fn=method,
        metadata={"hallmark": dict(metadata)},
    )


def requirements(module: str) -> list[str]:
    """Return what a model needs to be loaded, each pinned to the version that is installed.

    Args:
        module: The module of the estimator.
    """
    names = {"mlflow", "scikit-learn", "numpy", "scipy", "pandas", "cloudpickle"}
    package = module.partition(".")[0]
    if package != "sklearn":
        names |= set(metadata.packages_distributions().get(package, []))
    return [f"{name}=={metadata.version(name)}" for name in sorted(names)]
