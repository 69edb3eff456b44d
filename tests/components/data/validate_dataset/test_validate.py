"""validate_dataset: verdict, report, statistics and schema."""

import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy
import pyarrow
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from kfp_hallmark.components.data.validate_dataset.comparison import judge_drift
from kfp_hallmark.components.data.validate_dataset.validate import validate
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.verdict import Status, Verdict
from kfp_hallmark.errors import InputError, MissingInputError

OUTPUTS = ("verdict", "report", "statistics", "schema", "profile")
REFERENCES = {"baseline_profile": None, "previous": None, "serving": None, "delivered": None, "expectations": None}
LIMITS = {"max_stable_psi": 0.1, "max_psi": 0.25, "max_domain_auc": 0.65, "min_rows": 100}
SETTINGS = REFERENCES | LIMITS | {"contract_uri": None, "excluded_columns": [], "seed": 0}


def customers(rows: int = 400, seed: int = 0) -> dict:
    """Columns as other people have them; the names of towns and persons must not be told."""
    random = numpy.random.default_rng(seed)
    income = random.lognormal(8, 0.5, rows)
    return {
        "customer id": [f"PERSON-{seed}-{index}" for index in range(rows)],
        "home town": random.choice(["Bern", "Zürich", "Genève", None], rows, p=[0.5, 0.3, 0.1, 0.1]).tolist(),
        "monthly income": [None if random.random() < 0.1 else value for value in income],
        "children": random.poisson(1, rows),
        "visits": random.poisson(50, rows),
        "is active": (random.random(rows) < 0.6).tolist(),
        "signed up": pyarrow.array(random.integers(19000, 20000, rows), "int32").cast("date32"),
    }


@pytest.fixture
def judge(output):
    """Validate; return the verdict, and the other outputs by name."""

    def run(dataset, baseline=None, **changes):
        outputs = {name: output(name) for name in OUTPUTS}
        status = validate(dataset, baseline, **SETTINGS | changes, **outputs)
        verdict = Verdict.read(outputs["verdict"].path)
        assert status == (str(verdict.status),)
        return verdict, {name: Path(artifact.path) for name, artifact in outputs.items()}

    return run


@pytest.fixture
def refused(output):
    """Validate what must be refused; return the message, having seen that nothing was written."""

    def run(error, dataset, baseline=None, **changes):
        outputs = {name: output(name) for name in OUTPUTS}
        with pytest.raises(error) as caught:
            validate(dataset, baseline, **SETTINGS | changes, **outputs)
        assert not [name for name, artifact in outputs.items() if Path(artifact.path).exists()]
        return str(caught.value)

    return run


def checks(verdict: Verdict, name: str) -> dict:
    """Return the checks of a name by their feature."""
    return {check.scope.get("feature"): check for check in verdict.checks if check.name == name}


@pytest.mark.parametrize(("few", "other"), [("dataset", "baseline"), ("baseline", "dataset"), ("serving", "dataset")])
@pytest.mark.parametrize(("rows", "wanted"), [(1, Status.INCONCLUSIVE), (49, Status.INCONCLUSIVE), (50, Status.PASS)])
def test_too_few_rows_to_learn_from_are_inconclusive_and_no_pass(stored, judge, few, other, rows, wanted):
    numbers = numpy.random.default_rng(1).normal(size=400)
    sides = {few: stored({"n": numbers[:rows]}, few), other: stored({"n": numbers}, other)}
    verdict, _ = judge(**sides, min_rows=1, max_domain_auc=1.0)
    (check,) = [check for check in verdict.checks if check.name == "domain_classifier_roc_auc"]
    assert check.status is wanted


def test_other_peoples_data_passes(stored, judge):
    dataset, baseline = stored(customers(400, 1)), stored(customers(900, 2), "baseline")
    verdict, outputs = judge(dataset, baseline)
    assert verdict.status is Status.PASS, verdict.reasons()
    assert verdict.subjects == {
        "dataset": artifact_digest(dataset.path),
        "baseline": artifact_digest(baseline.path),
    }
    assert checks(verdict, "population_stability_index").keys() == customers(1).keys()
    assert checks(verdict, "schema")[None].observed == 7
    message = checks(verdict, "schema")[None].message
    assert message == "7 of 7 features fit the schema, which was inferred from the baseline."
    found = statistics_pb2.DatasetFeatureStatisticsList.FromString(outputs["statistics"].read_bytes())
    assert found.datasets[0].num_examples == 400
    assert {feature.path.step[0] for feature in found.datasets[0].features} == customers(1).keys()


