"""A 64-bit hash of every row that is the same on every machine, in every version, whatever the order of the rows.

A value is hashed by what it is and not by how it is stored:

- numbers and booleans: equal numbers alike, whatever their type (1, 1.0, true); dates and times: by the microseconds
  since 1970, like the number;
- text: BLAKE2b with 8 bytes of its UTF-8 form;
- missing values, NaN among them: a constant.

A row's hash is the sum modulo 2^64, over its columns, of the mixed value hash and column name. `mix` is the finalizer
of SplitMix64 (Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import pyarrow


def mix(values: numpy.ndarray) -> numpy.ndarray:
    """Return uint64 values scattered over all of their range, one to one; shape as given."""
    import numpy

    values = (values ^ (values >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return values ^ (values >> numpy.uint64(31))


def seeded(hashes: numpy.ndarray, seed: int) -> numpy.ndarray:
    """Return hashes scattered anew for a seed; equal hashes stay equal."""
    import numpy

    return mix(hashes ^ numpy.uint64(text_hash(f"seed {seed}")))


def row_hashes(batch: pyarrow.RecordBatch) -> numpy.ndarray:
    """Return the hash of every row, uint64 of shape (rows,)."""
    import numpy

    total = numpy.zeros(batch.num_rows, dtype=numpy.uint64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        total += mix(value_hashes(column) ^ numpy.uint64(text_hash(f"column {name}")))
    return total


def value_hashes(column: pyarrow.Array) -> numpy.ndarray:
    """Return the hash of every value of a column, uint64 of shape (rows,)."""
    import numpy
    import pyarrow
    import pyarrow.compute
    from pyarrow import types

    if types.is_string(column.type):
        encoded = column.dictionary_encode()
        known = numpy.array([text_hash(value) for value in encoded.dictionary.to_pylist()] or [0], dtype=numpy.uint64)
        hashes = known[encoded.indices.fill_null(0).to_numpy()]
    else:
        if types.is_temporal(column.type):
            column = column.cast(pyarrow.timestamp("us"), safe=False).cast(pyarrow.int64())
        elif types.is_boolean(column.type):
            column = column.cast(pyarrow.int8())
        hashes = mix(number_bits(column.fill_null(0).to_numpy()))
    missing = pyarrow.compute.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False)
    return numpy.where(missing, numpy.uint64(text_hash("missing value")), hashes)


def number_bits(values: numpy.ndarray) -> numpy.ndarray:
    """Return numbers as uint64, equal numbers alike: whole ones as integers, others by the bits of their float64."""
    import numpy

    if values.dtype.kind == "u":
        return values.astype(numpy.uint64)
    if values.dtype.kind == "i":
        return values.astype(numpy.int64).view(numpy.uint64)
    wide = values.astype(numpy.float64)
    whole = (numpy.abs(wide) < 2.0**63) & (numpy.trunc(wide) == wide)
    integers = numpy.where(whole, wide, 0).astype(numpy.int64).view(numpy.uint64)
    return numpy.where(whole, integers, mix(wide.view(numpy.uint64)))


def text_hash(text: str) -> int:
    """Return the hash of text, 0 to 2^64 - 1."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
