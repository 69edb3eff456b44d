"""How often the gate errs, by simulation, and how often it sees what was planted.

At a confidence of 95 % a check passes 2.5 % of the models of which what is asked is not true by a hair. Three metrics
at their limits are simulated through the whole gate in test_performance.py, the questions of a comparison by area,
absolute error and (over every outcome) accuracy in tests/kfp_hallmark/test_comparison.py, slices of equal models in
test_slices.py.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from kfp_hallmark.comparison import Question, advantage
from kfp_hallmark.components.evaluation.performance_gate.serving import Served, ServingLimits, serving_checks
from kfp_hallmark.components.evaluation.performance_gate.slices import SliceTerms, compare_slices
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.measures import METRICS, bootstrap_intervals, judge_interval, value_of

DIGEST = "sha256:" + "1" * 64
MANY = 500_000


def at_most(runs, rate=0.025):
    """How many of some runs happen at a rate but once in a thousand times."""
    return int(binom.isf(0.001, runs, rate))


def two_classes(random, rows, noises=(0.5, 0.5)):
    """Models that see the same and each a noise of its own; with equal noises neither is better."""
    label = (random.random(rows) < 0.4).astype(int)
    shared = 1.6 * label - 0.8 + random.normal(size=rows)
    scores = [1 / (1 + np.exp(-shared - random.normal(0, noise, rows))) for noise in noises]
    return [
        Predictions(BINARY, "y", label, (each >= 0.5).astype(int), each, (0, 1), 1, 0.5, DIGEST, DIGEST)
        for each in scores
    ]


def three_classes(random, rows, noises=(0.5, 0.5)):
    label = random.choice(3, size=rows, p=[0.5, 0.3, 0.2])
    shared = 1.5 * np.eye(3)[label] + random.normal(size=(rows, 3))
    scores = [np.exp(shared + random.normal(0, noise, (rows, 3))) for noise in noises]
    scores = [each / each.sum(axis=1, keepdims=True) for each in scores]
    return [
        Predictions(MULTICLASS, "y", label, each.argmax(axis=1), each, (0, 1, 2), None, None, DIGEST, DIGEST)
        for each in scores
    ]


def numbers(random, rows, noises=(0.5, 0.5)):
    signal = random.normal(50, 2, rows)
    label = signal + random.normal(size=rows)
    return [
        Predictions(
            REGRESSION, "y", label, signal + random.normal(0, noise, rows), None, (), None, None, DIGEST, DIGEST
        )
        for noise in noises
    ]


CASES = [
    *((two_classes, name) for name in ("f1", "average_precision", "brier_score", "log_loss", "matthews_corrcoef")),
    *((three_classes, name) for name in ("roc_auc_ovr", "f1_macro")),
    *((numbers, name) for name in ("r2", "root_mean_squared_error", "median_absolute_error")),
]


@pytest.mark.parametrize(("make", "name"), CASES)
def test_a_model_at_its_limit_seldom_passes_and_one_within_it_does(make, name):
    metric, runs, random = METRICS[name], 200, np.random.default_rng(3)
    truth = value_of(metric, make(np.random.default_rng(99), MANY)[0])
    bound = "minimum" if metric.greater_is_better else "maximum"
    statuses, width = [], 0.0
    for seed in range(runs):
        given = make(random, 600)[0]
        observed = value_of(metric, given)
        interval = bootstrap_intervals(given, [name], 400, seed=seed)[name]
        sign = -1 if metric.greater_is_better else 1
        width = interval[1] - interval[0]
        limits = [truth, truth + sign * 0.95 * width]
        statuses.append([judge_interval(observed, interval, **{bound: limit}) for limit in limits])
    at_limit, within = zip(*statuses, strict=True)
    assert at_limit.count(Status.PASS) <= at_most(runs, 0.03)
    assert within.count(Status.PASS) >= 0.9 * runs


@pytest.mark.parametrize(("make", "name"), CASES)
def test_a_challenger_of_which_it_is_not_true_seldom_passes_and_a_better_one_does(make, name):
    """It is worse by the very margin; as good where superiority is asked; and much better, to see the power."""
    runs, random, noises = 200, np.random.default_rng(4), (0.8, 0.5)
    worse, champion = (value_of(METRICS[name], each) for each in make(np.random.default_rng(99), MANY, noises))
    margin = abs(worse - champion)
    passed = dict.fromkeys((*Question, "worse than allowed", "better"), 0)
    for seed in range(runs):
        found = advantage(*make(random, 600, noises), name, 400, seed=seed).interval
        passed[Question.NON_INFERIORITY] += Question.NON_INFERIORITY.answer(found, margin) is Status.PASS
        passed[Question.EQUIVALENCE] += Question.EQUIVALENCE.answer(found, margin) is Status.PASS
        passed["worse than allowed"] += Question.NON_INFERIORITY.answer(found, margin) is Status.FAIL
        found = advantage(*make(random, 600), name, 400, seed=seed).interval
        passed[Question.SUPERIORITY] += Question.SUPERIORITY.answer(found, 0.0) is Status.PASS
        if seed < 20:
            found = advantage(*make(random, 600, (0.1, 2.5)), name, 400, seed=seed).interval
            passed["better"] += Question.SUPERIORITY.answer(found, 0.0) is Status.PASS
    assert all(passed[each] <= at_most(runs, 0.03) for each in (*Question, "worse than allowed"))
    assert passed["better"] >= 18


def test_the_power_on_a_slice_that_gets_worse(tmp_path):
    """Of 12 slices of 400 rows one is spoiled: it alone is told of, in nine of ten datasets."""
    group = np.repeat([f"g{index:02}" for index in range(12)], 400)
    pd.DataFrame({"group": group}).to_parquet(tmp_path / "groups.parquet", index=False)
    random, found, others = np.random.default_rng(5), 0, 0
    for seed in range(60):
        challenger, champion = two_classes(random, len(group))
        shuffled = np.where(group == "g07", random.permutation(challenger.score), challenger.score)
        spoiled = Predictions(
            BINARY, "y", challenger.label, (shuffled >= 0.5).astype(int), shuffled, (0, 1), 1, 0.5, DIGEST, DIGEST
        )
        terms = SliceTerms(["group"], 0.05)
        compared = compare_slices(spoiled, champion, tmp_path / "groups.parquet", terms, "roc_auc", 200, 0.95, seed)
        failed = {each.name for each in compared.slices if each.status is Status.FAIL}
        found, others = found + ("g07" in failed), others + bool(failed - {"g07"})
    assert found >= 54
    assert others <= at_most(60)


@pytest.mark.parametrize(
    ("limit", "truth"),
    [
        ("max_median_latency_ms", 1.0),
        ("max_p99_latency_ms", math.exp(0.5 * 2.3263478740408408)),
        ("max_cost_per_million_rows", math.exp(0.125)),
    ],
)
def test_a_model_as_slow_as_its_limit_seldom_passes_and_one_of_half_the_time_does(limit, truth):
    """Times are log-normal, their logarithm of mean 0 ms and deviation 0.5; an hour costs 3.6, so a second 0.001."""
    runs, random, passed, power = 400, np.random.default_rng(6), 0, 0
    price = {"price_per_hour": 3.6} if "cost" in limit else {}
    for _ in range(runs):
        times = random.lognormal(0.0, 0.5, 1000) / 1000
        (slow,) = serving_checks(Served(1, times), ServingLimits(**{limit: truth}, **price), 0.95)
        (fast,) = serving_checks(Served(1, times / 2), ServingLimits(**{limit: truth}, **price), 0.95)
        passed, power = passed + (slow.status is Status.PASS), power + (fast.status is Status.PASS)
    assert 1 <= passed <= at_most(runs, 0.03)
    assert power == runs
