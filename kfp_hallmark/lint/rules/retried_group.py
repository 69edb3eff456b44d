"""Retries of a whole pipeline with what must run once."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec, Task


@rule(
    "HM505",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Retry the steps that are idempotent, each by itself.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/compiler/visitor.go#L163",
)
def retried_group(spec: Spec) -> Iterator[Problem]:
    """A pipeline, loop or condition is retried as a whole, and with it a step of ours that must run once.

    From 2.14 on a task without a policy of its own gets that of the group it is in. Elsewhere a group's policy has no
    effect.
    """
    for task in spec.tasks:
        if task.retries and "dag" in task.component:
            for once in _once(spec, task, set()):
                detail = f"{once.name} in it must run once"
                yield Problem((*task.path, "retryPolicy"), detail, since=(2, 14))


def _once(spec: Spec, group: Task, seen: set[str]) -> Iterator[Task]:
    """Yield the steps in a group that get its policy and must run once."""
    name = group.value["componentRef"]["name"]
    if name in seen:
        return
    seen.add(name)
    for task in spec.tasks:
        if task.path[:2] != ("components", name) or "retryPolicy" in task.value:
            continue
        if "dag" in task.component:
            yield from _once(spec, task, seen)
        elif task.traits and not task.traits.idempotent:
            yield task
