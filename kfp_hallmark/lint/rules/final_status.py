"""The status of another task as an input."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM104",
    Severity.ERROR,
    [KUBEFLOW],
    below="2.14",
    fix="Upgrade Kubeflow Pipelines, or let the exit task find out by itself.",
    source="https://github.com/kubeflow/pipelines/issues/11641",
)
def final_status(spec: Spec) -> Iterator[Problem]:
    """An exit task takes the final status of what it follows (`dsl.PipelineTaskFinalStatus`); the run is refused."""
    for task in spec.tasks:
        for name, entry in task.parameters.items():
            if "taskFinalStatus" in entry:
                yield Problem((*task.path, "inputs", "parameters", name), name)
