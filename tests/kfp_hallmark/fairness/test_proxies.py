import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_hallmark.fairness.proxies import (
    BINS,
    LEAST_ROWS,
    associations,
    explained_share,
    groupings_of,
)

ENVIRONMENT = "ml"


def strengths(forbidden, *features, confidence=0.95):
    named = [pd.Series(values, name=f"f{place}") for place, values in enumerate(features)]
    return {each.feature: each for each in associations(pd.Series(forbidden), named, confidence)}


def test_of_a_yes_or_no_it_is_adjusted_r_squared():
    """One minus (1 - R2) (n - 1) / (n - k) with groups of equal size, worked out by least squares."""
    random = np.random.default_rng(0)
    groups = np.repeat(["p", "q", "r"], 100)
    told = random.random(300) < np.repeat([0.2, 0.5, 0.9], 100)
    dummies = np.column_stack([groups == name for name in "pqr"]).astype(float)
    residual = told - dummies @ np.linalg.lstsq(dummies, told.astype(float), rcond=None)[0]
    plain = 1 - (residual**2).sum() / ((told - told.mean()) ** 2).sum()
    expected = 1 - (1 - plain) * 299 / 297
    assert strengths(told, groups)["f0"].strength == pytest.approx(expected, abs=1e-12)
    assert 0.2 < expected < plain


def test_of_a_yes_or_no_it_is_about_the_square_of_cramers_v():
    from scipy.stats.contingency import association

    random = np.random.default_rng(1)
    told = random.random(20_000) < 0.3
    feature = np.where(random.random(20_000) < 0.2, "x", np.where(told, "y", "z"))
    table = pd.crosstab(told, feature).to_numpy()
    found = strengths(told, feature)["f0"]
    assert found.strength == pytest.approx(association(table, method="cramer") ** 2, abs=1e-3)
    assert found.interval[0] < found.strength < found.interval[1]


def test_numbers_missing_values_and_signs_of_any_shape_tell():
    random = np.random.default_rng(2)
    told = random.integers(0, 2, 2000)
    square = random.normal(size=2000)
    square = np.where(told, np.sign(square) * (1.5 + abs(square)), square.clip(-1, 1))
    hole = np.where(told, np.nan, random.normal(size=2000))
    text = np.where(told == 1, None, random.choice(["u", "v"], 2000))
    whole = pd.Series(random.integers(0, 60, 2000) * 2 + told)
    found = strengths(told, square, hole, text, whole, random.normal(size=2000))
    assert found["f0"].strength > 0.8
    assert abs(np.corrcoef(square, told)[0, 1]) < 0.1
    assert found["f1"].strength == found["f2"].strength == found["f3"].strength == 1
    assert found["f4"].strength < 0.02
    assert list(found)[-1] == "f4"


def test_a_forbidden_number_is_told_by_its_rank_and_by_being_missing():
    random = np.random.default_rng(3)
    age = random.normal(50, 10, 2000)
    near = np.exp(age / 10) + random.normal(0, 1, 2000)
    age[:300] = np.nan
    near[:300] = random.normal(size=300)
    missing = np.where(np.isnan(age), "m", "p")
    found = strengths(age, near, missing, random.normal(size=2000))
    assert found["f0"].strength > 0.9
    assert found["f1"].strength == 1
    assert found["f2"].interval[0] == 0


def test_one_small_value_that_is_told_is_enough():
    """A feature that tells one of ten groups is its proxy, though it tells little of all groups together."""
    random = np.random.default_rng(4)
    forbidden = random.integers(0, 10, 4000)
    assert strengths(forbidden, forbidden == 3)["f0"].strength == 1


def test_a_feature_with_a_value_a_row_tells_nothing():
    told = np.arange(500) % 2
    found = strengths(told, [f"id {place}" for place in range(500)])["f0"]
    assert (found.strength, found.interval[0]) == (0, 0)


