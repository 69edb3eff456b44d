from typing import Dict, List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from kfp_hallmark.component import component


@component(environment="ml", idempotent=True, size="medium")
def audit_dataset_bias(
    dataset: Input[Dataset],
    verdict: Output[Artifact],
    report: Output[HTML],
    target: str,
    sensitive_features: List[str],
    limits: Dict,
    positive_class: Optional[str] = None,
    population: Dict = {},
    excluded_columns: List[str] = [],
    min_group_size: int = 100,
    intersection: bool = True,
    bootstrap_samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge how a dataset treats groups, before a model learns from it: who is in it, how labelled, what is missing.

    Args:
        dataset: What to judge.
        target: Column of the labels: classes, or a number (one of more than 20 values, or limited by
            max_mean_difference). A row without one counts for the other checks.
        sensitive_features: Columns whose values are the groups.
        limits: Limit to value: min_group_share, min_representation_ratio, min_disparate_impact_ratio,
            max_statistical_parity_difference, max_mean_difference, max_missing_difference or max_proxy_strength;
            docs/gates/bias.md says what each is. Of several classes, each is held against the rest.
        positive_class: The label whose rate is compared when there are two. Default: the later in sorted order.
        population: Sensitive feature to group to its share, 0 to 1, of those whom the data is to represent.
        excluded_columns: Columns whose missing values do not count and that are no proxies: identifiers.
        min_group_size: Fewest rows by which a group's labels and missing values are judged; a smaller group is named
            and makes the verdict inconclusive.
        intersection: Whether to judge the combinations of several sensitive features too.
        bootstrap_samples: Number of resamples behind each interval of a difference or ratio.
        confidence: Confidence level of the intervals, between 0 and 1.
        seed: Seed of the resampling, and of the 20,000 rows in which proxies are looked for.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page.
        status: pass, warn, inconclusive or fail.

    Raises:
        InputError: If a column is absent or its values name no groups, a limit is unknown or does not suit the labels,
            or the population is not that of the groups.
        IntegrityError: If the dataset was changed since it was written.
    """
    from kfp_hallmark.components.data.audit_dataset_bias.audit import audit_bias

    return audit_bias(
        dataset,
        verdict,
        report,
        target,
        sensitive_features,
        limits,
        positive_class,
        population,
        excluded_columns,
        min_group_size,
        intersection,
        bootstrap_samples,
        confidence,
        seed,
    )
