"""Submit a pipeline by its name: compiled for the platform unless it is already, its parameters checked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

from kfp.dsl.base_component import BaseComponent

from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.runner.parameters import paths_of
from kfp_hallmark.settings import Settings, load
from kfp_hallmark.submission.package import Package
from kfp_hallmark.submission.service import Run, Schedule, Service

PLATFORMS = ("kubeflow", "vertex")

Pipeline: TypeAlias = BaseComponent | str | Path
"""A pipeline as KFP makes it, or as `kfp_hallmark.compiling.find_pipeline` finds it: the name of one of ours,
`module:function`, or the path of its compiled YAML."""


def service(platform: str, settings: Settings | None = None) -> Service:
    """Return the service that runs pipelines on a platform.

    Args:
        platform: `kubeflow` or `vertex`.
        settings: Where it is and how to reach it. Default: of `hallmark.toml`, see `kfp_hallmark.settings.load`.

    Raises:
        InputError: If the platform is unknown, or the settings lack what it needs.
    """
    if platform not in PLATFORMS:
        raise InputError(
            f"platform must be one of {', '.join(PLATFORMS)}; got {platform!r}.", nearest(platform, list(PLATFORMS))
        )
    settings = settings or load()
    if platform == "kubeflow":
        from kfp_hallmark.submission.kubeflow import Kubeflow

        return Kubeflow(settings)
    from kfp_hallmark.submission.vertex import Vertex

    return Vertex(settings)


def submit(
    pipeline: Pipeline,
    parameters: Mapping[str, Any],
    *,
    platform: str,
    settings: Settings | None = None,
    run_name: str | None = None,
    experiment: str | None = None,
    labels: Mapping[str, str] | None = None,
    caching: bool | None = None,
) -> Run:
    """Start a run of a pipeline on a platform, and return it; `follow` waits for its end.

    Args:
        pipeline: The pipeline. A compiled YAML is sent as it is, but for images of ours, which are pinned; all else is
            compiled for the platform, every image pinned.
        parameters: Its parameters, with the types that it declares. A path must be absolute: it is one that the steps
            see.
        platform: `kubeflow` or `vertex`.
        settings: The platform's settings. Default: of `hallmark.toml`, see `kfp_hallmark.settings.load`.
        run_name: The run's name. Default: the pipeline's name and the time.
        experiment: The experiment that it belongs to; it is made when it is not there.
        labels: Labels of the run; Kubeflow has none.
        caching: Whether steps may be reused; None leaves it to what was compiled.

    Raises:
        InputError: If something is known to be wrong before anything is sent.
        ServiceError: If the service refuses, fails or does not answer.
    """
    settings = settings or load()
    found = service(platform, settings)
    _refuse_relative_paths(parameters)
    with compiled(pipeline, platform, settings) as path:
        return found.submit(path, parameters, run_name=run_name, experiment=experiment, labels=labels, caching=caching)


def schedule(
    pipeline: Pipeline,
    parameters: Mapping[str, Any],
    *,
    platform: str,
    cron: str | None = None,
    every: timedelta | None = None,
    settings: Settings | None = None,
    name: str | None = None,
    experiment: str | None = None,
    labels: Mapping[str, str] | None = None,
    caching: bool | None = None,
) -> Schedule:
    """Start runs of a pipeline by a schedule.

    Args:
        pipeline: As for `submit`.
        parameters: As for `submit`.
        platform: As for `submit`.
        cron: Minute, hour, day, month and weekday, as in `0 6 * * 1`.
        every: The time from one run to the next, in place of `cron`; Vertex AI knows cron alone.
        settings: As for `submit`.
        name: The schedule's name. Default: the pipeline's.
        experiment: As for `submit`.
        labels: As for `submit`.
        caching: As for `submit`.

    Raises:
        InputError: If something is known to be wrong before anything is sent.
        ServiceError: If the service refuses, fails or does not answer.
    """
    if (cron is None) == (every is None):
        raise InputError(f"A schedule must have one of cron and every; got {'none' if cron is None else 'both'}.")
    settings = settings or load()
    found = service(platform, settings)
    _refuse_relative_paths(parameters)
    with compiled(pipeline, platform, settings) as path:
        return found.schedule(
            path,
            parameters,
            name=name or Package(path, settings).name,
            cron=cron,
            every=every,
            experiment=experiment,
            labels=labels,
            caching=caching,
        )


def _refuse_relative_paths(parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        for path in paths_of(name, value):
            if not Path(path).is_absolute():
                raise InputError(
                    f"The parameter {name!r} must be a URI, or an absolute path that the steps see; got {path!r}.",
                    "Files of this machine are out of their reach: put what it names into the object store.",
                )


@contextmanager
def compiled(pipeline: Pipeline, platform: str, settings: Settings) -> Iterator[Path]:
    """Yield the path of a pipeline's YAML for a platform: its own, or a temporary file.

    Args:
        pipeline: As for `submit`.
        platform: `kubeflow` or `vertex`.
        settings: The platform's settings.

    Raises:
        InputError: If there is no such pipeline, or it cannot be compiled for the platform.
    """
    import kfp_hallmark.pipelines as pipelines
    from kfp_hallmark import compiling

    if not isinstance(pipeline, BaseComponent) and str(pipeline) not in pipelines.__all__ and Path(pipeline).is_file():
        yield Path(pipeline)
        return
    found = pipeline if isinstance(pipeline, BaseComponent) else compiling.find_pipeline(str(pipeline))
    content = compiling.compile_for(found, platform, settings)
    with tempfile.TemporaryDirectory(prefix="hallmark-") as folder:
        path = Path(folder, f"{found.pipeline_spec.pipeline_info.name}.yaml")
        path.write_bytes(content)
        yield path