@pytest.mark.parametrize("values", [[1] * 300, ["x"] * 300, [None] * 300, [0.1] * 299 + [7.5]])
def test_a_constant_tells_exactly_nothing(values):
    """So that a limit of 0 is kept; the one value that differs makes a group of its own, which is left out."""
    told = np.random.default_rng(0).random(300) < 0.4
    found = strengths(told, values)["f0"]
    assert (found.strength, found.interval) == (0, (0, 0))


def test_too_few_rows_or_one_value_tell_nothing():
    told = np.arange(2 * LEAST_ROWS) % 2
    assert strengths(told, told)["f0"].strength == 1
    assert strengths(told[:-1], told[:-1]) == {}
    assert strengths(np.zeros(500), np.arange(500)) == {}
    assert strengths(np.arange(500) % 2) == {}


@pytest.mark.parametrize("values", [2, 10, 60, 150])
def test_a_random_feature_is_no_proxy_however_many_values_it_has(values):
    """Of 100 random features of 300 rows none is seen as a proxy, and the interval leaves 0 in at most 5 of 100."""
    random = np.random.default_rng(values)
    strongest, sure = 0.0, 0
    for _ in range(100):
        told = random.choice(["a", "b", "c"], 300)
        found = strengths(told, random.integers(0, values, 300).astype(str))["f0"]
        strongest, sure = max(strongest, found.strength), sure + (found.interval[0] > 0)
    assert strongest < 0.25
    assert sure <= 5


@pytest.mark.parametrize(("rows", "values"), [(300, 2), (1000, 20), (1000, 250)])
def test_the_interval_holds_the_true_share(rows, values):
    """The true share is a quarter: each end errs 2.5 % of the time, so with 300 runs at most 16 do but once in 500."""
    random = np.random.default_rng(rows + values)
    low, high = 0, 0
    effects = np.resize([-1.0, 1.0], values)
    for _ in range(300):
        groups = random.integers(0, values, rows)
        told = 0.5 * effects[groups] + math.sqrt(0.75) * random.normal(size=rows)

        share, error = explained_share(groups, told)
        low += share - 1.96 * error > 0.25
        high += share + 1.96 * error < 0.25
    assert low <= 16
    assert high <= 16


def test_more_comparisons_widen_the_interval():
    random = np.random.default_rng(8)
    told = random.integers(0, 2, 500)
    feature = np.where(random.random(500) < 0.3, 1 - told, told)
    alone = strengths(told, feature)["f0"].interval
    among = strengths(told, feature, *random.normal(size=(50, 500)))["f0"].interval
    assert among[0] < alone[0] < alone[1] < among[1]


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc")), min_size=60, max_size=90), st.integers(0, 2**32))
def test_shares_are_from_0_to_1_and_names_do_not_matter(texts, seed):
    random = np.random.default_rng(seed)
    told = random.integers(0, 2, len(texts))
    renamed = [{"a": "x", "b": "y", "c": None, None: "w"}[text] for text in texts]
    found = strengths(told, texts, renamed)
    for each in found.values():
        assert 0 <= each.interval[0] <= each.strength <= each.interval[1] <= 1
    if found:
        assert found["f0"].strength == pytest.approx(found["f1"].strength, abs=1e-12)


def test_a_number_is_taken_by_value_and_in_bins():
    random = np.random.default_rng(9)
    (binned,) = groupings_of(pd.Series(random.normal(size=1000)))
    counts = np.bincount(binned)
    assert len(counts[counts > 0]) == BINS
    assert counts[counts > 0].min() >= 49
    assert [len(np.unique(each)) for each in groupings_of(pd.Series(np.arange(1000) % 40))] == [40, BINS]
    holes = pd.Series(np.where(np.arange(1000) % 4, random.normal(size=1000), np.nan))
    assert len(np.unique(groupings_of(holes)[1])) == BINS + 1
    assert len(groupings_of(pd.Series(np.arange(1000) % 20))) == len(groupings_of(pd.Series(list("ab") * 30))) == 1
