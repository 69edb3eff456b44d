import tracemalloc
from dataclasses import replace

import fairlearn.metrics
import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics

from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions
from kfp_hallmark.errors import InputError
from kfp_hallmark.fairness.disparity import disparity, disparity_interval
from kfp_hallmark.fairness.groups import Groups, group_by, intersect
from kfp_hallmark.fairness.quantities import Rate
from kfp_hallmark.fairness.registry import DISPARITIES, GROUP_MAX, GROUP_MIN, KINDS
from kfp_hallmark.fairness.tally import class_quantities, mean_of, tallies
from kfp_hallmark.measures import bootstrap_intervals, judge_interval

ENVIRONMENT = "ml"

DIGEST = "sha256:" + "1" * 64


def groups_of(codes):
    names = [str(place) for place in range(max(codes) + 1)]
    return Groups("feature", names, names, np.asarray(codes))


def binary(label, score, threshold=0.5):
    label, score = np.asarray(label).astype(int), np.asarray(score)
    return Predictions(
        BINARY, "hired", label, (score >= threshold).astype(int), score, (0, 1), 1, threshold, DIGEST, DIGEST
    )


def regression(label, prediction):
    return Predictions(REGRESSION, "pay", label, prediction, None, (), None, None, DIGEST, DIGEST)


def random_binary(seed, groups, rows=3000):
    """Labels and scores whose rates differ between groups of unequal size."""
    random = np.random.default_rng(seed)
    codes = random.choice(groups, rows, p=random.dirichlet(np.full(groups, 4.0)))
    label = random.random(rows) < random.uniform(0.2, 0.8, groups)[codes]
    score = (0.35 + 0.25 * label + 0.03 * codes + random.normal(0, 0.2, rows)).clip(0.02, 0.98)
    return groups_of(codes), binary(label, score)


def suiting(task):
    return {name for name, kind in KINDS.items() if task in kind.tasks}


def measured(predictions, groups):
    """Every disparity of the task that is of all classes, or of the positive one."""
    (whole,) = tallies(predictions, groups, suiting(predictions.task))
    return {
        measure.name: disparity([whole.quantities[name] for name in measure.quantities], measure.statistic)
        for measure in DISPARITIES
        if predictions.task in measure.tasks
    }


SCORED = ("roc_auc_score", "log_loss")
OURS = {
    "precision_score_difference": (sklearn.metrics.precision_score, "difference"),
    "precision_score_ratio": (sklearn.metrics.precision_score, "ratio"),
    "roc_auc_score_difference": (sklearn.metrics.roc_auc_score, "difference"),
    "mean_score_difference": (fairlearn.metrics.mean_prediction, "difference"),
    "mean_prediction_difference": (fairlearn.metrics.mean_prediction, "difference"),
    "mean_absolute_error_difference": (sklearn.metrics.mean_absolute_error, "difference"),
}


def by_fairlearn(name, predictions, sensitive):
    """What Fairlearn says: its function of the name, or its MetricFrame where it has none."""
    scored = name.startswith((*SCORED, "mean_score"))
    given = {
        "y_true": predictions.label,
        "y_pred": predictions.score if scored else predictions.prediction,
        "sensitive_features": sensitive,
    }
    if name not in OURS:
        return getattr(fairlearn.metrics, name)(**given)
    metric, statistic = OURS[name]
    return getattr(fairlearn.metrics.MetricFrame(metrics=metric, **given), statistic)()


def test_every_disparity_of_fairlearn_is_known():
    endings = ("_difference", "_ratio", "_group_min", "_group_max")
    theirs = {name for name in dir(fairlearn.metrics) if name.endswith(endings)}
    assert {measure.name for measure in DISPARITIES} == theirs | set(OURS)
    assert len(theirs) == 31


@pytest.mark.parametrize(("seed", "groups"), [(0, 2), (1, 2), (2, 3), (3, 5), (4, 7)])
def test_binary_disparities_are_those_of_fairlearn(seed, groups):
    made, predictions = random_binary(seed, groups)
    found = measured(predictions, made)
    expected = {name: by_fairlearn(name, predictions, made.codes) for name in found}
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert len({round(value, 9) for value in expected.values()}) > 20


