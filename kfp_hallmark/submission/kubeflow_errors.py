"""What goes wrong between us and Kubeflow Pipelines, in one sentence with what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from kfp_hallmark.errors import HallmarkError, ServiceError
from kfp_hallmark.settings import Kubeflow
from kfp_hallmark.submission.service import TransientError

MAX_MESSAGE = 600
"""How much of a service's own words is repeated."""

_IDENTITY = {
    "none": "Say in kubeflow.auth how to tell it who asks.",
    "bearer": "The token may have expired: put a new one into {variable}.",
    "cookie": "The session may have ended: put a new cookie into {variable}.",
    "service_account": "The pod's token must be for the audience that the API expects, pipelines.kubeflow.org.",
}


class UnknownError(ServiceError):
    """The service does not know what was asked for."""


class ConflictError(ServiceError):
    """The service has something of that name already."""


class LostError(TransientError):
    """The service may have done what it was asked for: it failed at it, or its answer did not arrive."""


class UnreadableError(ServiceError):
    """The service did what it was asked for, and its answer cannot be read."""


@contextmanager
def told(what: str, settings: Kubeflow) -> Iterator[None]:
    """Turn what KFP's client raises into one of Hallmark's errors.

    Args:
        what: What was asked for, as `start the run`.
        settings: Where the API is, and how it was told who asks.
    """
    import urllib3
    from kfp_server_api import ApiException

    api = f"The Kubeflow Pipelines API at {settings.host}"
    try:
        yield
    except HallmarkError:
        raise
    except ApiException as error:
        if not error.status:
            raise _untrusted(api) from None
        raise _refusal(api, what, error, settings) from None
    except urllib3.exceptions.HTTPError as error:
        raise _unreachable(api, error) from None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UnreadableError(
            f"{api} must answer as Kubeflow Pipelines 2 does; its answer cannot be read ({type(error).__name__}).",
            "Check kubeflow.host, and that its version is 2.0 or later.",
        ) from None


def require_api(response: Any, settings: Kubeflow) -> None:
    """Raise `ServiceError` unless a response is the API's: a login page is answered with success.

    Raises:
        ValueError: If it is in JSON, but no object, which the client would take for an empty one.
    """
    if (response.getheader("content-type") or "").startswith("application/json"):
        if not isinstance(json.loads(response.data or "{}"), dict):
            raise ValueError("no object")
        return
    raise ServiceError(
        f"The Kubeflow Pipelines API at {settings.host} must answer in JSON; it sent a page, as for a login.",
        f"{_identity(settings)} Or check kubeflow.host: behind Kubeflow's gateway it ends in /pipeline.",
    )


def _refusal(api: str, what: str, error: Any, settings: Kubeflow) -> ServiceError:
    said, is_api = _message(error.body)
    told = f": {said}" if said else ""
    place = f" in the namespace {settings.namespace!r}" if settings.namespace else ""
    if error.status == HTTPStatus.UNAUTHORIZED:
        return ServiceError(f"{api} must know who asks it to {what}; it does not (401).", _identity(settings))
    if error.status == HTTPStatus.FORBIDDEN:
        return ServiceError(
            f"{api} must allow you to {what}{place}; it refuses (403){told}",
            "Ask for the role kubeflow-edit there, or set kubeflow.namespace to a profile of yours.",
        )
    # The API's gateway says no more than this of a path that is none of its own.
    if error.status == HTTPStatus.NOT_FOUND and is_api and said != "Not Found.":
        return UnknownError(f"{api} must have what it is asked for to {what}{place}{told}")
    if error.status == HTTPStatus.NOT_FOUND:
        return ServiceError(
            f"{api} must be there; there is no API of version 2 at that address (404).",
            "Check kubeflow.host: behind Kubeflow's gateway it ends in /pipeline; the path /apis is not part of it.",
        )
    if error.status == HTTPStatus.CONFLICT:
        return ConflictError(f"{api} must be free to {what}{place}; the name is taken{told}")
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return TransientError(f"{api} must be ready to {what}; it is not ({error.status}){told}", "Try again later.")
    remedy = _remedy(said)
    # The API answers 500 also to what it refuses.
    if error.status < HTTPStatus.INTERNAL_SERVER_ERROR or error.status == HTTPStatus.NOT_IMPLEMENTED or remedy:
        return ServiceError(f"{api} must {what}{place}; it refuses ({error.status}){told}", remedy)
    return LostError(f"{api} must be able to {what}{place}; it is not ({error.status}){told}", "Try again later.")


def _remedy(said: str) -> str | None:
    """Return what to do about a refusal that is known by its words."""
    words = said.lower()
    if "empty namespace" in words:
        return "This installation serves several users: set kubeflow.namespace to your profile's."
    if "pipeline spec" in words or "platform spec" in words or "proto:" in words:
        return "`hallmark lint FILE.yaml` says what does not run on which version; else update Kubeflow Pipelines."
    return None


def _message(body: Any) -> tuple[str, bool]:
    """Return what the API said, on one line, and whether it was the API that said it."""
    try:
        value = json.loads(body)
        text = " ".join(str(value["message"]).split())
    except (TypeError, ValueError, KeyError):
        return "", False
    short = text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"
    return short if short.endswith((".", "…")) else f"{short}.", True


def _untrusted(api: str) -> ServiceError:
    return ServiceError(
        f"{api} must be reached safely; its certificate is not one to trust, or it speaks no TLS.",
        "Name your organisation's certificates in kubeflow.certificates, or begin kubeflow.host with http://.",
    )


def _unreachable(api: str, error: Exception) -> HallmarkError:
    import urllib3

    cause = getattr(error, "reason", error)
    if isinstance(cause, urllib3.exceptions.SSLError):
        return _untrusted(api)
    if isinstance(cause, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ProxyError):
        return TransientError(
            f"{api} must be reachable; it is not ({_cause(cause)}).",
            "Check kubeflow.host, and that the port-forward or the network to it is up.",
        )
    kind = TransientError if isinstance(cause, urllib3.exceptions.ConnectTimeoutError) else LostError
    if isinstance(cause, urllib3.exceptions.TimeoutError):
        return kind(f"{api} must answer in time; it did not.", "Try again later.")
    return kind(f"{api} must answer; the connection ended before it did.", "Try again later.")


def _cause(error: BaseException) -> str:
    text = str(error).rpartition(": ")[2] or type(error).__name__
    return text.partition("(")[0].strip() or type(error).__name__


def _identity(settings: Kubeflow) -> str:
    return _IDENTITY[settings.auth].format(variable=settings.secret_variable)
