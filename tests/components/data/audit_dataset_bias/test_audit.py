import math

import fairlearn.metrics
import numpy as np
import pyarrow
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import dsl

from kfp_hallmark.components.data.audit_dataset_bias import findings
from kfp_hallmark.components.data.audit_dataset_bias.audit import GATE
from kfp_hallmark.components.data.audit_dataset_bias.checks import NAMED, SIZE_CHECK
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError
from kfp_hallmark.fairness.groups import MISSING
from kfp_hallmark.measures import wilson_interval
from kfp_hallmark.resources import checkout

ACS = checkout() / "examples" / "acs_employment" / "2016.parquet"
IMPACT, PARITY, MEAN = "disparate_impact_ratio", "statistical_parity_difference", "mean_difference"
SHARE, RATIO, LACK, PROXY = "group_share", "representation_ratio", "missing_difference", "proxy_strength"


def test_the_verdict_is_bound_to_the_dataset_and_says_how_it_was_judged(audit, people, tmp_path):
    found = audit(people(("f", 30, 70), ("m", 90, 60)), "hired", ["sex"], {"min_group_share": 0.3})
    assert found.verdict.gate == GATE
    assert found.verdict.subjects == {"dataset": artifact_digest(tmp_path / "dataset")}
    assert found.verdict.parameters["limits"] == {"min_group_share": 0.3}
    assert found.verdict.parameters["target"] == "hired"
    assert found.verdict.status == found.status == "pass"


# Representation


@pytest.mark.parametrize(("limit", "status"), [(0.2501, "fail"), (0.25, "warn"), (0.22, "warn"), (0.2, "pass")])
def test_the_least_share_of_a_group_is_held_against_its_limit(audit, people, limit, status):
    found = audit(people(("f", 30, 70), ("m", 90, 60), ("x", 100, 50)), "hired", ["sex"], {"min_group_share": limit})
    check = found.checks[SHARE,]
    assert (check.status, check.observed, check.minimum, check.samples) == (status, 0.25, limit, 400)
    assert check.interval[0] == pytest.approx(wilson_interval(100, 400)[0])
    assert "the group sex f has 100 of 400 rows" in check.message


def test_rows_without_a_value_are_no_group_that_can_be_too_few(audit, people):
    columns = people(("f", 30, 70), ("m", 90, 60), (None, 1, 1))
    check = audit(columns, "hired", ["sex"], {"min_group_share": 0.1}).checks[SHARE,]
    assert check.observed == pytest.approx(100 / 252)
    assert check.status == "pass"


def test_intersections_are_judged_unless_told_otherwise(audit, people):
    columns = people(("f", 30, 70), ("m", 90, 60)) | {"old": ["o"] * 95 + ["y"] * 155}
    found = audit(columns, "hired", ["sex", "old"], {"min_group_share": 0.1})
    assert [check.scope["feature"] for check in found.verdict.checks] == ["sex", "old", "sex × old"]
    (both,) = (check for check in found.verdict.checks if check.scope["feature"] == "sex × old")
    assert (both.observed, both.status) == (5 / 250, "fail")
    assert "the group sex f, old y has 5 of 250 rows" in both.message
    assert "No row has one of 1 other combinations of these groups." in found.report
    alone = audit(columns, "hired", ["sex", "old"], {"min_group_share": 0.1}, intersection=False)
    assert [check.scope["feature"] for check in alone.verdict.checks] == ["sex", "old"]


@pytest.mark.parametrize(("limit", "status"), [(0.81, "fail"), (0.8, "warn"), (0.6, "pass")])
def test_representation_is_relative_to_the_population(audit, people, limit, status):
    columns = people(("f", 30, 70), ("m", 90, 60), (None, 3, 4))
    settings = {"population": {"sex": {"f": 0.5, "m": 0.5}}}
    check = audit(columns, "hired", ["sex"], {"min_representation_ratio": limit}, **settings).checks[RATIO,]
    assert (check.status, check.samples) == (status, 250)
    assert check.observed == pytest.approx(0.4 / 0.5)
    assert check.interval[0] == pytest.approx(wilson_interval(100, 250)[0] / 0.5)
    assert "sex f is 40.0% of the rows that have a value and 50.0% of the population" in check.message


