"""split_dataset: which rows go where, and what is refused."""

from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfp_hallmark.components.data.load_dataset.load import load
from kfp_hallmark.components.data.split_dataset.split import latest, split
from kfp_hallmark.contracts.dataset import dataset_lineage, read_table
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError, MissingInputError

ACS = Path(__file__).parents[4] / "examples" / "acs_employment" / "2015.parquet"


@pytest.fixture
def sides(output):
    """Split a dataset and return the tables of both sides."""

    def run(dataset, name="", **options) -> tuple[pyarrow.Table, pyarrow.Table]:
        train, test = output(f"{name}train"), output(f"{name}test")
        counts = split(dataset, train, test, **options)
        tables = read_table(train.path), read_table(test.path)
        assert counts == (tables[0].num_rows, tables[1].num_rows)
        return tables

    return run


def rows_of(table: pyarrow.Table) -> Counter:
    return Counter(tuple(row.values()) for row in table.to_pylist())


def people(count: int = 1000) -> dict:
    random = numpy.random.default_rng(5)
    return {
        "customer id": [f"C{index}" for index in range(count)],
        "house": random.integers(0, 40, count),
        "income": [None if value < 0.1 else value for value in random.random(count).tolist()],
        "left": random.random(count) < 0.3,
    }


def refused(dataset, output, error=InputError, **options) -> str:
    """Split what must be refused; return the message, having seen that nothing was written."""
    train, test = output("train"), output("test")
    with pytest.raises(error) as caught:
        split(dataset, train, test, **options)
    assert not Path(train.path).exists()
    assert not Path(test.path).exists()
    return str(caught.value)


def test_the_sides_make_up_the_dataset_in_its_order(stored, sides):
    dataset = stored(people())
    train, test = sides(dataset, target="left")
    whole = read_table(dataset.path)
    assert rows_of(train) + rows_of(test) == rows_of(whole)
    for side in (train, test):
        places = [int(name[1:]) for name in side["customer id"].to_pylist()]
        assert places == sorted(places)
    assert 0.25 < test.num_rows / whole.num_rows < 0.35


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.9])
def test_the_tests_share_is_about_what_was_asked_for(stored, sides, fraction):
    _, test = sides(stored({"n": numpy.arange(20_000)}), test_fraction=fraction)
    assert abs(test.num_rows / 20_000 - fraction) < 0.015


def test_the_sides_are_bound_to_where_they_come_from(output, sides):
    dataset = output("dataset")
    load(str(ACS), dataset)
    train, test = output("train"), output("test")
    train_rows, test_rows = split(dataset, train, test, target="employed")
    assert train_rows + test_rows == 68_785
    for side, rows in ((train, train_rows), (test, test_rows)):
        assert dataset_lineage(side.path) == [artifact_digest(side.path), *dataset_lineage(dataset.path)]
        assert dict(side.metadata) == {"digest": artifact_digest(side.path), "rows": rows, "columns": 17}


def test_the_same_split_twice_gives_the_same_digests(stored, output):
    dataset = stored(people())
    digests = []
    for run in "ab":
        train, test = output(f"train-{run}"), output(f"test-{run}")
        split(dataset, train, test)
        digests.append((artifact_digest(train.path), artifact_digest(test.path)))
    assert digests[0] == digests[1]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), cut=st.integers(50, 399))
def test_neither_order_nor_other_rows_move_a_row(stored, sides, seed, cut):
    table = pyarrow.table(people(400))
    _, test = sides(stored(table), seed=3)
    order = numpy.random.default_rng(seed).permutation(400)
    _, shuffled = sides(stored(table.take(order)), seed=3)
    assert rows_of(shuffled) == rows_of(test)
    fewer = table.slice(0, cut)
    train_part, test_part = sides(stored(pyarrow.concat_tables([fewer, table.slice(0, 1)])), seed=3, test_fraction=0.3)
    assert set(rows_of(test_part)) == set(rows_of(test)) & set(rows_of(fewer))
    assert not set(rows_of(train_part)) & set(rows_of(test))


def test_storage_does_not_move_a_row(stored, sides):
    values = numpy.arange(100).tolist()
    _, small = sides(stored({"n": pyarrow.array(values, "int8")}))
    _, large = sides(stored({"n": pyarrow.array(values, "int64")}))
    assert small["n"].to_pylist() == large["n"].to_pylist()


def test_another_seed_gives_another_split(stored, sides):
    dataset = stored(people())
    _, first = sides(dataset, seed=0)
    _, second = sides(dataset, seed=1)
    assert rows_of(first) != rows_of(second)


