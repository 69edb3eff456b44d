import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_hallmark.components.evaluation.robustness_gate.perturb import (
    CATEGORY,
    NUMBER,
    OTHER,
    PERTURBATIONS,
    as_text,
    perturb,
    read_features,
    require_changeable,
    typo,
    with_values,
)
from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.columns import Column

KINDS = {kind.name: kind for kind in PERTURBATIONS}
ROWS = 4000


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    return pa.table(
        {
            "age": pa.array(random.integers(18, 90, ROWS), pa.int16()),
            "income": random.normal(30, 9, ROWS),
            "town": random.choice(["Bonn", "Köln", "U"], ROWS, p=[0.5, 0.3, 0.2]),
            "code": pa.array(random.integers(1, 4, ROWS)),
            "member": pa.array(random.random(ROWS) < 0.3),
            "seen": pa.array(np.arange(ROWS), pa.timestamp("us")),
            "empty": pa.nulls(ROWS, pa.float64()),
        }
    )


@pytest.fixture(scope="module")
def features(table):
    return {feature.name: feature for feature in read_features(table, ["code"])}


def changed(table, features, kind, name, strength):
    return perturb(table, KINDS[kind], [features[name]], strength, (1, 2))[name]


def test_what_each_column_is(features):
    kinds = {name: feature.kind for name, feature in features.items()}
    assert kinds == {
        "age": NUMBER,
        "income": NUMBER,
        "town": CATEGORY,
        "code": CATEGORY,
        "member": CATEGORY,
        "seen": OTHER,
        "empty": OTHER,
    }
    assert (features["age"].low, features["age"].high, features["age"].whole) == (18, 89, True)
    assert features["income"].spread == pytest.approx(9, abs=0.3)
    assert not features["income"].whole
    assert features["town"].values == ("Bonn", "Köln", "U")
    assert [name for name, feature in features.items() if feature.text] == ["town"]


@pytest.mark.parametrize("name", ["age", "income", "town", "code", "member", "seen"])
def test_a_share_of_the_values_is_missing(table, features, name):
    column = changed(table, features, "missing", name, 0.1)
    assert column.type == table[name].type
    assert column.null_count == pytest.approx(0.1 * ROWS, abs=4 * (0.09 * ROWS) ** 0.5)
    kept = [pair for pair in zip(column.to_pylist(), table[name].to_pylist(), strict=True) if pair[0] is not None]
    assert all(new == old for new, old in kept)


def test_noise_has_the_stated_strength_and_stays_in_range(table, features):
    noise = changed(table, features, "noise", "income", 0.1).to_numpy() - table["income"].to_numpy()
    assert noise.std() == pytest.approx(0.1 * features["income"].spread, rel=0.05)
    ages = changed(table, features, "noise", "age", 3.0)
    assert ages.type == pa.int16()
    assert (ages.to_numpy().min(), ages.to_numpy().max()) == (18, 89)


def test_another_unit_multiplies_and_keeps_the_type(table, features):
    assert (changed(table, features, "unit_shift", "income", 10.0).to_numpy() == 10 * table["income"].to_numpy()).all()
    ages = changed(table, features, "unit_shift", "age", 1000.0)
    assert ages.type == pa.int16()
    assert ages.to_numpy().max() == np.iinfo("int16").max


@pytest.mark.parametrize("kind", ["typo", "unseen"])
def test_a_share_of_the_texts_is_another(table, features, kind):
    column, before = changed(table, features, kind, "town", 0.5).to_pylist(), table["town"].to_pylist()
    other = {new for new, old in zip(column, before, strict=True) if new != old}
    share = sum(new != old for new, old in zip(column, before, strict=True)) / ROWS
    assert share == pytest.approx(0.5, abs=4 * (0.25 / ROWS) ** 0.5)
    assert len(other) == 1 if kind == "unseen" else len(other) > 5
    assert not other & {"Bonn", "Köln"}


