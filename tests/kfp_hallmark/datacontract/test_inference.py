"""A first contract: what it limits, that its data fit it, and that planted faults do not."""

import numpy
import pyarrow
import pyarrow.parquet
import pytest

from kfp_hallmark.contracts.data_contract import parse_contract, read_contract
from kfp_hallmark.contracts.dataset import write_table
from kfp_hallmark.datacontract.evolution import evolution
from kfp_hallmark.datacontract.inference import import_tfdv, infer_contract
from kfp_hallmark.datacontract.schema import contract_schema
from kfp_hallmark.profiles.statistics import compute_statistics

ENVIRONMENT = "data"
ROWS = 2000


def persons(seed=0, rows=ROWS):
    random = numpy.random.default_rng(seed)
    return {
        "person id": numpy.arange(rows),
        "code": [f"{seed}-{number}" for number in range(rows)],
        "visits": random.integers(0, 95, rows),
        "depth": -random.random(rows),
        "income": [
            None if missing else value
            for missing, value in zip(random.random(rows) < 0.1, random.lognormal(8, 1, rows), strict=True)
        ],
        "home town": random.choice(["Bern", "Zürich"], rows).tolist(),
        "active": (random.random(rows) < 0.5).tolist(),
        "born": pyarrow.array(random.integers(0, 9000, rows), "int32").cast("date32"),
        "maritalStatus": random.integers(0, 3, rows),
        "message": random.integers(0, 3, rows),
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("persons") / "persons.parquet"
    write_table(path, pyarrow.table(persons()), {})
    return path


@pytest.fixture(scope="module")
def inferred(path):
    return infer_contract(path, "persons.csv")


@pytest.fixture(scope="module")
def features(inferred):
    return {feature.name: feature for feature in contract_schema(inferred[0]).feature}


def test_limits_outside_the_schema(inferred):
    contract, _ = inferred
    assert str(contract.version) == "1.0.0"
    assert contract.min_rows == 1000
    assert contract.keys == (("person id",), ("code",))
    assert contract.drift == {"max_psi": 0.25}
    assert contract.sensitive == ("maritalStatus",)


def test_numbers_are_limited_by_powers_of_ten(features):
    assert (features["visits"].int_domain.min, features["visits"].int_domain.max) == (0, 1000)
    assert (features["depth"].float_domain.min, features["depth"].float_domain.max) == (-10, 0)
    assert not features["born"].HasField("int_domain")
    assert not features["active"].HasField("int_domain")


def test_twice_as_much_may_be_missing_as_was(features, path):
    missing = pyarrow.parquet.read_table(path)["income"].null_count / ROWS
    assert features["income"].presence.min_fraction == pytest.approx(1 - 2 * missing, abs=0.01)
    assert features["visits"].presence.min_fraction == 0.99


def test_texts_are_listed_unless_they_identify(inferred):
    (domain,) = contract_schema(inferred[0]).string_domain
    assert (domain.name, sorted(domain.value)) == ("home town", ["Bern", "Zürich"])


def test_the_file_says_what_a_person_must_review(inferred, tmp_path):
    contract, notes = inferred
    contract.write(tmp_path / "contract.yaml", notes)
    text = (tmp_path / "contract.yaml").read_text(encoding="utf-8")
    assert read_contract(tmp_path / "contract.yaml") == contract
    assert text.startswith("# A first contract, inferred from 2,000 rows of persons.csv.")
    assert text.count("REVIEW") == 12
    assert '  feature { name: "visits" type: INT int_domain { min: 0 max: 1000 }' in text
    assert "Zürich" in text
    assert not [line for line in text.splitlines() if len(line) > 160]


def test_what_the_notes_offer_can_be_taken(inferred):
    """Each proposal, with its mark of a comment removed, is something that a contract may say."""
    _, notes = inferred
    offers = [note.splitlines()[-1] for note in notes.values() if ": " in note.splitlines()[-1] and "\n" in note]
    offers = [offer for offer in offers if offer.split(":")[0] in notes]
    assert {offer.split(":")[0] for offer in offers} == {
        "description",
        "max_age_hours",
        "max_gap_hours",
        "drift",
        "forbidden",
        "references",
        "rules",
    }
    taken = parse_contract(
        ("hallmark: contract/v1\nversion: 1.1.0\nschema: 'feature { name: \"x\" }'\n" + "\n".join(offers)).encode(),
        "c.yaml",
    )
    assert taken.max_age_hours == 24 and len(taken.rules) == 2


def test_its_data_fit_and_it_has_not_changed(inferred, path):
    contract, _ = inferred
    assert anomalies(contract, path) == set()
    assert evolution(contract, contract).changes == ()


def anomalies(contract, path):
    found = import_tfdv().validate_statistics(compute_statistics(path), contract_schema(contract))
    return {info.path.step[0] for info in found.anomaly_info.values()}


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("visits", lambda columns: columns["visits"] * 1000),
        ("income", lambda columns: [value and value * 1000 for value in columns["income"]]),
        ("income", lambda columns: [None] * 600 + columns["income"][600:]),
        ("home town", lambda columns: ["Chur"] * 100 + columns["home town"][100:]),
        ("visits", lambda columns: [str(value) for value in columns["visits"]]),
        ("depth", lambda columns: -columns["depth"]),
    ],
)
def test_planted_faults_do_not_fit(inferred, tmp_path, fault, change):
    columns = persons(seed=1)
    write_table(tmp_path / "faulty.parquet", pyarrow.table(columns | {fault: change(columns)}), {})
    assert anomalies(inferred[0], tmp_path / "faulty.parquet") == {fault}


