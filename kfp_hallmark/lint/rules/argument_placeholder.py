"""Arguments of containers that are built when the step runs."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec

_KINDS = {"IfPresent": (2, 17), "Concat": None}
"""The first version that knows each."""


@rule(
    "HM116",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Give whole arguments, and let the program decide; or make the step a Python component.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/driver/util.go#L207",
)
def argument_placeholder(spec: Spec) -> Iterator[Problem]:
    """A container's argument is built with `dsl.IfPresentPlaceholder` or `dsl.ConcatPlaceholder`, and passed as JSON.

    `IfPresent` is understood from 2.17 on, `Concat` by no release.
    """
    for path, container in spec.containers.items():
        for field in ("command", "args"):
            for index, text in enumerate(container.get(field, ())):
                for kind, below in _KINDS.items():
                    if text.lstrip().startswith(f'{{"{kind}"'):
                        yield Problem((*path, field, index), kind, below=below)
