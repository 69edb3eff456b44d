"""Statistics, schema and anomalies by TensorFlow Data Validation (TFDV)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.datacontract.inference import TOLERANCE, import_tfdv, infer_schema
from kfp_hallmark.profiles.statistics import compute_statistics

__all__ = [
    "TOLERANCE",
    "Anomaly",
    "compute_statistics",
    "find_anomalies",
    "import_tfdv",
    "infer_schema",
]


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
