"""Train a model on a dataset, write it as an MLflow model folder, and log the run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.training.train_model.mitigation import (
    THRESHOLD_OPTIMIZER,
    Mitigated,
    Mitigation,
    read_groups,
    read_mitigation,
    require_sensitive,
)
from kfp_hallmark.components.training.train_model.privacy import (
    Privacy,
    Private,
    describe,
    make_private,
    read_privacy,
    spend,
)
from kfp_hallmark.components.training.train_model.thresholds import Thresholded
from kfp_hallmark.contracts.artifacts import Artifact, Metrics, log_metrics, verified
from kfp_hallmark.contracts.dataset import dataset_lineage
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import writing
from kfp_hallmark.contracts.experiment import Experiment
from kfp_hallmark.contracts.predictions import REGRESSION
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.modeling.columns import Column, read_label
from kfp_hallmark.training.estimators import accept_labels, make_estimator
from kfp_hallmark.training.features import choose_columns, hash_rows, make_pipeline, read_features
from kfp_hallmark.training.fitting import fit
from kfp_hallmark.training.folder import write_folder
from kfp_hallmark.training.store import Store
from kfp_hallmark.training.target import describe_target

if TYPE_CHECKING:
    import numpy
    import pandas


@dataclass(frozen=True)
class _Data:
    """What is trained on.

    Attributes:
        path: The dataset.
        columns: The features that the estimator learns from.
        frame: What the model is given, which may be more.
        label: Labels, shape (rows,).
        meaning: What the label means.
    """

    path: str
    columns: list[Column]
    frame: pandas.DataFrame
    label: numpy.ndarray
    meaning: dict[str, Any]


def train(
    dataset: Artifact,
    model: Artifact,
    metrics: Metrics,
    target: str,
    estimator: str,
    estimator_parameters: Mapping[str, Any],
    excluded_columns: Sequence[str],
    positive_class: str | None,
    mitigation: Mapping[str, Any],
    privacy: Mapping[str, Any],
    seed: int,
    experiment: str,
    tracking_uri: str | None,
    required_features: Sequence[str] = (),
) -> tuple[str, str, str]:
    """Train a model and log the run; see `component.py`.

    Training runs on one thread, because sums in another order make another model. With privacy it is another model each
    time all the same, and what it spends is written to the ledger before the data are used.

    Returns:
        The model's digest, the experiment's hash and the MLflow run's id.

    Raises:
        InputError: If data or parameters cannot be used.
        MissingInputError: If there is no dataset or privacy ledger, or the tracking store does not answer.
        IntegrityError: If the dataset or the ledger was changed since it was written.
    """
    require_seed(seed)
    wanted, private = _read_methods(mitigation, privacy)
    if private is None:
        made = make_estimator(estimator, estimator_parameters, seed)
    else:
        made = make_private(estimator, estimator_parameters, private)
    columns = choose_columns(verified(dataset, "dataset"), target, excluded_columns)
    asked = columns if wanted is None else _asked(dataset.path, columns, target, excluded_columns, wanted)
    _require_features(required_features, asked)
    label = read_label(dataset.path, target)
    if private is None:
        meaning = describe_target(made, label, target, positive_class)
    else:
        meaning = describe(made, private, label, target, positive_class)
    data = _Data(dataset.path, columns, read_features(dataset.path, asked), label, meaning)
    store = Store.open(tracking_uri, experiment)

    lineage = dataset_lineage(dataset.path)
    configuration = {
        "target": target,
        "estimator": estimator,
        "estimator_parameters": dict(estimator_parameters),
        "excluded_columns": sorted(excluded_columns),
        "positive_class": positive_class,
    }
    if wanted is not None:
        configuration["mitigation"] = dict(mitigation)
    if private is not None:
        configuration["privacy"] = {key: value for key, value in privacy.items() if key != "ledger"}
    plan = Experiment(lineage[0], configuration, seed)
    bound = meaning | {"target": target, "datasets": lineage, "experiment_hash": plan.hash}
    unfitted = _unfitted(made, data, wanted, private, seed)
    if private is None:
        bound["seed"] = seed
    else:
        bound["privacy"] = spend(private, lineage, len(label), target, plan.hash)
    started = time.time()
    pipeline = fit(unfitted, data.frame, label, estimator)
    values = {"training_seconds": time.time() - started, "rows": len(label), "features": len(asked)}

    method = "predict_proba" if meaning["task"] != REGRESSION and hasattr(pipeline, "predict_proba") else "predict"
    module = type(made).__module__ if private is None else type(pipeline).__module__
    with writing(model.path) as temporary:
        write_folder(temporary, pipeline, asked, method, bound, module)
        digest = artifact_digest(temporary)
        given = configuration | {"seed": seed}
        del given["estimator_parameters"]
        run_id = store.log(
            started, type(made).__name__, given, made.get_params(deep=False), values, _tags(plan, digest)
        )
    log_metrics(metrics, values)
    model.metadata |= {
        "digest": digest,
        "experiment_hash": plan.hash,
        "run_id": run_id,
        "framework": module.partition(".")[0],
    }
    return digest, plan.hash, run_id


def _read_methods(
    mitigation: Mapping[str, Any], privacy: Mapping[str, Any]
) -> tuple[Mitigation | None, Privacy | None]:
    """Return how groups are made alike, and how private the training is to be; at most one of the two."""
    wanted, private = read_mitigation(mitigation), read_privacy(privacy)
    if wanted is not None and private is not None:
        raise InputError("mitigation must be left out with privacy: it looks at the data more often; got both.")
    return wanted, private


def _asked(
    dataset: str, columns: list[Column], target: str, excluded: Sequence[str], mitigation: Mitigation
) -> list[Column]:
    """Return what the model is to be given: its features, and for thresholds by group the sensitive ones too."""
    require_sensitive(dataset, mitigation.sensitive_features, target)
    if mitigation.method != THRESHOLD_OPTIMIZER:
        return columns
    return choose_columns(dataset, target, [name for name in excluded if name not in mitigation.sensitive_features])


def _require_features(names: Sequence[str], asked: Sequence[Column]) -> None:
    """Raise `InputError` unless the model is to be given what later steps name as its features."""
    known = [column.name for column in asked]
    for name in names:
        if name not in known:
            raise InputError(
                f"What later steps need (required_features) must be a feature of the model; got {name!r}.",
                nearest(name, known),
            )


def _unfitted(made: Any, data: _Data, mitigation: Mitigation | None, privacy: Privacy | None, seed: int) -> Any:
    """Return what `fit` makes a pipeline of."""
    if privacy is not None:
        return Private(made, privacy, data.columns, len(data.label), data.meaning)
    if mitigation is None:
        return make_pipeline(accept_labels(made, data.meaning), data.columns, data.frame)
    pipeline = make_pipeline(made, data.columns, data.frame)
    if mitigation.method == THRESHOLD_OPTIMIZER:
        return Thresholded(pipeline, mitigation, data.frame, data.label, hash_rows(data.path), data.meaning, seed)
    return Mitigated(pipeline, mitigation, read_groups(data.path, mitigation.sensitive_features), data.meaning)


def _tags(plan: Experiment, digest: str) -> dict[str, str]:
    return {
        "hallmark.model_digest": digest,
        "hallmark.dataset_digest": plan.dataset,
        "hallmark.experiment_hash": plan.hash,
        "hallmark.environment_digest": str(plan.environment),
        "hallmark.code_version": plan.code,
    }
