"""How often the intervals hold the truth, where they are of more than what kfp_hallmark/fairness has tests of."""

import numpy as np
import pytest

from kfp_hallmark.fairness.disparity import disparity_interval
from kfp_hallmark.fairness.quantities import Rate, RelativeRate
from kfp_hallmark.fairness.registry import DIFFERENCE, GROUP_MIN

RUNS = 400


def misses(intervals, truth):
    return np.mean([not low <= truth <= high for low, high in intervals])


@pytest.mark.parametrize(
    ("shares", "population"),
    [([0.5, 0.5], [0.5, 0.5]), ([0.3, 0.7], [0.5, 0.5]), ([0.02, 0.18, 0.4, 0.4], [0.05, 0.15, 0.4, 0.4])],
)
def test_the_representation_ratio_lies_in_its_interval(shares, population):
    random = np.random.default_rng(11)
    population = np.array(population)
    truth = (np.array(shares) / population).min()
    intervals = []
    for hits in random.multinomial(500, shares, size=RUNS):
        ratios = RelativeRate(Rate(hits, np.full(len(hits), 500)), population)
        intervals.append(disparity_interval([ratios], GROUP_MIN, 100, 0.95, random))
    assert misses(intervals, truth) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize("rates", [[[0.1] * 3] * 8, [[0.1] * 3] * 7 + [[0.1, 0.1, 0.25]]])
def test_the_greatest_difference_of_any_column_lies_in_its_interval(rates):
    """Eight columns, three groups: of all alike the truth is 0, which the greatest of 24 differences never is."""
    random = np.random.default_rng(12)
    sizes = np.array([150, 400, 250])
    truth = max(max(column) - min(column) for column in rates)
    intervals = []
    for _ in range(RUNS):
        columns = [Rate(random.binomial(sizes, column), sizes) for column in rates]
        intervals.append(disparity_interval(columns, DIFFERENCE, 200, 0.95, random))
    assert misses(intervals, truth) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / RUNS)
    assert np.mean([high for _, high in intervals]) < truth + 0.2
