"""Machines that Vertex AI has not."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.quantities import quantities
from kfp_hallmark.lint.rule import VERTEX, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec
from kfp_hallmark.settings_checks import VERTEX_CPUS, VERTEX_MEMORY, byte_count


@rule(
    "HM203",
    Severity.ERROR,
    [VERTEX],
    fix="Ask for less, or run the work as a custom job from within the step.",
    source="https://cloud.google.com/vertex-ai/docs/pipelines/machine-types",
)
def machine_too_large(spec: Spec) -> Iterator[Problem]:
    """A step asks for more than 96 processors or 624 GB of memory, which is the most that Vertex AI gives."""
    for path, container in spec.containers.items():
        given = quantities(container)
        for field, most, unit, text in (
            ("cpuLimit", VERTEX_CPUS, 1, "processors"),
            ("memoryLimit", byte_count(VERTEX_MEMORY), 10**9, "GB"),
        ):
            found = given.get(field)
            if found and found.value is not None and found.value > most:
                yield Problem((*path, "resources", found.key), f"{float(found.value / unit):g} {text}")
