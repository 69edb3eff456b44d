"""Statistics as TensorFlow Data Validation computes them, field by field."""

import math

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.utils import slicing_util
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

from kfp_hallmark.errors import InputError
from kfp_hallmark.profiles.profile import profile
from kfp_hallmark.profiles.scan import MAX_SLICES
from kfp_hallmark.profiles.statistics import compute_statistics, slice_statistics

ENVIRONMENT = "data"
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")


@pytest.fixture
def stored(tmp_path):
    """Write columns as a dataset; return its path."""

    def store(columns):
        path = tmp_path / "dataset.parquet"
        pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=700, version="2.6")
        return path

    return store


def canonical(columns):
    """Return columns as one batch that TFDV takes: NaN as null, booleans and times as integers."""
    table = pyarrow.table(columns)
    arrays = []
    for column in table.columns:
        array = pyarrow.concat_arrays(column.chunks)
        if pyarrow.types.is_floating(array.type):
            array = pyarrow.array(array.to_numpy(zero_copy_only=False), from_pandas=True)
        if pyarrow.types.is_temporal(array.type):
            array = array.cast(pyarrow.timestamp("us"), safe=False).cast("int64")
        arrays.append(array.cast("int8") if pyarrow.types.is_boolean(array.type) else array)
    return CanonicalizeRecordBatch(pyarrow.RecordBatch.from_arrays(arrays, names=table.column_names))


def reference(columns):
    """Return TFDV's own statistics."""
    with numpy.errstate(invalid="ignore"):
        return stats_impl.generate_statistics_in_memory(canonical(columns), tfdv.StatsOptions())


def fields(message, path=""):
    """Return every field of a message that is set, by its path; of counts in bars of equal width only the sum."""
    if isinstance(message, statistics_pb2.Histogram) and message.type == message.STANDARD:
        yield f"{path}.sum", sum(bucket.sample_count for bucket in message.buckets)
    for descriptor, value in message.ListFields():
        place = f"{path}.{descriptor.name}"
        if path.endswith("]") and descriptor.name == "sample_count" and ".histograms[0]" in path:
            continue
        values = value if descriptor.label == descriptor.LABEL_REPEATED else [value]
        for index, each in enumerate(values):
            name = f"{place}[{index}]" if descriptor.label == descriptor.LABEL_REPEATED else place
            if descriptor.type == descriptor.TYPE_MESSAGE:
                yield name, "set"
                yield from fields(each, name)
            else:
                yield name, each


def assert_alike(found, expected):
    """Hold every field of a message against another's, numbers to the last but three digits."""
    found, expected = dict(fields(found)), dict(fields(expected))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        wanted = pytest.approx(value, rel=1e-12, abs=1e-9, nan_ok=True) if isinstance(value, float) else value
        assert found[name] == wanted, name


def columns_of_all_kinds(rows=3000):
    """Return columns of every type, none of them symmetric."""
    random = numpy.random.default_rng(7)
    holes = random.random(rows) < 0.13
    towns = numpy.array(["Bern", "Zürich", "", "Genève 2", "x" * 1024, "y" * 1025, "z" * 3000], dtype=object)
    return {
        "lognormal": random.lognormal(0, 1, rows),
        "few": numpy.round(random.exponential(2, rows), 0),
        "gaps": pyarrow.array(random.normal(3, 2, rows), mask=holes),
        "nan": numpy.where(holes, numpy.nan, random.normal(-3, 2, rows)),
        "single": random.gamma(2, 2, rows).astype("float32"),
        "tied": random.choice([-7, 0, 1, 40], rows, p=[0.05, 0.25, 0.6, 0.1]),
        "huge": random.integers(2**62, 2**63 - 1, rows),
        "unsigned": random.integers(2**63, 2**64 - 1, rows, dtype="uint64"),
        "byte": random.integers(-128, 100, rows).astype("int8"),
        "boolean": pyarrow.array(random.random(rows) < 0.3, mask=holes),
        "day": pyarrow.array(random.integers(-4000, 20000, rows), "int32").cast("date32"),
        "moment": pyarrow.array(random.integers(10**17, 10**18, rows), "timestamp[ns]"),
        "infinite": random.choice([-math.inf, 0.5, 2.25, math.inf], rows, p=[0.1, 0.5, 0.2, 0.2]),
        "above": numpy.where(holes, math.inf, random.normal(0, 1, rows)),
        "never finite": random.choice([-math.inf, math.inf], rows, p=[0.2, 0.8]),
        "far": numpy.where(holes, 3e200, 1e200),
        "wide": numpy.where(holes, -1.7e308, 1.7e308),
        "no number": pyarrow.array([None] * rows, "float64"),
        "no integer": pyarrow.array([None] * rows, "int64"),
        "no text": pyarrow.array([None] * rows, "string"),
        "constant": numpy.full(rows, 3),
        "zero": numpy.zeros(rows),
        "town": pyarrow.array(towns[random.choice(7, rows, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05])], mask=holes),
        "name": [f"name {index % 991}" for index in random.integers(0, 2000, rows)],
        "same": ["one"] * rows,
    }


