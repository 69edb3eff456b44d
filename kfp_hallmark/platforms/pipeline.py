"""A compiled pipeline as messages: what both platforms read from it and put into it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf import json_format
from google.protobuf.message import Message
from kfp.dsl.base_component import BaseComponent
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kfp_hallmark.component import Traits
from kfp_hallmark.errors import InputError
from kfp_hallmark.lint.images import STUBS
from kfp_hallmark.settings import Caching, Resources, Retries
from kfp_hallmark.settings_checks import byte_count, cpus

Container: TypeAlias = pb.PipelineDeploymentConfig.PipelineContainerSpec

_FUNCTION = "--function_to_execute"

FETCH = ["python3", "-m", "kfp_hallmark.secret_manager"]
"""The command before a step's own that fetches secrets for it on Vertex AI."""


@dataclass(frozen=True)
class Step:
    """A container that a pipeline runs, once or in several tasks.

    Attributes:
        label: The executor's label.
        container: Its message; changing it changes the pipeline.
        traits: What the component says of itself; None when it was not made by `kfp_hallmark.component`.
        parameters: The names of the parameters that it takes.
    """

    label: str
    container: Container
    traits: Traits | None
    parameters: frozenset[str]

    @property
    def component(self) -> str:
        """The component's name: the function's of a lightweight component, else as the label gives it."""
        arguments = list(self.container.args)
        if _FUNCTION in arguments[:-1]:
            return arguments[arguments.index(_FUNCTION) + 1]
        return self.label.removeprefix("exec-").replace("-", "_")

    @property
    def variables(self) -> set[str]:
        """The variables that it sets itself."""
        return {variable.name for variable in self.container.env}

    @property
    def size(self) -> str:
        """What the step needs; medium when nobody said."""
        return self.traits.size if self.traits else "medium"


class Pipeline:
    """A copy of a compiled pipeline that settings are put into.

    Attributes:
        spec: What every backend reads.
        platform: What Kubernetes alone reads.
        description: What the pipeline says of itself.
        steps: The containers that it runs, by their executors' labels. What Kubeflow does itself, without an image, is
            not among them.
    """

    def __init__(self, pipeline: BaseComponent) -> None:
        self.spec = pb.PipelineSpec()
        self.spec.CopyFrom(pipeline.pipeline_spec)
        self.platform = pb.PlatformSpec()
        self.platform.CopyFrom(pipeline.platform_spec)
        self.description = pipeline.description
        self._deployment = parse(self.spec.deployment_spec, pb.PipelineDeploymentConfig())
        self.steps = steps_of(self.spec, self._deployment)

    @property
    def volumes(self) -> list[str]:
        """The executors by which Kubeflow makes and deletes volumes itself."""
        return [label for label, executor in self._deployment.executors.items() if executor.container.image in STUBS]

    def put_back(self) -> None:
        """Put the changed containers back into the spec."""
        self.spec.deployment_spec.Clear()
        self.spec.deployment_spec.update(json_format.MessageToDict(self._deployment))

    def every_task(self) -> Iterator[tuple[str, pb.PipelineTaskSpec, pb.ComponentSpec]]:
        """Yield every task: its name, its message and what it runs."""
        for component in (self.spec.root, *self.spec.components.values()):
            for name, task in component.dag.tasks.items():
                yield name, task, self.spec.components[task.component_ref.name]

    def tasks(self) -> Iterator[tuple[str, pb.PipelineTaskSpec, Step]]:
        """Yield every task that runs a container: its name, its message and its step."""
        for name, task, component in self.every_task():
            if component.executor_label in self.steps:
                yield name, task, self.steps[component.executor_label]

    def groups(self) -> Iterator[tuple[str, pb.PipelineTaskSpec, list[Step]]]:
        """Yield every task that runs a pipeline within: its name, its message and all the steps below it."""
        for name, task, component in self.every_task():
            if component.HasField("dag"):
                yield name, task, list(self._below(component, set()))

    def add_parameter(self, step: Step, key: str, name: str, default: str | int | None) -> str:
        """Give the pipeline a parameter by which a run says what a step gets, and return what stands for its value.

        It is passed down to the step's tasks as KFP's compiler does for `task.set_cpu_limit(parameter)`, which Vertex
        AI reads: https://github.com/kubeflow/pipelines/pull/11097.

        Args:
            step: The step.
            key: What it gets: `cpu_limit`, `memory_limit`, `accelerator_type` or `accelerator_count`.
            name: The parameter's name.
            default: Its default; None where each run must give it.

        Raises:
            InputError: If the pipeline has another parameter of that name.
        """
        kind = pb.ParameterType.NUMBER_INTEGER if isinstance(default, int) else pb.ParameterType.STRING
        wanted = pb.ComponentInputsSpec.ParameterSpec(parameter_type=kind, description=f"The {key} on Vertex AI.")
        if default is not None:
            wanted.is_optional = True
            json_format.ParseDict(default, wanted.default_value)
        parameters = self.spec.root.input_definitions.parameters
        if name in parameters and parameters[name] != wanted:
            raise InputError(
                f"The parameter {name!r}, which vertex.machines names for the {key} of {step.component}, must be new; "
                "the pipeline has another of that name, or another machine's has another default."
            )
        parameters[name].CopyFrom(wanted)
        channel = f"pipelinechannel--{name}"
        value = f"{{{{$.inputs.parameters['{channel}']}}}}"
        for task in self._pass_down(self.spec.root, name, channel, kind, step.label):
            task.inputs.parameters[key].runtime_value.constant.string_value = value
        return value

    def _pass_down(
        self, within: pb.ComponentSpec, name: str, channel: str, kind: pb.ParameterType.ParameterTypeEnum, label: str
    ) -> list[pb.PipelineTaskSpec]:
        """Pass a parameter down to every task that runs a step, and return those tasks."""
        reached = []
        for task in within.dag.tasks.values():
            inner = self.spec.components[task.component_ref.name]
            below = [task] if inner.executor_label == label else self._pass_down(inner, channel, channel, kind, label)
            if below:
                task.inputs.parameters[channel].component_input_parameter = name
            if below and inner.HasField("dag"):
                inner.input_definitions.parameters[channel].parameter_type = kind
            reached += below
        return reached

    def _below(self, component: pb.ComponentSpec, seen: set[str]) -> Iterator[Step]:
        for task in component.dag.tasks.values():
            name = task.component_ref.name
            if name in seen:
                continue
            seen.add(name)
            inner = self.spec.components[name]
            if inner.executor_label in self.steps:
                yield self.steps[inner.executor_label]
            yield from self._below(inner, seen)


