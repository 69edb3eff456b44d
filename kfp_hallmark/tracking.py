"""Reach MLflow's tracking store and registry: the URI, a client, an experiment.

Importing any part of MLflow costs about three seconds, since its package imports all of itself; so only the steps that
reach the store import it, and only inside these functions.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.errors import InputError, MissingInputError

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

VARIABLE = "MLFLOW_TRACKING_URI"
EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_ID"
RUN_VARIABLE = "MLFLOW_RUN_ID"
"""The variable in which a platform names the run that a step is to log to."""

PARENT_TAG = "mlflow.parentRunId"
PIPELINE_TAG = "hallmark.pipeline"
PIPELINE_RUN_TAG = "hallmark.pipeline_run"
"""The tag by which a pipeline run's own MLflow run is found; its value is what the platform calls the run."""

SQLITE = "sqlite:///"
MAX_REASON = 500
"""How many characters of what MLflow says are told."""

ARTIFACT_FOLDER = "mlruns"
"""Where a local SQLite store keeps artifacts, beside its file."""


def tracking_uri(given: str | None) -> str:
    """Return the URI of the tracking store: the one given, else `MLFLOW_TRACKING_URI`.

    Raises:
        InputError: If there is neither.
    """
    uri = given or os.environ.get(VARIABLE)
    if not uri:
        raise InputError(
            f"tracking_uri must name an MLflow server or store, or {VARIABLE} must be set; got neither.",
            "A local store is written as sqlite:////folder/mlflow.db.",
        )
    return uri


def client(uri: str) -> MlflowClient:
    """Return a client of a tracking store and of the registry in it; a local SQLite store is made when it is not there.

    Raises:
        InputError: If MLflow cannot open it, as without the driver of its database.
        MissingInputError: If the store cannot be opened.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    from mlflow.tracking import MlflowClient

    file = sqlite_file(uri)
    with reaching(uri):
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with alone(uri):
                return MlflowClient(tracking_uri=uri, registry_uri=uri)
        except (ImportError, ValueError) as error:
            raise InputError(
                f"tracking_uri must be one that MLflow can open here; {_told(uri)!r} cannot ({type(error).__name__}).",
                "Name an MLflow server, or a local store as sqlite:////folder/mlflow.db.",
            ) from None


def from_platform(variable: str, uri: str) -> str | None:
    """Return what the platform says in a variable of its tracking server, if that is the one that is logged to."""
    return os.environ.get(variable) or None if os.environ.get(VARIABLE, uri).rstrip("/") == uri.rstrip("/") else None


def experiment(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is made when it is not there; two at once make one.

    Where the platform names an experiment of its tracking server by `MLFLOW_EXPERIMENT_ID`, it is that one.

    In a local SQLite store its artifacts lie beside the store's file; MLflow would put them into the working directory.

    Raises:
        InputError: If the experiment was deleted.
        MissingInputError: If the store cannot be reached.
    """
    from mlflow.exceptions import MlflowException

    if given := from_platform(EXPERIMENT_VARIABLE, client.tracking_uri):
        return given
    with reaching(client.tracking_uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=_artifact_location(client.tracking_uri)))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage != "active":
        raise InputError(
            f"experiment must be active; {name!r} was deleted.", "Restore it in MLflow, or choose another name."
        )
    return str(found.experiment_id)