def test_statistics_are_right(stored, judge):
    columns = customers(300, 4)
    _, outputs = judge(stored(columns))
    found = statistics_pb2.DatasetFeatureStatisticsList.FromString(outputs["statistics"].read_bytes())
    features = {feature.path.step[0]: feature for feature in found.datasets[0].features}
    income = numpy.array([value for value in columns["monthly income"] if value is not None])
    assert features["monthly income"].num_stats.common_stats.num_missing == 300 - len(income)
    assert features["monthly income"].num_stats.mean == pytest.approx(income.mean())
    assert features["monthly income"].num_stats.std_dev == pytest.approx(income.std())
    towns = [town for town in columns["home town"] if town]
    assert features["home town"].string_stats.unique == len(set(towns))
    assert features["is active"].num_stats.mean == pytest.approx(numpy.mean(columns["is active"]))


def test_drift_is_told_by_feature(stored, judge):
    columns = customers(2000, 1)
    moved = customers(2000, 2)
    moved["monthly income"] = [value and 2 * value for value in moved["monthly income"]]
    verdict, outputs = judge(stored(moved), stored(columns, "baseline"))
    found = checks(verdict, "population_stability_index")
    assert found["monthly income"].status is Status.FAIL
    assert found["monthly income"].message.startswith("monthly income has moved far: PSI ")
    assert {name for name, check in found.items() if check.status is not Status.PASS} == {"monthly income"}
    assert verdict.status is Status.FAIL
    chart = re.search(r"<svg.*?</svg>", outputs["report"].read_text(), re.DOTALL)[0]
    assert 'class="mark fail"' in chart
    assert chart.index("monthly income") < chart.index("home town")


@pytest.mark.parametrize(
    ("psi", "p_value", "status"),
    [
        (0.10, 0.0, Status.PASS),
        (0.1001, 0.0, Status.WARN),
        (0.1001, 0.0099, Status.WARN),
        (0.1001, 0.01, Status.PASS),
        (0.25, 0.0, Status.WARN),
        (0.25, 0.01, Status.PASS),
        (0.2501, 0.0099, Status.FAIL),
        (0.2501, 0.01, Status.INCONCLUSIVE),
    ],
)
def test_drift_needs_a_large_effect_that_chance_does_not_explain(psi, p_value, status):
    assert judge_drift(psi, p_value, 0.10, 0.25) is status


def test_the_limits_of_drift_are_parameters(stored, judge):
    dataset, baseline = stored({"n": [1] * 600 + [2] * 400}), stored({"n": [1] * 500 + [2] * 500}, "baseline")
    # PSI: 0.1 ln(1.2) - 0.1 ln(0.8) = 0.040547.
    for limits, status in (((0.05, 0.25), "pass"), ((0.03, 0.05), "warn"), ((0.03, 0.04), "fail")):
        verdict, _ = judge(dataset, baseline, max_stable_psi=limits[0], max_psi=limits[1])
        assert verdict.status == status
        (check,) = checks(verdict, "population_stability_index").values()
        assert check.observed == pytest.approx(0.0405465, abs=1e-6)
        assert (check.maximum, check.samples) == (limits[1], 1000)


def test_what_chance_may_explain_is_inconclusive(stored, judge):
    dataset, baseline = stored({"n": [1] * 60 + [2] * 40}), stored({"n": [1] * 50 + [2] * 50}, "baseline")
    verdict, outputs = judge(dataset, baseline, max_stable_psi=0.03, max_psi=0.04)
    assert verdict.status is Status.INCONCLUSIVE
    (reason,) = verdict.reasons()
    # Chi-squared is 200 * (60 * 50 - 40 * 50)^2 / (100 * 100 * 110 * 90) = 2.0202, with one degree of freedom.
    assert reason == ("inconclusive: n may have moved far: PSI 0.0405, above 0.04, which chance may explain (p 0.16).")
    assert 'class="mark inconclusive"' in outputs["report"].read_text()


