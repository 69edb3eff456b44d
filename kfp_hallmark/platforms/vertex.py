"""What a step needs on Vertex AI Pipelines, put into a compiled pipeline.

A spec says processors, memory and accelerators; Vertex AI chooses the machine type that fits them best
(https://cloud.google.com/vertex-ai/docs/pipelines/machine-types). It has no variables from secrets: a step fetches them
itself, as the run's service account (https://cloud.google.com/vertex-ai/docs/pipelines/secret-manager), so the step's
command is put behind `kfp_hallmark.secret_manager`, which does that.
"""

from __future__ import annotations

from dataclasses import replace

from kfp_hallmark.errors import InputError
from kfp_hallmark.platforms import pipeline as change
from kfp_hallmark.platforms.pipeline import Container, Pipeline, Step
from kfp_hallmark.settings import Machine, Settings
from kfp_hallmark.settings_checks import VERTEX_CPUS, VERTEX_MEMORY, byte_count, vertex_cpu, vertex_memory
from kfp_hallmark.tracking import VARIABLE as TRACKING_VARIABLE

MAX_RETRY_SECONDS = 3600
"""The greatest time for retries; the service takes a greater one for this."""


def apply(pipeline: Pipeline, settings: Settings) -> None:
    """Put the settings for Vertex AI into a pipeline.

    Raises:
        InputError: If the pipeline needs Kubernetes, contradicts the settings, or asks for more than a machine has.
    """
    if pipeline.platform.platforms:
        raise InputError(
            f"A pipeline for Vertex AI must have no platform settings; {pipeline.spec.pipeline_info.name!r} has.",
            "Remove what `kfp.kubernetes` set in it.",
        )
    if pipeline.volumes:
        raise InputError(
            "A pipeline for Vertex AI must not make or delete volumes of Kubernetes; "
            f"{pipeline.spec.pipeline_info.name!r} does."
        )
    change.set_caching(pipeline, settings.caching)
    seconds = min(settings.retries.max_seconds or MAX_RETRY_SECONDS, MAX_RETRY_SECONDS)
    change.set_retries(pipeline, settings.retries, lambda step: seconds)
    for step in pipeline.steps.values():
        change.refuse_fetched_secrets(step)
        _set_machine(pipeline, step, settings)
        if step.traits:
            change.refuse_overlap(step, step.variables, settings.vertex.secrets)
            change.set_variables(step, _variables(settings), step.variables)
            _set_secrets(step.container, settings)


def _variables(settings: Settings) -> dict[str, str]:
    tracking = {TRACKING_VARIABLE: settings.mlflow.tracking_uri} if settings.mlflow.tracking_uri else {}
    return tracking | dict(settings.vertex.variables)


def _set_machine(pipeline: Pipeline, step: Step, settings: Settings) -> None:
    machine = _machine(step, settings)
    resources = getattr(settings.resources, step.size)
    resources = replace(
        resources,
        cpu_limit=machine.cpu_limit or resources.cpu_limit,
        memory_limit=machine.memory_limit or resources.memory_limit,
    )
    target = step.container.resources
    for key, check in (("cpu_limit", vertex_cpu), ("memory_limit", vertex_memory)):
        name = machine.parameters.get(key)
        if name and not (getattr(target, key) or getattr(target, f"resource_{key}")):
            default = getattr(resources, key)
            check(f"The default of the parameter {name!r}", default)
            setattr(target, f"resource_{key}", pipeline.add_parameter(step, key, name, default))
    change.set_resources(step.container, resources, requests=False)
    for what, got, most, unit in (
        ("processors", target.cpu_limit, VERTEX_CPUS, ""),
        ("memory", target.memory_limit, byte_count(VERTEX_MEMORY) / 10**9, " GB"),
    ):
        if got > most:
            raise InputError(
                f"The {what} of {step.component} must be at most {most:g}{unit} on Vertex AI; got {got:g}."
            )
    if not target.HasField("accelerator"):
        _set_accelerator(pipeline, step, machine)


def _set_accelerator(pipeline: Pipeline, step: Step, machine: Machine) -> None:
    kind, number = (machine.parameters.get(key) for key in ("accelerator_type", "accelerator_count"))
    if not (machine.accelerator_type or kind):
        return
    accelerator, count = step.container.resources.accelerator, machine.accelerator_count or 1
    if kind:
        accelerator.resource_type = pipeline.add_parameter(step, "accelerator_type", kind, machine.accelerator_type)
    else:
        accelerator.type = accelerator.resource_type = str(machine.accelerator_type)
    if number:
        accelerator.resource_count = pipeline.add_parameter(step, "accelerator_count", number, count)
    else:
        accelerator.count, accelerator.resource_count = count, str(count)


def _machine(step: Step, settings: Settings) -> Machine:
    """Return the machine of a step: of its component, else of its size, key by key."""
    machine = Machine()
    for name in (step.size, step.component):
        if given := settings.vertex.machines.get(name):
            own = {key: value for key, value in vars(given).items() if value is not None}
            left = {key: parameter for key, parameter in machine.parameters.items() if key not in own}
            machine = replace(machine, **own | {"parameters": left | dict(given.parameters)})
    return machine


def _set_secrets(container: Container, settings: Settings) -> None:
    """Put the step's command behind the one that fetches the secrets and then becomes it."""
    if settings.vertex.secrets:
        references = [f"{variable}={version}" for variable, version in sorted(settings.vertex.secrets.items())]
        command = [*change.FETCH, *references, "--", *container.command]
        container.ClearField("command")
        container.command.extend(command)
