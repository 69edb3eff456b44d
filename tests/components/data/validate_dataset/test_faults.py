"""Faults planted into real data are found and named, and data without them raises no alarm."""

from dataclasses import replace
from pathlib import Path

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import pytest

from kfp_hallmark.components.data.validate_dataset.comparison import Comparing, Limits
from kfp_hallmark.components.data.validate_dataset.repeats import Repeats, repeated_rows
from kfp_hallmark.components.data.validate_dataset.validate import validate
from kfp_hallmark.contracts.verdict import Status, Verdict
from kfp_hallmark.datacontract.inference import infer_contract
from kfp_hallmark.errors import InputError, IntegrityError
from kfp_hallmark.profiles.profile import Profile, profile
from kfp_hallmark.profiles.scan import scan

ACS = Path(__file__).parents[4] / "examples/acs_employment"
OUTPUTS = ("verdict", "report", "statistics", "schema", "profile")
SETTINGS = {
    "baseline": None,
    "baseline_profile": None,
    "previous": None,
    "serving": None,
    "delivered": None,
    "expectations": None,
    "contract_uri": None,
    "excluded_columns": [],
    "max_stable_psi": 0.1,
    "max_psi": 0.25,
    "max_domain_auc": 0.65,
    "min_rows": 1000,
    "seed": 0,
}


@pytest.fixture(scope="module")
def acs():
    """Return 4,000 persons of 2016, and 6,000 others, as tables, with incomes that go by age, and days, made up."""
    table = pyarrow.parquet.read_table(ACS / "2016.parquet")
    random = numpy.random.default_rng(0)
    rows = random.choice(table.num_rows, 10_000, replace=False)
    table = table.take(pyarrow.array(rows)).select(["AGEP", "SCHL", "MAR", "SEX", "employed"])
    ages = table["AGEP"].to_numpy()
    table = table.append_column("income", pyarrow.array(random.lognormal(9, 0.4, 10_000) * numpy.exp(ages / 30)))
    table = table.set_column(2, "MAR", pyarrow.array([f"state {code}" for code in table["MAR"].to_pylist()]))
    days = pyarrow.array(random.integers(17_000, 17_100, 10_000), "int32")
    table = table.append_column("day", days.cast("date32"))
    return table.slice(0, 4000), table.slice(4000)


@pytest.fixture
def judge(output):
    """Validate; return the verdict, and the outputs by name."""

    def run(dataset, **changes):
        outputs = {name: output(name) for name in OUTPUTS}
        validate(dataset, **SETTINGS | changes, **outputs)
        return Verdict.read(outputs["verdict"].path), outputs

    return run


@pytest.fixture
def kept(stored, tmp_path, output):
    """Return the profile of a table, as a step before wrote it."""

    def keep(table, name):
        artifact = output(name)
        profile(stored(table, f"{name} data").path).write(artifact.path)
        return artifact

    return keep


@pytest.fixture
def odd(stored, kept, judge):
    """Return what a check warns of in the column n, which is stable, of a table beside a former one."""

    def warnings(name, before, now, reference):
        given = kept(before, reference) if "profile" in reference else stored(before, reference)
        now = stored(now)
        if reference == "serving":
            now, given = given, now
        verdict, _ = judge(now, **{reference: given})
        found = [check for check in verdict.checks if check.name == name]
        assert all(check.status is Status.WARN for check in found)
        where = " against the serving sample" if reference == "serving" else ""
        return [check.message.removeprefix(f"n is stable{where}, ") for check in found]

    return warnings


def told(verdict, status=None):
    return [check.message for check in verdict.checks if check.status in ([status] if status else list(Status)[1:])]


def changed(table, name, values):
    column = values if isinstance(values, pyarrow.ChunkedArray) else pyarrow.array(values)
    return table.set_column(table.schema.get_field_index(name), name, column)


def renamed(table):
    return table.rename_columns(["years" if name == "AGEP" else name for name in table.column_names])


