"""Make a pipeline's spec fit for kfp.local, without changing what it does.

Two things that kfp.local 2.17 gets wrong are mended here: an optional parameter that is not given stops the run, and
two tasks of one component write to the same folder. And what a component's docstring says is left out, as it is of
compiled pipelines, so that a step is the same step, which may be used again, wherever its pipeline comes from.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain, count

from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark.component import Traits
from kfp_hallmark.errors import InputError
from kfp_hallmark.platforms.pipeline import concise_command

COMPONENT_PREFIX = "comp-"


def prepare(
    spec: pipeline_spec_pb2.PipelineSpec, given: Collection[str]
) -> tuple[pipeline_spec_pb2.PipelineSpec, dict[str, str]]:
    """Return a copy of a spec in which each task has a component of its own and no input refers to an absent value.

    Args:
        spec: The pipeline's spec.
        given: The names of the parameters that the run has.

    Returns:
        The copy, and the name that each new component had before.

    Raises:
        InputError: If a task refers to an input that its pipeline does not have.
    """
    prepared = pipeline_spec_pb2.PipelineSpec()
    prepared.CopyFrom(spec)
    originals: dict[str, str] = {}
    components: dict[str, pipeline_spec_pb2.ComponentSpec] = {}
    _drop_absent_inputs(prepared.root, given)
    _own_components(prepared.root, spec.root, spec, components, originals, "")
    prepared.ClearField("components")
    for name, component in components.items():
        prepared.components[name].CopyFrom(component)
    for executor in prepared.deployment_spec["executors"].values():
        command = list(executor["container"]["command"]) if "container" in executor else []
        if command and Traits.read(command[-1]):
            executor["container"]["command"] = concise_command(command)
    return prepared, originals


def _own_components(
    dag: pipeline_spec_pb2.ComponentSpec,
    declared: pipeline_spec_pb2.ComponentSpec,
    spec: pipeline_spec_pb2.PipelineSpec,
    components: dict[str, pipeline_spec_pb2.ComponentSpec],
    originals: dict[str, str],
    parent: str,
) -> None:
    """Clone the component of every task of a DAG under a new name, and go into those that are DAGs themselves.

    `declared` is the DAG as it was, with the inputs that are absent.
    """
    for task_name in sorted(dag.dag.tasks):
        task = dag.dag.tasks[task_name]
        original = task.component_ref.name
        name = _free_name(task_name, parent, components)
        component = pipeline_spec_pb2.ComponentSpec()
        component.CopyFrom(spec.components[original])
        components[name] = component
        originals[name] = original
        _require_inputs(task_name, task, declared)
        _drop_absent_task_inputs(task, dag)
        _drop_absent_inputs(component, [*task.inputs.parameters, *task.inputs.artifacts, *_iterated(task)])
        task.component_ref.name = name
        if not component.HasField("dag"):
            _fill_in_defaults(task, component)
        else:
            _own_components(component, spec.components[original], spec, components, originals, task_name)


def _free_name(task_name: str, parent: str, taken: Collection[str]) -> str:
    """Return a component name for a task: the task's own; when that is taken, with its parent's before it."""
    own, nested = f"{COMPONENT_PREFIX}{task_name}", f"{COMPONENT_PREFIX}{parent}-{task_name}"
    numbered = (f"{nested}-{number}" for number in count(2))
    return next(name for name in chain([own, nested], numbered) if name not in taken)


def _iterated(task: pipeline_spec_pb2.PipelineTaskSpec) -> list[str]:
    """Return the input by which a loop hands its body the item."""
    return [name for name in (task.parameter_iterator.item_input, task.artifact_iterator.item_input) if name]


def _drop_absent_inputs(component: pipeline_spec_pb2.ComponentSpec, given: Collection[str]) -> None:
    """Remove the inputs of a component that are neither given nor have a default."""
    definitions = component.input_definitions
    for name in list(definitions.parameters):
        if name not in given and not definitions.parameters[name].HasField("default_value"):
            del definitions.parameters[name]
    for name in list(definitions.artifacts):
        if name not in given:
            del definitions.artifacts[name]


def _fill_in_defaults(task: pipeline_spec_pb2.PipelineTaskSpec, component: pipeline_spec_pb2.ComponentSpec) -> None:
    """Give a step its component's defaults as arguments, so that they count when it is asked what can be reused."""
    for name, entry in component.input_definitions.parameters.items():
        if name not in task.inputs.parameters and entry.HasField("default_value"):
            task.inputs.parameters[name].runtime_value.constant.CopyFrom(entry.default_value)


def _require_inputs(
    task_name: str, task: pipeline_spec_pb2.PipelineTaskSpec, declared: pipeline_spec_pb2.ComponentSpec
) -> None:
    """Refuse a reference to what is no input of the DAG: kfp.local would put `null` in its place."""
    sources = {entry.component_input_parameter for entry in task.inputs.parameters.values()}
    sources |= {entry.component_input_artifact for entry in task.inputs.artifacts.values()}
    definitions = declared.input_definitions
    unknown = sources - {"", *definitions.parameters, *definitions.artifacts}
    if unknown:
        raise InputError(
            f"A task must refer to inputs of its pipeline or loop; {task_name} refers to {', '.join(sorted(unknown))}.",
            "KFP's compiler writes this for a text put together from the items of nested loops; give the component the "
            "items one by one.",
        )


def _drop_absent_task_inputs(task: pipeline_spec_pb2.PipelineTaskSpec, dag: pipeline_spec_pb2.ComponentSpec) -> None:
    """Remove the inputs of a task that refer to an input which its DAG does not have."""
    for name, entry in list(task.inputs.parameters.items()):
        source = entry.component_input_parameter
        if source and source not in dag.input_definitions.parameters:
            del task.inputs.parameters[name]
    for name, artifact in list(task.inputs.artifacts.items()):
        source = artifact.component_input_artifact
        if source and source not in dag.input_definitions.artifacts:
            del task.inputs.artifacts[name]
