from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_hallmark.comparison import advantage
from kfp_hallmark.components.evaluation.fairness_gate.growth import (
    Logarithms,
    can_grow,
    growth_interval,
    most_fallen,
    paired,
    row_values,
)
from kfp_hallmark.contracts.predictions import BINARY, Predictions
from kfp_hallmark.fairness.registry import DISPARITIES
from kfp_hallmark.measures import select

DIGEST = "sha256:" + "1" * 64
SIZES = np.array([200, 300, 400])
RUNS = 300
LEAST = 0.95 - 3.72 * (0.95 * 0.05 / RUNS) ** 0.5


def said(label, prediction):
    return Predictions(BINARY, "y", label, prediction, None, (0, 1), 1, 0.5, DIGEST, DIGEST)


def drawn(random, shares, others, agreement, sizes=SIZES):
    """Two predictions of the same rows, with given selection rates a group, the more alike the greater `agreement`."""
    codes = np.repeat(np.arange(len(sizes)), sizes)
    first = random.random(len(codes))
    second = np.where(random.random(len(codes)) < agreement, first, random.random(len(codes)))
    made = [(value < np.array(share)[codes]).astype(int) for value, share in ((first, shares), (second, others))]
    return codes, [said(np.ones(len(codes), dtype=int), prediction) for prediction in made]


def interval(random, *given, **sizes):
    codes, (model, champion) = drawn(random, *given, **sizes)
    places = np.unique(codes)
    compared = paired("selection rate", model, champion, codes, places, 1)
    return growth_interval([compared], 300, 0.95, random)


@pytest.mark.parametrize(
    ("shares", "others"),
    [
        ([0.4, 0.4, 0.4], [0.4, 0.4, 0.4]),
        ([0.4, 0.4, 0.6], [0.4, 0.4, 0.4]),
        ([0.4, 0.4, 0.4], [0.4, 0.5, 0.6]),
        ([0.4, 0.5, 0.6], [0.4, 0.5, 0.6]),
        ([0.6, 0.5, 0.4], [0.4, 0.5, 0.6]),
        ([0.03, 0.05, 0.08], [0.03, 0.03, 0.03]),
    ],
)
@pytest.mark.parametrize("agreement", [0.0, 0.9])
def test_the_interval_of_growth_holds_the_truth(shares, others, agreement):
    random = np.random.default_rng(0)
    truth = (max(shares) - min(shares)) - (max(others) - min(others))
    held = 0
    for _ in range(RUNS):
        low, high = interval(random, shares, others, agreement)
        held += low <= truth <= high
    assert held / RUNS >= LEAST


def test_models_that_agree_have_a_narrower_interval():
    sizes = np.array([2000, 3000])
    widths = []
    for agreement in (0.0, 0.9):
        low, high = interval(np.random.default_rng(0), [0.4, 0.5], [0.4, 0.5], agreement, sizes=sizes)
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]


def test_the_interval_of_a_plain_change_of_two_groups_is_that_of_the_gap():
    sizes = np.array([20_000, 30_000])
    random = np.random.default_rng(0)
    codes, (model, champion) = drawn(random, [0.3, 0.6], [0.3, 0.5], 0.0, sizes=sizes)
    compared = paired("selection rate", model, champion, codes, np.array([0, 1]), 1)
    low, high = growth_interval([compared], 20_000, 0.95, random)
    gaps = [np.subtract(*[each.prediction[codes == place].mean() for place in (1, 0)]) for each in (model, champion)]
    error = (
        sum(each.prediction[codes == place].var() / sizes[place] for each in (model, champion) for place in (0, 1))
        ** 0.5
    )
    # Three families of bounds hold together: the ends lie beyond 1.96 standard errors, but within Šidák's 2.39.
    assert (high - low) / 2 / error == pytest.approx(2.3, abs=0.1)
    assert (low + high) / 2 == pytest.approx(gaps[0] - gaps[1], abs=2e-4)


def test_swapped_models_have_the_opposite_interval():
    codes, (model, champion) = drawn(np.random.default_rng(1), [0.3, 0.6, 0.5], [0.3, 0.5, 0.5], 0.5)
    places = np.arange(3)
    ends = [
        growth_interval([paired("selection rate", *pair, codes, places, 1)], 20_000, 0.95, np.random.default_rng(0))
        for pair in ((model, champion), (champion, model))
    ]
    assert ends[0] == pytest.approx((-ends[1][1], -ends[1][0]), abs=0.005)