def unit(table):
    return changed(table, "income", table["income"].to_numpy() * 1000)


def unit_of_few(table):
    return changed(table, "SEX", table["SEX"].to_numpy() * 1000)


def category(table):
    return changed(table, "MAR", ["state 6"] * 400 + table["MAR"].to_pylist()[400:])


def retyped(table):
    return changed(table, "AGEP", table["AGEP"].cast("string").to_pylist())


def nulls(table):
    return changed(table, "income", [None] * 300 + table["income"].to_pylist()[300:])


def share(table):
    return changed(table, "SEX", [1.0 if row % 2 else value for row, value in enumerate(table["SEX"].to_pylist())])


def codes(table):
    """Hold 90 rows of a category that was not there, which looks like a number."""
    values = [value.removeprefix("state ") for value in table["MAR"].to_pylist()]
    return changed(table, "MAR", ["6"] * 90 + values[90:])


def joint(table):
    """Give the incomes to other persons."""
    return changed(table, "income", numpy.random.default_rng(1).permutation(table["income"].to_numpy()))


FAULTS = {
    renamed: "AGEP is gone, and years, which is new, holds alike values: renamed?",
    unit: "its values look multiplied by about 99",
    unit_of_few: "its values look multiplied by about 1,000, as by another unit",
    category: "MAR holds categories that were not there in 400 of 4,000 rows",
    retyped: "AGEP is of another type, text, formerly integer",
    nulls: "missing in 7.5% of the rows, formerly in 0.0%",
    share: "SEX has moved",
}


@pytest.mark.parametrize("reference", ["baseline_profile", "previous"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_a_profile_alone(acs, stored, kept, judge, fault, reference):
    now, before = acs
    verdict, _ = judge(stored(fault(now)), **{reference: kept(before, reference)}, excluded_columns=["day"])
    assert any(FAULTS[fault] in message for message in told(verdict)), told(verdict)
    assert verdict.status in (Status.WARN, Status.FAIL)
    features = {check.scope.get("feature") for check in verdict.checks if check.status is not Status.PASS}
    assert len(features - {"years"}) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (renamed, "AGEP is gone, and years, which is new, holds alike values: renamed?"),
        (category, "MAR does not fit the schema: unexpected string values."),
        (retyped, "AGEP does not fit the schema: unexpected data type."),
        (nulls, "missing in 7.5% of the rows, formerly in 0.0%"),
        (joint, "can be told apart by their columns taken together: ROC AUC 0."),
    ],
)
def test_a_fault_is_named_by_a_baseline(acs, stored, judge, fault, message):
    now, before = acs
    verdict, _ = judge(stored(fault(now)), baseline=stored(before, "baseline"), max_domain_auc=0.55)
    assert any(message in each for each in told(verdict)), told(verdict)
    assert verdict.status is Status.FAIL


def lacking(rows, count, seed):
    """Return numbers of which the first so many are missing."""
    numbers = numpy.random.default_rng(seed).normal(size=rows)
    return pyarrow.table({"n": pyarrow.array(numbers, mask=numpy.arange(rows) < count)})


@pytest.mark.parametrize(
    ("rows", "count", "share"),
    [
        (4000, 451, None),
        (4000, 452, 11.3),
        (4000, 800, 20.0),
        (4000, 340, 8.5),
        (40_000, 4400, None),
        (40_000, 4401, 11.0),
    ],
)
@pytest.mark.parametrize("reference", ["baseline", "baseline_profile", "previous"])
def test_a_growing_share_of_missing_values_is_named(stored, kept, judge, reference, rows, count, share):
    """Of 40,000 rows 4,000 are missing in the reference; with 451 of 4,000 the p-value is 0.0108, with 452 0.0093."""
    before = lacking(40_000, 4000, 1)
    given = stored(before, "before") if reference == "baseline" else kept(before, reference)
    verdict, _ = judge(stored(lacking(rows, count, 2)), **{reference: given})
    found = [(check.status, check.message) for check in verdict.checks if check.name == "missing_share"]
    where = " against the previous span" if reference == "previous" else ""
    message = f"n is stable{where}, but missing in {share}% of the rows, formerly in 10.0%."
    assert found == ([] if share is None else [(Status.WARN, message)])


