"""Counting beyond what is kept exactly, and odd columns."""

from collections import Counter

import numpy
import pyarrow
import pyarrow.parquet
import pytest

from kfp_hallmark.errors import InputError
from kfp_hallmark.profiles.profile import Categories, profile
from kfp_hallmark.profiles.scan import COLUMNS_AT_ONCE, column_blocks, find_slices, scan
from kfp_hallmark.profiles.statistics import compute_statistics
from kfp_hallmark.profiles.tally import EXACT_ROWS, POINTS, NumberTally, TextTally

ENVIRONMENT = "data"


def numbers(values, exact_rows, piece=1000):
    """Count numbers in pieces."""
    tally = NumberTally(exact_rows)
    for start in range(0, len(values), piece):
        tally.add(pyarrow.array(values[start : start + piece]))
    return tally.finish()


def texts(values, max_counted, piece=1000):
    """Count texts in pieces."""
    tally = TextTally(max_counted)
    for start in range(0, len(values), piece):
        tally.add(pyarrow.array(values[start : start + piece]))
    return tally.finish()


@pytest.mark.parametrize("order", ["random", "ascending"])
def test_beyond_the_exact_rows_ranks_are_off_by_little(order):
    """Of seven pieces, the last one short, each is represented by fewer values than it has."""
    rows = 6 * 20_000 + 7_000
    values = numpy.random.default_rng(6).lognormal(0, 2, rows)
    ordered = numpy.sort(values)
    found = numbers(ordered if order == "ascending" else values, 20_000)
    assert not found.exact
    assert len(found.values) == 7 * POINTS
    assert (found.values[0], found.values[-1]) == (ordered[0], ordered[-1])
    shares = numpy.linspace(0.001, 0.999, 777)
    ranks = numpy.searchsorted(ordered, found.quantiles(shares), side="right")
    # A representative stands for its neighbours on either side; at the edge of a piece one row more may count.
    assert abs(ranks / rows - shares).max() <= 1 / (2 * POINTS) + 7 / rows
    bounds = ordered[::997]
    exact = numpy.searchsorted(ordered, bounds, side="right")
    assert abs(found.at_most(bounds) - exact).max() <= rows / (2 * POINTS) + 7
    assert abs(found.mean - values.mean()) < 1e-12 * values.mean() * rows
    assert found.standard_deviation == pytest.approx(values.std(), rel=1e-12)


@pytest.mark.parametrize(("rows", "exact"), [(4999, True), (5000, True), (5001, False)])
def test_up_to_the_exact_rows_all_are_kept(rows, exact):
    values = numpy.random.default_rng(6).normal(0, 2, rows)
    found = numbers(values, 5000)
    assert found.exact is exact
    assert (found.values.tolist() == sorted(values.tolist())) is exact