def test_a_group_of_the_population_that_the_data_has_not_is_not_represented(audit, people):
    population = {"sex": {"f": 0.4, "m": 0.595, "x": 0.005}}
    found = audit(
        people(("f", 30, 70), ("m", 90, 60)),
        "hired",
        ["sex"],
        {"min_representation_ratio": 0.5},
        population=population,
    )
    assert found.checks[RATIO,].observed == 0
    assert found.checks[RATIO,].status == "fail"
    assert "<code>x</code>" in found.report


def test_a_feature_without_a_population_has_no_check_of_it(audit, people):
    columns = people(("f", 30, 70), ("m", 90, 60)) | {"old": ["o", "y"] * 125}
    population = {"sex": {"f": 0.4, "m": 0.6}}
    found = audit(columns, "hired", ["sex", "old"], {"min_representation_ratio": 0.5}, population=population)
    assert [check.scope["feature"] for check in found.verdict.checks] == ["sex"]


# Labels


@pytest.mark.parametrize(
    ("limits", "name", "status"),
    [
        ({"min_disparate_impact_ratio": 0.51}, IMPACT, "fail"),
        ({"min_disparate_impact_ratio": 0.5}, IMPACT, "warn"),
        ({"min_disparate_impact_ratio": 0.3}, IMPACT, "pass"),
        ({"max_statistical_parity_difference": 0.29}, PARITY, "fail"),
        ({"max_statistical_parity_difference": 0.3}, PARITY, "warn"),
        ({"max_statistical_parity_difference": 0.45}, PARITY, "pass"),
    ],
)
def test_label_rates_are_held_against_limits(audit, people, limits, name, status):
    check = audit(people(("f", 30, 70), ("m", 90, 60)), "hired", ["sex"], limits).checks[name,]
    assert check.status == status
    assert check.observed == pytest.approx({IMPACT: 0.5, PARITY: 0.3}[name])
    assert "the label rate runs from 0.3 (sex f) to 0.6 (sex m)" in check.message


def test_they_are_fairlearns_where_the_labels_are_what_is_predicted(audit):
    random = np.random.default_rng(7)
    sex = random.choice(["f", "m", "x"], 900, p=[0.5, 0.3, 0.2])
    label = (random.random(900) < np.where(sex == "f", 0.2, 0.55)).astype(int)
    limits = {"min_disparate_impact_ratio": 0, "max_statistical_parity_difference": 1}
    checks = audit({"sex": sex, "label": label}, "label", ["sex"], limits).checks
    given = {"y_true": label, "y_pred": label, "sensitive_features": sex}
    assert checks[PARITY,].observed == pytest.approx(
        fairlearn.metrics.demographic_parity_difference(**given), abs=1e-12
    )
    assert checks[IMPACT,].observed == pytest.approx(fairlearn.metrics.demographic_parity_ratio(**given), abs=1e-12)


def test_each_of_several_classes_is_held_against_the_rest(audit):
    grade, sex = ["a"] * 10 + ["b"] * 30 + ["c"] * 60 + ["a"] * 75 + ["b"] * 45 + ["c"] * 30, ["f"] * 100 + ["m"] * 150
    found = audit({"sex": sex, "grade": grade}, "grade", ["sex"], {"max_statistical_parity_difference": 0.35})
    observed = {of_class: check.observed for (name, of_class), check in found.checks.items() if name == PARITY}
    assert observed == pytest.approx({"a": 0.4, "b": 0.0, "c": 0.4})
    assert found.checks[PARITY, "b"].status == "pass"
    assert "label rate of class a runs from 0.1 (sex f) to 0.5 (sex m)" in found.checks[PARITY, "a"].message


