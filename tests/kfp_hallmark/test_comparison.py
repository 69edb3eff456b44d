import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_hallmark import measures
from kfp_hallmark.comparison import Advantage, Question, advantage
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import InputError

ENVIRONMENT = "ml"

MODEL, DATASET = "sha256:" + "1" * 64, "sha256:" + "2" * 64
PHI = NormalDist()


def says(task, label, prediction, score=None, classes=()):
    positive, threshold = (classes[1], 0.5) if task == BINARY else (None, None)
    return Predictions(task, "target", label, prediction, score, classes, positive, threshold, MODEL, DATASET)


def scores(label, score):
    """Binary predictions of 0/1 labels by a score."""
    return says(BINARY, label, (score >= 0.5).astype(int), score, (0, 1))


def numbers(label, prediction):
    return says(REGRESSION, label, prediction)


def binormal_pair(random, positives, negatives, first, second, share=0.7):
    """Two scores of the same rows whose true areas are `first` and `second`, and whose noise is correlated."""
    label = np.repeat([1, 0], [positives, negatives])
    common, *own = random.normal(size=(3, len(label)))
    noise = [math.sqrt(share) * common + math.sqrt(1 - share) * each for each in own]
    shift = [math.sqrt(2) * PHI.inv_cdf(area) for area in (first, second)]
    return [scores(label, 1 / (1 + np.exp(-(by * label + of)))) for by, of in zip(shift, noise, strict=True)]


JOINT = np.array([[[0.46, 0.06], [0.05, 0.08]], [[0.05, 0.04], [0.06, 0.20]]])
"""True class by the first's prediction by the second's, as shares of the rows."""


def counted_pair(random, rows, joint=JOINT):
    """Two models without scores whose joint counts are drawn from shares."""
    cells = np.repeat(np.arange(8), random.multinomial(rows, joint.ravel()))
    label, first, second = np.unravel_index(cells, (2, 2, 2))
    return [says(BINARY, label, each, None, (0, 1)) for each in (first, second)]


def laplace_pair(random, rows, first, second):
    """Two regressions whose true mean absolute errors are `first` and `second`."""
    label = random.normal(size=rows)
    return [numbers(label, label + random.laplace(0, error, rows)) for error in (first, second)]


def too_sure(random, rows):
    """Two models of the same label by the same score: the one makes too much of it, the other too little."""
    value = 1.5 * random.normal(size=rows)
    label = (random.random(rows) < 1 / (1 + np.exp(-value))).astype(int)
    return [scores(label, 1 / (1 + np.exp(-by * value))) for by in (1.8, 0.6)]


SURE = [measures.measure(each) for each in too_sure(np.random.default_rng(99), 4_000_000)]
"""The true metrics of the two."""


def true_difference(name, joint=JOINT):
    of_counts = measures.METRICS[name].of_counts
    return float(of_counts(joint.sum(axis=2)) - of_counts(joint.sum(axis=1)))


def within(hits, runs, share, error=4):
    """Whether a share of hits is the true share but for chance: four standard errors."""
    return abs(hits / runs - share) <= error * math.sqrt(share * (1 - share) / runs)


@pytest.mark.parametrize("digits", [None, 1])
def test_the_difference_of_roc_auc_is_that_of_delong(digits):
    """DeLong's covariance straight from the definition: every positive against every negative."""
    first, second = binormal_pair(np.random.default_rng(6), 60, 90, 0.8, 0.7)
    if digits:
        first, second = (replace(each, score=each.score.round(digits)) for each in (first, second))
    areas, by_positive, by_negative = [], [], []
    for each in (first, second):
        above, below = each.score[:60][:, None], each.score[60:][None, :]
        kernel = (above > below) + 0.5 * (above == below)
        areas.append(kernel.mean())
        by_positive.append(kernel.mean(axis=1))
        by_negative.append(kernel.mean(axis=0))
    covariance = np.cov(by_positive) / 60 + np.cov(by_negative) / 90
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = advantage(first, second, "roc_auc")
    assert (found.difference, found.error) == pytest.approx((areas[0] - areas[1], error), abs=1e-12)
    reach = 1.959963984540054 * error
    assert found.interval == pytest.approx((found.difference - reach, found.difference + reach), abs=1e-12)


