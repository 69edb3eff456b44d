"""Artifacts that are one of several."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import Problem
from kfp_hallmark.lint.spec import Spec


def several_producers(spec: Spec) -> Iterator[Problem]:
    """Yield the artifacts that a DAG gives from one of several tasks."""
    for path, part in spec.dags.items():
        for name, output in part["dag"].get("outputs", {}).get("artifacts", {}).items():
            producers = [selector.get("producerSubtask", "") for selector in output.get("artifactSelectors", ())]
            if len(producers) > 1:
                yield Problem((*path, "dag", "outputs", "artifacts", name), f"one of {', '.join(producers)}")
