"""Rules: what is read, what is refused, and that they hold where SQL's three-valued logic says so."""

import sqlite3
from datetime import date, datetime

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_hallmark.datacontract.rules import parse_rule
from kfp_hallmark.errors import InputError

ENVIRONMENT = "data"


def batch(**columns):
    arrays = [value if isinstance(value, pyarrow.Array) else pyarrow.array(value) for value in columns.values()]
    return pyarrow.RecordBatch.from_arrays(arrays, names=list(columns))


def holds(text, **columns):
    return parse_rule(text).holds(batch(**columns)).to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b", [True, False, False, None, None]),
        ("a <= b", [True, True, False, None, None]),
        ("a > b", [False, False, True, None, None]),
        ("a >= b", [False, True, True, None, None]),
        ("a == b", [False, True, False, None, None]),
        ("a != b", [True, False, True, None, None]),
        ("1 < a <= 3", [False, True, True, None, True]),
        ("a is null", [False, False, False, True, False]),
        ("b is not null", [True, True, True, True, False]),
        ("not a < b", [False, True, True, None, None]),
        ("a < b or b is null", [True, False, False, None, True]),
        ("a < b and b is null", [False, False, False, False, None]),
        ("a + b == 3", [True, False, False, None, None]),
        ("a - b == -1", [True, False, False, None, None]),
        ("a * b == 6", [False, False, True, None, None]),
        ("a / b == 1.5", [False, False, True, None, None]),
        ("-a < -1.5", [False, True, True, None, True]),
        ("true or a > 1", [True, True, True, True, True]),
        ("not true or 1 > 2 or a > 1", [False, True, True, None, True]),
        ("(a) == (a)", [True, True, True, None, True]),
    ],
)
def test_numbers(text, expected):
    assert holds(text, a=[1, 2, 3, None, 2], b=[2.0, 2.0, 2.0, 7.0, float("nan")]) == expected


def test_dividing_by_zero_is_missing_and_great_numbers_are_doubles():
    assert holds("1 / a > 0", a=[0, 2]) == [None, True]
    assert holds("a + a > 0", a=[2**62, 1]) == [True, True]
    assert holds("a / b is null", a=[1, 1, None], b=[0, 2, 2]) == [True, False, True]


def test_texts_truths_and_times():
    assert holds("s == 'x' or t", s=["x", "y", None], t=[False, True, False]) == [True, True, None]
    assert holds("t == true", t=[True, False, None]) == [True, False, None]
    assert holds("t == False", t=[True, False, None]) == [False, True, None]
    assert holds("t", t=[True, False, None]) == [True, False, None]
    days = pyarrow.array([date(2020, 1, 1), date(2020, 1, 3)])
    assert holds("d >= '2020-01-02'", d=days) == [False, True]
    assert holds("d < e", d=days, e=pyarrow.array([datetime(2020, 1, 2)] * 2)) == [True, False]
    seconds = pyarrow.array([datetime(2020, 1, 1, 5)] * 2).cast(pyarrow.timestamp("us", "UTC"))
    assert holds("'2020-01-01 04:00:00' < z", z=seconds) == [True, True]


GREAT = 2**53 + 1


@pytest.mark.parametrize(
    ("text", "kinds", "values", "expected"),
    [
        ("a > 0.5", ["int64"], [GREAT, 0], [True, False]),
        ("a <= 1e300", ["uint64"], [2**64 - 1, 0], [True, True]),
        ("a > 9007199254740992", ["int64"], [GREAT, GREAT - 1], [True, False]),
        ("a >= 0", ["uint64"], [2**64 - 1, 0], [True, True]),
        ("a != -1", ["uint64"], [2**64 - 1, 0], [True, True]),
        ("a > b", ["uint64", "int64"], [2**64 - 1, 0], [True, False]),
        ("b < a", ["uint64", "int8"], [2**63, 1], [True, False]),
        ("a > b", ["uint64", "float64"], [2**64 - 1, 0], [True, False]),
        ("a + 0 == a", ["int64"], [2**62, 5], [True, True]),
    ],
)
def test_great_whole_numbers_are_compared(text, kinds, values, expected):
    """Column a holds the values, column b ones."""
    columns = {"a": pyarrow.array(values, kinds[0]), "b": pyarrow.array([1, 1], kinds[-1])}
    assert holds(text, **columns) == expected
    schema = pyarrow.schema([(name, column.type) for name, column in columns.items()])
    parse_rule(text).check_types(schema)


def test_times_of_different_kinds_are_compared():
    nanoseconds = pyarrow.array([1500, 2500], pyarrow.timestamp("ns"))
    microseconds = pyarrow.array([2, 2], pyarrow.timestamp("us"))
    assert holds("n < m", n=nanoseconds, m=microseconds) == [True, False]
    assert holds("n < '9999-12-31'", n=nanoseconds) == [True, True]
    assert holds("n == n", n=nanoseconds) == [True, True]
    far = pyarrow.array([date(9999, 12, 31), date(1, 1, 1)])
    assert holds("d > n", d=far, n=nanoseconds) == [True, False]
    hours = pyarrow.array([0, 3_600_000_000], pyarrow.timestamp("us", "UTC"))
    assert holds("z < '1970-01-01T02:30:00+02:00'", z=hours) == [True, False]
    assert holds("z < '1970-01-01T00:30:00'", z=hours) == [True, False]