@pytest.mark.parametrize(("positive", "rate"), [(None, 0.3), ("yes", 0.3), ("no", 0.7)])
def test_the_positive_class_is_the_later_one_unless_named(audit, people, positive, rate):
    columns = people(("f", 30, 70), ("m", 90, 60))
    found = audit(columns, "hired", ["sex"], {"min_disparate_impact_ratio": 0.1}, positive_class=positive)
    assert f"{rate:g} (sex f)" in found.checks[IMPACT,].message


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=st.lists(st.tuples(st.integers(0, 60), st.integers(20, 60)), min_size=2, max_size=5))
def test_the_parity_difference_is_the_same_of_either_class_and_the_ratio_at_most_one(audit, people, counts):
    columns = people(*((f"g{place}", yes + 1, no) for place, (yes, no) in enumerate(counts)))
    limits = {"max_statistical_parity_difference": 1, "min_disparate_impact_ratio": 0}
    yes, no = (audit(columns, "hired", ["sex"], limits, positive_class=name).checks for name in ("yes", "no"))
    assert yes[PARITY,].observed == pytest.approx(no[PARITY,].observed, abs=1e-11)
    for check in (*yes.values(), *no.values()):
        assert 0 <= check.interval[0] <= check.observed <= check.interval[1] <= 1


def test_a_boolean_class_can_be_named_as_json_spells_it(audit):
    columns = {"sex": ["f"] * 100 + ["m"] * 100, "hired": [True] * 30 + [False] * 110 + [True] * 60}
    limits = {"min_disparate_impact_ratio": 0.1}
    assert "0.7 (sex f)" in audit(columns, "hired", ["sex"], limits, positive_class="false").checks[IMPACT,].message
    assert "0.3 (sex f)" in audit(columns, "hired", ["sex"], limits, positive_class="True").checks[IMPACT,].message


@pytest.mark.parametrize(("limit", "status"), [(-0.01, "fail"), (0.01, "warn"), (2, "pass")])
def test_of_a_number_the_means_are_compared(audit, limit, status):
    random = np.random.default_rng(3)
    pay = np.concatenate([random.normal(10, 2, 80), random.normal(12, 5, 120)])
    sex = ["f"] * 80 + ["m"] * 120
    difference = pay[80:].mean() - pay[:80].mean()
    limits = {"max_mean_difference": difference + limit}
    check = audit({"sex": sex, "pay": pay}, "pay", ["sex"], limits).checks[MEAN,]
    assert check.observed == pytest.approx(difference)
    welch = scipy.stats.ttest_ind(pay[80:], pay[:80], equal_var=False).confidence_interval()
    assert check.interval == pytest.approx((welch.low, welch.high), abs=0.15)
    assert check.status == status


def test_a_number_with_few_values_is_one_when_its_mean_is_limited(audit):
    columns = {"sex": ["f"] * 50 + ["m"] * 50, "stars": [1] * 30 + [2] * 30 + [4] * 40}
    assert audit(columns, "stars", ["sex"], {"max_mean_difference": 5}).checks[MEAN,].observed == pytest.approx(2.2)
    of_class = audit(columns, "stars", ["sex"], {"max_statistical_parity_difference": 1}).checks
    assert set(of_class) == {(PARITY, "1"), (PARITY, "2"), (PARITY, "4")}


def test_rows_without_a_label_are_left_out_of_the_rates_alone(audit, people):
    columns = people(("f", 30, 70), ("m", 90, 60))
    columns["hired"] = [None] * 15 + columns["hired"][15:]
    found = audit(columns, "hired", ["sex"], {"max_statistical_parity_difference": 0.9, "min_group_share": 0.1})
    assert found.checks[PARITY,].observed == pytest.approx(0.6 - 15 / 85)
    assert found.checks[PARITY,].samples == 235
    assert found.checks[SHARE,].observed == 0.4
    assert "15 rows have no label" in found.report


def test_no_positive_label_gives_no_ratio(audit, people):
    columns = people(("f", 0, 100), ("m", 0, 100), ("x", 5, 5))
    check = audit(columns, "hired", ["sex"], {"min_disparate_impact_ratio": 0.8}).checks[IMPACT,]
    assert (check.status, check.observed) == ("inconclusive", None)
    assert "is 0 in all groups of sex, so there is no ratio" in check.message


# Groups that are too small


