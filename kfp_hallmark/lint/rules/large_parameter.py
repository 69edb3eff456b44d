"""Large values in a spec."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Path, Spec

MAX_BYTES = 10_000


@rule(
    "HM402",
    Severity.WARNING,
    [KUBEFLOW],
    fix="Pass an artifact or a URI.",
    source="https://github.com/kubeflow/pipelines/issues/12510",
)
def large_parameter(spec: Spec) -> Iterator[Problem]:
    """A constant or default is over 10,000 bytes, the most that the API server takes for the parameters of a run.

    The limit holds for all parameters together, where they are given through the API v1beta1; from 2.16 on the
    server's variable MAX_PARAMETER_BYTES raises it.
    """
    for name, entry in spec.pipeline["root"].get("inputDefinitions", {}).get("parameters", {}).items():
        path = ("root", "inputDefinitions", "parameters", name, "defaultValue")
        yield from _large(path, name, entry.get("defaultValue"))
    for task in spec.tasks:
        for where, value in task.constants.items():
            yield from _large(where, str(where[-1]), value)


def _large(path: Path, name: str, value: Any) -> Iterator[Problem]:
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > MAX_BYTES:
        yield Problem(path, f"{name} has {size:,} bytes")
