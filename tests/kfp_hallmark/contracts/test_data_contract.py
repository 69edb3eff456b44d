"""The data contract: what a file may say, what is refused and how it is told, and that what is written reads alike."""

import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kfp_hallmark.contracts.data_contract import (
    DataContract,
    Limited,
    Reference,
    Version,
    parse_contract,
    read_contract,
)
from kfp_hallmark.datacontract.rules import parse_rule
from kfp_hallmark.errors import InputError, MissingInputError

WHOLE = """\
hallmark: contract/v1
version: 1.4.0
description: Persons.
max_age_hours: 24
max_gap_hours: {interviewed: 72}
min_rows: 500
keys: [[household, person], id]
drift: {max_psi: 0.25, features: {AGEP: {max_stable_psi: 0, max_psi: 0.1}}}
sensitive: [SEX]
forbidden: [name]
references: [{column: household, dataset: households.parquet, key: id}]
rules: [start <= end, {rule: income >= 0, max_share: 0.01}]
schema: |
  feature { name: "AGEP" type: INT }
"""
LEAST = "hallmark: contract/v1\nversion: 1.0.0\nschema: 'feature { name: \"x\" }'\n"


def parse(text):
    return parse_contract(text.encode() if isinstance(text, str) else text, "contract.yaml")


def refused(text):
    with pytest.raises(InputError) as caught:
        parse(text)
    return str(caught.value)


def test_every_field_is_read():
    assert parse(WHOLE) == DataContract(
        schema='feature { name: "AGEP" type: INT }\n',
        version=Version(1, 4, 0),
        description="Persons.",
        max_age_hours=24,
        max_gap_hours={"interviewed": 72},
        min_rows=500,
        keys=(("household", "person"), ("id",)),
        drift={"max_psi": 0.25},
        feature_drift={"AGEP": {"max_stable_psi": 0.0, "max_psi": 0.1}},
        sensitive=("SEX",),
        forbidden=("name",),
        references=(Reference("household", "households.parquet", "id"),),
        rules=(Limited(parse_rule("start <= end")), Limited(parse_rule("income >= 0"), 0.01)),
    )


def test_only_version_and_schema_must_be_said():
    contract = parse(LEAST + "max_age_hours:\nrules:\n")
    assert contract == DataContract(schema='feature { name: "x" }', version=Version(1, 0, 0))


def test_the_columns_that_are_named():
    assert parse(WHOLE).columns() == {
        "max_gap_hours": ("interviewed",),
        "keys": ("household", "person", "id"),
        "drift.features": ("AGEP",),
        "sensitive": ("SEX",),
        "references": ("household",),
        "rules": ("end", "start", "income"),
    }


def test_a_file_of_another_name_is_a_bare_schema(tmp_path):
    path = tmp_path / "schema.pbtxt"
    path.write_text('feature { name: "Zürich" }', encoding="utf-8")
    assert read_contract(path) == DataContract(schema='feature { name: "Zürich" }')


