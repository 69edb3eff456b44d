"""Kubeflow Pipelines, reached by KFP's own client.

`kfp.Client` says where the API is and who asks. Its calls are made through the interface that it publishes for each
service of the API (`client.runs`, `client.experiments`, ...) because these take time-outs; its own methods wait for
ever, and print. What the API does is read from its backend's sources (https://github.com/kubeflow/pipelines).
"""

from __future__ import annotations

import json
import logging
import os
import ssl
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kfp.client
from kfp.client.token_credentials_base import TokenCredentialsBase
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark import __version__
from kfp_hallmark.errors import InputError, MissingInputError, ServiceError
from kfp_hallmark.runner.plan import readable
from kfp_hallmark.runner.record import FAILED, PENDING, RUNNING, SKIPPED, SUCCEEDED
from kfp_hallmark.settings import Kubeflow as KubeflowSettings
from kfp_hallmark.settings import Settings
from kfp_hallmark.submission import kubeflow_errors as errors
from kfp_hallmark.submission.cron import require_cron
from kfp_hallmark.submission.package import Package, planned_tasks, read_spec
from kfp_hallmark.submission.service import (
    CANCELLED,
    CANCELLING,
    PAUSED,
    Run,
    RunStep,
    Schedule,
    UncertainError,
    require_id,
    runs_command,
)

TIMEOUTS = (10, 60)
"""Seconds to connect, and to answer."""

DEFAULT_EXPERIMENT = "Default"
"""Where KFP puts runs that name no experiment."""

MAX_PAGE = 200
"""The most that the API lists at once."""

_STATES = {
    "PENDING": PENDING,
    "RUNNING": RUNNING,
    "SUCCEEDED": SUCCEEDED,
    "SKIPPED": SKIPPED,
    "FAILED": FAILED,
    "CANCELING": CANCELLING,
    "CANCELED": CANCELLED,
    "PAUSED": PAUSED,
}


