"""Reach Vertex AI: its clients, bounded waits, what an earlier try left under way, and its errors in one sentence.

Only the protocol's own clients are used (`google.cloud.aiplatform_v1`): the higher layer waits without a bound, and
takes four times as long to import.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kfp_hallmark.errors import HallmarkError, InputError, ServiceError

if TYPE_CHECKING:
    from google.api_core.operation import Operation
    from google.api_core.retry import Retry
    from google.cloud.aiplatform_v1 import (
        EndpointServiceClient,
        ModelServiceClient,
        PipelineServiceClient,
        ScheduleServiceClient,
    )
    from google.longrunning import operations_pb2

NAME_LABEL = "hallmark_name"
DIGEST_LABEL = "hallmark_digest"
DECISION_LABEL = "hallmark_decision"
VERSION_LABEL = "hallmark_version"
"""The labels of what is made on Vertex AI: the registered model's `resource_id`, digests' first digits, the version."""

MAX_SECONDS = 7200.0
"""How long an operation may take unless a setting says otherwise; a deployment takes minutes."""

CALL_SECONDS = 60.0
"""How long one call may take; the clients have no bound of their own for most."""

_ROLES = {
    "aiplatform": "roles/aiplatform.user on the project",
    "artifactregistry": "roles/artifactregistry.reader on the repository, which Vertex AI's service agent needs too",
    "iam": "roles/iam.serviceAccountUser on the service account that is to be run as",
    "resourcemanager": "roles/browser on the project",
    "storage": "roles/storage.objectUser on the bucket",
    "storage.buckets": "roles/storage.bucketViewer on the bucket",
}

NO_TOKEN = "Getting metadata from plugin failed"
"""What gRPC says, as if the service were away, when the credentials give no token: they have expired, say."""

_AGAIN = "Run it again: nothing is made twice."

_HINTS = {
    "UNAUTHENTICATED": "Log in with `gcloud auth application-default login`, or run as a service account.",
    "RESOURCE_EXHAUSTED": "Ask for more quota at https://console.cloud.google.com/iam-admin/quotas, take another "
    "machine or region, or undeploy models that serve nobody.",
    "NOT_FOUND": "Check project, location and names, and that the API is on: "
    "`gcloud services enable aiplatform.googleapis.com`.",
    "INVALID_ARGUMENT": "Correct the setting that the answer names.",
    "FAILED_PRECONDITION": "Bring about what the answer asks for, then run it again.",
    "ALREADY_EXISTS": "Wait for what made it at the same time, then run it again.",
    "ABORTED": "Something else changed it at the same time; run it again.",
}


def resource_id(name: str) -> str:
    """Return the id under which a registered model is known on Vertex AI.

    Readable, and different for names that differ: `income-model-1f0c5a3e` for `Income model`.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    mark = hashlib.sha256(name.encode("utf-8")).hexdigest()[:8]
    return f"{readable}-{mark}" if readable[:1].isalpha() else f"m-{readable}-{mark}"


def require_labels(labels: object, what: str) -> None:
    """Raise `InputError` unless labels are as Google Cloud takes them, and none of them is one of ours."""
    for key, value in dict(labels).items():  # type: ignore[call-overload]
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
            raise InputError(
                f"{what} must be at most 63 lowercase letters, digits, hyphens and underscores, a letter first in "
                f"their names; got {key!r}: {value!r}."
            )
        if key.startswith("hallmark_"):
            raise InputError(f"{what} must not begin with hallmark_, which Hallmark sets itself; got {key!r}.")


def require_version_alias(alias: str) -> str:
    """Return an alias that the Model Registry of Vertex AI takes.

    Raises:
        InputError: If it is anything but letters, digits and hyphens, a lowercase letter first.
    """
    if not re.fullmatch(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]", alias):
        raise InputError(
            f"alias must be 2 to 128 letters, digits and hyphens, a lowercase letter first and one or a digit last, "
            f"for Vertex AI; got {alias!r}."
        )
    return alias


