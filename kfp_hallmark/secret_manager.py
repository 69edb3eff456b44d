"""Fetch secrets from Google's Secret Manager into variables, then become the step's own command.

    python3 -m kfp_hallmark.secret_manager VARIABLE=projects/<p>/secrets/<name>/versions/<v> ... -- COMMAND ...

A compiled pipeline for Vertex AI has this before a step's command: the pipeline then holds the secrets' names alone,
and their values are read when the step starts, as the run's service account. It does not start when one cannot be read.
Source: https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
"""

from __future__ import annotations

import base64
import os
import sys
from typing import TYPE_CHECKING

from kfp_hallmark.errors import HallmarkError, InputError, MissingInputError

if TYPE_CHECKING:
    from requests import Session

ENDPOINT = "https://secretmanager.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
SECONDS = 30


def fetch(version: str, session: Session, endpoint: str = ENDPOINT) -> str:
    """Return the text of one version of a secret.

    Args:
        version: Its resource name, `projects/<project>/secrets/<name>/versions/<number or latest>`.
        session: Makes the request as who may read it.
        endpoint: Where Secret Manager is.

    Raises:
        MissingInputError: If it cannot be read.
    """
    import requests

    try:
        answer = session.get(f"{endpoint}/v1/{version}:access", timeout=SECONDS)
        answer.raise_for_status()
        return base64.b64decode(answer.json()["payload"]["data"], validate=True).decode()
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = f"the service says {status}" if status else type(error).__name__
        raise MissingInputError(
            f"The secret {version!r} must be readable; {reason}.",
            "The run's service account needs the role roles/secretmanager.secretAccessor on it.",
        ) from None


def main(arguments: list[str], session: Session | None = None, endpoint: str = ENDPOINT) -> None:
    """Fetch what the arguments before `--` name, and become the command behind it.

    Raises:
        InputError: If the arguments are not of that form.
        MissingInputError: If a secret cannot be read.
    """
    if "--" not in arguments or not arguments[arguments.index("--") + 1 :]:
        raise InputError("The arguments must be VARIABLE=VERSION ..., then `--`, then a command.")
    split = arguments.index("--")
    references, command = arguments[:split], arguments[split + 1 :]
    session = session or _session()
    environment = dict(os.environ)
    for reference in references:
        variable, _, version = reference.partition("=")
        environment[variable] = fetch(version, session, endpoint)
    os.execvpe(command[0], command, environment)


def _session() -> Session:
    """Return a session of the service account that the step runs as; what may pass is tried again."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
    except GoogleAuthError as error:
        raise MissingInputError(f"Secrets must be read as a service account; there is none ({error}).") from error
    session = AuthorizedSession(credentials)
    retry = Retry(total=4, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504))
    session.mount("https://", HTTPAdapter(max_retries=retry))
    return session


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except HallmarkError as failure:
        sys.exit(str(failure))
