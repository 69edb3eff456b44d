"""How a contract may change: which changes its consumers bear, and which version they need.

The consumers of the data rely on what the contract promises. A change is breaking when data that fit the new contract
may be other than the old one promised: code that was written for the old contract may then fail or be wrong. A change
that promises more, or says of a further column what it holds, is compatible. In the words of schema registries, a
compatible change is forward compatible: what is written by the new contract can be read by the old one.

A compatible change may still ask more of the producer: data that fit the old contract may then not fit the new one
(it is not backward compatible). Such a change is marked as `tightens`.

| change | version |
|---|---|
| breaking | major |
| compatible | minor |
| wording: a description or a note | patch |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.data_contract import DRIFT_LIMITS, DataContract, Limited, Reference, Version
from kfp_hallmark.datacontract.schema import KINDS, contract_schema, integer_kind
from kfp_hallmark.errors import InputError

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

NAMED = 5
"""How many values of a domain a message names."""
DRIFT_DEFAULTS = {"max_stable_psi": 0.10, "max_psi": 0.25}
"""The limits of drift that hold where a contract says none: validate_dataset's own."""
TYPES = {
    "BYTES": "text",
    "FLOAT": "numbers",
    "STRUCT": "a structure",
    "TYPE_UNKNOWN": "anything",
}


class Level(IntEnum):
    """How much a change changes."""

    WORDING = 0
    COMPATIBLE = 1
    BREAKING = 2

    def after(self, version: Version) -> Version:
        """Return the least version that a change of this level needs after another."""
        if self is Level.BREAKING:
            return Version(version.major + 1, 0, 0)
        if self is Level.COMPATIBLE:
            return Version(version.major, version.minor + 1, 0)
        return Version(version.major, version.minor, version.patch + 1)


@dataclass(frozen=True)
class Change:
    """A change of a contract.

    Attributes:
        part: What it is in: a feature's name, or a field of the contract.
        message: What has changed.
        level: How much.
        tightens: Whether data that fit the old contract may not fit the new one.
    """

    part: str
    message: str
    level: Level
    tightens: bool = False


@dataclass(frozen=True)
class Evolution:
    """From one version of a contract to another.

    Attributes:
        before: The old version.
        after: The new version.
        changes: What has changed, what breaks consumers first.
    """

    before: Version
    after: Version
    changes: tuple[Change, ...]

    @property
    def needed(self) -> Version:
        """The least version that the new contract may have."""
        if not self.changes:
            return self.before
        return max(change.level for change in self.changes).after(self.before)

    @property
    def in_order(self) -> bool:
        """Whether the new contract has a version that says what has changed."""
        return not self.after < self.needed


def evolution(before: DataContract, after: DataContract) -> Evolution:
    """Return what changes from one contract to another.

    Raises:
        InputError: If one has no version, or a schema that cannot be read or contradicts it.
    """
    if before.version is None or after.version is None:
        raise InputError("A contract must have a version to be compared; a bare schema has none.")
    schemas = contract_schema(before), contract_schema(after)
    changes = [
        *_schema_changes(*schemas),
        *_contract_changes(before, after),
        *_presence_changes(before, after, *schemas),
    ]
    kept = set.intersection(*map(_names, schemas))
    changes += [*_gap_changes(before, after, kept), *_drift_changes(before, after, kept)]
    changes.sort(key=lambda change: (-change.level, not change.tightens))
    return Evolution(before.version, after.version, tuple(changes))


def _limit(part: str, what: str, before: Any, after: Any, tighter: Callable[[Any, Any], bool]) -> Iterator[Change]:
    """Yield the change of a limit.

    Args:
        part: What it is in.
        what: The limit's name.
        before: The old limit; None is none.
        after: The new limit.
        tighter: Whether the first of two limits that there are asks for more than the second.
    """
    if before == after:
        return
    tightens = before is None or (after is not None and tighter(after, before))
    shown = [_told(value) for value in (before, after)]
    word = "tightened" if tightens else "loosened"
    yield Change(
        part, f"{what} {word}: {shown[0]} to {shown[1]}", Level.COMPATIBLE if tightens else Level.BREAKING, tightens
    )


def _told(value: float | None) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _greater(first: Any, second: Any) -> bool:
    return bool(first > second)


