"""A compiled pipeline as it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from kfp_hallmark import compiling
from kfp_hallmark.errors import MissingInputError
from kfp_hallmark.platforms.pipeline import Pipeline
from kfp_hallmark.runner.parameters import check_parameters


class Package:
    """A compiled pipeline.

    Args:
        path: The pipeline's YAML.

    Raises:
        MissingInputError: If there is no file.
        InputError: If the file is not a compiled pipeline.
    """

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise MissingInputError(f"A pipeline must be a compiled YAML file; got {str(path)!r}.")
        self._pipeline = Pipeline(compiling.load(Path(path)))

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self._pipeline.spec.pipeline_info.name

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that a run is to have; see `kfp_hallmark.runner.check_parameters`."""
        return check_parameters(self._pipeline.spec, given)

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
