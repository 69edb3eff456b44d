"""How contracts change: what breaks consumers, what asks more of the producer, and which version says so."""

from dataclasses import replace

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from kfp_hallmark.components.data.validate_dataset.inputs import Settings
from kfp_hallmark.contracts.data_contract import DataContract, Limited, Reference, Version
from kfp_hallmark.datacontract.evolution import DRIFT_DEFAULTS, Level, evolution
from kfp_hallmark.datacontract.rules import parse_rule
from kfp_hallmark.datacontract.schema import TIMES, contract_schema, parse_schema, schema_text
from kfp_hallmark.errors import InputError

ENVIRONMENT = "data"

REQUIRED = "presence { min_fraction: 1 min_count: 1 }"
AGE = f'feature {{ name: "age" type: INT {REQUIRED} int_domain {{ min: 0 max: 120 }} }}'
TOWN = 'feature { name: "town" type: BYTES domain: "towns" }'
TOWNS = 'string_domain { name: "towns" value: "Bern" value: "Chur" }'
SCHEMA = f"{AGE}\n{TOWN}\n{TOWNS}\n"
CONTRACT = DataContract(schema=SCHEMA, version=Version(1, 4, 2))


def rule(text, share=0.0):
    return Limited(parse_rule(text), share)


def schema(old, new):
    assert old in SCHEMA
    return {"schema": SCHEMA.replace(old, new)}


REFERENCE = Reference("town", "towns.parquet", "name")
TIGHTENED = [
    # From, to, the part, what is said. The other way round it is loosened, and breaking.
    ({"max_age_hours": None}, {"max_age_hours": 24}, "max_age_hours", "limit tightened: none to 24"),
    ({"max_age_hours": 48}, {"max_age_hours": 24}, "max_age_hours", "limit tightened: 48 to 24"),
    ({"min_rows": 10}, {"min_rows": 2_000_000}, "min_rows", "limit tightened: 10 to 2,000,000"),
    ({}, {"keys": (("age",),)}, "keys", "age is a key now"),
    ({"keys": (("town", "age"), ("town",))}, {"keys": (("age",), ("town",))}, "keys", "age is a key now"),
    ({"keys": (("age",),)}, {"keys": (("age",), ("age", "town"))}, "keys", "town must have a value in every row now"),
    ({}, {"drift": {"max_psi": 0.2}}, "drift", "max_psi tightened: 0.25 to 0.2"),
    ({"drift": {"max_psi": 0.5}}, {}, "drift", "max_psi tightened: 0.5 to 0.25"),
    ({"drift": {"max_stable_psi": 0.2}}, {}, "drift", "max_stable_psi tightened: 0.2 to 0.1"),
    ({"feature_drift": {"age": {"max_psi": 0.3}}}, {}, "age", "drift: max_psi tightened: 0.3 to 0.25"),
    (
        {"drift": {"max_psi": 0.2}},
        {"drift": {"max_psi": 0.2}, "feature_drift": {"age": {"max_psi": 0.1}}},
        "age",
        "drift: max_psi tightened: 0.2 to 0.1",
    ),
    ({}, {"forbidden": ("name",)}, "forbidden", "name is forbidden now"),
    ({}, {"references": (REFERENCE,)}, "references", "town in name of towns.parquet is promised now"),
    ({}, {"rules": (rule("age > 0"),)}, "rules", "age > 0 must hold now"),
    (
        {"rules": (rule("age>0", 0.2),)},
        {"rules": (rule("age > 0", 0.1),)},
        "rules",
        "age > 0: max_share tightened: 0.2 to 0.1",
    ),
    ({}, schema("max: 120", "max: 110"), "age", "greatest value tightened: 120 to 110"),
    (schema("max: 120", ""), {}, "age", "greatest value tightened: none to 120"),
    ({}, schema("min: 0", "min: 5"), "age", "least value tightened: 0 to 5"),
    (schema("min_fraction: 1", "min_fraction: 0.5"), {}, "age", "share of rows that have it tightened: 0.5 to 1"),
    (schema(REQUIRED, "presence { min_fraction: 1 }"), {}, "age", "number of rows that have it tightened: 0 to 1"),
    ({}, schema(' value: "Chur"', ""), "town", "domain narrowed: 'Chur' may not come"),
    (schema(' domain: "towns"', ""), {}, "town", "domain narrowed: to 2 values"),
    (
        schema('domain: "towns"', 'domain: "towns" distribution_constraints { min_domain_mass: 0.9 }'),
        {},
        "town",
        "share of values in the domain tightened: 0.9 to 1",
    ),
    (
        {},
        schema("type: BYTES", "type: BYTES unique_constraints { max: 9 }"),
        "town",
        "greatest number of different values tightened: none to 9",
    ),
]


