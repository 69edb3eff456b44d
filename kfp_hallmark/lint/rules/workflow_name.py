"""Names that Argo Workflows refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Path, Spec

_NAME = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
_LONGEST = 128


@rule(
    "HM118",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Give the component, pipeline or loop a short name of letters, digits and '-'.",
    source="https://github.com/argoproj/argo-workflows/blob/v3.7.3/workflow/validate/validate.go",
)
def workflow_name(spec: Spec) -> Iterator[Problem]:
    """A name that Kubeflow gives to a part of the workflow is not in the form that Argo takes; the run is refused.

    At most 128 letters, digits and '-'. Kubeflow names templates by the component, those of a loop by component and
    task with `-iterator` after it, and tasks by the task with `-driver` after it.
    """
    for name in spec.components:
        yield from _refused(("components", name), name)
    for task in spec.tasks:
        yield from _refused(task.path, f"{task.name}-driver")
        if task.iterates:
            yield from _refused(task.path, f"{task.value.get('componentRef', {}).get('name')}-{task.name}-iterator")


def _refused(path: Path, name: str) -> Iterator[Problem]:
    if len(name) > _LONGEST:
        yield Problem(path, f"a name of {len(name)} characters, {name[:40]}...")
    elif not _NAME.fullmatch(name):
        yield Problem(path, repr(name))
