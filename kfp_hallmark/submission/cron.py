"""Cron expressions, as both services read them."""

from __future__ import annotations

import re
import zoneinfo

from kfp_hallmark.errors import InputError, nearest

_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day", 1, 31, []),
    ("month", 1, 12, ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("weekday", 0, 6, ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
)


def require_cron(cron: str) -> str:
    """Return a cron expression of five fields, with one blank between them.

    Raises:
        InputError: If it is none.
    """
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise InputError(
            f"cron must be minute, hour, day, month and weekday; got {cron!r}.", "`0 6 * * 1` is Mondays at six."
        )
    for text, (name, low, high, words) in zip(fields, _FIELDS, strict=True):
        value = "|".join([r"\d{1,2}", *words])
        for part in text.lower().split(","):
            match = re.fullmatch(rf"(?:[*?]|({value})(?:-({value}))?)(?:/([1-9]\d*))?", part, re.ASCII)
            ends = [end for end in match.groups()[:2] if end] if match else []
            numbers = [low + words.index(end) if end in words else int(end) for end in ends]
            if not match or numbers != sorted(numbers) or not all(low <= number <= high for number in numbers):
                raise InputError(f"The {name} of cron must be from {low} to {high}, or *; got {part!r} in {cron!r}.")
    return " ".join(fields)


def require_cron_in_zone(cron: str) -> str:
    """Return a cron expression of five fields that may have a time zone before them: `TZ=` or `CRON_TZ=` and its name.

    Raises:
        InputError: If it is none, or the time zone is not one of the IANA's.
    """
    match = re.fullmatch(r"((?:CRON_)?TZ=)(\S+) (.*)", cron.strip(), re.DOTALL)
    if not match:
        return require_cron(cron)
    prefix, zone, fields = match.groups()
    known = zoneinfo.available_timezones()
    # A machine without the database knows none; then the service alone judges.
    if known and zone not in known:
        raise InputError(
            f"The time zone of cron must be one of the IANA's, such as Europe/Berlin; got {zone!r}.",
            nearest(zone, sorted(known)),
        )
    return f"{prefix}{zone} {require_cron(fields)}"