@pytest.mark.parametrize(("rows", "baseline_rows"), [(99, 100), (100, 99)])
def test_too_few_rows_are_inconclusive(stored, judge, rows, baseline_rows):
    columns, former = ({name: ([1, 2] * 50)[:count] for name in "abc"} for count in (rows, baseline_rows))
    verdict, outputs = judge(stored(columns), stored(former, "baseline"))
    assert verdict.status is Status.INCONCLUSIVE
    (reason,) = verdict.reasons()
    assert re.search("has 99 rows, too few to judge drift by", reason)
    assert not checks(verdict, "population_stability_index")
    text = outputs["report"].read_text()
    assert "Against the baseline: 3 unclear." in text
    assert text.count('class="mark inconclusive"') == 3


def test_just_enough_rows_are_judged(stored, judge):
    columns = {"n": [1, 2] * 50}
    assert judge(stored(columns), stored(columns, "baseline"))[0].status is Status.PASS


def test_without_a_baseline_the_schema_is_inferred_and_drift_left_out(stored, judge):
    verdict, outputs = judge(stored(customers()))
    assert verdict.status is Status.PASS
    assert verdict.subjects.keys() == {"dataset"}
    assert not checks(verdict, "population_stability_index")
    assert "inferred from the dataset itself" in checks(verdict, "schema")[None].message
    assert "Nothing to compare with was given" in outputs["report"].read_text()


def test_the_inferred_schema_can_be_given_again(stored, judge):
    _, outputs = judge(stored(customers(400, 1)))
    schema = outputs["schema"].rename(outputs["schema"].with_name("kept.pbtxt"))
    verdict, _ = judge(stored(customers(400, 2)), contract_uri=str(schema))
    assert verdict.status is Status.PASS
    assert checks(verdict, "schema")[None].message == "7 of 7 features fit the schema, which was given."
    assert verdict.parameters["schema"] == "given"


def test_the_inferred_schema_holds_no_identifiers(stored, judge):
    columns = customers(150) | {"name": [f"PERSON {index % 80}" for index in range(150)]}
    schema = text_format.Parse(judge(stored(columns))[1]["schema"].read_text(), schema_pb2.Schema())
    assert {domain.name for domain in schema.string_domain} == {"home town"}
    assert not [feature.name for feature in schema.feature if feature.HasField("bool_domain") and feature.type != 2]


@pytest.mark.parametrize(
    ("change", "feature", "reason"),
    [
        ({"home town": ["SECRET"] * 400}, "home town", "unexpected string values"),
        ({"visits": ["SECRET"] * 400}, "visits", "unexpected data type"),
        ({"visits": [0.5] * 400}, "visits", "unexpected data type"),
        ({"new one": [1] * 400}, "new one", "new column"),
        ({"visits": None}, "visits", "missing column|not present"),
        ({"visits": [1] * 300 + [None] * 100}, "visits", "low fraction present"),
    ],
)
def test_what_does_not_fit_the_schema_fails_and_is_not_shown(stored, judge, change, feature, reason):
    columns = {name: values for name, values in (customers(400, 1) | change).items() if values is not None}
    verdict, outputs = judge(stored(columns), stored(customers(400, 2), "baseline"))
    found = checks(verdict, "schema_anomaly")
    assert found.keys() == {feature}
    assert found[feature].status is Status.FAIL
    assert re.search(f"{feature} does not fit the schema: .*({reason})", found[feature].message)
    assert "SECRET" not in outputs["report"].read_text() + outputs["verdict"].read_text()


@pytest.mark.parametrize(("odd", "fits"), [(4, True), (5, False)])
def test_one_in_a_hundred_may_be_outside_an_inferred_schema(stored, judge, odd, fits):
    columns = customers(400, 1)
    columns["home town"] = ["Bern"] * (400 - odd) + ["Chur"] * odd
    columns["visits"] = [7] * (400 - odd) + [None] * odd
    verdict, _ = judge(stored(columns), stored(customers(400, 2), "baseline"))
    assert (checks(verdict, "schema_anomaly").keys() == set()) is fits


def test_integers_that_were_0_and_1_may_be_2(stored, judge):
    verdict, _ = judge(stored({"n": [0, 1] * 199 + [2, 1]}), stored({"n": [0, 1] * 200}, "baseline"))
    assert verdict.status is Status.PASS


