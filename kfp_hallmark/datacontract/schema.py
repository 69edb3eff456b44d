"""The schema of a contract: TFDV's Schema, read from its text format and held against what else the contract says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.data_contract import DataContract
from kfp_hallmark.contracts.dataset import repeated_names
from kfp_hallmark.errors import InputError, nearest

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

WIDTH = 160
"""How long a line of a schema's text may be."""
KINDS = {"integer": "whole numbers", "boolean": "booleans", "time": "dates or times"}
"""What a feature of type INT may hold, by the name of a column's type, as a reader says it."""
TIMES = "type: INT time_domain { integer_format: UNIX_MICROSECONDS }"
"""How a schema says that a feature holds dates or times."""


def parse_schema(text: str, file: str = "contract") -> schema_pb2.Schema:
    """Read a TFDV schema from its text format.

    Args:
        text: The schema.
        file: The file that it is in, as errors call it.

    Raises:
        InputError: If it is none, a feature is there twice or nameless, or a domain that one names or needs is not.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        schema = text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise InputError(
            f"The schema of {file!r} must be TFDV's Schema in text format; it cannot be read ({error}).",
            "Line and column are counted from the schema's first line; `hallmark contract infer` writes such a schema.",
        ) from error
    names = [feature.name for feature in schema.feature]
    wrong = [""] if "" in names else repeated_names(names)
    if wrong:
        raise InputError(f"The features of the schema of {file!r} must have names, each once; got {wrong[0]!r}.")
    domains = [domain.name for domain in schema.string_domain]
    for feature in schema.feature:
        if feature.HasField("domain") and feature.domain not in domains:
            raise InputError(
                f"The domain of {feature.name!r} must be in the schema of {file!r}; got {feature.domain!r}.",
                nearest(feature.domain, domains),
            )
        listed = feature.HasField("domain") or feature.HasField("string_domain")
        if feature.distribution_constraints.HasField("min_domain_mass") and not listed:
            raise InputError(
                f"{feature.name!r} must have a domain of texts to have a min_domain_mass in the schema of {file!r}.",
                "Where a list of texts is taken out of a schema, its distribution_constraints go with it.",
            )
    return schema


def integer_kind(feature: schema_pb2.Feature) -> str:
    """Return what a feature of type INT holds, one of `KINDS`: TFDV knows booleans and times as whole numbers."""
    if feature.time_domain.integer_format == feature.time_domain.UNIX_MICROSECONDS:
        return "time"
    return "boolean" if feature.HasField("bool_domain") else "integer"


def schema_text(schema: schema_pb2.Schema) -> str:
    """Return a schema in text format, a feature on a line where it fits, for people to read and compare."""
    from google.protobuf import text_format

    lines = []
    for feature in schema.feature:
        line = f"feature {{ {text_format.MessageToString(feature, as_one_line=True, as_utf8=True)} }}"
        short = len(line) <= WIDTH
        lines.append(line if short else text_format.MessageToString(type(schema)(feature=[feature]), as_utf8=True))
    rest = type(schema)()
    rest.CopyFrom(schema)
    rest.ClearField("feature")
    lines.append(text_format.MessageToString(rest, as_utf8=True))
    return "".join(f"{line.rstrip()}\n" for line in lines if line)


def contract_schema(contract: DataContract) -> schema_pb2.Schema:
    """Return a contract's schema, having checked that it has the columns that the contract names.

    Raises:
        InputError: If the schema cannot be read, lacks a column that is named, or has one that is forbidden.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = parse_schema(contract.schema, contract.name)
    names = [feature.name for feature in schema.feature]
    for part, columns in contract.columns().items():
        for column in columns:
            if column not in names:
                raise InputError(
                    f"{part} of {contract.name!r} must name features of its schema; got {column!r}.",
                    nearest(column, names),
                )
    for feature in schema.feature:
        if feature.name in contract.max_gap_hours and (
            feature.type != schema_pb2.INT or integer_kind(feature) != "time"
        ):
            raise InputError(
                f"max_gap_hours of {contract.name!r} must name features of dates or times; {feature.name!r} is none.",
                f"Say so in its schema: {TIMES}.",
            )
    for column in forbidden_among(contract, names):
        raise InputError(f"The schema of {contract.name!r} must not have what is forbidden; it has {column!r}.")
    return schema


def forbidden_among(contract: DataContract, names: Any) -> list[str]:
    """Return which of some columns a contract forbids, in whatever case they are written."""
    forbidden = {name.casefold() for name in contract.forbidden}
    return [name for name in names if name.casefold() in forbidden]