@pytest.mark.parametrize(("least", "status"), [(40, "warn"), (41, "inconclusive")])
def test_a_group_too_small_is_named_and_not_compared(audit, people, least, status):
    columns = people(("f", 30, 70), ("m", 90, 60), ("x", 18, 22))
    found = audit(columns, "hired", ["sex"], {"max_statistical_parity_difference": 0.3}, min_group_size=least)
    assert found.status == status
    named = [check for name, check in found.checks.items() if name[0] == SIZE_CHECK]
    assert [check.scope["group"] for check in named] == (["x"] if least > 40 else [])
    assert found.checks[PARITY,].samples == (250 if least > 40 else 290)
    if named:
        assert named[0].message == "The group sex x has 40 labelled rows, fewer than 41: its labels cannot be judged."
        assert "Groups too small to judge" in found.report


def test_no_size_is_asked_for_what_has_no_limit(audit, people):
    found = audit(people(("f", 30, 70), ("m", 9, 6)), "hired", ["sex"], {"min_group_share": 0.01}, min_group_size=100)
    assert [check.name for check in found.verdict.checks] == [SHARE]


def test_one_group_cannot_be_compared(audit, people):
    columns = people(("f", 30, 70)) | {"age": [None, *range(99)]}
    limits = {
        "min_group_share": 0.5,
        "min_disparate_impact_ratio": 0.8,
        "max_missing_difference": 0.1,
        "max_proxy_strength": 0.5,
    }
    checks = audit(columns, "hired", ["sex"], limits).checks
    assert {name[0]: str(check.status) for name, check in checks.items()} == {
        SHARE: "pass",
        IMPACT: "inconclusive",
        LACK: "inconclusive",
        PROXY: "inconclusive",
    }
    assert "Fewer than two groups of sex are large enough" in checks[IMPACT,].message


def test_a_feature_without_any_value_is_inconclusive(audit, people):
    columns = people(("f", 30, 70)) | {"sex": pyarrow.nulls(100)}
    limits = {"min_group_share": 0.1, "min_disparate_impact_ratio": 0.8, "min_representation_ratio": 0.5}
    found = audit(columns, "hired", ["sex"], limits, population={"sex": {"f": 1}})
    assert {str(check.status) for check in found.verdict.checks} == {"inconclusive"}
    assert found.checks[SHARE,].message == "No row has a value of sex."
    assert f"<code>{MISSING}</code>" in found.report


# Missing values


def lacking(sex, share_of, rows=200):
    """Return a column of which every group lacks so large a share."""
    parts = [[None] * round(share_of[name] * rows) + [1.5] * (rows - round(share_of[name] * rows)) for name in sex]
    return [value for part in parts for value in part]


@pytest.mark.parametrize(("limit", "status"), [(0.14, "fail"), (0.15, "warn"), (0.3, "pass")])
def test_the_greatest_difference_in_what_is_missing_is_held_against_its_limit(audit, limit, status):
    columns = {
        "sex": ["f"] * 200 + ["m"] * 200,
        "hired": [0, 1] * 200,
        "pay": lacking("fm", {"f": 0.25, "m": 0.1}),
        "age": lacking("fm", {"f": 0.05, "m": 0.1}),
        "whole": [1] * 400,
    }
    check = audit(columns, "hired", ["sex"], {"max_missing_difference": limit}).checks[LACK,]
    assert (check.status, check.observed, check.samples) == (status, pytest.approx(0.15), 400)
    assert "'pay' is missing in 10.0% (sex m) to 25.0% (sex f) of the rows." in check.message


def test_nan_is_missing_and_so_are_labels_and_other_sensitive_features(audit):
    base = {"sex": ["f"] * 200 + ["m"] * 200, "hired": [0, 1] * 200, "old": ["o", "y"] * 200}
    holes = lacking("fm", {"f": 0.25, "m": 0.1})
    for name, values in (
        ("pay", [math.nan if value is None else value for value in holes]),
        ("hired", [None if value is None else place % 2 for place, value in enumerate(holes)]),
        ("old", [None if value is None else "oy"[place % 2] for place, value in enumerate(holes)]),
    ):
        found = audit(base | {name: values}, "hired", ["sex", "old"], {"max_missing_difference": 0.1})
        (check,) = (check for check in found.verdict.checks if check.scope["feature"] == "sex" and check.name == LACK)
        assert check.observed == pytest.approx(0.15)
        assert repr(name) in check.message


