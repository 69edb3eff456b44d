"""A compiled pipeline as it is sent, and as a service gives it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark import compiling
from kfp_hallmark.environments import ENVIRONMENTS, REGISTRY, image, lock
from kfp_hallmark.errors import MissingInputError
from kfp_hallmark.platforms.pipeline import Pipeline, Step, refuse_fetched_secrets
from kfp_hallmark.runner.early import check_early
from kfp_hallmark.runner.parameters import check_parameters
from kfp_hallmark.runner.plan import run_order
from kfp_hallmark.settings import Settings


class Package:
    """A compiled pipeline, its images named by their digests.

    An image that the settings' lock file knows is pinned by it. One of our environments must be known there, for what
    a tag names can change between two runs; any other image may stay as it is.

    Args:
        path: The pipeline's YAML.
        settings: Where our images are, and the file that pins them.

    Raises:
        MissingInputError: If there is no such file, or none that pins images where one of ours is not pinned yet.
        InputError: If the file is not a compiled pipeline, or an image of ours is not among the pinned ones.
    """

    def __init__(self, path: str | Path, settings: Settings) -> None:
        if not Path(path).is_file():
            raise MissingInputError(f"A pipeline must be a compiled YAML file; got {str(path)!r}.")
        self._pipeline = Pipeline(compiling.load(Path(path)))
        self._pin(settings)

    def _pin(self, settings: Settings) -> None:
        file, registry = settings.path(settings.images.lock), settings.images.registry
        unpinned = [step for step in self._pipeline.steps.values() if not lock.is_pinned(step.container.image)]
        ours = [step for step in unpinned if _is_ours(step, registry)]
        if not ours and not (unpinned and file.is_file()):
            return
        pins = lock.read(file)
        for step in unpinned:
            reference = compiling.in_registry(step.container.image, registry)
            step.container.image = lock.pin(reference, pins) if step in ours else pins.get(reference, reference)
        self._pipeline.put_back()

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self._pipeline.spec.pipeline_info.name

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that a run is to have; see `runner.check_parameters` and `runner.early`."""
        checked = check_parameters(self._pipeline.spec, given)
        check_early(self._pipeline.spec, checked, here=False)
        return checked

    def refuse_fetched_secrets(self) -> None:
        """Raise `InputError` if it was compiled for Vertex AI with secrets, which its steps fetch themselves."""
        for step in self._pipeline.steps.values():
            refuse_fetched_secrets(step)

    def set_caching(self, caching: bool | None) -> None:
        """Let every step that may be reused be reused, or none; None leaves it to what was compiled.

        A step of a component of ours that is not pure is never reused, whoever asks.
        """
        for _, task, step in self._pipeline.tasks():
            if step.traits is not None and not step.traits.pure:
                task.caching_options.Clear()
                task.caching_options.SetInParent()
            elif caching is not None:
                task.caching_options.SetInParent()
                task.caching_options.enable_cache = caching

    def to_json(self) -> dict[str, Any]:
        """Return the pipeline as KFP's API takes it: its spec, beside the platform's where it has one."""
        spec = json_format.MessageToDict(self._pipeline.spec)
        if not self._pipeline.platform.platforms:
            return spec
        return {"pipeline_spec": spec, "platform_spec": json_format.MessageToDict(self._pipeline.platform)}


def _is_ours(step: Step, registry: str | None) -> bool:
    """Return whether a step runs on the image of one of our environments."""
    if step.traits is not None:
        return True
    repository = lock.repository(step.container.image)
    known = [(lock.repository(image(name)), f"{REGISTRY}/{name}", f"{registry}/{name}") for name in ENVIRONMENTS]
    return any(repository in names for names in known)


def read_spec(value: Mapping[str, Any]) -> pipeline_spec_pb2.PipelineSpec:
    """Return a spec that a service gives back, without what the service alone knows."""
    return json_format.ParseDict(value, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=True)


def planned_tasks(spec: pipeline_spec_pb2.PipelineSpec) -> list[str]:
    """Return the names of the tasks that run something, in the order in which a run on this machine has them."""
    return list(dict.fromkeys(_tasks(spec.root, spec)))


def _tasks(dag: pipeline_spec_pb2.ComponentSpec, spec: pipeline_spec_pb2.PipelineSpec) -> Iterator[str]:
    for name in run_order(dag.dag.tasks):
        component = spec.components[dag.dag.tasks[name].component_ref.name]
        if component.HasField("dag"):
            yield from _tasks(component, spec)
        else:
            yield name
