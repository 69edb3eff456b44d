"""The registration: which version of which registered model a model became.

    {"schema": "hallmark/registration/v1", "name": "income", "version": "3", "uri": "models:/income/3",
     "digest": "sha256:...", "run_id": "...", "created": "2026-11-21T05:40:00Z",
     "vertex": "projects/123/locations/europe-west4/models/income-1f0c5a3e@3"}

`vertex` is there when the version is in Vertex AI's Model Registry too.
The version carries the digest as the tag `hallmark.digest`; a version without it was not registered by Hallmark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.digest import is_digest
from kfp_hallmark.contracts.documents import now, parse_time, read_json, require_form
from kfp_hallmark.errors import InputError, IntegrityError

SCHEMA = "hallmark/registration/v1"

DIGEST_TAG = "hallmark.digest"
EXPERIMENT_TAG = "hallmark.experiment_hash"
DATASET_TAG = "hallmark.dataset"
SOURCES_TAG = "hallmark.sources"
DECISION_TAG = "hallmark.decision"
DECISION_DIGEST_TAG = "hallmark.decision_digest"
VERDICT_TAG = "hallmark.verdict."
"""The tags of a version; the last is followed by a gate's name."""

_VERTEX_NAME = r"projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/models/[A-Za-z0-9_-]+@[1-9][0-9]*"


def require_model_name(value: object) -> str:
    """Return a registered model's name that can also name a folder.

    Raises:
        InputError: If it is anything but letters, digits, `.`, `_`, `-` and spaces, a letter or digit first and last.
    """
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9 ._-]{0,98}[A-Za-z0-9])?", value):
        raise InputError(
            f"model_name must be at most 100 letters, digits, dots, hyphens, underscores and spaces, a letter or "
            f"digit first and last; got {value!r}."
        )
    return value


def require_version(value: object) -> str:
    """Return a version's number as MLflow writes it.

    Raises:
        InputError: If it is not a positive number in digits.
    """
    if not isinstance(value, str) or not re.fullmatch(r"[1-9][0-9]{0,17}", value):
        raise InputError(f"version must be a positive number in digits; got {value!r}.")
    return value


def require_alias(value: object) -> str:
    """Return an alias that MLflow takes.

    Raises:
        InputError: If it is anything but letters, digits, `_` and `-`, or is reserved: `latest`, `v1`.
    """
    good = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,100}", value)
    if not good or re.fullmatch(r"latest|v\d+", str(value), re.IGNORECASE):
        raise InputError(
            f"alias must be letters, digits, hyphens and underscores, and not latest or v and a number; got {value!r}."
        )
    return str(value)


@dataclass(frozen=True)
class Registration:
    """Which version of which registered model a model became.

    Attributes:
        name: The registered model.
        version: The version's number, in digits.
        digest: The model's digest.
        run_id: The MLflow run that holds the version's files.
        created: When it was registered, ISO 8601 in UTC.
        vertex: The version's resource name in Vertex AI's Model Registry, with `@version`; None when it is not there.
    """

    name: str
    version: str
    digest: str
    run_id: str
    created: str = field(default_factory=now)
    vertex: str | None = None

    def __post_init__(self) -> None:
        require_model_name(self.name)
        require_version(self.version)
        if not is_digest(self.digest):
            raise InputError(f"digest must be sha256 and 64 hexadecimal digits; got {self.digest!r}.")
        if not isinstance(self.run_id, str):
            raise InputError(f"run_id must be text; got {self.run_id!r}.")
        if self.vertex is not None and not re.fullmatch(_VERTEX_NAME, str(self.vertex)):
            raise InputError(f"vertex must name a version in a Model Registry; got {self.vertex!r}.")
        parse_time(self.created)

    @property
    def uri(self) -> str:
        """The version as MLflow loads it."""
        return f"models:/{self.name}/{self.version}"

    def to_json(self) -> dict[str, Any]:
        """Return the registration as a JSON value."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "version": self.version,
            "uri": self.uri,
            "digest": self.digest,
            "run_id": self.run_id,
            "created": self.created,
            **({} if self.vertex is None else {"vertex": self.vertex}),
        }

    @classmethod
    def read(cls, path: str | Path) -> Registration:
        """Read a registration.

        Raises:
            MissingInputError: If there is no such file.
            IntegrityError: If it is not whole.
        """
        value = read_json(path, SCHEMA)
        try:
            found = cls(
                value["name"],
                value["version"],
                value["digest"],
                value["run_id"],
                value["created"],
                value.get("vertex"),
            )
            require_form(value, found.to_json())
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"The registration {str(path)!r} must be a whole {SCHEMA}; {error}.") from error
        return found
