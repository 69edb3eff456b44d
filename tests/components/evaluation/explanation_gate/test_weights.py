import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_hallmark.components.evaluation.explanation_gate.weights import (
    LEAST_PARTS,
    distance,
    greatest_interval,
    share_interval,
    shares,
)


def test_the_error_is_that_of_a_ratio():
    """Worked by hand with two kinds of parts: shares 3/4 and 1/2 of sums 4 and 8, so 7/12 of all."""
    parts = np.array([[3.0, 1.0], [4.0, 4.0]] * 10)
    low, high = share_interval(parts, [0], 0.95)
    influences = np.array([3 - 4 * 7 / 12, 4 - 8 * 7 / 12]) / 6
    error = np.sqrt((influences**2).mean() / 19)
    assert (low + high) / 2 == pytest.approx(7 / 12)
    assert (high - low) / 2 == pytest.approx(2.093024 * error, rel=1e-6)


def test_too_few_parts_have_no_interval():
    parts = np.random.default_rng(0).random((LEAST_PARTS, 3))
    assert share_interval(parts, [0], 0.95) is not None
    assert share_interval(parts[:-1], [0], 0.95) is None
    assert greatest_interval(parts[:-1], 0.95) is None
    assert distance(parts[:-1], parts[:-1], 0.95) == (0, None)


def test_a_feature_without_weight_and_a_model_without_any():
    parts = np.random.default_rng(0).random((20, 3)) * [1, 0, 2]
    assert share_interval(parts, [1], 0.95) == (0, 0)
    assert share_interval(parts, [], 0.95) == (0, 0)
    assert share_interval(parts * 0, [0], 0.95) == (0, 0)
    assert greatest_interval(parts * 0, 0.95) == (0, 0)


@pytest.mark.parametrize(("count", "most"), [(20, 24), (100, 24)])
def test_the_interval_of_a_share_holds_the_truth(count, most):
    """SHAP values fall off to both sides; 5 % of 300 runs miss, 24 and more do once in 300 if so."""
    random = np.random.default_rng(count)
    scale = np.array([3.0, 1.0, 0.5, 0.1])
    truth = scale / scale.sum()
    missed = 0
    for _ in range(300):
        values = abs(random.normal(size=(count, 10, 4))) * scale
        low, high = share_interval(values.mean(axis=1), [1], 0.95)
        missed += not low <= truth[1] <= high
    assert missed <= most


def test_the_greatest_share_seldom_seems_above_what_it_is():
    """Thirty features weigh alike: the greatest seems to be above its 1/30 in at most 2.5 % of 300 runs."""
    random = np.random.default_rng(1)
    above = 0
    for _ in range(300):
        low, high = greatest_interval(abs(random.normal(size=(50, 10, 30))).mean(axis=1), 0.95)
        above += low > 1 / 30
        assert high > 1 / 30
    assert above <= 16


@pytest.mark.parametrize(("spread", "most"), [(0.0, 28), (0.2, 16), (0.6, 16)])
def test_the_interval_of_the_distance_holds_the_truth(spread, most):
    """Each end errs 2.5 % of the time; where nothing differs the lower one leaves 0 in about 5 %."""
    random = np.random.default_rng(2)
    model = np.exp(random.normal(size=12))
    champion = model * np.exp(spread * random.normal(size=12))
    truth = abs(model / model.sum() - champion / champion.sum()).sum() / 2
    low, high = 0, 0
    for _ in range(300):
        first = random.normal(size=(50, 10, 12))
        second = np.sqrt(0.5) * (first + random.normal(size=first.shape))
        observed, interval = distance(abs(first * model).mean(axis=1), abs(second * champion).mean(axis=1), 0.95)
        assert interval[0] <= observed <= interval[1]
        low += interval[0] > truth + 1e-12
        high += interval[1] < truth
    assert low <= most
    assert high <= 16


def test_the_distance_is_half_the_sum_of_the_differences():
    model = np.tile([0.5, 0.3, 0.2], (20, 1))
    champion = np.tile([2.0, 6.0, 2.0], (20, 1))
    observed, interval = distance(model, champion, 0.95)
    assert observed == pytest.approx(0.3)
    assert interval == pytest.approx((0.3, 0.3))
    assert distance(model, 7 * model, 0.95)[0] == pytest.approx(0, abs=1e-15)


@given(st.integers(1, 40), st.integers(2, 30), st.integers(0, 2**32))
def test_distances_are_symmetric_and_from_0_to_1(features, count, seed):
    random = np.random.default_rng(seed)
    first, second = (random.exponential(size=(count, features)) * (random.random(features) < 0.7) for _ in range(2))
    observed, interval = distance(first, second, 0.9)
    assert 0 <= observed <= 1 + 1e-12
    back, other = distance(second, first, 0.9)
    assert observed == pytest.approx(back, abs=1e-12)
    assert interval == (None if other is None else pytest.approx(other, abs=1e-9))
    assert shares(first).sum() == pytest.approx(1 if first.any() else 0)
