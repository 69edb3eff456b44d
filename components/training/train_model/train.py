"""Train a model on a dataset, write it as an MLflow model folder, and log the run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark import tracking
from kfp_hallmark.components.training.train_model.estimators import make_estimator
from kfp_hallmark.components.training.train_model.features import choose_columns, make_pipeline, read_features
from kfp_hallmark.components.training.train_model.folder import write_folder
from kfp_hallmark.contracts.artifacts import Artifact, Metrics, log_metrics, verified
from kfp_hallmark.contracts.dataset import dataset_lineage
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import writing
from kfp_hallmark.contracts.experiment import Experiment
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.modeling import THRESHOLD, origin, read_label

if TYPE_CHECKING:
    import numpy
    from mlflow.tracking import MlflowClient

MAX_PARAMETER = 6000
"""How many characters of a parameter's value MLflow keeps."""


def train(
    dataset: Artifact,
    model: Artifact,
    metrics: Metrics,
    target: str,
    estimator: str,
    estimator_parameters: Mapping[str, Any],
    excluded_columns: Sequence[str],
    positive_class: str | None,
    seed: int,
    experiment: str,
    tracking_uri: str | None,
) -> tuple[str, str, str]:
    """Train a model and log the run; see `component.py`.

    Training runs on one thread, because sums in another order make another model.

    Returns:
        The model's digest, the experiment's hash and the MLflow run's id.

    Raises:
        InputError: If data or parameters cannot be used.
        MissingInputError: If there is no dataset, or the tracking store does not answer.
        IntegrityError: If the dataset was changed since it was written.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"seed must be at least 0 and below 2**32; got {seed}.")
    made = make_estimator(estimator, estimator_parameters, seed)
    columns = choose_columns(verified(dataset, "dataset"), target, excluded_columns)
    label = read_label(dataset.path, target)
    meaning = describe_target(made, label, target, positive_class)
    frame = read_features(dataset.path, columns)
    store = Store.open(tracking_uri, experiment)

    lineage = dataset_lineage(dataset.path)
    configuration = {
        "target": target,
        "estimator": estimator,
        "estimator_parameters": dict(estimator_parameters),
        "excluded_columns": sorted(excluded_columns),
        "positive_class": positive_class,
    }
    plan = Experiment(lineage[0], configuration, seed)
    started = time.time()
    pipeline = fit(make_pipeline(accept_labels(made, meaning), columns, frame), frame, label, estimator)
    values = {"training_seconds": time.time() - started, "rows": len(frame), "features": len(columns)}

    method = "predict_proba" if meaning["task"] != REGRESSION and hasattr(pipeline, "predict_proba") else "predict"
    bound = meaning | {"target": target, "datasets": lineage, "experiment_hash": plan.hash, "seed": seed}
    with writing(model.path) as temporary:
        write_folder(temporary, pipeline, columns, method, bound, type(made).__module__)
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
        "framework": type(made).__module__.partition(".")[0],
    }
    return digest, plan.hash, run_id


def describe_target(estimator: Any, label: numpy.ndarray, target: str, positive_class: str | None) -> dict[str, Any]:
    """Return task and, for a classifier, classes, positive class and threshold.

    Raises:
        InputError: If the label is constant or does not suit the estimator, or the positive class is none of two.
    """
    import numpy
    from sklearn.base import is_classifier, is_regressor

    values = numpy.unique(label).tolist()
    if len(values) < 2:
        raise InputError(
            f"target must have at least two values; the column {target!r} has one in all {len(label):,} rows."
        )
    if is_regressor(estimator):
        if label.dtype.kind not in "fiu" or not numpy.isfinite(label).all():
            raise InputError(f"target must hold finite numbers for a regressor; the column {target!r} does not.")
        return {"task": REGRESSION}
    if not is_classifier(estimator):
        raise InputError(f"estimator must be a classifier or a regressor; got {type(estimator).__name__!r}.")
    if label.dtype.kind not in "biufO" or (label.dtype.kind == "f" and not (label == numpy.floor(label)).all()):
        raise InputError(
            f"target must hold text, booleans or whole numbers for a classifier; the column {target!r} does not.",
            "To predict a number, choose a regressor.",
        )
    if len(values) > 2 and positive_class is not None:
        raise InputError(
            f"positive_class must be left out when target has more than two classes; it has {len(values)}."
        )
    if len(values) > 2:
        return {"task": MULTICLASS, "classes": values}
    positive = values[1] if positive_class is None else _find_class(values, positive_class)
    return {"task": BINARY, "classes": values, "positive_class": positive, "threshold": THRESHOLD}


def _find_class(classes: Sequence[Any], wanted: str) -> Any:
    """Return the class that is written so: `1` names 1 and 1.0, `true` names True."""
    spelled = {str(value): value for value in classes}
    spelled |= {str(value).lower(): value for value in classes if isinstance(value, bool)}
    spelled |= {f"{value:g}": value for value in classes if isinstance(value, float)}
    if wanted not in spelled:
        known = [str(value) for value in classes]
        raise InputError(f"positive_class must be a class of the target; got {wanted!r}.", nearest(wanted, known))
    return spelled[wanted]


def accept_labels(estimator: Any, meaning: Mapping[str, Any]) -> Any:
    """Return an estimator that takes the labels as they are.

    XGBoost takes only 0, 1, 2 and so on; a vote of one, which encodes labels, stands around it for any others.
    """
    classes = meaning.get("classes")
    if classes is None or not type(estimator).__module__.startswith("xgboost.") or classes == list(range(len(classes))):
        return estimator
    from sklearn.ensemble import VotingClassifier

    return VotingClassifier([("model", estimator)], voting="soft")


def fit(pipeline: Any, frame: Any, label: numpy.ndarray, estimator: str) -> Any:
    """Return the pipeline, fitted on one thread.

    Raises:
        InputError: If the estimator refuses its parameters or the data; its own message may hold values and is not
            shown.
    """
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(1):
            return pipeline.fit(frame, label)
    except Exception as error:
        raise InputError(
            f"The estimator {estimator!r} must fit {len(label):,} rows{_of_classes(pipeline, label)}; it failed with "
            f"{type(error).__name__} {origin(error)}.",
            "Its own message may hold values of the data, so it is not shown; the line that raised it tells more.",
        ) from None


def _of_classes(pipeline: Any, label: numpy.ndarray) -> str:
    """Return how many classes there are, for a classifier, and how rare one is."""
    import numpy
    from sklearn.base import is_classifier

    if not is_classifier(pipeline):
        return ""
    rows = numpy.unique(label, return_counts=True)[1]
    return f" of {len(rows):,} classes, the rarest of which has {rows.min():,}"


def _tags(plan: Experiment, digest: str) -> dict[str, str]:
    return {
        "hallmark.model_digest": digest,
        "hallmark.dataset_digest": plan.dataset,
        "hallmark.experiment_hash": plan.hash,
        "hallmark.environment_digest": str(plan.environment),
        "hallmark.code_version": plan.code,
    }


@dataclass(frozen=True)
class Store:
    """The MLflow store that a run goes to.

    Attributes:
        client: Its client.
        experiment_id: The experiment for a run of our own.
        run_id: The run to join; None makes one.
    """

    client: MlflowClient
    experiment_id: str
    run_id: str | None

    @classmethod
    def open(cls, uri: str | None, experiment: str) -> Store:
        """Reach the store before anything is trained.

        Raises:
            InputError: If no store is named.
            MissingInputError: If the store, or the run to join, is not there.
        """
        client = tracking.client(tracking.tracking_uri(uri))
        run_id = tracking.from_platform(tracking.RUN_VARIABLE, client.tracking_uri)
        if run_id is None:
            return cls(client, tracking.experiment(client, experiment), None)
        with tracking.reaching(client.tracking_uri):
            return cls(client, client.get_run(run_id).info.experiment_id, run_id)

    def log(
        self,
        started: float,
        name: str,
        given: dict[str, Any],
        parameters: dict[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> str:
        """Log a finished training and return its run's id.

        A run that was joined is the platform's, which ends it and logs what the step was given: were that logged here
        too, in another form, MLflow would refuse all that the platform logs.
        """
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        with tracking.reaching(self.client.tracking_uri):
            run_id = self.run_id
            if run_id is None:
                parameters = given | parameters
                run = self.client.create_run(self.experiment_id, start_time=int(started * 1000), run_name=name)
                run_id = str(run.info.run_id)
            self.client.log_batch(
                run_id,
                metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
                params=[Param(key, str(value)[:MAX_PARAMETER]) for key, value in parameters.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
            if self.run_id is None:
                self.client.set_terminated(run_id)
        return run_id