def test_other_columns_above_the_limit_are_named_five_at_the_most(audit):
    holes = {f"c{place}": lacking("fm", {"f": 0.2 + place / 100, "m": 0.05}) for place in range(NAMED + 3)}
    columns = {"sex": ["f"] * 200 + ["m"] * 200, "hired": [0, 1] * 200} | holes
    check = audit(columns, "hired", ["sex"], {"max_missing_difference": 0.1}).checks[LACK,]
    assert check.message.startswith("Missing difference 0.22, above the maximum of 0.1: 'c7' is missing")
    assert check.message.endswith("also above the limit: 'c0', 'c1', 'c2', 'c3', 'c4' and 2 more.")


def test_nothing_missing_passes_and_excluded_columns_do_not_count(audit, people):
    columns = people(("f", 30, 70), ("m", 90, 60)) | {"note": [None] * 100 + ["x"] * 150}
    limits = {"max_missing_difference": 0.1}
    assert audit(columns, "hired", ["sex"], limits).checks[LACK,].observed == 1
    check = audit(columns, "hired", ["sex"], limits, excluded_columns=["note"]).checks[LACK,]
    assert (check.status, check.observed) == ("pass", 0)
    assert check.message == "No value is missing in any column that counts."


# Proxies


@pytest.mark.parametrize(("limit", "status"), [(0.7, "fail"), (0.71, "warn"), (0.85, "pass")])
def test_the_column_that_tells_a_feature_best_is_held_against_its_limit(audit, limit, status):
    sex = ["f"] * 300 + ["m"] * 200
    columns = {
        "sex": sex,
        "hired": [int(value == "f") for value in sex],
        "office": ["A"] * 270 + ["B"] * 30 + ["A"] * 10 + ["B"] * 190,
        "noise": [place % 7 for place in range(500)],
        "number": list(range(500)),
    }
    excluded = {"excluded_columns": ["number"]}
    check = audit(columns, "hired", ["sex"], {"max_proxy_strength": limit}, **excluded).checks[PROXY,]
    phi = (270 * 190 - 30 * 10) / math.sqrt(300 * 200 * 280 * 220)
    assert check.observed == pytest.approx(phi**2, abs=0.002)
    assert (check.status, check.samples) == (status, 500)
    assert "'office' tells sex best" in check.message


def test_neither_the_target_nor_other_sensitive_features_are_proxies(audit, people):
    columns = people(("f", 100, 0), ("m", 0, 100)) | {"gender": ["f"] * 100 + ["m"] * 100}
    found = audit(columns, "hired", ["sex", "gender"], {"max_proxy_strength": 0.1})
    checks = {check.scope["feature"]: check for check in found.verdict.checks}
    assert set(checks) == {"sex", "gender"}
    assert {str(check.status) for check in checks.values()} == {"inconclusive"}
    assert "no other column is there to tell it" in checks["sex"].message


# Real data


def test_employment_in_massachusetts(audit):
    """Label rates by a group-by of the same file: 0.5188 and 0.4842 by sex, 0.1952 and 0.5491 by disability."""
    limits = {
        "min_group_share": 0.05,
        "min_representation_ratio": 0.9,
        "min_disparate_impact_ratio": 0.8,
        "max_missing_difference": 0.01,
        "max_proxy_strength": 0.3,
    }
    found = audit(
        dsl.Dataset(uri=str(ACS)),
        "employed",
        ["SEX", "DIS"],
        limits,
        population={"SEX": {"1": 0.485, "2": 0.515}},
        excluded_columns=["DEAR", "DEYE", "DREM"],
    )
    by = {(check.name, check.scope["feature"]): check for check in found.verdict.checks}
    table = pyarrow.parquet.read_table(ACS).to_pandas()
    for feature in ("SEX", "DIS"):
        rates = table.groupby(feature)["employed"].mean()
        assert by[IMPACT, feature].observed == pytest.approx(rates.min() / rates.max(), abs=1e-12)
    assert {key: str(check.status) for key, check in by.items() if key[1] != "SEX × DIS"} == {
        (SHARE, "SEX"): "pass",
        (RATIO, "SEX"): "pass",
        (IMPACT, "SEX"): "pass",
        (LACK, "SEX"): "pass",
        (PROXY, "SEX"): "pass",
        (SHARE, "DIS"): "pass",
        (IMPACT, "DIS"): "fail",
        (LACK, "DIS"): "pass",
        (PROXY, "DIS"): "pass",
    }
    assert by[PROXY, "DIS"].samples == 20_000
    assert "A limit is broken for DIS, SEX × DIS. Every limit is kept for SEX." in found.report


