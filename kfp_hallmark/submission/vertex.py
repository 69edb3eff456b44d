"""Submit compiled pipelines to Vertex AI Pipelines."""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions
from google.protobuf import json_format

from kfp_hallmark.errors import EnvironmentFailure, InputError, MissingInputError, ServiceError
from kfp_hallmark.runner.plan import readable
from kfp_hallmark.runner.record import FAILED, PENDING, REUSED, RUNNING, SKIPPED, SUCCEEDED
from kfp_hallmark.settings import Settings
from kfp_hallmark.settings_checks import google_labels
from kfp_hallmark.submission.cron import require_cron_in_zone
from kfp_hallmark.submission.package import Package, planned_tasks, read_spec
from kfp_hallmark.submission.service import (
    CANCELLED,
    CANCELLING,
    ENDED,
    PAUSED,
    Run,
    RunStep,
    Schedule,
    TransientError,
    UncertainError,
    require_id,
    runs_command,
)
from kfp_hallmark.vertex import CALL_SECONDS, NO_TOKEN, reaching, reading
from kfp_hallmark.vertex import Vertex as Api

if TYPE_CHECKING:
    from google.cloud import aiplatform
    from google.cloud.aiplatform_v1 import types

EXPERIMENT_LABEL = "hallmark_experiment"
"""The label by which runs of an experiment are listed."""

RUN_NAME = r"[a-z][a-z0-9-]{0,127}"
EXPERIMENT_NAME = r"[a-z0-9][a-z0-9-]{0,62}"

_JOB_STATES = {
    "QUEUED": PENDING,
    "PENDING": PENDING,
    "RUNNING": RUNNING,
    "SUCCEEDED": SUCCEEDED,
    "FAILED": FAILED,
    "CANCELLING": CANCELLING,
    "CANCELLED": CANCELLED,
    "PAUSED": PAUSED,
}

_STEP_STATES = {
    "PENDING": PENDING,
    "RUNNING": RUNNING,
    "SUCCEEDED": SUCCEEDED,
    "CANCEL_PENDING": CANCELLING,
    "CANCELLING": CANCELLING,
    "CANCELLED": CANCELLED,
    "FAILED": FAILED,
    "SKIPPED": REUSED,
    "NOT_TRIGGERED": SKIPPED,
}
"""On Vertex AI a step is SKIPPED when its results are reused, and NOT_TRIGGERED when its condition does not hold."""


