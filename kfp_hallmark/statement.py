"""What a person must say about a model, as a YAML file, checked field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unicodedata import category

from kfp_hallmark.errors import InputError, MissingInputError, nearest
from kfp_hallmark.storage import advice, reading, shown

TEXT, TEXTS, RISKS, GROUPS = "text", "a list of texts", "a list of risks", "a list of groups"
PARTS = {RISKS: ("risk", "mitigation"), GROUPS: ("group", "benefits", "harms", "mitigation")}
"""The fields of each entry of a list; the first must be there."""

FIELDS = {
    "name": (TEXT, "what the model is called"),
    "version": (TEXT, "its version"),
    "description": (TEXT, "what it does"),
    "owner": (TEXT, "who answers for it"),
    "contact": (TEXT, "where to ask"),
    "license": (TEXT, "under which terms it may be used"),
    "intended_use": (TEXTS, "what it is for"),
    "intended_users": (TEXTS, "who may use it"),
    "out_of_scope": (TEXTS, "what it is not for"),
    "training_data": (TEXT, "where its data are from and how they were collected"),
    "sensitive_data": (TEXTS, "which sensitive data it was made from"),
    "limitations": (TEXTS, "where it is known to be poor"),
    "tradeoffs": (TEXTS, "what was given up for what"),
    "human_oversight": (TEXT, "who can overrule it, and how"),
    "ethical_considerations": (RISKS, "risks and what is done against them"),
    "groups_at_risk": (GROUPS, "who may be harmed, and what is done against it"),
}
"""Every field with its form and what it says; all must be said, and one that is not is named in the card."""

MAX_VERSION = 1024
"""How many characters CycloneDX allows a version."""


@dataclass(frozen=True)
class Statement:
    """What a person said.

    Attributes:
        said: Field to what was said of it.
    """

    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """The fields that were not said, in their order."""
        return [name for name in FIELDS if name not in self.said]

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; empty when it was not said."""
        return list(self.said.get(name, []))


def read_statement(uri: str | None) -> Statement:
    """Read a statement; without a URI nothing was said. A field that is null or empty was not said.

    Raises:
        MissingInputError: If there is no such file.
        InputError: If it is no YAML mapping, or a field is unknown or of another form.
    """
    if uri is None:
        return Statement()
    import yaml

    content = _fetched(uri)
    try:
        value = yaml.safe_load(content)
    except (RecursionError, ValueError, AttributeError, KeyError, yaml.YAMLError) as error:
        raise InputError(f"statement_uri must be a YAML file; {shown(uri)!r} cannot be read as one.") from error
    if not isinstance(value, dict):
        raise InputError(f"The statement must be a YAML mapping; got {type(value).__name__}.")
    mapping: Any = yaml.compose(content, yaml.SafeLoader)
    names = [key.value for key, _ in mapping.value]
    for name in value:
        if names.count(name) > 1:
            raise InputError(f"The statement must hold each field once; it holds {name!r} more often.")
        if name not in FIELDS:
            raise InputError(f"The statement must hold known fields; got {name!r}.", nearest(name, [*FIELDS]))
    return Statement({name: said for name in FIELDS if (said := _checked(name, value))})


def _fetched(uri: str) -> bytes:
    """Return what is at a URI.

    Raises:
        MissingInputError: If nothing is there.
        InputError: If it cannot be read: by a protocol that is unknown, without credentials, or from no file.
    """
    try:
        with reading("statement_uri", uri):
            if "://" not in uri:
                return Path(uri).read_bytes()
            import fsspec

            with fsspec.open(uri, "rb") as file:
                return bytes(file.read())
    except FileNotFoundError as error:
        message = f"statement_uri must be a YAML file; got {shown(uri)!r}, where none is."
        raise MissingInputError(message, advice(uri)) from error


def _checked(name: str, value: Mapping[str, Any]) -> Any:
    """Return what was said of a field, None when nothing was."""
    said, form = value.get(name), FIELDS[name][0]
    if said is None or said == [] or said == "":
        return None
    checks: dict[str, Callable[[Any], bool]] = {
        TEXT: _is_text,
        TEXTS: lambda entry: isinstance(entry, list) and all(map(_is_text, entry)),
    }
    if form in checks:
        if not checks[form](said):
            raise InputError(f"The field {name!r} of the statement must be {form}; got {_described(said)}.")
        if name == "version" and len(said) > MAX_VERSION:
            raise InputError(f"The version must have at most {MAX_VERSION:,} characters; it has {len(said):,}.")
        return said
    parts = PARTS[form]
    if not isinstance(said, list) or not all(isinstance(entry, dict) for entry in said):
        raise InputError(f"The field {name!r} of the statement must be a list of mappings of {', '.join(parts)}.")
    for entry in said:
        for part, text in entry.items():
            if part not in parts:
                raise InputError(f"An entry of {name!r} must hold known fields; got {part!r}.", nearest(part, [*parts]))
            if not _is_text(text):
                raise InputError(f"The field {part!r} of an entry of {name!r} must be text; got {_described(text)}.")
        if parts[0] not in entry:
            raise InputError(f"Every entry of {name!r} must have the field {parts[0]!r}; one has not.")
    return said


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not _has_controls(value)


def _has_controls(text: str) -> bool:
    """Return whether a text has characters that no page shows: control characters and halves of others."""
    return any(category(character) in ("Cc", "Cs") and character not in "\t\r\n" for character in text)


def _described(value: Any) -> str:
    """Return what is there in place of a text or of a list of texts."""
    if isinstance(value, str) and not _is_text(value):
        return "control characters" if _has_controls(value) else "a blank text"
    wrong = [entry for entry in value if not _is_text(entry)] if isinstance(value, list) else []
    return f"a list with {_described(wrong[0])}" if wrong else type(value).__name__