@pytest.mark.parametrize(("before", "after", "part", "message"), TIGHTENED)
def test_what_promises_more_is_compatible_and_the_other_way_round_breaking(before, after, part, message):
    first, second = replace(CONTRACT, **before), replace(CONTRACT, **after)
    found = evolution(first, second)
    (change,) = found.changes
    assert (change.part, change.message, change.level, change.tightens) == (part, message, Level.COMPATIBLE, True)
    assert found.needed == Version(1, 5, 0)
    back = evolution(second, first)
    (change,) = back.changes
    assert (change.level, change.tightens) == (Level.BREAKING, False)
    assert back.needed == Version(2, 0, 0)


@pytest.mark.parametrize(
    "said",
    [
        {"drift": {"max_psi": 0.25}},
        {"drift": {"max_stable_psi": 0.1, "max_psi": 0.25}},
        {"feature_drift": {"age": {"max_psi": 0.25}, "town": {"max_stable_psi": 0.1}}},
    ],
)
def test_a_limit_of_drift_that_holds_anyway_is_no_change_when_it_is_said(said):
    first, second = CONTRACT, replace(CONTRACT, **said)
    assert evolution(first, second).changes == evolution(second, first).changes == ()


def test_a_limit_below_that_of_stable_features_lowers_it_too():
    found = evolution(CONTRACT, replace(CONTRACT, drift={"max_psi": 0.05}))
    assert [change.message for change in found.changes] == [
        "max_stable_psi tightened: 0.1 to 0.05",
        "max_psi tightened: 0.25 to 0.05",
    ]


def test_the_drift_of_a_feature_that_comes_or_goes_is_no_change_of_its_own():
    with_limit = {"schema": SCHEMA + 'feature { name: "x" }', "feature_drift": {"x": {"max_psi": 0.5}}}
    first, second = CONTRACT, replace(CONTRACT, **with_limit)
    assert [change.message for change in evolution(first, second).changes] == ["optional feature added"]
    assert [change.message for change in evolution(second, first).changes] == ["optional feature removed"]


LIMIT = st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.25, 0.5])
LIMITS = st.dictionaries(st.sampled_from(["max_stable_psi", "max_psi"]), LIMIT)


@settings(max_examples=60, deadline=None)
@given(LIMITS, LIMITS, LIMITS, LIMITS)
def test_limits_of_drift_break_users_exactly_when_the_gate_lets_a_feature_move_further(
    tmp_path_factory, old, own, new, others
):
    file = tmp_path_factory.mktemp("contracts") / "contract.yaml"

    def held(contract):
        contract.write(file)
        try:
            judged_by = Settings.read(
                str(file), **DRIFT_DEFAULTS, excluded=[], max_domain_auc=0.5, min_rows=1, seed=0
            ).limits
        except InputError:
            reject()
        return [*judged_by.of("town"), *judged_by.of("age")]

    first = replace(CONTRACT, drift=old, feature_drift={"age": own})
    second = replace(CONTRACT, drift=new, feature_drift={"age": others})
    pairs = list(zip(held(first), held(second), strict=True))
    changes = evolution(first, second).changes
    assert any(change.level is Level.BREAKING for change in changes) == any(now > before for before, now in pairs)
    assert any(change.tightens for change in changes) == any(now < before for before, now in pairs)