def test_every_field_is_what_tfdv_computes(stored):
    columns = columns_of_all_kinds()
    assert_alike(compute_statistics(stored(columns)), reference(columns))


def test_bars_of_equal_width_are_counted_where_tfdv_spreads_thousandths(stored):
    rows = 3000
    columns = columns_of_all_kinds(rows)
    found, expected = compute_statistics(stored(columns)).datasets[0], reference(columns).datasets[0]
    checked = 0
    for ours, theirs in zip(found.features, expected.features, strict=True):
        for mine, other in zip(ours.num_stats.histograms[:1], theirs.num_stats.histograms[:1], strict=True):
            counts, spread = ([bar.sample_count for bar in each.buckets] for each in (mine, other))
            assert counts == pytest.approx(spread, abs=2 * (1 + rows / 1000)), ours.path.step[0]
            checked += len(counts)
    assert checked > 100
    values = columns["lognormal"]
    edges = numpy.linspace(values.min(), values.max(), 11)
    counts = [bar.sample_count for bar in found.features[0].num_stats.histograms[0].buckets]
    assert counts == numpy.histogram(-values, -edges[::-1])[0][::-1].tolist()


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_few_rows_are_what_tfdv_computes(stored, rows):
    columns = {name: values[:rows] for name, values in columns_of_all_kinds(20).items()}
    assert_alike(compute_statistics(stored(columns)), reference(columns))


def test_without_rows_there_are_features_without_values(stored):
    columns = {"number": pyarrow.array([], "float64"), "text": pyarrow.array([], "string")}
    assert compute_statistics(stored(columns)) == reference(columns)


def test_beyond_what_tfdv_keeps_the_difference_is_its_error(stored):
    rows = 60_000
    random = numpy.random.default_rng(3)
    columns = {"n": random.lognormal(0, 1, rows), "s": [f"v{value}" for value in random.zipf(1.3, rows) % 40_000]}
    ours, theirs = (each.datasets[0].features for each in (compute_statistics(stored(columns)), reference(columns)))
    ordered = numpy.sort(columns["n"])
    found, expected = (each[0].num_stats for each in (ours, theirs))
    assert found.median == ordered[rows // 2]
    for mine, other in zip(found.histograms[1].buckets, expected.histograms[1].buckets, strict=True):
        ranks = numpy.searchsorted(ordered, [mine.high_value, other.high_value])
        assert abs(ranks[0] - ranks[1]) <= 0.01 * rows
    assert (found.mean, found.std_dev) == pytest.approx((expected.mean, expected.std_dev))
    texts, sketched = (each[1].string_stats for each in (ours, theirs))
    assert texts.unique == len(set(columns["s"]))
    assert sketched.unique == pytest.approx(texts.unique, rel=0.03)
    assert texts.avg_length == pytest.approx(sketched.avg_length)
    assert [top.value for top in texts.top_values[:5]] == [top.value for top in sketched.top_values[:5]]


def test_tfdv_takes_them(stored):
    columns = {name: values for name, values in columns_of_all_kinds().items() if name != "never finite"}
    found = compute_statistics(stored(columns))
    schema = tfdv.infer_schema(found)
    assert schema == tfdv.infer_schema(reference(columns))
    assert not tfdv.validate_statistics(found, schema).anomaly_info
    changed = columns | {"town": ["Basel"] * 3000}
    assert list(tfdv.validate_statistics(compute_statistics(stored(changed)), schema).anomaly_info) == ["town"]


def test_tfdvs_viewer_and_files_take_them(stored, tmp_path):
    found = compute_statistics(stored(columns_of_all_kinds()))
    tfdv.write_stats_text(found, str(tmp_path / "statistics.pbtxt"))
    assert_alike(tfdv.load_stats_text(str(tmp_path / "statistics.pbtxt")), found)
    (tmp_path / "statistics.pb").write_bytes(found.SerializeToString(deterministic=True))
    assert_alike(tfdv.load_stats_binary(str(tmp_path / "statistics.pb")), found)
    assert "facets-overview" in tfdv.utils.display_util.get_statistics_html(found)


def test_slices_are_what_tfdv_computes(stored):
    random = numpy.random.default_rng(5)
    columns = {
        "sex": pyarrow.array(random.choice([1, 2], 500, p=[0.3, 0.7])),
        "town": pyarrow.array(random.choice(["Bern", "Zürich"], 500), mask=random.random(500) < 0.2),
        "member": random.random(500) < 0.4,
        "income": random.lognormal(8, 1, 500),
    }
    wanted = ["sex", "town", "member"]
    found = {each.name: each for each in slice_statistics(stored(columns), wanted)}
    assert list(found) == ["sex_1", "sex_2", "town_Bern", "town_Zürich", "member_0", "member_1"]
    for name in wanted:
        for key, batch in slicing_util.get_feature_value_slicer({name: None})(canonical(columns)):
            expected = stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions()).datasets[0]
            expected.name = key
            assert expected.num_examples > 0
            assert_alike(found[key], expected)


