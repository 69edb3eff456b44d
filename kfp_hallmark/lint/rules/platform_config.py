"""Settings of the whole run that not every version knows."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, Version, rule
from kfp_hallmark.lint.spec import Spec

_KNOWN: dict[str, tuple[Version, Version | None]] = {
    "workspace": ((2, 14), None),
    "semaphoreKey": ((2, 5), (2, 15)),
    "mutexName": ((2, 5), (2, 15)),
    "resourceTtl": ((2, 5), (2, 17)),
    "resourceTtlOnCompletion": ((2, 17), None),
    "resourceTtlOnSuccess": ((2, 17), None),
    "resourceTtlOnFailure": ((2, 17), None),
    "activeDeadlineSeconds": ((2, 17), None),
}
"""The first version that knows a field, and the first that knows it no more."""


@rule(
    "HM109",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Compile with the kfp of the cluster's version, or leave the setting out of `dsl.PipelineConfig`.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/apiserver/template/v2_template.go#L428",
)
def platform_config(spec: Spec) -> Iterator[Problem]:
    """A setting of the whole run is unknown to this version, which then drops every setting for Kubernetes, silently.

    Secrets, volumes, tolerations and all else in the second document are gone. Fields and versions are read off
    `pipeline_spec.proto` of each release.
    """
    config = spec.kubernetes.get("pipelineConfig")
    for name in config if isinstance(config, dict) else ():
        first, last = _KNOWN.get(name, (None, None))
        path = ("platforms", "kubernetes", "pipelineConfig", name)
        if first is None:
            yield Problem(path, name, document=spec.platform_index)
            continue
        yield Problem(path, name, below=first, document=spec.platform_index)
        if last:
            yield Problem(path, name, since=last, document=spec.platform_index)
