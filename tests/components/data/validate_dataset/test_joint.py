"""Whether rows of two datasets can be told apart."""

import numpy
import pyarrow
import pytest

from kfp_hallmark.components.data.validate_dataset.joint import SAMPLE, Separation, separate, separation_check
from kfp_hallmark.contracts.verdict import Status


def pair(rows, seed, related):
    """Two numbers and a text; the numbers rise together, or do not."""
    random = numpy.random.default_rng(seed)
    first = random.normal(size=rows)
    second = first + random.normal(size=rows) if related else random.normal(0, 2**0.5, rows)
    towns = random.choice(["a", "b", None], rows).tolist()
    return {"first": first, "second": second, "town": towns, "day": numpy.full(rows, seed, "datetime64[D]")}


def parted(stored, now, before=None, max_area=0.6):
    before = stored(pair(3000, 1, True) if before is None else before, "before")
    names = [name for name in now if name != "other"]
    return separate("baseline", before, stored(now), names, max_area, 0)


def test_like_rows_cannot_be_told_apart_and_times_are_left_out(stored):
    found = parted(stored, pair(2000, 2, True))
    assert found.interval[0] < 0.5 < found.interval[1]
    assert (found.rows, found.columns, found.features) == (5000, 3, ())


def test_the_interval_allows_for_classifiers_that_learn_from_what_tests_the_others(stored):
    """Of 300 pairs of halves of the bundled data it missed 0.5 in 5; see benchmarks/drift.py."""
    squares = []
    for seed in range(20):
        found = parted(stored, pair(500, 2 * seed, True), pair(500, 2 * seed + 1, True))
        squares.append(((found.area - 0.5) / (found.interval[1] - found.area) * 1.96) ** 2)
    assert 0.2 < numpy.mean(squares) < 1


def test_rows_that_a_split_by_content_keeps_on_one_side_are_not_known_again(stored):
    generator = numpy.random.default_rng(3)
    distinct = numpy.column_stack([generator.integers(0, 90, 3000), generator.integers(0, 24, 3000)])
    copies = generator.integers(0, 3000, 9000)
    side = generator.integers(0, 2, 3000)[copies]
    before, now = (distinct[copies[side == number]] for number in (0, 1))
    table = [{"age": rows[:, 0], "schooling": rows[:, 1]} for rows in (now, before)]
    assert 0.42 < parted(stored, *table).area < 0.56


def test_few_rows_that_are_alike_on_both_sides_are_not_taken_for_the_other_sides(stored):
    """Each row three times: a classifier that learnt two of them guesses wrong of the third."""
    areas = []
    for seed in range(4):
        generator = numpy.random.default_rng(seed)
        distinct = numpy.column_stack([generator.integers(0, 90, 2000), generator.integers(0, 24, 2000)])
        halves = numpy.array_split(generator.permutation(numpy.repeat(distinct, 3, axis=0)), 2)
        table = [{"age": rows[:, 0], "schooling": rows[:, 1]} for rows in halves]
        areas.append(parted(stored, *table).area)
    assert 0.485 < numpy.mean(areas) < 0.515


def test_a_changed_relation_is_found_and_its_columns_are_named(stored):
    found = parted(stored, pair(2000, 2, False))
    assert found.interval[0] > 0.6
    assert set(found.features[:2]) == {"first", "second"}


@pytest.mark.parametrize("changed", ["a", None])
def test_a_category_and_a_missing_one_are_told_apart(stored, changed):
    now = pair(2000, 2, True)
    now["town"] = [changed if row % 2 else town for row, town in enumerate(now["town"])]
    found = parted(stored, now, max_area=0.55)
    assert found.interval[0] > 0.55
    assert found.features[0] == "town"


def test_identifiers_do_not_tell_rows_apart(stored):
    sides = [
        {"id": [f"{side}-{row}" for row in range(2000)], "n": numpy.random.default_rng(seed).random(2000)}
        for seed, side in enumerate("ab")
    ]
    found = parted(stored, sides[1], sides[0])
    assert found.interval[0] < 0.5 < found.interval[1]


def test_the_sample_is_bounded_and_says_so(stored):
    sides = [{"n": numpy.random.default_rng(seed).random(SAMPLE + 500)} for seed in (0, 1)]
    assert parted(stored, sides[1], sides[0]).rows == 2 * SAMPLE


def test_infinities_are_taken_as_missing(stored):
    now = pair(2000, 2, True)
    now["second"][:500] = numpy.inf
    assert parted(stored, now).interval[0] > 0.55


@pytest.mark.parametrize("values", [0, 1])
@pytest.mark.parametrize(("kind", "value"), [("float64", 0.5), ("string", "a")])
def test_columns_with_hardly_a_value_tell_nothing(stored, kind, value, values):
    """One value alone is in a single fold, so that the classifier that scores it has learnt of none."""
    empty, hardly = pyarrow.array([None] * 2000, kind), pyarrow.array([value] * values + [None] * (2000 - values), kind)
    sides = [pair(2000, seed, True) | {"x": column} for seed, column in ((1, empty), (2, hardly))]
    assert parted(stored, sides[1], sides[0]).interval[0] < 0.5
    assert parted(stored, {"x": hardly}, {"x": empty}).area < 0.51


def test_without_a_column_to_compare_nothing_is_said(stored):
    before, now = {"n": [1, 2] * 500}, {"n": ["1", "2"] * 500}
    assert parted(stored, now, before) is None
    days = {"day": pyarrow.array(range(1000), "int32").cast("date32")}
    assert parted(stored, days, days) is None


@pytest.mark.parametrize(
    ("area", "low", "status"),
    [
        (0.65, 0.60, Status.PASS),
        (0.66, 0.65, Status.INCONCLUSIVE),
        (0.66, 0.6501, Status.FAIL),
    ],
)
def test_only_the_whole_interval_above_the_limit_fails(area, low, status):
    check = separation_check(Separation("serving", area, (low, 0.7), 4000, 2, ("a", "b")), 0.65)
    assert check.status is status
    assert (check.observed, check.interval, check.confidence, check.samples) == (area, (low, 0.7), 0.95, 4000)
    assert ("best by a, b" in check.message) is (status is not Status.PASS)
    assert "of the serving sample" in check.message