@pytest.mark.parametrize("rows", [1, 2])
def test_few_rows(tmp_path, rows):
    write_table(tmp_path / "few.parquet", pyarrow.table({"n": [7] * rows, "t": ["x"] * rows, "e": [None] * rows}), {})
    contract, _ = infer_contract(tmp_path / "few.parquet", "few")
    assert (contract.min_rows, contract.keys) == (1, ())
    assert anomalies(contract, tmp_path / "few.parquet") == set()


ODD = {
    "least integer": pyarrow.array([-(2**63), 5, 7]),
    "greatest integer": pyarrow.array([2**64 - 1, 5, 7], "uint64"),
    "great integers": pyarrow.array([10**17, 10**18]),
    "greatest number": pyarrow.array([1.7e308, -1.7e308, 7.5]),
    "great number": pyarrow.array([1e308, 0.5]),
    "beyond single precision": pyarrow.array([-4e37, 4e37]),
    "least number": pyarrow.array([5e-324, -5e-324, 0.0]),
    "small numbers": pyarrow.array([1e-50, -1e-50]),
    "negative zero": pyarrow.array([-0.0, 0.0]),
    "infinity": pyarrow.array([float("inf"), -float("inf"), float("nan"), 1.5]),
    "missing": pyarrow.array([None, float("nan")], "float64"),
    "missing text": pyarrow.array([None, None], "string"),
    "single precision": pyarrow.array([0.1, 1e30], "float32"),
    "texts": pyarrow.array(['a"b', "", "x\ny", "\\", "<b>", "é"] * 9),
    "long texts": pyarrow.array(["x" * 2000, "y" * 2000] * 9),
    "far days": pyarrow.array([-100_000_000, 100_000_000], "int32").cast("date32"),
    "moments": pyarrow.array([-1, 0], pyarrow.timestamp("ns", "UTC")),
    "true": pyarrow.array([True, True]),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_columns_fit_what_is_inferred_of_them(tmp_path, name):
    table = pyarrow.table({f"of {name}: 'x' \N{SNOWMAN}.": ODD[name]})
    pyarrow.parquet.write_table(table, tmp_path / "odd.parquet", version="2.6")
    contract, notes = infer_contract(tmp_path / "odd.parquet", "odd")
    contract.write(tmp_path / "contract.yaml", notes)
    assert read_contract(tmp_path / "contract.yaml") == contract
    assert anomalies(contract, tmp_path / "odd.parquet") == set()


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([-(2**63), 7], (None, 100)),
        ([-3, 10**17], (-100, 10**18)),
        ([-3, 2 * 10**17], (-100, None)),
        ([-1.5e37, 3.5], (None, 100)),
        ([-1e37, 3e-41], (-1e38, 1e-37)),
        ([0.5, 1.7e308], (0, None)),
    ],
)
def test_limits_that_a_schema_cannot_hold_are_left_out(tmp_path, values, limits):
    write_table(tmp_path / "far.parquet", pyarrow.table({"n": values}), {})
    (feature,) = contract_schema(infer_contract(tmp_path / "far.parquet", "far")[0]).feature
    domain = getattr(feature, "int_domain" if isinstance(values[0], int) else "float_domain")
    found = [getattr(domain, side) if domain.HasField(side) else None for side in ("min", "max")]
    assert found == pytest.approx(limits)


def test_many_columns_that_identify_each_row(tmp_path):
    """So many that they are looked at in two parts."""
    columns = {f"c{index}": numpy.arange(70_000) * index for index in range(1, 40)}
    columns["c35"][-1] = columns["c35"][0]
    write_table(tmp_path / "wide.parquet", pyarrow.table(columns), {})
    contract, _ = infer_contract(tmp_path / "wide.parquet", "wide")
    assert contract.keys == tuple((name,) for name in columns if name != "c35")


def test_what_texts_identify_is_not_listed_in_any_column(tmp_path):
    columns = {f"c{index}": [f"{index}-{row}" for row in range(50)] for index in range(30)}
    columns["c7"] = ["a", "b"] * 25
    write_table(tmp_path / "wide.parquet", pyarrow.table(columns), {})
    schema = contract_schema(infer_contract(tmp_path / "wide.parquet", "wide")[0])
    assert [feature.name for feature in schema.feature if feature.HasField("domain")] == ["c7"]
    assert [list(domain.value) for domain in schema.string_domain] == [["a", "b"]]