def _smaller(first: Any, second: Any) -> bool:
    return bool(first < second)


def _contract_changes(before: DataContract, after: DataContract) -> Iterator[Change]:
    if before.description != after.description:
        yield Change("description", "changed", Level.WORDING)
    yield from _limit("max_age_hours", "limit", before.max_age_hours, after.max_age_hours, _smaller)
    yield from _limit("min_rows", "limit", before.min_rows, after.min_rows, _greater)
    yield from _key_changes(before, after)
    for column in _without(before.sensitive, after.sensitive):
        yield Change("sensitive", f"{column} is no longer sensitive", Level.COMPATIBLE)
    for column in _without(after.sensitive, before.sensitive):
        yield Change("sensitive", f"{column} is sensitive now: consumers must treat it so", Level.BREAKING)
    for column in _without_cased(before.forbidden, after.forbidden):
        yield Change("forbidden", f"{column} is no longer forbidden", Level.BREAKING)
    for column in _without_cased(after.forbidden, before.forbidden):
        yield Change("forbidden", f"{column} is forbidden now", Level.COMPATIBLE, tightens=True)
    for reference in _without(before.references, after.references):
        yield Change("references", f"{_shown(reference)} is no longer promised", Level.BREAKING)
    for reference in _without(after.references, before.references):
        yield Change("references", f"{_shown(reference)} is promised now", Level.COMPATIBLE, tightens=True)
    yield from _rule_changes(before.rules, after.rules)


def _without(first: tuple, second: tuple) -> list:
    """Return what is in the first and not in the second."""
    return [entry for entry in first if entry not in second]


def _without_cased(first: tuple[str, ...], second: tuple[str, ...]) -> list[str]:
    """Return which names are in the first and not in the second, in whatever case."""
    names = {name.casefold() for name in second}
    return [name for name in first if name.casefold() not in names]


def _shown(reference: Reference) -> str:
    return f"{reference.column} in {reference.key} of {reference.dataset}"


def _key_changes(before: DataContract, after: DataContract) -> Iterator[Change]:
    """Yield changed keys; columns that are different in every row are so with further columns too."""
    old, new = ([frozenset(key) for key in contract.keys] for contract in (before, after))
    for key in old:
        if not any(other <= key for other in new):
            yield Change("keys", f"{', '.join(sorted(key))} may repeat now", Level.BREAKING)
    for key in new:
        if not any(other <= key for other in old):
            yield Change("keys", f"{', '.join(sorted(key))} is a key now", Level.COMPATIBLE, tightens=True)


def _presence_changes(
    before: DataContract, after: DataContract, schema_before: schema_pb2.Schema, schema_after: schema_pb2.Schema
) -> Iterator[Change]:
    """Yield the columns of keys, which have a value in every row, that come or go unless the schema says the same."""
    old, new = (_key_columns(contract) for contract in (before, after))
    for column in sorted(old - new - _whole(schema_after)):
        yield Change("keys", f"{column} may lack values now", Level.BREAKING)
    for column in sorted(new - old - _whole(schema_before)):
        yield Change("keys", f"{column} must have a value in every row now", Level.COMPATIBLE, tightens=True)


def _key_columns(contract: DataContract) -> set[str]:
    return {column for key in contract.keys for column in key}


def _whole(schema: schema_pb2.Schema) -> set[str]:
    """Return the features that have a value in every row, by the schema alone."""
    return {feature.name for feature in schema.feature if feature.presence.min_fraction >= 1}


def _gap_changes(before: DataContract, after: DataContract, kept: Set[str]) -> Iterator[Change]:
    """Yield what changes of the longest gaps of features that both contracts have."""
    for feature in sorted({*before.max_gap_hours, *after.max_gap_hours} & kept):
        old, new = (contract.max_gap_hours.get(feature) for contract in (before, after))
        yield from _limit(feature, "max_gap_hours", old, new, _smaller)


