"""Importers with a condition of their own."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM102",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Put the importer into a DAG of its own that has the condition; `dsl.If` compiles to one.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/compiler/argocompiler/dag.go#L341",
)
def conditional_importer(spec: Spec) -> Iterator[Problem]:
    """An importer has a condition of its own, and the whole run is refused.

    kfp's `dsl.If` puts the condition on a DAG around the importer, which is fine; other compilers, and hands, put it
    on the importer itself.
    """
    for task in spec.tasks:
        policy = task.value.get("triggerPolicy", {})
        if "importer" in task.executor and policy.get("condition"):
            yield Problem((*task.path, "triggerPolicy"), policy["condition"])
