"""`dsl.OneOf` over artifacts in local runs."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import DOCKER, LOCAL, Problem, Severity, rule
from kfp_hallmark.lint.selections import several_producers
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM301",
    Severity.ERROR,
    [LOCAL, DOCKER],
    fix="Return a parameter instead, such as the artifact's URI, or put what follows into each branch.",
    source=(
        "https://github.com/kubeflow/pipelines/blob/sdk-2.17.0-1/sdk/python/kfp/local/orchestrator/"
        "orchestrator_utils.py#L293"
    ),
)
def local_artifact_oneof(spec: Spec) -> Iterator[Problem]:
    """An artifact that is one of several (`dsl.OneOf`) fails the run, after its branches have run."""
    yield from several_producers(spec)
