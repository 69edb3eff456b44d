"""The model: an MLflow model folder, what it says of itself, and its digest.

A folder is a model when it holds an `MLmodel` file with a signature. Under `metadata.hallmark` that file says what the
model was made from:

    metadata:
      hallmark:
        task: binary                       binary, multiclass or regression
        target: employed                   the label's column
        classes: [0, 1]                    in the order of the probability columns; absent for regression
        positive_class: 1                  the class whose probability is the score; binary only
        threshold: 0.5                     a score at or above it predicts the positive class; binary only
        datasets: [sha256:..., sha256:...] the training data, then what that was made from
        experiment_hash: sha256:...
        seed: 0

Reading these needs no MLflow. Loading the model runs code that is in it: verify it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.digest import is_digest
from kfp_hallmark.contracts.documents import NO_YAML
from kfp_hallmark.errors import IntegrityError, MissingInputError

MODEL_FILE = "MLmodel"


@dataclass(frozen=True)
class Lineage:
    """What a model was made from.

    Attributes:
        datasets: Digests: the training data, then what that was made from. Empty when the model does not say.
        experiment_hash: The experiment's hash, or None when the model does not say.
    """

    datasets: tuple[str, ...] = ()
    experiment_hash: str | None = None


def read_model_file(path: str | Path) -> dict[str, Any]:
    """Return the `MLmodel` document of a model folder.

    Raises:
        MissingInputError: If the folder holds none.
        IntegrityError: If it is not a YAML mapping.
    """
    return parse_model_file(model_file(path).read_bytes(), path)


def model_file(path: str | Path) -> Path:
    """Return the `MLmodel` file of a model folder.

    Raises:
        MissingInputError: If the folder holds none.
    """
    file = Path(path) / MODEL_FILE
    if not file.is_file():
        raise MissingInputError(
            f"A model must be a folder that holds the file {MODEL_FILE}; got {str(path)!r}.",
            "Write it with MLflow's save_model.",
        )
    return file


def parse_model_file(content: bytes, path: str | Path) -> dict[str, Any]:
    """Return the document that the bytes of a model folder's `MLmodel` file hold.

    Raises:
        IntegrityError: If it is not a YAML mapping.
    """
    import yaml

    name = str(Path(path) / MODEL_FILE)
    try:
        value = yaml.safe_load(content.decode("utf-8"))
    except (yaml.YAMLError, *NO_YAML) as error:
        raise IntegrityError(f"The file {name!r} must be YAML; it is not.") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"The file {name!r} must be a YAML mapping; got {type(value).__name__}.")
    return value


def model_metadata(path: str | Path) -> dict[str, Any]:
    """Return what a model folder says of itself under `metadata.hallmark`; empty when it says nothing."""
    return stated_metadata(read_model_file(path))


def stated_metadata(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an `MLmodel` document says under `metadata.hallmark`; empty when it says nothing."""
    metadata = document.get("metadata") or {}
    found = metadata.get("hallmark") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def lineage(path: str | Path) -> Lineage:
    """Return what a model folder says it was made from.

    Raises:
        MissingInputError: If the folder is no model.
        IntegrityError: If it says so by anything but digests.
    """
    metadata = model_metadata(path)
    datasets, experiment_hash = metadata.get("datasets"), metadata.get("experiment_hash")
    datasets = [] if datasets is None else datasets
    if not isinstance(datasets, list) or not all(map(is_digest, datasets)):
        raise IntegrityError(f"The datasets that a model names must be a list of digests; got {datasets!r}.")
    if experiment_hash is not None and not is_digest(experiment_hash):
        raise IntegrityError(f"The experiment hash that a model names must be a digest; got {experiment_hash!r}.")
    return Lineage(tuple(datasets), experiment_hash)
