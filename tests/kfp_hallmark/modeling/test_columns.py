import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.columns import Column, feature_frame, read_label

ENVIRONMENT = "ml"


def test_an_absent_target_is_named(tmp_path, write_data, features):
    frame, label = features()
    with pytest.raises(InputError, match=r"target must be a column of the dataset; got 'lable'.*\n.*'label'"):
        read_label(write_data(tmp_path / "data.parquet", frame, label), "lable")


def test_a_missing_label_is_counted(tmp_path, write_data, features):
    frame, label = features()
    missing = pandas.array([None, *label[1:]], dtype="Int64")
    with pytest.raises(InputError, match="must have a value in every row; the column 'label' has 1 missing of 60"):
        read_label(write_data(tmp_path / "data.parquet", frame, missing), "label")


@pytest.mark.parametrize(
    ("values", "type", "dtype", "missing"),
    [
        (pyarrow.array([1, 2, 3], pyarrow.int8()), "long", "int64", 0),
        (pyarrow.array([1, None, 3], pyarrow.int8()), "long", "float64", 1),
        (pyarrow.array([1, None, 3], pyarrow.int64()), "double", "float64", 1),
        (pyarrow.array([2**60 + 1, None], pyarrow.int64()), "double", "float64", 1),
        (pyarrow.array([True, None]), "double", "float64", 1),
        (pyarrow.array([1.5, None]), "float", "float32", 1),
        (pyarrow.array(["a", None]), "string", "str", 1),
        (pyarrow.array(["a", None, "a"]).dictionary_encode(), "string", "str", 1),
        (pyarrow.nulls(3), "double", "float64", 3),
        (pyarrow.array([True, False]), "boolean", "bool", 0),
    ],
)
def test_columns_take_the_type_of_the_signature(values, type, dtype, missing):
    frame = feature_frame(pyarrow.table({"a b": values}), [Column("a b", type)])
    assert str(frame["a b"].dtype) == dtype
    assert int(frame["a b"].isna().sum()) == missing


def test_a_frame_of_all_columns_is_that_of_each_by_itself():
    """Of every type, in several pieces; what a model does to its frame reaches no table."""
    kinds = {
        "long": pyarrow.array([3, None, 2**60 + 1], pyarrow.int64()),
        "integer": pyarrow.array([3, 4, 5], pyarrow.int8()),
        "double": pyarrow.array([0.1, None, float("inf")]),
        "float": pyarrow.array([0.1, None, 7.0]),
        "boolean": pyarrow.array([True, None, False]),
        "string": pyarrow.array(["a", None, "b"]),
        "datetime": pyarrow.array([0, None, 10**15], pyarrow.timestamp("us")),
        "any": pyarrow.array([1, 2, None], pyarrow.int16()),
    }
    once = pyarrow.table([*kinds.values(), kinds["double"]], names=[*kinds, "double again"])
    table = pyarrow.concat_tables([once, once.slice(1)]).replace_schema_metadata({"pandas": "{}"})
    columns = [*(Column(name, name) for name in kinds), Column("double again", "double")]
    frame = feature_frame(table, columns)
    alone = {column.name: feature_frame(table, [column])[column.name] for column in columns}
    pandas.testing.assert_frame_equal(frame, pandas.DataFrame(alone))
    assert [str(dtype) for dtype in frame.dtypes] == [
        "float64", "int32", "float64", "float32", "object", "str", "datetime64[ns]", "float64", "float64",
    ]  # fmt: skip
    assert frame["double"].tolist() == pytest.approx([0.1, numpy.nan, numpy.inf, numpy.nan, numpy.inf], nan_ok=True)
    for given in (frame, feature_frame(table, columns[2:3])):
        given.loc[:, "double"] = 5.0
    assert table["double"].to_pylist() == [0.1, None, numpy.inf, None, numpy.inf]


def test_a_column_of_another_type_is_named_without_its_values():
    table = pyarrow.table({"age": ["forty"]})
    with pytest.raises(InputError, match="The column 'age' must be of the type double") as caught:
        feature_frame(table, [Column("age", "double")])
    assert "forty" not in str(caught.value)


def test_an_infinite_label_is_refused(tmp_path, write_data, features):
    frame, label = features()
    data = write_data(tmp_path / "data.parquet", frame, numpy.where(label == 1, numpy.inf, 0.5))
    with pytest.raises(InputError, match="target must have a finite number in every row; the column 'label' has"):
        read_label(data, "label")
