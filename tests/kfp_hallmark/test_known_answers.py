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


def several(label, prediction, classes, score=None):
    label, prediction = np.array(label), np.array(prediction)
    return Predictions(MULTICLASS, "y", label, prediction, score, classes, None, None, DIGEST, DIGEST)


def numbers(label, prediction):
    label, prediction = (np.array(values, dtype=float) for values in (label, prediction))
    return Predictions(REGRESSION, "y", label, prediction, None, (), None, None, DIGEST, DIGEST)


CURVE = binary([0, 0, 1, 1], score=[0.1, 0.4, 0.35, 0.8])
MIXED = binary([0, 1, 0, 1], [1, 1, 1, 0])
FOUR = numbers([3, -0.5, 2, 7], [2.5, 0.0, 2, 8])
SIX = several([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], (0, 1, 2))


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
        (SIX, "f1_macro", 0.267),
        (FOUR, "r2", 0.948),
        (FOUR, "mean_absolute_error", 0.5),
        (FOUR, "root_mean_squared_error", 0.612),
        (FOUR, "median_absolute_error", 0.5),
        (FOUR, "mean_absolute_percentage_error", 0.3273),
        (FOUR, "d2_absolute_error_score", 0.764),
    ],
)
def test_examples_of_scikit_learns_reference(predictions, name, printed):
    """The example of each function's page in scikit-learn 1.9's API reference; some are cut off there, not rounded.

    https://scikit-learn.org/1.9/modules/generated/sklearn.metrics.<function>.html; the functions are named as the
    metrics are, but for roc_auc_score, average_precision_score, log_loss, brier_score_loss, balanced_accuracy_score,
    accuracy_score, f1_score (average="macro") and r2_score.
    """
    digits = len(str(printed).partition(".")[2])
    assert abs(measures.measure(predictions)[name] - printed) < 10**-digits


@pytest.mark.parametrize(
    ("name", "printed"), [("precision", 1.0), ("recall", 0.5), ("f1", 0.66), ("accuracy", 0.75), ("specificity", 1.0)]
)
def test_the_binary_example_of_scikit_learns_user_guide(name, printed):
    """https://scikit-learn.org/1.9/modules/model_evaluation.html, "Binary classification": of four, one missed.

    It prints precision, recall and F1 (cut off); the other two follow from the same four rows.
    """
    assert abs(measures.measure(binary([0, 1, 0, 1], [0, 1, 0, 0]))[name] - printed) < 0.01


def test_the_log_loss_of_scikit_learns_user_guide():
    """https://scikit-learn.org/1.9/modules/model_evaluation.html, "Log loss": 0.1738."""
    found = measures.measure(binary([0, 0, 1, 1], score=[0.1, 0.2, 0.7, 0.99]))
    assert round(found["log_loss"], 4) == 0.1738


def test_the_areas_of_fitted_models_in_scikit_learns_reference():
    """https://scikit-learn.org/1.9/modules/generated/sklearn.metrics.roc_auc_score.html: 0.99 of two and three classes.

    Models and data as there; the digits that it does not print are held against the function itself.
    """
    from sklearn.datasets import load_breast_cancer, load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    features, label = load_breast_cancer(return_X_y=True)
    score = LogisticRegression(solver="newton-cholesky", random_state=0).fit(features, label).predict_proba(features)
    found = measures.measure(binary(label, score=score[:, 1]))["roc_auc"]
    assert round(found, 2) == 0.99
    assert found == pytest.approx(roc_auc_score(label, score[:, 1]), abs=1e-12)

    features, label = load_iris(return_X_y=True)
    score = LogisticRegression(solver="newton-cholesky").fit(features, label).predict_proba(features)
    found = measures.measure(several(label, score.argmax(axis=1), (0, 1, 2), score))["roc_auc_ovr"]
    assert abs(found - 0.99) < 0.01
    assert found == pytest.approx(roc_auc_score(label, score, multi_class="ovr"), abs=1e-12)


