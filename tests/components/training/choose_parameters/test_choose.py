import pytest

from kfp_hallmark.components.training.choose_parameters.choose import choose
from kfp_hallmark.errors import InputError

FOUND = [{"a": 1}, {"a": 2}, {}]


@pytest.mark.parametrize(
    ("scores", "metric", "place"),
    [([0.7, 0.9, 0.8], "roc_auc", 1), ([0.7, 0.9, 0.8], "log_loss", 0), ([0.9, 0.9, 0.7], "accuracy", 0)],
)
def test_the_best_is_chosen_by_the_metric(scores, metric, place):
    assert choose(FOUND, scores, metric) == (FOUND[place], scores[place], place)


@pytest.mark.parametrize(
    ("parameters", "scores", "metric", "message"),
    [
        ([], [], "roc_auc", "of the same searches, at least one; got 0 and 0"),
        (FOUND, [0.5], "roc_auc", "of the same searches, at least one; got 3 and 1"),
        (FOUND, [0.5, float("nan"), 0.4], "roc_auc", "scores must be finite"),
        (
            FOUND,
            [0.5, 0.3, 0.4],
            "roc_acu",
            "metric must be one that evaluate_model measures; got 'roc_acu'.*\n.*roc_auc",
        ),
    ],
)
def test_what_cannot_be_compared(parameters, scores, metric, message):
    with pytest.raises(InputError, match=message):
        choose(parameters, scores, metric)
