"""The decorator that makes a function a Hallmark component."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kfp import dsl
from kfp.dsl import pipeline_task, python_component
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark.environments import image, require_environment

PURE = "# Hallmark: the outputs depend on the inputs alone.\n"
"""The line by which the program of a pure component says so, also in YAML, where a task says what it likes."""


class Component(python_component.PythonComponent):
    """A KFP lightweight component that runs in one of Hallmark's environments.

    Attributes:
        environment: The environment that holds the component's dependencies.
        pure: Whether the outputs depend on the inputs alone. A step that is not pure is never cached.
    """

    def __init__(self, base: python_component.PythonComponent, environment: str, pure: bool) -> None:
        if pure:
            command = base.component_spec.implementation.container.command
            command[-1] = PURE + command[-1]
        super().__init__(component_spec=base.component_spec, python_func=base.python_func)
        self.environment = environment
        self.pure = pure

    def __call__(self, *args: Any, **kwargs: Any) -> pipeline_task.PipelineTask:
        """Create a task; see `kfp.dsl.PipelineTask`."""
        task = super().__call__(*args, **kwargs)
        if not self.pure and task.state is not pipeline_task.TaskState.FINAL:
            task.set_caching_options(False)
        return task

    @property
    def pipeline_spec(self) -> pipeline_spec_pb2.PipelineSpec:
        """The component as a pipeline of one step, as a backend runs its YAML."""
        spec = super().pipeline_spec
        if not self.pure:
            for task in spec.root.dag.tasks.values():
                task.ClearField("caching_options")
        return spec


def component(*, environment: str, pure: bool = False) -> Callable[[Callable[..., Any]], Component]:
    """Make a function a KFP component on the image of one of Hallmark's environments.

    The image holds everything that the function imports, so nothing is installed when a step runs.

    Args:
        environment: `data`, `ml` or `release`.
        pure: Whether the outputs depend on the inputs alone, so that a backend may reuse them. Gates, and whatever
            changes the world outside its outputs, are not pure.

    Raises:
        InputError: If there is no such environment.
    """
    require_environment(environment)

    def decorate(function: Callable[..., Any]) -> Component:
        base = dsl.component(function, base_image=image(environment), install_kfp_package=False)
        return Component(base, environment, pure)

    return decorate
