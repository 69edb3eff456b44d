"""A first contract, inferred from data, for a person to review."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.data_contract import DataContract, Version
from kfp_hallmark.contracts.dataset import read_batches, read_schema
from kfp_hallmark.datacontract.keys import HELD_ROWS, KeyTally
from kfp_hallmark.datacontract.schema import schema_text
from kfp_hallmark.profiles.profile import type_name
from kfp_hallmark.profiles.scan import COLUMNS_AT_ONCE
from kfp_hallmark.profiles.statistics import compute_statistics

if TYPE_CHECKING:
    import pyarrow

TOLERANCE = 0.01
"""What share of the rows may be outside an inferred schema: it says what was seen, not all that may be."""
MAX_DOMAIN = 100
"""A text column with more distinct values gets no list of allowed values."""
GREATEST_INTEGER, GREATEST_NUMBER = 1e18, 1e38
"""The greatest powers of ten that a schema can hold as a limit."""
MAX_PSI = 0.25
"""Above this, a population stability index is commonly taken for a major shift."""
SENSITIVE = (
    "age|birth|citizen|dis|disabled|disability|ethnic|ethnicity|gender|marital|nationality|nativity|orientation|"
    "pregnant|race|rac1p|religion|sex|union"
)
"""Words of a column's name by which it may tell of what people must not be judged by."""


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


def infer_schema(statistics: Any, types: Mapping[str, str]) -> Any:
    """Return a TFDV schema that the data of some statistics fits.

    It allows for `TOLERANCE`; it tells booleans and times from integers, also from such as happen to be 0 and 1; and it
    lists the values of no column where most are distinct.

    Args:
        statistics: A DatasetFeatureStatisticsList.
        types: What `type_name` calls the type of each column.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    tfdv = import_tfdv()
    schema = tfdv.infer_schema(statistics, infer_feature_shape=False, max_string_domain_size=MAX_DOMAIN)
    features = {feature.path.step[0]: feature for feature in statistics.datasets[0].features}
    for feature in schema.feature:
        if feature.presence.min_fraction == 1:
            feature.presence.min_fraction = 1 - TOLERANCE
        feature.ClearField("bool_domain")
        if types[feature.name] == "boolean":
            feature.bool_domain.SetInParent()
        if types[feature.name] == "time":
            feature.time_domain.integer_format = schema_pb2.TimeDomain.UNIX_MICROSECONDS
        if feature.HasField("domain"):
            texts = features[feature.name].string_stats
            if texts.unique > texts.common_stats.num_non_missing / 2:
                feature.ClearField("domain")
            else:
                feature.distribution_constraints.min_domain_mass = 1 - TOLERANCE
    used = {feature.domain for feature in schema.feature}
    kept = [domain for domain in schema.string_domain if domain.name in used]
    del schema.string_domain[:]
    schema.string_domain.extend(kept)
    return schema


def infer_contract(path: str | Path, name: str) -> tuple[DataContract, dict[str, str]]:
    """Return a first contract of a dataset, and what a person must review of it, by field.

    Args:
        path: One Parquet file, or a folder of them.
        name: What the notes call it.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If it cannot be read.
    """
    statistics = compute_statistics(path)
    types = {field.name: field.type for field in read_schema(path)}
    rows = statistics.datasets[0].num_examples
    schema = infer_schema(statistics, {name: type_name(kind) for name, kind in types.items()})
    _add_limits(schema, statistics, types)
    keys = _keys(path, statistics, types)
    sensitive = tuple(column for column in types if _sounds_sensitive(column))
    contract = DataContract(
        schema=schema_text(schema),
        version=Version(1, 0, 0),
        min_rows=_rounded_down(rows / 2),
        keys=tuple((key,) for key in keys),
        drift={"max_psi": MAX_PSI},
        sensitive=sensitive,
    )
    return contract, _notes(name, rows, keys, sensitive)


def _add_limits(schema: Any, statistics: Any, types: dict[str, pyarrow.DataType]) -> None:
    """Limit what numbers may be, roughly, and how much may be missing where something is."""
    from pyarrow import types as kinds

    found = {feature.path.step[0]: feature for feature in statistics.datasets[0].features}
    for feature in schema.feature:
        # One value in each row is what every dataset of plain columns has.
        feature.ClearField("value_count")
        numbers, kind = found[feature.name].num_stats, types[feature.name]
        common = numbers.common_stats if found[feature.name].HasField("num_stats") else None
        common = common or found[feature.name].string_stats.common_stats
        rows = common.num_missing + common.num_non_missing
        if common.num_missing and rows:
            feature.presence.min_fraction = max(0.0, math.floor(100 * (1 - 2 * common.num_missing / rows)) / 100)
        # TFDV finds no limit fit for what is beyond 64 bits with a sign.
        if kinds.is_integer(kind) and common.num_non_missing and numbers.max <= 2**63:
            for side, limit in _roomy(numbers.min, numbers.max, GREATEST_INTEGER).items():
                setattr(feature.int_domain, side, int(limit))
        elif kinds.is_floating(kind) and common.num_non_missing and math.isfinite(numbers.max - numbers.min):
            for side, limit in _roomy(numbers.min, numbers.max, GREATEST_NUMBER).items():
                setattr(feature.float_domain, side, limit)


def _roomy(least: float, greatest: float, most: float) -> dict[str, float]:
    """Return limits that tell nothing of single values: 0, or a power of ten that is 10 to 100 times beyond.

    Args:
        least: The least value.
        greatest: The greatest value.
        most: A limit further from 0 than this is left out: a schema cannot hold it.
    """
    limits = {
        "min": 0.0 if least >= 0 else -_beyond(-least),
        "max": 0.0 if greatest <= 0 else _beyond(greatest),
    }
    return {side: limit for side, limit in limits.items() if abs(limit) <= most}


def _beyond(value: float) -> float:
    """Return the power of ten; at least 1e-37, as a schema's numbers are of single precision."""
    return 10.0 ** min(max(math.ceil(math.log10(value)) + 1, -37), 300)


