"""What a run will do: its steps in the order in which kfp.local runs them, and which needs which."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark.runner import conditions
from kfp_hallmark.runner.spec import COMPONENT_PREFIX


@dataclass
class PlannedStep:
    """One task of a pipeline that runs something.

    Attributes:
        key: The name of its own component in the prepared spec.
        name: The task's name, with underscores; that of the pipeline it is nested in before it when that is taken.
        component: The name of the component that it is a call of.
        image: The image that it runs in; None for an importer.
        needs: The keys of the steps that it waits for.
        branch: The branches and loops that it lies in, outermost first.
        entry: The label of the branch that it is a first step of, or "".
        final: Whether it is an exit handler.
        parameters: The run's parameter that an input is given, by the input's name.
    """

    key: str
    name: str
    component: str
    image: str | None
    needs: set[str] = field(default_factory=set)
    branch: tuple[str, ...] = ()
    entry: str = ""
    final: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)


def plan(spec: pipeline_spec_pb2.PipelineSpec, originals: Mapping[str, str]) -> list[PlannedStep]:
    """Return the steps of a prepared spec, nested ones in their place.

    Args:
        spec: What `spec.prepare` returned.
        originals: The name that each component had before.
    """
    executors = json_format.MessageToDict(spec.deployment_spec)["executors"]
    return _Planner(spec, originals, executors).steps_of(spec.root, (), own_names(spec))


@dataclass
class _Planner:
    spec: pipeline_spec_pb2.PipelineSpec
    originals: Mapping[str, str]
    executors: Mapping[str, Any]

    def steps_of(
        self, dag: pipeline_spec_pb2.ComponentSpec, branch: tuple[str, ...], names: Mapping[str, str]
    ) -> list[PlannedStep]:
        tasks = dag.dag.tasks
        steps: dict[str, list[PlannedStep]] = {}
        for name in run_order(tasks):
            task = tasks[name]
            component = self.spec.components[task.component_ref.name]
            label = _label(task)
            given = given_names(task, names)
            if component.HasField("dag"):
                steps[name] = self.steps_of(component, (*branch, label) if label else branch, given)
            else:
                steps[name] = [self._step(task, component, branch, given)]
            before = {step.key for needed in task.dependent_tasks for step in _last(steps.get(needed, []))}
            for step in _first(steps[name]):
                step.needs |= before
                step.entry = label or step.entry
        return [step for group in steps.values() for step in group]

    def _step(
        self,
        task: pipeline_spec_pb2.PipelineTaskSpec,
        component: pipeline_spec_pb2.ComponentSpec,
        branch: tuple[str, ...],
        parameters: Mapping[str, str],
    ) -> PlannedStep:
        key = task.component_ref.name
        container = self.executors[component.executor_label].get("container", {})
        return PlannedStep(
            key=key,
            name=readable(key.removeprefix(COMPONENT_PREFIX)),
            component=_function(container) or readable(self.originals[key].removeprefix(COMPONENT_PREFIX)),
            image=container.get("image"),
            branch=branch,
            final=is_final(task),
            parameters=parameters,
        )


def own_names(spec: pipeline_spec_pb2.PipelineSpec) -> dict[str, str]:
    """Return the names of a run's parameters, each by itself."""
    return {name: name for name in spec.root.input_definitions.parameters}


def given_names(task: pipeline_spec_pb2.PipelineTaskSpec, names: Mapping[str, str]) -> dict[str, str]:
    """Return the run's parameter that each input of a task is given, where it is given one as it is.

    Args:
        task: The task.
        names: The same of the inputs of the pipeline or branch that it lies in.
    """
    return {
        name: names[entry.component_input_parameter]
        for name, entry in task.inputs.parameters.items()
        if entry.component_input_parameter in names and not entry.parameter_expression_selector
    }


def translation(message: str, parameters: Mapping[str, str]) -> str | None:
    """Return what a message that names a step's inputs says to whoever gave the run's parameters; None when the same.

    Args:
        message: The message.
        parameters: The run's parameter that an input is given, by the input's name.
    """
    others = [
        f"{name} is the run's {given}"
        for name, given in parameters.items()
        if name != given and re.search(rf"\b{re.escape(name)}\b", message)
    ]
    return f"Here {' and '.join(others)}." if others else None


def is_final(task: pipeline_spec_pb2.PipelineTaskSpec) -> bool:
    """Return whether a task is an exit handler: only such a task is given a final status."""
    return any(entry.HasField("task_final_status") for entry in task.inputs.parameters.values())


def readable(name: str) -> str:
    """Return a name of a spec as the component's author wrote it."""
    return name.replace("-", "_")


def topological_stack(tasks: Mapping[str, pipeline_spec_pb2.PipelineTaskSpec]) -> list[str]:
    """Return tasks so that, taken off the end, each comes after those that it needs, and otherwise as soon as it can.

    kfp.local's own function of this kind leaves the order of all else to chance.
    """
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            needed = [needed for needed in tasks[name].dependent_tasks if needed in tasks]
            depths[name] = 1 + max(map(depth, needed), default=0)
        return depths[name]

    return sorted(tasks, key=lambda name: (depth(name), name), reverse=True)


def run_order(tasks: Mapping[str, pipeline_spec_pb2.PipelineTaskSpec]) -> list[str]:
    """Return the names of a DAG's tasks, each after those that it needs, exit handlers last."""
    body = {name: task for name, task in tasks.items() if not is_final(task)}
    return [*reversed(topological_stack(body)), *sorted(name for name in tasks if name not in body)]


def _function(container: Mapping[str, Any]) -> str | None:
    """Return the name of the function that a lightweight component runs."""
    return dict(pairwise(container.get("args", []))).get("--function_to_execute")


def _label(task: pipeline_spec_pb2.PipelineTaskSpec) -> str:
    """Return what a person calls a branch or loop; "" for what is neither."""
    name = task.task_info.name
    if task.trigger_policy.condition:
        if not re.fullmatch(r"condition-\d+", name):
            return name
        return f"if {conditions.readable(task.trigger_policy.condition)}".replace("if !", "if not ")
    if task.WhichOneof("iterator"):
        return "for each" if re.fullmatch(r"for-loop-\d+", name) else name
    return ""


def _first(steps: list[PlannedStep]) -> list[PlannedStep]:
    """Return the steps that wait for none of the others."""
    keys = {step.key for step in steps}
    return [step for step in steps if not step.needs & keys]


def _last(steps: list[PlannedStep]) -> list[PlannedStep]:
    """Return the steps that none of the others waits for."""
    needed = {key for step in steps for key in step.needs}
    return [step for step in steps if step.key not in needed]