def test_the_difference_of_shares_is_that_of_bonett_and_price():
    """Of 200 rows the first alone is right about 21 + 9, the second alone about 12 + 4; of the positives 9 and 4."""
    label = np.repeat([0, 1], [150, 50])
    first, second = label.copy(), label.copy()
    first[:12], second[12:33] = 1, 1
    first[150:154], second[154:163] = 0, 0
    pair = says(BINARY, label, first, None, (0, 1)), says(BINARY, label, second, None, (0, 1))
    for name, gains, losses, rows in (("accuracy", 30, 16, 200), ("recall", 9, 4, 50)):
        gain, loss = (gains + 1) / (rows + 2), (losses + 1) / (rows + 2)
        reach = 1.959963984540054 * math.sqrt((gain + loss - (gain - loss) ** 2) / (rows + 2))
        found = advantage(*pair, name)
        assert found.difference == pytest.approx((gains - losses) / rows)
        assert found.interval == pytest.approx((gain - loss - reach, gain - loss + reach))
        assert found.rows == 200


@pytest.mark.parametrize("name", [each.name for each in measures.metrics_for(BINARY) if each.bias is None])
def test_the_better_binary_model_has_the_advantage_whichever_way_the_metric_runs(name):
    random = np.random.default_rng(1)
    label = (random.random(3000) < 0.3).astype(int)
    score = 0.3 + 0.3 * label + random.normal(0, 0.15, 3000)
    worse = score + random.normal(0, 0.5, 3000)
    assert_mirrored(*(scores(label, each.clip(0.001, 0.999)) for each in (score, worse)), name)


@pytest.mark.parametrize("name", [each.name for each in measures.metrics_for(MULTICLASS) if each.bias is None])
def test_the_better_multiclass_model_has_the_advantage(name):
    random = np.random.default_rng(3)
    label = random.choice(3, size=900, p=[0.6, 0.3, 0.1])
    noise = random.dirichlet([1, 1, 1], size=900)
    pair = [
        says(MULTICLASS, label, score.argmax(axis=1), score, (0, 1, 2))
        for score in ((noise + np.eye(3)[label]) / 2, noise)
    ]
    assert_mirrored(*pair, name)


@pytest.mark.parametrize("name", [metric.name for metric in measures.metrics_for(REGRESSION)])
def test_the_better_regression_has_the_advantage(name):
    assert_mirrored(*laplace_pair(np.random.default_rng(3), 500, 1.0, 2.0), name)


def assert_mirrored(good, bad, name):
    """A swapped champion and challenger turns the sign of everything."""
    found, turned = advantage(good, bad, name), advantage(bad, good, name)
    assert 0 < found.interval[0] < found.difference < found.interval[1]
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.interval[0] < turned.difference < turned.interval[1] < 0
    assert turned.error == pytest.approx(found.error, rel=0.15)
    for question in (Question.SUPERIORITY, Question.NON_INFERIORITY):
        assert question.answer(found.interval, 0.0) is Status.PASS
        assert question.answer(turned.interval, 0.0) is Status.FAIL


def test_pairs_are_tighter_than_two_separate_intervals():
    first, _ = binormal_pair(np.random.default_rng(1), 300, 700, 0.8, 0.8)
    close = scores(first.label, (first.score + np.random.default_rng(2).normal(0, 0.02, 1000)).clip(0, 1))
    for name in ("accuracy", "roc_auc", "f1", "log_loss"):
        low, high = advantage(first, close, name).interval
        alone = measures.bootstrap_intervals(first, [name])[name]
        assert high - low < 0.5 * (alone[1] - alone[0])


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "log_loss", "brier_score"])
def test_the_rows_are_too_few_below_twenty(name):
    pair = binormal_pair(np.random.default_rng(0), 100, 100, 0.8, 0.7)
    ranked = name in ("roc_auc", "average_precision")
    kept = [np.r_[0:count, 100:200] if ranked else np.r_[0:count] for count in (20, 19)]
    enough, too_few = ([measures.select(each, rows) for each in pair] for rows in kept)
    assert advantage(*enough, name) is not None
    assert advantage(*too_few, name) is None


