"""Volumes that only Kubeflow makes."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.images import STUBS
from kfp_hallmark.lint.rule import DOCKER, VERTEX, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM204",
    Severity.ERROR,
    [VERTEX, DOCKER],
    fix="Leave `CreatePVC` and `DeletePVC` out, and pass data as artifacts.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/kubernetes_platform/python/kfp/kubernetes/volume.py#L87",
)
def kubernetes_volume(spec: Spec) -> Iterator[Problem]:
    """A volume is made or deleted, which only Kubeflow does, by itself: what stands for an image is none."""
    for path, container in spec.containers.items():
        if container.get("image") in STUBS:
            yield Problem((*path, "image"), container["image"])