@pytest.mark.parametrize("seed", [0, 1])
def test_disparities_of_an_intersection_are_those_of_fairlearn(seed):
    first, predictions = random_binary(seed, 3)
    codes = np.random.default_rng(seed + 100).choice(2, len(first.codes), p=[0.3, 0.7])
    both = intersect([first, Groups("other", ["x", "y"], ["other x", "other y"], codes)])
    found = measured(predictions, both)
    sensitive = np.column_stack([first.codes, codes])
    assert found == pytest.approx({name: by_fairlearn(name, predictions, sensitive) for name in found}, abs=1e-12)
    assert both.feature == "feature × other"
    assert both.names[:3] == ["0 × x", "0 × y", "1 × x"]
    assert both.titles[0] == "0, other x"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_regression_disparities_are_those_of_fairlearn(seed):
    random = np.random.default_rng(seed)
    codes = random.choice(4, 2000)
    label = 50 + 10 * codes + random.normal(0, 20, 2000)
    predictions = regression(label, label + random.normal(2, 5 + 3 * codes, 2000))
    found = measured(predictions, groups_of(codes))
    expected = {name: by_fairlearn(name, predictions, codes) for name in found}
    assert found == pytest.approx(expected, rel=1e-12)
    assert len(found) == 5


def random_multiclass(seed, rows=3000):
    random = np.random.default_rng(seed)
    codes = random.choice(3, rows)
    score = random.dirichlet([1.0, 2.0, 3.0], rows)
    label = np.where(random.random(rows) < 0.5 + 0.1 * codes, score.argmax(axis=1), random.choice(3, rows))
    names = np.array(["a", "b", "c"])
    made = Predictions(
        MULTICLASS,
        "grade",
        names[label],
        names[score.argmax(axis=1)],
        score,
        ("a", "b", "c"),
        None,
        None,
        DIGEST,
        DIGEST,
    )
    return groups_of(codes), made


@pytest.mark.parametrize("seed", [0, 1])
def test_multiclass_disparities_are_those_of_fairlearn_of_each_class_against_the_rest(seed):
    groups, predictions = random_multiclass(seed)
    whole, *classes = tallies(predictions, groups, suiting(predictions.task))
    assert (whole.of_class, [each.of_class for each in classes]) == (None, ["a", "b", "c"])
    of_whole = 0
    for measure in DISPARITIES:
        for each in (whole, *classes):
            if not set(measure.quantities) <= set(each.quantities):
                continue
            found = disparity([each.quantities[name] for name in measure.quantities], measure.statistic)
            against = (
                predictions
                if each is whole
                else binary(predictions.label == each.of_class, predictions.prediction == each.of_class)
            )
            assert found == pytest.approx(by_fairlearn(measure.name, against, groups.codes), abs=1e-12)
            of_whole += each is whole
    assert of_whole == 8


def test_scores_in_single_precision_are_taken_as_doubles():
    made, predictions = random_binary(0, 3)
    single = replace(predictions, score=predictions.score.astype(np.float32))
    double = replace(predictions, score=single.score.astype(float))
    of_both = [measured(each, made) for each in (single, double)]
    assert of_both[0] == of_both[1] != measured(predictions, made)


def test_areas_are_those_of_fairlearn_with_ties_and_below_zero():
    random = np.random.default_rng(5)
    codes, label = random.integers(0, 300, 60_000), random.integers(0, 2, 60_000)
    score = (random.normal(label, 2).round(1)).clip(-3, 3)
    score[score == 0] *= random.choice([-1, 1], (score == 0).sum())
    predictions = binary(label, score)
    found = measured(predictions, groups_of(codes))["roc_auc_score_group_min"]
    assert found == pytest.approx(by_fairlearn("roc_auc_score_group_min", predictions, codes), abs=1e-12)
    assert np.signbit(score[score == 0]).any()


def test_only_what_is_wanted_is_measured():
    groups, predictions = random_multiclass(0)
    assert [(each.of_class, list(each.quantities)) for each in tallies(predictions, groups, {"accuracy"})] == [
        (None, ["accuracy"])
    ]
    assert [each.of_class for each in tallies(predictions, groups, {"precision"})] == ["a", "b", "c"]


def many_classes(groups, classes, rows=20_000):
    random = np.random.default_rng(0)
    codes, label = random.integers(groups, size=rows), random.integers(classes, size=rows)
    said = np.where(random.random(rows) < 0.7, label, random.integers(classes, size=rows))
    made = Predictions(MULTICLASS, "y", label, said, None, tuple(range(classes)), None, None, DIGEST, DIGEST)
    return Groups("g", [str(place) for place in range(groups)], [], codes), made


