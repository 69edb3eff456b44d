import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_hallmark.fairness.disparity import (
    disparity,
    disparity_interval,
    greatest_deviation,
)
from kfp_hallmark.fairness.quantities import (
    BalancedAccuracy,
    Estimate,
    F1Score,
    Rate,
    student_of_normal,
)
from kfp_hallmark.fairness.registry import (
    DIFFERENCE,
    GROUP_MAX,
    GROUP_MIN,
    RATIO,
    SELECTION_RATE,
    TRUE_POSITIVE_RATE,
    Disparity,
)

ENVIRONMENT = "ml"


def test_a_difference_is_free_of_the_error_of_floating_point_numbers():
    assert 0.4 - 0.3 > 0.1
    assert disparity([Rate(np.array([40, 30]), np.array([100, 100]))], DIFFERENCE) == 0.1


def test_a_ratio_without_any_positive_prediction_is_none():
    none = Rate(np.array([0, 0]), np.array([10, 20]))
    assert disparity([none], RATIO) is None
    assert disparity([none], DIFFERENCE) == 0
    assert disparity([Rate(np.array([0, 5]), np.array([10, 20]))], RATIO) == 0


def test_limits_are_named_for_their_direction():
    assert Disparity("x_ratio", (SELECTION_RATE,), RATIO).limit == "min_x_ratio"
    assert Disparity("x_difference", (TRUE_POSITIVE_RATE,)).limit == "max_x_difference"
    assert Disparity("x_group_min", (TRUE_POSITIVE_RATE,), GROUP_MIN).limit == "min_x_group_min"
    assert Disparity("x_group_max", (TRUE_POSITIVE_RATE,), GROUP_MAX).limit == "max_x_group_max"


def coverage(shares, sizes, ratio=False, runs=300):
    """Share of simulated data sets whose interval holds the truth."""
    shares, sizes = np.array(shares), np.array(sizes)
    truth = shares.min() / shares.max() if ratio else shares.max() - shares.min()
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(runs):
        rate = Rate(generator.binomial(sizes, shares), sizes)
        low, high = disparity_interval([rate], RATIO if ratio else DIFFERENCE, 300, 0.95, generator)
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
    low, high = disparity_interval([rate], DIFFERENCE, 20_000, 0.95, np.random.default_rng(0))
    error = (0.4 * 0.6 / 1000 + 0.3 * 0.7 / 2000) ** 0.5
    assert (low, high) == pytest.approx((0.1 - 1.96 * error, 0.1 + 1.96 * error), abs=0.002)


def test_rates_of_zero_and_one_have_an_interval():
    low, high = disparity_interval(
        [Rate(np.array([100, 50]), np.array([100, 50]))], DIFFERENCE, 500, 0.95, np.random.default_rng(0)
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
        hits = generator.binomial(trials[:, None], shares[:, None], size=(len(shares), samples)).T
        drawn = np.log(hits.clip(0.5) / trials / shares) if ratio else hits / trials - shares
        deviations.append([(abs(row[:, None] - row) / errors).max() for row in drawn])
        values = np.log(shares) if ratio else shares
        estimates.append((abs(values[:, None] - values), errors, ~np.eye(len(values), dtype=bool)))
    reach = np.quantile(np.max(deviations, axis=0), confidence)
    low = max((gaps - reach * errors)[pairs].max() for gaps, errors, pairs in estimates)
    high = max((gaps + reach * errors)[pairs].max() for gaps, errors, pairs in estimates)
    low, high = (np.exp(-high), np.exp(-max(low, 0))) if ratio else (low, high)
    observed = disparity(rates, RATIO if ratio else DIFFERENCE)
    return max(0, min(low, observed)), min(1, max(high, observed))


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize(("groups", "spread"), [(2, 1), (3, 100), (40, 1), (150, 3), (150, 1000)])
def test_the_interval_is_that_of_all_pairs(groups, spread, ratio):
    random = np.random.default_rng(groups)
    sizes = random.integers(100, 200, (2, groups)) * np.rint(spread ** random.random((2, groups))).astype(int)
    rates = [Rate(random.binomial(trials, random.uniform(0.1, 0.9, groups)), trials) for trials in sizes]
    expected = by_all_pairs(rates, ratio, 100, 0.9, np.random.default_rng(4))
    statistic = RATIO if ratio else DIFFERENCE
    found = disparity_interval(rates, statistic, 100, 0.9, np.random.default_rng(4))
    assert found == pytest.approx(expected, rel=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(1e-6, 1)), min_size=2, max_size=12))
