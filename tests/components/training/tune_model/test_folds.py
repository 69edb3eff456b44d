import numpy
import pandas
import pytest

from kfp_hallmark.components.training.tune_model.folds import Keys, make_folds, read_keys
from kfp_hallmark.errors import InputError

LABEL = numpy.arange(90) % 3


def test_equal_rows_stay_together_and_classes_are_spread():
    label = numpy.arange(300) % 3
    rows = label + 3 * numpy.random.default_rng(0).integers(0, 40, 300)
    folds = make_folds(4, label, Keys(rows), "multiclass", 5)
    assert folds.numbers == (0, 1, 2, 3)
    counts = numpy.zeros((4, 3), dtype=int)
    for number in folds.numbers:
        trained, scored = folds.sides(number)
        assert (trained == ~scored).all()
        assert not set(rows[trained]) & set(rows[scored])
        counts[number] = numpy.bincount(numpy.unique(rows[scored]) % 3, minlength=3)
    assert (numpy.ptp(counts, axis=0) <= 1).all()
    again, other = (make_folds(4, label, Keys(rows), "multiclass", seed).block for seed in (5, 6))
    assert (again == folds.block).all()
    assert (other != folds.block).any()


def test_rows_are_equal_in_all_columns(write):
    same = read_keys(write(a=[1, 1, 2, 1], b=["x", "x", "x", None]), None, None).rows
    assert same[0] == same[1]
    assert len(set(same.tolist())) == 3


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_groups_stay_together(task):
    groups = numpy.random.default_rng(0).integers(0, 20, 90)
    folds = make_folds(3, LABEL, Keys(groups=groups), task, 0)
    for number in folds.numbers:
        trained, scored = folds.sides(number)
        assert not set(groups[trained]) & set(groups[scored])
        assert scored.any()


def test_time_goes_forward_and_equal_times_stay_together():
    times = numpy.random.default_rng(1).integers(0, 30, 90)
    folds = make_folds(3, LABEL, Keys(times=times), "multiclass", 0)
    assert folds.numbers == (1, 2, 3)
    for number in folds.numbers:
        trained, scored = folds.sides(number)
        assert times[trained].max() < times[scored].min()
    assert (folds.block >= 0).all()


def test_left_out_rows_are_on_neither_side():
    rows = numpy.arange(90) >= 30
    folds = make_folds(3, LABEL, Keys(), "multiclass", 0, rows)
    for number in folds.numbers:
        trained, scored = folds.sides(number)
        assert ((trained | scored) == rows).all()
        assert not (trained & scored).any()


@pytest.fixture
def write(tmp_path):
    def write(**columns):
        pandas.DataFrame(columns).to_parquet(tmp_path / "data.parquet")
        return str(tmp_path / "data.parquet")

    return write


def test_a_group_counts_as_being_of_its_latest_time(write):
    keys = read_keys(write(who=["a", "b", "a", "c"], when=[1, 5, 9, 2]), "who", "when")
    assert keys.times.tolist() == [9, 5, 9, 2]
    assert keys.groups.tolist() == [0, 1, 0, 2]


def test_dates_are_times(write):
    keys = read_keys(write(when=pandas.to_datetime(["2026-01-02", "2026-01-01"])), None, "when")
    assert keys.times[0] > keys.times[1]


@pytest.mark.parametrize(
    ("columns", "group", "time", "message"),
    [
        ({"a": [1]}, "b", None, "group_column must be a column of the dataset; got 'b'"),
        ({"a": [1]}, None, "b", "time_column must be a column of the dataset; got 'b'"),
        ({"a": ["x", None]}, "a", None, "group_column must have a value in every row; the column 'a' lacks 1 of 2"),
        ({"a": [1.0, numpy.nan]}, None, "a", "time_column must have a value in every row; the column 'a' lacks 1 of 2"),
        ({"a": ["x", "y"]}, None, "a", "time_column must hold dates, times or numbers; 'a' holds string"),
    ],
)
def test_a_bad_key(write, columns, group, time, message):
    with pytest.raises(InputError, match=message):
        read_keys(write(**columns), group, time)


@pytest.mark.parametrize(
    ("count", "label", "keys", "task", "message"),
    [
        (31, LABEL, Keys(), "multiclass", "number of different rows of the rarest class; got 31 for 30"),
        (91, LABEL, Keys(), "regression", "number of different rows of the rarest class; got 91 for 90"),
        (3, LABEL, Keys(groups=LABEL // 2), "multiclass", "folds must be at most the number of groups; got 3 for 2"),
        (3, LABEL, Keys(times=LABEL), "multiclass", "enough different times for 4 blocks; it gives 3"),
        (
            2,
            LABEL,
            Keys(times=LABEL + 0.0),
            "multiclass",
            "The training rows of every fold must hold 3 classes; fold 1",
        ),
    ],
)
def test_too_many_folds(count, label, keys, task, message):
    with pytest.raises(InputError, match=message):
        make_folds(count, label, keys, task, 0)