def test_means_and_their_covariances_are_those_of_numpy():
    random = np.random.default_rng(0)
    codes, label = np.repeat([0, 1, 2], [30, 40, 50]), random.normal(5, 1, 120)
    models = [said(label, label + random.normal(0, 1, 120)) for _ in range(2)]
    found = paired("mean absolute error", *models, codes, np.array([0, 2]), None)
    for place, group in enumerate((0, 2)):
        errors = np.array([row_values("mean absolute error", each, None)[codes == group] for each in models])
        assert found.means[:, place] == pytest.approx(errors.mean(axis=1))
        assert found.covariances[place] == pytest.approx(np.cov(errors) / errors.shape[1])


def test_differences_and_ratios_of_what_rests_on_the_same_rows_can_grow():
    grown = {measure.name for measure in DISPARITIES if can_grow(measure)}
    assert {"equalized_odds_difference", "mean_absolute_error_difference", "zero_one_loss_difference"} < grown
    assert {"precision_score_difference", "roc_auc_score_difference"} < grown
    assert {measure.name for measure in DISPARITIES if measure.statistic == "ratio"} < grown
    assert not grown & {"accuracy_score_group_min", "log_loss_group_max"}


def ranked(random, areas, others, sizes=(400, 500, 600)):
    """Two scores of the same rows, with given areas under the curves of the groups, whose noise is shared in part."""
    codes = np.repeat(np.arange(len(sizes)), sizes)
    label = (random.random(len(codes)) < 0.4).astype(int)
    shared = random.normal(size=len(codes))
    made = []
    for each in (areas, others):
        shift = np.array([2**0.5 * NormalDist().inv_cdf(area) for area in each])[codes]
        noise = 0.8 * shared + 0.6 * random.normal(size=len(codes))
        score = 1 / (1 + np.exp(-(shift * label + noise)))
        made.append(replace(said(label, (score >= 0.7).astype(int)), score=score))
    return codes, made


@pytest.mark.parametrize(
    ("areas", "others"),
    [([0.8, 0.8, 0.8], [0.8, 0.8, 0.8]), ([0.85, 0.8, 0.7], [0.8, 0.8, 0.8]), ([0.8, 0.8, 0.8], [0.9, 0.75, 0.8])],
)
def test_the_interval_of_the_growth_of_areas_holds_the_truth(areas, others):
    random, held = np.random.default_rng(0), 0
    truth = (max(areas) - min(areas)) - (max(others) - min(others))
    for _ in range(RUNS):
        codes, pair = ranked(random, areas, others)
        low, high = growth_interval([paired("ROC AUC", *pair, codes, np.arange(3), 1)], 300, 0.95, random)
        held += low <= truth <= high
    assert held / RUNS >= LEAST


@pytest.mark.parametrize("others", [[0.8, 0.8, 0.8], [0.9, 0.75, 0.6]])
def test_the_interval_of_the_growth_of_precision_holds_the_truth(others):
    random, held = np.random.default_rng(1), 0
    codes, pair = ranked(random, [0.85, 0.8, 0.7], others, sizes=(200_000,) * 3)
    precision = [[each.label[(codes == place) & (each.prediction == 1)].mean() for place in range(3)] for each in pair]
    truth = np.ptp(precision[0]) - np.ptp(precision[1])
    for _ in range(RUNS):
        codes, pair = ranked(random, [0.85, 0.8, 0.7], others)
        low, high = growth_interval([paired("precision", *pair, codes, np.arange(3), 1)], 300, 0.95, random)
        held += low <= truth <= high
    assert held / RUNS >= LEAST


def test_areas_covary_as_delong_says():
    codes, pair = ranked(np.random.default_rng(3), [0.8, 0.7, 0.6], [0.7, 0.7, 0.7])
    found = paired("ROC AUC", *pair, codes, np.array([0, 2]), 1)
    for place, group in enumerate((0, 2)):
        expected = advantage(*(select(each, codes == group) for each in pair), "roc_auc")
        (first, shared), (_, second) = found.covariances[place]
        assert found.means[0, place] - found.means[1, place] == pytest.approx(expected.difference)
        assert (first + second - 2 * shared) ** 0.5 == pytest.approx(expected.error)


