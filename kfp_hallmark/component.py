"""The decorator that makes a function a Hallmark component."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from kfp import dsl
from kfp.dsl import pipeline_task, python_component
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark.environments import STEPS, image, require_environment
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.settings import SIZES


@dataclass(frozen=True)
class Traits:
    """What a backend must know of a component to run it well.

    A spec has no place for them that survives every way to compile and load a component, so they are the first line of
    the source that it carries: a comment.

    Attributes:
        size: `small`, `medium` or `large`; settings say what each gets.
        pure: Whether the outputs depend on the inputs alone. A step that is not pure is never cached.
        idempotent: Whether a failed step may be run again. What is pure is idempotent.
    """

    MARK: ClassVar[str] = "# hallmark: "

    size: str
    pure: bool
    idempotent: bool

    def __str__(self) -> str:
        return f"{self.size} {'pure' if self.pure else 'idempotent' if self.idempotent else 'once'}"

    @classmethod
    def read(cls, source: str) -> Traits | None:
        """Read them off a component's source, or return None when it carries none.

        Raises:
            InputError: If it carries something else in their place.
        """
        line = source.partition("\n")[0]
        if not line.startswith(cls.MARK):
            return None
        for size in SIZES:
            for traits in (cls(size, True, True), cls(size, False, True), cls(size, False, False)):
                if line == f"{cls.MARK}{traits}":
                    return traits
        raise InputError(f"The first line of a component must be as Hallmark writes it; got {line!r}.")


class Component(python_component.PythonComponent):
    """A KFP lightweight component that runs in one of Hallmark's environments.

    Attributes:
        environment: The environment that holds the component's dependencies.
        traits: What a backend must know to run it well.
    """

    def __init__(self, base: python_component.PythonComponent, environment: str, traits: Traits) -> None:
        super().__init__(component_spec=base.component_spec, python_func=base.python_func)
        command = self.component_spec.implementation.container.command
        command[-1] = f"{Traits.MARK}{traits}\n{command[-1]}"
        self.environment = environment
        self.traits = traits

    @property
    def size(self) -> str:
        """What a step needs: `small`, `medium` or `large`."""
        return self.traits.size

    @property
    def pure(self) -> bool:
        """Whether the outputs depend on the inputs alone."""
        return self.traits.pure

    @property
    def idempotent(self) -> bool:
        """Whether a failed step may be run again."""
        return self.traits.idempotent

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


def component(
    *, environment: str, pure: bool = False, idempotent: bool = False, size: str = "medium"
) -> Callable[[Callable[..., Any]], Component]:
    """Make a function a KFP component on the image of one of Hallmark's environments.

    The image holds everything that the function imports, so nothing is installed when a step runs.

    Args:
        environment: `data`, `ml` or `release`.
        pure: Whether the outputs depend on the inputs alone, so that a backend may reuse them. Gates, and whatever
            changes the world outside its outputs, are not pure.
        idempotent: Whether a backend may run a failed step again: what it had done by then does no harm, and a second
            attempt may succeed. What is pure is idempotent.
        size: What a step needs: `small` for documents and calls to services, `medium` for going over data, `large` for
            training. Settings say what each gets.

    Raises:
        InputError: If there is no such environment or size.
    """
    require_environment(environment, STEPS)
    if size not in SIZES:
        raise InputError(f"size must be one of {', '.join(SIZES)}; got {size!r}.", nearest(size, list(SIZES)))

    def decorate(function: Callable[..., Any]) -> Component:
        base = dsl.component(function, base_image=image(environment), install_kfp_package=False)
        return Component(base, environment, Traits(size, pure, pure or idempotent))

    return decorate
