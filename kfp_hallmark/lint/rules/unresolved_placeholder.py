"""Placeholders that a backend leaves as they are."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, Version, rule
from kfp_hallmark.lint.spec import Path, Spec, strings

_EXACT: dict[str, Version | None] = {
    "{{$.pipeline_job_name}}": (2, 5),
    "{{$.pipeline_job_resource_name}}": (2, 5),
    "{{$.pipeline_job_uuid}}": (2, 5),
    "{{$.pipeline_task_name}}": (2, 5),
    "{{$.pipeline_task_uuid}}": (2, 5),
    "{{$.pipeline_job_create_time_utc}}": (2, 16),
    "{{$.pipeline_job_schedule_time_utc}}": (2, 16),
    "{{$.pipeline_root}}": None,
}
"""The version from which on each is replaced where it is a whole value."""

_WORKSPACE = "{{$.workspace_path}}"


@rule(
    "HM107",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Pass the placeholder as the whole value of a component's parameter, and build texts from it in the step.",
    source="https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/driver/resolve.go#L436",
)
def unresolved_placeholder(spec: Spec) -> Iterator[Problem]:
    """A placeholder such as `dsl.PIPELINE_JOB_NAME_PLACEHOLDER` is not replaced; the step gets it as it is written.

    Kubeflow replaces a placeholder only where it is the whole value of a parameter: not within a longer text, not in
    lists and dicts, not in the command of a container. It never replaces `dsl.PIPELINE_ROOT_PLACEHOLDER`.
    """
    for task in spec.tasks:
        for path, value in task.constants.items():
            for inner, text in strings(value):
                yield from _in_text(path, text, whole=not inner)
        command = [*task.container.get("command", ()), *task.container.get("args", ())]
        if "--function_to_execute" not in command:
            for text in command:
                yield from _in_text(task.path, text, whole=False)


def _in_text(path: Path, text: str, whole: bool) -> Iterator[Problem]:
    for placeholder, below in _EXACT.items():
        if whole and text == placeholder:
            yield Problem(path, placeholder, below=below)
        elif placeholder in text:
            yield Problem(path, f"{placeholder} within something larger")
    if _WORKSPACE in text:
        yield Problem(path, _WORKSPACE, below=(2, 15))