def test_equal_rows_stay_together(stored, sides):
    train, test = sides(stored({"n": numpy.arange(600) % 30}))
    assert not set(train["n"].to_pylist()) & set(test["n"].to_pylist())


def test_a_key_decides_whatever_else_the_row_holds(stored, sides):
    columns = people()
    _, test = sides(stored(columns), key_column="customer id")
    _, changed = sides(stored(columns | {"income": [0.0] * 1000}), key_column="customer id")
    assert changed["customer id"].to_pylist() == test["customer id"].to_pylist()


def test_groups_stay_whole(stored, sides):
    train, test = sides(stored(people()), group_column="house", target="left")
    assert not set(train["house"].to_pylist()) & set(test["house"].to_pylist())


@pytest.mark.parametrize("kind", ["integer", "date", "timestamp", "zone", "float"])
def test_the_latest_rows_are_the_test(stored, sides, kind):
    days = [7, 3, 1, 9, 5, 2, 8, 10, 4, 6]
    times = {
        "integer": days,
        "float": [day / 4 for day in days],
        "date": [date(2024, 1, day) for day in days],
        "timestamp": [datetime(2024, 1, 1) + timedelta(microseconds=day) for day in days],
        "zone": pyarrow.array([datetime(2024, 1, day) for day in days], pyarrow.timestamp("ns", "UTC")),
    }[kind]
    train, test = sides(stored({"day": days, "when": times}), time_column="when", test_fraction=0.3)
    assert test["day"].to_pylist() == [9, 8, 10]
    assert train["day"].to_pylist() == [7, 3, 1, 5, 2, 4, 6]


def test_equal_times_stay_together(stored, sides):
    train, test = sides(stored({"when": [1, 2, 2, 2, 3]}), time_column="when", test_fraction=0.5)
    assert train["when"].to_pylist() == [1, 2, 2, 2]
    assert test["when"].to_pylist() == [3]


def test_a_group_goes_by_its_latest_time(stored, sides):
    columns = {"who": ["a", "a", "b", "b", "c"], "when": [1, 9, 2, 3, 4]}
    train, test = sides(stored(columns), time_column="when", group_column="who", test_fraction=0.4)
    assert train["who"].to_pylist() == ["b", "b", "c"]
    assert test["who"].to_pylist() == ["a", "a"]


@pytest.mark.parametrize(("fraction", "rows", "after"), [(0.29, 100, 29), (0.7, 10, 7), (0.1, 10, 1), (0.15, 10, 1)])
def test_the_quantile_is_exact(fraction, rows, after):
    times = numpy.random.default_rng(0).permutation(rows)
    expected = times > numpy.sort(times)[rows - after - 1]
    assert latest(times, fraction).tolist() == expected.tolist()
    assert expected.sum() == after


def test_times_too_fine_for_floats_keep_apart():
    times = numpy.array([2**60, 2**60 + 1, 2**60 + 2, 2**60 + 3])
    assert latest(times, 0.5).tolist() == [False, False, True, True]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.1, float("nan")])
def test_a_fraction_out_of_range_is_refused(stored, output, fraction):
    message = refused(stored(people()), output, test_fraction=fraction)
    assert message == f"test_fraction must be above 0 and below 1; got {fraction}."


@pytest.mark.parametrize("role", ["target", "key_column", "group_column", "time_column"])
def test_an_absent_column_is_refused(stored, output, role):
    message = refused(stored(people()), output, **{role: "hause"})
    assert message == f"{role} must be a column of the dataset; got 'hause'.\nHint: Did you mean 'house'?"


def test_a_dataset_without_a_required_column_is_refused(stored, output):
    message = refused(stored(people()), output, required_columns=["house", "hause"])
    told = "What later steps need (required_columns) must be a column of the dataset; got 'hause'."
    assert message == f"{told}\nHint: Did you mean 'house'?"


def test_a_target_that_is_required_beside_itself_is_refused(stored, output):
    message = refused(stored(people()), output, target="house", required_columns=["customer id", "house"])
    assert message == "required_columns must not name the target; got 'house'."


@pytest.mark.parametrize("other", ["group_column", "time_column"])
def test_a_key_beside_groups_or_times_is_refused(stored, output, other):
    message = refused(stored(people()), output, key_column="customer id", **{other: "house"})
    assert message == "key_column must be unset together with group_column or time_column; got both."


@pytest.mark.parametrize("values", [[1, 1, None, 1], ["a"] * 4, [0.5] * 4, [True] * 4, [1.0, float("nan")] * 2])
def test_a_constant_target_is_refused(stored, output, values):
    message = refused(stored({"n": range(4), "y": values}), output, target="y", test_fraction=0.5)
    assert message == "target must hold at least two different values; 'y' holds 1."


