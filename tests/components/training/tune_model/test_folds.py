import numpy
import pandas
import pytest
from sklearn.model_selection import StratifiedKFold

from kfp_hallmark.components.training.tune_model.folds import Keys, make_folds, read_keys
from kfp_hallmark.errors import InputError

LABEL = numpy.arange(90) % 3


def test_random_folds_are_those_of_scikit_learn():
    folds = make_folds(4, LABEL, Keys(), "multiclass", 5)
    assert folds.numbers == (0, 1, 2, 3)
    expected = StratifiedKFold(4, shuffle=True, random_state=5).split(LABEL, LABEL)
    for number, (trained, scored) in enumerate(expected):
        ours = folds.sides(number)
        assert (numpy.flatnonzero(ours[0]) == trained).all()
        assert (numpy.flatnonzero(ours[1]) == scored).all()


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_groups_stay_together(task):
    groups = numpy.random.default_rng(0).integers(0, 20, 90)
    folds = make_folds(3, LABEL, Keys(groups), task, 0)
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
        (31, LABEL, Keys(), "multiclass", "folds must be at most the rows of the rarest class; got 31 for 30"),
        (91, LABEL, Keys(), "regression", "folds must be at most the number of rows; got 91 for 90"),
        (3, LABEL, Keys(LABEL // 2), "multiclass", "folds must be at most the number of groups; got 3 for 2"),
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
