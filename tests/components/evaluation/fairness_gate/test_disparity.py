import math

import fairlearn.metrics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_hallmark.components.evaluation.fairness_gate.disparity import (
    DISPARITIES,
    SELECTION_RATE,
    TRUE_POSITIVE_RATE,
    Disparity,
    Rate,
    disparity,
    disparity_interval,
    greatest_deviation,
)
from kfp_hallmark.components.evaluation.fairness_gate.groups import Groups, intersect, tally


def random_groups(seed, groups, rows=2000):
    """Labels and predictions whose rates differ between groups of unequal size."""
    random = np.random.default_rng(seed)
    code = random.choice(groups, rows, p=random.dirichlet(np.full(groups, 4.0)))
    label = random.random(rows) < random.uniform(0.2, 0.8, groups)[code]
    prediction = random.random(rows) < np.where(label, random.uniform(0.5, 0.9, groups)[code], 0.1 + 0.05 * code)
    names = [str(place) for place in range(groups)]
    return Groups("feature", names, names, code), label, prediction


def measured(groups, label, prediction):
    rates = tally(groups, label, prediction).rates
    return {measure.name: disparity([rates[rate] for rate in measure.rates], measure.ratio) for measure in DISPARITIES}


def by_fairlearn(label, prediction, sensitive):
    given = {"y_true": label, "y_pred": prediction, "sensitive_features": sensitive}
    frame = fairlearn.metrics.MetricFrame(metrics=fairlearn.metrics.false_positive_rate, **given)
    return {
        "demographic_parity_difference": fairlearn.metrics.demographic_parity_difference(**given),
        "demographic_parity_ratio": fairlearn.metrics.demographic_parity_ratio(**given),
        "equalized_odds_difference": fairlearn.metrics.equalized_odds_difference(**given),
        "equal_opportunity_difference": fairlearn.metrics.equal_opportunity_difference(**given),
        "false_positive_rate_difference": frame.difference(),
    }


@pytest.mark.parametrize(("seed", "groups"), [(0, 2), (1, 2), (2, 3), (3, 5), (4, 7)])
def test_disparities_are_those_of_fairlearn(seed, groups):
    made, label, prediction = random_groups(seed, groups)
    expected = by_fairlearn(label.astype(int), prediction.astype(int), made.codes)
    assert measured(made, label, prediction) == pytest.approx(expected, abs=1e-12)
    assert len(set(expected.values())) >= 4


@pytest.mark.parametrize("seed", [0, 1])
def test_disparities_of_an_intersection_are_those_of_fairlearn(seed):
    first, label, prediction = random_groups(seed, 3)
    codes = np.random.default_rng(seed + 100).choice(2, len(label), p=[0.3, 0.7])
    second = Groups("other", ["x", "y"], ["other x", "other y"], codes)
    both = intersect([first, second])
    expected = by_fairlearn(label.astype(int), prediction.astype(int), np.column_stack([first.codes, codes]))
    assert measured(both, label, prediction) == pytest.approx(expected, abs=1e-12)
    assert both.feature == "feature × other"
    assert both.names[:3] == ["0 × x", "0 × y", "1 × x"]
    assert both.titles[0] == "0, other x"


def test_a_difference_is_free_of_the_error_of_floating_point_numbers():
    assert 0.4 - 0.3 > 0.1
    assert disparity([Rate(np.array([40, 30]), np.array([100, 100]))], ratio=False) == 0.1


def test_a_ratio_without_any_positive_prediction_is_none():
    none = Rate(np.array([0, 0]), np.array([10, 20]))
    assert disparity([none], ratio=True) is None
    assert disparity([none], ratio=False) == 0
    assert disparity([Rate(np.array([0, 5]), np.array([10, 20]))], ratio=True) == 0


def test_limits_are_named_for_their_direction():
    assert Disparity("x_ratio", (SELECTION_RATE,), ratio=True).limit == "min_x_ratio"
    assert Disparity("x_difference", (TRUE_POSITIVE_RATE,)).limit == "max_x_difference"


def coverage(shares, sizes, ratio=False, runs=300):
    """Share of simulated data sets whose interval holds the truth."""
    shares, sizes = np.array(shares), np.array(sizes)
    truth = shares.min() / shares.max() if ratio else shares.max() - shares.min()
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(runs):
        rate = Rate(generator.binomial(sizes, shares), sizes)
        low, high = disparity_interval([rate], ratio, 300, 0.95, generator)
        hits += low <= truth <= high
    return hits / runs


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ([0.4, 0.4], [300, 1000]),
        ([0.4, 0.5], [150, 1000]),
        ([0.02, 0.05], [150, 600]),
        ([0.4] * 5, [150, 300, 500, 1000, 2000]),
        ([0.3, 0.35, 0.4, 0.45, 0.5], [150, 300, 500, 1000, 2000]),
        ([0.4, 0.4, 0.4, 0.4, 0.6], [150, 300, 500, 1000, 200]),
    ],
)
def test_an_interval_holds_the_truth_at_least_about_as_often_as_it_says(shares, sizes, ratio):
    assert coverage(shares, sizes, ratio) >= 0.92


