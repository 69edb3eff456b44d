"""The data contract: one reviewed file that says what a dataset must be.

    hallmark: contract/v1
    version: 1.0.0
    description: Persons of the American Community Survey.
    max_age_hours: 24
    max_gap_hours: {interviewed: 72}
    min_rows: 50000
    keys: [[household, person]]
    drift: {max_psi: 0.25, features: {AGEP: {max_psi: 0.1}}}
    sensitive: [SEX]
    forbidden: [name]
    references: [{column: household, dataset: households.parquet, key: id}]
    rules: [start <= end, {rule: income >= 0, max_share: 0.01}]
    schema: |
      feature { name: "AGEP" type: INT presence { min_fraction: 1 min_count: 1 } }

`schema` is TFDV's Schema in text format. The page `docs/contracts/data_contract.md` describes every field.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from kfp_hallmark.contracts.documents import NO_YAML, writing
from kfp_hallmark.datacontract.rules import Rule, parse_rule
from kfp_hallmark.errors import InputError, MissingInputError, nearest

FORM = "contract/v1"
SUFFIXES = (".yaml", ".yml")
"""What the name of a contract's file ends in; any other is a bare schema."""
MAX_BYTES = 5_000_000
MAX_DEPTH = 20
DRIFT_LIMITS = ("max_stable_psi", "max_psi")
"""The limits of drift, as validate_dataset takes them."""

T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """A version by semantic versioning, such as 1.4.0.

    Source: Semantic Versioning 2.0.0, without its labels of pre-releases and builds.
    """

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def __lt__(self, other: Version) -> bool:
        return (self.major, self.minor, self.patch) < (other.major, other.minor, other.patch)


@dataclass(frozen=True)
class Limited:
    """A rule, and which share of the rows may break it.

    Attributes:
        rule: The rule.
        max_share: 0 to 1.
    """

    rule: Rule
    max_share: float = 0.0


@dataclass(frozen=True)
class Reference:
    """A column whose values are those of another dataset's column.

    Attributes:
        column: The column.
        dataset: Path of the other dataset, Parquet; relative to the contract's folder, or absolute.
        key: The column there.
    """

    column: str
    dataset: str
    key: str


@dataclass(frozen=True)
class DataContract:
    """What a dataset must be.

    Attributes:
        schema: TFDV's Schema in text format.
        version: The contract's version; None for a bare schema.
        description: What the data are.
        max_age_hours: Greatest age of the dataset, in hours.
        max_gap_hours: Longest stretch without any time in a column of times, by column, in hours.
        min_rows: Fewest rows.
        keys: Columns that together are different in every row, and never missing.
        drift: Limits of every feature's drift, by name; see `DRIFT_LIMITS`.
        feature_drift: Limits of the drift of single features, in place of these.
        sensitive: Columns that tell of what people must not be judged by.
        forbidden: Columns that must not be there; upper and lower case are the same.
        references: Columns whose values are those of other datasets.
        rules: What must hold of the columns of a row.
        name: What errors call it: its file's name.
    """

    schema: str
    version: Version | None = None
    description: str | None = None
    max_age_hours: float | None = None
    max_gap_hours: Mapping[str, float] = field(default_factory=dict)
    min_rows: int | None = None
    keys: tuple[tuple[str, ...], ...] = ()
    drift: Mapping[str, float] = field(default_factory=dict)
    feature_drift: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    rules: tuple[Limited, ...] = ()
    name: str = field(default="contract", compare=False)

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return the columns that the contract names outside its schema, by the part that names them."""
        return {
            "max_gap_hours": tuple(self.max_gap_hours),
            "keys": tuple(column for key in self.keys for column in key),
            "drift.features": tuple(self.feature_drift),
            "sensitive": self.sensitive,
            "references": tuple(reference.column for reference in self.references),
            "rules": tuple(column for limited in self.rules for column in limited.rule.columns),
        }

    def to_text(self, notes: Mapping[str, str] | None = None) -> str:
        """Return the contract as its file holds it.

        Args:
            notes: Comments by the field that they stand above; of a field that is not said, they stand alone.
        """
        values = self._values()
        parts = []
        for name in _FIELDS:
            lines = [f"# {line}".rstrip() for line in (notes or {}).get(name, "").splitlines()]
            if name in values:
                lines += _block(name, values[name])
            if lines:
                parts.append("\n".join(lines))
        return "\n".join(parts) + "\n"

    def write(self, path: str | Path, notes: Mapping[str, str] | None = None) -> None:
        """Write the contract as a YAML file."""
        with writing(path) as temporary:
            temporary.write_text(self.to_text(notes), encoding="utf-8")

    def _values(self) -> dict[str, Any]:
        """Return what the file says, without what is not said."""
        drift = dict(self.drift)
        features = {name: dict(limits) for name, limits in self.feature_drift.items()}
        values = {
            "hallmark": FORM,
            "version": None if self.version is None else str(self.version),
            "description": self.description,
            "max_age_hours": self.max_age_hours,
            "max_gap_hours": dict(self.max_gap_hours),
            "min_rows": self.min_rows,
            "keys": [list(key) for key in self.keys],
            "drift": drift | ({"features": features} if features else {}),
            "sensitive": list(self.sensitive),
            "forbidden": list(self.forbidden),
            "references": [vars(reference) for reference in self.references],
            "rules": [
                {"rule": limited.rule.text, "max_share": limited.max_share} if limited.max_share else limited.rule.text
                for limited in self.rules
            ],
            "schema": self.schema,
        }
        return {name: value for name, value in values.items() if value is not None and value not in ([], {})}


def _block(name: str, value: Any) -> list[str]:
    """Return a field as lines of YAML; a schema, where YAML can hold it so, as it is written."""
    if name == "schema" and _is_literal(value):
        return ["schema: |", *(f"  {line}" if line else "" for line in value.split("\n")[:-1])]
    flow = None if isinstance(value, list | dict) else False
    # PyYAML takes some line breaks of Unicode for letters, and writes them so that they read as spaces.
    readable = json.dumps(value, ensure_ascii=False).isprintable()
    text = yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=readable, width=110, default_flow_style=flow)
    return text.rstrip("\n").split("\n")


def _is_literal(text: str) -> bool:
    """Return whether YAML's `|` gives a text back as it is: printable lines, the first not indented, one end."""
    lines = text.split("\n")
    printable = all(line.isprintable() and "\N{NO-BREAK SPACE}" not in line for line in lines)
    return printable and len(lines) > 1 and not lines[-1] and bool(lines[-2]) and lines[0][:1] not in ("", " ")


