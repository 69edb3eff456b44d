"""profile_dataset: statistics, profile and report."""

from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow_data_validation as tfdv
from kfp import dsl

from kfp_hallmark.components.data.profile_dataset.profile import describe
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError
from kfp_hallmark.profiles.profile import Profile
from kfp_hallmark.profiles.profile import profile as profile_of
from kfp_hallmark.profiles.statistics import compute_statistics
from kfp_hallmark.reports import number

OUTPUTS = ("statistics", "profile", "report")


def people(rows: int = 300) -> dict:
    """Columns of every type; the names of towns must not be told."""
    random = numpy.random.default_rng(8)
    return {
        "income": pyarrow.array(random.lognormal(8, 1, rows), mask=random.random(rows) < 0.1),
        "age": random.integers(17, 95, rows),
        "SEX": random.choice([1, 2], rows, p=[0.3, 0.7]),
        "member": random.random(rows) < 0.4,
        "joined": pyarrow.array(random.integers(15_000, 19_000, rows), "int32").cast("date32"),
        "town": random.choice(["Bern", "Zürich"], rows, p=[0.2, 0.8]).tolist(),
    }


@pytest.fixture
def described(output):
    """Describe a dataset; return what the step returns, and its outputs."""

    def run(dataset, columns=None, slice_columns=(), **options):
        outputs = {name: output(name) for name in OUTPUTS}
        return describe(dataset, columns, slice_columns, **outputs, **options), outputs

    return run


@pytest.fixture
def refused(output):
    """Describe what must be refused; return the message, having seen that nothing was written."""

    def run(error, dataset, columns=None, slice_columns=(), **options):
        outputs = {name: output(name) for name in OUTPUTS}
        with pytest.raises(error) as caught:
            describe(dataset, columns, slice_columns, **outputs, **options)
        assert not [name for name, artifact in outputs.items() if Path(artifact.path).exists()]
        return str(caught.value)

    return run


def test_a_dataset_is_described(stored, described):
    dataset = stored(people())
    returned, outputs = described(dataset)
    assert returned == (300, 6)
    assert tfdv.load_stats_binary(outputs["statistics"].path) == compute_statistics(dataset.path)
    assert Profile.read(outputs["profile"].path) == profile_of(dataset.path)
    assert outputs["profile"].metadata["digest"] == artifact_digest(outputs["profile"].path)


def test_some_columns_are_described(stored, described):
    returned, outputs = described(stored(people()), ["town", "age"])
    assert returned == (300, 2)
    assert list(Profile.read(outputs["profile"].path).columns) == ["town", "age"]
    report = Path(outputs["report"].path).read_text()
    assert "income" not in report and "age" in report


def test_slices_stand_beside_all_rows(stored, described):
    columns = people()
    _, outputs = described(stored(columns), ["income"], ["SEX", "town"])
    found = {each.name: each for each in tfdv.load_stats_binary(outputs["statistics"].path).datasets}
    assert list(found) == ["All Examples", "SEX_1", "SEX_2", "town_Bern", "town_Zürich"]
    assert found["All Examples"].num_examples == 300
    assert found["SEX_1"].num_examples == (columns["SEX"] == 1).sum()
    held = columns["income"].filter(pyarrow.array(columns["SEX"] == 2)).drop_null()
    (income,) = found["SEX_2"].features
    assert income.num_stats.mean == pytest.approx(held.to_numpy().mean())
    report = Path(outputs["report"].path).read_text()
    assert "town_Bern" in report


def test_the_report_tells_no_records_and_loads_nothing(stored, described):
    columns = people()
    _, outputs = described(stored(columns))
    report = Path(outputs["report"].path).read_text()
    assert not [word for word in ("Bern", "Zürich", "<script", "@import", "src=") if word in report]
    assert f"{max(columns['income'].drop_null().to_pylist()):,.4g}" not in report


@pytest.mark.parametrize(("rows", "told"), [(99, False), (100, True)])
def test_percentiles_of_few_rows_are_not_told(stored, described, rows, told):
    values = [1000 + index**2 / 8 for index in range(rows)]
    _, outputs = described(stored({"x": values}))
    assert (f">{number(values[rows // 2])}</td>" in Path(outputs["report"].path).read_text()) is told


def test_a_hard_dataset_is_described(stored, described):
    rows = 200
    columns = {
        "infinite": [numpy.inf, -numpy.inf, 1.5, None] * 50,
        "empty": pyarrow.array([None] * rows, "float64"),
        "empty text": pyarrow.array([None] * rows, "string"),
        "constant": [7] * rows,
        "huge": [2**63 - 1 - index for index in range(rows)],
        "far": pyarrow.array([2**40 * index for index in range(rows)], "timestamp[us]"),
        "farthest": pyarrow.array([2**55 * index for index in range(rows)], "timestamp[us]"),
        "<script>": ["a" * 3000] * rows,
    }
    returned, outputs = described(stored(columns))
    assert returned == (rows, 8)
    report = Path(outputs["report"].path).read_text()
    assert "Without any value: 2. Holding infinity: 1." in report
    assert "<script" not in report and "aaa" not in report
    assert "(year)" in report


@pytest.mark.parametrize("rows", [0, 1])
def test_hardly_any_row_is_described(stored, described, rows):
    returned, outputs = described(stored({name: values[:rows] for name, values in people().items()}))
    assert returned == (rows, 6)
    assert Profile.read(outputs["profile"].path).rows == rows