@pytest.mark.parametrize("reference", ["baseline", "baseline_profile", "serving"])
@pytest.mark.parametrize(
    ("code", "count", "message"),
    [
        (-999.0, 80, None),
        (-999.0, 200, "6.0% of its values are below where 1% were"),
        (9999.0, 200, "6.0% of its values are above where 1% were"),
    ],
)
def test_codes_for_something_else_are_named(odd, reference, code, count, message):
    """Of 4,000 rows, 40 lie below the 1st percentile and 40 above the 99th; the first rows get a code instead."""
    numbers = [{"n": numpy.random.default_rng(seed).permutation(numpy.arange(4000.0))} for seed in range(2)]
    numbers[1]["n"][numpy.argsort(numbers[1]["n"])[1000 : 1000 + count]] = code
    found = odd("tail_share", *map(pyarrow.table, numbers), reference)
    assert found == ([] if message is None else [f"but {message}: codes, or another unit?"])


@pytest.mark.parametrize("reference", ["baseline", "baseline_profile", "serving"])
@pytest.mark.parametrize("kind", ["int64", "double"])
@pytest.mark.parametrize(("code", "count", "share"), [(300.5, 80, None), (300.5, 120, "3.0"), (7, 400, None)])
def test_a_new_code_amid_the_others_is_named(odd, reference, kind, code, count, share):
    """Of 4,000 rows with about 500 values, 400 are 7 on both sides."""
    random, sides = numpy.random.default_rng(5), []
    for held in ((7, 400), (code, count)):
        values = random.permutation(numpy.arange(4000) // 8 * 2.0)
        values[:400], values[400 : 400 + held[1]] = 7, held[0]
        sides.append(pyarrow.table({"n": pyarrow.array(2 * random.permutation(values)).cast(kind)}))
    message = f"but {share}% of its values are one that less than 1% were: a new code?"
    assert odd("value_share", *sides, reference) == ([] if share is None else [message])


@pytest.mark.parametrize("reference", ["baseline_profile", "serving"])
@pytest.mark.parametrize("kind", ["int64", "double"])
@pytest.mark.parametrize(("count", "share"), [(40, None), (60, "1.5"), (200, None)])
def test_a_new_code_beside_few_others_is_named(odd, reference, kind, count, share):
    """From 1 % of 4,000 rows on; 5 % of them have moved the column, which says so."""
    sides = []
    for new in (0, count):
        values = numpy.arange(4000) % 6
        values[:new] = 9
        sides.append(pyarrow.table({"n": pyarrow.array(values).cast(kind)}))
    message = f"but {share}% of the rows hold values that were not there: a new code?"
    assert odd("value_share", *sides, reference) == ([] if share is None else [message])


@pytest.mark.parametrize("infinity", [numpy.inf, -numpy.inf])
def test_infinities_that_were_there_lie_no_farther_out(stored, kept, judge, infinity):
    values = numpy.where(numpy.arange(4000) % 10, numpy.arange(4000.0), infinity)
    verdict, _ = judge(stored({"n": values}), baseline_profile=kept(pyarrow.table({"n": values}), "before"))
    assert [check.name for check in verdict.checks if check.status is not Status.PASS] == ["infinite_values"]


@pytest.mark.parametrize(("listed", "count", "status"), [(False, 30, None), (False, 60, "warn"), (True, 60, "fail")])
def test_a_new_category_where_the_contract_lists_none_is_named(stored, kept, judge, tmp_path, listed, count, status):
    """A contract lists the texts of a column that has at most 100; of 4,000 rows, 40 are one of 100."""
    words = [f"w{number % 150}" for number in range(4000)]
    before = pyarrow.table({"t": words, "n": numpy.arange(4000)})
    now = changed(before, "t", ["new"] * count + words[count:])
    domain = f"string_domain {{ {' '.join(f'value: {word!r}' for word in dict.fromkeys(words))} }}" if listed else ""
    schema = f'feature {{ name: "n" type: INT }} feature {{ name: "t" type: BYTES {domain} }}'
    (tmp_path / "schema.pbtxt").write_text(schema)
    given = {"contract_uri": str(tmp_path / "schema.pbtxt"), "baseline_profile": kept(before, "before")}
    verdict, _ = judge(stored(now), **given)
    assert judge(stored(before), **given)[0].status is Status.PASS
    (message,) = told(verdict) or [None]
    assert (None if verdict.status is Status.PASS else str(verdict.status)) == status
    if status == "warn":
        assert message == "Against the baseline, t holds categories that were not there in 60 of 4,000 rows."


@pytest.mark.parametrize(("factor", "shift"), [(1, 0), (1.2, 0), (1, 0.25)])
def test_a_small_shift_leaves_the_tails_alone(stored, judge, factor, shift):
    before, now = (numpy.random.default_rng(seed).normal(size=5000) for seed in (1, 2))
    verdict, _ = judge(stored({"n": factor * now + shift}), baseline=stored({"n": before}, "before"))
    assert [check.name for check in verdict.checks if check.status is not Status.PASS] == []


@pytest.mark.parametrize("other", [{"m": numpy.arange(2000)}, {"n": ["a", "b"] * 1000}])
def test_a_serving_sample_with_nothing_to_compare_is_no_pass(stored, judge, other):
    verdict, _ = judge(stored({"n": numpy.arange(2000)}), serving=stored(other, "serving"))
    (check,) = [check for check in verdict.checks if check.name == "common_features"]
    assert check.status is Status.INCONCLUSIVE
    assert check.message == "The dataset and the serving sample have no column in common that can be compared."


@pytest.mark.parametrize(("columns", "rest"), [(3, None), (5, "So it is of 2 more.")])
def test_odd_values_are_told_first_of_all(stored, judge, columns, rest):
    before, now = lacking(4000, 400, 1), lacking(4000, 800, 2)
    sides = [pyarrow.table({f"n{index}": table["n"] for index in range(columns)}) for table in (before, now)]
    _, outputs = judge(stored(sides[1]), baseline=stored(sides[0], "before"))
    lead = Path(outputs["report"].path).read_text().partition('<p class="lead">')[2].partition("</p>")[0]
    assert lead.count("but missing in 20.0% of the rows, formerly in 10.0%.") == 3
    assert (rest in lead) if rest else "So it is" not in lead


def test_what_warns_is_told_at_the_top_and_each_column_that_does_not_fit_counts_once(stored, kept, judge):
    """A new code, the same rows again, a day without any, and a text that is new to both sides."""
    days = numpy.arange(4000) // 40
    table = {"n": numpy.arange(4000) // 8 * 2.0, "w": [f"w{number % 30}" for number in range(4000)]}
    before = pyarrow.table({**table, "day": pyarrow.array(days, "int32").cast("date32")})
    table |= {"n": numpy.where(numpy.arange(4000) % 32, table["n"], 301), "w": ["new"] * 100 + table["w"][100:]}
    now = pyarrow.table({**table, "day": pyarrow.array(days + (days > 50), "int32").cast("date32")})
    now = pyarrow.concat_tables([now, now])
    given = {"baseline_profile": kept(before, "baseline"), "previous": kept(before, "previous")}
    _, outputs = judge(stored(now), **given)
    lead = Path(outputs["report"].path).read_text().partition('<p class="lead">')[2].partition("</p>")[0]
    for message in ("a new code?", "in the same order, at one distance: a batch that is", "day has a gap of 2 days"):
        assert message in lead
    assert "Not fitting: 1." in lead


def test_a_new_code_is_named_by_a_baseline(acs, stored, judge):
    now, before = acs
    coded = changed(before, "MAR", [value.removeprefix("state ") for value in before["MAR"].to_pylist()])
    verdict, _ = judge(stored(codes(now)), baseline=stored(coded, "baseline"))
    (failed,) = told(verdict, Status.FAIL)
    assert failed == "Against the baseline, MAR holds categories that were not there in 90 of 4,000 rows."


@pytest.mark.parametrize("reference", ["baseline", "baseline_profile", "previous"])
@pytest.mark.parametrize(
    ("town", "share", "message"),
    [
        ("new", 0.03, "c holds categories that were hardly there, or not at all, in 90 of 3,000 rows"),
        ("town 7", 0.13, "c has moved"),
    ],
)
def test_a_new_or_grown_category_among_many_rare_ones_is_named(stored, kept, judge, reference, town, share, message):
    generator = numpy.random.default_rng(4)
    towns = numpy.array([f"town {number}" for number in range(300)])
    before, now = (generator.choice(towns, 3000) for _ in range(2))
    now[: round(share * 3000)] = town
    given = (
        stored({"c": before}, "before") if reference == "baseline" else kept(pyarrow.table({"c": before}), reference)
    )
    verdict, _ = judge(stored({"c": now}), **{reference: given})
    assert any(message in each for each in told(verdict)), told(verdict)


def test_a_changed_relation_moves_no_feature_and_names_both(acs, stored, judge):
    now, before = acs
    sides = {"baseline": stored(before, "baseline"), "serving": stored(joint(now), "serving")}
    verdict, outputs = judge(stored(now), **sides, max_domain_auc=0.55)
    drifts = [check for check in verdict.checks if check.name == "population_stability_index"]
    assert {check.status for check in drifts} == {Status.PASS}
    found = {check.scope["reference"]: check for check in verdict.checks if check.name == "domain_classifier_roc_auc"}
    assert found["baseline"].status is Status.PASS
    assert found["serving"].status is Status.FAIL
    assert found["serving"].interval[0] > 0.55
    assert "AGEP" in found["serving"].message
    assert "income" in found["serving"].message
    assert "All columns together" in Path(outputs["report"].path).read_text()


def test_a_serving_sample_may_lack_the_label(acs, stored, judge):
    now, before = acs
    sample = unit(before.drop(["employed"])).append_column("request", pyarrow.array(numpy.arange(6000)))
    verdict, outputs = judge(stored(now), serving=stored(sample, "serving"), excluded_columns=["day"])
    assert "In the serving sample, employed is gone." in told(verdict, Status.WARN)
    (failed,) = [check for check in verdict.checks if check.status is Status.FAIL if check.name.startswith("popul")]
    assert failed.scope == {"feature": "income", "reference": "serving"}
    assert not [check for check in verdict.checks if check.scope.get("feature") == "request"]
    assert "Training-serving skew" in Path(outputs["report"].path).read_text()


@pytest.mark.parametrize(("days", "found"), [(0, False), (1, True), (2, True), (7, True)])
def test_a_gap_of_time_is_named(acs, stored, judge, days, found):
    """About 60 rows are on each of 100 days: that none is on one of them is not by chance."""
    table = acs[1]
    past = pyarrow.compute.less(table["day"].cast("int32"), 17_050)
    later = pyarrow.compute.add(table["day"].cast("int32"), pyarrow.compute.if_else(past, 0, days).cast("int32"))
    table = table.set_column(table.schema.get_field_index("day"), "day", later.cast("date32"))
    messages = told(judge(stored(table))[0])
    expected = [f"day has a gap of {days + 1} days; 99 % of the others are 24 hours at most."]
    assert messages == (expected if found else [])


@pytest.mark.parametrize(("days", "hours", "status"), [(1, 24, Status.PASS), (3, 72, Status.FAIL)])
def test_a_gap_since_the_span_before_breaks_a_contract_that_limits_it(
    acs, stored, kept, judge, tmp_path, days, hours, status
):
    table = acs[1]
    later = numpy.asarray(table["day"].cast("int32")) + 99 + days
    now = changed(table, "day", pyarrow.chunked_array([pyarrow.array(later, "int32").cast("date32")]))
    contract, _ = infer_contract(stored(table, "before").path, "before")
    replace(contract, max_gap_hours={"day": 24}).write(tmp_path / "contract.yaml")
    given = {"previous": kept(table, "previous"), "contract_uri": str(tmp_path / "contract.yaml")}
    verdict, outputs = judge(stored(now.slice(1)), **given)
    assert verdict.status is status
    within, since = [check for check in verdict.checks if check.name == "gap_hours"]
    assert (within.status, within.observed, since.status, since.observed) == (Status.PASS, 24, status, hours)
    assert since.message == f"day begins {hours} hours after the previous span ends; the contract allows 24."
    assert since.message in Path(outputs["report"].path).read_text()
    verdict, _ = judge(stored(now.slice(1)), previous=given["previous"])
    assert [message.partition(":")[0] for message in told(verdict, Status.FAIL)] == [
        "day has moved far against the previous span"
    ]


def test_a_gap_that_a_contract_limits_is_judged_in_a_column_that_is_excluded_too(acs, stored, kept, judge, tmp_path):
    """As in pipelines, where the time by which the data is split is no feature."""
    table = acs[1]
    contract, _ = infer_contract(stored(table, "before").path, "before")
    replace(contract, max_gap_hours={"day": 24}).write(tmp_path / "contract.yaml")
    given = {"contract_uri": str(tmp_path / "contract.yaml"), "excluded_columns": ["day", "MAR"]}
    verdict, _ = judge(stored(table), previous=kept(table, "previous"), **given)
    checks = [check for check in verdict.checks if check.name == "gap_hours"]
    assert [(check.status, check.observed) for check in checks] == [(Status.PASS, 24), (Status.PASS, 0)]
    assert verdict.parameters["excluded_columns"] == ["MAR"]


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ("day", "int32", "whole numbers in place of dates or times"),
        ("day", "bool", "booleans in place of dates or times"),
        ("good", "int8", "whole numbers in place of booleans"),
        ("SCHL", "bool", "booleans in place of whole numbers"),
    ],
)
def test_what_became_another_kind_of_whole_numbers_is_named(acs, stored, judge, tmp_path, column, kind, message):
    """TFDV takes the three for the same; a bare schema, which may be of its making, knows times alone."""
    now, before = (each.append_column("good", pyarrow.compute.equal(each["SEX"], 1)) for each in acs)
    other = now[column].cast("int32") if column == "day" else now[column]
    other = changed(now, column, other.cast(kind, safe=False))
    contract, _ = infer_contract(stored(before, "before").path, "before")
    contract.write(tmp_path / "contract.yaml")
    (tmp_path / "schema.pbtxt").write_text(contract.schema)
    message = f"{column} does not fit the schema: {message}."
    bare = {"contract_uri": str(tmp_path / "schema.pbtxt")}
    for given in ({"baseline": stored(before, "before")}, {"contract_uri": str(tmp_path / "contract.yaml")}, bare):
        found = message in told(judge(stored(other), **given)[0], Status.FAIL)
        assert found == (given is not bare or column == "day")
        verdict, outputs = judge(stored(now), **given)
        assert [check.message for check in verdict.checks if check.name == "schema_anomaly"] == []
        assert Path(outputs["report"].path).read_text().count("dates or times") == 1


