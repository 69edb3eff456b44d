"""Conditions on named outputs in local runs."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import DOCKER, LOCAL, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM302",
    Severity.ERROR,
    [LOCAL, DOCKER],
    fix="Return the value as the component's only output, or follow the `dsl.If` by a `dsl.Else`.",
    source=(
        "https://github.com/kubeflow/pipelines/blob/sdk-2.17.0-1/sdk/python/kfp/local/orchestrator/"
        "enhanced_dag_orchestrator.py#L64"
    ),
)
def local_condition(spec: Spec) -> Iterator[Problem]:
    """A condition is on a named output of a task beside it, and is always taken for false: the branch never runs.

    kfp's local runs look a value up by its name in the condition, and know there only the output that is called
    `Output`. With a `dsl.Else`, both branches are in a DAG of their own, where the value is found.
    """
    for task in spec.tasks:
        condition = task.value.get("triggerPolicy", {}).get("condition", "")
        for name, entry in task.parameters.items():
            output = entry.get("taskOutputParameter", {})
            if f"['{name}']" in condition and output.get("outputParameterKey", "Output") != "Output":
                wanted = f"{output['outputParameterKey']} of {output['producerTask']}"
                yield Problem((*task.path, "triggerPolicy"), wanted)
