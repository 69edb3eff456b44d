"""The audit log: one JSON document a line, each holding the hash of the line before it.

    {"schema": "hallmark/audit/v1", "index": 0, "time": "...", "previous": "sha256:000...", "record": {...},
     "hash": "sha256:..."}

`hash` is the SHA-256 of the line's canonical JSON without `hash`. A changed, moved, added or removed line breaks the
chain; lines cut off the end do not, so whoever must detect that keeps the last hash elsewhere and gives it to `verify`.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.documents import canonical, finite, now, value_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

SCHEMA = "hallmark/audit/v1"
GENESIS = "sha256:" + "0" * 64
"""What the first line names as the hash before it."""


def append(path: str | Path, record: Mapping[str, Any]) -> str:
    """Append a record to a log, under a lock, and return the new line's hash.

    The log is made when it is not there. Before a line is added, the whole log is verified: nothing is built on a
    broken chain.

    Raises:
        InputError: If the path is a URI: only a local or mounted file can be locked and appended to.
        IntegrityError: If the log is broken.
    """
    if "://" in str(path):
        raise InputError(
            f"The audit log must be a local or mounted file; got {str(path)!r}.",
            "On a cluster, mount a volume and name a path on it.",
        )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        index, previous = _follow(file.read(), path)
        line = {
            "schema": SCHEMA,
            "index": index,
            "time": now(),
            "previous": previous,
            "record": finite(dict(record)),
        }
        line["hash"] = value_digest(line)
        file.write(canonical(line) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return str(line["hash"])


def verify(path: str | Path, expected_hash: str | None = None) -> tuple[int, str]:
    """Verify a log from its first line to its last.

    Args:
        path: The log.
        expected_hash: The hash that some line must have, kept from an earlier `append` or `verify`; it shows that the
            log was not cut short before that line.

    Returns:
        The number of lines and the hash of the last; `GENESIS` for an empty log.

    Raises:
        MissingInputError: If there is no such file.
        IntegrityError: If a line is broken, naming its number, or no line has the expected hash.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"An audit log must be a file; got {str(path)!r}.")
    content = path.read_bytes()
    count, last = _follow(content, path)
    if expected_hash is not None and expected_hash != GENESIS:
        hashes = {json.loads(line)["hash"] for line in content.splitlines()}
        if expected_hash not in hashes:
            raise IntegrityError(
                f"The audit log {str(path)!r} must hold the line {expected_hash}; it was cut or replaced."
            )
    return count, last


def records(path: str | Path) -> list[dict[str, Any]]:
    """Verify a log and return its lines."""
    verify(path)
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def _follow(content: bytes, path: Path) -> tuple[int, str]:
    """Follow the chain; return the number of lines and the last hash."""
    previous = GENESIS
    if content and not content.endswith(b"\n"):
        raise IntegrityError(f"The audit log {str(path)!r} must end with a whole line; the last one is cut.")
    lines = content.splitlines()
    for index, raw in enumerate(lines):
        problem = None
        try:
            line = json.loads(raw)
            stated = line.pop("hash")
            if canonical(line | {"hash": stated}) != raw:
                problem = "is not in the canonical form"
            elif line["schema"] != SCHEMA or line["index"] != index:
                problem = "is not the one that belongs there"
            elif line["previous"] != previous:
                problem = "does not follow the line before it"
            elif value_digest(line) != stated:
                problem = "was changed"
        except (AttributeError, KeyError, TypeError, ValueError):
            problem = "cannot be read"
        if problem:
            raise IntegrityError(f"The audit log {str(path)!r} must be unbroken; line {index + 1} {problem}.")
        previous = stated
    return len(lines), previous