@pytest.mark.parametrize(
    ("presence", "status", "message"),
    [
        ("", Status.WARN, "Against the baseline, t is gone, as the contract allows."),
        ("presence { min_fraction: 1 min_count: 1 }", Status.FAIL, "t does not fit the schema: missing column."),
    ],
)
def test_a_column_that_may_be_absent_is_told_when_it_is_gone(stored, kept, judge, tmp_path, presence, status, message):
    table = pyarrow.table({"n": numpy.arange(2000), "t": ["a", "b"] * 1000})
    schema = f'feature {{ name: "n" type: INT }} feature {{ name: "t" type: BYTES {presence} }}'
    (tmp_path / "schema.pbtxt").write_text(schema)
    uri, before = str(tmp_path / "schema.pbtxt"), kept(table, "before")
    assert judge(stored(table), baseline_profile=before, contract_uri=uri)[0].status is Status.PASS
    verdict, _ = judge(stored(table.drop(["t"])), baseline_profile=before, contract_uri=uri)
    assert (verdict.status, told(verdict)) == (status, [message])


@pytest.mark.parametrize(("rows", "found"), [(99, False), (300, True)])
def test_a_batch_that_is_there_twice_is_named(acs, stored, judge, rows, found):
    table = pyarrow.concat_tables([acs[1], acs[1].slice(700, rows)])
    verdict, _ = judge(stored(table))
    (check,) = [check for check in verdict.checks if check.name == "repeated_batch"]
    assert check.status is (Status.WARN if found else Status.PASS)
    assert check.observed == (rows if found else 0)
    assert f"{rows} of {6000 + rows:,} rows equal an earlier one" in check.message