@pytest.mark.parametrize("excess", [0, 1])
def test_slices_are_limited_in_number(stored, excess):
    path = stored({"a": [str(index % 40) for index in range(200)], "b": [i % (60 + excess) for i in range(200)]})
    if not excess:
        assert len(slice_statistics(path, ["a", "b"])) == MAX_SLICES
        return
    with pytest.raises(InputError, match=r"slice_columns must have at most 100 different values in all; with 'b' they"):
        slice_statistics(path, ["a", "b"])


def test_slices_by_a_measurement_are_refused(stored):
    with pytest.raises(InputError, match=r"slice_columns must be columns of text, .*; 'x' holds double\."):
        slice_statistics(stored({"x": [0.5, 1.5]}), ["x"])


def test_slices_by_long_texts_are_refused(stored):
    with pytest.raises(InputError, match=r"slice_columns must hold texts of at most 1,024 bytes; 'x' holds longer"):
        slice_statistics(stored({"x": ["a" * 2000, "b"]}), ["x"])


def test_slices_by_an_absent_column_are_refused(stored):
    with pytest.raises(InputError, match=r"slice_columns must be a column of the dataset; got 'sxe'"):
        slice_statistics(stored({"sex": [1, 2]}), ["sxe"])


def test_a_column_of_digests_is_not_of_long_texts(stored):
    digests = [f"sha256:{index:064x}" for index in range(3)]
    path = stored({"digest": digests})
    found = compute_statistics(path).datasets[0].features[0].string_stats
    assert [top.value for top in found.top_values] == digests[::-1]
    assert profile(path).columns["digest"].distribution.other_values == 3


def test_on_beam_every_field_is_the_same(tmp_path):
    """A folder of partitions with several row groups each, and slices."""
    from kfp_hallmark.profiles import beam

    table = pyarrow.table(columns_of_all_kinds(1500))
    for index in range(3):
        part = tmp_path / f"dataset/part={index}/rows.parquet"
        part.parent.mkdir(parents=True)
        pyarrow.parquet.write_table(table.slice(500 * index, 500), part, row_group_size=300, version="2.6")
    names = [name for name in reversed(table.column_names) if name != "boolean"]
    (whole, *slices), _ = beam.describe(beam.find(str(tmp_path / "dataset")), names, ["boolean"], [])
    assert whole.name == "All Examples"
    whole.name = ""
    assert_alike(whole, compute_statistics(tmp_path / "dataset", names).datasets[0])
    for found, expected in zip(slices, slice_statistics(tmp_path / "dataset", ["boolean"], names), strict=True):
        assert_alike(found, expected)