def _drift_changes(before: DataContract, after: DataContract, kept: Set[str]) -> Iterator[Change]:
    """Yield what changes of the limits of drift that hold, and of those of single features that both contracts have."""
    old, new = (_drift_limits(contract.drift, DRIFT_DEFAULTS) for contract in (before, after))
    for name in DRIFT_LIMITS:
        yield from _limit("drift", name, old[name], new[name], _smaller)
    for feature in sorted({*before.feature_drift, *after.feature_drift} & kept):
        own = _drift_limits(before.feature_drift.get(feature, {}), old)
        others = _drift_limits(after.feature_drift.get(feature, {}), new)
        for name in DRIFT_LIMITS:
            yield from _limit(feature, f"drift: {name}", own[name], others[name], _smaller)


def _drift_limits(said: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    """Return the limits of drift that hold, by those that are said and the ones in place of what is not."""
    limits = {**others, **said}
    return limits | {"max_stable_psi": min(limits["max_stable_psi"], limits["max_psi"])}


def _names(schema: schema_pb2.Schema) -> set[str]:
    return {feature.name for feature in schema.feature}


def _rule_changes(before: tuple[Limited, ...], after: tuple[Limited, ...]) -> Iterator[Change]:
    old, new = map(_strictest, (before, after))
    for normal in sorted(old.keys() - new.keys()):
        yield Change("rules", f"{old[normal].rule.text} need not hold any more", Level.BREAKING)
    for normal in sorted(new.keys() - old.keys()):
        yield Change("rules", f"{new[normal].rule.text} must hold now", Level.COMPATIBLE, tightens=True)
    for normal in sorted(old.keys() & new.keys()):
        text = f"{new[normal].rule.text}: max_share"
        yield from _limit("rules", text, old[normal].max_share, new[normal].max_share, _smaller)


def _strictest(rules: tuple[Limited, ...]) -> dict[str, Limited]:
    """Return the rules by what they say; of some that say the same, the one that the fewest rows may break."""
    ranked = sorted(rules, key=lambda limited: limited.max_share, reverse=True)
    return {limited.rule.normal: limited for limited in ranked}


def _schema_changes(before: schema_pb2.Schema, after: schema_pb2.Schema) -> Iterator[Change]:
    old, new = ({feature.name: feature for feature in schema.feature} for schema in (before, after))
    for name in (name for name in old if name not in new):
        required = _is_required(old[name])
        message = f"{'required' if required else 'optional'} feature removed"
        yield Change(name, message, Level.BREAKING if required else Level.COMPATIBLE, tightens=True)
    for name in (name for name in new if name not in old):
        required = _is_required(new[name])
        yield Change(name, f"{'required' if required else 'optional'} feature added", Level.COMPATIBLE, required)
    domains = [_domains(schema) for schema in (before, after)]
    for name in (name for name in old if name in new):
        yield from _feature_changes(old[name], new[name], *domains)
    yield from _other_changes("schema", _cleared(before), _cleared(after))


def _is_required(feature: schema_pb2.Feature) -> bool:
    return bool(feature.presence.min_fraction > 0 or feature.presence.min_count > 0)


def _domains(schema: schema_pb2.Schema) -> dict[str, frozenset[str]]:
    return {domain.name: frozenset(domain.value) for domain in schema.string_domain}


def _cleared(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """Return a schema without its features and their domains."""
    rest = type(schema)()
    rest.CopyFrom(schema)
    rest.ClearField("feature")
    rest.ClearField("string_domain")
    return rest


def _other_changes(part: str, before: Any, after: Any) -> Iterator[Change]:
    """Yield a change if what is left of two messages differs; what nobody has judged counts as breaking."""
    if before == after:
        return
    for message in (before, after):
        message.ClearField("annotation")
    changed = [field.name for field in before.DESCRIPTOR.fields if _field(before, field) != _field(after, field)]
    if changed:
        yield Change(part, f"{', '.join(changed)} changed, which this comparison cannot judge", Level.BREAKING, True)
    else:
        yield Change(part, "annotation changed", Level.WORDING)


def _field(message: Any, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.label == field.LABEL_REPEATED:
        return [str(entry) for entry in value]
    return (message.HasField(field.name), str(value))


@dataclass(frozen=True)
class _Bound:
    """A limit in a feature: where it stands, what it is called, what is in its place when it is not there."""

    path: tuple[str, str]
    name: str
    tighter: Callable[[Any, Any], bool]
    default: Any = None

    def of(self, feature: schema_pb2.Feature) -> Any:
        holder = getattr(feature, self.path[0])
        return getattr(holder, self.path[1]) if _has(feature, holder, self.path) else self.default

    def clear(self, feature: schema_pb2.Feature) -> None:
        holder = getattr(feature, self.path[0])
        if _has(feature, holder, self.path):
            holder.ClearField(self.path[1])


def _has(feature: Any, holder: Any, path: tuple[str, str]) -> bool:
    return bool(feature.HasField(path[0]) and holder.HasField(path[1]))


_BOUNDS = (
    _Bound(("presence", "min_fraction"), "share of rows that have it", _greater, 0.0),
    _Bound(("presence", "min_count"), "number of rows that have it", _greater, 0),
    _Bound(("int_domain", "min"), "least value", _greater),
    _Bound(("int_domain", "max"), "greatest value", _smaller),
    _Bound(("float_domain", "min"), "least value", _greater),
    _Bound(("float_domain", "max"), "greatest value", _smaller),
    _Bound(("unique_constraints", "min"), "least number of different values", _greater),
    _Bound(("unique_constraints", "max"), "greatest number of different values", _smaller),
)
_MASS = _Bound(("distribution_constraints", "min_domain_mass"), "share of values in the domain", _greater, 1.0)


def _feature_changes(
    before: schema_pb2.Feature,
    after: schema_pb2.Feature,
    domains_before: Mapping[str, frozenset[str]],
    domains_after: Mapping[str, frozenset[str]],
) -> Iterator[Change]:
    name = before.name
    old, new = (_type(feature) for feature in (before, after))
    if old != new:
        yield Change(name, f"type changed: {old} to {new}", Level.BREAKING, tightens=True)
    for bound in _BOUNDS:
        yield from _limit(name, bound.name, bound.of(before), bound.of(after), bound.tighter)
    old_values, new_values = _values(before, domains_before), _values(after, domains_after)
    yield from _domain_changes(name, old_values, new_values)
    if old_values is not None and new_values is not None:
        yield from _limit(name, _MASS.name, _MASS.of(before), _MASS.of(after), _greater)
    yield from _other_changes(name, _rest(before), _rest(after))


def _type(feature: schema_pb2.Feature) -> str:
    """Return what a feature holds, as a reader says it."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    kind = schema_pb2.FeatureType.Name(feature.type)
    return KINDS[integer_kind(feature)] if kind == "INT" else TYPES.get(kind, "other")


def _values(feature: schema_pb2.Feature, domains: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    """Return which texts a feature may hold; None if any."""
    if feature.HasField("domain"):
        return domains[feature.domain]
    if feature.HasField("string_domain"):
        return frozenset(feature.string_domain.value)
    return None


def _domain_changes(name: str, before: frozenset[str] | None, after: frozenset[str] | None) -> Iterator[Change]:
    if before == after:
        return
    if after is None:
        yield Change(name, "domain widened: any text may come", Level.BREAKING)
    elif before is None:
        yield Change(name, f"domain narrowed: to {len(after)} values", Level.COMPATIBLE, tightens=True)
    else:
        if added := after - before:
            yield Change(name, f"domain widened: {_listed(added)} may come", Level.BREAKING)
        if removed := before - after:
            yield Change(name, f"domain narrowed: {_listed(removed)} may not come", Level.COMPATIBLE, tightens=True)


def _listed(values: frozenset[str]) -> str:
    named = sorted(values)
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return ", ".join(map(repr, named[:NAMED])) + more


def _rest(feature: schema_pb2.Feature) -> schema_pb2.Feature:
    """Return a feature without what the comparison judges part by part."""
    rest = type(feature)()
    rest.CopyFrom(feature)
    for bound in (*_BOUNDS, _MASS):
        bound.clear(rest)
    said_by_type = {KINDS["time"]: ["time_domain"], KINDS["boolean"]: ["bool_domain"]}.get(_type(feature), [])
    for field in ("type", "domain", "string_domain", *said_by_type):
        rest.ClearField(field)
    for field in ("presence", "int_domain", "float_domain", "unique_constraints", "distribution_constraints"):
        if rest.HasField(field):
            holder = getattr(rest, field)
            if "name" in holder.DESCRIPTOR.fields_by_name:
                holder.ClearField("name")
            if not holder.ListFields():
                rest.ClearField(field)
    return rest
