"""Fields of resources that older backends do not read."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec

_OLD = {
    "resourceCpuLimit": "cpuLimit",
    "resourceMemoryLimit": "memoryLimit",
    "resourceCpuRequest": "cpuRequest",
    "resourceMemoryRequest": "memoryRequest",
}


@rule(
    "HM114",
    Severity.WARNING,
    [KUBEFLOW],
    below="2.4",
    fix="Set the resources to constants, for which kfp writes both fields, or upgrade Kubeflow Pipelines.",
    source="https://github.com/kubeflow/pipelines/blob/2.3.0/backend/src/v2/driver/driver.go#L411",
)
def resource_names(spec: Spec) -> Iterator[Problem]:
    """A step's processors or memory are set only in fields that this version does not read; they have no effect."""
    for path, container in spec.containers.items():
        resources = container.get("resources", {})
        for new, old in _OLD.items():
            if new in resources and old not in resources:
                yield Problem((*path, "resources", new), new)
