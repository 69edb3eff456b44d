"""What a contract asks for beyond its schema: each planted fault is found and named, and nothing else is."""

from datetime import UTC, datetime
from pathlib import Path

import numpy
import pyarrow
import pytest

from kfp_hallmark.components.data.validate_dataset.contract import contract_checks, load_contract
from kfp_hallmark.components.data.validate_dataset.validate import validate
from kfp_hallmark.contracts.data_contract import DataContract, Limited, Reference, Version
from kfp_hallmark.contracts.dataset import write_table
from kfp_hallmark.contracts.verdict import Status, Verdict
from kfp_hallmark.datacontract.rules import parse_rule
from kfp_hallmark.errors import InputError, MissingInputError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
COLUMNS = {
    "id": [1, 2, 3, 4],
    "town": ["Bern", "Chur", "Bern", None],
    "start": [1.0, 2.0, 3.0, float("nan")],
    "end": [2.0, 2.0, 1.0, 4.0],
}


@pytest.fixture
def checked(stored, tmp_path):
    def check(columns=None, taken="2026-11-21T10:00:00Z", **said):
        dataset = stored(COLUMNS | (columns or {}))
        if taken is not None:
            dataset.metadata["snapshot_time"] = taken
        rows = len(COLUMNS["id"])
        return contract_checks(dataset, DataContract(schema="", **said), tmp_path, rows, NOON)

    return check


@pytest.fixture
def towns(tmp_path):
    write_table(tmp_path / "towns.parquet", pyarrow.table({"name": ["Bern", "Basel"], "number": [1, 2]}), {})


def rule(text, share=0.0):
    return Limited(parse_rule(text), share)


def test_a_contract_that_asks_for_nothing_has_no_checks(checked):
    assert checked() == []


@pytest.mark.parametrize(
    ("limit", "taken", "status", "message"),
    [
        (2, "2026-11-21T10:00:00Z", Status.PASS, "The dataset is 2 hours old; at most 2 are allowed."),
        (1.99, "2026-11-21T10:00:00Z", Status.FAIL, "The dataset is 2 hours old; at most 1.99 are allowed."),
        (24, "2026-11-21T12:06:00Z", Status.PASS, "The dataset is 0 hours old; at most 24 are allowed."),
        (24, "2026-11-21T12:06:01Z", Status.FAIL, "The dataset was taken 0.1 hours from now: a clock is wrong."),
        (24, "2026-11-21T12:30:00Z", Status.FAIL, "The dataset was taken 0.5 hours from now: a clock is wrong."),
        (24, None, Status.INCONCLUSIVE, "When the dataset was taken is not known: its metadata have no snapshot_time."),
    ],
)
def test_age(checked, limit, taken, status, message):
    (check,) = checked(max_age_hours=limit, taken=taken)
    assert (check.name, check.status, check.message) == ("age_hours", status, message)


def test_a_time_that_is_none_is_refused(checked):
    with pytest.raises(InputError, match=r"A time must be written as in ISO 8601; got 'yesterday'"):
        checked(max_age_hours=1, taken="yesterday")


@pytest.mark.parametrize(("limit", "status"), [(4, Status.PASS), (5, Status.FAIL)])
def test_rows(checked, limit, status):
    (check,) = checked(min_rows=limit)
    assert (check.status, check.observed, check.minimum) == (status, 4, limit)
    assert check.message == f"The dataset has 4 rows; the contract asks for {limit} at least."


def test_forbidden_columns_are_found_in_whatever_case(checked):
    (check,) = checked({"E-Mail": ["SECRET"] * 4}, forbidden=("e-mail", "name"))
    assert (check.status, check.observed) == (Status.FAIL, 1)
    assert check.message == "The dataset has what is forbidden: E-Mail."
    (check,) = checked(forbidden=("e-mail", "name"))
    assert check.status is Status.PASS


def test_keys(checked):
    one, two, three = checked(keys=(("id",), ("town",), ("id", "start")))
    assert (one.status, one.observed, one.message) == (Status.PASS, 0, "id: no row repeats another.")
    assert (two.status, two.observed, two.scope) == (Status.FAIL, 2, {"columns": "town"})
    assert two.message == "town: of 4 rows, 1 repeat those of another and 1 lack a part of them."
    assert (three.status, three.message) == (Status.FAIL, "id, start: of 4 rows, 1 lack a part of them.")


def test_a_duplicated_batch_is_found(stored, tmp_path):
    half = pyarrow.table(COLUMNS)
    dataset = stored(pyarrow.concat_tables([half, half]))
    (check,) = contract_checks(dataset, DataContract(schema="", keys=(("id",),)), tmp_path, 8)
    assert (check.status, check.observed) == (Status.FAIL, 4)


