import fairlearn.metrics
import numpy as np
import pytest
import sklearn.metrics

from kfp_hallmark.components.evaluation.fairness_gate.tradeoff import is_traded, trade_offs
from kfp_hallmark.contracts.predictions import BINARY, Predictions
from kfp_hallmark.fairness.groups import Groups
from kfp_hallmark.fairness.registry import DISPARITIES

DIGEST = "sha256:" + "1" * 64
MEASURES = {measure.name: measure for measure in DISPARITIES}


def scored(seed=0, rows=1500):
    random = np.random.default_rng(seed)
    codes = random.choice(3, rows)
    label = (random.random(rows) < 0.4).astype(int)
    score = (0.3 + 0.3 * label + 0.05 * codes + random.normal(0, 0.2, rows)).clip(0, 1).round(2)
    predictions = Predictions(BINARY, "y", label, (score >= 0.5).astype(int), score, (0, 1), 1, 0.5, DIGEST, DIGEST)
    return predictions, Groups("g", ["a", "b", "c"], ["g a", "g b", "g c"], codes)


@pytest.mark.parametrize("name", ["demographic_parity_difference", "equalized_odds_difference"])
def test_every_point_is_what_fairlearn_and_scikit_learn_say_at_its_threshold(name):
    predictions, groups = scored()
    (found,) = trade_offs(predictions, groups, [MEASURES[name]], 20)
    assert found.thresholds[found.chosen] == 0.5
    assert len(found.thresholds) > 15
    for threshold, disparity, accuracy in zip(found.thresholds, found.disparities, found.accuracies, strict=True):
        said = predictions.score >= threshold
        expected = getattr(fairlearn.metrics, name)(predictions.label, said, sensitive_features=groups.codes)
        assert disparity == pytest.approx(expected, abs=1e-12)
        assert accuracy == pytest.approx(sklearn.metrics.balanced_accuracy_score(predictions.label, said), abs=1e-12)


def test_groups_too_small_give_no_trade_off():
    predictions, groups = scored()
    assert trade_offs(predictions, groups, [MEASURES["demographic_parity_difference"]], 600) == []


def test_only_differences_of_rates_that_a_threshold_moves_are_traded():
    traded = {name for name, measure in MEASURES.items() if is_traded(measure)}
    assert {"demographic_parity_difference", "equalized_odds_difference", "precision_score_difference"} < traded
    assert not traded & {"mean_score_difference", "demographic_parity_ratio", "roc_auc_score_difference"}
