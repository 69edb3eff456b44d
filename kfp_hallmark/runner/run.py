"""Run a pipeline on this machine."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from rich.console import Console

from kfp_hallmark.contracts.audit import PATH_VARIABLE as AUDIT_VARIABLE
from kfp_hallmark.contracts.documents import now
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.reports import write_page
from kfp_hallmark.runner import findings
from kfp_hallmark.runner.display import Display
from kfp_hallmark.runner.early import check_early
from kfp_hallmark.runner.interruption import Interruption
from kfp_hallmark.runner.local import LocalPlatform
from kfp_hallmark.runner.orchestration import ORCHESTRATOR_LOG, Orchestration
from kfp_hallmark.runner.page import run_page
from kfp_hallmark.runner.parameters import Pipeline, check_parameters, pipeline_spec, resolve_paths
from kfp_hallmark.runner.plan import PlannedStep, plan
from kfp_hallmark.runner.platforms import Folders, Platform, make_folder
from kfp_hallmark.runner.record import LOGS_FOLDER, RUN_FILE, RunResult
from kfp_hallmark.runner.recorder import Recorder
from kfp_hallmark.runner.reuse import Reuse
from kfp_hallmark.runner.spec import prepare
from kfp_hallmark.tracking import VARIABLE as TRACKING_VARIABLE
from kfp_hallmark.tracking import without_passwords

PLATFORMS = ("local", "docker")

HOME_VARIABLE = "HALLMARK_HOME"
"""The variable that says where the state is."""


def run(
    pipeline: Pipeline,
    parameters: Mapping[str, Any],
    *,
    platform: str = "local",
    output: Path | None = None,
    state: Path | None = None,
    base: Path | None = None,
    reuse: bool = True,
    console: Console | None = None,
    container_options: Mapping[str, Any] | None = None,
) -> RunResult:
    """Run a pipeline on this machine and return what came of it.

    Steps that fail, and a decision to halt, do not raise: the result says so. While it runs, what other threads of
    this process print goes to the orchestrator's log.

    Args:
        pipeline: The pipeline, or the path of its compiled YAML.
        parameters: Values by name, with their types; None is as if it were not given.
        platform: `local`: processes, under the environments' Pythons. `docker`: containers.
        output: Folder of the run, which must be empty. Default: a new one in the state.
        state: Folder of what runs share. Default: HALLMARK_HOME, or `.hallmark` in the working directory.
        base: Folder that relative paths in parameters start from. Default: the working directory.
        reuse: Whether a step may use the outputs of an earlier one with the same inputs, where its component is pure.
        console: Where to show the run. Default: the standard output.
        container_options: With `docker`, what its Python client's `containers.create` is told for every step over what
            the run says, such as `{"read_only": True, "tmpfs": {"/tmp": ""}, "network_mode": "mlflow"}`.

    Raises:
        InputError: If a parameter, the platform or the output folder is not usable, or a component can tell without
            data that it can do nothing with what it is given. Nothing was started.
        EnvironmentFailure: If an environment, or the Docker engine, is not usable. Nothing was started.
    """
    spec = pipeline_spec(pipeline)
    given = resolve_paths(check_parameters(spec, parameters), Path.cwd() if base is None else base)
    check_early(spec, given, here=True)
    if platform not in PLATFORMS:
        raise InputError(
            f"platform must be one of {', '.join(PLATFORMS)}; got {platform!r}.", nearest(platform, list(PLATFORMS))
        )
    home = Path(state or os.environ.get(HOME_VARIABLE) or ".hallmark").absolute()
    run_id = _run_id(spec.pipeline_info.name)
    folder = _output_folder(output, home / "runs" / run_id)
    prepared, originals = prepare(spec, given)
    planned = plan(prepared, originals)
    result = RunResult(
        pipeline=spec.pipeline_info.name,
        run_id=run_id,
        platform=platform,
        directory=folder,
        parameters=without_passwords(given),
        started=now(),
    )
    display = Display(console or Console(), result)
    with tempfile.TemporaryDirectory(prefix="hallmark-") as scratch:
        folders = Folders(run=folder, state=home, scratch=Path(scratch), run_id=run_id)
        result.audit_log = str(given.get("audit_log") or folders.variables(os.environ)[AUDIT_VARIABLE])
        place = _platform(platform, folders, given, container_options or {})
        place.prepare(json_format.MessageToDict(prepared.deployment_spec)["executors"], display.say)
        _claim(folder)
        try:
            for needed in (folders.reuse, folders.mlflow, folder / LOGS_FOLDER, folders.artifacts):
                make_folder(needed)
        except InputError:
            _give_back(folder)
            raise
        return _run(prepared, planned, given, result, folders, place, display, reuse)


def _run(
    prepared: pipeline_spec_pb2.PipelineSpec,
    planned: list[PlannedStep],
    given: Mapping[str, Any],
    result: RunResult,
    folders: Folders,
    platform: Platform,
    display: Display,
    reuse: bool,
) -> RunResult:
    """Run a pipeline for which everything is ready."""
    began = time.monotonic()
    interruption = Interruption()
    recorder = Recorder(result, planned, display.step)
    orchestration = Orchestration(prepared, folders, platform, recorder, interruption)
    kept = None
    if reuse:
        tracking_uri = folders.variables(os.environ)[TRACKING_VARIABLE]
        kept = Reuse(folders.reuse, platform.digest, lambda: orchestration.target, tracking_uri)
    result.write()
    failed = True
    with interruption.listening():
        with display.watching(recorder):
            try:
                failed = not orchestration.run(given, platform.runner(), kept)
            except Exception as error:
                result.reason = _reason(error, folders)
            result.reason = result.reason or " ".join(orchestration.reasons) or None
            recorder.close()
        if interruption.signals and failed:
            result.interrupted = interruption.signals[0]
            result.reason = "interrupted"
        result.finished, result.seconds = now(), round(time.monotonic() - began, 3)
        try:
            findings.publish_reports(result)
            findings.gather(result, failed)
            page = run_page(result, planned)
        except Exception as error:
            reason = f"What the steps wrote cannot be shown: {_reason(error, folders)}"
            findings.forget(result, reason)
            page = run_page(result, planned)
        result.write()
        write_page(result.page, page)
    display.conclusion()
    return result


def _reason(error: Exception, folders: Folders) -> str:
    """Return an error as a reason; where it came from stands in the orchestrator's log."""
    with suppress(OSError), (folders.run / ORCHESTRATOR_LOG).open("a", encoding="utf-8") as log:
        traceback.print_exception(error, file=log)
    return f"{type(error).__name__}: {error}"


