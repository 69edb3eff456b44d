"""Container components in local runs without containers."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import LOCAL, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec

_EXECUTOR = "kfp.dsl.executor_main"
_CONTAINERIZED = ["python3", "-m", _EXECUTOR]


@rule(
    "HM304",
    Severity.ERROR,
    [LOCAL],
    fix="Run with Docker: `hallmark run --platform docker`, or `local.init(local.DockerRunner())`.",
    source=(
        "https://github.com/kubeflow/pipelines/blob/sdk-2.17.0-1/sdk/python/kfp/local/subprocess_task_handler.py#L86"
    ),
)
def local_container(spec: Spec) -> Iterator[Problem]:
    """A step is a container, not a Python function that the spec carries, and a run without containers refuses it."""
    for path, container in spec.containers.items():
        command = list(container.get("command", ()))
        if command[:3] == _CONTAINERIZED or not any(_EXECUTOR in part for part in command):
            yield Problem(path, str(container.get("image")))