def test_an_unseen_code_is_above_all_others(table, features):
    assert set(changed(table, features, "unseen", "code", 0.5).to_pylist()) == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("codes", "kind", "unseen"),
    [
        ([0, 1, 255], "uint8", 2),
        ([0, 1, 127], "int8", 2),
        (list(range(128)), "int8", -128),
        ([3, 2**60], "int64", 0),
        ([1.5, float("inf")], "float64", 2),
        ([3.0, 2.0**30], "float32", 0),
        ([float("inf")], "float64", 0),
    ],
)
def test_an_unseen_code_is_one_that_the_type_can_hold(codes, kind, unseen):
    table = pa.table({"code": pa.array(codes * 3, pa.type_for_alias(kind))})
    features = read_features(table, ["code"])
    column = perturb(table, KINDS["unseen"], features, 1.0, (0,))["code"]
    assert column.type == table["code"].type
    assert set(column.to_pylist()) == {unseen}


def test_codes_that_leave_no_number_of_their_type_stay():
    table = pa.table({"code": pa.array(range(256), pa.uint8())})
    assert perturb(table, KINDS["unseen"], read_features(table, ["code"]), 1.0, (0,)) == table


def test_an_unseen_text_is_unseen_even_where_one_is_called_so():
    table = pa.table({"a": ["unseen", "unseen_", None] * 20})
    column = perturb(table, KINDS["unseen"], read_features(table, []), 1.0, (0,))["a"].to_pylist()
    assert set(column) == {"unseen__", None}


@given(st.text(max_size=8), st.integers(0, 2**32))
def test_a_typo_is_another_text_by_about_one_letter(text, seed):
    found = typo(text, np.random.default_rng(seed))
    assert found != text
    assert abs(len(found) - len(text)) <= 1


def test_which_perturbation_reaches_which_feature(features):
    reached = {kind.name: {name for name, feature in features.items() if kind.fits(feature)} for kind in PERTURBATIONS}
    assert reached == {
        "missing": set(features),
        "noise": {"age", "income"},
        "typo": {"town"},
        "unseen": {"town", "code"},
        "unit_shift": {"age", "income"},
    }


def test_the_other_columns_stay(table, features):
    after = perturb(table, KINDS["missing"], [features["town"]], 0.5, (0,))
    assert after.drop_columns(["town"]).equals(table.drop_columns(["town"]))


def test_the_same_seed_perturbs_alike(table, features):
    first, again, other = (
        perturb(table, KINDS["noise"], [features["income"]], 1.0, seed) for seed in ((1,), (1,), (2,))
    )
    assert first.equals(again)
    assert not first.equals(other)


def test_numbers_that_a_signature_calls_text_are_categories():
    table = as_text(pa.table({"zip": [53111, 53113]}), [Column("zip", "string")])
    assert read_features(table, [])[0].values == ("53111", "53113")


def test_an_absent_categorical_feature_is_named(table):
    with pytest.raises(
        InputError, match=r"^categorical_features must be a column of the dataset; got 'twon'\.\nHint: D"
    ):
        read_features(table, ["twon"])


def test_changeable_features(features):
    every = list(features.values())
    assert [each.name for each in require_changeable(None, every)] == ["age", "income"]
    assert [each.name for each in require_changeable(["town", "age", "town"], every)] == ["town", "age"]
    with pytest.raises(InputError, match=r"changeable_features must be a column of the dataset; got 'agee'\."):
        require_changeable(["agee"], every)
    with pytest.raises(InputError, match=r"changeable_features must hold numbers or categories; 'seen' does not\."):
        require_changeable(["seen"], every)


def test_values_of_several_columns_are_those_of_one_after_the_other(table):
    values = {"age": np.full(ROWS, 1e9), "income": np.full(ROWS, np.nan), "town": ["Ulm"] * ROWS}
    one = table
    for name, column in values.items():
        one = with_values(one, {name: column})
    assert with_values(table, values).equals(one)
    assert one.schema.equals(table.schema)
    assert one["age"][0].as_py() in (2**15 - 2, 2**15 - 1)
    assert one["income"].null_count == ROWS