OTHER = [
    (schema(AGE, ""), "age", "required feature removed", Level.BREAKING, True),
    (schema(TOWN, ""), "town", "optional feature removed", Level.COMPATIBLE, True),
    ({"schema": SCHEMA + 'feature { name: "x" }'}, "x", "optional feature added", Level.COMPATIBLE, False),
    ({"schema": SCHEMA + f'feature {{ name: "x" {REQUIRED} }}'}, "x", "required feature added", Level.COMPATIBLE, True),
    (schema("type: BYTES", "type: INT"), "town", "type changed: text to whole numbers", Level.BREAKING, True),
    (
        schema('value: "Chur"', 'value: "Chur" value: "Genf" value: "Basel"'),
        "town",
        "domain widened: 'Basel', 'Genf' may come",
        Level.BREAKING,
        False,
    ),
    (schema(' domain: "towns"', ""), "town", "domain widened: any text may come", Level.BREAKING, False),
    (
        schema("type: BYTES", "type: BYTES value_count { min: 1 }"),
        "town",
        "value_count changed, which this comparison cannot judge",
        Level.BREAKING,
        True,
    ),
    (
        {"schema": SCHEMA + 'default_environment: "TRAINING"'},
        "schema",
        "default_environment changed, which this comparison cannot judge",
        Level.BREAKING,
        True,
    ),
    (
        schema("type: BYTES", 'type: BYTES annotation { comment: "x" }'),
        "town",
        "annotation changed",
        Level.WORDING,
        False,
    ),
    ({"description": "Persons."}, "description", "changed", Level.WORDING, False),
    ({"sensitive": ("age",)}, "sensitive", "age is sensitive now: consumers must treat it so", Level.BREAKING, False),
]


@pytest.mark.parametrize(("after", "part", "message", "level", "tightens"), OTHER)
def test_other_changes(after, part, message, level, tightens):
    (change,) = evolution(CONTRACT, replace(CONTRACT, **after)).changes
    assert (change.part, change.message, change.level, change.tightens) == (part, message, level, tightens)


def test_what_a_whole_number_stands_for_is_its_type():
    time, date = (f"time_domain {{ integer_format: {unit} }}" for unit in ("UNIX_MICROSECONDS", "UNIX_DAYS"))
    plain, timed, dated = (
        replace(CONTRACT, schema=f'{SCHEMA} feature {{ name: "day" type: INT {what} }}') for what in ("", time, date)
    )
    good = replace(CONTRACT, schema=f'{SCHEMA} feature {{ name: "day" type: INT bool_domain {{ }} }}')
    for old, new, message in (
        (plain, timed, "type changed: whole numbers to dates or times"),
        (timed, plain, "type changed: dates or times to whole numbers"),
        (plain, good, "type changed: whole numbers to booleans"),
        (good, timed, "type changed: booleans to dates or times"),
    ):
        (change,) = evolution(old, new).changes
        assert (change.message, change.level, change.tightens) == (message, Level.BREAKING, True)
    assert [change.message for change in evolution(timed, dated).changes] == [
        "type changed: dates or times to whole numbers",
        "time_domain changed, which this comparison cannot judge",
    ]


@pytest.mark.parametrize(
    ("before", "after", "message", "level"),
    [
        ({}, {"day": 24}, "max_gap_hours tightened: none to 24", Level.COMPATIBLE),
        ({"day": 48}, {"day": 24.5}, "max_gap_hours tightened: 48 to 24.5", Level.COMPATIBLE),
        ({"day": 24}, {"day": 48}, "max_gap_hours loosened: 24 to 48", Level.BREAKING),
        ({"day": 24}, {}, "max_gap_hours loosened: 24 to none", Level.BREAKING),
    ],
)
def test_the_longest_gap_is_a_promise(before, after, message, level):
    schema = f'{SCHEMA} feature {{ name: "day" {TIMES} }}'
    (change,) = evolution(*(replace(CONTRACT, schema=schema, max_gap_hours=gaps) for gaps in (before, after))).changes
    assert (change.part, change.message, change.level) == ("day", message, level)


def test_a_gap_of_a_feature_that_goes_is_no_change_of_its_own():
    old = replace(CONTRACT, schema=f'{SCHEMA} feature {{ name: "day" {TIMES} }}', max_gap_hours={"day": 24})
    (change,) = evolution(old, CONTRACT).changes
    assert change.message == "optional feature removed"


def test_sensitive_no_more_is_compatible():
    (change,) = evolution(replace(CONTRACT, sensitive=("age",)), CONTRACT).changes
    assert (change.level, change.tightens) == (Level.COMPATIBLE, False)


