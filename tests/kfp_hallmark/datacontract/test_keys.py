"""Keys and references: exact counts, whatever the batches and the order, in bounded memory."""

import tracemalloc

import numpy
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_hallmark.datacontract.keys import KeyTally, ReferenceTally

ENVIRONMENT = "data"


def batch(**columns):
    arrays = [value if isinstance(value, pyarrow.Array) else pyarrow.array(value) for value in columns.values()]
    return pyarrow.RecordBatch.from_arrays(arrays, names=list(columns))


@pytest.fixture
def repeated(tmp_path):
    def count(columns, *batches):
        tally = KeyTally(columns, tmp_path / "key")
        for each in batches:
            tally.add(each)
        return tally.rows, tally.repeated(), tally.missing

    return count


def test_repeats_are_found_across_batches(repeated):
    batches = [batch(a=[1, 2, 3], b=["x", "y", "z"]), batch(a=[1, 2, 3], b=["x", "z", "z"])]
    assert repeated(["a", "b"], *batches) == (6, 2, 0)


@pytest.mark.parametrize(("columns", "expected"), [(["a"], 3), (["b"], 2), (["a", "b"], 1), (["b", "a"], 1)])
def test_which_columns_count(repeated, columns, expected):
    assert repeated(columns, batch(a=[1, 1, 1, 1, 2], b=["1", "2", "3", "3", "1"]))[1] == expected


def test_a_missing_part_is_no_key_and_repeats_nothing(repeated):
    rows = batch(a=[1, 1, None, None, 2], b=[1.0, float("nan"), 1.0, None, 1.0])
    assert repeated(["a", "b"], rows) == (5, 0, 3)


def test_nothing(repeated):
    assert repeated(["a"], batch(a=pyarrow.array([], "int64"))) == (0, 0, 0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.integers(0, 4), st.none() | st.sampled_from(["", "a", "b"]))), st.integers(0, 9)
)
def test_counts_are_those_of_a_set(tmp_path_factory, rows, cut):
    tally = KeyTally(["n", "t"], tmp_path_factory.mktemp("keys") / "key")
    for part in (rows[:cut], rows[cut:]):
        numbers, texts = [row[0] for row in part], [row[1] for row in part]
        tally.add(batch(n=pyarrow.array(numbers, "int64"), t=pyarrow.array(texts, "string")))
    whole = [row for row in rows if None not in row]
    assert (tally.rows, tally.missing, tally.repeated()) == (
        len(rows),
        len(rows) - len(whole),
        len(whole) - len({*whole}),
    )


def test_references(tmp_path):
    tally = ReferenceTally("town", tmp_path / "towns")
    tally.add(batch(town=["Bern", "Basel", None]))
    tally.add(batch(town=["Chur", "Bern"]))
    tally.add_known(batch(name=["Bern", "Bern", None]), "name")
    tally.add_known(batch(name=["Basel", "Genf"]), "name")
    assert (tally.rows, tally.unknown()) == (4, 1)


def test_numbers_refer_to_equal_numbers_of_another_type(tmp_path):
    tally = ReferenceTally("id", tmp_path / "ids")
    tally.add(batch(id=pyarrow.array([1, 2, 5], "int32")))
    tally.add_known(batch(key=[1.0, 2.5, 5.0]), "key")
    assert tally.unknown() == 1


KINDS = [("int64", -(2**63), 2**63 - 1), ("uint64", 0, 2**64 - 1)]
NUMBERS = st.lists(st.sampled_from([-(2**63), -2, -1, 0, 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]))


@settings(max_examples=60, deadline=None)
@given(NUMBERS, NUMBERS, st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_a_number_refers_to_its_equal_alone_whatever_is_signed(tmp_path_factory, values, known, kind, other):
    values = [value for value in values if kind[1] <= value <= kind[2]]
    known = [value for value in known if other[1] <= value <= other[2]]
    tally = ReferenceTally("id", tmp_path_factory.mktemp("references") / "ids")
    tally.add(batch(id=pyarrow.array(values, kind[0])))
    tally.add_known(batch(key=pyarrow.array(known, other[0])), "key")
    assert tally.unknown() == sum(value not in known for value in values)


def test_the_greatest_number_is_not_minus_one(tmp_path):
    tally = ReferenceTally("id", tmp_path / "ids")
    tally.add(batch(id=pyarrow.array([-1, 7], "int64")))
    tally.add_known(batch(key=pyarrow.array([2**64 - 1, 7], "uint64")), "key")
    assert tally.unknown() == 1


@pytest.mark.parametrize("pieces", [2, 3, 7])
def test_what_is_in_files_and_in_memory_counts_together(tmp_path, pieces):
    """Pieces of 50,000 rows: the third is the first that goes into files, the seventh stays in memory."""
    random = numpy.random.default_rng(pieces)
    ids = random.integers(0, 200_000, pieces * 50_000)
    known = random.integers(0, 200_000, 150_000)
    key, reference = KeyTally(["id"], tmp_path / "key"), ReferenceTally("id", tmp_path / "reference")
    for part in numpy.split(ids, pieces):
        key.add(batch(id=part))
        reference.add(batch(id=part))
    reference.add_known(batch(other=known), "other")
    assert key.repeated() == len(ids) - len({*ids.tolist()})
    assert reference.unknown() == int((~numpy.isin(ids, known)).sum())


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Eight times the rows take a little more than as much memory: one file of 64, 8 bytes a row."""
    random = numpy.random.default_rng(0)

    def peak(pieces, name):
        tally = KeyTally(["id"], tmp_path / name)
        tracemalloc.start()
        for _ in range(pieces):
            tally.add(batch(id=random.integers(0, 2**62, 50_000)))
        assert tally.repeated() == 0
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(4, "few"), peak(32, "many")
    assert many < few + 32 * 50_000 * 8 / 20