def test_sixty_groups(audit):
    random = np.random.default_rng(2)
    region = random.integers(0, 60, 12_000)
    columns = {
        "region": [f"region {place}" for place in region],
        "hired": random.random(12_000) < 0.4,
        "pay": np.where(random.random(12_000) < 0.05, np.nan, 1.0),
        "office": region // 20,
    }
    limits = {"max_statistical_parity_difference": 0.5, "max_missing_difference": 0.3, "max_proxy_strength": 0.9}
    found = audit(columns, "hired", ["region"], limits)
    assert found.status == "pass"
    assert found.checks[PARITY,].interval[0] == 0
    assert "The 40 groups in between are in the table alone." in found.report
    assert found.report.count("<code>region 59</code>") >= 1


def test_the_same_seed_gives_the_same_checks(audit, people):
    columns = people(("f", 30, 70), ("m", 90, 60))
    limits = {"min_disparate_impact_ratio": 0.4}
    first, second, other = (audit(columns, "hired", ["sex"], limits, seed=seed) for seed in (1, 1, 2))
    assert first.verdict.checks == second.verdict.checks
    assert first.verdict.checks != other.verdict.checks


# Bad input

TWO = {"sex": ["f", "m"] * 50, "hired": [0, 0, 1, 1] * 25, "pay": list(range(100)), "name": list(map(str, range(100)))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "hird"}, "target must be a column of the dataset; got 'hird'."),
        ({"features": ["sx"]}, "sensitive_features must be a column of the dataset; got 'sx'."),
        ({"excluded_columns": ["nam"]}, "excluded_columns must be a column of the dataset; got 'nam'."),
        ({"features": []}, "sensitive_features must name at least one column, by text; got []."),
        ({"features": ["sex", "sex"]}, "sensitive_features must name each column once; got ['sex', 'sex']."),
        ({"features": ["sex", "hired"]}, "sensitive_features must not name the target; got 'hired'."),
        ({"features": ["pay"]}, "The sensitive feature 'pay' must have at most 20 values; got 100."),
        ({"target": "name"}, "target must have at most 50 classes; the column 'name' has 100."),
        ({"positive_class": "2"}, "positive_class must be a class of the target; got '2'."),
        ({"min_group_size": 0}, "min_group_size must be at least 1; got 0."),
        ({"bootstrap_samples": 99}, "bootstrap_samples must be at least 100; got 99."),
        ({"confidence": 1.0}, "confidence must be above 0 and below 1; got 1.0."),
        ({"limits": {}}, "limits must hold at least one limit; got none."),
        ({"limits": {"min_group_shar": 0.1}}, "limits must hold known limits; got 'min_group_shar'."),
        ({"limits": {"min_group_share": 1.1}}, "The limit 'min_group_share' must be a number from 0 to 1; got 1.1."),
        ({"limits": {"min_group_share": True}}, "The limit 'min_group_share' must be a number from 0 to 1; got True."),
        (
            {"limits": {"max_mean_difference": -1}},
            "The limit 'max_mean_difference' must be a number of at least 0; got -1.",
        ),
        (
            {"limits": {"min_representation_ratio": 0.8}},
            "min_representation_ratio must be given together with population; got none.",
        ),
        (
            {"target": "name", "limits": {"max_mean_difference": 1}},
            "target must hold numbers for max_mean_difference; the column 'name' holds string.",
        ),
        (
            {"target": "pay", "limits": {"min_disparate_impact_ratio": 0.8}},
            "limits must hold limits of a number, as which 'pay' is taken; got 'min_disparate_impact_ratio'.",
        ),
        (
            {"limits": {"min_disparate_impact_ratio": 0.8, "max_mean_difference": 1}},
            "limits must hold limits of a number, as which 'hired' is taken; got 'min_disparate_impact_ratio'.",
        ),
        (
            {"target": "pay", "positive_class": "1"},
            "positive_class must be left out for a number, as which 'pay' is taken.",
        ),
        ({"population": {"sx": {"f": 1}}}, "population must hold sensitive features; got 'sx'."),
        (
            {"population": {"sex": {"f": 0.5, "m": 0}}},
            "The population of 'sex' must hold shares above 0 and at most 1, by group; it does not.",
        ),
        (
            {"population": {"sex": {"f": 0.5, "m": 0.4}}},
            "The shares of the population of 'sex' must sum to 1; they sum to 0.9.",
        ),
        ({"population": {"sex": {"f": 1}}}, "The population of 'sex' must hold every group of the data; it lacks 1."),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(audit, tmp_path, changes, message):
    given = {"target": "hired", "features": ["sex"], "limits": {"min_group_share": 0.1}} | changes
    with pytest.raises(InputError) as caught:
        audit(TWO, **given)
    assert caught.value.message == message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pyarrow.nulls(100), "target must have at least two values; the column 'label' has 0."),
        (pyarrow.array([1] * 100), "target must have at least two values; the column 'label' has 1."),
        (
            pyarrow.array([*map(float, range(99)), math.inf]),
            "target must hold finite numbers; the column 'label' does not.",
        ),
        (
            pyarrow.array(range(100), type=pyarrow.date32()),
            "target must hold numbers, text or booleans; the column 'label' holds date32[day].",
        ),
    ],
)
def test_labels_that_cannot_be_compared_are_refused(audit, column, message):
    with pytest.raises(InputError) as caught:
        audit(TWO | {"label": column}, "label", ["sex"], {"min_group_share": 0.1})
    assert caught.value.message == message


