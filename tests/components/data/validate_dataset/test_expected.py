"""The verdict of check_expectations, folded into that of validate_dataset."""

from pathlib import Path

import numpy
import pytest
from kfp import dsl

from kfp_hallmark.components.data.validate_dataset.validate import validate
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.errors import IntegrityError, MissingInputError

OUTPUTS = ("verdict", "report", "statistics", "schema", "profile")
OTHERS = dict.fromkeys(("baseline", "baseline_profile", "previous", "serving"))
LIMITS = {"max_stable_psi": 0.1, "max_psi": 0.25, "max_domain_auc": 0.65, "min_rows": 100, "seed": 0}
SETTINGS = OTHERS | LIMITS | {"contract_uri": None, "excluded_columns": []}


@pytest.fixture
def people(stored):
    return stored({"age": numpy.arange(200) % 90})


@pytest.fixture
def told(output):
    """Return a verdict as check_expectations stores it, of one check."""

    def tell(dataset, status="pass", gate="check_expectations"):
        check = Check(
            "expect_column_values_to_be_between",
            Status(status),
            observed=None if status == "inconclusive" else 0.97,
            minimum={"pass": 0.95, "fail": 0.99}.get(status),
            samples=200,
            scope={"suite": "people", "feature": "age"},
            message="age values must be below 90: 6 of 200 rows are not so.",
        )
        artifact = output("expectations")
        Verdict(gate, {"dataset": artifact_digest(dataset.path)}, [check]).store(artifact)
        return artifact

    return tell


@pytest.fixture
def judge(output):
    def run(dataset, expectations, delivered=None):
        outputs = {name: output(name) for name in OUTPUTS}
        validate(dataset, expectations=expectations, delivered=delivered, **SETTINGS, **outputs)
        return Verdict.read(outputs["verdict"].path), Path(outputs["report"].path).read_text()

    return run


@pytest.mark.parametrize("status", ["pass", "warn", "inconclusive", "fail"])
def test_expectations_are_part_of_the_verdict(people, told, judge, status):
    expectations = told(people, status)
    verdict, report = judge(people, expectations)
    assert str(verdict.status) == status
    assert verdict.subjects["expectations"] == artifact_digest(expectations.path)
    assert verdict.checks[-1] == Verdict.read(expectations.path).checks[0]
    assert f"Expectations that hold: {int(status == 'pass')} of 1." in report
    assert report.count("age values must be below 90: 6 of 200 rows are not so.") == 1
    assert report.index("<h2>Expectations</h2>") < report.index("<h2>Schema and content</h2>")


def test_without_expectations_the_report_has_none(people, judge):
    verdict, report = judge(people, None)
    assert verdict.subjects.keys() == {"dataset"}
    assert "xpectations" not in report


def test_expectations_may_be_about_what_was_delivered(people, stored, told, judge):
    whole = stored({"age": numpy.arange(500) % 90}, "whole")
    verdict, _ = judge(people, told(whole), delivered=whole)
    assert verdict.subjects.keys() == {"dataset", "delivered", "expectations"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dataset", r"The expectations must be about the dataset sha256:\w+; they are about sha256:"),
        ("gate", "The expectations must be a verdict of check_expectations with checks; got one of fairness_gate"),
        ("checks", "The expectations must be a verdict of check_expectations with checks; got one of check_expect"),
        ("file", "The expectations must have the digest"),
        ("form", "must have the schema 'hallmark/verdict/v1'"),
    ],
)
def test_other_expectations_are_refused(people, stored, told, output, change, message):
    expectations = told(people)
    if change == "dataset":
        expectations = told(stored({"age": numpy.arange(201)}, "other"))
    if change == "gate":
        expectations = told(people, gate="fairness_gate")
    if change == "checks":
        Verdict("check_expectations", {"dataset": artifact_digest(people.path)}, []).store(expectations)
    if change == "file":
        path = Path(expectations.path)
        path.write_text(path.read_text().replace("0.95", "0.94"))
    if change == "form":
        Path(expectations.path).write_text('{"schema": "hallmark/other/v1"}')
        expectations.metadata.clear()
    outputs = {name: output(name) for name in OUTPUTS}
    with pytest.raises(IntegrityError, match=message):
        validate(people, expectations=expectations, delivered=None, **SETTINGS, **outputs)
    assert not [name for name, artifact in outputs.items() if Path(artifact.path).exists()]


def test_absent_expectations_are_refused(people, judge, tmp_path):
    with pytest.raises(MissingInputError):
        judge(people, dsl.Artifact(uri=str(tmp_path / "absent")))
