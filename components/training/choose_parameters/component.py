from typing import Dict, List, NamedTuple

from kfp_hallmark.component import component


@component(environment="ml", pure=True, size="small")
def choose_parameters(parameters: List[Dict], scores: List[float], metric: str) -> NamedTuple(
    "Outputs", [("best_parameters", dict), ("best_score", float), ("best_shard", int)]
):
    """Choose the best of what several searches found on the same folds, as by shards of tune_model in a loop.

    Args:
        parameters: What each search found.
        scores: The mean score of each, in the same order.
        metric: What was measured, as evaluate_model names it.

    Returns:
        best_parameters: The parameters of the best; of equals the first.
        best_score: Its score.
        best_shard: Its place, from 0.

    Raises:
        InputError: If there is no search, a score is not finite, there are not as many of both, or no such metric.
    """
    from kfp_hallmark.components.training.choose_parameters.choose import choose

    return choose(parameters, scores, metric)