def test_no_file(tmp_path):
    with pytest.raises(MissingInputError, match=r"A data contract must be a file; got '.*none.yaml'"):
        read_contract(tmp_path / "none.yaml")


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "contract.yaml"
    path.write_bytes(b"#" * 5_000_001)
    with pytest.raises(InputError, match=r"'contract.yaml' must have at most 5,000,000 bytes; it has 5,000,001"):
        read_contract(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe", "must be text in UTF-8; it is not"),
        ("a: [1", "must be YAML; line 1: "),
        ("a: 1\n---\nb: 2", "must be YAML; line 2: but found another document"),
        ("a: !!python/object:os.system {}", "must be YAML; line 1: could not determine a constructor"),
        ("", "must hold names and values; it holds nothing"),
        ("[1, 2]", "must hold names and values; it holds a list"),
        ("version: 1.0.0", "must say `hallmark: contract/v1`; got None"),
        ("hallmark: contract/v2", "must say `hallmark: contract/v1`; got 'contract/v2'"),
        (LEAST + "min_row: 3\n", "must have keys that there are; got 'min_row'.\nHint: Did you mean 'min_rows'?"),
        (LEAST + "1: 3\n", "must have texts for keys; the key in line 4 is none.\nHint: Quote it."),
        (LEAST + "min_rows: 3\nmin_rows: 4\n", "must hold each key once; 'min_rows' is there again in line 5"),
        (LEAST + "drift: {features: {a: {max_psi: 1}, a: {max_psi: 2}}}\n", "hold each key once; 'a' is there again"),
        ("a: &a [x]\nb: *a\n", "must be written out, without aliases; line 2 has the alias *a"),
        ("a: &a {x: 1}\nb: {<<: *a}\n", "must be written out, without aliases; line 2 has the alias *a"),
        ("a: {<<: {x: 1}}\n", "must be written out; line 1 merges mappings"),
        ("a: " + "[" * 30 + "]" * 30, "must be nested at most 20 deep; line 1 is deeper"),
        ("a: " + "[" * 9000, "must be nested at most 20 deep; line 1 is deeper"),
        ("hallmark: contract/v1\nschema: x\n", "must have version; it is missing"),
        ("hallmark: contract/v1\nversion: 1.0.0\n", "must have schema; it is missing"),
        ("hallmark: contract/v1\nversion: 1.0\nschema: x", "must have a version of three whole numbers, such as 1.0.0"),
        ("hallmark: contract/v1\nversion: 1.0.0-rc\nschema: x", "three whole numbers, such as 1.0.0; got '1.0.0-rc'"),
        ("hallmark: contract/v1\nversion: 1.02.0\nschema: x", "three whole numbers, such as 1.0.0; got '1.02.0'"),
        ("hallmark: contract/v1\nversion: 1.0.0\nschema: [x]", "must have text in schema; got ['x']"),
        (LEAST + "description: 7\n", "must have text in description; got 7"),
        (LEAST + "max_age_hours: '3'\n", "must have a number in max_age_hours; got '3'"),
        (LEAST + "max_age_hours: .nan\n", "must have a number in max_age_hours; got nan"),
        (LEAST + "max_age_hours: 0\n", "must have max_age_hours above 0; got 0"),
        (LEAST + "max_gap_hours: 3\n", "must have names and values in max_gap_hours; got 3"),
        (LEAST + "max_gap_hours: {day: 0}\n", "must have max_gap_hours.day above 0; got 0"),
        (LEAST + "min_rows: 0\n", "must have a whole number from 1 in min_rows; got 0"),
        (LEAST + "min_rows: 1.5\n", "must have a whole number from 1 in min_rows; got 1.5"),
        (LEAST + "min_rows: true\n", "must have a whole number from 1 in min_rows; got True"),
        (LEAST + "keys: id\n", "must have a list in keys; got 'id'"),
        (LEAST + "keys: [[]]\n", "must have columns in every key of keys; one has none"),
        (LEAST + "keys: [[a, a]]\n", "must have each entry of a key of keys once; got 'a' again"),
        (LEAST + "keys: [[a, b], [b, a]]\n", "must have each entry of keys once; got {"),
        (LEAST + "keys: [[1]]\n", "must have text in a key of keys; got 1.\nHint: Quote it."),
        (LEAST + "drift: 0.1\n", "must have names and values in drift; got 0.1"),
        (LEAST + "drift: {max_pis: 0.1}\n", "must have in drift keys that there are; got 'max_pis'"),
        (LEAST + "drift: {max_psi: -0.1}\n", "must have drift.max_psi of 0 or above; got -0.1"),
        (LEAST + "drift: {features: {x: 0.1}}\n", "must have names and values in drift.features.x; got 0.1"),
        (LEAST + "sensitive: SEX\n", "must have a list in sensitive; got 'SEX'"),
        (LEAST + "sensitive: [SEX, SEX]\n", "must have each entry of sensitive once; got 'SEX' again"),
        (LEAST + "sensitive: [no]\n", "must have text in sensitive; got False.\nHint: Quote it."),
        (LEAST + "forbidden: ['']\n", "must have text in forbidden; got ''"),
        (LEAST + "forbidden: [Id]\nkeys: [id]\n", "must not use what it forbids; 'id' is in both"),
        (
            LEAST + "references: [{column: a, key: b}]\n",
            "must have text in dataset of an entry of references; got None",
        ),
        (LEAST + "references: [{table: a}]\n", "must have in an entry of references keys that there are; got 'table'"),
        (LEAST + "rules: a < b\n", "must have a list in rules; got 'a < b'"),
        (LEAST + "rules: [a <]\n", "is not in order: A rule must be an expression; 'a <' is none"),
        (LEAST + "rules: [{rule: a < b, max_share: 1.1}]\n", "must have a max_share from 0 to 1; got 1.1"),
        (LEAST + "rules: [{max_share: 0.1}]\n", "must have text in rule of an entry of rules; got None"),
        (LEAST + "rules: [a < b, a < b]\n", "must have each entry of rules once"),
    ],
)
def test_what_is_refused(text, message):
    assert message in refused(text)


