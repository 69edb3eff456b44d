"""What a person must say about a model or a dataset, as a YAML file, checked field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias
from unicodedata import category

from kfp_hallmark.contracts.documents import NO_YAML
from kfp_hallmark.errors import InputError, MissingInputError, nearest
from kfp_hallmark.storage import advice, reading, shown

TEXT, TEXTS, DAY = "text", "a list of texts", "a date (YYYY-MM-DD)"
RISKS, GROUPS = "a list of risks", "a list of groups"
PARTS = {RISKS: ("risk", "mitigation"), GROUPS: ("group", "benefits", "harms", "mitigation")}
"""The fields of each entry of a list; the first must be there."""

MAX_VERSION = 1024
"""How many characters CycloneDX allows a version."""

Fields: TypeAlias = Mapping[str, tuple[str, str]]
"""Every field with its form and what it says; all must be said, and one that is not is named as missing."""


@dataclass(frozen=True)
class Statement:
    """What a person said.

    Attributes:
        fields: What must be said.
        said: Field to what was said of it.
    """

    fields: Fields
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """The fields that were not said, in their order."""
        return [name for name in self.fields if name not in self.said]

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; empty when it was not said."""
        return list(self.said.get(name, []))


def read_statement(uri: str | None, fields: Fields) -> Statement:
    """Read a statement; without a URI nothing was said. A field that is null or empty was not said.

    Args:
        uri: Path or fsspec URI of a YAML file.
        fields: What must be said; a statement holds no other field.

    Raises:
        MissingInputError: If there is no such file.
        InputError: If it is no YAML mapping, or a field is unknown or of another form.
    """
    if uri is None:
        return Statement(fields)
    import yaml

    content = _fetched(uri)
    try:
        value = yaml.safe_load(content)
    except (yaml.YAMLError, *NO_YAML) as error:
        raise InputError(f"statement_uri must be a YAML file; {shown(uri)!r} cannot be read as one.") from error
    if not isinstance(value, dict):
        raise InputError(f"The statement must be a YAML mapping; got {type(value).__name__}.")
    mapping: Any = yaml.compose(content, yaml.SafeLoader)
    names = [key.value for key, _ in mapping.value]
    for name in value:
        if names.count(name) > 1:
            raise InputError(f"The statement must hold each field once; it holds {name!r} more often.")
        if name not in fields:
            raise InputError(f"The statement must hold known fields; got {name!r}.", nearest(name, [*fields]))
    return Statement(
        fields, {name: said for name in fields if (said := _checked(name, value.get(name), fields[name][0]))}
    )


def check_early(given: Mapping[str, Any], fields: Fields) -> None:
    """Raise `InputError` for a statement on this machine that cannot be used; see `kfp_hallmark.runner.early`."""
    uri = given.get("statement_uri")
    if uri is not None and "://" not in uri:
        read_statement(uri, fields)


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


def _checked(name: str, said: Any, form: str) -> Any:
    """Return what was said of a field, None when nothing was."""
    if said is None or said == [] or said == "":
        return None
    checks: dict[str, Callable[[Any], bool]] = {
        TEXT: _is_text,
        TEXTS: lambda entry: isinstance(entry, list) and all(map(_is_text, entry)),
        DAY: _is_day,
    }
    if form in checks:
        if not checks[form](said):
            raise InputError(f"The field {name!r} of the statement must be {form}; got {_described(said)}.")
        if name == "version" and len(said) > MAX_VERSION:
            raise InputError(f"The version must have at most {MAX_VERSION:,} characters; it has {len(said):,}.")
        return str(said) if form == DAY else said
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


def _is_day(value: Any) -> bool:
    """Return whether a value is a date without a time; YAML makes one of a text that looks like it."""
    try:
        return date.fromisoformat(str(value)).isoformat() == str(value)
    except ValueError:
        return False


def _has_controls(text: str) -> bool:
    """Return whether a text has characters that no page shows: control characters and halves of others."""
    return any(category(character) in ("Cc", "Cs") and character not in "\t\r\n" for character in text)


def _described(value: Any) -> str:
    """Return what is there in place of a text or of a list of texts."""
    if isinstance(value, str) and not _is_text(value):
        return "control characters" if _has_controls(value) else "a blank text"
    wrong = [entry for entry in value if not _is_text(entry)] if isinstance(value, list) else []
    return f"a list with {_described(wrong[0])}" if wrong else type(value).__name__
