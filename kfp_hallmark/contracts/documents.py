"""What the JSON documents have in common: how they are written, read and hashed."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

NO_YAML = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What PyYAML raises, beside its `YAMLError`, for a value that is none of its kind, no UTF-8, or nested too deep."""


def now() -> str:
    """Return the present time in UTC, as `2026-11-21T05:40:00Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(value: str) -> datetime:
    """Return an ISO 8601 time as a datetime with a time zone; a time without one is taken as UTC.

    Raises:
        InputError: If the value is not such a time.
    """
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"A time must be written as in ISO 8601; got {value!r}.") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def finite(value: Any) -> Any:
    """Return a value with every NaN and infinity in it, at any depth, replaced by None, as JSON and KFP need it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value


def canonical(value: Any) -> bytes:
    """Return a JSON value as bytes that are the same for equal values: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def value_digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value's canonical form, as `sha256:<64 hex digits>`."""
    return f"sha256:{hashlib.sha256(canonical(value)).hexdigest()}"


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write a file or folder at, and move it to `path` when the block ends well.

    When the block raises, nothing is left, and what stood at `path` stays: a killed step leaves nothing that looks
    whole. A file replaces a file in one move. Where a folder is replaced, `path` is absent between two moves, so
    readers find the old one, none, or the new one, and never a mixture.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(4)
    temporary, former = (path.with_name(f".{path.name}.{mark}.{ending}") for ending in ("part", "old"))
    try:
        yield temporary
        if path.is_dir() or (path.exists() and temporary.is_dir()):
            path.replace(former)
        temporary.replace(path)
    finally:
        if former.exists() and not path.exists():
            former.replace(path)
        _remove(temporary)
        _remove(former)


def _remove(path: Path) -> None:
    """Remove a file or folder that may be absent."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON value, indented, by a temporary name and a rename."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path, schema: str) -> dict[str, Any]:
    """Read a JSON document and check which schema it says it follows.

    What two readers could take for different things is refused, as by I-JSON: a key twice in one object, a number
    that is not finite as a double, text that is no Unicode.
    Source: RFC 7493, section 2.

    Raises:
        MissingInputError: If there is no such file.
        IntegrityError: If it cannot be read as such JSON, or follows another schema.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"A {schema} document must be a file; got {str(path)!r}.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object, parse_int=_whole_number)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (OSError, RecursionError, ValueError) as error:
        raise IntegrityError(f"A {schema} document must be JSON; {str(path)!r} cannot be read as such.") from error
    if not isinstance(value, dict) or value.get("schema") != schema:
        found = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise IntegrityError(f"The document {str(path)!r} must have the schema {schema!r}; got {found!r}.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dict; a key twice is a ValueError."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice")
    return value


def _whole_number(digits: str) -> int:
    """Return a whole number; one beyond the range of a double is a ValueError."""
    if not math.isfinite(float(digits)):
        raise ValueError("a number is too great")
    return int(digits)


def require_form(value: Any, form: Any) -> None:
    """Raise ValueError unless a JSON value is the one that its document would write: no more, no less, type by type."""
    if canonical(value) != canonical(form):
        raise ValueError("its fields are not in their form, or contradict one another")