def test_the_advantage_of_an_undefined_metric_is_none():
    none = says(BINARY, np.ones(50, int), np.zeros(50, int), np.full(50, 0.1), (0, 1))
    assert advantage(none, none, "roc_auc") is None
    assert advantage(none, none, "precision") is None


def test_blocks_do_not_change_an_advantage(monkeypatch):
    pair = counted_pair(np.random.default_rng(0), 300)
    whole = advantage(*pair, "f1")
    monkeypatch.setattr("kfp_hallmark.measures.counting.BLOCK", 1000)
    assert advantage(*pair, "f1") == whole


def test_settings_that_cannot_be_used_are_refused():
    pair = counted_pair(np.random.default_rng(0), 300)
    with pytest.raises(InputError, match="A metric must be a metric of a binary task; got 'r2'"):
        advantage(*pair, "r2")
    with pytest.raises(InputError, match="to compare by; got 'expected_calibration_error'") as caught:
        advantage(*pair, "expected_calibration_error")
    assert caught.value.hint == "Compare by brier_score or log_loss in its place."
    with pytest.raises(InputError, match="bootstrap_samples must be at least 100; got 99"):
        advantage(*pair, "accuracy", samples=99)
    with pytest.raises(InputError, match=r"the_question must be one of superiority, .*; got 'superority'\.") as caught:
        Question.named("superority", "the_question")
    assert caught.value.hint == "Did you mean 'superiority'?"


STEP = 1e-9


@pytest.mark.parametrize(
    ("question", "interval", "status"),
    [
        ("superiority", (STEP, 0.2), "pass"),
        ("superiority", (0.0, 0.2), "inconclusive"),
        ("superiority", (-0.2, STEP), "inconclusive"),
        ("superiority", (-0.2, 0.0), "fail"),
        ("superiority", (0.0, 0.0), "fail"),
        ("non_inferiority", (-0.1, 0.2), "pass"),
        ("non_inferiority", (-0.1 - STEP, 0.2), "inconclusive"),
        ("non_inferiority", (-0.3, -0.1), "inconclusive"),
        ("non_inferiority", (-0.3, -0.1 - STEP), "fail"),
        ("equivalence", (-0.1, 0.1), "pass"),
        ("equivalence", (-0.1 - STEP, 0.1), "inconclusive"),
        ("equivalence", (-0.1, 0.1 + STEP), "inconclusive"),
        ("equivalence", (0.1, 0.2), "inconclusive"),
        ("equivalence", (0.1 + STEP, 0.2), "fail"),
        ("equivalence", (-0.2, -0.1), "inconclusive"),
        ("equivalence", (-0.2, -0.1 - STEP), "fail"),
    ],
)
def test_both_sides_of_every_answer(question, interval, status):
    assert Question.named(question, "question").answer(interval, 0.1) == status


@pytest.mark.parametrize(
    ("question", "rows"),
    # 1,000 x (0.02 / 0.01)^2 x (1.959964 + 0.841621)^2, and for two sides (1.959964 + 1.281552)^2
    [("superiority", 31396), ("non_inferiority", 31396), ("equivalence", 42030)],
)
def test_the_rows_that_are_needed_are_those_of_the_textbook(question, rows):
    found = Advantage(0.003, (-0.0362, 0.0422), 0.02, 1000)
    assert found.rows_needed(Question(question), 0.01, 0.8, 0.95) == rows
    assert found.rows_needed(Question(question), 0.02, 0.8, 0.95) == math.ceil(rows / 4 - 0.25)
    assert found.rows_needed(Question(question), 0.0, 0.8, 0.95) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=8, max_size=8), st.sampled_from(["accuracy", "recall", "precision", "f1"]))
def test_every_interval_holds_what_was_seen(cells, name):
    label, first, second = np.unravel_index(np.repeat(np.arange(8), cells), (2, 2, 2))
    found = advantage(*(says(BINARY, label, each, None, (0, 1)) for each in (first, second)), name, samples=100)
    if len(label) < 20:
        assert found is None
    if found is not None:
        low, high = found.interval
        assert -1 <= low <= found.difference <= high <= 1
        assert found.error > 0