def steps_of(spec: pb.PipelineSpec, deployment: pb.PipelineDeploymentConfig) -> dict[str, Step]:
    """Return the containers that a pipeline runs, by their executors' labels; none that Kubeflow needs no image for."""
    parameters = {
        component.executor_label: frozenset(component.input_definitions.parameters)
        for component in spec.components.values()
    }
    return {
        label: Step(
            label,
            executor.container,
            Traits.read("".join(executor.container.command[-1:])),
            parameters.get(label, frozenset()),
        )
        for label, executor in sorted(deployment.executors.items())
        if executor.HasField("container") and executor.container.image not in STUBS
    }


def parse(value: Message, into: Message) -> Any:
    """Fill a message from a part of a spec that is kept as JSON, and return it.

    Raises:
        InputError: If it holds what this version of KFP does not know.
    """
    try:
        return json_format.ParseDict(json_format.MessageToDict(value), into)
    except (json_format.Error, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"The pipeline must be one that KFP 2.17 can read; it is not ({reason}).") from error


def set_images(pipeline: Pipeline, pinned: Callable[[str], str]) -> None:
    """Replace every image by what `pinned` returns for it."""
    for step in pipeline.steps.values():
        step.container.image = pinned(step.container.image)


def drop_documentation(pipeline: Pipeline) -> None:
    """Leave out what is said of steps, more than half of a spec: comments in our components, descriptions in any.

    Nothing runs them, and Kubeflow's pages show a step's inputs and outputs by name and type alone. What is said of the
    pipeline and its parameters stays; the files of the components, each on its own, keep everything.
    """
    for component in pipeline.spec.components.values():
        for definitions in (component.input_definitions, component.output_definitions):
            for entry in (*definitions.parameters.values(), *definitions.artifacts.values()):
                entry.ClearField("description")
    for step in pipeline.steps.values():
        if step.traits:
            step.container.command[:] = concise_command(step.container.command)


def concise_command(command: Sequence[str]) -> list[str]:
    """Return the command of a component of ours, its source concise, and what starts it without KFP's many blanks."""
    *start, source = command
    return [*(re.sub(r"([ \n])\1+", r"\1", part) for part in start), concise(source)]


def concise(source: str) -> str:
    """Return a component's source without the function's docstring, comments and layout."""
    wanted = ast.parse(source)
    function = next(node for node in wanted.body if isinstance(node, ast.FunctionDef))
    before = [line for line in source.split("\n")[: function.lineno - 1] if line]
    if ast.get_docstring(function) is not None and len(function.body) > 1:
        function.body.pop(0)
    shorter = "\n".join([*before, ast.unparse(function), ""])
    return shorter if ast.dump(ast.parse(shorter)) == ast.dump(wanted) else source


