"""Worked examples of documentation, and published tables, to the digits that are printed there."""

import math

import numpy as np
import pytest

from kfp_hallmark import measures
from kfp_hallmark.comparison import Question, advantage
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.measures.registry import hanley_mcneil

ENVIRONMENT = "ml"

DIGEST = "sha256:" + "1" * 64


def binary(label, prediction=None, score=None):
    label = np.array(label)
    said = np.zeros(len(label), int) if prediction is None else np.array(prediction)
    score = None if score is None else np.array(score)
    return Predictions(BINARY, "y", label, said, score, (0, 1), 1, 0.5, DIGEST, DIGEST)


def several(label, prediction, classes):
    return Predictions(
        MULTICLASS, "y", np.array(label), np.array(prediction), None, classes, None, None, DIGEST, DIGEST
    )


def numbers(label, prediction):
    label, prediction = (np.array(values, dtype=float) for values in (label, prediction))
    return Predictions(REGRESSION, "y", label, prediction, None, (), None, None, DIGEST, DIGEST)


CURVE = binary([0, 0, 1, 1], score=[0.1, 0.4, 0.35, 0.8])
FOUR = numbers([3, -0.5, 2, 7], [2.5, 0.0, 2, 8])


@pytest.mark.parametrize(
    ("predictions", "name", "printed"),
    [
        (CURVE, "roc_auc", 0.75),
        (CURVE, "average_precision", 0.83),
        (binary([1, 0, 0, 1], score=[0.9, 0.1, 0.2, 0.65]), "log_loss", 0.21616),
        (binary([0, 1, 1, 0], score=[0.1, 0.9, 0.8, 0.3]), "brier_score", 0.0375),
        (binary([0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1]), "balanced_accuracy", 0.625),
        (binary([1, 1, 1, 0], [1, 0, 1, 1]), "matthews_corrcoef", -0.33),
        (several([0, 2, 1, 3], [0, 1, 2, 3], (0, 1, 2, 3)), "accuracy", 0.5),
        (several([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], (0, 1, 2)), "f1_macro", 0.267),
        (FOUR, "r2", 0.948),
        (FOUR, "mean_absolute_error", 0.5),
        (FOUR, "root_mean_squared_error", 0.612),
        (FOUR, "median_absolute_error", 0.5),
        (FOUR, "mean_absolute_percentage_error", 0.3273),
        (FOUR, "d2_absolute_error_score", 0.764),
    ],
)
def test_examples_of_scikit_learns_reference(predictions, name, printed):
    """The example of each function's page in scikit-learn's API reference; some are cut off there, not rounded."""
    digits = len(str(printed).partition(".")[2])
    assert abs(measures.measure(predictions)[name] - printed) < 10**-digits


def test_the_area_of_hanley_and_mcneils_images():
    """109 images rated 1 to 5: Radiology 143 (1982), table II: area 0.893, error 0.032.

    By DeLong's variance, Stata's manual on roctab prints 0.8932, 0.0307 and 0.83295 to 0.95339 of the same ratings.
    """
    label = np.repeat([0, 1], [58, 51])
    rating = np.repeat([1, 2, 3, 4, 5] * 2, [33, 6, 6, 11, 2, 3, 2, 2, 11, 33])
    area, error = measures.standard_error(binary(label, score=rating / 5), "roc_auc")
    assert round(area, 4) == 0.8932
    assert round(math.sqrt(hanley_mcneil(area, np.array([58, 51]))), 3) == 0.032
    areas, variances, rarer = measures.grouped_areas(rating / 5, label == 1, np.zeros(109, int), 1)
    assert (areas[0], variances[0], rarer[0]) == pytest.approx((area, error**2, 51))
    _, influence = measures.influences_of(measures.METRICS["roc_auc"], binary(label, score=rating / 5))
    delong = math.sqrt((influence**2).sum())
    assert round(delong, 4) == 0.0307
    assert (round(area - 1.959964 * delong, 5), round(area + 1.959964 * delong, 5)) == (0.83295, 0.95339)


def test_two_surveys_of_the_same_people():
    """A. Agresti, Categorical Data Analysis (2002), section 10.1: of 1,600, 150 and 86 changed their mind.

    The share falls by 0.04, with an interval from 0.02 to 0.06; McNemar's statistic is 17.36.
    """
    before = np.repeat([1, 1, 0, 0], [794, 150, 86, 570])
    after = np.repeat([1, 0, 1, 0], [794, 150, 86, 570])
    truth = np.ones(1600, int)
    found = advantage(binary(truth, after), binary(truth, before), "accuracy")
    assert round(found.difference, 2) == -0.04
    assert [round(end, 2) for end in found.interval] == [-0.06, -0.02]
    assert round((150 - 86) ** 2 / (150 + 86), 2) == 17.36
    assert (found.difference / found.error) ** 2 == pytest.approx(17.36, rel=0.02)
    assert Question.NON_INFERIORITY.answer(found.interval, 0.05) is Status.INCONCLUSIVE
    assert Question.NON_INFERIORITY.answer(found.interval, 0.06) is Status.PASS
    assert Question.NON_INFERIORITY.answer(found.interval, 0.02) is Status.FAIL


@pytest.mark.parametrize(("hits", "trials", "ends"), [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)),
                                                      (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))])  # fmt: skip
def test_wilsons_intervals_of_newcombes_table(hits, trials, ends):
    """R. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    assert tuple(round(end, 4) for end in measures.wilson_interval(hits, trials)) == ends