@pytest.mark.parametrize("reference", ["previous", "baseline_profile"])
@pytest.mark.parametrize(("change", "found"), [(0.0, True), (0.001, False)])
def test_the_batch_of_the_span_before_is_named(acs, stored, kept, judge, change, found, reference):
    """Its rows may come in another order, but no value may be another. A baseline may be the dataset itself."""
    incomes = acs[0]["income"].to_numpy().copy()
    incomes[0] += change
    now = changed(acs[0], "income", incomes).take(pyarrow.array(range(3999, -1, -1)))
    verdict, _ = judge(stored(now), **{reference: kept(acs[0], reference)})
    message = "Every column holds exactly what it held in the previous span: the same batch again?"
    assert told(verdict) == ([message] if found and reference == "previous" else [])


def test_batches_of_few_values_may_be_equal_by_chance(stored, kept, judge):
    table = pyarrow.table({"n": [1, 2, 3, 4] * 500, "t": ["a", "b"] * 1000})
    assert judge(stored(table), previous=kept(table, "before"))[0].status is Status.PASS


@pytest.mark.parametrize(("times", "found"), [(2, True), (3, True), (6, True), (20, True), (21, False)])
def test_a_batch_that_is_there_more_than_twice_is_named(stored, times, found):
    rows = numpy.tile(numpy.random.default_rng(0).random(400), times)
    again = 400 * (times - 1)
    repeats = repeated_rows(stored({"n": rows}).path)
    assert (repeats.equal, repeats.batch, repeats.rows) == (again, again if found else 0, 400 * times)