@pytest.mark.parametrize(("different", "exact"), [(2, True), (POINTS, True), (POINTS + 1, False)])
def test_few_different_values_are_counted_exactly_however_many_rows(different, exact):
    """Each piece has all values, more often the greater they are; the last is shorter than the others."""
    rows = 5 * 20_000 + 12_345
    values = (numpy.random.default_rng(4).power(2, rows) * different).astype("int64")
    values[::20_000] = 0
    values[:different] = values[20_000 : 20_000 + different] = numpy.arange(different)
    found, known = numbers(values, 20_000), Counter(values.tolist())
    assert found.exact is exact
    assert found.counts(different) == (dict(sorted(known.items())) if exact else None)
    assert found.counts(different - 1) is None
    if exact:
        wanted = [0, different // 2, different - 1, different]
        assert found.holding(wanted).tolist() == [known[value] for value in wanted]
        ordered = numpy.sort(values)
        assert found.quantiles([0.01, 0.5, 0.999]).tolist() == ordered[[1123, 56172, 112232]].tolist()
        assert found.at([0, 56_000, rows - 1]).tolist() == ordered[[0, 56_000, rows - 1]].tolist()


def test_few_and_many_different_values_count_together():
    """The first piece is exact, the second is not: what is so told is off by little."""
    random = numpy.random.default_rng(4)
    values = numpy.concatenate([random.integers(0, 3, 20_000), random.integers(0, 1_000_000, 20_000)])
    found = numbers(values, 20_000)
    assert (found.exact, found.counts(10**9)) == (False, None)
    assert found.at_most([0, 2]) == pytest.approx([(values <= 0).sum(), 20_000], abs=20_000 / POINTS)


def test_places_count_infinities():
    found = numbers([numpy.inf, 3.5, -numpy.inf, 1.25, numpy.nan, -numpy.inf, 7.0], 100)
    assert found.at(range(6)).tolist() == [-numpy.inf, -numpy.inf, 1.25, 3.5, 7.0, numpy.inf]
    assert found.at_most([-numpy.inf, 1.25, 6, numpy.inf]).tolist() == [2, 3, 4, 6]
    assert (found.missing, found.below, found.finite, found.above) == (1, 2, 3, 1)


def test_beyond_the_counted_texts_frequent_ones_are_exact():
    random = numpy.random.default_rng(9)
    frequent = [f"frequent {index}" for index in random.zipf(1.5, 30_000) if index <= 50]
    values = numpy.array([*frequent, *(f"once {index}" for index in range(40_000))], dtype=object)
    random.shuffle(values)
    found, exact = texts(values, 1000), Counter(values.tolist())
    assert len(found.counts) <= 2000
    assert found.counts.most_common(20) == exact.most_common(20)
    assert found.counts.total() + found.rare_count == len(values)
    assert found.distinct == pytest.approx(len(exact), rel=0.03)
    assert found.bytes == sum(map(len, values))


def test_what_comes_again_is_not_told_twice():
    """Each of 9,000 texts comes thrice, long after it was let go."""
    values = [f"v{index}" for _ in range(3) for index in range(9000)]
    assert texts(values, 1000).distinct == 9000


@pytest.mark.parametrize(("different", "rare"), [(2000, 0), (2001, 1001)])
def test_up_to_twice_the_counted_texts_all_are_kept(different, rare):
    found = texts([f"v{index}" for index in range(different)], 1000, piece=different)
    assert (found.distinct, found.rare_count) == (different, rare)


@pytest.mark.parametrize(("length", "kept"), [(1024, True), (1025, False)])
def test_long_texts_are_known_by_their_digest(length, kept):
    text = "é" * (length // 2) + "x" * (length % 2)
    found = texts([text, text, "short"], 10)
    assert (text in found.counts) is kept
    assert sorted(found.counts.values()) == [1, 2]
    assert max(map(len, found.counts)) <= 1024
    assert found.bytes == 2 * length + 5


@pytest.fixture
def written(tmp_path):
    """Write a table; return its path."""

    def write(columns):
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "dataset.parquet", version="2.6")
        return tmp_path / "dataset.parquet"

    return write


def test_however_text_is_stored_it_counts_alike(written):
    values = ["b", "a", None, "b", "c", "b"]
    forms = {
        "plain": pyarrow.array(values),
        "large": pyarrow.array(values, "large_string"),
        "encoded": pyarrow.array(values).dictionary_encode(),
        "large encoded": pyarrow.array(values, "large_string").dictionary_encode(),
    }
    for name, _, counted in scan(written(forms)):
        assert counted.counts == {"b": 3, "a": 1, "c": 1}, name
        assert counted.missing == 1, name


def test_encoded_numbers_count_as_numbers(written):
    ((_, kind, counted),) = scan(written({"n": pyarrow.array([3, 1, None, 3]).dictionary_encode()}))
    assert pyarrow.types.is_integer(kind)
    assert counted.values.tolist() == [1, 3, 3]


def test_text_that_is_no_utf8_is_refused(written):
    raw = pyarrow.array([b"Z\xfcrich", b"Bern"], "binary")
    buffers = raw.buffers()
    text = pyarrow.Array.from_buffers(pyarrow.string(), 2, buffers)
    with pytest.raises(InputError, match=r"^The column 'town' must hold text in UTF-8; got bytes that are not\.$"):
        list(scan(written({"town": text})))


@pytest.mark.parametrize("days", [106_751_991, -106_751_991])
def test_far_dates_are_counted(written, days):
    ((_, _, counted),) = scan(written({"day": pyarrow.array([days], "int32").cast("date32")}))
    assert counted.values.tolist() == [days * 86_400_000_000]


@pytest.mark.parametrize("days", [106_751_992, -2_000_000_000])
def test_dates_out_of_range_are_refused(written, days):
    with pytest.raises(InputError, match=r"^The column 'day' must hold times between the years"):
        list(scan(written({"day": pyarrow.array([days], "int32").cast("date32")})))


def test_great_integers_are_told_apart(written):
    values = [2**63 - 1, 2**63 - 2, -(2**63), 2**53 + 1]
    ((_, _, counted),) = scan(written({"n": values}))
    assert counted.counts(10) == dict.fromkeys(values, 1)
    assert counted.at_most([2**53, 2**53 + 1, 2**63 - 2]).tolist() == [1, 2, 3]
    assert counted.at_most([-(2**63) - 1, -(2**63), 2**63]).tolist() == [0, 1, 4]
    assert counted.holding([-(2**63) - 1, -(2**63), 2**63 - 1, 2**63]).tolist() == [0, 1, 1, 0]


def test_beyond_the_exact_rows_categories_and_slices_stay(written):
    """A column of sexes names its categories, and cuts slices, however many rows there are."""
    rows = EXACT_ROWS + 100_000
    sex = numpy.ones(rows, "int8")
    sex[: rows // 3] = 2
    path = written({"SEX": sex, "paid": sex == 2})
    ones, twos = rows - rows // 3, rows // 3
    assert find_slices(path, ["SEX", "paid"]) == {
        ("SEX", 1): ones,
        ("SEX", 2): twos,
        ("paid", 0): ones,
        ("paid", 1): twos,
    }
    columns = profile(path).columns
    assert columns["SEX"].distribution == Categories({"1": ones, "2": twos}, 0, 0)
    assert columns["paid"].distribution == Categories({"false": ones, "true": twos}, 0, 0)


def test_many_columns_keep_their_order(written):
    columns = {f"c{index}": [index, index + 1, -index] for index in range(3 * COLUMNS_AT_ONCE)}
    path = written(columns)
    found = compute_statistics(path, list(reversed(columns))).datasets[0].features
    assert [feature.path.step[0] for feature in found] == list(reversed(columns))
    assert [feature.num_stats.max for feature in found[:2]] == [3 * COLUMNS_AT_ONCE, 3 * COLUMNS_AT_ONCE - 1]


@pytest.mark.parametrize(
    ("kind", "rows", "first"),
    [
        ("int64", 50, 10_000),
        ("int64", 1_000_000, 67),
        ("int64", EXACT_ROWS, 16),
        ("int64", 50_000_000, 16),
        ("string", 50, 10_000),
        ("string", 200_000, 41),
        ("string", 1_000_000, 20),
        ("string", 50_000_000, 20),
    ],
)
def test_as_many_columns_are_read_at_once_as_memory_bears(kind, rows, first):
    """At most 16 times 4,194,304 numbers, or an eighth as many texts, of which a column keeps at most 400,000."""
    types = {f"c{index}": pyarrow.type_for_alias(kind) for index in range(10_000)}
    blocks = list(column_blocks(types, rows))
    assert [name for block in blocks for name in block] == list(types)
    assert len(blocks[0]) == first


def test_ten_thousand_columns_are_profiled(written):
    found = profile(written({f"c{index}": [index, None, 3.5] for index in range(10_000)}))
    assert len(found.columns) == 10_000
    assert list(found.columns["c9999"].distribution.counts) == []
    assert (found.columns["c9999"].missing, found.columns["c9999"].distribution.other_count) == (1, 2)