class Kubeflow:
    """A Kubeflow Pipelines installation; see `kfp_hallmark.submission.Service`.

    Args:
        settings: `[kubeflow]` says where it is and how to reach it.

    Raises:
        InputError: If the settings lack the host, or what they name holds no token, cookie or certificates.
        MissingInputError: If a file that the settings name is not there.
    """

    platform = "kubeflow"

    def __init__(self, settings: Settings) -> None:
        settings.require("kubeflow.host")
        self._all_settings = settings
        self._settings = settings.kubeflow
        self._client = _client(settings)
        self._ui = str(self._settings.ui_host or self._settings.host).rstrip("/")
        self._experiments: dict[str, str] = {}

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

        A label is refused: runs have none on Kubeflow. When the answer is lost, the run is looked for.
        """
        import kfp_server_api

        package, source = self._source(spec_path, parameters, labels, caching)
        run = kfp_server_api.V2beta1Run(
            display_name=run_name or f"{package.name} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
            experiment_id=self._experiment_id(experiment),
            **source,
        )
        create, listed = self._client.runs.run_service_create_run, self._client.runs.run_service_list_runs
        return self._run(self._create("run", create, run, "runs", listed))

    def get(self, run_id: str) -> Run:
        """Return a run with its steps."""
        require_id("run", run_id)
        with self._missing(f"A run must be one that Kubeflow has; got {run_id!r}.", "list"):
            found = self._ask("show the run", self._client.runs.run_service_get_run, run_id)
        return self._run(found, self._steps(found))

    def list(self, *, experiment: str | None = None, limit: int = 20) -> Sequence[Run]:
        """Return the latest runs, the newest first, without their steps."""
        among = {"namespace": self._settings.namespace}
        if experiment is not None:
            found = self._find_experiment(experiment)
            if found is None:
                raise MissingInputError(f"An experiment must be one that Kubeflow has; got {experiment!r}.")
            among = {"experiment_id": found.experiment_id}
        return [self._run(run) for run in self._pages("runs", self._client.runs.run_service_list_runs, limit, among)]

    def cancel(self, run_id: str) -> Run:
        """Ask for a run to end, and return it as it is now; one that has ended is left alone."""
        run = self.get(run_id)
        if run.ended or run.state == CANCELLING:
            return run
        self._ask("end the run", self._client.runs.run_service_terminate_run, run_id)
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
        """Start runs by a schedule: a recurring run; see `Service.schedule`.

        Times that were missed are not made up. When the answer is lost, the schedule is looked for.
        """
        import kfp_server_api

        trigger = _trigger(cron, every)
        if not 1 <= max_concurrent_runs <= 10:
            raise InputError(f"max_concurrent_runs must be from 1 to 10; got {max_concurrent_runs}.")
        _, source = self._source(spec_path, parameters, labels, caching)
        self._require_new_schedule(name)
        recurring = kfp_server_api.V2beta1RecurringRun(
            display_name=name,
            experiment_id=self._experiment_id(experiment),
            mode=kfp_server_api.RecurringRunMode.ENABLE,
            trigger=trigger,
            max_concurrency=str(max_concurrent_runs),
            no_catchup=True,
            **source,
        )
        create = self._client.recurring_runs.recurring_run_service_create_recurring_run
        listed = self._client.recurring_runs.recurring_run_service_list_recurring_runs
        return self._schedule(self._create("schedule", create, recurring, "recurring_runs", listed))

    def schedules(self) -> Sequence[Schedule]:
        """Return the schedules, the newest first."""
        pages = self._client.recurring_runs.recurring_run_service_list_recurring_runs
        among = {"namespace": self._settings.namespace}
        return [self._schedule(found) for found in self._pages("recurring_runs", pages, None, among)]

    def unschedule(self, schedule_id: str) -> None:
        """Remove a schedule; the runs that it started stay."""
        require_id("schedule", schedule_id)
        delete = self._client.recurring_runs.recurring_run_service_delete_recurring_run
        with self._missing(f"A schedule must be one that Kubeflow has; got {schedule_id!r}.", "schedules"):
            self._ask("remove the schedule", delete, schedule_id)

    def _command(self, *words: str) -> str:
        return runs_command(self._all_settings, self.platform, *words)

    def _require_new_schedule(self, name: str) -> None:
        """Raise `InputError` if there is a schedule of a name: Kubeflow would start the runs of both."""
        for found in self.schedules():
            if found.name == name:
                remove = self._command("unschedule", found.schedule_id)
                raise InputError(
                    f"A schedule's name must be new; there is a schedule {name!r}, {found.when}.",
                    f"Give it another name, or remove that one: `{remove}`.",
                )

    def _create(self, kind: str, create: Callable[..., Any], body: Any, key: str, listed: Callable[..., Any]) -> Any:
        """Make a run or a schedule; when the answer is lost, look for what was made.

        Names need not be unique on Kubeflow, so its description marks it.
        """
        body.description = f"Submitted by Hallmark {__version__} ({uuid.uuid4()})"
        try:
            return self._ask(f"start the {kind}", create, body)
        except (errors.LostError, errors.UnreadableError) as error:
            among = {"experiment_id": body.experiment_id, "filter": _named(body.display_name)}
            with suppress(ServiceError):
                for found in self._pages(key, listed, None, among):
                    if found.description == body.description:
                        return found
            look = self._command("list" if kind == "run" else "schedules")
            raise UncertainError(
                f"Whether the {kind} {body.display_name!r} was made is not known. {error.message}",
                f"Look with `{look}`, and once more after a minute, before you submit it again.",
            ) from error

    def _source(
        self,
        spec_path: str | Path,
        parameters: Mapping[str, Any],
        labels: Mapping[str, str] | None,
        caching: bool | None,
    ) -> tuple[Package, dict[str, Any]]:
        """Return a pipeline, and what a run and a recurring run of it have in common."""
        import kfp_server_api

        if labels:
            raise InputError(
                f"A run on Kubeflow must have no labels, for it cannot keep them; got {', '.join(labels)}.",
                "Labels of the pods are in the settings: [kubeflow] labels.",
            )
        package = Package(spec_path, self._all_settings)
        package.refuse_fetched_secrets()
        package.set_caching(caching)
        return package, {
            "pipeline_spec": package.to_json(),
            "runtime_config": kfp_server_api.V2beta1RuntimeConfig(parameters=package.parameters(parameters)),
            "service_account": self._settings.service_account,
        }

    def _experiment_id(self, name: str | None) -> str:
        """Return the id of an experiment, which is made when it is not there."""
        import kfp_server_api

        name = name or DEFAULT_EXPERIMENT
        found = self._find_experiment(name)
        if found is None:
            experiment = kfp_server_api.V2beta1Experiment(display_name=name, namespace=self._settings.namespace)
            create = self._client.experiments.experiment_service_create_experiment
            try:
                found = self._ask("make the experiment", create, experiment)
            except errors.ConflictError:
                # Somebody else has made it since.
                found = self._find_experiment(name)
                if found is None:
                    raise
        self._experiments[found.experiment_id] = name
        return str(found.experiment_id)

    def _find_experiment(self, name: str) -> Any:
        among = {"namespace": self._settings.namespace, "filter": _named(name)}
        pages = self._client.experiments.experiment_service_list_experiments
        return next(self._pages("experiments", pages, 1, among), None)

    def _experiment_name(self, experiment_id: str | None) -> str | None:
        if experiment_id and experiment_id not in self._experiments:
            get = self._client.experiments.experiment_service_get_experiment
            try:
                found = self._ask("show the experiment", get, experiment_id).display_name
            except errors.UnknownError:
                found = experiment_id
            self._experiments[experiment_id] = found
        return self._experiments.get(experiment_id or "")

    def _run(self, run: Any, steps: Sequence[RunStep] = ()) -> Run:
        spec = _spec(run)
        return Run(
            run_id=run.run_id,
            name=run.display_name,
            platform=self.platform,
            state=_run_state(run),
            link=f"{self._ui}/#/runs/details/{run.run_id}",
            pipeline=spec.pipeline_info.name or None if spec else None,
            experiment=self._experiment_name(run.experiment_id),
            created=_time(run.created_at),
            finished=_time(run.finished_at),
            reason=run.error.message if run.error else None,
            steps=tuple(steps),
        )

    def _steps(self, run: Any) -> Sequence[RunStep]:
        spec = _spec(run)
        if spec is None and (version := run.pipeline_version_reference):
            get = self._client.pipelines.pipeline_service_get_pipeline_version
            found = self._ask("show the pipeline", get, version.pipeline_id, version.pipeline_version_id)
            spec = _spec(found)
        details = (run.run_details.task_details if run.run_details else None) or []
        return _steps(spec, details, ended=_run_state(run) in (SUCCEEDED, FAILED, CANCELLED)) if spec else []

    def _schedule(self, recurring: Any) -> Schedule:
        return Schedule(
            schedule_id=recurring.recurring_run_id,
            name=recurring.display_name,
            when=_when(recurring.trigger),
            active=recurring.status == "ENABLED",
            link=f"{self._ui}/#/recurringrun/details/{recurring.recurring_run_id}",
        )

    def _pages(
        self, key: str, call: Callable[..., Any], limit: int | None, among: Mapping[str, str | None]
    ) -> Iterator[Any]:
        """Yield what the API lists, the newest first, page by page."""
        given = {name: value for name, value in among.items() if value is not None}
        token, left = "", limit
        while left is None or left > 0:
            size = MAX_PAGE if left is None else min(left, MAX_PAGE)
            what = f"list the {key.replace('_', ' ')}"
            page = self._ask(what, call, page_size=size, page_token=token, sort_by="created_at desc", **given)
            found = getattr(page, key) or []
            yield from found
            left = None if left is None else left - len(found)
            token = page.next_page_token
            if not token:
                return

    def _ask(self, what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method of the API, and turn what goes wrong into one sentence.

        Args:
            what: What is asked for, after "the API must".
            call: The method of a generated API.
            arguments: Its arguments.
            options: Its options.
        """
        with _quiet(), errors.told(what, self._settings):
            answer = call(*arguments, **options, _request_timeout=TIMEOUTS)
            errors.require_api(call.__self__.api_client.last_response, self._settings)  # type: ignore[attr-defined]
        return answer

    @contextmanager
    def _missing(self, message: str, listing: str) -> Iterator[None]:
        try:
            yield
        except errors.UnknownError:
            raise MissingInputError(message, f"List them with `{self._command(listing)}`.") from None


