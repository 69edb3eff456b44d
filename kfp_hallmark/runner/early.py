"""What can be told of a run's parameters before anything is started, without data, by the components that take them.

A component of ours may have a module `early` with a function `check`: of its inputs that are known by name it raises
`InputError` for what no data could make right. A user then waits for no training in vain.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark import components
from kfp_hallmark.errors import InputError
from kfp_hallmark.platforms.pipeline import parse, steps_of
from kfp_hallmark.runner.parameters import paths_of
from kfp_hallmark.runner.plan import given_names, own_names, run_order, translation


def check_early(spec: pipeline_spec_pb2.PipelineSpec, parameters: Mapping[str, Any], *, here: bool) -> None:
    """Raise `InputError` if a step of ours, run or not, could do nothing with what the run gives it.

    Args:
        spec: The pipeline's spec.
        parameters: The run's parameters, checked, with their paths resolved where `here`.
        here: Whether the run is on this machine, so that its paths can be looked at.
    """
    deployment = parse(spec.deployment_spec, pipeline_spec_pb2.PipelineDeploymentConfig())
    steps = steps_of(spec, deployment)
    defaults = {
        name: json_format.MessageToDict(entry.default_value)
        for name, entry in spec.root.input_definitions.parameters.items()
        if entry.HasField("default_value")
    }
    for label, given, names in _calls(spec.root, spec, defaults | dict(parameters), own_names(spec)):
        step = steps.get(label)
        if step is None or step.traits is None:
            continue
        known = {name: value for name, value in given.items() if here or not paths_of(name, value)}
        _check(step.component, known, names)


def _calls(
    dag: pipeline_spec_pb2.ComponentSpec,
    spec: pipeline_spec_pb2.PipelineSpec,
    known: Mapping[str, Any],
    names: Mapping[str, str],
) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """Yield the executor of every task, nested ones too, with the inputs that are known, and their names in the run."""
    for task in map(dag.dag.tasks.__getitem__, run_order(dag.dag.tasks)):
        component = spec.components[task.component_ref.name]
        given = {name: value for name, entry in task.inputs.parameters.items() for value in _value(entry, known)}
        if component.HasField("dag"):
            yield from _calls(component, spec, given, given_names(task, names))
        else:
            yield component.executor_label, given, given_names(task, names)


def _value(entry: pipeline_spec_pb2.TaskInputsSpec.InputParameterSpec, known: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what an input is given, if that is known."""
    constant = json_format.MessageToDict(entry.runtime_value.constant)
    if entry.parameter_expression_selector:
        return
    if entry.component_input_parameter in known:
        yield known[entry.component_input_parameter]
    elif constant is not None and "{{$" not in str(constant):
        yield constant


def _check(component: str, given: Mapping[str, Any], names: Mapping[str, str]) -> None:
    module = f"{components.__name__}.{components.STAGES.get(component)}.{component}.early"
    if component not in components.STAGES or find_spec(module) is None:
        return
    try:
        importlib.import_module(module).check(given)
    except InputError as error:
        told = translation(error.message, names)
        message = " ".join(filter(None, [f"{component} must be given what it can use.", error.message, told]))
        raise InputError(message, error.hint) from error
