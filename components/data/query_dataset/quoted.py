"""Where in a query a database sees text, a name or a comment, in which no parameter can stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TEXT = r"""'[^']*(?:''[^']*)*'"""
_ESCAPED = r"""(?<!\w)[eE]'(?:[^'\\]|''|\\.)*'"""
_NAME = r"""\"[^"]*(?:\"\"[^"]*)*\""""
_DOLLARS = r"""(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$"""
_COMMENTS = r"""--[^\n]*|/\*.*?\*/"""

STANDARD = re.compile("|".join([_COMMENTS, _ESCAPED, _TEXT, _NAME, _DOLLARS]), re.DOTALL)
"""What PostgreSQL and DuckDB quote.
Source: https://www.postgresql.org/docs/15/sql-syntax-lexical.html"""

GOOGLE = re.compile(r"""--[^\n]*|\#[^\n]*|/\*.*?\*/|(?P<sign>'{3}|\"{3}|['"`])(?:[^\\]|\\.)*?(?P=sign)""", re.DOTALL)
"""What BigQuery quotes.
Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical"""


def quoted_parameters(query: str, database: str) -> Iterator[str]:
    """Yield the names of parameters, as SQLAlchemy's `text` takes them, that stand within quotes or a comment.

    It looks at no quotes: it binds them too, though the database then sees text where the value would be.

    Args:
        query: The query.
        database: The kind of database, as its address names it.
    """
    from sqlalchemy import text

    for part in (GOOGLE if database == "bigquery" else STANDARD).finditer(query):
        if ":" in part[0]:
            yield from text(part[0]).compile().params