def test_excluded_columns_are_not_judged(stored, judge):
    columns, former = customers(400, 1), customers(400, 2)
    columns |= {"visits": [float("inf")] * 400, "home town": ["SECRET"] * 400, "odd": ["new"] * 400}
    excluded = ["visits", "home town", "odd"]
    dataset, baseline = stored(columns), stored(former, "baseline")
    assert judge(dataset, baseline)[0].status is Status.FAIL
    verdict, outputs = judge(dataset, baseline, excluded_columns=excluded)
    assert verdict.status is Status.PASS, verdict.reasons()
    assert checks(verdict, "schema")[None].message.startswith("5 of 5 features fit the schema")
    assert verdict.parameters["excluded_columns"] == excluded
    assert "Not judged: visits, home town, odd." in outputs["report"].read_text()
    statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(outputs["statistics"].read_bytes())
    judged = {feature.path.step[0] for feature in statistics.datasets[0].features}
    assert judged == columns.keys() - set(excluded)


def test_excluded_columns_may_be_in_the_given_schema(stored, judge):
    _, outputs = judge(stored(customers(400, 1)))
    schema = outputs["schema"].rename(outputs["schema"].with_name("kept.pbtxt"))
    verdict, _ = judge(stored(customers(400, 2)), contract_uri=str(schema), excluded_columns=["customer id", "visits"])
    assert verdict.status is Status.PASS, verdict.reasons()


@pytest.mark.parametrize(
    ("excluded", "message"),
    [
        (["m"], "excluded_columns must be a column of the dataset; got 'm'."),
        (["n"], "excluded_columns must leave a column to judge; got all 1."),
    ],
)
def test_excluded_columns_that_cannot_be_are_refused(stored, refused, excluded, message):
    assert refused(InputError, stored({"n": range(200)}), excluded_columns=excluded).startswith(message)


def test_more_columns_than_are_read_at_once_are_all_judged(stored, judge):
    random = numpy.random.default_rng(0)
    columns = {f"c{index}": random.integers(0, 2 + index, 300) for index in range(70)}
    verdict, _ = judge(stored(columns), stored(dict(reversed(columns.items())), "baseline"))
    found = checks(verdict, "population_stability_index")
    assert found.keys() == columns.keys()
    assert {check.observed for check in found.values()} == {0.0}


def test_infinity_fails_and_nan_is_missing(stored, judge):
    values = [1.0, float("nan")] * 99 + [float("inf"), float("-inf")]
    verdict, outputs = judge(stored({"x": values, "y": [0.5, 1.5] * 100}))
    assert verdict.status is Status.FAIL
    (check,) = checks(verdict, "infinite_values").values()
    assert check.message == "x holds infinity in 2 of 200 rows."
    found = statistics_pb2.DatasetFeatureStatisticsList.FromString(outputs["statistics"].read_bytes())
    features = {feature.path.step[0]: feature for feature in found.datasets[0].features}
    assert features["x"].num_stats.common_stats.num_missing == 99


def test_constant_and_empty_features_warn(stored, judge):
    columns = {"n": range(200), "one": ["same"] * 200, "none": pyarrow.nulls(200, "float64"), "some": [1, None] * 100}
    verdict, outputs = judge(stored(columns))
    assert verdict.status is Status.WARN
    assert sorted(verdict.reasons()) == [
        "warn: none holds no value.",
        "warn: one holds the same value in every row.",
    ]
    assert "same" not in re.sub("holds the same value", "", outputs["report"].read_text())


def test_one_row_is_not_called_constant(stored, judge):
    assert judge(stored({"n": [1]}), min_rows=1)[0].status is Status.PASS
    assert judge(stored({"n": [1, 1]}), min_rows=1)[0].status is Status.WARN


