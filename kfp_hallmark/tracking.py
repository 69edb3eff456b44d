"""Reach MLflow's tracking store and registry: the URI, a client, an experiment.

Importing any part of MLflow costs about three seconds, since its package imports all of itself; so only the steps that
reach the store import it, and only inside these functions.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.errors import InputError, MissingInputError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

VARIABLE = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
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
        MissingInputError: If the store cannot be opened.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    from mlflow.tracking import MlflowClient

    file = sqlite_file(uri)
    if file is None:
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    with reaching(uri):
        file.parent.mkdir(parents=True, exist_ok=True)
        with _locked(file):
            return MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is made when it is not there; two at once make one.

    In a local SQLite store its artifacts lie beside the store's file; MLflow would put them into the working directory.

    Raises:
        InputError: If the experiment was deleted.
        MissingInputError: If the store cannot be reached.
    """
    from mlflow.exceptions import MlflowException

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


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn the failures of a store within the block into one clear error.

    Raises:
        MissingInputError: If the store cannot be reached or refuses.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        if isinstance(error, InputError):
            raise
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise MissingInputError(
            without_password(f"The tracking store {uri!r} must answer; got {reason}."),
            "Start the MLflow server, or name a local store as sqlite:////folder/mlflow.db.",
        ) from None


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


def without_password(text: str) -> str:
    """Return a text with no user and no password in any URI in it."""
    return re.sub(r"://[^/\s]*@", "://", text)


def without_passwords(value: Any) -> Any:
    """Return a JSON value with no user and no password in any URI in it."""
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, dict):
        return {name: without_passwords(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [without_passwords(entry) for entry in value]
    return value