def test_a_bomb_of_aliases_is_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "must be written out, without aliases; line 2" in refused("\n".join(lines))


def test_notes_are_comments_above_their_fields(tmp_path):
    parse(LEAST).write(tmp_path / "contract.yaml", {"version": "It grows.", "min_rows": "How few?\nmin_rows: 3"})
    notes = "# It grows.\nversion: 1.0.0\n# How few?\n# min_rows: 3\n"
    written = (tmp_path / "contract.yaml").read_text()
    assert written == f"hallmark: contract/v1\n{notes}schema: 'feature {{ name: \"x\" }}'\n"
    assert read_contract(tmp_path / "contract.yaml") == parse(LEAST)


NAMES = st.text(min_size=1).filter(str.strip)
COLUMNS = st.lists(NAMES.map(str.lower), unique=True, max_size=4).map(tuple)
LIMITS = st.dictionaries(st.sampled_from(["max_stable_psi", "max_psi"]), st.floats(0, 1e9), max_size=2)
RULES = st.sampled_from(["start <= end", "not (a or b)", 'column("home town") == "Zürich: #1"', "x is not null"])
CONTRACTS = st.builds(
    DataContract,
    schema=st.text(min_size=1).filter(str.strip) | st.text("ab {}:\n ", min_size=1).filter(str.strip),
    version=st.builds(Version, *[st.integers(0, 10**9 - 1)] * 3),
    description=st.none() | NAMES,
    max_age_hours=st.none() | st.floats(1e-9, 1e9),
    max_gap_hours=st.dictionaries(NAMES, st.floats(1e-9, 1e9), max_size=3),
    min_rows=st.none() | st.integers(1, 10**12),
    keys=st.lists(COLUMNS.filter(bool), unique_by=frozenset, max_size=3).map(tuple),
    drift=LIMITS,
    feature_drift=st.dictionaries(NAMES, LIMITS, max_size=3),
    sensitive=COLUMNS,
    references=st.lists(st.builds(Reference, NAMES, NAMES, NAMES), unique_by=repr, max_size=3).map(tuple),
    rules=st.lists(
        st.builds(Limited, RULES.map(parse_rule), st.floats(0, 1)), unique_by=lambda one: one.rule.text, max_size=3
    ).map(tuple),
)


@settings(max_examples=60, deadline=None)
@example(DataContract(schema="x", version=Version(1, 0, 0), references=(Reference("a\x85", "b\u2028", "ü\xa0"),)))
@given(CONTRACTS)
def test_what_is_written_reads_alike(contract):
    notes = dict.fromkeys(("version", "keys", "schema"), "A note: {of} two\nlines")
    assert parse(contract.to_text(notes)) == contract


PAGE = (Path(__file__).parents[3] / "docs" / "contracts" / "data_contract.md").read_text(encoding="utf-8")


def test_the_page_has_every_field_and_an_example_that_can_be_read():
    fields = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Rules")[0], re.MULTILINE)
    shown = parse(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
    known = [field for field in DataContract.__dataclass_fields__ if field not in ("feature_drift", "name")]
    assert sorted(fields) == sorted(["hallmark", *known])
    assert shown.feature_drift == {"price": {"max_psi": 0.1}}
    rules = textwrap.dedent(re.search(r"^    rules:\n(    - .*\n)+", PAGE, re.MULTILINE)[0])
    assert parse(LEAST + rules).rules[-1] == Limited(parse_rule('column("home town") is not null'), 0.05)
