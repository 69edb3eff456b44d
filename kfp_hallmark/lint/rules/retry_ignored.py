"""Retries that do not happen."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM111",
    Severity.WARNING,
    [KUBEFLOW],
    fix="Retry within the step, or upgrade Kubeflow Pipelines where that helps.",
    source="https://github.com/kubeflow/pipelines/issues/14246",
)
def retry_ignored(spec: Spec) -> Iterator[Problem]:
    """A task is not run again after a failure, though it is set to be (`set_retry`).

    Releases below 2.14 read no retries at all; none reads those of importers.
    """
    for task in spec.tasks:
        if task.retries:
            below = None if "importer" in task.executor else (2, 14)
            yield Problem((*task.path, "retryPolicy"), f"{task.retries} retries", below=below)