class _TokenFile(TokenCredentialsBase):
    """The token in a file, which may be renewed: it is read for each request."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._token()

    def refresh_api_key_hook(self, config: Any) -> None:
        """Put the token that the file holds now into the client's configuration."""
        config.api_key["authorization"] = self._token()

    def _token(self) -> str:
        name, hint = "kubeflow.token_file", "See docs/kubeflow.md for how a pod gets one."
        token = _read(name, self._file, hint).decode("utf-8", "replace").strip()
        if not _fits_header(token):
            wrong = "it holds what no header can" if token else "it is empty"
            raise InputError(f"{name} must hold a token; got {str(self._file)!r}, and {wrong}.", hint)
        return token


def _client(settings: Settings) -> Any:
    """Return KFP's client as the settings say who asks."""
    kubeflow = settings.kubeflow
    token = cookie = credentials = certificates = None
    if kubeflow.auth == "bearer":
        token = _secret(kubeflow)
    elif kubeflow.auth == "cookie":
        cookie = _secret(kubeflow)
    elif kubeflow.auth == "service_account":
        named = kubeflow.token_file or os.environ.get(kfp.client.KF_PIPELINES_SA_TOKEN_ENV)
        credentials = _TokenFile(Path(named or kfp.client.KF_PIPELINES_SA_TOKEN_PATH))
    if kubeflow.certificates:
        certificates = str(_require_certificates(settings.path(kubeflow.certificates)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        # Without a namespace it asks the API for one, five times, and keeps it in a file. Ours goes with each call.
        return kfp.Client(
            host=kubeflow.host,
            namespace=kubeflow.namespace or "-",
            existing_token=token,
            cookies=cookie or "",
            credentials=credentials,
            ssl_ca_cert=certificates,
        )


def _secret(settings: KubeflowSettings) -> str:
    name = settings.secret_variable
    value = os.environ.get(name, "").strip()
    if not _fits_header(value):
        raise InputError(
            f"The variable {name} must hold the {'cookie' if settings.auth == 'cookie' else 'token'} for Kubeflow; "
            f"{'it holds what no header can' if value else 'it is not set'}.",
            "See docs/kubeflow.md for how to get one; kubeflow.secret_variable names another variable.",
        )
    return value


def _fits_header(value: str) -> bool:
    return bool(value) and value.isascii() and value.isprintable()


def _require_certificates(file: Path) -> Path:
    name = "kubeflow.certificates"
    _read(name, file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise InputError(f"{name} must hold certificates in PEM; {str(file)!r} does not.") from None
    return file


def _read(name: str, file: Path, hint: str | None = None) -> bytes:
    """Return what a file holds that the settings name."""
    if not file.is_file():
        raise MissingInputError(f"{name} must be a file; got {str(file)!r}.", hint)
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{name} must be a file that can be read; {str(file)!r} cannot ({error.strerror}).", hint
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep urllib3 from telling of each of its attempts; the last failure is told as an error."""
    logger = logging.getLogger("urllib3.connectionpool")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _named(name: str) -> str:
    """Return the API's filter for a name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _trigger(cron: str | None, every: timedelta | None) -> Any:
    import kfp_server_api

    if cron is not None:
        schedule = kfp_server_api.V2beta1CronSchedule(cron=f"0 {require_cron(cron)}")
        return kfp_server_api.V2beta1Trigger(cron_schedule=schedule)
    seconds = every.total_seconds() if every else 0
    if seconds < 1 or seconds != int(seconds):
        raise InputError(f"every must be whole seconds, at least 1; got {every}.")
    periodic = kfp_server_api.V2beta1PeriodicSchedule(interval_second=str(int(seconds)))
    return kfp_server_api.V2beta1Trigger(periodic_schedule=periodic)


def _when(trigger: Any) -> str:
    if trigger and trigger.cron_schedule:
        return str(trigger.cron_schedule.cron).removeprefix("0 ")
    if trigger and trigger.periodic_schedule:
        return _interval(int(trigger.periodic_schedule.interval_second))
    return "never"


def _interval(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"every {seconds // size} {unit}"
    return f"every {seconds} s"


def _time(value: datetime | None) -> datetime | None:
    """Return a time; KFP writes the beginning of 1970 for what has not happened."""
    return None if value is None or value.timestamp() <= 0 else value.astimezone(UTC)


def _run_state(run: Any) -> str:
    """Return the state of a run. One that was terminated ends as failed; that it was is in its history alone."""
    history = [status.state for status in run.state_history or []]
    if run.state == "FAILED" and "CANCELING" in history:
        return CANCELLED
    return _STATES.get(run.state, PENDING)


def _spec(holder: Any) -> pipeline_spec_pb2.PipelineSpec | None:
    """Return the spec in a run or a pipeline's version; None where it holds only a reference."""
    value = holder.pipeline_spec
    return read_spec(value.get("pipeline_spec", value)) if value else None


def _steps(spec: pipeline_spec_pb2.PipelineSpec, details: Sequence[Any], ended: bool) -> list[RunStep]:
    """Return the steps of a run, in the order in which a run on this machine would have them.

    The API lists the nodes of Argo's workflow: a task's own beside its driver's, `executor` and those of DAGs. They say
    whose they are by name alone; the nodes of a loop's iterations share one.
    """
    nodes: dict[str, list[Any]] = {}
    for detail in sorted(details, key=lambda detail: _time(detail.start_time) or datetime.max.replace(tzinfo=UTC)):
        nodes.setdefault(detail.display_name, []).append(detail)
    steps = []
    for task in planned_tasks(spec):
        found = nodes.get(task, [])
        names = [readable(task)] if len(found) < 2 else [f"{readable(task)}[{index}]" for index in range(len(found))]
        steps += [_step(name, node) for name, node in zip(names, found, strict=False)]
        if not found:
            driver = nodes.get(f"{task}-driver", [])
            broken = any(node.state == "FAILED" for node in driver)
            reason = "Kubeflow could not prepare it: the step's driver failed" if broken else None
            steps.append(RunStep(names[0], FAILED if broken else SKIPPED if ended else PENDING, reason=reason))
    return steps


def _step(name: str, node: Any) -> RunStep:
    """Return a step as Argo's node tells of it; a node in no state is one that Argo left out."""
    return RunStep(
        name=name,
        state=_STATES.get(node.state, SKIPPED),
        started=_time(node.start_time),
        finished=_time(node.end_time),
        reason=node.error.message if node.error else None,
    )
