"""What a component or a pipeline takes and gives, read from its compiled spec."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

TYPES = {
    "NUMBER_INTEGER": "int",
    "NUMBER_DOUBLE": "float",
    "STRING": "str",
    "BOOLEAN": "bool",
    "LIST": "list",
    "STRUCT": "dict",
    "TASK_FINAL_STATUS": "task final status",
}
"""How the types of a spec are written for people."""


@dataclass(frozen=True)
class Field:
    """One input or output.

    Attributes:
        name: Its name.
        type: `int`, `float`, `str`, `bool`, `list`, `dict`, or the artifact's type, such as `Dataset`.
        artifact: Whether it is an artifact.
        required: Whether a caller must give it.
        default: What it is when not given; None when it is then absent.
        description: What it is, on one line.
    """

    name: str
    type: str
    artifact: bool
    required: bool
    default: Any
    description: str


def signature(definitions: Message | dict[str, Any]) -> list[Field]:
    """Return the inputs or outputs of a spec's `inputDefinitions` or `outputDefinitions`, the required ones first,
    artifacts before parameters, by name.

    Args:
        definitions: The message, or the same as a JSON value.
    """
    value = definitions if isinstance(definitions, dict) else json_format.MessageToDict(definitions)
    fields = [
        Field(
            name=name,
            type=entry["artifactType"]["schemaTitle"].removeprefix("system."),
            artifact=True,
            required=not entry.get("isOptional", False),
            default=None,
            description=_line(entry),
        )
        for name, entry in value.get("artifacts", {}).items()
    ]
    for name, entry in value.get("parameters", {}).items():
        kind = TYPES[entry["parameterType"]]
        fields.append(
            Field(
                name=name,
                type=kind,
                artifact=False,
                required=not entry.get("isOptional", False) and kind != "task final status",
                default=_default(kind, entry.get("defaultValue")),
                description=_line(entry),
            )
        )
    return sorted(fields, key=lambda field: (not field.required, not field.artifact, field.name))


def _default(kind: str, value: Any) -> Any:
    """Return a whole number as such, and a mapping in the order of its keys, which a spec does not keep."""
    if kind == "int" and value is not None:
        return int(value)
    return json.loads(json.dumps(value, sort_keys=True))


def _line(entry: dict[str, Any]) -> str:
    return " ".join(entry.get("description", "").split())
