import numpy as np
import pytest

from kfp_hallmark.fairness.disparity import disparity
from kfp_hallmark.fairness.quantities import Rate, RelativeRate
from kfp_hallmark.fairness.registry import GROUP_MIN
from kfp_hallmark.measures import wilson_interval

ENVIRONMENT = "ml"


def test_a_relative_rate_is_the_rate_by_what_it_is_compared_with_and_so_is_its_interval():
    ratios = RelativeRate(Rate(np.array([30, 10]), np.array([120, 50])), np.array([0.5, 0.1]))
    assert ratios.values.tolist() == [0.5, 2.0]
    assert ratios.trials.tolist() == [120, 50]
    low, high = ratios.ends(0.9)
    first, second = wilson_interval(30, 120, 0.9), wilson_interval(10, 50, 0.9)
    assert low.tolist() == pytest.approx([first[0] / 0.5, second[0] / 0.1])
    assert high.tolist() == pytest.approx([first[1] / 0.5, second[1] / 0.1])
    assert ratios.of(np.array([1])).values.tolist() == [2.0]
    assert disparity([ratios], GROUP_MIN) == 0.5
