"""Executors that only Google Cloud runs."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import DOCKER, KUBEFLOW, LOCAL, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM115",
    Severity.ERROR,
    [KUBEFLOW, LOCAL, DOCKER],
    fix="Run the pipeline on Vertex AI, or replace the step by a container.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/compiler/argocompiler/dag.go#L351",
)
def google_cloud_executor(spec: Spec) -> Iterator[Problem]:
    """An executor is a custom job or a resolver, which only Vertex AI runs."""
    for label, executor in spec.executors.items():
        for kind in ("customJob", "resolver"):
            if kind in executor:
                yield Problem(("deploymentSpec", "executors", label, kind), kind)