class Vertex:
    """Vertex AI Pipelines, as the settings name it; a `Service`.

    Args:
        settings: `[vertex]` says where and as whom runs run.

    Raises:
        InputError: If the settings lack the project or the location.
        EnvironmentFailure: If Google's client is not installed.
    """

    platform = "vertex"

    def __init__(self, settings: Settings) -> None:
        settings.require("vertex.project", "vertex.location")
        self._settings = settings
        vertex = settings.vertex
        self._api = Api(str(vertex.project), str(vertex.location), vertex.api_endpoint)
        self._aiplatform = _import_client()
        with reaching("know who asks"):
            self._aiplatform.init(project=self._api.project, location=self._api.location, api_endpoint=self._api.host)

    def submit(
        self,
        spec_path: str | Path,
        parameters: Mapping[str, Any],
        *,
        run_name: str | None = None,
        experiment: str | None = None,
        labels: Mapping[str, str] | None = None,
        caching: bool | None = None,
    ) -> Run:
        """Start a run of a compiled pipeline; see `Service.submit`.

        `run_name` becomes the job's id, so that one name is one run. When the answer to the request is lost, it is
        found out whether the run began.
        """
        job = self._job(spec_path, parameters, run_name, experiment, labels, caching)
        run_id = str(job.job_id)
        if run_name is not None and self._found(run_id) is not None:
            raise self._taken(run_id)
        vertex = self._settings.vertex
        made = self._made_experiment(experiment) if experiment else None
        try:
            with reaching(f"start the run {run_id}"), _unwrapped():
                job.submit(
                    service_account=vertex.service_account,
                    network=vertex.network,
                    create_request_timeout=CALL_SECONDS,
                    experiment=made,
                )
        except ServiceError as error:
            begun = _created(job) or self._begun(run_id, error)
            if experiment:
                raise ServiceError(
                    f"The run {run_id} goes on, but may not show in the experiment {experiment}. {error.message}",
                    f"Look at it with `{self._command('show', run_id)}`.",
                ) from error
            return self._run(begun)
        return self._run(job.gca_resource)

    def _begun(self, run_id: str, error: ServiceError) -> types.PipelineJob:
        """Return the run that an unanswered request has begun, or raise an error that says what is known."""
        if isinstance(error.__cause__, exceptions.AlreadyExists):
            raise self._taken(run_id) from error
        if not _is_lost(error):
            raise error
        with suppress(ServiceError):
            if (found := self._found(run_id)) is not None:
                return found
        raise UncertainError(
            f"Whether the run {run_id} began is not known. {error.message}",
            f"Look with `{self._command('show', run_id)}`; submitted again with `--run-name {run_id}`, it cannot begin "
            "twice.",
        ) from error

    def get(self, run_id: str) -> Run:
        """Return a run with its steps; see `Service.get`."""
        require_id("run", run_id)
        job = self._found(run_id)
        if job is None:
            raise MissingInputError(
                f"A run must be there; Vertex AI has no run {run_id!r} in {self._api.parent}.",
                f"List them with `{self._command('list')}`.",
            )
        return replace(self._run(job), steps=_steps(job))

    def list(self, *, experiment: str | None = None, limit: int = 20) -> Sequence[Run]:
        """Return the latest runs, the newest first; see `Service.list`."""
        request = {
            "parent": self._api.parent,
            "order_by": "create_time desc",
            "page_size": limit,
            "filter": "" if experiment is None else f'labels.{EXPERIMENT_LABEL}="{_experiment(experiment)}"',
        }
        with reaching("list the runs"):
            jobs = self._api.pipelines.list_pipeline_jobs(request, **reading())
            return [self._run(job) for job in islice(jobs, limit)]

    def cancel(self, run_id: str) -> Run:
        """Ask for a run to end; see `Service.cancel`."""
        run = self.get(run_id)
        if run.ended:
            return run
        with reaching(f"cancel the run {run_id}"):
            self._api.pipelines.cancel_pipeline_job(name=self._name(run_id), timeout=CALL_SECONDS)
        return self.get(run_id)

    def schedule(
        self,
        spec_path: str | Path,
        parameters: Mapping[str, Any],
        *,
        name: str,
        cron: str | None = None,
        every: timedelta | None = None,
        experiment: str | None = None,
        labels: Mapping[str, str] | None = None,
        caching: bool | None = None,
        max_concurrent_runs: int = 1,
    ) -> Schedule:
        """Start runs by a schedule; see `Service.schedule`."""
        if every is not None or cron is None:
            raise InputError("A schedule on Vertex AI must be given by `cron`; it knows no intervals.")
        cron = require_cron_in_zone(cron)
        if not 1 <= len(name) <= 128:
            raise InputError(f"A schedule's name must have 1 to 128 characters; got {len(name)}.")
        if experiment is not None:
            raise InputError(f"A schedule on Vertex AI must have no experiment; got {experiment!r}.", "Use a label.")
        if max_concurrent_runs < 1:
            raise InputError(f"max_concurrent_runs must be at least 1; got {max_concurrent_runs}.")
        job = self._job(spec_path, parameters, None, None, labels, caching)
        if (known := self._schedule_named(name)) is not None:
            remove = self._command("unschedule", known.schedule_id)
            raise InputError(
                f"A schedule's name must be new; there is a schedule {name!r}, {known.when}.",
                f"Give it another name, or remove that one: `{remove}`.",
            )
        vertex = self._settings.vertex
        made = self._aiplatform.PipelineJobSchedule(pipeline_job=job, display_name=name)
        try:
            with reaching(f"make the schedule {name}"):
                made.create(
                    cron=cron,
                    max_concurrent_run_count=max_concurrent_runs,
                    service_account=vertex.service_account,
                    network=vertex.network,
                    create_request_timeout=CALL_SECONDS,
                )
        except ServiceError as error:
            if not _is_lost(error):
                raise
            with suppress(ServiceError):
                if (found := self._schedule_named(name)) is not None:
                    return found
            raise UncertainError(
                f"Whether the schedule {name!r} was made is not known. {error.message}",
                f"Look with `{self._command('schedules')}`, and once more after a minute, before you submit it again.",
            ) from error
        return self._schedule(made.gca_resource)

    def schedules(self) -> Sequence[Schedule]:
        """Return the schedules, the newest first."""
        request = {"parent": self._api.parent, "order_by": "create_time desc"}
        with reaching("list the schedules"):
            return [self._schedule(entry) for entry in self._api.schedules.list_schedules(request, **reading())]

    def unschedule(self, schedule_id: str) -> None:
        """Remove a schedule; the runs that it started stay."""
        require_id("schedule", schedule_id)
        task = f"remove the schedule {schedule_id}"
        with reaching(task):
            try:
                name = f"{self._api.parent}/schedules/{schedule_id}"
                operation = self._api.schedules.delete_schedule(name=name, timeout=CALL_SECONDS)
            except exceptions.NotFound:
                raise MissingInputError(
                    f"A schedule must be there; Vertex AI has no schedule {schedule_id!r} in {self._api.parent}.",
                    f"List them with `{self._command('schedules')}`.",
                ) from None
        self._api.finish(operation, task)

    def _job(
        self,
        spec_path: str | Path,
        parameters: Mapping[str, Any],
        run_name: str | None,
        experiment: str | None,
        labels: Mapping[str, str] | None,
        caching: bool | None,
    ) -> aiplatform.PipelineJob:
        """Return a job that has not begun, everything about it checked."""
        self._settings.require("vertex.pipeline_root")
        package = Package(spec_path, self._settings)
        given = package.parameters(parameters)
        package.set_caching(caching)
        labels = {**self._settings.vertex.labels, **(labels or {})}
        if experiment is not None:
            labels[EXPERIMENT_LABEL] = _experiment(experiment)
        google_labels("labels", labels)
        run_id = _run_id(run_name, package.name)
        spec = package.to_json()
        if "platform_spec" in spec:
            raise InputError(
                f"A pipeline for Vertex AI must be one document; {str(spec_path)!r} has two.",
                "Compile it with `hallmark compile PIPELINE --platform vertex`.",
            )
        root = str(self._settings.vertex.pipeline_root)
        self._require_bucket(root)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pipeline.json")
            path.write_text(json.dumps(spec), encoding="utf-8")
            with reaching("prepare the run"):
                return self._aiplatform.PipelineJob(
                    display_name=run_id,
                    template_path=str(path),
                    job_id=run_id,
                    pipeline_root=root,
                    parameter_values=given,
                    labels=labels,
                )

    def _require_bucket(self, root: str) -> None:
        """Raise `MissingInputError` unless the bucket is there: the client would make one, whatever its name."""
        from google.cloud.storage import Client

        name = root.removeprefix("gs://").partition("/")[0]
        try:
            with reaching(f"find the bucket {name}"):
                there = Client(project=self._api.project).bucket(name).exists()
        except OSError as error:
            raise ServiceError(f"Cloud Storage must answer; got {type(error).__name__}.", "Try again.") from error
        except ServiceError as error:
            if isinstance(error.__cause__, exceptions.Forbidden):
                return  # who may start runs need not be allowed to look at buckets
            raise
        if not there:
            raise MissingInputError(
                f"vertex.pipeline_root must lie in a bucket that there is; got {root!r}.",
                f"`gcloud storage buckets create gs://{name} --location={self._api.location}`.",
            )

    def _made_experiment(self, name: str) -> aiplatform.Experiment:
        """Return an experiment, which is made when it is not there."""
        try:
            with reaching(f"make the experiment {name}"), _unwrapped():
                return self._aiplatform.Experiment.get_or_create(name)
        except ValueError as error:
            raise InputError(
                f"experiment must name an experiment of Vertex AI; {name!r} is something else ({error})."
            ) from error

    def _taken(self, run_id: str) -> InputError:
        return InputError(
            f"run_name must be new; there is a run {run_id!r}.", f"Look at it with `{self._command('show', run_id)}`."
        )

    def _command(self, *words: str) -> str:
        return runs_command(self._settings, self.platform, *words)

    def _name(self, run_id: str) -> str:
        return f"{self._api.parent}/pipelineJobs/{run_id}"

    def _found(self, run_id: str) -> types.PipelineJob | None:
        """Return a run, or None.

        Raises:
            TransientError: If the service does not answer.
        """
        try:
            with reaching(f"show the run {run_id}"):
                return self._api.pipelines.get_pipeline_job(name=self._name(run_id), **reading())
        except ServiceError as error:
            if isinstance(error.__cause__, exceptions.NotFound):
                return None
            if isinstance(error.__cause__, exceptions.RetryError | exceptions.ServerError):
                raise TransientError(error.message, "Try again later.") from error
            raise

    def _run(self, job: types.PipelineJob) -> Run:
        run_id = job.name.rpartition("/")[2]
        api = self._api
        return Run(
            run_id=run_id,
            name=job.display_name or run_id,
            platform=self.platform,
            state=_run_state(job),
            link=f"https://console.cloud.google.com/vertex-ai/locations/{api.location}/pipelines/runs/{run_id}"
            f"?project={api.project}",
            pipeline=(job.pipeline_spec or {}).get("pipelineInfo", {}).get("name"),
            experiment=job.labels.get(EXPERIMENT_LABEL),
            labels={key: value for key, value in job.labels.items() if key != EXPERIMENT_LABEL},
            created=job.create_time,
            finished=job.end_time,
            reason=job.error.message or None,
        )

    def _schedule_named(self, name: str) -> Schedule | None:
        return next((schedule for schedule in self.schedules() if schedule.name == name), None)

    def _schedule(self, schedule: types.Schedule) -> Schedule:
        return Schedule(
            schedule_id=schedule.name.rpartition("/")[2],
            name=schedule.display_name,
            when=schedule.cron,
            active=schedule.state.name == "ACTIVE",
            link=f"https://console.cloud.google.com/vertex-ai/pipelines/schedules?project={self._api.project}",
            next_run=schedule.next_run_time,
        )