@pytest.mark.parametrize(("rows", "found"), [(0, False), (100, False), (1500, True), (6000, True)])
def test_a_batch_that_is_there_again_in_another_order_is_named(acs, stored, judge, rows, found):
    """Of 6,000 rows without their incomes 125 equal an earlier one; 100 more may be so by chance."""
    codes = acs[1].drop(["income"])
    order = numpy.random.default_rng(0).permutation(6000 + rows)
    whole = pyarrow.concat_tables([codes, codes.slice(0, rows)]).take(pyarrow.array(order))
    verdict, _ = judge(stored(whole))
    (check,) = [check for check in verdict.checks if check.name == "repeated_batch"]
    assert check.status is (Status.WARN if found else Status.PASS)
    assert ("are there twice, more than chance makes: a batch again, in another order?" in check.message) == found


@pytest.mark.parametrize("values", [50, 1000, 20_000, 10**9])
@pytest.mark.parametrize("skew", [0, 1, 2])
def test_rows_that_are_equal_by_chance_are_no_batch_in_another_order(stored, values, skew):
    """Of values that are as probable as each other, and of some that are much more so than others."""
    random = numpy.random.default_rng(values + skew)
    rows = (values * random.random(20_000) ** (1 + skew)).astype("int64")
    assert not repeated_rows(stored({"n": rows}).path).odd


