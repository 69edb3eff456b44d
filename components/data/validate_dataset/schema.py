"""Statistics, schema and anomalies by TensorFlow Data Validation (TFDV)."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.data.validate_dataset.features import as_numbers
from kfp_hallmark.contracts.dataset import read_batches
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import InputError, MissingInputError

if TYPE_CHECKING:
    import pyarrow

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


def compute_statistics(path: str | Path, columns: Sequence[str]) -> Any:
    """Return TFDV's statistics of columns of a dataset, a DatasetFeatureStatisticsList, computed piece by piece."""
    import numpy

    tfdv = import_tfdv()
    from tensorflow_data_validation.statistics import stats_impl

    generators = stats_impl.get_generators(tfdv.StatsOptions(), in_memory=True)
    partial = [generator.create_accumulator() for generator in generators]
    with numpy.errstate(invalid="ignore"):
        for batch in read_batches(path, columns):
            lists = _as_lists(batch)
            partial = [
                generator.compact(generator.add_input(state, lists))
                for generator, state in zip(generators, partial, strict=True)
            ]
    return stats_impl.extract_statistics_output(partial, generators)


def _as_lists(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Return a batch as TFDV takes it: every value a list of one."""
    import pyarrow
    from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

    columns = [_for_tfdv(column) for column in batch.columns]
    return CanonicalizeRecordBatch(pyarrow.RecordBatch.from_arrays(columns, names=batch.schema.names))


def _for_tfdv(column: pyarrow.Array) -> pyarrow.Array:
    """Return a column of a type that TFDV knows: as numbers, unsigned ones as floats, and booleans as integers."""
    from pyarrow import types

    column = as_numbers(column)
    if types.is_uint64(column.type):
        return column.cast("float64", safe=False)
    return column.cast("int8") if types.is_boolean(column.type) else column


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