@pytest.mark.usefixtures("towns")
def test_references(checked):
    known, unknown = Reference("id", "towns.parquet", "number"), Reference("town", "towns.parquet", "name")
    first, second = checked(references=(known, unknown))
    assert (first.status, first.observed, first.samples) == (Status.FAIL, 2, 4)
    assert (second.status, second.observed, second.samples) == (Status.FAIL, 1, 3)
    assert second.message == "1 of 3 rows have a town that is not in name of towns.parquet."
    (check,) = checked({"town": ["Bern", "Basel", None, None]}, references=(unknown,))
    assert (check.status, check.message) == (Status.PASS, "Every town is in name of towns.parquet.")


@pytest.mark.usefixtures("towns")
@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        (Reference("town", "none.parquet", "name"), MissingInputError, "A dataset must be a Parquet file or a folder"),
        (Reference("town", "towns.parquet", "names"), InputError, "The key of 'towns.parquet' must be a column of the"),
        (Reference("town", "towns.parquet", "number"), InputError, "The column 'town' must be of the kind of 'number'"),
    ],
)
def test_references_that_cannot_be(checked, reference, error, message):
    with pytest.raises(error) as caught:
        checked(references=(reference,))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "dataset"),
    [("file://{}", "towns.parquet"), ("file://{}", "gs://bucket/towns.parquet"), ("{}", "gs://bucket/towns.parquet")],
)
def test_a_reference_that_cannot_be_reached_is_refused_with_the_contract(tmp_path, towns, uri, dataset):
    references = (Reference("town", str(tmp_path / "towns.parquet"), "name"), Reference("town", dataset, "name"))
    schema = 'feature { name: "town" type: BYTES }\n'
    DataContract(schema, Version(1, 0, 0), references=references).write(tmp_path / "contract.yaml")
    with pytest.raises(InputError) as caught:
        load_contract(uri.format(tmp_path / "contract.yaml"))
    assert caught.value.message == (
        "The dataset of a reference must be a local path, and an absolute one where the contract is at a URI; "
        f"got {dataset!r}."
    )


def test_a_contract_at_a_uri_refers_by_whole_paths(tmp_path, towns):
    reference = Reference("town", str(tmp_path / "towns.parquet"), "name")
    schema = 'feature { name: "town" type: BYTES }\n'
    DataContract(schema, Version(1, 0, 0), references=(reference,)).write(tmp_path / "contract.yaml")
    assert load_contract(f"file://{tmp_path}/contract.yaml").contract.references == (reference,)


def test_rules_tell_the_share_that_breaks_them_and_never_values(checked):
    exact, lenient, strict = checked(rules=(rule("start <= end"), rule("end < 4", 0.25), rule("end < 4", 0.249)))
    assert (exact.status, exact.observed, exact.maximum) == (Status.FAIL, 0.25, 0.0)
    assert exact.scope == {"rule": "start <= end"}
    assert exact.message == ("start <= end: broken by 1 of 4 rows; of 1 it cannot be told for a missing value.")
    assert (lenient.status, lenient.observed, lenient.message) == (Status.PASS, 0.25, "end < 4: broken by 1 of 4 rows.")
    assert strict.status is Status.FAIL


def test_a_rule_that_can_be_told_of_no_row_is_inconclusive(checked):
    (check,) = checked({"start": [float("nan")] * 4}, rules=(rule("start < end"),))
    assert (check.status, check.observed) == (Status.INCONCLUSIVE, None)
    assert check.message == "start < end: no row has the values to tell."


def test_a_rule_that_does_not_fit_its_columns_is_refused(checked):
    with pytest.raises(InputError, match=r"The rule 'town < end' must compare what can be compared"):
        checked(rules=(rule("town < end"),))


@pytest.mark.usefixtures("towns")
def test_what_asks_of_an_absent_column_is_inconclusive(checked):
    found = checked(
        keys=(("id", "x"),),
        references=(Reference("y", "towns.parquet", "name"),),
        rules=(rule("z < end"), rule("id > 0")),
    )
    assert [check.status for check in found] == [Status.INCONCLUSIVE] * 3 + [Status.PASS]
    assert found[0].message == "This cannot be told without x, which the dataset does not have."


def test_a_folder_is_read_as_one_dataset(tmp_path):
    from kfp import dsl

    for name in "ab":
        write_table(tmp_path / "parts" / f"{name}.parquet", pyarrow.table(COLUMNS), {})
    dataset = dsl.Dataset(uri=str(tmp_path / "parts"))
    (check,) = contract_checks(dataset, DataContract(schema="", keys=(("id",),)), tmp_path, 8)
    assert (check.observed, check.samples) == (4, 8)


