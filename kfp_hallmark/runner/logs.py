"""What the log of a step says of its end."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from kfp_hallmark.tracking import without_password

_BYTES = 20_000
"""How much of a log is read at the most: it may be of any size, and its lines too."""


def last_lines(path: Path, most: int) -> list[str]:
    """Return the end of a log, which may hold anything, without what would steer a terminal."""
    return _lines(path, 0)[-most:]


def failure(path: Path, start: int, code: int) -> str:
    """Return why a step failed: its last error, with the reasons it lists and the hint it gives, else how it ended.

    Args:
        path: Its log.
        start: Where in the log this attempt begins.
        code: The exit code.
    """
    lines = _lines(path, start)
    traces = [index for index, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    # The frames are indented, the error is not.
    told = [line for line in lines[traces[-1] + 1 :] if line and not line.startswith(" ")] if traces else []
    if not told:
        return f"It ended with exit code {code}{_signal(code)}."
    error = re.sub(r"^(\w+\.)+(?=\w)", "", told[0])
    return without_password("\n".join([error, *(line for line in told[1:] if line.startswith(("- ", "Hint: ")))]))


def _lines(path: Path, start: int) -> list[str]:
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(start, path.stat().st_size - _BYTES))
        text = file.read().decode("utf-8", errors="replace")
    return ["".join(sign for sign in line if sign.isprintable()) for line in text.rstrip().splitlines()]


def _signal(code: int) -> str:
    """Return the name of the signal by which a process, or the shell before it, says that it was ended."""
    try:
        return f" ({signal.Signals(-code if code < 0 else code - 128).name})"
    except ValueError:
        return ""
