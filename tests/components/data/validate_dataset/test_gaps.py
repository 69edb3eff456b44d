"""Stretches of time in which nothing happened."""

import numpy
import pyarrow
import pytest
from scipy import stats

from kfp_hallmark.components.data.validate_dataset.checks import content_checks
from kfp_hallmark.components.data.validate_dataset.features import Feature
from kfp_hallmark.components.data.validate_dataset.gaps import SECOND, _longest, exact_gaps, gap_checks, longest_gap
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.profiles.profile import Categories, Column, Profile, profile
from kfp_hallmark.profiles.tally import EXACT_ROWS

DAY = 86_400


def between(days):
    """Return the longest gap of times that so many days lie between, one row at each."""
    return longest_gap(numpy.cumsum([0, *days]) * DAY * SECOND, numpy.arange(1, len(days) + 2))


def on_days(rows):
    """Return the longest gap where so many rows hold each day."""
    held = numpy.flatnonzero(rows)
    return longest_gap(held * DAY * SECOND, numpy.cumsum(rows)[held])


def test_how_many_gaps_chance_leaves_is_what_the_hand_computes():
    """98 stretches of a day, one of two, one of four: 4 of 104 places are left out, and one of them beside the gap."""
    found = between([1] * 98 + [2, 4])
    assert (found.longest, found.usual) == (4 * DAY, pytest.approx(1.02 * DAY))
    assert found.expected == pytest.approx(104 * (2 / 104) ** 3)


@pytest.mark.parametrize(
    ("rows", "none"),
    [
        ([2, 6, 4, 4, 2, 6, 4, 4], stats.binom(8, 0.5).pmf(0)),
        ([2, 10, 2, 10, 4, 8], stats.nbinom(6, 0.5).pmf(0)),
        ([7, 7, 7, 7], 0),
    ],
)
def test_how_many_days_chance_leaves_without_rows_is_what_the_distributions_say(rows, none):
    """Mean 4 and variance 2, mean 6 and variance 12, no variance; one day between two of the repetitions has none."""
    rows = rows * 5 + [0] + rows
    assert on_days(numpy.array(rows)).expected == pytest.approx((len(rows) - 1) * none)


def test_days_with_a_single_row_tell_of_such_without():
    """Chao's estimate: of 2 days with one row and 3 with two, 2 * 1 / (2 * 4) are to be expected without."""
    rows = [1, 2, 1, 2, 2, *[9] * 40, 0, *[9] * 40]
    assert on_days(numpy.array(rows)).expected == 0.25
    assert on_days(numpy.array(rows[5:])).expected == 0


@pytest.mark.parametrize(
    ("days", "odd"),
    [
        ([1] * 99 + [3], True),
        ([1] * 97 + [2], True),
        ([1] * 97 + [2, 2], False),
        ([1, 1, 1, 1, 3] * 52 + [4], False),
        ([1, 1, 1, 1, 3] * 52 + [10], True),
        ([30, 31] * 30 + [31 + 30], False),
        ([30, 31] * 30 + [92], True),
        ([0.1] * 50 + [1] * 50 + [4], False),
        ([0.1] * 50 + [1] * 50 + [5], False),
        ([0.1] * 50 + [1] * 50 + [5.1], True),
    ],
)
def test_a_gap_is_odd_beyond_what_chance_leaves_out(days, odd):
    """Days without some of them, working days with a holiday or without a week, months, and no clock at all."""
    checks = content_checks([Feature("day", "time", 5000, 0, 100, 0, None, gap=between(days))])
    assert [check.name for check in checks] == ["time_gap"] * odd


@pytest.mark.parametrize(("weeks", "closed", "odd"), [(4, 0, True), (5, 0, False), (52, 0, False), (52, 7, True)])
def test_nights_and_weekends_are_usual_where_they_come_again(weeks, closed, odd):
    """Each minute of working hours: of 124,799 stretches in a year, 259 are nights or weekends."""
    minutes = numpy.arange(weeks * 7 * 24 * 60)
    days, hours = minutes // (24 * 60), minutes // 60 % 24
    held = (hours >= 9) & (hours < 17) & (days % 7 < 5) & ((days < 70) | (days >= 70 + closed))
    times = numpy.flatnonzero(held) * 60 * SECOND
    assert longest_gap(times, numpy.arange(1, len(times) + 1)).odd == odd


def test_a_gap_that_the_contract_limits_is_judged_by_it_alone():
    feature = Feature("day", "time", 5000, 0, 100, 0, None, gap=between([1] * 99 + [30]))
    assert content_checks([feature], ["day"]) == []


@pytest.mark.parametrize(("mean", "odd"), [(2, False), (6, False), (15, True), (60, True)])
@pytest.mark.parametrize("seed", range(5))
def test_a_day_without_rows_is_odd_where_each_has_many(mean, odd, seed):
    rows = numpy.random.default_rng(seed).poisson(mean, 365)
    assert not on_days(rows).odd
    rows[200] = 0
    assert on_days(rows).odd == odd


def test_a_quiet_sunday_may_be_without_rows():
    """By the mean and variance of all days alone, a day without any would come once in a million years."""
    random = numpy.random.default_rng(0)
    rows = random.poisson(numpy.where(numpy.arange(365) % 7 == 6, 2, 200))
    rows[6::7] = numpy.maximum(rows[6::7], 1)
    rows[6] = 0
    assert not on_days(rows).odd