def test_the_confusion_matrices_of_scikit_learns_reference():
    """https://scikit-learn.org/1.9/modules/generated/sklearn.metrics.confusion_matrix.html."""
    label, said = ["cat", "ant", "cat", "cat", "ant", "bird"], ["ant", "ant", "cat", "cat", "ant", "cat"]
    classes, counts = measures.confusion_matrix(several(label, said, ("ant", "bird", "cat")))
    assert (classes, counts) == (["ant", "bird", "cat"], [[2, 0, 0], [0, 0, 1], [1, 0, 2]])
    assert measures.confusion_matrix(MIXED)[1] == [[0, 2], [1, 1]]


def test_the_curve_of_scikit_learns_reference():
    """https://scikit-learn.org/1.9/modules/generated/sklearn.metrics.roc_curve.html; its first threshold is inf."""
    false, true, thresholds = measures.roc_curve(CURVE)
    assert (false, true) == ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    assert thresholds == [np.nextafter(0.8, 1), 0.8, 0.4, 0.35, 0.1]


def test_the_calibration_curve_of_scikit_learns_reference():
    """https://scikit-learn.org/1.9/modules/generated/sklearn.calibration.calibration_curve.html.

    It cuts the scores into three bins of one width, 4, 2 and 3 rows of them; with its strategy "quantile", which is
    ours, the bins hold 3 rows each. The rows of its middle and last bins are held to what it prints.
    """
    from sklearn.calibration import calibration_curve

    label = [0, 0, 0, 0, 1, 1, 1, 1, 1]
    score = [0.1, 0.2, 0.3, 0.4, 0.65, 0.7, 0.8, 0.9, 1.0]
    printed = {(0, 1, 2): (0.2, 0.0), (3, 4): (0.525, 0.5), (5, 6, 7, 8): (0.85, 1.0)}
    for rows, (mean, share) in printed.items():
        found = measures.calibration_curve(binary(label, score=score), list(rows), bins=1)
        assert found == ([pytest.approx(mean)], [pytest.approx(share)], [len(rows)])
    share, mean = calibration_curve(label, score, n_bins=3, strategy="quantile")
    found = measures.calibration_curve(binary(label, score=score), bins=3)
    assert found == (pytest.approx(mean.tolist()), pytest.approx(share.tolist()), [3, 3, 3])


def test_the_area_of_hanley_and_mcneils_images():
    """109 images rated 1 to 5: Radiology 143 (1982), table II: area 0.893, error 0.032.

    By DeLong's variance, Stata's manual on roctab prints 0.8932, 0.0307 and 0.83295 to 0.95339 of the same ratings.
    """
    label = np.repeat([0, 1], [58, 51])
    rating = np.repeat([1, 2, 3, 4, 5] * 2, [33, 6, 6, 11, 2, 3, 2, 2, 11, 33])
    area, error = measures.standard_error(binary(label, score=rating / 5), "roc_auc")
    assert round(area, 4) == 0.8932
    assert round(math.sqrt(hanley_mcneil(area, np.array([58, 51]))), 3) == 0.032
    areas, variances, rarer = measures.grouped_areas(rating / 5, label == 1, measures.Partition(np.zeros(109, int), 1))
    assert (areas[0], variances[0], rarer[0]) == pytest.approx((area, error**2, 51))
    _, influence = measures.influences_of(measures.METRICS["roc_auc"], binary(label, score=rating / 5))
    delong = math.sqrt((influence**2).sum())
    assert round(delong, 4) == 0.0307
    assert (round(area - 1.959964 * delong, 5), round(area + 1.959964 * delong, 5)) == (0.83295, 0.95339)


