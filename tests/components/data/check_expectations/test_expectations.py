"""check_expectations: what Great Expectations finds, as a verdict, a report and a result without records' values."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import great_expectations
import numpy
import pyarrow
import pytest
from great_expectations import expectations as gxe
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResultSchema
from great_expectations.expectations.row_conditions import Column

from kfp_hallmark.components.data.check_expectations.expectations import check
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.verdict import Status, Verdict
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

OUTPUTS = ("verdict", "report", "validation")
PEOPLE = {
    "age": [17, 25, 31, 44, 52, 67, 131, None],
    "town": ["Bern", "Chur", "Bern", "SECRET", None, "Bern", "Chur", "Bern"],
    "income": [987.25, 2500.5, 8123.75, 4000.0, 5100.0, 1200.0, 3300.0, 2750.0],
    "spent": [1000.0, 2000.0, 8000.0, 3000.0, 5000.0, 1300.0, 3000.0, 2000.0],
    "none": pyarrow.nulls(8, "float64"),
}


@pytest.fixture
def saved(tmp_path):
    """Return a suite as GX saves it, of its own expectations or of their JSON."""

    def save(*expectations):
        value = great_expectations.ExpectationSuite("people").to_json_dict()
        value["expectations"] = [
            each if isinstance(each, dict) else each.configuration.to_json_dict() for each in expectations
        ]
        path = tmp_path / "suite.json"
        path.write_text(json.dumps(value))
        return str(path)

    return save


@pytest.fixture
def judge(output, stored):
    """Judge a dataset by a suite; return the verdict, and the outputs by name."""

    def run(uri, columns=PEOPLE, parameters=None):
        outputs = {name: output(name) for name in OUTPUTS}
        dataset = stored(columns)
        status = check(dataset, uri, parameters or {}, **outputs)
        verdict = Verdict.read(outputs["verdict"].path)
        assert status == (str(verdict.status),)
        assert verdict.subjects == {"dataset": artifact_digest(dataset.path)}
        return verdict, {name: Path(artifact.path) for name, artifact in outputs.items()}

    return run


@pytest.fixture
def refused(output, stored):
    """Judge what must be refused; return the message, having seen that nothing was written."""

    def run(uri, error=InputError, parameters=None):
        outputs = {name: output(name) for name in OUTPUTS}
        with pytest.raises(error) as caught:
            check(stored(PEOPLE), uri, parameters or {}, **outputs)
        assert not [name for name, artifact in outputs.items() if Path(artifact.path).exists()]
        return str(caught.value)

    return run


def plain(kind, **kwargs):
    return {"type": kind, "kwargs": kwargs, "meta": {}}


def nested(depth):
    condition = {"type": "comparison", "column": {"name": "age"}, "operator": ">", "parameter": 1}
    for _ in range(depth):
        condition = {"type": "and", "conditions": [condition]}
    return condition


def between(column="age", **kwargs):
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, max_value=120, **kwargs)


# 7 rows have an age, 6 of them up to 120: a share of 0.857142...
@pytest.mark.parametrize(("mostly", "status"), [(0.857, "pass"), (0.858, "fail")])
def test_rows_are_held_against_the_share_that_is_asked_for(saved, judge, mostly, status):
    verdict, _ = judge(saved(between(mostly=mostly)))
    (found,) = verdict.checks
    assert (found.name, str(found.status)) == ("expect_column_values_to_be_between", status)
    assert (found.observed, found.minimum, found.samples) == (pytest.approx(6 / 7, abs=1e-12), mostly, 7)
    assert found.scope == {"suite": "people", "feature": "age"}
    assert found.message == (
        "age values must be greater than or equal to 0 and less than or equal to 120, "
        f"at least {100 * mostly:.1f} % of the time: 1 of 7 rows are not so."
    )


@pytest.mark.parametrize("unexpected", range(0, 101, 5))
def test_what_just_keeps_a_share_passes(saved, judge, unexpected):
    """1 - 0.9 is a little below 0.1: the share is as GX computes it."""
    columns = {"n": [1] * (100 - unexpected) + [2] * unexpected}
    suite = saved(gxe.ExpectColumnValuesToBeInSet(column="n", value_set=[1], mostly=(100 - unexpected) / 100))
    (found,) = judge(suite, columns)[0].checks
    assert (found.status, found.observed) == (Status.PASS, found.minimum)


@pytest.mark.parametrize(
    ("expectation", "observed", "minimum", "maximum", "status"),
    [
        (gxe.ExpectColumnMeanToBeBetween(column="age", min_value=52, max_value=53), 367 / 7, 52, 53, "pass"),
        (gxe.ExpectColumnMeanToBeBetween(column="age", min_value=53, max_value=60), 367 / 7, 53, 60, "fail"),
        (gxe.ExpectColumnStdevToBeBetween(column="spent", max_value=2321), 2320.06, None, 2321, "pass"),
        (gxe.ExpectColumnUniqueValueCountToBeBetween(column="town", min_value=4), 3, 4, None, "fail"),
        (gxe.ExpectTableRowCountToEqual(value=8), 8, 8, 8, "pass"),
        (gxe.ExpectTableRowCountToBeBetween(min_value=9), 8, 9, None, "fail"),
        (gxe.ExpectColumnDistinctValuesToBeInSet(column="town", value_set=["Bern"]), 2, None, 0, "fail"),
        (gxe.ExpectTableColumnCountToEqual(value=5), 5, 5, 5, "pass"),
    ],
)
def test_aggregates_are_held_against_their_bounds(saved, judge, expectation, observed, minimum, maximum, status):
    (found,) = judge(saved(expectation))[0].checks
    assert found.observed == pytest.approx(observed, abs=1)
    assert (found.minimum, found.maximum, str(found.status)) == (minimum, maximum, status)
    assert found.samples == (7 if found.scope.get("feature") in ("age", "town") else 8)


def test_the_numbers_are_those_of_numpy(saved, judge):
    rows = numpy.array(PEOPLE["spent"])
    suite = saved(
        gxe.ExpectColumnMeanToBeBetween(column="spent", min_value=0),
        gxe.ExpectColumnStdevToBeBetween(column="spent", min_value=0),
        gxe.ExpectColumnSumToBeBetween(column="spent", min_value=0),
    )
    found = [each.observed for each in judge(suite)[0].checks]
    assert found == pytest.approx([rows.mean(), rows.std(ddof=1), rows.sum()], rel=1e-12)


@pytest.mark.parametrize(
    ("severity", "status"), [(None, "fail"), ("critical", "fail"), ("warning", "warn"), ("info", "warn")]
)
def test_severity_says_how_bad_a_failure_is(saved, judge, severity, status):
    entry = plain("expect_column_values_to_not_be_null", column="town")
    (found,) = judge(saved(entry | ({"severity": severity} if severity else {})))[0].checks
    assert str(found.status) == status
    assert (f"(severity {severity})" in found.message) is (status == "warn")
    assert found.minimum == (1.0 if status == "fail" else None)
    assert found.observed == 7 / 8


@pytest.mark.parametrize("severity", ["critical", "info"])
@pytest.mark.parametrize(
    ("expectation", "status", "told"),
    [
        (between("absent"), "fail", "the dataset has no column absent."),
        (between("town"), "inconclusive", "this cannot be computed of a column of its type"),
        (
            gxe.ExpectColumnMeanToBeBetween(column="town", min_value=1),
            "inconclusive",
            "this cannot be computed of a column of its type",
        ),
        (
            gxe.ExpectColumnValuesToMatchLikePattern(column="town", like_pattern="B%"),
            "inconclusive",
            "or of a table in memory.",
        ),
        (between("none"), "inconclusive", "no row has a value to tell by."),
    ],
)
def test_what_cannot_be_told_is_no_pass_whatever_its_severity(saved, judge, expectation, status, told, severity):
    entry = expectation.configuration.to_json_dict() | {"severity": severity}
    verdict, outputs = judge(saved(entry, gxe.ExpectColumnToExist(column="age")))
    assert (str(verdict.checks[0].status), str(verdict.checks[1].status)) == (status, "pass")
    assert told in verdict.checks[0].message
    assert "Traceback" not in outputs["validation"].read_text()


def test_checks_are_in_the_order_of_the_suite(saved, judge):
    suite = saved(gxe.ExpectColumnToExist(column="age"), between("town"), between(), between())
    verdict, _ = judge(suite)
    assert [str(each.status) for each in verdict.checks] == ["pass", "inconclusive", "fail", "fail"]


def test_columns_that_are_not_expected_are_named(saved, judge):
    suite = saved(
        gxe.ExpectTableColumnsToMatchSet(column_set=["age", "town", "income", "weight"]),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["age", "town"]),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="income", column_B="spent", mostly=0.9),
    )
    first, second, third = judge(suite)[0].checks
    assert first.message.endswith(": unexpected none, spent; missing weight.")
    assert (second.scope["columns"], str(second.status)) == ("age, town", "pass")
    assert (third.scope["columns"], third.observed, str(third.status)) == ("income, spent", 0.75, "fail")


def test_no_value_of_a_record_is_told(saved, judge):
    suite = saved(
        gxe.ExpectColumnMaxToBeBetween(column="income", max_value=10),
        gxe.ExpectColumnMinToBeBetween(column="income", max_value=10),
        gxe.ExpectColumnMedianToBeBetween(column="income", max_value=10),
        gxe.ExpectColumnMostCommonValueToBeInSet(column="town", value_set=["a"]),
        gxe.ExpectColumnQuantileValuesToBeBetween(
            column="income", quantile_ranges={"quantiles": [0.0, 1.0], "value_ranges": [[0, 1], [0, 1]]}
        ),
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column="town", partition_object={"values": ["Bern", "a"], "weights": [0.5, 0.5]}, threshold=0.1
        ),
        gxe.ExpectColumnDistinctValuesToEqualSet(column="town", value_set=["a"]),
        gxe.ExpectColumnDistinctValuesToContainSet(column="town", value_set=["a"]),
        gxe.ExpectColumnValuesToBeInSet(column="town", value_set=["a"], result_format="COMPLETE"),
        gxe.ExpectColumnMeanToBeBetween(column="town", max_value=1),
        plain(
            "expect_column_values_to_be_in_set",
            column="town",
            value_set=["a"],
            result_format={"result_format": "COMPLETE", "include_unexpected_rows": True},
        ),
    )
    verdict, outputs = judge(suite)
    assert not [each for each in verdict.checks if each.status.passed]
    text = "".join(path.read_text() for path in outputs.values())
    assert not re.findall("SECRET|Chur|987|8123|8,123|2625", text)


@pytest.mark.parametrize(("values", "told"), [(4, False), (5, True)])
@pytest.mark.parametrize("conditional", [False, True])
def test_an_aggregate_of_few_values_is_not_told(saved, judge, values, told, conditional):
    """The mean and the sum of one value are that value."""
    columns = {"n": [8123.75] * values + [1.0 if conditional else None] * 9, "row": range(values + 9)}
    condition = {"row_condition": Column("row") < values} if conditional else {}
    suite = saved(
        gxe.ExpectColumnMeanToBeBetween(column="n", min_value=0, **condition),
        gxe.ExpectColumnStdevToBeBetween(column="n", min_value=0, **condition),
        gxe.ExpectColumnSumToBeBetween(column="n", min_value=0, **condition),
        gxe.ExpectColumnUniqueValueCountToBeBetween(column="n", min_value=1, **condition),
    )
    verdict, outputs = judge(suite, columns)
    assert [(each.status, each.samples) for each in verdict.checks] == [(Status.PASS, values)] * 4
    assert [each.observed for each in verdict.checks] == [*((8123.75, 0, 40618.75) if told else [None] * 3), 1]
    text = "".join(path.read_text() for path in outputs.values())
    assert bool(re.findall("8123|8,124|32495|40618", text)) is told


@pytest.mark.parametrize("severity", ["critical", "info"])
@pytest.mark.parametrize("condition", [{}, {"row_condition": Column("income") < 0}])
def test_an_aggregate_of_no_value_is_no_pass(saved, judge, condition, severity):
    arguments = {"column": "income" if condition else "none", "severity": severity, **condition}
    suite = saved(
        gxe.ExpectColumnSumToBeBetween(max_value=10, **arguments),
        gxe.ExpectColumnDistinctValuesToBeInSet(value_set=[1.0], **arguments),
        gxe.ExpectColumnUniqueValueCountToBeBetween(max_value=10, **arguments),
        gxe.ExpectColumnMeanToBeBetween(max_value=10, **arguments),
    )
    *holding, mean = judge(suite)[0].checks
    assert {str(each.status) for each in holding} == {"inconclusive"}
    assert str(mean.status) == ("fail" if severity == "critical" else "inconclusive")
    assert all(each.message.endswith(": no row has a value to tell by.") for each in [*holding, mean])


def test_the_result_is_one_that_gx_reads(saved, judge):
    _, outputs = judge(saved(between(), between("absent"), gxe.ExpectColumnToExist(column="age")))
    value = json.loads(outputs["validation"].read_text(), parse_constant=pytest.fail)
    found = ExpectationSuiteValidationResultSchema().load(value)
    assert (found.success, found.suite_name, found.statistics["successful_expectations"]) == (False, "people", 1)
    assert [each["success"] for each in value["results"]] == [False, False, True]
    assert value["results"][0]["result"]["unexpected_count"] == 1
    assert value["results"][0]["expectation_config"]["kwargs"]["max_value"] == 120


def test_the_report_tells_each_expectation(saved, judge):
    suite = saved(between(), gxe.ExpectColumnToExist(column="age", description="Everybody has an <age>"))
    _, outputs = judge(suite)
    text = outputs["report"].read_text()
    assert "8 rows, 5 columns. Of 2 expectations 1 hold, 1 do not hold." in text
    assert "Everybody has an &lt;age&gt;: so it is." in text
    assert 'class="mark fail"' in text


def test_parameters_of_a_suite_get_their_values(saved, judge):
    suite = saved(gxe.ExpectTableRowCountToBeBetween(min_value={"$PARAMETER": "last_month"}))
    for least, status in ((8, "pass"), (9, "fail")):
        verdict, _ = judge(suite, parameters={"last_month": least})
        assert (str(verdict.status), verdict.checks[0].minimum) == (status, least)
    assert verdict.parameters["suite_parameters"] == {"last_month": 9}


def test_a_parameter_without_a_value_is_refused(saved, refused):
    suite = saved(gxe.ExpectTableRowCountToBeBetween(min_value={"$PARAMETER": "last_month"}))
    message = refused(suite, parameters={"other": 3})
    assert message == (
        "suite_parameters must give what the suite names as $PARAMETER; No value found for $PARAMETER last_month."
    )


def test_a_parameter_that_does_not_suit_is_refused(saved, refused):
    message = refused(saved(between(mostly={"$PARAMETER": "share"})), parameters={"share": 1.5})
    assert message.startswith("suite_parameters must suit the suite's arguments; mostly: ensure this value is less")


@pytest.mark.parametrize(
    ("condition", "parser", "unexpected"),
    [
        ("income > 3000", "pandas", 1),
        ("income > 3000 and spent in [3000, 5000]", "pandas", 1),
        ('col("income") > 3000', "great_expectations", 1),
        (Column("income") < 3000, None, 0),
        ((Column("income") > 3000) & Column("town").is_not_null(), None, 1),
    ],
)
def test_an_expectation_of_some_rows(saved, judge, condition, parser, unexpected):
    (found,) = judge(saved(between(row_condition=condition, condition_parser=parser)))[0].checks
    assert (1 - found.observed) * found.samples == pytest.approx(unexpected)
    assert found.samples < 7


def test_a_condition_that_no_row_meets_is_inconclusive(saved, judge):
    assert judge(saved(between(row_condition=Column("income") < 0)))[0].status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    "condition",
    [
        "@pd.io.common.os.system('touch PATH') == 0",
        "age.map(print) > 0",
        "`age` > 0",
        "age.__class__",
        "__import__('os')",
        "age[0] > 1",
        "9 ** 9 ** 9 > age",
        "(lambda: 1)() == age",
    ],
)
def test_a_condition_that_may_run_code_is_refused(saved, refused, tmp_path, condition):
    entry = plain("expect_column_values_to_be_unique", column="age", condition_parser="pandas")
    entry["kwargs"]["row_condition"] = condition.replace("PATH", str(tmp_path / "made"))
    message = refused(saved(entry))
    assert message.startswith("The row_condition of expectation 1 must do no more than compare columns with values")
    saying = {"type": "pass_through", "pass_through_filter": entry["kwargs"]["row_condition"]}
    entry["kwargs"] = {"column": "age", "row_condition": saying}
    assert refused(saved(entry)) == message
    assert not (tmp_path / "made").exists()


def test_a_name_that_leaves_its_quotes_is_refused(saved, refused):
    condition = (Column("age` > 0 or @pd.x or `age") > 0) | (Column("age") > 0)
    assert "it may run code" in refused(saved(between(row_condition=condition)))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            plain("unexpected_rows_expectation", unexpected_rows_query="SELECT * FROM {batch}"),
            "Expectation 1 of the suite must look at the dataset; unexpected_rows_expectation asks a database.",
        ),
        (
            plain("expect_table_row_count_to_equal_other_table", other_table_name="t"),
            "Expectation 1 of the suite must look at the dataset; expect_table_row_count_to_equal_other_table asks",
        ),
        (
            plain("expect_column_values_to_be_prime", column="age"),
            "Expectation 1 of the suite must be one of Great Expectations' own; got 'expect_column_values_to_be_prime'",
        ),
        (
            plain("expect_column_values_to_be_between", column="age", min_valu=3),
            "Expectation 1 of the suite, expect_column_values_to_be_between, must have arguments that suit it; ",
        ),
        (
            plain("expect_column_values_to_be_between", column="age", mostly=1.1),
            "Expectation 1 of the suite, expect_column_values_to_be_between, must have arguments that suit it; mostly",
        ),
        (
            plain("expect_column_to_exist", column="age") | {"severity": "fatal"},
            "Expectation 1 of the suite, expect_column_to_exist, must be whole; Invalid severity 'fatal'",
        ),
        (
            plain(
                "expect_column_values_to_be_unique",
                column="age",
                row_condition="age",
                condition_parser="great_expectations",
            ),
            "Expectation 1 of the suite, expect_column_values_to_be_unique, must be whole; unable to parse condition",
        ),
        (
            plain("expect_column_values_to_be_unique", column="age", row_condition=nested(200)),
            "Expectation 1 of the suite, expect_column_values_to_be_unique, must be whole; maximum recursion depth",
        ),
        ({"type": "expect_column_to_exist"}, "Expectation 1 of the suite must be an object with a type and kwargs"),
        (
            plain("expect_column_values_to_match_json_schema", column="town", json_schema={"$ref": "http://a/b"}),
            "The JSON schema of expectation 1 must refer to itself alone; it refers elsewhere.",
        ),
        (
            plain("expect_column_values_to_match_json_schema", column="town", json_schema={"$PARAMETER": "#form"}),
            "The JSON schema of expectation 1 must refer to itself alone; it refers elsewhere.",
        ),
        (
            plain("expect_table_row_count_to_equal", value=math.nan),
            "suite_uri must be a suite of expectations in JSON; ",
        ),
    ],
)
def test_an_expectation_that_cannot_be_run_is_refused(saved, refused, entry, message):
    assert refused(saved(entry)).startswith(message)


def test_a_suite_of_an_earlier_gx_is_refused_with_what_to_do(tmp_path, refused):
    entries = [{"expectation_type": "expect_column_to_exist", "kwargs": {"column": "age"}, "meta": {}}]
    (tmp_path / "old.json").write_text(json.dumps({"expectation_suite_name": "people", "expectations": entries}))
    message = refused(str(tmp_path / "old.json"))
    assert message.startswith("The suite must be as Great Expectations 1 saves it; it is of an earlier one.")
    assert "expectation_type to type" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no JSON", "suite_uri must be a suite of expectations in JSON; "),
        (b"\xff", "suite_uri must be a suite of expectations in JSON; "),
        (b"[" * 100_000, "suite_uri must be a suite of expectations in JSON; "),
        (b"[]", "The suite must be an object with a name and a list of expectations; it is not."),
        (b'{"name": "", "expectations": []}', "The suite must be an object with a name and a list of expectations;"),
        (b'{"name": "a", "expectations": {}}', "The suite must be an object with a name and a list of expectations;"),
        (b'{"name": "a", "expectations": []}', "The suite 'a' must hold at least one expectation; it holds none."),
    ],
)
def test_what_is_no_suite_is_refused(tmp_path, refused, content, message):
    (tmp_path / "suite.json").write_bytes(content)
    assert refused(str(tmp_path / "suite.json")).startswith(message)


def test_a_suite_that_is_not_there_is_refused(tmp_path, refused):
    message = refused(str(tmp_path / "absent.json"), MissingInputError)
    assert message.startswith("suite_uri must be a suite of expectations; got ")
    assert "cannot (ValueError)" in refused("nowhere://suite.json")


def test_a_suite_is_read_from_a_uri(saved, judge):
    assert judge(f"file://{saved(gxe.ExpectColumnToExist(column='age'))}")[0].status is Status.PASS


def test_a_changed_dataset_is_refused(saved, stored, output):
    dataset = stored(PEOPLE)
    dataset.metadata["digest"] = f"sha256:{'0' * 64}"
    with pytest.raises(IntegrityError, match="The dataset must have the digest"):
        check(dataset, saved(between()), {}, *(output(name) for name in OUTPUTS))


def test_without_rows_no_row_tells(saved, judge):
    columns = {"age": pyarrow.array([], "int64")}
    verdict, _ = judge(saved(between(), gxe.ExpectTableRowCountToBeBetween(min_value=1)), columns)
    assert [str(each.status) for each in verdict.checks] == ["inconclusive", "fail"]


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_mean_that_is_not_finite_is_not_shown(saved, judge, value):
    suite = saved(gxe.ExpectColumnMeanToBeBetween(column="n", min_value=0))
    (found,) = judge(suite, {"n": [*[value] * 5, 1.0 if value == math.inf else value]})[0].checks
    assert found.observed is None


WATCHED = """
import atexit, json, os, sys
told = []
atexit.register(lambda: sys.stdout.write(json.dumps(told)))
def watch(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess", "os.system")):
        told.append(event)
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        told.append(arguments[0])
    if event in ("os.mkdir", "os.rename", "sqlite3.connect"):
        told.append(f"{event} {arguments[0]}")
sys.addaudithook(watch)
from types import SimpleNamespace
from kfp_hallmark.components.data.check_expectations.expectations import check
dataset, uri, *outputs = [SimpleNamespace(path=path, metadata={}) for path in sys.argv[1:]]
check(dataset, uri.path, {}, *outputs)
"""


def test_nothing_is_sent_printed_or_written_elsewhere(saved, stored, tmp_path):
    suite = saved(
        between(),
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column="income", partition_object={"bins": [0, 3000, 9000], "weights": [0.5, 0.5]}, threshold=0.1
        ),
        *[gxe.ExpectColumnValuesToNotBeNull(column=name) for name in PEOPLE],
    )
    (tmp_path / "home").mkdir()
    outputs = [str(tmp_path / "outputs" / name) for name in OUTPUTS]
    environment = os.environ | {"HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, stored(PEOPLE).path, suite, *outputs],
        env={name: value for name, value in environment.items() if not name.startswith("GX_")},
        cwd=tmp_path / "home",
        capture_output=True,
        text=True,
        check=True,
    )
    told = [each for each in json.loads(done.stdout) if str(tmp_path / "outputs") not in each and each != "/dev/null"]
    assert told == []
    assert done.stderr == ""
    assert not list((tmp_path / "home").iterdir())
