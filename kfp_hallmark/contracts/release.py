"""The release: what a serving folder serves.

    <serving_dir>/<name>/
        release.json                             this document; replacing it is what makes another version serve
        versions/<version>-<12 hex digits>/      the model's files, as they were decided on
        decisions/<12 hex digits>/               the decision with its evidence

Versions and decisions are put there whole, by a rename, before the document names them, and stay for a roll back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.digest import Manifest, is_digest, short
from kfp_hallmark.contracts.documents import now, parse_time, read_json, require_form
from kfp_hallmark.contracts.registration import require_model_name, require_version
from kfp_hallmark.errors import IntegrityError

SCHEMA = "hallmark/release/v1"
RELEASE_FILE = "release.json"
SERVING_VARIABLE = "HALLMARK_SERVING_DIR"
"""The variable that names the folder which is served from."""


@dataclass(frozen=True)
class Release:
    """What a serving folder serves.

    Attributes:
        name: The registered model.
        version: The version's number, in digits.
        model: The model's manifest.
        decision_digest: The digest of the decision's folder.
        deployed: When it was deployed, ISO 8601 in UTC.
        previous: What was served before, as `reference` gives it; None for the first.
        traffic: The share of the requests that it got, in percent; below 100 it is a canary.
    """

    name: str
    version: str
    model: Manifest
    decision_digest: str
    deployed: str = field(default_factory=now)
    previous: Mapping[str, str] | None = None
    traffic: int = 100

    @property
    def path(self) -> str:
        """Where the model is, relative to the document's folder."""
        return self.reference["model"]

    @property
    def decision(self) -> str:
        """Where the decision is, relative to the document's folder."""
        return self.reference["decision"]

    @property
    def reference(self) -> dict[str, str]:
        """What a later release says of this one."""
        return reference_to(self.version, self.model.digest, self.decision_digest)

    def to_json(self) -> dict[str, Any]:
        """Return the release as a JSON value."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            **self.reference,
            "files": dict(self.model.files),
            "deployed": self.deployed,
            "previous": None if self.previous is None else dict(self.previous),
            **({} if self.traffic == 100 else {"traffic": self.traffic}),
        }

    @classmethod
    def read(cls, path: str | Path) -> Release:
        """Read a release; this alone does not verify the files that it names.

        Raises:
            MissingInputError: If there is no such file.
            IntegrityError: If it is not whole.
        """
        value = read_json(path, SCHEMA)
        try:
            release = cls(
                name=require_model_name(value["name"]),
                version=require_version(value["version"]),
                model=Manifest(dict(value["files"])),
                decision_digest=value["decision_digest"],
                deployed=value["deployed"],
                previous=value["previous"],
                traffic=value.get("traffic", 100),
            )
            if type(release.traffic) is not int or not 1 <= release.traffic <= 100:
                raise ValueError("its traffic is no share of the requests")
            parse_time(release.deployed)
            if (former := release.previous) is not None:
                require_form(former, reference_to(former["version"], former["digest"], former["decision_digest"]))
            require_form(value, release.to_json())
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise IntegrityError(f"The release {str(path)!r} must be a whole {SCHEMA}; {error}.") from error
        return release


def reference_to(version: str, digest: str, decision_digest: str) -> dict[str, str]:
    """Return what identifies a version that serves or served, and where it is, relative to the document's folder.

    Raises:
        ValueError: If the version is no number, or a digest none.
    """
    if not is_digest(digest) or not is_digest(decision_digest):
        raise ValueError("a digest is none")
    return {
        "version": require_version(version),
        "digest": digest,
        "model": f"versions/{version}-{short(digest)}",
        "decision": f"decisions/{short(decision_digest)}",
        "decision_digest": decision_digest,
    }