def test_a_folder_of_files_is_one_dataset(stored, described, output):
    table = pyarrow.table(people())
    folder = Path(output("folder").path)
    folder.mkdir()
    for index, start in enumerate((0, 70, 190)):
        part = table.slice(start, (70, 120, 110)[index])
        pyarrow.parquet.write_table(part, folder / f"{index}.parquet")
    _, outputs = described(dsl.Dataset(uri=str(folder)), None, ["SEX"])
    in_parts = Path(outputs["statistics"].path).read_bytes()
    _, outputs = described(stored(table), None, ["SEX"])
    assert Path(outputs["statistics"].path).read_bytes() == in_parts


def test_beam_describes_what_its_workers_read(described, output):
    """Two processes read a folder of partitions that the step is told the place of."""
    table = pyarrow.table({"age": people()["age"], "town": people()["town"]})
    folder = Path(output("folder").path)
    for index in range(3):
        (folder / f"part={index}").mkdir(parents=True)
        pyarrow.parquet.write_table(table.slice(100 * index, 100), folder / f"part={index}/rows.parquet")
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    returned, outputs = described(None, uri=str(folder), beam_pipeline_args=workers)
    assert returned == (300, 2)
    found, expected = tfdv.load_stats_binary(outputs["statistics"].path), compute_statistics(folder)
    assert [(each.path.step[0], each.string_stats) for each in found.datasets[0].features][1:] == [
        (each.path.step[0], each.string_stats) for each in expected.datasets[0].features
    ][1:]
    assert found.datasets[0].features[0].num_stats.mean == pytest.approx(table["age"].to_numpy().mean())
    profile = Profile.read(outputs["profile"].path)
    assert profile.dataset == artifact_digest(folder)
    assert profile.columns["town"] == profile_of(folder).columns["town"]
    assert "300 rows, 2 columns" in Path(outputs["report"].path).read_text()


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (False, {}, "profile_dataset must have either dataset or uri; got none."),
        (True, {"uri": "x"}, "profile_dataset must have either dataset or uri; got both."),
        (False, {"uri": "x"}, "uri must come with beam_pipeline_args, whose workers read it; got none."),
        (
            True,
            {"beam_pipeline_args": ["--runner=SparkRunner", "--temp_location=gs://bucket/t"]},
            "dataset must be left out where workers are on other machines, which do not see this step's files.",
        ),
        (
            True,
            {"beam_pipeline_args": ["--runer=x"]},
            "beam_pipeline_args must be options of Apache Beam; got '--runer'",
        ),
        (True, {"beam_pipeline_args": [], "columns": ["aeg"]}, "columns must be a column of the dataset; got 'aeg'."),
    ],
)
def test_what_beam_cannot_do_is_refused(stored, refused, given, options, message):
    assert refused(InputError, stored(people()) if given else None, **options).startswith(message)


def test_beam_refuses_a_changed_dataset(stored, refused):
    dataset = stored(people())
    dataset.metadata["digest"] = "sha256:" + "0" * 64
    assert "The dataset must have the digest" in refused(IntegrityError, dataset, beam_pipeline_args=[])


def test_the_same_data_gives_the_same_outputs(stored, described):
    dataset = stored(people())
    first, second = (
        [Path(artifact.path).read_bytes() for artifact in described(dataset, None, ["town"])[1].values()]
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("columns", "slice_columns", "message"),
    [
        (["aeg"], [], "columns must be a column of the dataset; got 'aeg'.\nHint: Did you mean 'age'?"),
        (["age", "age"], [], "columns must be different; got more than once: 'age'."),
        ([], [], "columns must be at least one; got none."),
        (None, ["SEX", "SEX"], "slice_columns must be different; got more than once: 'SEX'."),
        (None, ["sex"], "slice_columns must be a column of the dataset; got 'sex'."),
        (None, ["income"], "slice_columns must be columns of text, whole numbers or booleans; 'income' holds double."),
    ],
)
def test_columns_that_cannot_be_are_refused(stored, refused, columns, slice_columns, message):
    assert refused(InputError, stored(people()), columns, slice_columns).startswith(message)


def test_too_many_columns_in_slices_are_refused(stored, refused):
    columns = {f"c{index}": range(100) for index in range(200)} | {"by": range(100)}
    message = refused(InputError, stored(columns), None, ["by"])
    assert message == "slice_columns must make slices of at most 20,000 columns in all; got 100 slices of 201 columns."


def test_a_missing_dataset_is_refused(output, refused):
    refused(MissingInputError, output("nothing"))


def test_a_changed_dataset_is_refused(stored, refused):
    dataset = stored(people())
    dataset.metadata["digest"] = "sha256:" + "0" * 64
    assert "The dataset must have the digest" in refused(IntegrityError, dataset)


def test_nested_columns_are_refused(refused, output):
    artifact = output("dataset")
    pyarrow.parquet.write_table(pyarrow.table({"tags": [["a"], ["b", "c"]]}), artifact.path)
    message = refused(InputError, artifact)
    assert message.startswith("The column 'tags' must hold numbers, text, booleans, dates or times; got list<")


def test_files_that_differ_are_refused(refused, output):
    folder = Path(output("folder").path)
    folder.mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"a": [1, 2]}), folder / "0.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"a": ["1", "2"]}), folder / "1.parquet")
    message = refused(InputError, dsl.Dataset(uri=str(folder)))
    assert message.startswith("The files of a dataset must have the same columns and types;")