@pytest.mark.parametrize("apart", [1, 80, 100])
def test_pairs_side_by_side_are_no_batch_in_another_order(stored, apart):
    rows = numpy.arange(20_000).reshape(-1, apart)
    rows = numpy.concatenate([rows, rows], axis=1).ravel()
    assert repeated_rows(stored({"n": rows}).path).odd == (apart == 100)


def test_rows_that_chance_makes_equal_are_no_batch(stored):
    """Of values that are there 20 times, about 20 rows at most have each distance."""
    rows = numpy.random.default_rng(0).permutation(numpy.repeat(numpy.arange(2000), 20))
    assert repeated_rows(stored({"n": rows}).path) == Repeats(38_000, 0, 0, False, 40_000)


@pytest.mark.parametrize(
    "columns", [{"n": [1, 2] * 500}, {"n": numpy.sort(numpy.tile(numpy.arange(500), 2))}, {"n": [None] * 1000}]
)
def test_rows_that_are_equal_by_nature_are_no_batch(stored, judge, columns):
    verdict, _ = judge(stored(pyarrow.table({"n": pyarrow.array(columns["n"], "int64")})))
    (check,) = [check for check in verdict.checks if check.name == "repeated_batch"]
    assert check.status is Status.PASS


def test_a_written_profile_is_the_next_baseline(acs, stored, judge):
    now, before = acs
    _, outputs = judge(stored(before, "before"))
    written = outputs["profile"]
    Path(written.path).rename(moved := Path(written.path).with_name("kept"))
    written.uri = str(moved)
    verdict, _ = judge(stored(now), baseline_profile=written, previous=written)
    assert verdict.status is Status.PASS, told(verdict)
    assert verdict.subjects.keys() == {"dataset", "baseline_profile", "previous"}
    assert Profile.read(moved).dataset.startswith("sha256:")
    moved.write_text(moved.read_text().replace('"rows":6000', '"rows":5999'))
    with pytest.raises(IntegrityError, match="The baseline profile must have the digest"):
        judge(stored(now), baseline_profile=written)


