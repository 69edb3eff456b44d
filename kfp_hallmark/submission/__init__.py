"""Submit pipelines to a service that runs them, and follow what it makes of them.

    from kfp_hallmark import submission

    run = submission.submit("governed_training", {"data_uri": "s3://risk/2026.parquet", ...}, platform="kubeflow")
    run = submission.follow(submission.service("kubeflow"), run.run_id)
    print(run.outcome, run.link)

A service is Kubeflow Pipelines (`kubeflow.py`) or Vertex AI Pipelines (`vertex.py`); both are a `Service`.
"""

from kfp_hallmark.submission.following import follow
from kfp_hallmark.submission.service import (
    CANCELLED,
    CANCELLING,
    ENDED,
    PAUSED,
    STATES,
    Run,
    RunStep,
    Schedule,
    Service,
    TransientError,
    UncertainError,
    runs_command,
)
from kfp_hallmark.submission.submitting import PLATFORMS, compiled, schedule, service, submit

__all__ = [
    "CANCELLED",
    "CANCELLING",
    "ENDED",
    "PAUSED",
    "PLATFORMS",
    "STATES",
    "Run",
    "RunStep",
    "Schedule",
    "Service",
    "TransientError",
    "UncertainError",
    "compiled",
    "follow",
    "runs_command",
    "schedule",
    "service",
    "submit",
]