def read_contract(path: str | Path) -> DataContract:
    """Read a contract from a YAML file; from a file of another name, a bare schema.

    Raises:
        MissingInputError: If there is no such file.
        InputError: If it is no contract; the message says where and why.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"A data contract must be a file; got {str(path)!r}.")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"The contract {path.name!r} must have at most {MAX_BYTES:,} bytes; it has {size:,}.")
    return parse_contract(path.read_bytes(), path.name)


def parse_contract(content: bytes, name: str) -> DataContract:
    """Read a contract from the content of a file; see `read_contract`.

    Args:
        content: The file's bytes.
        name: The file's name, by which errors call it.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"The contract {name!r} must be text in UTF-8; it is not.") from None
    if not name.lower().endswith(SUFFIXES):
        return DataContract(schema=text, name=name)
    try:
        return _contract(_load(text, name), name)
    except _Unfit as unfit:
        raise InputError(f"The contract {name!r} must {unfit.constraint}.", unfit.hint) from None
    except InputError as error:
        raise InputError(f"The contract {name!r} is not in order: {error.message}", error.hint) from None


class _Unfit(Exception):
    """What a contract must do and does not."""

    def __init__(self, constraint: str, hint: str | None = None) -> None:
        super().__init__(constraint)
        self.constraint = constraint
        self.hint = hint


