import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from kfp_hallmark.components.evaluation.explain_model.surrogate import (
    PENALTY,
    WIDTH,
    explain_record,
    fit,
    groups_of,
    require_method,
)
from kfp_hallmark.errors import InputError

LIME_FIGURES = [
    (0, [-0.155, 0.059, -0.024], 0.503, 0.130),
    (5, [-0.247, -0.201, -0.021], 0.653, 0.557),
    (9, [-0.161, 0.083, 0.038], 0.456, 0.160),
]
"""Row, weights, intercept and score by the package lime 0.2.0.1 with 100,000 rows, as docs/explanation.md tells."""


@pytest.fixture
def rows():
    """Rows of every kind of column, with missing numbers and texts."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": random.normal(50, 10, 800),
            "town": random.choice(["Bonn", "Köln", None], 800, p=[0.5, 0.3, 0.2]),
            "owner": random.random(800) < 0.3,
            "income": np.where(random.random(800) < 0.25, np.nan, random.exponential(3, 800)),
            "rooms": random.integers(1, 4, 800),
        }
    )
    return frame


def additive(frame):
    """Return a sum of functions of single features, which missing values enter."""
    town = frame["town"].map({"Bonn": 1.0, "Köln": -2.0}).fillna(0.5)
    return 0.3 * frame["age"] + town + 4 * frame["owner"] + frame["income"].fillna(-3) + frame["rooms"] ** 2


def expected(part, groups, row):
    """Return the value of the record less the mean of the other groups."""
    return part[row] - part[groups != groups[row]].mean()


@pytest.mark.parametrize("row", [0, 17, 301])
def test_of_a_sum_the_weights_are_the_values_less_the_mean_of_the_others(rows, row):
    """With independent features the linear model is right in the mean, whatever the kernel: a closed form."""
    found = explain_record(additive, rows, row, 0, drawn=100_000)
    parts = [
        0.3 * rows["age"],
        rows["town"].map({"Bonn": 1.0, "Köln": -2.0}).fillna(0.5),
        4.0 * rows["owner"],
        rows["income"].fillna(-3),
        rows["rooms"] ** 2.0,
    ]
    for weight, part, name in zip(found.weights, parts, rows.columns, strict=True):
        assert weight == pytest.approx(expected(part.to_numpy(), groups_of(rows[name]), row), abs=0.12)
    assert found.intercept + found.weights.sum() == pytest.approx(additive(rows)[row], abs=0.25)
    assert 0.2 < found.fidelity < 1


def test_of_a_linear_model_on_codes_the_weights_are_exact():
    """Two values a feature: the output is linear in what is kept, so nothing is left but the penalty."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame(random.integers(0, 2, (500, 4)), columns=list("abcd"))
    coefficients = np.array([3.0, -1.0, 0.5, 0.0])
    found = explain_record(lambda each: each.to_numpy() @ coefficients, frame, 7, 0)
    signs = np.where(frame.iloc[7] == 1, 1, -1)
    assert found.weights == pytest.approx(signs * coefficients, abs=0.01)
    assert found.fidelity == pytest.approx(1, abs=1e-5)
    assert found.intercept == pytest.approx(((1 - frame.iloc[7]) * coefficients).sum(), abs=0.01)


def test_fidelity_is_low_where_the_model_is_not_linear(rows):
    """An exclusive or of two features has no linear part."""
    random = np.random.default_rng(2)
    frame = pd.DataFrame(random.integers(0, 2, (500, 2)), columns=["a", "b"])
    found = explain_record(lambda each: (each["a"] ^ each["b"]).to_numpy(float), frame, 0, 0)
    assert found.fidelity < 0.2


def test_the_fit_is_scikit_learns_weighted_ridge():
    random = np.random.default_rng(3)
    kept = random.integers(0, 2, (400, 6)).astype(float)
    output = kept @ random.normal(size=6) + random.normal(size=400)
    nearness = np.sqrt(np.exp(-((6 - kept.sum(axis=1)) / (WIDTH * math.sqrt(6)) ** 2)))
    reference = Ridge(alpha=PENALTY).fit(kept, output, sample_weight=nearness)
    found = fit(kept, output)
    assert found.weights == pytest.approx(reference.coef_, abs=1e-10)
    assert found.intercept == pytest.approx(reference.intercept_, abs=1e-10)
    assert found.fidelity == pytest.approx(reference.score(kept, output, nearness), abs=1e-10)


def test_the_figures_of_the_package_lime():
    """Of columns of codes both estimate the same; two seeds of lime differ by up to 0.003."""
    random = np.random.default_rng(4)
    frame = pd.DataFrame(random.choice(3, (2000, 3), p=[0.5, 0.3, 0.2]), columns=list("abc"))

    def model(each):
        a, b, c = each["a"].to_numpy(), each["b"].to_numpy(), each["c"].to_numpy()
        return 1 / (1 + np.exp(-(1.5 * (a == 1) - 1.0 * (b == 2) + 0.8 * (a == 1) * (c == 0) - 0.4)))

    for row, weights, intercept, fidelity in LIME_FIGURES:
        found = explain_record(model, frame, row, 0, drawn=100_000)
        assert found.weights == pytest.approx(weights, abs=0.01)
        assert found.intercept == pytest.approx(intercept, abs=0.01)
        assert found.fidelity == pytest.approx(fidelity, abs=0.02)


def test_a_seed_gives_the_same_and_another_one_nearly(rows):
    first, again, other = (explain_record(additive, rows, 3, seed) for seed in (5, 5, 6))
    assert (first.weights == again.weights).all()
    assert not (first.weights == other.weights).any()
    assert first.weights == pytest.approx(other.weights, abs=0.6)


def test_the_drawn_rows_have_the_columns_types_and_no_new_values(rows):
    seen = []

    def model(frame):
        seen.append(frame)
        return np.zeros(len(frame))

    found = explain_record(model, rows, 4, 0, drawn=300)
    (drawn,) = seen
    assert drawn.dtypes.equals(rows.dtypes)
    assert drawn.iloc[0].equals(rows.iloc[4])
    for name in rows:
        assert set(drawn[name].dropna()) <= set(rows[name].dropna())
    assert drawn["income"].isna().any()
    assert (found.fidelity, found.intercept, list(found.weights)) == (None, 0, [0] * 5)


@given(st.integers(0, 2**32), st.floats(-5, 5), st.floats(0.1, 5))
def test_weights_scale_with_the_output_and_a_constant_moves_the_intercept(seed, constant, factor):
    random = np.random.default_rng(seed)
    kept = random.integers(0, 2, (50, 3)).astype(float)
    output = random.normal(size=50)
    plain, moved = fit(kept, output), fit(kept, factor * output + constant)
    assert moved.weights == pytest.approx(factor * plain.weights, abs=1e-9)
    assert moved.intercept == pytest.approx(factor * plain.intercept + constant, abs=1e-9)


def test_groups_are_values_quarters_and_missing():
    assert len(set(groups_of(pd.Series([1.0, 2.0, 3.0, 4.0, np.nan])))) == 5
    numbers = pd.Series([*range(100), *[np.nan] * 10], dtype=float)
    counts = np.bincount(groups_of(numbers))
    assert sorted(counts.tolist()) == [10, 25, 25, 25, 25]
    assert len(set(groups_of(pd.Series(["a", None, "b", "a"])))) == 3


def test_other_methods_are_refused():
    require_method("lime")
    with pytest.raises(
        InputError, match=re.escape("local_method must be shap or lime; got 'lme'.\nHint: Did you mean")
    ):
        require_method("lme")
