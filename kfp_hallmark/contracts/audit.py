"""The audit log: one JSON document a line, each holding the hash of the line before it.

    {"schema": "hallmark/audit/v1", "index": 0, "time": "...", "previous": "sha256:000...", "record": {...},
     "hash": "sha256:..."}

`hash` is the SHA-256 of the line's canonical JSON without `hash`. A changed, moved, added or removed line breaks the
chain, unless every line after it is written anew too. That, lines cut off or forged at the end, and a log removed as a
whole do not show by the log alone, for no key protects it. Whoever must detect these keeps the last hash elsewhere and
gives it to `verify`, which vouches for all lines up to the one with that hash.
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.documents import canonical, finite, now, value_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

SCHEMA = "hallmark/audit/v1"
PATH_VARIABLE = "HALLMARK_AUDIT_LOG"
"""The environment variable that names the log when no path is given."""

FIELDS = frozenset({"schema", "index", "time", "previous", "record", "hash"})
GENESIS = "sha256:" + "0" * 64
"""What the first line names as the hash before it."""


def append(path: str | Path, record: Mapping[str, Any]) -> str:
    """Append a record to a log, under a lock, and return the new line's hash.

    The log is made when it is not there. Before a line is added, the whole log is verified: nothing is built on a
    broken chain.

    Raises:
        InputError: If the path is a URI: only a local or mounted file can be locked and appended to. If the record
            is no JSON value.
        IntegrityError: If the log is broken.
    """
    if "://" in str(path):
        raise InputError(
            f"The audit log must be a local or mounted file; got {str(path)!r}.",
            "On a cluster, mount a volume and name a path on it.",
        )
    try:
        entry = json.loads(canonical(finite(dict(record))))
    except (RecursionError, TypeError, ValueError) as error:
        raise InputError(f"A record of the audit log must be a JSON value; {error}.") from error
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        lines = _follow(file.read(), path)
        line = {
            "schema": SCHEMA,
            "index": len(lines),
            "time": now(),
            "previous": _last_hash(lines),
            "record": entry,
        }
        line["hash"] = value_digest(line)
        _write(file, canonical(line) + b"\n")
    return str(line["hash"])


def _write(file: io.FileIO, line: bytes) -> None:
    """Append a line, and leave no half of it: one would keep everybody from appending to the log ever again."""
    size = file.seek(0, os.SEEK_END)
    try:
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(size)
        raise


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
    lines = records(path)
    if expected_hash not in (None, GENESIS, *(line["hash"] for line in lines)):
        raise IntegrityError(f"The audit log {str(path)!r} must hold the line {expected_hash}; it was cut or replaced.")
    return len(lines), _last_hash(lines)


def records(path: str | Path) -> list[dict[str, Any]]:
    """Verify a log and return its lines."""
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"An audit log must be a file; got {str(path)!r}.")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        return _follow(file.read(), path)


def _last_hash(lines: list[dict[str, Any]]) -> str:
    return lines[-1]["hash"] if lines else GENESIS


def _follow(content: bytes, path: Path) -> list[dict[str, Any]]:
    """Follow the chain and return the lines."""
    if content and not content.endswith(b"\n"):
        raise IntegrityError(f"The audit log {str(path)!r} must end with a whole line; the last one is cut.")
    lines: list[dict[str, Any]] = []
    for raw in content.split(b"\n")[:-1]:
        try:
            line = json.loads(raw)
            problem = _problem(raw, line, len(lines), _last_hash(lines))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            problem = "cannot be read"
        if problem:
            raise IntegrityError(f"The audit log {str(path)!r} must be unbroken; line {len(lines) + 1} {problem}.")
        lines.append(line)
    return lines


def _problem(raw: bytes, line: dict[str, Any], index: int, previous: str) -> str | None:
    """Return what is wrong with a line, or None."""
    if canonical(line) != raw or line.keys() != FIELDS:
        return "is not in the canonical form"
    if line["schema"] != SCHEMA or canonical(line["index"]) != canonical(index):
        return "is not the one that belongs there"
    if line["previous"] != previous:
        return "does not follow the line before it"
    if value_digest({key: value for key, value in line.items() if key != "hash"}) != line["hash"]:
        return "was changed"
    return None
