"""Processors and memory that Kubernetes refuses."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.quantities import quantities
from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM119",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Write processors as '2' or '500m' and memory as '512Mi' or '4G', no request above its limit.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/driver/driver.go#L191",
)
def resource_quantity(spec: Spec) -> Iterator[Problem]:
    """A step's processors or memory are no quantity of Kubernetes, or its request is above its limit; it cannot start.

    kfp itself takes memory in `K`, which Kubernetes writes `k` or `Ki`. Releases below 2.4 read the fields that hold
    numbers alone.
    """
    for path, container in spec.containers.items():
        given = quantities(container)
        for found in given.values():
            if found.value is None:
                since = (2, 4) if found.key.startswith("resource") else None
                yield Problem((*path, "resources", found.key), f"{found.key} {found.text!r}", since=since)
        for kind in ("cpu", "memory"):
            request, limit = given.get(f"{kind}Request"), given.get(f"{kind}Limit")
            if not request or not limit or request.value is None or limit.value is None:
                continue
            if request.value > limit.value:
                detail = f"{request.key} {request.text} above {limit.key} {limit.text}"
                yield Problem((*path, "resources", request.key), detail)