def test_times_by_chance_have_no_gap():
    """Events by the second, 20 to 0.2 of them; benchmarks/chance.py has more of such series."""
    random = numpy.random.default_rng(2)
    found = 0
    for rate in numpy.repeat([20, 5, 1, 0.2], 75):
        seconds, rows = numpy.unique(random.exponential(1 / rate, 5000).cumsum().astype("int64"), return_counts=True)
        found += longest_gap(seconds * SECOND, rows.cumsum()).odd
    assert found <= 1


@pytest.mark.parametrize("times", [[], [5]])
def test_less_than_two_times_have_no_gap(times):
    assert longest_gap(numpy.array(times, "int64"), numpy.arange(1, len(times) + 1)) is None


def test_of_few_times_no_gap_is_odd():
    assert (found := between([1] * 17 + [1000])).longest == 1000 * DAY
    assert not found.odd


@pytest.fixture
def days(stored):
    """Return the profile of a dataset with rows on some days."""

    def made(numbers, name="data"):
        return profile(stored(pyarrow.table({"day": pyarrow.array(numbers, "date32")}), name).path)

    return made


@pytest.mark.parametrize(("limit", "status"), [(48, Status.PASS), (47.9, Status.FAIL)])
def test_a_contract_limits_the_gaps_within(days, limit, status):
    now = days([10, 11, 13, 13])
    (check,) = gap_checks({"day": limit}, now, {"day": between([1, 2])}, None)
    assert (check.name, check.status, check.observed, check.maximum) == ("gap_hours", status, 48, limit)
    assert check.message == f"day has gaps of at most 48 hours; the contract allows {limit}."


@pytest.mark.parametrize(
    ("first", "hours", "status"),
    [(20, 0, Status.PASS), (21, 24, Status.PASS), (22, 48, Status.FAIL), (15, 0, Status.PASS)],
)
def test_a_contract_limits_the_gap_since_the_span_before(days, first, hours, status):
    now, before = days([first, 30], "now"), days([10, 20], "before")
    _, check = gap_checks({"day": 24}, now, {"day": between([1])}, before)
    assert (check.status, check.observed, check.scope) == (status, hours, {"feature": "day", "reference": "previous"})
    assert check.message == f"day begins {hours} hours after the previous span ends; the contract allows 24."


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ({"day": [None]}, "cannot be held against the previous span, which holds no time of it"),
        ({"other": [1]}, "cannot be held against the previous span, which holds no time of it"),
        ({"day": [31, 40]}, "ends before the previous span begins"),
    ],
)
def test_a_previous_span_that_does_not_tell_the_gap_since_is_inconclusive(days, stored, before, reason):
    table = pyarrow.table({name: pyarrow.array(held, "date32") for name, held in before.items()})
    _, check = gap_checks({"day": 24}, days([29, 30]), {"day": between([1])}, profile(stored(table, "before").path))
    assert (check.status, check.observed) == (Status.INCONCLUSIVE, None)
    assert check.message == f"day {reason}; the contract allows 24."


@pytest.mark.parametrize("column", ["day", "none"])
def test_a_column_without_times_cannot_be_judged(days, column):
    (check,) = gap_checks({column: 24}, days([None, None]), {}, days([1, 2], "before"))
    assert (check.status, check.observed) == (Status.INCONCLUSIVE, None)
    assert check.message == f"{column} holds no time to judge by; the contract allows 24."


def test_a_single_time_has_no_gap_within(days):
    (check,) = gap_checks({"day": 24}, days([10, 10]), {"day": None}, None)
    assert (check.status, check.observed) == (Status.PASS, 0)


@pytest.mark.parametrize("parts", [1, 7, 200, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_a_gap_is_found_in_the_file_but_for_a_part_of_the_span(stored, seed, parts):
    random = numpy.random.default_rng(seed)
    times = (random.lognormal(0, 3, 150) * SECOND).astype("int64").cumsum()
    column = pyarrow.array([None, *random.permutation(times).tolist()], "timestamp[us]")
    path = stored(pyarrow.table({"at": column})).path
    longest, part = numpy.diff(times).max() / SECOND, (times[-1] - times[0]) / parts / SECOND
    found = _longest(path, "at", (int(times[0]), int(times[-1])), parts)
    assert longest - part <= found <= longest
    assert found == longest or parts < 150


@pytest.mark.parametrize(("rows", "longest"), [(EXACT_ROWS, 1024), (EXACT_ROWS + 1, 100)])
def test_of_more_rows_than_are_kept_the_longest_gap_is_read_from_the_file(stored, rows, longest):
    """Of 4,194,304 rows, one each second, 4,096 are kept: 1,024 seconds lie between two of these."""
    seconds = numpy.arange(3000)
    seconds[1000:] += 99
    data = stored(pyarrow.table({"at": pyarrow.array(seconds, "timestamp[s]")}))
    times = Column("time", 0, Categories({}, 0, rows), (0, 3098 * SECOND))
    kept = longest_gap(numpy.array([0, 1, 1025]) * SECOND, numpy.arange(1, 4))
    gaps = exact_gaps({"at": kept}, data.path, Profile("sha256:", rows, {"at": times}))
    assert gaps["at"].longest == longest