class _Loader(yaml.SafeLoader):
    """A loader of YAML that refuses what two readers could take for different things, and what grows."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node that is no alias and not too deep."""
        event: Any = self.peek_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise _Unfit(f"be written out, without aliases; line {line} has the alias *{event.anchor}")
        self.depth = getattr(self, "depth", 0) + 1
        if self.depth > MAX_DEPTH:
            raise _Unfit(f"be nested at most {MAX_DEPTH} deep; line {line} is deeper")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Return a mapping whose keys are texts, each once."""
        seen = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                raise _Unfit(f"be written out; line {line} merges mappings")
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise _Unfit(f"have texts for keys; the key in line {line} is none", "Quote it.")
            if key.value in seen:
                raise _Unfit(f"hold each key once; {key.value!r} is there again in line {line}")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _load(text: str, name: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, *NO_YAML) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"line {mark.line + 1}: {problem}" if mark is not None else "it cannot be read"
        raise _Unfit(f"be YAML; {place}") from None


def _contract(value: Any, file: str) -> DataContract:
    if not isinstance(value, dict):
        raise _Unfit(f"hold names and values; it holds {_kind(value)}")
    if value.get("hallmark") != FORM:
        raise _Unfit(f"say `hallmark: {FORM}`; got {_shown(value.get('hallmark'))}")
    _known(value, _FIELDS, "have")
    for required in ("version", "schema"):
        if value.get(required) is None:
            raise _Unfit(f"have {required}; it is missing")
    said = {name: entry for name, entry in value.items() if entry is not None and name != "hallmark"}
    fields = {name: _FIELDS[name](entry, name) for name, entry in said.items() if name != "drift"}
    if "drift" in said:
        fields["drift"], fields["feature_drift"] = _drift(said["drift"])
    contract = DataContract(**fields, name=file)
    both = {name.lower() for name in contract.forbidden} & {
        column.lower() for columns in contract.columns().values() for column in columns
    }
    if both:
        raise _Unfit(f"not use what it forbids; {', '.join(map(repr, sorted(both)))} is in both")
    return contract


def _known(value: Mapping[str, Any], known: Any, verb: str) -> None:
    for name in value:
        if name not in known:
            raise _Unfit(f"{verb} keys that there are; got {name!r}", nearest(name, list(known)))


def _version(value: Any, what: str) -> Version:
    found = (
        re.fullmatch(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", value, re.ASCII)
        if isinstance(value, str)
        else None
    )
    if found is None:
        raise _Unfit(f"have a version of three whole numbers, such as 1.0.0; got {_shown(value)}")
    return Version(*map(int, found.groups()))


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Unfit(f"have text in {what}; got {_shown(value)}", "Quote it." if value is not None else None)
    return value


def _texts(value: Any, what: str) -> tuple[str, ...]:
    names = tuple(_text(entry, what) for entry in _list(value, what))
    _once(names, what)
    return names


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Unfit(f"have a list in {what}; got {_shown(value)}")
    return value


def _once(values: Any, what: str) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise _Unfit(f"have each entry of {what} once; got {_shown(value)} again")


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Unfit(f"have a number in {what}; got {_shown(value)}")
    return value


def _hours(value: Any, what: str) -> float:
    if _number(value, what) <= 0:
        raise _Unfit(f"have {what} above 0; got {value}")
    return value


def _rows(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _Unfit(f"have a whole number from 1 in {what}; got {_shown(value)}")
    return value


def _keys(value: Any, what: str) -> tuple[tuple[str, ...], ...]:
    keys = tuple(
        (entry,) if isinstance(entry, str) and entry.strip() else _texts(entry, f"a key of {what}")
        for entry in _list(value, what)
    )
    if not all(keys):
        raise _Unfit(f"have columns in every key of {what}; one has none")
    _once([set(key) for key in keys], what)
    return keys


def _drift(value: Any) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return the limits of all features' drift, and those of single ones."""
    entries = dict(_mapping(value, "drift"))
    features = _mapping(entries.pop("features", {}), "drift.features")
    single = {name: _limits(limits, f"drift.features.{name}") for name, limits in features.items()}
    return _limits(entries, "drift"), single


def _limits(value: Any, what: str) -> dict[str, float]:
    limits = _mapping(value, what)
    _known(limits, DRIFT_LIMITS, f"have in {what}")
    for name, limit in limits.items():
        if _number(limit, f"{what}.{name}") < 0:
            raise _Unfit(f"have {what}.{name} of 0 or above; got {limit}")
    return {name: float(limit) for name, limit in limits.items()}


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unfit(f"have names and values in {what}; got {_shown(value)}")
    return value


def _references(value: Any, what: str) -> tuple[Reference, ...]:
    return _entries(value, what, lambda entry: Reference(**_whole(entry, ("column", "dataset", "key"), what)))


def _whole(entry: Any, names: tuple[str, ...], what: str) -> dict[str, str]:
    _known(_mapping(entry, f"an entry of {what}"), names, f"have in an entry of {what}")
    return {name: _text(entry.get(name), f"{name} of an entry of {what}") for name in names}


def _rules(value: Any, what: str) -> tuple[Limited, ...]:
    return _entries(value, what, _rule)


def _rule(entry: Any) -> Limited:
    if not isinstance(entry, dict):
        return Limited(parse_rule(_text(entry, "rules")))
    _known(entry, ("rule", "max_share"), "have in an entry of rules")
    share = _number(entry.get("max_share", 0.0), "max_share of an entry of rules")
    if not 0 <= share <= 1:
        raise _Unfit(f"have a max_share from 0 to 1; got {share}")
    return Limited(parse_rule(_text(entry.get("rule"), "rule of an entry of rules")), float(share))


def _entries(value: Any, what: str, read: Callable[[Any], T]) -> tuple[T, ...]:
    entries = tuple(read(entry) for entry in _list(value, what))
    _once(entries, what)
    return entries


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    """Return a value as errors show it; of one that is long, its type."""
    text = repr(value)
    return text if len(text) <= 60 else _kind(value)


_FIELDS: dict[str, Callable[[Any, str], Any]] = {
    "hallmark": _text,
    "version": _version,
    "description": _text,
    "max_age_hours": _hours,
    "max_gap_hours": lambda value, what: {
        name: _hours(hours, f"{what}.{name}") for name, hours in _mapping(value, what).items()
    },
    "min_rows": _rows,
    "keys": _keys,
    "drift": _mapping,
    "sensitive": _texts,
    "forbidden": _texts,
    "references": _references,
    "rules": _rules,
    "schema": _text,
}
"""What a contract may say, in the order of its file, and what reads it."""