def test_a_target_without_values_is_refused(stored, output):
    columns = {"n": range(40), "y": pyarrow.nulls(40, "float64")}
    assert "'y' holds 0." in refused(stored(columns), output, target="y")


@pytest.mark.parametrize(("rare_last", "side"), [(True, "train"), (False, "test")])
@pytest.mark.parametrize("kind", ["string", "integer", "boolean", "float"])
def test_a_class_missing_on_one_side_is_refused(stored, output, kind, rare_last, side):
    common, rare = {"string": ("no", "yes"), "integer": (0, 1), "boolean": (False, True), "float": (0.0, 1.0)}[kind]
    labels = [rare, *[common] * 9]
    labels = labels[::-1] if rare_last else labels
    dataset = stored({"when": range(10), "y": labels})
    message = refused(dataset, output, target="y", time_column="when")
    assert message.startswith(
        f"target must have every class on both sides; the {side} side lacks 1 of the 2 classes of 'y'."
    )


@pytest.mark.parametrize("values", [[float(n) for n in range(40)], list(range(40)), [0.5, *[1.0] * 39]])
def test_a_quantity_need_not_have_every_value_on_both_sides(stored, sides, values):
    train, test = sides(stored({"y": values}), target="y")
    assert train.num_rows + test.num_rows == 40


def test_twenty_integers_are_classes_and_more_are_a_quantity(stored, output, sides):
    assert "of the 20 classes" in refused(stored({"y": list(range(20))}), output, target="y")
    sides(stored({"y": list(range(21))}), target="y")


@pytest.mark.parametrize("kind", ["int64", "uint64"])
def test_integers_too_great_for_floats_are_classes(stored, output, sides, kind):
    first = 2**53 + 1 if kind == "int64" else 2**63 + 1
    labels = [first + row % 2 for row in range(40)]
    train, test = sides(stored({"n": range(40), "y": pyarrow.array(labels, kind)}), "whole-", target="y")
    assert set(train["y"].to_pylist()) == set(test["y"].to_pylist()) == {first, first + 1}
    dataset = stored({"when": range(10), "y": pyarrow.array([*[first] * 9, first + 1], kind)})
    assert "the train side lacks 1 of the 2 classes" in refused(dataset, output, target="y", time_column="when")


@pytest.mark.parametrize(("fraction", "side"), [(1e-9, "test"), (1 - 1e-9, "train")])
def test_an_empty_side_is_refused(stored, output, fraction, side):
    message = refused(stored(people(50)), output, test_fraction=fraction)
    assert message.startswith(f"The {side} side must hold at least one row; it holds none of 50.")


def test_one_time_for_all_is_refused(stored, output):
    message = refused(stored({"when": [5] * 10}), output, time_column="when")
    assert message.startswith("The test side must hold at least one row")


def test_a_dataset_without_rows_is_refused(stored, output):
    assert "must hold at least one row" in refused(stored({"n": pyarrow.array([], "int64")}), output)


@pytest.mark.parametrize("values", [[1, None, 3, None], [1.0, float("nan"), 3.0, float("nan")]])
def test_a_missing_time_is_refused(stored, output, values):
    message = refused(stored({"when": values}), output, time_column="when")
    assert message == "time_column must hold a time in every row; 'when' lacks 2 of 4."


def test_text_is_no_time(stored, output):
    message = refused(stored(people()), output, time_column="customer id")
    assert message.startswith("time_column must hold dates, times or numbers; 'customer id' holds string.")


def test_a_missing_dataset_is_refused(output):
    refused(output("absent"), output, error=MissingInputError)


def test_a_truncated_dataset_is_refused(stored, output):
    dataset = stored(people())
    content = Path(dataset.path).read_bytes()
    Path(dataset.path).write_bytes(content[: len(content) // 2])
    assert "must be whole Parquet" in refused(dataset, output)


def test_many_rows_go_where_each_belongs(stored, sides):
    columns = {"n": numpy.arange(150_000), "same": numpy.arange(150_000) * 2}
    train, test = sides(stored(columns))
    numbers = [side["n"].to_numpy() for side in (train, test)]
    assert sorted(numpy.concatenate(numbers)) == list(range(150_000))
    _, late = sides(stored(pyarrow.table(columns).slice(100_000)))
    assert late["n"].to_pylist() == [number for number in test["n"].to_pylist() if number >= 100_000]
    _, latest_rows = sides(stored(columns), time_column="n", test_fraction=0.1)
    assert latest_rows["n"].to_pylist() == list(range(135_000, 150_000))