def test_two_baselines_are_refused(acs, stored, kept, judge):
    with pytest.raises(InputError, match="got both"):
        judge(stored(acs[0]), baseline=stored(acs[1], "baseline"), baseline_profile=kept(acs[1], "profile"))


def test_what_is_no_profile_is_refused(acs, stored, judge, output):
    Path(output("other").path).write_text('{"schema": "hallmark/other/v1"}')
    with pytest.raises(IntegrityError, match="hallmark/profile/v1"):
        judge(stored(acs[0]), previous=output("other"))


def test_a_sample_of_the_same_year_raises_no_alarm(tmp_path):
    """Of 20 resamples of 2016 against 2016; benchmarks/drift.py measures 200."""
    table = pyarrow.parquet.read_table(ACS / "2016.parquet")
    before = profile(ACS / "2016.parquet")
    random = numpy.random.default_rng(3)
    for _ in range(20):
        rows = random.integers(0, table.num_rows, 5000)
        pyarrow.parquet.write_table(table.take(pyarrow.array(rows)), tmp_path / "now")
        comparing = Comparing("baseline", before, table.column_names)
        for name, _, counted in scan(tmp_path / "now"):
            comparing.add(name, counted, 0.1)
        found = comparing.finish(before, Limits(0.1, 0.25), enough=True)
        assert {move.status for move in found.moves} == {Status.PASS}
