"""Optional parameters that are not given."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Part, Spec


@rule(
    "HM113",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Give the parameter a default or a value, or upgrade Kubeflow Pipelines.",
    source="https://github.com/kubeflow/pipelines/pull/11980",
)
def optional_input(spec: Spec) -> Iterator[Problem]:
    """An optional parameter that is not given fails the first step that takes it.

    Below 2.5 a pipeline's parameter without a default, below 2.14 an optional parameter of a pipeline within a
    pipeline.
    """
    root = spec.pipeline["root"]
    for name, entry in _optional(root).items():
        if "defaultValue" not in entry and name in _taken(root):
            yield Problem(("root", "inputDefinitions", "parameters", name), name, below=(2, 5))
    for task in spec.tasks:
        for name in _optional(task.component):
            if name not in task.parameters and name in _taken(task.component):
                yield Problem(task.path, f"without {name}", below=(2, 14))


def _optional(component: Part) -> Part:
    parameters = component.get("inputDefinitions", {}).get("parameters", {})
    return {name: entry for name, entry in parameters.items() if entry.get("isOptional")}


def _taken(component: Part) -> set[str]:
    """Return the parameters of a DAG that its tasks take."""
    tasks = component.get("dag", {}).get("tasks", {}).values()
    entries = [entry for task in tasks for entry in task.get("inputs", {}).get("parameters", {}).values()]
    return {entry.get("componentInputParameter") for entry in entries}
