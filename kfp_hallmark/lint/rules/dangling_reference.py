"""References within a spec."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import BACKENDS, Problem, Severity, rule
from kfp_hallmark.lint.spec import Part, Path, Spec


@rule(
    "HM001",
    Severity.ERROR,
    tuple(BACKENDS),
    fix="Compile the pipeline again with the newest kfp. A parameter that KFP does not pass into a loop, condition or "
    "exit handler, such as that of `set_cpu_limit`, is passed when a task there takes it as an input too.",
    source="https://github.com/kubeflow/pipelines/issues/13239",
)
def dangling_reference(spec: Spec) -> Iterator[Problem]:
    """A reference names a task, component, executor or input that is not there.

    Backends find out when the task's turn comes, after everything before it has run.
    """
    for path, part in spec.dags.items():
        tasks = part["dag"].get("tasks", {})
        for where, producer in _selected(path, part):
            if producer not in tasks:
                yield Problem(where, f"there is no task {producer!r}")
        for where, kind, name in _taken(path, part):
            if name not in part.get("inputDefinitions", {}).get(kind, {}):
                yield Problem(where, f"there is no input {name!r}")
    for task in spec.tasks:
        name = task.value.get("componentRef", {}).get("name", "")
        if name not in spec.components:
            yield Problem((*task.path, "componentRef"), f"there is no component {name!r}")
        for producer in task.value.get("dependentTasks", ()):
            if producer not in task.siblings:
                yield Problem((*task.path, "dependentTasks"), f"there is no task {producer!r}")
        for where, producer in task.producers.items():
            if producer not in task.siblings:
                yield Problem(where, f"there is no task {producer!r}")
    for name, component in spec.components.items():
        label = component.get("executorLabel")
        if label is not None and label not in spec.executors:
            yield Problem(("components", name, "executorLabel"), f"there is no executor {label!r}")


def _taken(path: Path, part: Part) -> Iterator[tuple[Path, str, str]]:
    """Yield the inputs of a DAG that its tasks take, with where they say so and whether they are artifacts."""
    for task, value in part["dag"].get("tasks", {}).items():
        for kind, key in (("parameters", "componentInputParameter"), ("artifacts", "componentInputArtifact")):
            for name, entry in value.get("inputs", {}).get(kind, {}).items():
                if key in entry:
                    yield (*path, "dag", "tasks", task, "inputs", kind, name), kind, entry[key]


def _selected(path: Path, part: Part) -> Iterator[tuple[Path, str]]:
    """Yield the tasks that a DAG's outputs come from, with where it says so."""
    outputs = part["dag"].get("outputs", {})
    for name, output in outputs.get("artifacts", {}).items():
        for selector in output.get("artifactSelectors", ()):
            yield (*path, "dag", "outputs", "artifacts", name), selector.get("producerSubtask", "")
    for name, output in outputs.get("parameters", {}).items():
        several = output.get("valueFromOneof", {}).get("parameterSelectors", ())
        for selector in several or [output.get("valueFromParameter", {})]:
            yield (*path, "dag", "outputs", "parameters", name), selector.get("producerSubtask", "")