def set_caching(pipeline: Pipeline, caching: Caching) -> None:
    """Switch caching off for what is not pure, and for everything where the settings say so.

    A component that was loaded from YAML cannot switch it off by itself.
    """
    never = [task for _, task, step in pipeline.tasks() if step.traits and not step.traits.pure]
    for task in never if caching.enabled else [task for _, task, _ in pipeline.every_task()]:
        if task.HasField("caching_options"):
            task.caching_options.Clear()


def set_retries(pipeline: Pipeline, retries: Retries, max_seconds: Callable[[Step], int]) -> None:
    """Let idempotent components be run again; retries that the pipeline's author set stay.

    Args:
        pipeline: The pipeline.
        retries: How often, and after which waits.
        max_seconds: Returns the time from a step's first start within which it is run again.

    Raises:
        InputError: If the author lets a component be run again that is not idempotent.
    """
    for name, task, steps in pipeline.groups():
        # Kubeflow gives a group's policy to every task in it that has none.
        once = [step.component for step in steps if step.traits and not step.traits.idempotent]
        if task.retry_policy.max_retry_count and once:
            raise InputError(
                f"The task {name!r} must not be retried: {once[0]} in it is not idempotent.", "Remove its `set_retry`."
            )
    for name, task, step in pipeline.tasks():
        idempotent = bool(step.traits and step.traits.idempotent)
        if task.retry_policy.max_retry_count and step.traits and not idempotent:
            raise InputError(
                f"The task {name!r} must not be retried: {step.component} is not idempotent.", "Remove its `set_retry`."
            )
        if not idempotent or task.HasField("retry_policy") or not retries.count:
            continue
        policy = task.retry_policy
        policy.max_retry_count = retries.count
        policy.backoff_duration.seconds = retries.backoff_seconds
        policy.backoff_factor = retries.factor
        policy.backoff_max_duration.seconds = max_seconds(step)


def set_resources(container: Container, resources: Resources, requests: bool) -> None:
    """Set the processors and memory that the pipeline's author left open, no request above its limit.

    Older backends read numbers (memory in GB), newer ones the quantities themselves, so both are set, as KFP does.
    """
    target = container.resources
    for kind, number in (("cpu", cpus), ("memory", _gigabytes)):
        limit, request = f"{kind}_limit", f"{kind}_request"
        _set_resource(target, limit, getattr(resources, limit), number, request, max)
        if requests:
            _set_resource(target, request, getattr(resources, request), number, limit, min)


def _set_resource(
    target: Any,
    field: str,
    quantity: str,
    number: Callable[[str], float],
    other: str,
    bound: Callable[[float, float], float],
) -> None:
    """Set a field that is open to a quantity, or to what its counterpart is when that bounds it.

    It stays open beside a counterpart that only the run knows, a parameter's value.
    """
    given, given_quantity = getattr(target, other), getattr(target, f"resource_{other}")
    if getattr(target, field) or getattr(target, f"resource_{field}") or "{{" in given_quantity:
        return
    value = number(quantity)
    if given and bound(value, given) == given:
        value, quantity = given, given_quantity
    setattr(target, field, value)
    setattr(target, f"resource_{field}", quantity)


def _gigabytes(quantity: str) -> float:
    return byte_count(quantity) / 10**9


def set_variables(step: Step, variables: Mapping[str, str], present: Collection[str]) -> None:
    """Set a step's variables, but those that the pipeline's author set."""
    for name, value in sorted(variables.items()):
        if name not in present:
            step.container.env.add(name=name, value=value)


def refuse_overlap(step: Step, present: Collection[str], secrets: Collection[str]) -> None:
    """Raise `InputError` if the author set a variable that a secret is to go to."""
    for name in sorted({*present} & {*secrets}):
        raise InputError(
            f"The variable {name} of {step.component} must come from its secret alone; the pipeline sets it too.",
            "Remove it from the pipeline.",
        )


def refuse_fetched_secrets(step: Step) -> None:
    """Raise `InputError` if a step is one that was compiled to fetch secrets itself."""
    if list(step.container.command[: len(FETCH)]) == FETCH:
        raise InputError(
            "A pipeline must not hold secrets of an earlier compilation for Vertex AI; it does.",
            "Compile the pipeline itself, or what KFP's compiler made of it.",
        )