@pytest.mark.parametrize(
    "after",
    [
        {"schema": f"{TOWNS}\n{TOWN}\n# A comment.\n{AGE}"},
        {"schema": SCHEMA.replace("towns", "places")},
        {"schema": SCHEMA.replace('value: "Bern" value: "Chur"', 'value: "Chur" value: "Bern"')},
        {"schema": f'{AGE} feature {{ name: "town" type: BYTES string_domain {{ value: "Bern" value: "Chur" }} }}'},
        {"schema": SCHEMA.replace("min: 0", 'name: "years" min: 0')},
    ],
)
def test_what_says_the_same_in_other_words_is_no_change(after):
    found = evolution(CONTRACT, replace(CONTRACT, **after))
    assert found.changes == ()
    assert (found.needed, found.in_order) == (Version(1, 4, 2), True)


def test_keys_that_follow_from_others_are_no_change():
    """What `age` identifies, `age` and `town` do too; that `town` is never missing, the schema says already."""
    whole = replace(CONTRACT, schema=SCHEMA.replace("type: BYTES", f"type: BYTES {REQUIRED}"))
    narrow, both = replace(whole, keys=(("age",),)), replace(whole, keys=(("age",), ("town", "age")))
    assert evolution(narrow, both).changes == evolution(both, narrow).changes == ()


def test_a_column_that_leaves_a_key_may_be_missing():
    """Rows that `age` alone identifies need not say a town."""
    wide, narrow = replace(CONTRACT, keys=(("age", "town"),)), replace(CONTRACT, keys=(("age",),))
    assert [(change.message, change.level) for change in evolution(wide, narrow).changes] == [
        ("town may lack values now", Level.BREAKING),
        ("age is a key now", Level.COMPATIBLE),
    ]


def test_forbidden_in_another_case_is_no_change():
    lower, upper = (replace(CONTRACT, forbidden=(name,)) for name in ("name", "NAME"))
    assert evolution(lower, upper).changes == ()


@pytest.mark.parametrize("order", [1, -1])
def test_of_rules_that_say_the_same_the_strictest_counts(order):
    twice = replace(CONTRACT, rules=(rule("age > 0"), rule("age>0", 0.5))[::order])
    once = replace(CONTRACT, rules=(rule("age > 0"),))
    assert evolution(twice, once).changes == evolution(once, twice).changes == ()


@pytest.mark.parametrize(
    ("after", "version", "in_order"),
    [
        ({}, (1, 4, 2), True),
        ({}, (1, 4, 3), True),
        ({}, (1, 4, 1), False),
        ({"description": "x"}, (1, 4, 2), False),
        ({"description": "x"}, (1, 4, 3), True),
        ({"min_rows": 9}, (1, 4, 3), False),
        ({"min_rows": 9}, (1, 5, 0), True),
        ({"min_rows": 9}, (2, 0, 0), True),
        ({"sensitive": ("age",), "min_rows": 9}, (1, 5, 0), False),
        ({"sensitive": ("age",), "min_rows": 9}, (1, 99, 99), False),
        ({"sensitive": ("age",), "min_rows": 9}, (2, 0, 0), True),
    ],
)
def test_the_version_must_say_what_has_changed(after, version, in_order):
    assert evolution(CONTRACT, replace(CONTRACT, **after, version=Version(*version))).in_order is in_order


def test_what_breaks_comes_first():
    found = evolution(CONTRACT, replace(CONTRACT, description="x", min_rows=9, sensitive=("age",)))
    assert [change.level for change in found.changes] == [Level.BREAKING, Level.COMPATIBLE, Level.WORDING]


def test_a_long_list_of_values_is_cut():
    many = " ".join(f'value: "{number}"' for number in range(8))
    (change,) = evolution(CONTRACT, replace(CONTRACT, **schema('value: "Chur"', f'value: "Chur" {many}'))).changes
    assert change.message == "domain widened: '0', '1', '2', '3', '4' and 3 more may come"


def test_a_bare_schema_has_no_version():
    with pytest.raises(InputError, match="A contract must have a version to be compared; a bare schema has none"):
        evolution(CONTRACT, DataContract(schema=SCHEMA))