# 113 patients with an aneurysmal bleeding, measured by N. Turck and others, Intensive Care Medicine 36 (2010): whether
# the outcome was poor, the grade of the World Federation of Neurological Surgeons, and the protein S100B in 0.01 µg/l.
# The figures are those of the data set aSAH of the R package pROC.
POOR_OUTCOME = (
    "00001101001011001011101000000000100110110000000001100010001010011101101111000110100000010000000000001111110001000"
)
WFNS_GRADE = (
    "11113254125255125225211112121134214541425511241125521251222151125214524414121421232421451154221113125225552445111"
)
S100B = (
    "13 14 10 4 13 10 47 16 18 10 12 10 44 71 4 8 49 4 7 33 9 9 7 11 7 17 7 11 13 19 5 16 41 14 34 35 48 "
    "9 96 25 50 46 16 7 43 45 11 8 9 86 52 8 6 13 207 10 14 15 7 6 77 5 9 30 3 9 4 23 70 9 27 71 8 26 8 "
    "16 9 13 10 8 11 33 11 28 7 10 32 22 7 5 24 38 10 15 8 14 10 7 4 19 56 14 58 32 82 74 15 47 17 44 15 "
    "50 48"
)

# 43 patients with ovarian cancer of E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988): albumin and total
# protein in 0.1 g/dl, the K-G score, and whether an operation helped. The figures are those in SAS/STAT's manual:
# https://support.sas.com/documentation/cdl/en/statug/68162/HTML/default/statug_logistic_examples08.htm
ALBUMIN = (
    "30 32 39 28 32 9 25 16 38 37 32 38 41 36 43 36 23 42 40 35 38 30 45 37 31 41 43 43 32 26 33 17 37 33 42 "
    "35 29 21 28 40 33 37 36"
)
TOTAL_PROTEIN = (
    "58 63 68 48 58 40 57 56 57 67 54 66 66 57 70 67 44 76 66 58 68 47 74 74 66 82 70 65 51 47 68 40 61 63 77 "
    "62 57 48 62 70 57 69 66"
)
KG_SCORE = "10 5 3 6 3 5 8 5 5 6 4 6 5 5 4 4 6 4 6 6 7 8 5 5 6 6 5 4 5 6 6 7 5 7 6 5 9 7 8 7 6 5 5"
HELPED = "0110100111111110100110111111110011110101111"


def integers(text):
    return np.array([int(value) for value in (text.split() if " " in text else text)])


def covariance(first, second):
    """DeLong's covariance of two areas on the same rows, by the rows' influences."""
    influences = [measures.influences_of(measures.METRICS["roc_auc"], each)[1] for each in (first, second)]
    return float(influences[0] @ influences[1])


def test_the_data_of_proc():
    """What R 4 prints, with pROC 1.18.0 and options(digits = 17), after library(pROC); data(aSAH):

    a <- roc(aSAH$outcome, aSAH$s100b); b <- roc(aSAH$outcome, aSAH$wfns); auc(a); auc(b); var(a); var(b); cov(a, b);
    ci.auc(b); roc.test(a, b, method = "delong"); roc.test(a, b, method = "delong", paired = FALSE)
    """
    poor = integers(POOR_OUTCOME)
    protein, grade = (binary(poor, score=integers(text) / 1000) for text in (S100B, WFNS_GRADE))
    areas = [measures.measure(each)["roc_auc"] for each in (protein, grade)]
    variances = [covariance(each, each) for each in (protein, grade)]
    assert areas == pytest.approx([0.73136856368563685, 0.82367886178861793], rel=1e-13)
    assert variances == pytest.approx([0.0026686824571724378, 0.0014699147088236264], rel=1e-12)
    assert covariance(protein, grade) == pytest.approx(0.0011961556737675448, rel=1e-12)
    reach = 1.959963984540054 * math.sqrt(variances[1])
    assert [areas[1] - reach, areas[1] + reach] == pytest.approx([0.74853488781945288, 0.89882283575778299], rel=1e-12)

    paired = advantage(protein, grade, "roc_auc")
    assert paired.interval == pytest.approx((-0.174214419249477559, -0.010406176956484617), rel=1e-11)
    assert paired.difference / paired.error == pytest.approx(-2.2089835914409077, rel=1e-12)
    assert math.erfc(2.2089835914409077 / math.sqrt(2)) == pytest.approx(0.02717578222918815, rel=1e-12)
    assert Question.NON_INFERIORITY.answer(paired.interval, 0.175) is Status.PASS
    assert Question.SUPERIORITY.answer(paired.interval, 0.0) is Status.FAIL
    assert paired.difference / math.sqrt(sum(variances)) == pytest.approx(-1.4349064092690753, rel=1e-12)


