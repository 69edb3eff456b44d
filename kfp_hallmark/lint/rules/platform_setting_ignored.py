"""Settings of steps that not every version reads."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, Version, rule
from kfp_hallmark.lint.spec import Path, Spec

_READ_FROM: dict[str, Version | None] = {
    "podMetadata": (2, 1),
    "imagePullSecret": (2, 1),
    "imagePullPolicy": (2, 1),
    "configMapAsVolume": (2, 1),
    "configMapAsEnv": (2, 1),
    "activeDeadlineSeconds": (2, 1),
    "fieldPathAsEnv": (2, 1),
    "tolerations": (2, 1),
    "genericEphemeralVolume": (2, 2),
    "emptyDirMounts": (2, 3),
    "nodeAffinity": (2, 14),
    "securityContext": (2, 16),
    "podAffinity": None,
    "enabledSharedMemory": None,
}
"""The first version whose driver reads a setting."""


@rule(
    "HM110",
    Severity.WARNING,
    [KUBEFLOW],
    fix="Do not count on the setting: upgrade Kubeflow Pipelines where that helps, or set it for the namespace.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/driver/k8s.go#L131",
)
def platform_setting_ignored(spec: Spec) -> Iterator[Problem]:
    """A setting of a step for Kubernetes is not read by this version, and has no effect.

    The driver of each release was searched for what it reads. No release reads `podAffinity` or
    `enabledSharedMemory`.
    """
    for label, config in spec.kubernetes_executors.items():
        path: Path = ("platforms", "kubernetes", "deploymentSpec", "executors", label)
        for name, below in _READ_FROM.items():
            if name in config:
                yield Problem((*path, name), name, below=below, document=spec.platform_index)
        for index, mount in enumerate(config.get("pvcMount", ())):
            if "subPath" in mount:
                where = (*path, "pvcMount", index, "subPath")
                yield Problem(where, "subPath of pvcMount", below=(2, 16), document=spec.platform_index)
