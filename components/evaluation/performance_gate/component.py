from typing import Dict, List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from kfp_hallmark.component import component


@component(environment="ml", idempotent=True, size="medium")
def performance_gate(
    predictions: Input[Dataset],
    dataset: Input[Dataset],
    verdict: Output[Artifact],
    report: Output[HTML],
    limits: Dict,
    model: Input[Model] = None,
    serving_limits: Dict = {},
    model_name: Optional[str] = None,
    champion_metric: Optional[str] = None,
    champion_question: str = "non_inferiority",
    max_champion_loss: float = 0.01,
    power: Optional[float] = None,
    slices: List[str] = [],
    max_slice_loss: float = 0.05,
    bootstrap_samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    tracking_uri: Optional[str] = None,
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge a model by limits on its metrics and, when a champion is registered, against it on the same rows.

    Args:
        predictions: What evaluate_model wrote.
        dataset: The data that was predicted.
        limits: Limit to value, such as {"min_roc_auc": 0.8, "max_log_loss": 0.5}.
        model: The model that predicted; asked for by serving_limits alone.
        serving_limits: Limits on the model as it is served, measured here without network: any of
            max_median_latency_ms and max_p99_latency_ms of a request of one row, max_model_megabytes, and
            max_cost_per_million_rows with price_per_hour.
        model_name: Registered model whose champion to compare with. Default: no comparison.
        champion_metric: Metric that is compared. Default: roc_auc, roc_auc_ovr or r2, by the task.
        champion_question: What the whole interval of the advantage must show to pass: superiority (above 0),
            non_inferiority (above minus the margin) or equivalence (within the margin to both sides).
        max_champion_loss: The margin: the difference that matters, in the metric's unit.
        power: Probability, at least 0.5, by which the rows must suffice to show a plain yes; with fewer rows the gate
            is inconclusive. Default: not asked.
        slices: Columns by whose values to compare with the champion separately.
        max_slice_loss: How much worse than the champion a slice may be; it fails when shown to be, corrected for the
            number of slices.
        bootstrap_samples: Number of resamples behind the interval of a metric of counts, such as F1.
        confidence: Confidence level of the intervals, between 0 and 1.
        seed: Seed of the resampling.
        tracking_uri: MLflow registry. Default: MLFLOW_TRACKING_URI.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page.
        status: pass, warn, inconclusive or fail.

    Raises:
        InputError: If a limit, a metric, a question or a slice's column is unknown.
        IntegrityError: If the predictions are not of this dataset, the model is not theirs, or an input was
            changed since it was written.
    """
    from kfp_hallmark.components.evaluation.performance_gate.performance import judge_performance

    return judge_performance(
        predictions,
        dataset,
        verdict,
        report,
        limits,
        model,
        serving_limits,
        model_name,
        champion_metric,
        champion_question,
        max_champion_loss,
        power,
        slices,
        max_slice_loss,
        bootstrap_samples,
        confidence,
        seed,
        tracking_uri,
    )