def ratio_interval(random, *given, samples=300, **sizes):
    """The interval of how much the ratio of selection rates has fallen."""
    codes, (model, champion) = drawn(random, *given, **sizes)
    compared = [paired("selection rate", model, champion, codes, np.unique(codes), 1)]
    return growth_interval(compared, samples, 0.95, random, ratio=True)


def ratio(values):
    return min(values) / max(values)


@pytest.mark.parametrize(
    ("shares", "others"),
    [
        ([0.4, 0.4, 0.4], [0.4, 0.4, 0.4]),
        ([0.3, 0.4, 0.5], [0.4, 0.4, 0.4]),
        ([0.4, 0.4, 0.4], [0.4, 0.5, 0.6]),
        ([0.4, 0.5, 0.6], [0.4, 0.5, 0.6]),
        ([0.6, 0.5, 0.4], [0.4, 0.5, 0.6]),
        ([0.03, 0.05, 0.08], [0.03, 0.03, 0.03]),
        ([0.01, 0.2, 0.3], [0.05, 0.2, 0.3]),
    ],
)
@pytest.mark.parametrize("agreement", [0.0, 0.9])
def test_the_interval_of_the_fall_of_a_ratio_holds_the_truth(shares, others, agreement):
    random, held = np.random.default_rng(0), 0
    for _ in range(RUNS):
        low, high = ratio_interval(random, shares, others, agreement)
        held += low <= ratio(others) - ratio(shares) <= high
    assert held / RUNS >= LEAST


@pytest.mark.parametrize(
    ("shares", "others", "limit"),
    [
        ([0.4, 0.4, 0.4], [0.4, 0.4, 0.4], 0.0),
        ([0.3, 0.4, 0.5], [0.3, 0.4, 0.5], 0.0),
        ([0.5, 0.4, 0.3], [0.3, 0.4, 0.5], 0.0),
        ([0.3, 0.4, 0.5], [0.4, 0.4, 0.5], 0.2),
    ],
)
def test_a_ratio_that_fell_as_far_as_it_may_seldom_fails_or_passes(shares, others, limit):
    """At the limit itself: a failure is an error of the first kind at any fall up to it, a pass at any beyond."""
    random = np.random.default_rng(2)
    found = [ratio_interval(random, shares, others, 0.8) for _ in range(RUNS)]
    most = 0.025 + 3.72 * (0.025 * 0.975 / RUNS) ** 0.5
    assert sum(low > limit for low, _ in found) / RUNS <= most
    assert sum(high < limit for _, high in found) / RUNS <= most


@pytest.mark.parametrize(("shares", "others"), [([0.2, 0.4, 0.4], [0.4, 0.4, 0.4]), ([0.2, 0.3, 0.6], [0.4, 0.5, 0.6])])
def test_a_planted_fall_of_a_ratio_is_found(shares, others):
    random, failed = np.random.default_rng(3), 0
    for _ in range(100):
        low, _ = ratio_interval(random, shares, others, 0.8, samples=200, sizes=np.array([1500, 2000, 2500]))
        failed += low > 0.1
    assert failed >= 90


def test_equalized_odds_is_compared_by_its_lesser_ratio():
    """The champion's is of the true positive rates, 0.5 / 0.8, the model's of the false ones, 0.1 / 0.3."""
    random, held, lows = np.random.default_rng(4), 0, []
    codes = np.repeat([0, 1], [2000, 3000])
    rates = {"model": ((0.3, 0.1), (0.7, 0.8)), "champion": ((0.2, 0.2), (0.5, 0.8))}
    for _ in range(RUNS):
        label = random.integers(0, 2, len(codes))
        model, champion = (
            said(label, (random.random(len(codes)) < np.array(each)[label, codes]).astype(int))
            for each in rates.values()
        )
        compared = [
            paired(name, model, champion, codes, np.arange(2), 1)
            for name in ("true positive rate", "false positive rate")
        ]
        low, high = growth_interval(compared, 300, 0.95, random, ratio=True)
        held += low <= 0.5 / 0.8 - 0.1 / 0.3 <= high
        lows.append(low)
    assert np.median(lows) > 0.05
    assert held / RUNS >= LEAST