def test_the_greatest_deviation_is_that_of_all_pairs(groups):
    values, variances = (np.array(column) for column in zip(*groups, strict=True))
    expected = (abs(values[:, None] - values) / np.sqrt(variances[:, None] + variances)).max()
    assert greatest_deviation(values, variances) == expected


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=2, max_size=6),
    st.sampled_from([DIFFERENCE, RATIO, GROUP_MIN, GROUP_MAX]),
    st.integers(0, 5),
)
def test_an_interval_lies_between_0_and_1_and_holds_the_estimate(counts, statistic, seed):
    hits, others = (np.array(values) for values in zip(*counts, strict=True))
    rate = Rate(hits, hits + others)
    low, high = disparity_interval([rate], statistic, 100, 0.95, np.random.default_rng(seed))
    observed = disparity([rate], statistic)
    assert 0 <= low <= high <= 1
    assert observed is None or low - 1e-12 <= observed <= high + 1e-12


def test_the_interval_of_a_ratio_of_two_large_groups_is_that_of_katz():
    rate = Rate(np.array([9_000, 16_000]), np.array([30_000, 40_000]))
    # ln(0.3 / 0.4) with the standard error sqrt(0.7 / 9,000 + 0.6 / 16,000).
    reach = 1.959963984540054 * math.sqrt(0.7 / 9_000 + 0.6 / 16_000)
    expected = (0.75 * math.exp(-reach), 0.75 * math.exp(reach))
    found = disparity_interval([rate], RATIO, 20_000, 0.95, np.random.default_rng(0))
    assert found == pytest.approx(expected, abs=0.0005)


def least_coverage(runs):
    """What a coverage of 95 % undercuts in one of 10,000 simulations by chance."""
    return 0.95 - 3.72 * (0.95 * 0.05 / runs) ** 0.5


RUNS = 400
SIZES = np.array([100, 150, 300, 1000, 2000])


