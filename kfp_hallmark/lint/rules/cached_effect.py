"""Caching of steps that must run."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import BACKENDS, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM503",
    Severity.ERROR,
    tuple(BACKENDS),
    fix="Call `set_caching_options(False)` on the task: a component from YAML cannot say it of itself.",
    source="https://www.kubeflow.org/docs/components/pipelines/user-guides/core-functions/caching/",
)
def cached_effect(spec: Spec) -> Iterator[Problem]:
    """A gate, or another step of ours that does not depend on its inputs alone, is cached: it may not run at all.

    Only components made with `kfp_hallmark.component` say whether they are pure; of others nobody can know.
    """
    for task in spec.tasks:
        if task.traits and not task.traits.pure and task.value.get("cachingOptions", {}).get("enableCache"):
            yield Problem((*task.path, "cachingOptions"), task.name)
