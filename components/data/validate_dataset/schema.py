"""Statistics, schema and anomalies by TensorFlow Data Validation (TFDV)."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.profiles.statistics import compute_statistics

__all__ = ["TOLERANCE", "Anomaly", "compute_statistics", "find_anomalies", "infer_schema", "load_schema"]

TOLERANCE = 0.01
"""What share of the rows may be outside an inferred schema: it says what was seen, not all that may be."""
MAX_DOMAIN = 100
"""A text column with more distinct values gets no list of allowed values."""


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


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """Import TFDV inside: keep its notices about notebooks, and TensorFlow's about processors, out of the log."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    handlers = logging.root.handlers[:]
    with contextlib.redirect_stderr(io.StringIO()):
        yield
    logging.root.handlers[:] = handlers


def import_tfdv() -> Any:
    """Return the module `tensorflow_data_validation`."""
    with calm():
        import tensorflow_data_validation
    return tensorflow_data_validation


def infer_schema(statistics: Any, booleans: Sequence[str]) -> Any:
    """Return a TFDV schema that the data of some statistics fits.

    It allows for `TOLERANCE`; it knows only columns of booleans as such, not integers that happen to be 0 and 1; and it
    lists the values of no column where most are distinct.
    """
    tfdv = import_tfdv()
    schema = tfdv.infer_schema(statistics, infer_feature_shape=False, max_string_domain_size=MAX_DOMAIN)
    features = {feature.path.step[0]: feature for feature in statistics.datasets[0].features}
    for feature in schema.feature:
        if feature.presence.min_fraction == 1:
            feature.presence.min_fraction = 1 - TOLERANCE
        if feature.HasField("bool_domain") and feature.name not in booleans:
            feature.ClearField("bool_domain")
        if feature.HasField("domain"):
            texts = features[feature.name].string_stats
            if texts.unique > texts.common_stats.num_non_missing / 2:
                _drop_domain(schema, feature)
            else:
                feature.distribution_constraints.min_domain_mass = 1 - TOLERANCE
    return schema


def _drop_domain(schema: Any, feature: Any) -> None:
    kept = [domain for domain in schema.string_domain if domain.name != feature.domain]
    del schema.string_domain[:]
    schema.string_domain.extend(kept)
    feature.ClearField("domain")


def load_schema(uri: str) -> Any:
    """Read a TFDV schema in text format from a path or a URI that TensorFlow can open.

    Raises:
        MissingInputError: If there is none.
        InputError: If it cannot be read.
    """
    tfdv = import_tfdv()
    import tensorflow
    from google.protobuf import text_format

    try:
        return tfdv.load_schema_text(uri)
    except tensorflow.errors.NotFoundError as error:
        raise MissingInputError(f"schema_uri must be a file that is there; got {uri!r}.") from error
    except (tensorflow.errors.OpError, text_format.ParseError, UnicodeDecodeError) as error:
        raise InputError(
            f"schema_uri must be a TFDV schema in text format; {uri!r} cannot be read ({error}).",
            "Local paths and gs:// are read; validate_dataset writes such a schema.",
        ) from error


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
    return words.replace("_", " ")