CONTRACT = """\
hallmark: contract/v1
version: 1.2.0
description: What people earn.
min_rows: {rows}
keys: [id]
drift: {{max_psi: 0.05, features: {{pay: {{max_psi: 0.02}}}}}}
sensitive: [sex]
forbidden: [name]
rules: [pay >= 0, {{rule: "pay < 1000 or sex == 'f'", max_share: 0.5}}]
schema: |
  feature {{ name: "id" type: INT presence {{ min_fraction: 1 min_count: 1 }} }}
  feature {{ name: "pay" type: FLOAT presence {{ min_fraction: 1 }} float_domain {{ min: 0 }} }}
  feature {{ name: "sex" type: BYTES string_domain {{ value: "f" value: "m" }} }}
"""


def people(rows, first=0, pay=None):
    random = numpy.random.default_rng(first)
    pay = random.lognormal(6, 0.2, rows) if pay is None else pay
    return {"id": numpy.arange(first, first + rows), "pay": pay, "sex": random.choice(["f", "m"], rows).tolist()}


@pytest.fixture
def judged(stored, output, tmp_path):
    """Validate by the contract; return the verdict and the text of the report."""

    def run(columns, baseline=None, delivered=None, rows=500):
        (tmp_path / "contract.yaml").write_text(CONTRACT.format(rows=rows))
        outputs = {name: output(name) for name in ("verdict", "report", "statistics", "schema", "profile")}
        sides = {"dataset": columns, "baseline": baseline, "delivered": delivered}
        given = {name: side and stored(side, name) for name, side in sides.items()}
        others = dict.fromkeys(("baseline_profile", "previous", "serving", "expectations"))
        limits = {"max_stable_psi": 0.1, "max_psi": 0.25, "max_domain_auc": 0.65, "min_rows": 100, "seed": 0}
        settings = limits | {"contract_uri": str(tmp_path / "contract.yaml"), "excluded_columns": ["id"]}
        validate(**given, **others, **settings, **outputs)
        return Verdict.read(outputs["verdict"].path), Path(outputs["report"].path).read_text()

    return run


def reasons(verdict):
    return {check.name for check in verdict.checks if check.status is not Status.PASS}


def test_a_contract_that_is_kept(judged):
    verdict, report = judged(people(1000), people(1000, 1000))
    assert verdict.status is Status.PASS, verdict.reasons()
    assert {check.name for check in verdict.checks} >= {"contract_rows", "key_uniqueness", "rule", "forbidden_columns"}
    assert verdict.parameters["contract"]["version"] == "1.2.0"
    assert verdict.parameters["contract"]["sensitive"] == ["sex"]
    assert verdict.parameters["max_psi"] == verdict.parameters["max_stable_psi"] == 0.05
    assert "Beyond its schema, the contract 1.2.0 is kept." in report
    assert "Limits of their own: pay." in report
    assert "pay &gt;= 0: broken by none of 1,000 rows." in report
    assert "What people earn." in report and "<h2>Contract</h2>" in report


def test_a_contract_that_is_broken(judged):
    columns = people(400) | {"id": numpy.arange(400) // 2, "name": ["SECRET"] * 400, "sex": ["x"] * 400}
    verdict, report = judged(columns | {"pay": -columns["pay"]})
    assert reasons(verdict) == {
        "contract_rows",
        "key_uniqueness",
        "forbidden_columns",
        "rule",
        "schema_anomaly",
        "distinct_values",
    }
    anomalies = [check.scope["feature"] for check in verdict.checks if check.name == "schema_anomaly"]
    assert anomalies == ["name", "pay", "sex"]
    assert "pay does not fit the schema: values below the least allowed." in report
    assert "SECRET" not in report
    assert "the contract 1.2.0 is not kept in 4 points." in report


def test_the_limits_of_drift_are_those_of_the_contract(judged):
    columns = people(4000, 4000)
    verdict, _ = judged(columns | {"pay": columns["pay"] * 1.045}, people(4000))
    (check,) = [check for check in verdict.checks if check.status is not Status.PASS]
    assert (check.name, check.scope["feature"], check.maximum) == ("population_stability_index", "pay", 0.02)
    assert 0.02 < check.observed < 0.1


def test_the_contract_is_about_what_was_delivered(judged):
    """The whole has rows enough and repeats a key; its part has neither."""
    whole = people(800)
    whole["id"] = numpy.minimum(whole["id"], 798)
    part = {name: values[:300] for name, values in whole.items()}
    verdict, _ = judged(part, delivered=whole)
    assert reasons(verdict) == {"key_uniqueness"}
    assert set(verdict.subjects) == {"dataset", "delivered"}
    assert reasons(judged(part)[0]) == {"contract_rows"}


def test_a_contract_that_forbids_what_it_has_is_refused(tmp_path):
    (tmp_path / "contract.yaml").write_text(CONTRACT.format(rows=1).replace("[name]", "[PAY]").replace("rules:", "#"))
    with pytest.raises(InputError, match=r"'contract.yaml' must not use what it forbids; 'pay' is in both"):
        load_contract(str(tmp_path / "contract.yaml"))
