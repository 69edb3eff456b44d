"""Loops over artifacts."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM103",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Loop over parameters, such as the artifacts' URIs or their positions.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/compiler/argocompiler/dag.go#L69",
)
def artifact_iterator(spec: Spec) -> Iterator[Problem]:
    """A loop goes over artifacts (`dsl.ParallelFor`), and the whole run is refused."""
    for task in spec.tasks:
        if "artifactIterator" in task.value:
            items = task.value["artifactIterator"].get("items", {}).get("inputArtifact", "")
            yield Problem((*task.path, "artifactIterator"), f"over {items}")