@dataclass(frozen=True)
class RunTree:
    """The MLflow runs of one pipeline run: a parent, and one run for each step below it.

    Where the platform gives every step a run of its own (Kubeflow Pipelines from 2.17 with its MLflow plugin), the
    parent is the one above that, and the platform makes and ends the runs. Everywhere else they are made here.

    Attributes:
        client: A client of the tracking store.
        experiment_id: The experiment.
        parent_id: The run above those of the steps.
        joined: Whether the platform made it, and so ends it.
    """

    client: MlflowClient
    experiment_id: str
    parent_id: str
    joined: bool

    @classmethod
    def open(cls, uri: str | None, experiment_name: str, pipeline: str, run_id: str) -> RunTree:
        """Find the parent, or make it.

        Args:
            uri: The tracking store. Default: MLFLOW_TRACKING_URI.
            experiment_name: The experiment of a parent that is made.
            pipeline: The pipeline's name, which is the parent's too.
            run_id: What the platform calls the pipeline run.

        Raises:
            InputError: If no store is named.
            MissingInputError: If the store does not answer, or has no run that the platform names.
        """
        store = client(tracking_uri(uri))
        given = from_platform(RUN_VARIABLE, store.tracking_uri)
        if given is None:
            folder = experiment(store, experiment_name)
            with reaching(store.tracking_uri):
                return cls(store, folder, _parent(store, folder, pipeline, run_id), joined=False)
        with reaching(store.tracking_uri):
            own = store.get_run(given)
            return cls(store, own.info.experiment_id, own.data.tags.get(PARENT_TAG, given), joined=True)

    def steps(self) -> dict[str, Run]:
        """Return the runs below the parent by name, of several of a name the first."""
        with reaching(self.client.tracking_uri):
            found = runs_with_tag(self.client, self.experiment_id, PARENT_TAG, self.parent_id)
        return {run.info.run_name: run for run in reversed(found)}

    def make(self, step: str) -> Run:
        """Make the run of a step."""
        with reaching(self.client.tracking_uri):
            return _make(self.client, self.experiment_id, step, {PARENT_TAG: self.parent_id})

    def end(self, status: str) -> None:
        """End the parent as `FINISHED`, `FAILED` or `KILLED`; the platform's own is left to the platform."""
        if not self.joined:
            with reaching(self.client.tracking_uri):
                self.client.set_terminated(self.parent_id, status)


def _parent(client: MlflowClient, experiment_id: str, pipeline: str, run_id: str) -> str:
    """Return the id of a pipeline run's own run; of two that are made at the same moment the first stays."""
    if not runs_with_tag(client, experiment_id, PIPELINE_RUN_TAG, run_id):
        made = _make(client, experiment_id, pipeline, {PIPELINE_RUN_TAG: run_id, PIPELINE_TAG: pipeline}).info.run_id
        if made != runs_with_tag(client, experiment_id, PIPELINE_RUN_TAG, run_id)[0].info.run_id:
            client.delete_run(made)
    return str(runs_with_tag(client, experiment_id, PIPELINE_RUN_TAG, run_id)[0].info.run_id)


def runs_with_tag(client: MlflowClient, experiment_id: str, tag: str, value: str) -> list[Run]:
    """Return the runs with a tag, the first first, by an order that everybody sees alike."""
    from mlflow.entities import ViewType

    found: list[Run] = []
    token: str | None = ""
    while token is not None:
        page = client.search_runs(
            [experiment_id], f"tags.`{tag}` = '{value}'", ViewType.ACTIVE_ONLY, 1000, page_token=token or None
        )
        found += page
        token = page.token or None
    return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))


def _make(client: MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str]) -> Run:
    return client.create_run(experiment_id, tags=dict(tags), run_name=name)


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn the failures of a store within the block into one clear error; that a disk here is full is told as it is.

    Raises:
        MissingInputError: If the store cannot be reached or refuses.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        if isinstance(error, InputError) or getattr(error, "errno", None) == errno.ENOSPC:
            raise
        said = " ".join(str(error).split()).replace(uri, _told(uri))
        if query := uri.partition("?")[2]:
            said = said.replace(query, "...")
        raise MissingInputError(
            f"The tracking store {_told(uri)!r} must answer; got {type(error).__name__}: "
            f"{without_password(said)[:MAX_REASON]}.",
            "Start the MLflow server, or name a local store as sqlite:////folder/mlflow.db.",
        ) from None


def _told(uri: str) -> str:
    """Return a store's URI without what may be secret in it."""
    return without_password(uri).partition("?")[0]


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a local SQLite store, or None when the URI names none."""
    name = uri.removeprefix(SQLITE).split("?")[0]
    return Path(name).resolve() if uri.startswith(SQLITE) and name not in ("", ":memory:") else None


def _artifact_location(uri: str) -> str | None:
    file = sqlite_file(uri)
    return None if file is None else (file.parent / ARTIFACT_FOLDER).as_uri()


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold a lock beside a store's file: MLflow makes the tables of a new store without one."""
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Keep others of this machine out of such blocks on a local SQLite store; a server's cannot be kept out."""
    file = sqlite_file(uri)
    with contextlib.nullcontext() if file is None else _locked(file):
        yield


def without_password(text: str) -> str:
    """Return a text with no user and no password in any URI in it."""
    return re.sub(r"://(?:[^/\s]*|[^/\s:@]+:(?!\d+/)[^\s@]*)@", "://", text)


def without_passwords(value: Any) -> Any:
    """Return a JSON value with no user and no password in any URI in it."""
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, dict):
        return {name: without_passwords(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [without_passwords(entry) for entry in value]
    return value
