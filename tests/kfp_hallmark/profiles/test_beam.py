"""Profiles and statistics on Apache Beam, beside those counted on one machine."""

import numpy
import pyarrow
import pyarrow.parquet
import pytest

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError, MissingInputError, ServiceError
from kfp_hallmark.profiles import beam
from kfp_hallmark.profiles.profile import Profile, profile

ENVIRONMENT = "data"
pytestmark = pytest.mark.filterwarnings("ignore:If direct_num_workers")


@pytest.fixture
def folder(tmp_path):
    """Write columns as a folder of three partitions; return its path."""

    def store(columns):
        table = pyarrow.table(columns)
        for index, start in enumerate(range(0, max(table.num_rows, 1), -(-max(table.num_rows, 1) // 3))):
            path = tmp_path / f"dataset/part={index}/rows.parquet"
            path.parent.mkdir(parents=True)
            part = table.slice(start, -(-max(table.num_rows, 1) // 3))
            pyarrow.parquet.write_table(part, path, row_group_size=70_000)
        return tmp_path / "dataset"

    return store


def on_beam(path, columns=None, slice_columns=(), options=()):
    source = beam.find(str(path))
    return beam.describe(source, columns or source.schema.names, slice_columns, options)


def refused(error, path, **kwargs):
    with pytest.raises(error) as caught:
        on_beam(path, **kwargs)
    return str(caught.value)


@pytest.fixture(scope="module")
def mixed():
    """Columns whose profiles are of every kind."""
    rows = 30_000
    random = numpy.random.default_rng(4)
    long = ["a" * 1024, "b" * 1025, "c" * 3000]
    return {
        "lognormal": random.lognormal(0, 1, rows),
        "gaps": pyarrow.array(random.normal(3, 2, rows), mask=random.random(rows) < 0.1),
        "nan": numpy.where(random.random(rows) < 0.2, numpy.nan, random.gamma(2, 2, rows)),
        "infinite": numpy.where(random.random(rows) < 0.1, -numpy.inf, random.normal(0, 1, rows)),
        "whole": random.poisson(300, rows) * 7,
        "moment": pyarrow.array(random.integers(10**14, 10**15, rows), "timestamp[us]"),
        "digit": random.integers(0, 10, rows),
        "level": random.integers(0, 90, rows),
        "truth": random.random(rows) < 0.3,
        "half": random.choice([0.5, 1.0, 2.25], rows, p=[0.1, 0.3, 0.6]),
        "never finite": random.choice([-numpy.inf, numpy.inf], rows, p=[0.3, 0.7]),
        "town": random.choice(["Bern", "Zürich", "", *long], rows, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1]).tolist(),
        "name": [f"name {value}" for value in random.zipf(1.3, rows) % 5000],
        "none": pyarrow.array([None] * rows, "string"),
    }


def test_the_profile_is_that_of_the_scan(mixed, folder, tmp_path):
    path = folder(mixed)
    (path / "README").write_text("Not rows, but of the dataset.")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    _, found = on_beam(path, options=[f"--temp_location={temporary}"])
    expected = profile(path)
    assert (found.dataset, found.rows) == (expected.dataset, 30_000)
    assert list(found.columns) == list(expected.columns)
    for name in ("digit", "level", "truth", "half", "town", "name", "none"):
        column, wanted = found.columns[name], expected.columns[name]
        if name == "level":
            assert column.distribution.mean == pytest.approx(wanted.distribution.mean)
            column, wanted = column.distribution.counts, wanted.distribution.counts
        assert column == wanted, name
    assert found.columns["never finite"].distribution.below == expected.columns["never finite"].distribution.below
    for name in ("lognormal", "gaps", "nan", "whole", "moment"):
        column, wanted = found.columns[name], expected.columns[name]
        assert (column.type, column.missing, column.span) == (wanted.type, wanted.missing, wanted.span), name
        assert column.distribution.mean == pytest.approx(wanted.distribution.mean)
        assert column.distribution.standard_deviation == pytest.approx(wanted.distribution.standard_deviation)
    found.write(tmp_path / "profile.json")
    assert Profile.read(tmp_path / "profile.json") == found
    assert not list(temporary.iterdir())


def test_percentiles_are_off_by_little(folder):
    rows = 300_000
    random = numpy.random.default_rng(5)
    columns = {
        "lognormal": random.lognormal(0, 2, rows),
        "infinite": numpy.where(random.random(rows) < 0.1, -numpy.inf, random.normal(0, 1, rows)),
        "tied": random.poisson(300, rows),
    }
    _, found = on_beam(folder(columns))
    for name, values in columns.items():
        distribution = found.columns[name].distribution
        ranks = numpy.cumsum(distribution.counts)
        held = numpy.searchsorted(numpy.sort(values), distribution.edges, side="right")
        assert ranks[-1] == rows
        assert abs(held - ranks[:-1]).max() <= beam.RANK_ERROR * rows, name
        if name != "tied":
            wanted = numpy.arange(100 - len(distribution.edges), 100) * rows / 100
            assert abs(held - wanted).max() <= beam.RANK_ERROR * rows, name


def test_without_rows_there_are_columns_without_values(folder):
    (whole,), found = on_beam(folder({"number": pyarrow.array([], "float64"), "text": pyarrow.array([], "string")}))
    assert (found.rows, list(found.columns)) == (0, ["number", "text"])
    assert [feature.path.step[0] for feature in whole.features] == ["number", "text"]


def test_one_file_is_a_dataset(folder):
    path = folder({"n": [3, 1, 2]}) / "part=0/rows.parquet"
    (whole,), found = on_beam(path)
    assert (whole.num_examples, found.dataset) == (1, artifact_digest(path))


def test_files_that_differ_are_refused(folder):
    path = folder({"n": [1, 2, 3]})
    pyarrow.parquet.write_table(pyarrow.table({"n": ["1"]}), path / "part=2/rows.parquet")
    message = refused(InputError, path)
    assert message.startswith("The files of a dataset must have the same columns and types;")
    assert message.endswith("part=2/rows.parquet' differs from the first.")


def test_a_file_that_is_cut_off_ends_the_pipeline(folder):
    path = folder({"n": [1, 2, 3]})
    last = path / "part=2/rows.parquet"
    last.write_bytes(last.read_bytes()[:-20])
    message = refused(ServiceError, path)
    assert message.startswith("The pipeline on Apache Beam that reads ")


def test_text_that_is_no_utf8_is_refused(folder):
    buffers = pyarrow.array([b"Z\xfcrich", b"Bern"], "binary").buffers()
    path = folder({"town": pyarrow.Array.from_buffers(pyarrow.string(), 2, buffers)})
    assert refused(InputError, path) == "The column 'town' must hold text in UTF-8; got bytes that are not."


def test_too_many_slices_are_refused(folder):
    path = folder({"by": [f"v{value}" for value in range(101)]})
    message = refused(InputError, path, slice_columns=["by"])
    assert message.startswith("slice_columns must have at most 100 different values in all; with 'by' they have more.")


def test_slices_by_a_measurement_are_refused(folder):
    message = refused(InputError, folder({"x": [0.5, 1.5]}), slice_columns=["x"])
    assert message == "slice_columns must be columns of text, whole numbers or booleans; 'x' holds double."


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nothing", MissingInputError, "A dataset must be a Parquet file or a folder of them; got"),
        ("dataset/*", InputError, "uri must be a Parquet file or a folder, not a pattern; got"),
        ("", InputError, "uri must be a Parquet file or a folder, not a pattern; got ''."),
        ("azure://container/data", InputError, "uri must be a file that can be read;"),
    ],
)
def test_sources_that_cannot_be_read_are_refused(tmp_path, name, error, message):
    uri = name if ":" in name or not name else str(tmp_path / name)
    with pytest.raises(error) as caught:
        beam.find(uri)
    assert str(caught.value).startswith(message)


def test_names_that_beam_takes_for_patterns_are_refused(folder):
    path = folder({"n": [1]})
    (path / "part=0/rows.parquet").rename(path / "rows[1].parquet")
    with pytest.raises(InputError, match=r"must have names without any of '\*\?\[' .*; got 'rows\[1\]\.parquet'\."):
        beam.find(str(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runner", "DirectRunner"], "beam_pipeline_args must each be --name=value or --name; got 'DirectRunner'."),
        (["--runner DirectRunner"], "beam_pipeline_args must each be --name=value or --name; got '--runner DirectR"),
        (["runner=DirectRunner"], "beam_pipeline_args must each be --name=value or --name; got 'runner=DirectRunner'."),
        (
            ["--runer=DataflowRunner"],
            "beam_pipeline_args must be options of Apache Beam; got '--runer'.\nHint: Did you mean '--runner'?",
        ),
        (
            ["--direct_num_workers=two"],
            "beam_pipeline_args must be options of Apache Beam; argument --direct_num_workers: invalid int value",
        ),
        (["--streaming"], "beam_pipeline_args must let the step wait for its result; got --streaming."),
        (
            ["--runner=DataflowRunner", "--temp_location=gs://b/t", "--template_location=gs://b/x"],
            "beam_pipeline_args must let the step wait for its result; got --template_location.",
        ),
        (
            ["--runner=FlinkRunner", "--flink_master=host:8081"],
            "beam_pipeline_args must have a --temp_location with --runner=FlinkRunner; got none.",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(InputError) as caught:
        beam.checked(options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "local"),
    [
        ([], True),
        (["--runner=DirectRunner", "--direct_num_workers=2", "--direct_running_mode=multi_processing"], True),
        (["--runner=FlinkRunner", "--temp_location=gs://b/t", "--known_to_the_job_server=1"], False),
    ],
)
def test_options_that_can_work_are_taken(options, local):
    assert beam.checked(options) == options
    assert beam.is_local(options) is local
