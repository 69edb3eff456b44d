"""`dsl.OneOf` over artifacts on Kubeflow."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.selections import several_producers
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM101",
    Severity.ERROR,
    [KUBEFLOW],
    below="2.17",
    fix="Return a parameter instead, such as the artifact's URI, or put what follows into each branch.",
    source="https://github.com/kubeflow/pipelines/pull/13437",
)
def artifact_oneof(spec: Spec) -> Iterator[Problem]:
    """An artifact that is one of several (`dsl.OneOf`) is always taken from the last branch, whether it ran or not."""
    yield from several_producers(spec)
