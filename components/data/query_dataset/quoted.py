"""Where in a query a database sees text, a name or a comment, in which no parameter can stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE = r"--[^\n\r]*"
_COMMENT = r"/\*"
"""A comment's begin; `_end` says where it ends."""
_TEXT = r"'(?:[^']|'')*'"
_NAME = r'"(?:[^"]|"")*"'
_ESCAPED = r"'(?:[^'\\]|''|\\.)*'"
_GOING_ON = rf"(?:[ \t\f\v]|{_LINE})*[\n\r](?:[ \t\f\v\n\r]|{_LINE}[\n\r])*"
"""What may stand between two pieces of one text: white space with a line's end in it."""
_DOLLARS = r"\$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?)\$.*?\$(?P=tag)\$"


def _pattern(escaped: str, spaces: str, *others: str) -> re.Pattern[str]:
    """Return what finds quotes and comments as PostgreSQL has them.

    Args:
        escaped: What follows the E before text with backslashes.
        spaces: White space beyond ASCII; all else there is letters.
        others: What else is quoted.
    """
    alone = rf"(?<![A-Za-z0-9_$]|[^\x00-\x7f{spaces}])(?:[eE]{escaped}|{_DOLLARS})"
    return re.compile("|".join([_LINE, _COMMENT, alone, _TEXT, _NAME, *others]), re.DOTALL)


POSTGRESQL = _pattern(f"{_ESCAPED}(?:{_GOING_ON}{_ESCAPED})*", "")
"""What PostgreSQL quotes, where standard_conforming_strings is on.
Source: https://www.postgresql.org/docs/15/sql-syntax-lexical.html"""

DUCKDB = _pattern(_ESCAPED, r"\xa0\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff", "`(?:[^`]|``)*`")
"""What DuckDB 2 was found to quote: names in backquotes too; where text goes on, only its first piece has escapes."""

BIGQUERY = re.compile(
    rf"""{_LINE}|\#[^\n\r]*|/\*.*?\*/|(?P<sign>'{{3}}|\"{{3}}|['"`])(?:[^\\]|\\.)*?(?P=sign)""", re.DOTALL
)
"""What BigQuery quotes, where comments do not nest.
Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical"""

PATTERNS = {"postgresql": POSTGRESQL, "duckdb": DUCKDB, "bigquery": BIGQUERY}


def quoted_parameters(query: str, database: str) -> Iterator[str]:
    """Yield the names of parameters, as SQLAlchemy's `text` takes them, that stand within quotes or a comment.

    It looks at no quotes: it binds them too, though the database then sees text where the value would be.

    Args:
        query: The query.
        database: The kind of database, as its address names it.
    """
    from sqlalchemy import text

    place, pattern = 0, PATTERNS[database]
    while found := pattern.search(query, place):
        place = _end(query, found.end()) if found[0] == "/*" else found.end()
        yield from text(query[found.start() : place]).compile().params


def _end(query: str, place: int) -> int:
    """Return where a comment ends that began before a place, with all comments in it."""
    depth = 1
    for sign in re.compile(r"/\*|\*/").finditer(query, place):
        depth += 1 if sign[0] == "/*" else -1
        if depth == 0:
            return sign.end()
    return len(query)