def test_two_models_without_an_error_seen_are_not_known_to_be_as_good():
    """Their influences are 0; Wilson's interval of 25 hits of 25 reaches from n / (n + z^2)."""
    label = np.repeat([0, 1], [40, 25])
    first, second = scores(label, 0.2 + 0.5 * label), scores(label, 0.1 + 0.6 * label)
    reach = 1 - 25 / (25 + 1.959963984540054**2)
    for name in ("roc_auc", "average_precision"):
        found = advantage(first, second, name)
        assert found.interval == pytest.approx((-reach, reach))
        assert Question.NON_INFERIORITY.answer(found.interval, 0.1) is Status.INCONCLUSIVE
        assert advantage(first, first, name).interval == (0.0, 0.0)


def test_predictions_that_cannot_differ_are_not_compared():
    """Of positives alone every precision is 1."""
    label = np.ones(30, dtype=int)
    first, second = (says(BINARY, label, said, None, (0, 1)) for said in (label, np.repeat([0, 1], 15)))
    assert advantage(first, second, "precision") is None


def test_counts_of_many_classes_are_compared_without_a_table_of_all_combinations():
    """A table of 700 classes, true by two predictions, would take 2.7 gigabytes, and each resample as many draws."""
    import tracemalloc

    random = np.random.default_rng(4)
    label = random.integers(700, size=3000)
    first, second = (
        np.where(random.random(3000) < share, label, random.integers(700, size=3000)) for share in (0.8, 0.7)
    )
    given = [says(MULTICLASS, label, each, None, tuple(range(700))) for each in (first, second)]
    tracemalloc.start()
    found = advantage(*given, "balanced_accuracy", samples=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.difference == pytest.approx(
        reference.balanced_accuracy_score(label, first) - reference.balanced_accuracy_score(label, second)
    )
    assert found.interval[0] < found.difference < found.interval[1]
    assert peak < 5e8


# How often the intervals and the answers are right, by simulation with fixed seeds.


@pytest.mark.parametrize(
    ("name", "make", "truth"),
    [
        ("roc_auc", lambda random: binormal_pair(random, 150, 350, 0.80, 0.76), 0.04),
        ("accuracy", lambda random: counted_pair(random, 400), true_difference("accuracy")),
        ("recall", lambda random: counted_pair(random, 600), true_difference("recall")),
        ("f1", lambda random: counted_pair(random, 600), true_difference("f1")),
        ("precision", lambda random: counted_pair(random, 600), true_difference("precision")),
        ("balanced_accuracy", lambda random: counted_pair(random, 600), true_difference("balanced_accuracy")),
        ("log_loss", lambda random: too_sure(random, 400), SURE[1]["log_loss"] - SURE[0]["log_loss"]),
        ("brier_score", lambda random: too_sure(random, 400), SURE[1]["brier_score"] - SURE[0]["brier_score"]),
        ("mean_absolute_error", lambda random: laplace_pair(random, 400, 1.0, 1.2), 0.2),
        ("median_absolute_error", lambda random: laplace_pair(random, 400, 1.0, 1.2), 0.2 * math.log(2)),
    ],
)
def test_paired_intervals_hold_the_truth_as_often_as_they_say(name, make, truth):
    """At 95 % between 94 and 96 %, but for the chance of 2,500 runs; to either side, one in forty misses it."""
    runs, random = 2500, np.random.default_rng(17)
    ends = np.array([advantage(*make(random), name, samples=1000, seed=seed).interval for seed in range(runs)])
    above, below = (ends[:, 0] > truth).sum(), (ends[:, 1] < truth).sum()
    assert 0.94 - 0.009 <= 1 - (above + below) / runs <= 0.96 + 0.009
    assert within(above, runs, 0.025)
    assert within(below, runs, 0.025)


def exact_level(rows, disagreeing, difference, question, margin):
    """The probability that accuracy passes, over every pair of counts that one model alone gets right."""
    gains, losses = np.meshgrid(np.arange(rows + 1), np.arange(rows + 1), indexing="ij")
    possible = gains + losses <= rows
    gains, losses = gains[possible], losses[possible]
    shares = [(disagreeing + difference) / 2, (disagreeing - difference) / 2]
    chance = scipy.stats.multinomial.pmf(
        np.stack([gains, losses, rows - gains - losses], axis=1), rows, [*shares, 1 - disagreeing]
    )
    likely = chance > 1e-9
    passes = [
        question.answer(share_interval(rows, gain, loss), margin) is Status.PASS
        for gain, loss in zip(gains[likely], losses[likely], strict=True)
    ]
    exact = scipy.stats.binom.sf(gains[likely] - 1, np.maximum(gains + losses, 1)[likely], 0.5) <= 0.025
    return float(chance[likely][passes].sum()), float(chance[likely][exact & (gains[likely] > 0)].sum())


def share_interval(rows, gain, loss):
    label, first, second = np.zeros(rows, int), np.zeros(rows, int), np.zeros(rows, int)
    second[:gain], first[gain : gain + loss] = 1, 1
    return advantage(
        says(BINARY, label, first, None, (0, 1)), says(BINARY, label, second, None, (0, 1)), "accuracy"
    ).interval


@pytest.mark.parametrize("disagreeing", [0.06, 0.2])
def test_the_level_of_the_test_of_shares_is_kept_exactly(disagreeing):
    """No simulation: every outcome of 100 rows, weighed by its probability. McNemar's exact test has less power."""
    level, mcnemar = exact_level(100, disagreeing, 0.0, Question.SUPERIORITY, 0.0)
    assert mcnemar <= level <= 0.025
    assert exact_level(100, disagreeing, -0.05, Question.NON_INFERIORITY, 0.05)[0] <= 0.03
    assert exact_level(100, disagreeing, 0.05, Question.EQUIVALENCE, 0.05)[0] <= 0.03
    power, weaker = exact_level(100, 0.2, 0.15, Question.SUPERIORITY, 0.0)
    assert power > weaker > 0.5


@pytest.mark.parametrize("question", list(Question))
@pytest.mark.parametrize(
    ("name", "margin", "make"),
    [
        ("roc_auc", 0.05, lambda random, gain: binormal_pair(random, 200, 300, 0.8 + gain, 0.8)),
        ("mean_absolute_error", 0.15, lambda random, gain: laplace_pair(random, 900, 1.0 - gain, 1.0)),
    ],
)
def test_a_model_of_which_it_is_not_true_passes_with_the_nominal_rate(question, name, margin, make):
    """On the edge of what the question asks: one pass in forty, at 95 %."""
    edge = 0.0 if question is Question.SUPERIORITY else -margin
    runs, random = 2000, np.random.default_rng(5)
    found = [advantage(*make(random, edge), name).interval for _ in range(runs)]
    passed = sum(question.answer(interval, margin) is Status.PASS for interval in found)
    assert within(passed, runs, 0.025)


@pytest.mark.parametrize(
    ("question", "gain", "power"),
    [(Question.SUPERIORITY, 0.03, 0.8), (Question.NON_INFERIORITY, 0.0, 0.8), (Question.EQUIVALENCE, 0.0, 0.9)],
)
def test_the_rows_that_are_planned_have_the_wanted_power(question, gain, power):
    """Planned by a pilot of other rows; the pilot's own chance moves the power by a few points."""
    random = np.random.default_rng(2)
    pilot = advantage(*binormal_pair(random, 2000, 3000, 0.8 + gain, 0.8), "roc_auc")
    rows = pilot.rows_needed(question, 0.03, power, 0.95)
    runs, passed = 600, 0
    for _ in range(runs):
        pair = binormal_pair(random, round(0.4 * rows), round(0.6 * rows), 0.8 + gain, 0.8)
        passed += question.answer(advantage(*pair, "roc_auc").interval, 0.03) is Status.PASS
    assert abs(passed / runs - power) < 0.06


def test_areas_are_those_of_scikit_learn():
    first, second = binormal_pair(np.random.default_rng(8), 40, 70, 0.9, 0.6)
    areas = [reference.roc_auc_score(first.label, each.score) for each in (first, second)]
    assert advantage(first, second, "roc_auc").difference == pytest.approx(areas[0] - areas[1], abs=1e-12)
