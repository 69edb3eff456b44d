"""Statistics, schema and anomalies by TensorFlow Data Validation (TFDV)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.datacontract.inference import TOLERANCE, import_tfdv, infer_schema
from kfp_hallmark.datacontract.schema import KINDS, integer_kind
from kfp_hallmark.profiles.profile import Profile

__all__ = ["TOLERANCE", "Anomaly", "find_anomalies", "find_other_kinds", "infer_schema"]

AT_ONCE = 250
"""How many columns TFDV is given at once: its time grows with the square of their number, and more."""

SAID = {
    "small_int": "values below the least allowed",
    "small_float": "values below the least allowed",
    "big_int": "values above the greatest allowed",
    "big_float": "values above the greatest allowed",
}
"""What readers call the kinds of anomalies whose names tell them little."""


@dataclass(frozen=True)
class Anomaly:
    """How a feature, or the dataset (feature None), does not fit the schema.

    Attributes:
        feature: The column.
        status: `fail`, or `warn` when TFDV takes it for a warning.
        reasons: What is wrong; never a value.
    """

    feature: str | None
    status: Status
    reasons: tuple[str, ...]


def find_anomalies(statistics: Any, schema: Any) -> list[Anomaly]:
    """Return how a dataset's statistics do not fit a schema."""
    found = [each for part in _parts(statistics, schema) for each in anomalies_at_once(*part)]
    return list(dict.fromkeys(found))


def find_other_kinds(profile: Profile, schema: Any, bare: bool) -> list[Anomaly]:
    """Return the columns of whole numbers, booleans or times that are another of them than a schema says.

    TFDV takes the three for the same. So a bare schema, which may be of its own making, is asked for times alone.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    wanted = {each.name: integer_kind(each) for each in schema.feature if each.type == schema_pb2.INT}
    held = {name: column.type for name, column in profile.columns.items() if column.type in KINDS}
    return [
        Anomaly(name, Status.FAIL, (f"{KINDS[held[name]]} in place of {KINDS[kind]}",))
        for name, kind in wanted.items()
        if held.get(name, kind) != kind and (kind == "time" or not bare)
    ]


def _parts(statistics: Any, schema: Any) -> Iterator[tuple[Any, Any]]:
    """Give some columns of both at a time; all at once where the schema says something of columns together."""
    whole, limited = statistics.datasets[0], {feature.name: feature for feature in schema.feature}
    held = {feature.path.step[0]: feature for feature in whole.features}
    names = list(held | limited)
    if len(names) <= AT_ONCE or schema.sparse_feature or schema.weighted_feature:
        yield statistics, schema
        return
    rest = type(schema)()
    rest.CopyFrom(schema)
    rest.ClearField("feature")
    rest.ClearField("string_domain")
    domains = {domain.name: domain for domain in schema.string_domain}
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        part, rules = type(statistics)(), type(schema)()
        part.datasets.add(name=whole.name, num_examples=whole.num_examples).features.extend(
            held[name] for name in some if name in held
        )
        rules.CopyFrom(rest)
        rules.feature.extend(limited[name] for name in some if name in limited)
        used = dict.fromkeys(feature.domain for feature in rules.feature if feature.domain in domains)
        rules.string_domain.extend(domains[name] for name in used)
        yield part, rules


def anomalies_at_once(statistics: Any, schema: Any) -> list[Anomaly]:
    """Return how statistics do not fit a schema, by one call of TFDV."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    found = import_tfdv().validate_statistics(statistics, schema)
    entries = [(info.path.step[0], info) for info in found.anomaly_info.values()]
    if found.HasField("dataset_anomaly_info"):
        entries.append((None, found.dataset_anomaly_info))
    warning = anomalies_pb2.AnomalyInfo.WARNING
    return [
        Anomaly(
            feature,
            Status.WARN if info.severity == warning else Status.FAIL,
            tuple(_words(anomalies_pb2.AnomalyInfo.Type.Name(reason.type)) for reason in info.reason),
        )
        for feature, info in entries
    ]


def _words(name: str) -> str:
    """Return the name of a kind of anomaly as words; TFDV's own sentences can hold values of records."""
    words = name.lower()
    for prefix in ("feature_type_", "schema_", "enum_type_", "bool_type_", "float_type_", "int_type_"):
        words = words.removeprefix(prefix)
    return SAID.get(words, words.replace("_", " "))