class Page(HTMLParser):
    """What a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag, attributes):
        values = [value for name, value in attributes if name in ("src", "href")]
        self.loaded += [tag] if tag == "script" else [value for value in values if not value.startswith("data:")]


def test_the_report_tells_no_values_and_loads_nothing(stored, judge):
    _, outputs = judge(stored(customers(400, 1)), stored(customers(900, 2), "baseline"))
    text = outputs["report"].read_text()
    page = Page()
    page.feed(text)
    assert not page.loaded
    for value in ("PERSON", "Bern", "Zürich", "Genève"):
        assert value not in text + outputs["verdict"].read_text()
    for name in customers(1):
        assert name in text


def test_the_same_data_gives_the_same_outputs(stored, judge):
    dataset, baseline = stored(customers(400, 1)), stored(customers(900, 2), "baseline")
    found = []
    for _ in range(2):
        verdict, outputs = judge(dataset, baseline)
        found.append((outputs["statistics"].read_bytes(), outputs["schema"].read_text(), verdict.to_json()["checks"]))
    assert found[0] == found[1]


def test_a_folder_of_files_is_one_dataset(stored, judge, output):
    folder = output("folder")
    Path(folder.path).mkdir()
    whole = pyarrow.table(customers(400, 1))
    for index, start in enumerate((0, 150)):
        part = stored(whole.slice(start, 250 if start else 150), "part")
        Path(part.path).rename(Path(folder.path) / f"{index}.parquet")
    together, _ = judge(stored(whole), stored(customers(900, 2), "baseline"))
    verdict, _ = judge(folder, stored(customers(900, 2), "baseline"))
    assert verdict.to_json()["checks"] == together.to_json()["checks"]


def test_a_gate_keeps_the_log_handlers(stored, judge):
    before = logging.root.handlers[:]
    judge(stored({"n": range(200)}))
    assert logging.root.handlers == before


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_stable_psi": -0.01}, "max_stable_psi must be 0 or above; got -0.01."),
        ({"max_stable_psi": 0.3}, "max_psi must be at least max_stable_psi, 0.3; got 0.25."),
        ({"max_psi": float("nan")}, "max_psi must be at least max_stable_psi, 0.1; got nan."),
        ({"max_domain_auc": 0.49}, "max_domain_auc must be from 0.5 to 1; got 0.49."),
        ({"max_domain_auc": float("nan")}, "max_domain_auc must be from 0.5 to 1; got nan."),
        ({"min_rows": 0}, "min_rows must be 1 or above; got 0."),
        ({"seed": -1}, "seed must be a whole number from 0 to 2**32 - 1; got -1."),
    ],
)
def test_limits_out_of_range_are_refused(stored, refused, limits, message):
    assert refused(InputError, stored({"n": range(200)}), **limits) == message


def test_a_missing_dataset_is_refused(output, refused):
    refused(MissingInputError, output("absent"))


def test_a_missing_baseline_is_refused(stored, output, refused):
    refused(MissingInputError, stored({"n": range(200)}), output("absent"))


def test_a_truncated_dataset_is_refused(stored, refused):
    dataset = stored(customers())
    content = Path(dataset.path).read_bytes()
    Path(dataset.path).write_bytes(content[: len(content) // 2])
    assert "A dataset must be whole Parquet" in refused(InputError, dataset)


def test_a_missing_schema_is_refused(stored, refused, tmp_path):
    uri = str(tmp_path / "absent.pbtxt")
    message = refused(MissingInputError, stored({"n": range(200)}), contract_uri=uri)
    assert message == f"contract_uri must be a file that is there; got {uri!r}."


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"feature {", "The schema of 'schema.pbtxt' must be TFDV's Schema in text format; it cannot be read (1:"),
        (b"no schema", "The schema of 'schema.pbtxt' must be TFDV's Schema in text format; it cannot be read (1:"),
        (b"\xff\xfe", "The contract 'schema.pbtxt' must be text in UTF-8; it is not."),
    ],
)
def test_what_is_no_schema_is_refused(stored, refused, tmp_path, content, expected):
    path = tmp_path / "schema.pbtxt"
    path.write_bytes(content)
    message = refused(InputError, stored({"n": range(200)}), contract_uri=str(path))
    assert message.startswith(expected)


def test_a_schema_at_an_unknown_place_is_refused(stored, refused):
    message = refused(InputError, stored({"n": range(200)}), contract_uri="nowhere://schema.pbtxt")
    assert "'nowhere://schema.pbtxt' cannot (UnimplementedError).\nHint: Local paths and gs:// are read" in message


def test_the_verdict_is_json_without_nan(stored, judge):
    _, outputs = judge(stored({"x": [float("nan")] * 200, "y": range(200)}))
    json.loads(outputs["verdict"].read_text(), parse_constant=pytest.fail)
