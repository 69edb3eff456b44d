import numpy as np
import pyarrow as pa
import pytest

from kfp_hallmark.errors import InputError
from kfp_hallmark.fairness.groups import MISSING, Groups, group_by, intersect

ENVIRONMENT = "ml"


def grouped(values, kind=None):
    column = pa.chunked_array([pa.array(values, type=kind)])
    groups = group_by(column, "feature")
    return groups.names, groups.codes.tolist()


def test_numbers_are_in_their_order_and_rendered_as_text():
    assert grouped([10, 9, 10, 2]) == (["2", "9", "10"], [2, 1, 2, 0])
    assert grouped([2.0, 1.5]) == (["1.5", "2"], [1, 0])


def test_text_and_booleans():
    assert grouped(["b", "a", "b"]) == (["a", "b"], [1, 0, 1])
    assert grouped([True, False, True]) == (["False", "True"], [1, 0, 1])


def test_missing_values_are_a_group_of_their_own_and_the_last():
    assert grouped([None, "b", None, "a"]) == (["a", "b", MISSING], [2, 1, 2, 0])
    assert grouped([None, True]) == (["True", MISSING], [1, 0])
    assert grouped([float("nan"), 1.0, None]) == (["1", MISSING], [1, 0, 1])
    assert grouped([None, None]) == ([MISSING], [0, 0])


def test_numbers_that_differ_little_stay_apart_and_zeros_together():
    assert grouped([0.1234561, 0.1234562]) == (["0.1234561", "0.1234562"], [0, 1])
    assert grouped([0.0, -0.0, 1.0]) == (["0", "1"], [0, 0, 1])


def test_chunks_are_put_together():
    column = pa.chunked_array([["b", "a"], ["c", "a"]])
    assert group_by(column, "feature").codes.tolist() == [1, 0, 2, 0]


def test_titles_name_the_feature():
    assert group_by(pa.chunked_array([[1, 2]]), "SEX").titles == ["SEX 1", "SEX 2"]


@pytest.mark.parametrize(("values", "most"), [(range(20), 20), ([f"area {n}" for n in range(1000)], 1000)])
def test_as_many_values_as_groups_can_have(values, most):
    assert len(grouped(list(values))[0]) == most


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (list(range(21)), "must have at most 20 values; got 21"),
        (np.linspace(0, 1, 5000), "must have at most 20 values; got 5,000"),
        ([f"person {n}" for n in range(1001)], "must have at most 1000 values; got 1,001"),
    ],
)
def test_what_names_no_groups_is_refused(values, message):
    with pytest.raises(InputError, match=f"The sensitive feature 'feature' {message}") as caught:
        grouped(values)
    assert "Bin it" in caught.value.hint


def test_combinations_that_identify_rows_are_refused():
    first = group_by(pa.chunked_array([[f"area {n}" for n in range(50)] * 21]), "area")
    second = group_by(pa.chunked_array([np.repeat(np.arange(20), 50).tolist() + [0] * 50]), "age")
    assert len(intersect([first, second]).names) == 1000
    other = group_by(pa.chunked_array([np.repeat(list("abcdefghijklmnopqrstu"), 50).tolist()]), "age")
    with pytest.raises(InputError, match="combinations of 'area' and 'age' must be at most 1,000 groups; got 1,050"):
        intersect([first, other])


def test_an_intersection_of_more_combinations_than_rows_holds_those_that_rows_have():
    first = group_by(pa.chunked_array([["a", "b", "c", "a"]]), "f")
    second = group_by(pa.chunked_array([[3, 2, 1, 3]]), "s")
    both = intersect([first, second])
    assert (both.names, both.codes.tolist()) == (["a × 3", "b × 2", "c × 1"], [0, 1, 2, 0])


def test_many_features_of_many_values_are_told_apart():
    """Numbered across all features, 1,000 to the 7th combinations, they would not fit into 64 bits."""
    names = [str(place) for place in range(1000)]
    codes = np.random.default_rng(0).integers(0, 1000, (7, 5))
    codes[:, 4] = codes[:, 1]
    both = intersect([Groups(str(place), names, names, each) for place, each in enumerate(codes)])
    assert [both.names[code] for code in both.codes] == [" × ".join(map(str, column)) for column in codes.T]
    assert len(both.names) == 4


@pytest.mark.parametrize("kind", ["date32", "timestamp"])
def test_times_that_no_calendar_has_are_refused(kind):
    days = pa.array([-1_000_000, 5, None], "int32").cast("date32")
    column = pa.chunked_array([days if kind == "date32" else days.cast(pa.timestamp("us"))])
    with pytest.raises(InputError, match=r"^The sensitive feature 'born' must hold times from the year 1 to 9999\.$"):
        group_by(column, "born")
