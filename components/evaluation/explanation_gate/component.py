from typing import Dict, List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from kfp_hallmark.component import component


@component(environment="ml", idempotent=True, size="medium")
def explanation_gate(
    importances: Input[Artifact],
    dataset: Input[Dataset],
    verdict: Output[Artifact],
    report: Output[HTML],
    limits: Dict,
    forbidden_features: List[str] = [],
    min_proxy_strength: float = 0.25,
    model_name: Optional[str] = None,
    confidence: float = 0.95,
    seed: int = 0,
    tracking_uri: Optional[str] = None,
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge what a model's predictions rest on, by the shares of its features in the sum of mean absolute SHAP values.

    Args:
        importances: What explain_model wrote.
        dataset: The data that was explained; it holds the forbidden features, whether or not the model takes them.
        limits: Limit to value, each a share from 0 to 1: max_forbidden_share of the forbidden features together;
            max_proxy_share of the proxies of each together; max_single_feature_share of any one feature, which a leaked
            target breaks; max_champion_distance, the share of the weight that rests on other features than the
            champion's. What has no limit is not measured.
        forbidden_features: Columns that predictions must not rest on, such as sensitive ones.
        min_proxy_strength: Share of a forbidden feature's variance that another feature must explain to be its proxy,
            above 0 and at most 1.
        model_name: Registered model whose champion to explain on the same rows. Default: no comparison.
        confidence: Confidence level of the intervals, between 0 and 1.
        seed: Seed of the sample of 20,000 rows in which proxies are looked for, where there are more.
        tracking_uri: MLflow registry. Default: MLFLOW_TRACKING_URI.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page.
        status: pass, warn, inconclusive or fail.

    Raises:
        InputError: If a limit or a forbidden feature is unknown, or a limit and what it needs are not given together.
        IntegrityError: If the importances are not of this dataset, or an input was changed since it was written.
    """
    from kfp_hallmark.components.evaluation.explanation_gate.explanation import judge_explanation

    return judge_explanation(
        importances,
        dataset,
        verdict,
        report,
        limits,
        forbidden_features,
        min_proxy_strength,
        model_name,
        confidence,
        seed,
        tracking_uri,
    )