def _platform(
    name: str, folders: Folders, parameters: Mapping[str, Any], container_options: Mapping[str, Any]
) -> Platform:
    if name == "docker":
        from kfp_hallmark.runner.docker import DockerPlatform

        return DockerPlatform(folders, parameters, container_options)
    return LocalPlatform(folders)


def _run_id(pipeline: str) -> str:
    """Return a name for a run that sorts by time and is unlike any other."""
    stem = re.sub(r"[^a-z0-9-]+", "-", pipeline.lower()).strip("-") or "pipeline"
    return f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _output_folder(output: Path | None, default: Path) -> Path:
    folder = Path(output or default).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise _in_use(folder)
    return folder


def _give_back(folder: Path) -> None:
    """Leave nothing of a run that is not to be."""
    (folder / RUN_FILE).unlink()
    with suppress(OSError):
        folder.rmdir()


def _in_use(folder: Path) -> InputError:
    return InputError(
        f"The output folder must be new or empty; got {str(folder)!r}.",
        "Name another, or leave it out to have a new one for every run.",
    )


def _claim(folder: Path) -> None:
    """Make the run's folder and take it: of two runs that found it empty, one gets it."""
    make_folder(folder)
    try:
        (folder / RUN_FILE).touch(exist_ok=False)
    except FileExistsError as error:
        raise _in_use(folder) from error
    except OSError as error:
        raise InputError(f"A run must be able to write to its folder {str(folder)!r}; got {error.strerror}.") from error
