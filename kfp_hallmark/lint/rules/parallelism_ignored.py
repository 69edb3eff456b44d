"""How many rounds of a loop run at once."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM112",
    Severity.WARNING,
    [KUBEFLOW],
    below="2.4",
    fix="Upgrade Kubeflow Pipelines, or loop over fewer items.",
    source="https://github.com/kubeflow/pipelines/pull/10798",
)
def parallelism_ignored(spec: Spec) -> Iterator[Problem]:
    """All rounds of a loop run at once, though it has a limit (`parallelism`)."""
    for task in spec.tasks:
        limit = task.value.get("iteratorPolicy", {}).get("parallelismLimit", 0)
        if limit:
            yield Problem((*task.path, "iteratorPolicy"), f"at most {limit} at once")
