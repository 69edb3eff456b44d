"""Profiles as documents."""

import json

import numpy
import pyarrow
import pyarrow.parquet
import pytest

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import IntegrityError
from kfp_hallmark.profiles.profile import MAX_CATEGORIES, Binned, Categories, Column, Profile, _rounded, column, profile
from kfp_hallmark.profiles.tally import NumberTally

ENVIRONMENT = "data"


@pytest.fixture
def made(tmp_path):
    """Return the profile of columns."""

    def make(columns):
        path = tmp_path / "dataset.parquet"
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
        return profile(path)

    return make


@pytest.fixture
def kept(tmp_path):
    """Return a profile as it is read after it was written, and its document."""

    def keep(found):
        found.write(tmp_path / "profile.json")
        return Profile.read(tmp_path / "profile.json"), json.loads((tmp_path / "profile.json").read_text())

    return keep


def test_a_profile_says_what_the_columns_hold(made, tmp_path):
    ages = [17] * 7 + [18] * 5 + [90] * 8 + [None] * 3
    found = made({"age": ages, "town": ["Bern"] * 15 + ["Basel"] * 4 + [None, "Chur", "Chur", "Zug"]})
    assert found.dataset == artifact_digest(tmp_path / "dataset.parquet")
    assert found.rows == 23
    assert found.columns == {
        "age": Column("integer", 3, Categories({"90": 8, "17": 7, "18": 5}, 0, 0)),
        "town": Column("text", 1, Categories({"Bern": 15}, 3, 7)),
    }


@pytest.mark.parametrize("rows", [3, 300])
def test_times_have_a_span(made, kept, rows):
    days = pyarrow.array([None, *range(17_000, 17_000 + rows)], "date32")
    read, document = kept(
        made({"day": days, "n": range(rows + 1), "none": pyarrow.array([None] * (rows + 1), "date32")})
    )
    assert read.columns["day"].span == (17_000 * 86_400_000_000, (16_999 + rows) * 86_400_000_000)
    assert "span" not in document["columns"]["n"]
    assert read.columns["none"].span is None


def test_numbers_are_binned_at_their_percentiles(made):
    values = numpy.random.default_rng(2).lognormal(0, 1, 1234)
    column = made({"x": values}).columns["x"]
    ordered = numpy.sort(values)
    places = numpy.array([-(-percent * 1234 // 100) - 1 for percent in range(1, 100)])
    edges = numpy.array(column.distribution.edges)
    assert ((ordered[places] <= edges) & (edges < ordered[places + 1])).all()
    assert edges == pytest.approx(ordered[places], rel=1e-6)
    assert max(len(repr(edge)) for edge in column.distribution.edges) <= 11
    assert column.distribution.counts == tuple(numpy.histogram(-values, [-99, *-edges[::-1], 0])[0][::-1])
    assert column.distribution.mean == pytest.approx(values.mean())
    assert column.distribution.standard_deviation == pytest.approx(values.std())


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        # Rounded up; 12345678.5 would pass the next value, 12345678.75, by that.
        ([-1.23456789, 0.0, 1.23456781, 12345678.5, 12345678.75], (-1.234567, 0.0, 1.234568, 12345678.5, 12345680.0)),
        # What several rows hold stays.
        ([1.23456789, 1.23456789, 2.0, 2.5, 3.0], (1.23456789, 2.0, 2.5, 3.0)),
        # The last has nothing above it, but infinity.
        ([1.5e300 + 1e285, 1.5e300 + 2e285], (1.5e300 + 1e285, 1.500001e300)),
        ([1.7976931348623157e308], (1.7976931348623157e308,)),
    ],
)
def test_edges_are_rounded_up_where_no_value_is_passed(values, edges):
    tally = NumberTally()
    tally.add(pyarrow.array(values))
    assert tuple(_rounded(numpy.unique(values), tally.finish())) == edges


@pytest.mark.parametrize("others", [numpy.empty(0), numpy.random.default_rng(0).random(20_000)])
def test_what_many_rows_hold_stays_where_values_stand_for_others(others):
    """Of 5,000 rows and more one value stands for equal ones, which may be in one piece alone."""
    common = (numpy.arange(30) + 1) / 7
    tally = NumberTally(5000)
    tally.add(pyarrow.array(common.repeat(300)))
    tally.add(pyarrow.array(others))
    edges = column(pyarrow.float64(), tally.finish()).distribution.edges
    assert set(edges) - set(others) >= set(common[:-1])
    rounded = set(edges) - set(common)
    assert not rounded & set(others)


@pytest.mark.parametrize("rows", [100, 101, 1234, 5000])
def test_even_counts_are_kept_by_their_sum(made, kept, rows):
    found = made({"x": numpy.random.default_rng(4).normal(0, 1, rows)})
    read, document = kept(found)
    assert document["columns"]["x"]["binned"]["counts"] == rows
    assert read == found


@pytest.mark.parametrize(
    "values",
    [
        numpy.random.default_rng(4).poisson(40, 3000),
        [float(index) for index in range(50)],
        [*numpy.random.default_rng(1).normal(0, 1, 300), *[numpy.inf] * 7, *[-numpy.inf] * 5],
        [1e308, -1e308] * 60 + [float(index) for index in range(30)],
        [numpy.inf] * 3,
        [2**62 + index for index in range(500)],
    ],
    ids=["ties", "few", "infinities", "out of range", "infinity alone", "great integers"],
)
def test_other_counts_are_kept_as_they_are(made, kept, values):
    found = made({"x": values})
    assert kept(found)[0] == found


def test_a_moment_out_of_range_is_not_told(made, kept):
    read, _ = kept(made({"x": [1e308, -1e308] * 60 + [float(index) for index in range(30)]}))
    assert read.columns["x"].distribution.standard_deviation is None


@pytest.mark.parametrize("sign", [1, -1])
def test_few_values_with_an_infinity_are_no_categories(made, kept, sign):
    found = made({"x": [1.5] * 9 + [sign * numpy.inf] * 7})
    held = kept(found)[0].columns["x"].distribution
    assert (held.edges, held.below, held.above) == ((1.5,), 7 * (sign < 0), 7 * (sign > 0))
    assert sum(held.counts) == 16


def test_a_profile_is_small(made, tmp_path):
    random = numpy.random.default_rng(3)
    numbers = {f"n{index}": random.normal(index, 3, 20_000) for index in range(10)}
    texts = {f"t{index}": [f"value {value}" for value in random.integers(0, 50, 20_000)] for index in range(10)}
    made(numbers | texts).write(tmp_path / "profile.json")
    assert (tmp_path / "profile.json").stat().st_size < 25_000


def test_the_most_frequent_categories_are_named(made):
    values = [f"v{index}" for index in range(MAX_CATEGORIES + 3) for _ in range(5 + (index < 2))] + ["once"]
    found = made({"x": values}).columns["x"].distribution
    assert len(found.counts) == MAX_CATEGORIES
    assert list(found.counts.items())[:3] == [("v0", 6), ("v1", 6), ("v10", 5)]
    assert (found.other_values, found.other_count) == (4, 16)


@pytest.mark.parametrize(
    "change",
    [
        {"counts": [1, 2]},
        {"counts": 299},
        {"counts": -300},
        {"counts": [*[3] * 99, -3, 6]},
        {"counts": True},
        {"edges": [1.0]},
        {"mean": "0"},
        {"extra": 1},
    ],
)
def test_what_contradicts_itself_is_refused(made, tmp_path, change):
    made({"x": numpy.random.default_rng(4).normal(0, 1, 300)}).write(tmp_path / "profile.json")
    document = json.loads((tmp_path / "profile.json").read_text())
    document["columns"]["x"]["binned"] |= change
    (tmp_path / "profile.json").write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match="must be a whole hallmark/profile/v1"):
        Profile.read(tmp_path / "profile.json")