@dataclass(frozen=True)
class Vertex:
    """Vertex AI in one project and location.

    Attributes:
        project: The project's id or number.
        location: The region.
        api_endpoint: Another address of the API, as `host:port`; None for the region's.
        max_seconds: How long an operation may take.
    """

    project: str
    location: str
    api_endpoint: str | None = None
    max_seconds: float = MAX_SECONDS

    @property
    def host(self) -> str:
        """The API's address."""
        return self.api_endpoint or f"{self.location}-aiplatform.googleapis.com"

    @property
    def parent(self) -> str:
        """What models and endpoints are made below."""
        return f"projects/{self.project}/locations/{self.location}"

    @cached_property
    def models(self) -> ModelServiceClient:
        """The Model Registry."""
        from google.cloud.aiplatform_v1 import ModelServiceClient

        with reaching("know who asks"):
            return ModelServiceClient(client_options={"api_endpoint": self.host})

    @cached_property
    def endpoints(self) -> EndpointServiceClient:
        """The endpoints."""
        from google.cloud.aiplatform_v1 import EndpointServiceClient

        with reaching("know who asks"):
            return EndpointServiceClient(client_options={"api_endpoint": self.host})

    @cached_property
    def pipelines(self) -> PipelineServiceClient:
        """The pipeline jobs."""
        from google.cloud.aiplatform_v1 import PipelineServiceClient

        with reaching("know who asks"):
            return PipelineServiceClient(client_options={"api_endpoint": self.host})

    @cached_property
    def schedules(self) -> ScheduleServiceClient:
        """The schedules of pipeline jobs."""
        from google.cloud.aiplatform_v1 import ScheduleServiceClient

        with reaching("know who asks"):
            return ScheduleServiceClient(client_options={"api_endpoint": self.host})

    def finish(self, operation: Operation, task: str) -> Any:
        """Wait for an operation to end and return what came of it.

        Args:
            operation: The operation.
            task: What it does, for the error: `deploy the model`.

        Raises:
            ServiceError: If it failed, or did not end in time; it then goes on.
        """
        from concurrent.futures import TimeoutError

        with reaching(task):
            try:
                return operation.result(timeout=self.max_seconds, polling=_polling(), retry=_retry())
            except TimeoutError:
                raise self._late(operation.operation, task) from None

    def settle(self, client: Any, resource: str, task: str) -> None:
        """Wait for all that is under way on a resource, which an earlier try may have begun, however it ends.

        Raises:
            ServiceError: If it does not end in time.
        """
        from google.api_core.exceptions import RetryError

        def ended(name: str) -> None:
            if not client.get_operation({"name": name}, **reading()).done:
                raise _UnderWayError

        polling = _polling().with_predicate(lambda error: isinstance(error, _UnderWayError))
        with reaching(task):
            for entry in _operations(client, resource):
                if not entry.done:
                    try:
                        polling.with_timeout(self.max_seconds)(ended)(entry.name)
                    except RetryError:
                        raise self._late(entry, task) from None

    def _late(self, operation: operations_pb2.Operation, task: str) -> ServiceError:
        method = operation.metadata.TypeName().rpartition(".")[2].removesuffix("OperationMetadata")
        return ServiceError(
            f"Vertex AI must {task} within {self.max_seconds:g} s; its {method} goes on, as {operation.name}.",
            "That moves neither requests nor aliases. Run it again: it waits for that and completes the rest; give a "
            "greater max_seconds if it takes so long.",
        )


class _UnderWayError(Exception):
    """An operation has not ended yet."""


def _operations(client: Any, resource: str) -> Iterator[Any]:
    """Yield the operations on a resource; none where there is no such resource."""
    from google.api_core import exceptions

    token = ""
    while True:
        try:
            page = client.list_operations({"name": resource, "page_token": token}, **reading())
        except exceptions.NotFound:
            return
        yield from page.operations
        token = page.next_page_token
        if not token:
            return


def reading() -> dict[str, Any]:
    """Return how to call what changes nothing: again for at most a minute while the service cannot be reached."""
    return {"retry": _retry(), "timeout": CALL_SECONDS}


def _retry() -> Retry:
    from google.api_core.exceptions import ServiceUnavailable
    from google.api_core.retry import Retry

    def passes(error: Exception) -> bool:
        return isinstance(error, ServiceUnavailable) and NO_TOKEN not in str(error)

    return Retry(passes, initial=0.2, maximum=10.0, timeout=60.0)


def _polling() -> Retry:
    from google.api_core.future import polling

    return polling.DEFAULT_POLLING.with_delay(initial=0.1, maximum=20.0, multiplier=1.5)


@contextmanager
def reaching(task: str) -> Iterator[None]:
    """Turn what Google's clients raise within the block into one sentence, and a hint that says what to do.

    Args:
        task: What Vertex AI is to do, as in `Vertex AI must <task>`.

    Raises:
        ServiceError: If Vertex AI refuses, fails or cannot be reached.
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except HallmarkError:
        raise
    except exceptions.GoogleAPICallError as error:
        code = _code(error)
        answer = next(iter((error.message or "").splitlines()), "")
        if NO_TOKEN in answer:
            raise _no_credentials(task, answer) from error
        raise ServiceError(f"Vertex AI must {task}; it answered {code}: {answer}", _hint(code, answer)) from error
    except exceptions.RetryError as error:
        raise ServiceError(f"Vertex AI must {task}; it could not be reached: {error.cause}.", _AGAIN) from error
    except GoogleAuthError as error:
        raise _no_credentials(task, str(error).splitlines()[0]) from error


def _no_credentials(task: str, reason: str) -> ServiceError:
    return ServiceError(
        f"Vertex AI must {task}; there are no credentials that it takes: {reason}", _HINTS["UNAUTHENTICATED"]
    )


def _code(error: Any) -> str:
    """Return the status of an error as the service names it."""
    if error.grpc_status_code is not None:
        return str(error.grpc_status_code.name)
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).upper()


def _hint(code: str, answer: str) -> str:
    if code == "PERMISSION_DENIED":
        if "it is disabled" in answer:
            return "Turn the API on: `gcloud services enable aiplatform.googleapis.com`."
        named = re.search(r"\b(([a-z]+)\.[a-zA-Z]+)\.[a-zA-Z]+\b", answer)
        kind, service = named.groups() if named else ("", "")
        role = _ROLES.get(kind) or _ROLES.get(service, _ROLES["aiplatform"])
        return f"Give the account that runs this {role}; docs/vertex.md lists every role."
    return _HINTS.get(code, _AGAIN)