def test_a_thousand_classes_of_sixty_groups_take_little_memory():
    """All pairs of classes would be 60 million counts, 480 MB."""
    groups, predictions = many_classes(60, 1000)
    tracemalloc.start()
    whole, *classes = tallies(predictions, groups, {"accuracy", "selection rate", "true positive rate", "precision"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
    assert len(classes) == 1000
    for place, name in ((0, 0), (7, 500), (59, 999)):
        rows = groups.codes == place
        label, said = predictions.label[rows] == name, predictions.prediction[rows] == name
        found = classes[name].quantities
        assert (found["selection rate"].hits[place], found["selection rate"].trials[place]) == (said.sum(), len(said))
        true = found["true positive rate"]
        assert (true.hits[place], true.trials[place]) == ((label & said).sum(), label.sum())
        assert found["precision"].trials[place] == said.sum()
        assert whole.quantities["accuracy"].hits[place] == (predictions.label == predictions.prediction)[rows].sum()


@pytest.mark.parametrize(("count", "refused"), [(1000, False), (1001, True)])
def test_more_groups_and_classes_than_can_be_judged_are_refused(count, refused):
    groups, predictions = many_classes(100, count)
    assert len(tallies(predictions, groups, {"accuracy", "balanced accuracy"})) == 1
    if not refused:
        assert len(tallies(predictions, groups, {"precision"})) == count
        return
    with pytest.raises(InputError) as caught:
        tallies(predictions, groups, {"precision"})
    assert caught.value.message == (
        "The groups of 'g' times the classes must be at most 100,000 to judge each class; got 100 times 1,001."
    )


def test_a_prediction_of_no_known_class_is_wrong_and_no_hit_of_another():
    groups, predictions = random_multiclass(0)
    predictions.prediction[:50] = "z"
    whole, first, *_ = tallies(predictions, groups, {"accuracy", "selection rate"})
    assert whole.quantities["accuracy"].hits.sum() == (predictions.label == predictions.prediction).sum()
    assert first.quantities["selection rate"].hits.sum() == (predictions.prediction == "a").sum()
    assert first.quantities["selection rate"].trials.sum() == len(predictions.label)


def test_a_class_that_only_the_data_has_is_a_class_of_its_own():
    groups, predictions = random_multiclass(0)
    predictions.label[:40] = "d"
    whole, *classes = tallies(predictions, groups, {"accuracy", "true positive rate"})
    assert [each.of_class for each in classes] == ["a", "b", "c", "d"]
    assert classes[-1].quantities["true positive rate"].hits.tolist() == [0, 0, 0]
    right = (predictions.label == predictions.prediction).sum()
    assert whole.quantities["accuracy"].hits.sum() == right


def test_counts_of_a_group_by_hand():
    counts = np.array([[[5, 2], [3, 10]], [[1, 0], [4, 7]]])
    found = class_quantities(counts)
    assert {name: (value.trials.tolist()) for name, value in found.items()} == {
        "selection rate": [20, 12],
        "true positive rate": [13, 11],
        "true negative rate": [7, 1],
        "false positive rate": [7, 1],
        "false negative rate": [13, 11],
        "precision": [12, 7],
        "F1 score": [15, 11],
    }
    assert found["precision"].values.tolist() == pytest.approx([10 / 12, 1])
    assert found["F1 score"].values.tolist() == pytest.approx([20 / 25, 14 / 18])


def test_what_is_comparable_needs_rows_of_its_own_kind():
    label = [1] * 20 + [0] * 20 + [1] * 15 + [0] * 25 + [1] * 3 + [0] * 40 + [1] * 5
    groups = groups_of([0] * 40 + [1] * 40 + [2] * 43 + [3] * 5)
    (found,) = tallies(binary(label, np.array(label, float)), groups, suiting(BINARY))
    names = ["selection rate", "true positive rate", "false positive rate", "ROC AUC", "log loss"]
    comparable = {name: places.tolist() for name, places in found.comparable(names, 15).items()}
    assert comparable == {
        "selection rate": [0, 1, 2],
        "true positive rate": [0, 1],
        "false positive rate": [0, 1, 2],
        "log loss": [0, 1, 2],
    }


def test_r2_of_a_group_of_equal_labels_rests_on_no_rows():
    groups = groups_of([0] * 30 + [1] * 30)
    predictions = regression(np.r_[np.full(30, 4.0), np.arange(30.0)], np.arange(60.0))
    (found,) = tallies(predictions, groups, {"R²"})
    assert found.quantities["R²"].trials.tolist() == [0, 30]


RUNS = 300
LEAST = 0.95 - 3.72 * (0.95 * 0.05 / RUNS) ** 0.5
SIZES = (120, 200, 400)


def test_the_interval_of_a_group_of_losses_is_that_of_the_mean_of_its_rows():
    random = np.random.default_rng(0)
    codes, label = np.repeat([0, 1, 2], SIZES), random.gamma(2, 3, sum(SIZES))
    predictions = regression(label, label + random.laplace(0.5, 1 + codes))
    (found,) = tallies(predictions, groups_of(codes), {"mean absolute error", "mean squared error"})
    names = {"mean absolute error": "mean_absolute_error", "mean squared error": "root_mean_squared_error"}
    for name, metric in names.items():
        power = 2 if metric.startswith("root") else 1
        low, high = found.quantities[name].of(np.array([2, 0])).ends(0.9)
        for place, group in enumerate([2, 0]):
            expected = bootstrap_intervals(predictions, [metric], confidence=0.9, rows=codes == group)[metric]
            assert (low[place], high[place]) == pytest.approx([end**power for end in expected], rel=1e-12)


def test_losses_too_great_for_their_variance_have_an_interval_that_passes_nothing():
    (found,) = tallies(
        regression(np.zeros(200), np.tile([1e200, 3e200], 100)), groups_of([0, 1] * 100), {"mean absolute error"}
    )
    ends = disparity_interval([found.quantities["mean absolute error"]], GROUP_MAX, 100, 0.95, np.random.default_rng(0))
    assert judge_interval(3e200, ends, maximum=1e201) == "inconclusive"


@pytest.mark.parametrize("skewed", [True, False])
def test_the_interval_of_the_greatest_mean_of_skewed_errors_holds_the_truth(skewed):
    random = np.random.default_rng(0)
    codes, held = np.repeat([0, 1, 2], SIZES), 0
    for _ in range(RUNS):
        errors = random.exponential(np.array([2.0, 2.0, 1.5])[codes])
        low, high = disparity_interval([mean_of(errors, groups_of(codes), skewed)], GROUP_MAX, 100, 0.95, random)
        held += low <= 2 <= high
    assert held / RUNS >= LEAST


@pytest.mark.parametrize(("statistic", "truth"), [("difference", 0.05), (GROUP_MIN, 0.75)])
def test_the_interval_of_areas_holds_the_truth(statistic, truth):
    """Scores that are normal with one variance have the area Phi(distance / sqrt 2)."""
    random = np.random.default_rng(0)
    codes, held = np.repeat([0, 1, 2], SIZES), 0
    distance = np.array([0.9538726, 0.9538726, 1.1902321])[codes]
    for _ in range(RUNS):
        label = random.random(len(codes)) < 0.4
        predictions = binary(label, random.normal(distance * label))
        (found,) = tallies(predictions, groups_of(codes), {"ROC AUC"})
        low, high = disparity_interval([found.quantities["ROC AUC"]], statistic, 200, 0.95, random)
        held += low <= truth <= high
    assert held / RUNS >= LEAST


def test_the_interval_of_the_least_r2_holds_the_truth():
    random = np.random.default_rng(0)
    codes, held = np.repeat([0, 1, 2], SIZES), 0
    noise = np.array([1.0, 0.5, 0.5])[codes]
    for _ in range(RUNS):
        prediction = random.normal(0, 1, len(codes))
        (found,) = tallies(regression(prediction + random.normal(0, noise), prediction), groups_of(codes), {"R²"})
        low, high = disparity_interval([found.quantities["R²"]], GROUP_MIN, 100, 0.95, random)
        held += low <= 0.5 <= high
    assert held / RUNS >= LEAST


def test_rates_without_trials_are_not_numbers():
    assert np.isnan(Rate(np.array([0]), np.array([0])).values).all()


GUIDE = "https://fairlearn.org/main/user_guide/assessment/"
LABEL = [0, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1]
SAID = [0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0]
LETTERS = list("bbabbcccaacabccbcc")
NUMBERS = [8, 6, 8, 8, 8, 8, 6, 6, 6, 8, 6, 6, 6, 6, 8, 6, 6, 6]


def of_the_guide(*columns):
    """The example of 18 rows that Fairlearn's user guide prints, by our groups."""
    made = [group_by(pa.chunked_array([column]), f"SF {place}") for place, column in enumerate(columns)]
    (whole,) = tallies(binary(LABEL, SAID), intersect(made), suiting(BINARY) - {"ROC AUC", "log loss", "mean score"})
    return whole


@pytest.mark.parametrize(
    ("source", "name", "printed"),
    [
        ("common_fairness_metrics.html", "demographic_parity_difference", "0.25"),
        ("common_fairness_metrics.html", "demographic_parity_ratio", "0.66666"),
        ("common_fairness_metrics.html", "equalized_odds_difference", "1.0"),
        ("common_fairness_metrics.html", "equalized_odds_ratio", "0.0"),
        ("perform_fairness_assessment.html", "true_positive_rate_difference", "0.20"),
        ("perform_fairness_assessment.html", "true_positive_rate_ratio", "0.666667"),
        ("perform_fairness_assessment.html", "false_positive_rate_difference", "1.00"),
        ("perform_fairness_assessment.html", "false_positive_rate_ratio", "0.000000"),
        ("perform_fairness_assessment.html", "selection_rate_difference", "0.25"),
        ("perform_fairness_assessment.html", "selection_rate_ratio", "0.666667"),
        ("perform_fairness_assessment.html", "recall_score_group_min", "0.4"),
    ],
)
def test_what_fairlearns_user_guide_prints(source, name, printed):
    """The pages below GUIDE; the first cuts digits off, pandas rounds them in the second. Fairlearn is asked too."""
    whole, (measure,) = of_the_guide(LETTERS), [each for each in DISPARITIES if each.name == name]
    found = disparity([whole.quantities[quantity] for quantity in measure.quantities], measure.statistic)
    digits = len(printed.partition(".")[2])
    assert abs(found - float(printed)) < (10**-digits if source.startswith("common") else 0.5000001 * 10**-digits)
    live = getattr(fairlearn.metrics, name)(LABEL, SAID, sensitive_features=LETTERS)
    assert found == pytest.approx(live, abs=1e-12)


@pytest.mark.parametrize(
    ("columns", "name", "metric", "printed"),
    [
        ([LETTERS], "true positive rate", sklearn.metrics.recall_score, [0.5, 0.6, 0.4]),
        ([LETTERS], "false positive rate", fairlearn.metrics.false_positive_rate, [1.0, 0.0, 0.666667]),
        ([LETTERS], "selection rate", fairlearn.metrics.selection_rate, [0.75, 0.5, 0.5]),
        ([LETTERS, NUMBERS], "true positive rate", sklearn.metrics.recall_score, [0, 1, 0.666667, 0.5, 0.5, 0]),
        ([LETTERS, NUMBERS], "precision", sklearn.metrics.precision_score, [0, 0.5, 1, 1, 0.666667, 0]),
        ([LETTERS, NUMBERS], "selection rate", fairlearn.metrics.selection_rate, None),
    ],
)
def test_groups_as_fairlearns_user_guide_prints_them(columns, name, metric, printed):
    """perform_fairness_assessment.html and intersecting_groups.html below GUIDE, six decimals each.

    Where no row is predicted positive, scikit-learn calls the precision 0; here it is no number.
    """
    whole = of_the_guide(*columns)
    found = np.nan_to_num(whole.quantities[name].values)
    if printed is not None:
        assert found.round(6).tolist() == printed
    frame = fairlearn.metrics.MetricFrame(
        metrics=metric, y_true=LABEL, y_pred=SAID, sensitive_features=np.array(columns, dtype=object).T
    )
    assert found == pytest.approx(frame.by_group.to_numpy(float), abs=1e-12)
    count = fairlearn.metrics.MetricFrame(
        metrics=fairlearn.metrics.count, y_true=LABEL, y_pred=SAID, sensitive_features=np.array(columns, dtype=object).T
    )
    assert whole.sizes.tolist() == count.by_group.tolist()
