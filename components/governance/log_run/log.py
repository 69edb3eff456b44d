"""Log what the steps of a pipeline run found to MLflow.

One step does it for all, at the end: importing MLflow takes seconds, which every step would pay; what TensorFlow Data
Validation needs has no MLflow beside it; and a gate must not fail, and lose its evidence, because a server is away.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark import tracking
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.decision import Decision
from kfp_hallmark.contracts.options import is_number
from kfp_hallmark.contracts.verdict import Check, Verdict
from kfp_hallmark.errors import HallmarkError, MissingInputError
from kfp_hallmark.tracking import PARENT_TAG, RunTree

if TYPE_CHECKING:
    from mlflow.entities import Run

NAME_TAG = "mlflow.runName"
LOGGED_TAG = "hallmark.logged"
"""The last thing that a step's run gets, by which a second attempt leaves it alone."""

STATUS_TAG = "hallmark.status"
OUTCOME_TAG = "hallmark.outcome"
TRAINING_RUN_TAG = "hallmark.training_run"
TRAINING, DECIDING = "train_model", "decide_release"

MAX_NAME = 250

MAX_METRICS = 900
"""How many metrics go to MLflow at once; it takes no more than a thousand entries."""


@dataclass
class Finding:
    """What is known of one step.

    Attributes:
        metrics: Numbers by name.
        tags: Tags by name.
        files: What to attach: the name there, and the file or folder.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def log(
    pipeline: str,
    run_id: str,
    decision: Artifact,
    metrics: Mapping[str, Artifact | None],
    reports: Mapping[str, Artifact | None],
    training_run_id: str | None,
    experiment: str,
    tracking_uri: str | None,
) -> tuple[str]:
    """Log a run; see the component.

    Args:
        pipeline: The pipeline's name.
        run_id: The pipeline run.
        decision: The decision's folder.
        metrics: Component to its metrics.
        reports: Component to its report.
        training_run_id: The run of train_model.
        experiment: The experiment.
        tracking_uri: The tracking store.

    Returns:
        The id of the run above those of the steps.
    """
    decided = Decision.read(verified(decision, "decision"))
    findings = _findings(Path(decision.path), decided, metrics, reports)
    tree = RunTree.open(tracking_uri, experiment, pipeline, run_id)
    with tracking.reaching(tree.client.tracking_uri):
        if training_run_id is not None:
            findings[TRAINING].tags[TRAINING_RUN_TAG] = training_run_id
            _place_training(tree, training_run_id)
        made = tree.steps()
        for component, finding in findings.items():
            name = _run_name(component)
            _log(tree, name, made.get(name), finding)
        for key, value in _about(decided).items():
            tree.client.set_tag(tree.parent_id, key, value)
    return (tree.parent_id,)


def _about(decision: Decision) -> dict[str, str]:
    return {
        OUTCOME_TAG: str(decision.outcome),
        "hallmark.model_digest": decision.model.digest,
        "hallmark.experiment_hash": str(decision.lineage.experiment_hash),
    }


def _findings(
    folder: Path, decision: Decision, metrics: Mapping[str, Artifact | None], reports: Mapping[str, Artifact | None]
) -> defaultdict[str, Finding]:
    """Return what is known, component to finding; of a gate, what the decision made of its verdict."""
    findings = defaultdict[str, Finding](Finding)
    for name, artifact in metrics.items():
        if artifact is not None:
            findings[name].metrics |= {key: value for key, value in artifact.metadata.items() if is_number(value)}
    for name, artifact in reports.items():
        if artifact is not None:
            if not Path(artifact.path).is_file():
                raise MissingInputError(f"The report of {name} must be a file; got {artifact.path!r}.")
            findings[name].files["report.html"] = Path(artifact.path)
    for entry in decision.evidence:
        finding = findings[entry.gate]
        finding.tags[STATUS_TAG] = str(entry.status)
        if entry.digest:
            finding.files["verdict.json"] = folder / entry.file
            finding.metrics |= _observed(folder / entry.file)
    findings[DECIDING].tags[OUTCOME_TAG] = str(decision.outcome)
    findings[DECIDING].files["decision"] = folder
    return findings


def _observed(path: Path) -> dict[str, float]:
    """Return what a verdict observed, by check and scope; of one that cannot be read, nothing."""
    try:
        checks = Verdict.read(path).checks
    except HallmarkError:
        return {}
    return {_metric(check): float(check.observed) for check in checks if is_number(check.observed)}


def _metric(check: Check) -> str:
    """Return a name that MLflow takes: `demographic_parity_difference/feature:SEX`."""
    parts = [check.name, *(f"{key}:{value}" for key, value in check.scope.items())]
    return "/".join(re.sub(r"[^\w\-. :]", "_", part, flags=re.ASCII) for part in parts)[:MAX_NAME]


def _place_training(tree: RunTree, run_id: str) -> None:
    """Put the run that trained the model below the parent, where there is nothing more to log to it.

    A training that is used again has its run in the tree of the pipeline run that it was done in, and keeps it there.
    """
    from mlflow.exceptions import MlflowException

    try:
        parent = tree.client.get_run(run_id).data.tags.get(PARENT_TAG)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return
    if parent is None and run_id != tree.parent_id:
        tree.client.set_tag(run_id, NAME_TAG, _run_name(TRAINING))
        tree.client.set_tag(run_id, PARENT_TAG, tree.parent_id)
        parent = tree.parent_id
    if parent == tree.parent_id:
        tree.client.set_tag(run_id, LOGGED_TAG, "true")


def _run_name(component: str) -> str:
    """Return what the run of a step is called: as Kubeflow Pipelines calls the step."""
    return component.replace("_", "-")


def _log(tree: RunTree, name: str, run: Run | None, finding: Finding) -> None:
    """Log a step to its run, which is made, and ended, where there is none."""
    if run is not None and LOGGED_TAG in run.data.tags:
        return
    identifier = (run or tree.make(name)).info.run_id
    _attach(tree, identifier, finding.files)
    _log_values(tree, identifier, finding)
    if run is None or not tree.joined:
        tree.client.set_terminated(identifier)
    tree.client.set_tag(identifier, LOGGED_TAG, "true")


def _attach(tree: RunTree, run_id: str, files: Mapping[str, Path]) -> None:
    """Attach files under names by which MLflow's pages know how to show them."""
    with tempfile.TemporaryDirectory() as folder:
        for name, path in files.items():
            if path.is_dir():
                tree.client.log_artifacts(run_id, str(path), name)
            else:
                Path(folder, name).symlink_to(path.absolute())
                tree.client.log_artifact(run_id, str(Path(folder, name)))


def _log_values(tree: RunTree, run_id: str, finding: Finding) -> None:
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    metrics = [Metric(key, value, now, 0) for key, value in finding.metrics.items()]
    tags = [RunTag(key, value) for key, value in finding.tags.items()]
    for start in range(0, max(len(metrics), 1), MAX_METRICS):
        tree.client.log_batch(run_id, metrics[start : start + MAX_METRICS], tags=tags)