def test_the_interval_of_two_groups_is_no_wider_than_it_need_be():
    """For two groups it is the interval of one difference: the estimate and 1.96 standard errors to either side."""
    rate = Rate(np.array([400, 600]), np.array([1000, 2000]))
    low, high = disparity_interval([rate], False, 20_000, 0.95, np.random.default_rng(0))
    error = (0.4 * 0.6 / 1000 + 0.3 * 0.7 / 2000) ** 0.5
    assert (low, high) == pytest.approx((0.1 - 1.96 * error, 0.1 + 1.96 * error), abs=0.002)


def test_rates_of_zero_and_one_have_an_interval():
    low, high = disparity_interval(
        [Rate(np.array([100, 50]), np.array([100, 50]))], False, 500, 0.95, np.random.default_rng(0)
    )
    assert low == 0
    assert 0.02 < high < 0.1


def by_all_pairs(rates, ratio, samples, confidence, generator):
    """The interval straight from the definition, with a matrix of all pairs."""
    deviations, estimates = [], []
    for rate in rates:
        trials = rate.trials + 2
        shares = (rate.hits + 1) / trials
        variances = (1 - shares) / shares / trials if ratio else shares * (1 - shares) / trials
        errors = np.sqrt(variances[:, None] + variances)
        hits = generator.binomial(trials, shares, size=(samples, len(shares)))
        drawn = np.log(hits.clip(0.5) / trials / shares) if ratio else hits / trials - shares
        deviations.append([(abs(row[:, None] - row) / errors).max() for row in drawn])
        values = np.log(shares) if ratio else shares
        estimates.append((abs(values[:, None] - values), errors, ~np.eye(len(values), dtype=bool)))
    reach = np.quantile(np.max(deviations, axis=0), confidence)
    low = max((gaps - reach * errors)[pairs].max() for gaps, errors, pairs in estimates)
    high = max((gaps + reach * errors)[pairs].max() for gaps, errors, pairs in estimates)
    low, high = (np.exp(-high), np.exp(-max(low, 0))) if ratio else (low, high)
    observed = disparity(rates, ratio)
    return max(0, min(low, observed)), min(1, max(high, observed))


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize(("groups", "spread"), [(2, 1), (3, 100), (40, 1), (150, 3), (150, 1000)])
def test_the_interval_is_that_of_all_pairs(groups, spread, ratio):
    random = np.random.default_rng(groups)
    sizes = random.integers(100, 200, (2, groups)) * np.rint(spread ** random.random((2, groups))).astype(int)
    rates = [Rate(random.binomial(trials, random.uniform(0.1, 0.9, groups)), trials) for trials in sizes]
    expected = by_all_pairs(rates, ratio, 100, 0.9, np.random.default_rng(4))
    assert disparity_interval(rates, ratio, 100, 0.9, np.random.default_rng(4)) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(1e-6, 1)), min_size=2, max_size=12))
def test_the_greatest_deviation_is_that_of_all_pairs(groups):
    values, variances = (np.array(column) for column in zip(*groups, strict=True))
    expected = (abs(values[:, None] - values) / np.sqrt(variances[:, None] + variances)).max()
    assert greatest_deviation(values, variances) == expected


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=2, max_size=6),
    st.booleans(),
    st.integers(0, 5),
)
def test_an_interval_lies_between_0_and_1_and_holds_the_estimate(counts, ratio, seed):
    hits, others = (np.array(values) for values in zip(*counts, strict=True))
    rate = Rate(hits, hits + others)
    low, high = disparity_interval([rate], ratio, 100, 0.95, np.random.default_rng(seed))
    observed = disparity([rate], ratio)
    assert 0 <= low <= high <= 1
    assert observed is None or low <= observed <= high


def test_the_interval_of_a_ratio_of_two_large_groups_is_that_of_katz():
    rate = Rate(np.array([9_000, 16_000]), np.array([30_000, 40_000]))
    # ln(0.3 / 0.4) with the standard error sqrt(0.7 / 9,000 + 0.6 / 16,000).
    reach = 1.959963984540054 * math.sqrt(0.7 / 9_000 + 0.6 / 16_000)
    expected = (0.75 * math.exp(-reach), 0.75 * math.exp(reach))
    found = disparity_interval([rate], True, 20_000, 0.95, np.random.default_rng(0))
    assert found == pytest.approx(expected, abs=0.0005)