@pytest.mark.parametrize("others", [[0.8, 0.8, 0.8], [0.9, 0.75, 0.6]])
def test_the_interval_of_the_fall_of_a_ratio_of_precisions_holds_the_truth(others):
    random, held = np.random.default_rng(1), 0
    codes, pair = ranked(random, [0.85, 0.8, 0.7], others, sizes=(200_000,) * 3)
    precision = [[each.label[(codes == place) & (each.prediction == 1)].mean() for place in range(3)] for each in pair]
    for _ in range(RUNS):
        codes, pair = ranked(random, [0.85, 0.8, 0.7], others)
        compared = [paired("precision", *pair, codes, np.arange(3), 1)]
        low, high = growth_interval(compared, 300, 0.95, random, ratio=True)
        held += low <= ratio(precision[1]) - ratio(precision[0]) <= high
    assert held / RUNS >= LEAST


def test_swapped_models_have_the_opposite_interval_of_a_ratio():
    codes, (model, champion) = drawn(np.random.default_rng(1), [0.3, 0.6, 0.5], [0.3, 0.5, 0.5], 0.5)
    ends = [
        growth_interval(
            [paired("selection rate", *pair, codes, np.arange(3), 1)],
            20_000,
            0.95,
            np.random.default_rng(0),
            ratio=True,
        )
        for pair in ((model, champion), (champion, model))
    ]
    assert ends[0] == pytest.approx((-ends[1][1], -ends[1][0]), abs=0.01)


def test_a_model_against_itself_has_fallen_by_nothing():
    codes, (model, _) = drawn(np.random.default_rng(1), [0.3, 0.6, 0.5], [0.3, 0.5, 0.5], 0.5)
    compared = [paired("selection rate", model, model, codes, np.arange(3), 1)]
    low, high = growth_interval(compared, 300, 0.95, np.random.default_rng(0), ratio=True)
    assert -0.2 < low < 0 < high < 0.2


def test_outcomes_and_logarithms_by_hand():
    """Of 10 rows, 3 are selected by both models, 2 by the first, 1 by the second, 4 by neither."""
    model, champion = [1] * 5 + [0] * 5, [1] * 3 + [0] * 2 + [1] + [0] * 4
    pair = [said(np.ones(20, int), np.array(each * 2)) for each in (model, champion)]
    found = paired("selection rate", *pair, np.repeat([0, 1], 10), np.arange(2), 1)
    assert found.outcomes.ravel().tolist() == pytest.approx([3.5, 2.5, 1.5, 4.5] * 2)
    assert found.means[:, 0].tolist() == pytest.approx([0.5, 5 / 12])
    logarithms = Logarithms.of(found)
    assert logarithms.means[:, 0].tolist() == pytest.approx(np.log([0.5, 5 / 12]))
    # Of a share p of 12 rows the logarithm has the variance (1 - p) / 12 p.
    assert logarithms.covariances[0].diagonal().tolist() == pytest.approx([1 / 12, 7 / 5 / 12])
    drawn = logarithms.drawn(100_000, np.random.default_rng(0))
    exact = [
        np.log(np.clip(np.random.default_rng(1).binomial(12, share, 100_000), 0.5, None) / 12)
        for share in (0.5, 5 / 12)
    ]
    assert [each[0].std() for each in drawn] == pytest.approx([each.std() for each in exact], rel=0.02)


@settings(max_examples=200, deadline=None)
@given(*[st.tuples(st.floats(0, 3), st.floats(0, 3))] * 2, st.floats(-3, 3))
def test_the_most_that_a_ratio_can_have_fallen_is_that_of_all_gaps_within_the_bounds(model, champion, grown):
    model, champion = sorted(model), sorted(champion)
    now, before = np.meshgrid(np.linspace(*model, 60), np.linspace(*champion, 60))
    within = now - before <= grown
    fallen = (np.exp(-before) - np.exp(-now))[within].max(initial=-np.inf)
    found = most_fallen(tuple(model), tuple(champion), grown)
    assert found >= fallen - 1e-12
    if within.all():
        assert found == pytest.approx(fallen)