def test_any_name_can_be_a_column():
    assert holds('column("home town") != column("null")', **{"home town": ["a", "b"], "null": ["a", "a"]}) == [
        False,
        True,
    ]
    assert parse_rule('column("home town") == x').columns == ("home town", "x")


def test_spaces_brackets_and_quotes_do_not_matter():
    assert parse_rule(' (a<  b) or c=="x"').normal == parse_rule("a < b or c == 'x'").normal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "A rule must be an expression; '' is none."),
        ("a <", "A rule must be an expression; 'a <' is none."),
        ("a = 1", "A rule must be an expression; 'a = 1' is none."),
        ("a < b; import os", "A rule must be an expression"),
        ("a < \0", "A rule must be an expression"),
        ("(" * 300 + "a" + ")" * 300, "A rule must be an expression"),
        ("not " * 60 + "a", "A rule must be nested at most 50 deep"),
        ("a < " + "-" * 900 + "1", "A rule must be"),
        ("a == '" + "x" * 1000 + "'", "A rule must have at most 1,000 characters; got 1,007."),
        ("1 < 2", "A rule must name a column; '1 < 2' names none."),
        ("a + b", "A rule must be true or false; 'a + b' is a value."),
        ("-a", "A rule must be true or false; '-a' is a value."),
        ("a < 1e999", "A rule must hold finite numbers, texts, true or false; got 'a < 1e999'."),
        ("a < 99999999999999999999", "A rule must hold finite numbers"),
        ("a == None", "A rule must hold finite numbers, texts, true or false; got 'a == None'."),
        ("a == b'x'", "A rule must hold finite numbers"),
        ("a == null", "A rule must ask for missing values by `is null`; got 'a == null'."),
        ("a is b", "A rule must not hold 'a is b'"),
        ("a in (1, 2)", "A rule must not hold 'a in (1, 2)'"),
        ("a ** 9 < 1", "A rule must not hold 'a ** 9'"),
        ("a % 2 == 0", "A rule must not hold 'a % 2'"),
        ("~a < 1", "A rule must not hold '~a'"),
        ("len(a) < 3", "A rule must not hold 'len(a)'"),
        ("a.b < 3", "A rule must not hold 'a.b'"),
        ("a[0] < 3", "A rule must not hold 'a[0]'"),
        ("(lambda: 1)() < a", "A rule must not hold '(lambda: 1)()'"),
        ("[x for x in a] == a", "A rule must not hold '[x for x in a]'"),
        ("(a := 1) < 3", "A rule must not hold '(a := 1)'"),
        ("a < f'{b}'", "A rule must not hold"),
        ("column(a) < 3", "A rule must not hold 'column(a)'"),
        ("column('a', 'b') < 3", "A rule must not hold \"column('a', 'b')\""),
        ("__import__('os').system('ls') == a", "A rule must not hold"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(InputError) as caught:
        parse_rule(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *["n < s", "s + 1 < 2", "s", "n", "n and t", "t < 1", "-s == n", "d < 3", "d > 'soon'", "d - d < 3"],
        *["n == true", "d < z", "d < '2020-01-01T00:00Z'", "d < n", r"s == '\ud800'"],
    ],
)
def test_types_that_do_not_go_together_are_told_before_any_row(text):
    schema = pyarrow.schema([("n", "int64"), ("s", "string"), ("t", "bool"), ("d", "date32")])
    schema = schema.append(pyarrow.field("z", pyarrow.timestamp("us", "UTC")))
    with pytest.raises(InputError, match="must compare what can be compared; its columns are") as caught:
        parse_rule(text).check_types(schema)
    assert "soon" not in str(caught.value).replace(repr(text), "")


def test_an_absent_column_is_named():
    with pytest.raises(InputError, match=r"A column of the rule 'a < c' must be a column of the dataset; got 'c'"):
        parse_rule("a < c").check_types(pyarrow.schema([("a", "int64"), ("b", "int64")]))


NUMBERS = st.none() | st.integers(-3, 3)
TERMS = st.recursive(
    st.sampled_from(["a", "b", "1", "2.5"]),
    lambda term: st.builds("({} {} {})".format, term, st.sampled_from("+-*"), term),
    max_leaves=4,
)
CONDITIONS = st.recursive(
    st.builds("{} {} {}".format, TERMS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), TERMS)
    | st.builds("{} {}".format, TERMS, st.sampled_from(["is null", "is not null"])),
    lambda part: (
        st.builds("({} {} {})".format, part, st.sampled_from(["and", "or"]), part) | part.map("(not ({}))".format)
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(
    CONDITIONS.filter(lambda text: "a" in text.replace("and", "")), st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1)
)
def test_rules_hold_where_sql_says_so(text, rows):
    a, b = (pyarrow.array(list(values), "int64") for values in zip(*rows, strict=True))
    database = sqlite3.connect(":memory:")
    expected = [database.execute(f"SELECT {text} FROM (SELECT ? AS a, ? AS b)", row).fetchone()[0] for row in rows]
    assert holds(text, a=a, b=b) == [None if value is None else bool(value) for value in expected]
