"""Outputs of a loop, taken together."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM105",
    Severity.ERROR,
    [KUBEFLOW],
    below="2.14",
    fix="Upgrade Kubeflow Pipelines, or let the steps of the loop write to a place that the next step reads.",
    source="https://github.com/kubeflow/pipelines/pull/11725",
)
def collected_output(spec: Spec) -> Iterator[Problem]:
    """A task takes the outputs of all rounds of a loop (`dsl.Collected`), which cannot be found."""
    for task in spec.tasks:
        for path, producer in task.producers.items():
            value = task.siblings.get(producer, {})
            if "parameterIterator" in value or "artifactIterator" in value:
                yield Problem(path, f"what {producer} collects")
