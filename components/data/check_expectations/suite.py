"""A suite of expectations as Great Expectations (GX) saves it; what would run code or reach elsewhere is refused."""

from __future__ import annotations

import ast
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kfp_hallmark.errors import InputError, MissingInputError, nearest
from kfp_hallmark.storage import advice, reading, shown

QUERIES = (
    "unexpected_rows_expectation",
    "expect_query_results_to_match_comparison",
    "expect_table_row_count_to_equal_other_table",
)
"""The expectations that ask a database."""
SAID = ("type", "kwargs", "meta", "notes", "description", "severity")
"""What is taken of an expectation; the rest is what GX keeps of former runs."""
TELLING = ("result_format", "catch_exceptions")
"""Arguments that say what is told of the records."""
PLAIN = (
    *(ast.Expression, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop, ast.UnaryOp, ast.unaryop),
    *(ast.BinOp, ast.BitAnd, ast.BitOr, ast.Add, ast.Sub, ast.Mult, ast.Div),
    *(ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple),
)
"""What a condition may be made of that pandas evaluates: names, values, comparisons; no calls and no attributes."""


@dataclass(frozen=True)
class Suite:
    """A suite that can be run.

    Attributes:
        name: Its name.
        digest: SHA-256 of the file.
        expectations: What it asks for, as GX saves it; `id` is a UUID of the place, from 1.
    """

    name: str
    digest: str
    expectations: Sequence[Mapping[str, Any]]


def read_suite(uri: str) -> Suite:
    """Read a suite.

    Raises:
        MissingInputError: If there is none.
        InputError: If it cannot be read, is empty, or holds an expectation that is unknown, asks a database or would
            run code.
    """
    content = _content(uri)
    try:
        value = json.loads(content, parse_constant=_refuse)
    except (RecursionError, ValueError) as error:
        raise InputError(f"suite_uri must be a suite of expectations in JSON; {shown(uri)!r} is none.") from error
    entries = _entries(value)
    expectations = [_expectation(entry, f"Expectation {place}", place) for place, entry in enumerate(entries, 1)]
    return Suite(value["name"], f"sha256:{hashlib.sha256(content).hexdigest()}", expectations)


def _refuse(constant: str) -> None:
    """Raise ValueError: NaN and infinities are no JSON."""
    raise ValueError(f"{constant} is no number")


def _content(uri: str) -> bytes:
    import fsspec

    try:
        with reading("suite_uri", uri), fsspec.open(uri, "rb") as file:
            return bytes(file.read())
    except FileNotFoundError as error:
        raise MissingInputError(
            f"suite_uri must be a suite of expectations; got {shown(uri)!r}, where none is.", advice(uri)
        ) from error


def _entries(value: Any) -> list[dict[str, Any]]:
    """Return the expectations of a suite's JSON value."""
    if isinstance(value, dict) and "expectation_suite_name" in value:
        raise InputError(
            "The suite must be as Great Expectations 1 saves it; it is of an earlier one.",
            "Rename expectation_suite_name to name, and in each expectation expectation_type to type; then see what "
            "the arguments are called now.",
        )
    entries = value.get("expectations") if isinstance(value, dict) else None
    if not isinstance(entries, list) or not isinstance(value.get("name"), str) or not value["name"]:
        raise InputError("The suite must be an object with a name and a list of expectations; it is not.")
    if not entries:
        raise InputError(f"The suite {value['name']!r} must hold at least one expectation; it holds none.")
    return entries


def _expectation(entry: Any, what: str, place: int) -> dict[str, Any]:
    """Return an expectation, having made sure that GX knows it and that it does no more than look at the dataset."""
    formed = isinstance(entry, dict) and isinstance(entry.get("type"), str) and isinstance(entry.get("kwargs"), dict)
    if not formed:
        raise InputError(f"{what} of the suite must be an object with a type and kwargs; it is not.")
    kind = entry["type"]
    if kind in QUERIES:
        raise InputError(
            f"{what} of the suite must look at the dataset; {kind} asks a database.",
            "Run it where the database is, and keep it out of this suite.",
        )
    kwargs = {name: value for name, value in entry["kwargs"].items() if name not in TELLING}
    kept = {name: entry[name] for name in SAID if name in entry} | {"kwargs": kwargs, "id": str(uuid.UUID(int=place))}
    for reference in _references(kwargs.get("json_schema")):
        if not reference.startswith("#"):
            raise InputError(f"The JSON schema of {what.lower()} must refer to itself alone; it refers elsewhere.")
    for condition in _conditions(getattr(_built(kept, what), "row_condition", None)):
        _require_plain(condition, what)
    return kept


def _built(entry: dict[str, Any], what: str) -> Any:
    """Return an expectation as GX's object."""
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.exceptions import ExpectationNotFoundError, GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    try:
        return ExpectationConfiguration(**entry).to_domain_obj()
    except ExpectationNotFoundError as error:
        known = list_registered_expectation_implementations()
        raise InputError(
            f"{what} of the suite must be one of Great Expectations' own; got {entry['type']!r}.",
            nearest(entry["type"], known) or "Expectations of one's own are code, which is not run.",
        ) from error
    except ValidationError as error:
        raise InputError(
            f"{what} of the suite, {entry['type']}, must have arguments that suit it; {wrong(error)}."
        ) from error
    except (GreatExpectationsError, RecursionError) as error:
        raise InputError(f"{what} of the suite, {entry['type']}, must be whole; {error}.") from error


def wrong(error: Any) -> str:
    """Return which arguments GX refuses, and why."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


def _references(schema: Any) -> Iterator[str]:
    """Give what a JSON schema refers to, at any depth: a parameter too, whose value may refer elsewhere."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name in ("$ref", "$dynamicRef", "$recursiveRef"):
                yield str(value)
            elif name == "$PARAMETER":
                yield name
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _conditions(condition: Any) -> Iterator[Any]:
    """Give the single conditions that one of rows is made of."""
    if condition is not None and hasattr(condition, "conditions"):
        for part in condition.conditions:
            yield from _conditions(part)
    elif condition is not None:
        yield condition


def _require_plain(condition: Any, what: str) -> None:
    """Raise `InputError` unless a condition of rows does no more than compare: pandas would run what is in it."""
    text = getattr(condition, "pass_through_filter", None)
    if text is None:
        plain = "`" not in condition.column.name
    else:
        try:
            plain = all(isinstance(node, PLAIN) for node in ast.walk(ast.parse(text.strip(), mode="eval")))
        except (RecursionError, SyntaxError, ValueError):
            plain = False
    if not plain:
        raise InputError(
            f"The row_condition of {what.lower()} must do no more than compare columns with values; it may run code.",
            "Say it by Great Expectations' Column, as in Column('age') > 17.",
        )
