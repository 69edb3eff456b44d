"""The hash of rows: what it is, that it is the same for equal values, and that it spreads."""

from datetime import date, datetime

import numpy
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_hallmark.hashing import mix, row_hashes, seeded, text_hash, value_hashes

ENVIRONMENT = "ml"

MISSING = text_hash("missing value")
FIXED = [4714520013338323975, 3797912957765656425]
FIXED_SEEDED = [14991723747816668094, 3692006741386050464]
"""What the definition gives for the two rows of the test, computed once with plain integers of Python."""


def hashes(values, kind=None):
    return value_hashes(pyarrow.array(values, kind)).tolist()


def test_mix_is_the_finalizer_of_splitmix64():
    # The first three outputs of SplitMix64 with the seed 1234567, as published with the generator.
    state = numpy.array([1234567], dtype=numpy.uint64)
    golden = numpy.uint64(0x9E3779B97F4A7C15)
    found = []
    for _ in range(3):
        state = state + golden
        found.append(int(mix(state)[0]))
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_the_hash_of_a_row_never_changes():
    batch = pyarrow.record_batch({"name": ["Zürich", None], "n": [7, -1], "x": [0.5, float("nan")], "b": [True, None]})
    assert row_hashes(batch).tolist() == FIXED
    assert seeded(row_hashes(batch), 3).tolist() == FIXED_SEEDED


@pytest.mark.parametrize("kind", ["int8", "int16", "int64", "uint8", "uint64", "float32", "float64"])
def test_equal_numbers_hash_alike_whatever_their_type(kind):
    assert hashes([0, 1, 100, None], kind) == hashes([0, 1, 100, None], "int32")


def test_negative_numbers_and_zeros_hash_alike_whatever_their_type():
    assert hashes([-5, 0], "int8") == hashes([-5.0, -0.0], "float64")
    assert hashes([True, False]) == hashes([1, 0])


def test_large_numbers_keep_apart():
    assert len(set(hashes([2**53, 2**53 + 1, 2**63 - 1, -(2**63)]))) == 4
    assert len(set(hashes([1e300, -1e300, float("inf"), float("-inf"), 2.0**63, 0.1, 0.2]))) == 7


def test_large_whole_numbers_hash_alike_whatever_their_type():
    assert hashes([2**60, -(2**62)]) == hashes([2.0**60, -(2.0**62)])


def test_a_date_is_its_midnight_and_a_time_the_same_in_every_unit():
    assert hashes([date(2024, 3, 1)]) == hashes([datetime(2024, 3, 1)])
    moments = [datetime(2024, 3, 1, 12, 30), None]
    units = [hashes(moments, pyarrow.timestamp(unit)) for unit in ("s", "ms", "us", "ns")]
    assert units == [units[0]] * 4


@pytest.mark.parametrize("column", [[None, "a"], [None, 1], [None, 1.5], [None, True], [float("nan"), 1.0]])
def test_a_missing_value_has_a_hash_of_its_own(column):
    first, second = hashes(column)
    assert first == MISSING
    assert second != MISSING


def test_an_empty_text_is_not_missing():
    assert hashes([""]) != hashes([None], "string")


def test_the_columns_name_counts_and_their_order_does_not():
    one = pyarrow.record_batch({"a": [1], "b": [2]})
    turned = pyarrow.record_batch({"b": [2], "a": [1]})
    swapped = pyarrow.record_batch({"a": [2], "b": [1]})
    assert row_hashes(one).tolist() == row_hashes(turned).tolist() != row_hashes(swapped).tolist()


@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=30), st.data())
def test_hashes_do_not_depend_on_the_order_or_the_pieces(values, data):
    order = data.draw(st.permutations(range(len(values))))
    whole = hashes(values, "string")
    assert hashes([values[index] for index in order], "string") == [whole[index] for index in order]
    cut = data.draw(st.integers(0, len(values)))
    assert hashes(values[:cut], "string") + hashes(values[cut:], "string") == whole


@pytest.mark.parametrize("seed", [0, 1, -7])
def test_hashes_spread_evenly(seed):
    rows = 100_000
    shares = seeded(row_hashes(pyarrow.record_batch({"n": numpy.arange(rows)})), seed) / 2.0**64
    counts = numpy.histogram(shares, bins=20, range=(0, 1))[0]
    # Chi-squared with 19 degrees of freedom exceeds 43.8 in one of a thousand cases.
    assert ((counts - rows / 20) ** 2 / (rows / 20)).sum() < 43.8


def test_seeds_pick_independently():
    base = row_hashes(pyarrow.record_batch({"n": numpy.arange(100_000)}))
    first, second = (seeded(base, seed) / 2.0**64 for seed in (0, 1))
    assert abs(numpy.corrcoef(first, second)[0, 1]) < 0.02
