"""Where importers get their URI from."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM106",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Give the URI as a constant or a parameter of the pipeline, or import in a step of your own.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/component/importer_launcher.go#L220",
)
def importer_uri(spec: Spec) -> Iterator[Problem]:
    """An importer's URI is the output of a task or a part of a loop's item; only a whole parameter of its DAG is found.

    The importer looks the URI up among the parameters of the DAG that it is in, and nowhere else. That of an item's
    part is taken to be the whole item.
    """
    for task in spec.tasks:
        name = task.executor.get("importer", {}).get("artifactUri", {}).get("runtimeParameter")
        entry = task.parameters.get(name or "", {})
        path = (*task.path, "inputs", "parameters", str(name))
        if "taskOutputParameter" in entry:
            yield Problem(path, f"the URI is an output of {entry['taskOutputParameter'].get('producerTask')}")
        elif entry.get("parameterExpressionSelector"):
            yield Problem(path, "the URI is a part of an item")