def test_the_data_of_delong_delong_and_clarke_pearson():
    """Areas, errors and covariances that pROC 1.18.0 gives for what SAS/STAT's manual prints of their data.

    For each test roc(HELPED, TEST, direction = "<"), with 10 - KG_SCORE; auc, sqrt(var(...)), ci.auc, cov, roc.test.
    Twelve whom it did not help are too few for an interval of ours.
    """
    helped = integers(HELPED)
    albumin, score, protein = (
        binary(helped, score=values / 100)
        for values in (integers(ALBUMIN), 10 - integers(KG_SCORE), integers(TOTAL_PROTEIN))
    )
    for each, area, error, ends in (
        (albumin, 0.73655913978, 0.09269434605, (0.55488155995, 0.91823671962)),
        (score, 0.7258064516, 0.1028216090, (0.5242798012, 0.9273331020)),
        (protein, 0.6478494624, 0.1000473756, (0.4517602095, 0.8439387153)),
    ):
        found, deviation = measures.measure(each)["roc_auc"], math.sqrt(covariance(each, each))
        assert (found, deviation) == pytest.approx((area, error), rel=1e-9)
        reach = 1.959963984540054 * deviation
        assert (found - reach, found + reach) == pytest.approx(ends, rel=1e-9)
    assert covariance(albumin, score) == pytest.approx(0.005037059811, rel=1e-9)
    assert covariance(albumin, protein) == pytest.approx(0.007744529276, rel=1e-9)
    assert covariance(score, protein) == pytest.approx(0.004819297291, rel=1e-9)
    assert advantage(albumin, score, "roc_auc") is None
    for first, difference, statistic, ends in (
        (albumin, 0.01075268817, 0.01271893797, (-0.17611736873, 0.19762274508)),
        (protein, -0.07795698925, 0.55535044828, (-0.28298801557, 0.12707403708)),
    ):
        found = measures.measure(first)["roc_auc"] - measures.measure(score)["roc_auc"]
        error = math.sqrt(covariance(first, first) + covariance(score, score) - 2 * covariance(first, score))
        assert found == pytest.approx(difference, rel=1e-9)
        assert (found / error) ** 2 == pytest.approx(statistic, rel=1e-9)
        assert (found - 1.959963984540054 * error, found + 1.959963984540054 * error) == pytest.approx(ends, rel=1e-9)


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


def test_the_paired_interval_of_statpsychs_manual():
    """https://search.r-project.org/CRAN/refmans/statpsych/html/ci.prop.ps.html: Bonett and Price's interval.

    ci.prop.ps(.05, 12, 4, 26, 6) prints the estimate 0.44, the error 0.09448809 and the ends 0.2548067 and 0.6251933.
    """
    first, second = np.repeat([0, 0, 1, 1], [12, 4, 26, 6]), np.repeat([0, 1, 0, 1], [12, 4, 26, 6])
    found = advantage(binary(np.ones(48, int), first), binary(np.ones(48, int), second), "recall")
    assert [round(value, 7) for value in found.interval] == [0.2548067, 0.6251933]
    assert round(sum(found.interval) / 2, 7) == 0.44
    assert round(found.error, 8) == 0.09448809


@pytest.mark.parametrize(("hits", "trials", "ends"), [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)),
                                                      (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))])  # fmt: skip
def test_wilsons_intervals_of_newcombes_table(hits, trials, ends):
    """R. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    assert tuple(round(end, 4) for end in measures.wilson_interval(hits, trials)) == ends