def test_percentiles_are_of_finite_values():
    column = Binned(edges=(1.0, 2.0), counts=(150, 50, 100), mean=1.5, standard_deviation=1.0, below=50, above=100)
    found = column.percentiles()
    assert (found[0], found[65], found[66], found[98]) == (1.0, 1.0, 2.0, 2.0)


@pytest.mark.parametrize(
    "column",
    [
        {"type": "text", "missing": 0, "binned": {"edges": [1.5], "counts": [2, 1], "below": 0, "above": 0}},
        {"type": "count", "missing": 0, "categories": {"counts": {"1": 3}, "other_values": 0, "other_count": 0}},
        {"type": "integer", "missing": 0, "categories": {"counts": {"one": 3}, "other_values": 0, "other_count": 0}},
        {"type": "number", "missing": 0, "categories": {"counts": {"1e999": 3}, "other_values": 0, "other_count": 0}},
        {
            "type": "text",
            "missing": 0,
            "categories": {"counts": {"a": 1.5, "b": 1.5}, "other_values": 0, "other_count": 0},
        },
        {"type": "text", "missing": 0, "categories": {"counts": {"a": 3}, "other_values": -1, "other_count": 0}},
        {"type": "time", "missing": 0, "categories": {"counts": {"1": 3}, "other_values": 0, "other_count": 0}},
        *(
            {
                "type": kind,
                "missing": 0,
                "span": span,
                "categories": {"counts": {"1": 3}, "other_values": 0, "other_count": 0},
            }
            for kind, span in (("time", [2, 1]), ("time", [1.5, 2]), ("time", [1]), ("time", None), ("integer", [1, 1]))
        ),
        {"type": "number", "missing": 0, "binned": {"edges": [], "counts": [3], "below": 1, "above": 1}},
        {"type": "number", "missing": 0, "binned": {"edges": [1.5], "counts": [1, 2], "below": 1, "above": 2}},
        {"type": "number", "missing": 0, "binned": {"edges": [1.5], "counts": [1, 2], "below": 5, "above": -3}},
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, column):
    """Each has three rows, and breaks one thing."""
    if "binned" in column:
        column["binned"] |= {"mean": None, "standard_deviation": None}
    document = {"schema": "hallmark/profile/v1", "dataset": "sha256:0", "rows": 3, "columns": {"x": column}}
    (tmp_path / "profile.json").write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match="must be a whole hallmark/profile/v1"):
        Profile.read(tmp_path / "profile.json")
