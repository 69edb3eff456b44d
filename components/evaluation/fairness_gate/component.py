from typing import Dict, List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from kfp_hallmark.component import component


@component(environment="ml", idempotent=True, size="medium")
def fairness_gate(
    predictions: Input[Dataset],
    dataset: Input[Dataset],
    verdict: Output[Artifact],
    report: Output[HTML],
    sensitive_features: List[str],
    limits: Dict,
    min_group_size: int = 100,
    intersection: bool = True,
    bootstrap_samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    model_name: Optional[str] = None,
    max_champion_losses: Dict = {},
    tracking_uri: Optional[str] = None,
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge whether a model treats groups alike, by Fairlearn's definitions, with bootstrap intervals.

    Args:
        predictions: What evaluate_model wrote.
        dataset: The data that was predicted; it holds the sensitive features, whether or not the model uses them.
        sensitive_features: Columns whose values are the groups.
        limits: Limit to value: `max_` or `min_` and a disparity of Fairlearn's, such as max_equalized_odds_difference,
            min_demographic_parity_ratio or max_mean_absolute_error_group_max; docs/gates/fairness.md has all. Of
            several classes, each is held against the rest.
        min_group_size: Fewest rows (and, for a rate among one class, rows of that class) by which a group is judged; a
            smaller group is named and makes the verdict inconclusive.
        intersection: Whether to judge the combinations of several sensitive features too.
        bootstrap_samples: Number of resamples behind each interval.
        confidence: Confidence level of the intervals, between 0 and 1.
        seed: Seed of the resampling.
        model_name: Registered model whose champion to compare with on the same rows, by max_champion_losses.
        max_champion_losses: Disparity to how much worse than the champion's it may be, a difference greater, a ratio
            less, such as {"equalized_odds_difference": 0.02, "demographic_parity_ratio": 0.05}. Default: no comparison.
        tracking_uri: MLflow registry. Default: MLFLOW_TRACKING_URI.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page.
        status: pass, warn, inconclusive or fail.

    Raises:
        InputError: If a sensitive feature is absent, or a limit is unknown or does not suit the task.
        IntegrityError: If the predictions are not of this dataset, or an input was changed since it was written.
    """
    from kfp_hallmark.components.evaluation.fairness_gate.fairness import judge_fairness

    return judge_fairness(
        predictions,
        dataset,
        verdict,
        report,
        sensitive_features,
        limits,
        min_group_size,
        intersection,
        bootstrap_samples,
        confidence,
        seed,
        model_name,
        max_champion_losses,
        tracking_uri,
    )
