"""Record the end of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from kfp_hallmark.contracts.audit import PATH_VARIABLE, append
from kfp_hallmark.errors import HallmarkError, InputError
from kfp_hallmark.tracking import RunTree, without_passwords

MLFLOW_STATUS = {"SUCCEEDED": "FINISHED", "CANCELLED": "KILLED"}
"""What MLflow calls the ends of a run that are no failure."""


class FinalStatus(Protocol):
    """How a run ended, as `kfp.dsl.PipelineTaskFinalStatus` says it."""

    state: str
    pipeline_job_resource_name: str
    pipeline_task_name: str
    error_code: int | None


def record(
    status: FinalStatus,
    pipeline: str,
    run_id: str,
    data_uri: str | None,
    model_name: str | None,
    parameters: Mapping[str, Any],
    audit_log: str | None,
    experiment: str | None,
    tracking_uri: str | None,
) -> None:
    """Append one line to the audit log, then end the MLflow run; see the component.

    Users and passwords in URIs are left out, and so is the platform's error message: it can quote what a failing step
    saw, and an audit log forgets nothing.

    Raises:
        InputError: If no path is given and `HALLMARK_AUDIT_LOG` is not set, or the path is a URI.
        IntegrityError: If the log's chain is broken; nothing is appended.
    """
    named = {"data_uri": data_uri, "model_name": model_name}
    given = {name: value for name, value in named.items() if value is not None}
    path = audit_log or os.environ.get(PATH_VARIABLE)
    if not path:
        raise InputError(
            f"audit_log must name a file, or {PATH_VARIABLE} must be set; got neither.",
            "On a cluster, mount a volume and name a path on it.",
        )
    append(
        path,
        {
            "event": "run_ended",
            "pipeline": pipeline,
            "run_id": run_id,
            "state": status.state,
            "error_code": status.error_code,
            "task": status.pipeline_task_name,
            "job": status.pipeline_job_resource_name,
            "parameters": without_passwords({**parameters, **given}),
        },
    )
    if experiment is None:
        return
    try:
        RunTree.open(tracking_uri, experiment, pipeline, run_id).end(MLFLOW_STATUS.get(status.state, "FAILED"))
    except HallmarkError as error:
        print(f"The run's end is in the audit log but not in MLflow. {error}", file=sys.stderr)
