"""Retries of what must run once."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import BACKENDS, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM504",
    Severity.ERROR,
    tuple(BACKENDS),
    fix="Remove its `set_retry`.",
    source="https://github.com/kubeflow/pipelines/blob/2.14.0/backend/src/v2/compiler/argocompiler/container.go",
)
def retried_effect(spec: Spec) -> Iterator[Problem]:
    """A step of ours that must run once, because a second attempt does harm, is run again after a failure.

    Only components made with `kfp_hallmark.component` say whether they are idempotent; of others nobody can know.
    """
    for task in spec.tasks:
        if task.retries and task.traits and not task.traits.idempotent:
            yield Problem((*task.path, "retryPolicy"), f"{task.retries} retries", since=(2, 14))