def _import_client() -> Any:
    try:
        from google.cloud import aiplatform
    except ImportError as error:
        raise EnvironmentFailure(
            "Google's client for Vertex AI must be installed; it is not.",
            "Install it with `pip install 'kfp-hallmark[vertex]'`.",
        ) from error
    # It tells at length of what goes well, and, with tracebacks, of what it goes on without; errors are raised.
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("google.cloud.aiplatform"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return aiplatform


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Raise the service's error that an error of the client's own hides."""
    try:
        yield
    except RuntimeError as error:
        raise error.__cause__ if isinstance(error.__cause__, exceptions.GoogleAPICallError) else error from error


def _run_id(name: str | None, pipeline: str) -> str:
    """Return a job's id: the name, or one of the pipeline's name and the time."""
    run_id = f"{pipeline[:100]}-{datetime.now(UTC):%Y%m%d%H%M%S%f}" if name is None else name
    if not re.fullmatch(RUN_NAME, run_id):
        raise InputError(
            f"run_name must be at most 128 lowercase letters, digits and hyphens, a letter first, for Vertex AI; "
            f"got {run_id!r}."
        )
    return run_id


def _created(job: aiplatform.PipelineJob) -> types.PipelineJob | None:
    """Return what the service made of a job; None where its answer has not said."""
    try:
        return job.gca_resource
    except RuntimeError:
        return None


def _is_lost(error: ServiceError) -> bool:
    """Return whether the service may have done what it was asked for: it failed at it, or its answer did not arrive."""
    cause = error.__cause__
    lost = isinstance(cause, exceptions.ServerError | exceptions.Cancelled | exceptions.RetryError)
    return lost and NO_TOKEN not in str(cause)


def _experiment(name: str) -> str:
    if not re.fullmatch(EXPERIMENT_NAME, name):
        raise InputError(
            f"experiment must be at most 63 lowercase letters, digits and hyphens, for Vertex AI; got {name!r}."
        )
    return name


def _steps(job: types.PipelineJob) -> tuple[RunStep, ...]:
    """Return the steps of a job, in the order in which a run on this machine would have them.

    They are the tasks that hold no others; those of a loop's iterations share a name. Of a task whose turn has not come
    the service may say nothing, so the pipeline's spec says which there are.
    """
    tasks = sorted(
        job.job_detail.task_details, key=lambda task: (task.start_time is None, task.start_time, task.task_id)
    )
    holders = {task.parent_task_id for task in tasks}
    leaves: dict[str, list[types.PipelineTaskDetail]] = {name: [] for name in _planned(job)}
    for task in tasks:
        if task.task_id not in holders and task.parent_task_id:
            leaves.setdefault(task.task_name, []).append(task)
    unknown = SKIPPED if _run_state(job) in ENDED else PENDING
    steps = []
    for name, found in leaves.items():
        label = readable(name)
        names = [label] if len(found) == 1 else [f"{label}[{index}]" for index in range(len(found))]
        steps += [_step(*named) for named in zip(names, found, strict=True)] or [RunStep(label, unknown)]
    return tuple(steps)


def _step(name: str, task: types.PipelineTaskDetail) -> RunStep:
    state = _STEP_STATES.get(task.state.name, PENDING)
    return RunStep(name, state, task.start_time, task.end_time, task.error.message or None)


def _planned(job: types.PipelineJob) -> list[str]:
    value = json_format.MessageToDict(type(job).pb(job).pipeline_spec)
    return planned_tasks(read_spec(value)) if value else []


def _run_state(job: types.PipelineJob) -> str:
    return _JOB_STATES.get(job.state.name.removeprefix("PIPELINE_STATE_"), PENDING)
