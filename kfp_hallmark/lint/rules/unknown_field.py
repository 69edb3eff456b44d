"""Fields that not every version of KFP has."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Part, Path, Spec


@rule(
    "HM108",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Leave the feature out, or upgrade Kubeflow Pipelines.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/apiserver/template/template.go#L107",
)
def unknown_field(spec: Spec) -> Iterator[Problem]:
    """A field is unknown to this version of Kubeflow, whose API server then takes the file for no pipeline at all.

    It parses a spec strictly. The fields and the versions that brought them are read off `pipeline_spec.proto` of
    each release. Fields of executors are not concerned: those that are unknown are dropped.
    """
    document = spec.documents[spec.index]
    try:
        json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        yield Problem((), str(error).partition("\n")[0])
    for task in spec.tasks:
        if "cacheKey" in task.value.get("cachingOptions", {}):
            yield Problem((*task.path, "cachingOptions", "cacheKey"), "cacheKey", below=(2, 4))
    for name, component in spec.components.items():
        path: Path = ("components", name)
        if component.get("taskConfigPassthroughs"):
            yield Problem((*path, "taskConfigPassthroughs"), "taskConfigPassthroughs", below=(2, 15))
        yield from _parameters(path, component)
    yield from _parameters(("root",), spec.pipeline["root"])


def _parameters(path: Path, component: Part) -> Iterator[Problem]:
    for name, entry in component.get("inputDefinitions", {}).get("parameters", {}).items():
        where: Path = (*path, "inputDefinitions", "parameters", name)
        if entry.get("parameterType") == "TASK_CONFIG":
            yield Problem(where, f"{name} is of the type TASK_CONFIG", below=(2, 15))
        if entry.get("literals"):
            yield Problem(where, f"{name} has literals", below=(2, 16))