def test_three_classes_have_no_positive_one(audit):
    with pytest.raises(InputError, match="positive_class must be left out when target has more than two classes"):
        audit(TWO | {"hired": list("aabc") * 25}, "hired", ["sex"], {"min_group_share": 0.1}, positive_class="a")


def test_an_empty_dataset_and_none_are_refused(audit, tmp_path):
    empty = pyarrow.table({"sex": pyarrow.array([], pyarrow.string()), "hired": pyarrow.array([], pyarrow.int8())})
    with pytest.raises(InputError, match="The dataset must have at least one row"):
        audit(empty, "hired", ["sex"], {"min_group_share": 0.1})
    with pytest.raises(MissingInputError, match="A dataset must be a Parquet file"):
        audit(dsl.Dataset(uri=str(tmp_path / "absent")), "hired", ["sex"], {"min_group_share": 0.1})


def test_a_changed_dataset_is_refused(audit, stored):
    changed = stored(TWO)
    changed.metadata["digest"] = "sha256:" + "0" * 64
    with pytest.raises(IntegrityError, match="The dataset must have the digest"):
        audit(changed, "hired", ["sex"], {"min_group_share": 0.1})


def test_it_makes_no_difference_how_many_columns_are_read_at_once(audit, people, monkeypatch):
    columns = people(("f", 30, 70), ("m", 90, 60)) | {"pay": [None, 1, 2, 3, 4] * 50, "office": [*"ab"] * 125}
    limits = {"max_missing_difference": 0.1, "max_proxy_strength": 0.5}
    together = audit(columns, "hired", ["sex"], limits)
    monkeypatch.setattr(findings, "MAX_CELLS", 1)
    assert audit(columns, "hired", ["sex"], limits).verdict.checks == together.verdict.checks


@pytest.mark.parametrize("kind", ["class", "number"])
def test_labels_of_few_rows_are_single_persons_and_are_not_told(audit, kind):
    """One person of group c; their label can be read nowhere in the report."""
    groups = ["a"] * 300 + ["b"] * 200 + ["c"]
    if kind == "class":
        labels, limits, secret = ["no", "yes"] * 250 + ["yes"], {"max_statistical_parity_difference": 1}, "1.000"
    else:
        labels, limits, secret = (
            [float(place % 50) for place in range(500)] + [77.5],
            {"max_mean_difference": 99},
            "77.5",
        )
    found = audit({"sex": groups, "label": labels}, "label", ["sex"], limits, min_group_size=100)
    row = found.report.partition("<td><code>c</code></td>")[2].partition("</tr>")[0]
    assert '<span class="note">of only 1</span>' in row
    assert secret not in row
    assert "what their labels are is not told" in found.report
