"""Texts that are pasted into larger values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kfp_hallmark.lint.rule import DOCKER, KUBEFLOW, LOCAL, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec, Task, strings

_INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['([^']*)'\]\}\}")


@rule(
    "HM120",
    Severity.WARNING,
    [KUBEFLOW, LOCAL, DOCKER],
    fix="Give the step each text as a parameter of its own, and build the larger value there.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/component/launcher_v2.go#L1061",
)
def pasted_text(spec: Spec) -> Iterator[Problem]:
    """A text is pasted into a dict, list or longer text, and a quote, backslash or line break in it breaks the step.

    The placeholder is replaced in the JSON that the step reads, without escaping, and so it is by kfp's local runners.
    """
    for task in spec.tasks:
        declared = task.component.get("inputDefinitions", {}).get("parameters", {})
        # KFP tells a task's resources by inputs that its component has not, and the step does not read.
        read = {path: value for path, value in task.constants.items() if path[-1] in declared}
        for path, value in read.items():
            for _, text in strings(value):
                yield from (Problem(path, name) for name in _INPUT.findall(text) if _is_text(spec, task, name))


def _is_text(spec: Spec, task: Task, name: str) -> bool:
    entry = task.parameters.get(name, {})
    if "taskOutputParameter" in entry:
        output = entry["taskOutputParameter"]
        producer = task.siblings.get(output.get("producerTask", ""), {})
        part = spec.components.get(producer.get("componentRef", {}).get("name", ""), {})
        definitions, name = part.get("outputDefinitions", {}), output.get("outputParameterKey", "")
    else:
        definitions = spec.dags[task.path[:-3]].get("inputDefinitions", {})
        name = entry.get("componentInputParameter", "")
    return definitions.get("parameters", {}).get(name, {}).get("parameterType") == "STRING"