def _keys(path: str | Path, statistics: Any, types: dict[str, pyarrow.DataType]) -> list[str]:
    """Return the columns of text or whole numbers that are different in every row."""
    from pyarrow import types as kinds

    rows = statistics.datasets[0].num_examples
    possible = []
    for feature in statistics.datasets[0].features:
        name = feature.path.step[0]
        if kinds.is_integer(types[name]):
            numbers = feature.num_stats
            if not numbers.common_stats.num_missing and numbers.max - numbers.min + 1 >= rows > 1:
                possible.append(name)
        elif kinds.is_string(types[name]):
            texts = feature.string_stats
            if not texts.common_stats.num_missing and texts.unique >= 0.9 * rows > 1:
                possible.append(name)
    size = max(COLUMNS_AT_ONCE, COLUMNS_AT_ONCE * HELD_ROWS // max(1, rows))
    return [key for start in range(0, len(possible), size) for key in _unique(path, possible[start : start + size])]


def _unique(path: str | Path, columns: Sequence[str]) -> list[str]:
    """Return which columns are different in every row."""
    with tempfile.TemporaryDirectory(prefix="hallmark-") as folder:
        tallies = [KeyTally([name], Path(folder) / str(index)) for index, name in enumerate(columns)]
        for batch in read_batches(path, columns):
            for tally in tallies:
                tally.add(batch)
        return [tally.columns[0] for tally in tallies if not tally.repeated()]


def _sounds_sensitive(column: str) -> bool:
    words = re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", column).lower())
    return any(re.fullmatch(SENSITIVE, word) for word in words)


def _rounded_down(value: float) -> int:
    """Return a number of rows with its first digit alone; at least 1."""
    if value < 1:
        return 1
    unit = 10 ** int(math.log10(value))
    return int(value // unit) * unit


def _notes(name: str, rows: int, keys: Sequence[str], sensitive: Sequence[str]) -> dict[str, str]:
    identified = (
        "Each identifies a row in this data. REVIEW: will it in all to come?"
        if keys
        else "No single column identifies a row. REVIEW: do several together? Else no repeated row is found.\n"
        "keys: [[first_column, second_column]]"
    )
    judged = (
        "Chosen by their names alone. REVIEW: which tell of what people must not be judged by?"
        if sensitive
        else "No name sounds so. REVIEW: which columns tell of what people must not be judged by?\nsensitive: []"
    )
    return {
        "hallmark": f"A first contract, inferred from {rows:,} rows of {name}. What was seen is not all that may be:\n"
        "a person reviews each line marked REVIEW, and removes the mark, before others rely on this file.",
        "version": "MAJOR.MINOR.PATCH; `hallmark contract diff OLD NEW` says which part must grow.",
        "description": "REVIEW: what are these data, and what is one row?\ndescription: ...",
        "max_age_hours": "REVIEW: how old may the data be when they are used?\nmax_age_hours: 24",
        "max_gap_hours": "REVIEW: how long may nothing happen, and between this delivery and the next?\n"
        "max_gap_hours: {ordered: 24}",
        "min_rows": "About half of what was there. REVIEW: how few rows are too few?",
        "keys": identified,
        "drift": "The usual limit of a major shift. REVIEW: which features must not move so far?\n"
        "drift: {max_psi: 0.25, features: {important: {max_psi: 0.1}}}",
        "sensitive": judged,
        "forbidden": "REVIEW: which columns must never come, such as names and addresses?\nforbidden: [name, email]",
        "references": "REVIEW: which columns name rows of other datasets?\n"
        "references: [{column: customer, dataset: customers.parquet, key: id}]",
        "rules": "REVIEW: what must hold between columns?\n"
        "rules: [start <= end, {rule: income >= 0 or status == 'none', max_share: 0.01}]",
        "schema": f"{TOLERANCE:.0%} of the rows may lack a value or hold a new text; where values are missing, twice "
        "as many may be.\nNumbers may be 10 times, rounded up to a power of ten, beyond what was seen. A column of at "
        f"most {MAX_DOMAIN} texts\nlists them. REVIEW: narrow the ranges, complete the lists, drop texts that tell of "
        "persons.",
    }