def share_that_holds(draw, truth, statistic, samples=200):
    """Share of simulated data sets whose interval holds the truth."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(RUNS):
        low, high = disparity_interval([draw(generator)], statistic, samples, 0.95, generator)
        held += low <= truth <= high
    return held / RUNS


@pytest.mark.parametrize("statistic", [GROUP_MIN, GROUP_MAX])
@pytest.mark.parametrize("shares", [[0.8] * 5, [0.6, 0.7, 0.8, 0.85, 0.9], [0.97, 0.97, 0.97, 0.9, 0.99], [0.98] * 5])
def test_the_interval_of_the_least_and_greatest_rate_holds_the_truth(shares, statistic):
    truth = min(shares) if statistic == GROUP_MIN else max(shares)
    found = share_that_holds(lambda generator: Rate(generator.binomial(SIZES, shares), SIZES), truth, statistic)
    assert found >= least_coverage(RUNS)


def test_the_interval_of_the_least_of_one_outlying_group_is_that_of_the_group():
    rate = Rate(np.array([500, 1900]), np.array([1000, 2000]))
    low, high = disparity_interval([rate], GROUP_MIN, 100, 0.95, np.random.default_rng(0))
    assert low == pytest.approx(0.5 - 1.96 * (0.25 / 1003.84) ** 0.5, abs=1e-4)
    assert high == pytest.approx(0.5 + 2.2365 * (0.25 / 1005) ** 0.5, abs=1e-4)


@pytest.mark.parametrize("shares", [[0.5] * 5, [0.3, 0.5, 0.6, 0.6, 0.7]])
def test_the_interval_of_the_least_f1_score_holds_the_truth(shares):
    truth = 2 * min(shares) / (1 + min(shares))
    found = share_that_holds(
        lambda generator: F1Score(Rate(generator.binomial(SIZES, shares), SIZES)), truth, GROUP_MIN
    )
    assert found >= least_coverage(RUNS)


@pytest.mark.parametrize("recalls", [(0.9, 0.6), (0.99, 0.95), (0.7, 0.7)])
def test_the_interval_of_the_least_balanced_accuracy_holds_the_truth(recalls):
    def draw(generator):
        sizes = [SIZES, SIZES // 2]
        return BalancedAccuracy(
            [Rate(generator.binomial(size, share), size) for size, share in zip(sizes, recalls, strict=True)]
        )

    assert share_that_holds(draw, sum(recalls) / 2, GROUP_MIN) >= least_coverage(RUNS)


@pytest.mark.parametrize(("means", "spread"), [([3, 3, 3, 3, 3], 1), ([3, 3, 3.2, 3.2, 3.5], 2), ([0] * 5, 50)])
def test_the_interval_of_a_difference_of_means_holds_the_truth(means, spread):
    def draw(generator):
        rows = [generator.normal(mean, spread, size) for mean, size in zip(means, SIZES // 4, strict=True)]
        variances = [values.var(ddof=1) / len(values) for values in rows]
        return Estimate(np.array([values.mean() for values in rows]), np.array(variances), SIZES // 4)

    assert share_that_holds(draw, max(means) - min(means), DIFFERENCE) >= least_coverage(RUNS)


def test_the_interval_of_two_means_is_that_of_welch():
    rows = [np.random.default_rng(seed).normal(seed, 1 + seed, size) for seed, size in ((1, 40), (2, 60))]
    found = disparity_interval(
        [
            Estimate(
                np.array([values.mean() for values in rows]),
                np.array([values.var(ddof=1) / len(values) for values in rows]),
                np.array([40, 60]),
            )
        ],
        DIFFERENCE,
        50_000,
        0.95,
        np.random.default_rng(0),
    )
    welch = scipy.stats.ttest_ind(rows[1], rows[0], equal_var=False).confidence_interval(0.95)
    assert found == pytest.approx((welch.low, welch.high), abs=0.03)


@pytest.mark.parametrize(("freedom", "error"), [(19, 1e-3), (100, 2e-6), (5000, 1e-9)])
def test_quantiles_of_students_t(freedom, error):
    normal = np.linspace(-4, 4, 81)
    expected = scipy.stats.t.ppf(scipy.stats.norm.cdf(normal), freedom)
    assert student_of_normal(normal, np.array(freedom)) == pytest.approx(expected, rel=error, abs=1e-9)


def test_an_area_of_1_has_an_interval():
    areas = Estimate(np.array([1.0, 0.9]), np.array([0.0, 0.001]), np.array([100, 200]), "logit")
    low, high = disparity_interval([areas], GROUP_MAX, 100, 0.95, np.random.default_rng(0))
    assert (low, high) == (pytest.approx(0.9516, abs=1e-3), 1)
    low, high = disparity_interval([areas], DIFFERENCE, 5000, 0.95, np.random.default_rng(0))
    assert 0.02 < low < 0.1 < high < 0.2


def test_values_without_any_spread_have_an_interval_without_width():
    same = Estimate(np.array([2.0, 3.0]), np.zeros(2), np.array([100, 200]))
    assert disparity_interval([same], DIFFERENCE, 100, 0.95, np.random.default_rng(0)) == pytest.approx((1, 1))