BOUNDS = st.tuples(st.none() | st.integers(-3, 3), st.none() | st.integers(-3, 3))


@settings(max_examples=60, deadline=None)
@given(BOUNDS, BOUNDS, st.floats(0, 1), st.floats(0, 1))
def test_a_change_is_compatible_exactly_when_all_new_data_fit_the_old_contract(old, new, old_share, new_share):
    def contract(bounds, share):
        named = zip(("min", "max"), bounds, strict=True)
        least, greatest = ("" if bound is None else f"{name}: {bound}" for name, bound in named)
        domain = f"int_domain {{ {least} {greatest} }} presence {{ min_fraction: {share!r} }}"
        return replace(CONTRACT, schema=f'feature {{ name: "n" type: INT {domain} }}')

    def inside(one, other):
        return (other[0] is None or (one[0] is not None and one[0] >= other[0])) and (
            other[1] is None or (one[1] is not None and one[1] <= other[1])
        )

    levels = [change.level for change in evolution(contract(old, old_share), contract(new, new_share)).changes]
    assert (Level.BREAKING not in levels) == (inside(new, old) and new_share >= old_share)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feature {", "The schema of 'contract' must be TFDV's Schema in text format; it cannot be read (1:"),
        ('feature { name: "x" size: 3 }', 'cannot be read (1:21 : Message type "tensorflow.metadata.v0.Feature"'),
        ('feature { name: "x" } feature { name: "x" }', "must have names, each once; got 'x'"),
        ("feature { type: INT }", "must have names, each once; got ''"),
        (
            'feature { name: "x" domain: "town" } ' + TOWNS,
            "The domain of 'x' must be in the schema of 'contract'; got 'town'.\nHint: Did",
        ),
        (
            'feature { name: "x" type: BYTES distribution_constraints { min_domain_mass: 0.9 } }',
            "'x' must have a domain of texts to have a min_domain_mass in the schema of 'contract'.",
        ),
    ],
)
def test_schemas_that_cannot_be(text, message):
    with pytest.raises(InputError) as caught:
        parse_schema(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"keys": (("ages",),)},
            "keys of 'contract' must name features of its schema; got 'ages'.\nHint: Did you mean 'age'?",
        ),
        ({"feature_drift": {"x": {}}}, "drift.features of 'contract' must name features of its schema; got 'x'"),
        ({"max_gap_hours": {"x": 1}}, "max_gap_hours of 'contract' must name features of its schema; got 'x'"),
        (
            {"max_gap_hours": {"age": 1}},
            "max_gap_hours of 'contract' must name features of dates or times; 'age' is none.\n"
            "Hint: Say so in its schema: type: INT time_domain { integer_format: UNIX_MICROSECONDS }.",
        ),
        ({"sensitive": ("x",)}, "sensitive of 'contract' must name features of its schema; got 'x'"),
        (
            {"references": (Reference("x", "y", "z"),)},
            "references of 'contract' must name features of its schema; got",
        ),
        ({"rules": (rule("x > age"),)}, "rules of 'contract' must name features of its schema; got 'x'"),
        ({"forbidden": ("AGE",)}, "The schema of 'contract' must not have what is forbidden; it has 'age'."),
    ],
)
def test_columns_that_the_schema_does_not_have(said, message):
    with pytest.raises(InputError) as caught:
        contract_schema(replace(CONTRACT, **said))
    assert message in str(caught.value)


def test_the_text_of_a_schema_is_readable_and_reads_alike():
    long = 'feature { name: "x" annotation { comment: "' + "long " * 40 + '" } }'
    written = schema_text(parse_schema(SCHEMA.replace("Bern", "Zürich") + long))
    assert written.splitlines()[:2] == [
        'feature { name: "age" type: INT int_domain { min: 0 max: 120 } presence { min_fraction: 1.0 min_count: 1 } }',
        'feature { name: "town" type: BYTES domain: "towns" }',
    ]
    assert 'value: "Zürich"' in written
    assert max(map(len, written.splitlines()[:2])) < 160
    assert parse_schema(written) == parse_schema(SCHEMA.replace("Bern", "Zürich") + long)
