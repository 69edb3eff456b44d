"""The predictions: what a model said of a dataset, bound to the digests of both.

One Parquet file, rows in the order of the dataset, with the columns

    label         what is true, as in the dataset
    prediction    what the model says: a class, or a number
    score         binary only: the probability of the positive class, 0 to 1
    probability_0, probability_1, ...   multiclass only: in the order of `classes`

and, bound to it (see `kfp_hallmark.contracts.dataset`), `model`, `lineage` (the dataset's digest first), `task`,
`target`, `classes`, `positive_class` and `threshold`. The gates judge this file, so they need not run the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import dataset_metadata, read_table, write_table
from kfp_hallmark.contracts.digest import artifact_digest, is_digest
from kfp_hallmark.errors import IntegrityError

if TYPE_CHECKING:
    import numpy

BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"
TASKS = (BINARY, MULTICLASS, REGRESSION)


@dataclass(frozen=True)
class Predictions:
    """What a model said of a dataset.

    Attributes:
        task: `binary`, `multiclass` or `regression`.
        target: The label's column in the dataset.
        label: What is true, shape (rows,).
        prediction: What the model says, shape (rows,).
        score: Binary: probability of the positive class, shape (rows,). Multiclass: probability of each class, shape
            (rows, classes). Regression, or a classifier that gives no probabilities: None.
        classes: The classes in the order of the probabilities; empty for regression.
        positive_class: Binary only.
        threshold: Binary only: a score at or above it predicts the positive class.
        model: The model's digest.
        dataset: The dataset's digest.
        lineage: The digests of what the dataset was made from.
    """

    task: str
    target: str
    label: numpy.ndarray
    prediction: numpy.ndarray
    score: numpy.ndarray | None
    classes: tuple[Any, ...]
    positive_class: Any
    threshold: float | None
    model: str
    dataset: str
    lineage: tuple[str, ...] = ()

    @property
    def subjects(self) -> dict[str, str]:
        """What a verdict on these predictions is bound to."""
        return {"model": self.model, "dataset": self.dataset}

    @property
    def positive_label(self) -> numpy.ndarray:
        """Binary only: whether the positive class is true, bool of shape (rows,)."""
        return self.label == self.positive_class

    @property
    def positive_prediction(self) -> numpy.ndarray:
        """Binary only: whether the positive class is predicted, bool of shape (rows,)."""
        return self.prediction == self.positive_class


def write_predictions(path: str | Path, predictions: Predictions) -> str:
    """Write predictions as one Parquet file, and return its digest."""
    import pyarrow

    columns = {"label": predictions.label, "prediction": predictions.prediction}
    if predictions.score is not None and predictions.task == BINARY:
        columns["score"] = predictions.score
    elif predictions.score is not None:
        columns |= {f"probability_{index}": predictions.score[:, index] for index in range(predictions.score.shape[1])}
    metadata = {
        "model": predictions.model,
        "lineage": [predictions.dataset, *predictions.lineage],
        "task": predictions.task,
        "target": predictions.target,
        "classes": list(predictions.classes),
        "positive_class": predictions.positive_class,
        "threshold": predictions.threshold,
    }
    return write_table(path, pyarrow.table(columns), metadata)


def read_predictions(path: str | Path, dataset: str | Path | None = None) -> Predictions:
    """Read predictions.

    Args:
        path: The predictions.
        dataset: The dataset that they must be of; None does not ask.

    Raises:
        MissingInputError: If there is no such file.
        IntegrityError: If the file is not predictions, or is of another dataset, or a score is no probability.
    """
    import numpy

    bound = dataset_metadata(path)
    lineage = bound.get("lineage") or []
    if bound.get("task") not in TASKS or not is_digest(bound.get("model")) or not lineage:
        raise IntegrityError(f"The predictions {str(path)!r} must be bound to a model and a dataset; they are not.")
    if dataset is not None and artifact_digest(dataset) != lineage[0]:
        raise IntegrityError(f"The predictions must be of the dataset given; they are of {lineage[0]}.")
    table = read_table(path)
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    probabilities = [columns[f"probability_{i}"] for i in range(len(bound["classes"])) if f"probability_{i}" in columns]
    score = columns.get("score", numpy.column_stack(probabilities) if probabilities else None)
    if score is not None and not ((score >= 0) & (score <= 1)).all():
        raise IntegrityError(f"The scores in the predictions {str(path)!r} must be from 0 to 1; some are not.")
    return Predictions(
        task=bound["task"],
        target=bound["target"],
        label=columns["label"],
        prediction=columns["prediction"],
        score=score,
        classes=tuple(bound["classes"]),
        positive_class=bound["positive_class"],
        threshold=bound["threshold"],
        model=bound["model"],
        dataset=lineage[0],
        lineage=tuple(lineage[1:]),
    )
