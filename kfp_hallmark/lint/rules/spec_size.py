"""The size of a spec on Kubeflow."""

from __future__ import annotations

import json
from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec

MAX_BYTES = 2**20


@rule(
    "HM401",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Put code into the images instead of the spec, use one component many times, and split the pipeline.",
    source="https://github.com/argoproj/argo-workflows/blob/v3.7.3/docs/offloading-large-workflows.md",
)
def spec_size(spec: Spec) -> Iterator[Problem]:
    """The spec is larger than the 1 MB that a workflow, which holds all of it, can have in Kubernetes.

    What counts is the spec as compact JSON. Tasks take room in the workflow again while they run, so that a spec
    of half the size may be too large.
    """
    size = len(json.dumps(spec.pipeline, separators=(",", ":"), ensure_ascii=False).encode())
    if size > MAX_BYTES:
        yield Problem((), f"{size:,} bytes")
