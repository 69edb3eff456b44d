"""Loops over named outputs in local runs."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import DOCKER, LOCAL, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM303",
    Severity.ERROR,
    [LOCAL, DOCKER],
    fix="Return the list as the component's only output.",
    source=(
        "https://github.com/kubeflow/pipelines/blob/sdk-2.17.0-1/sdk/python/kfp/local/orchestrator/"
        "enhanced_dag_orchestrator.py#L399"
    ),
)
def local_loop(spec: Spec) -> Iterator[Problem]:
    """A loop goes over a named output of a task beside it, and the run fails.

    kfp's local runs look the list up by the name of the loop's input, and know there only the output that is called
    `Output`.
    """
    for task in spec.tasks:
        items = task.value.get("parameterIterator", {}).get("items", {}).get("inputParameter", "")
        output = task.parameters.get(items, {}).get("taskOutputParameter", {})
        if output.get("outputParameterKey", "Output") != "Output":
            wanted = f"{output['outputParameterKey']} of {output['producerTask']}"
            yield Problem((*task.path, "parameterIterator"), wanted)
