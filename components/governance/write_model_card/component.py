from typing import List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Model, Output

from kfp_hallmark.component import component


@component(environment="ml", idempotent=True, size="small")
def write_model_card(
    model: Input[Model],
    predictions: Input[Dataset],
    dataset: Input[Dataset],
    card: Output[HTML],
    markdown: Output[Markdown],
    cyclonedx: Output[Artifact],
    decision: Input[Artifact] = None,
    importances: Input[Artifact] = None,
    statement_uri: Optional[str] = None,
    group_columns: List[str] = [],
    min_group_size: int = 100,
    bootstrap_samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> NamedTuple("Outputs", [("missing_fields", int)]):
    """Write a model card (Mitchell et al. 2019) from what was measured and from what a person says.

    Nothing is invented: what nobody said is named in the card as missing.

    Args:
        model: MLflow model folder; it is read and not run.
        predictions: What evaluate_model wrote.
        dataset: The data that was predicted.
        decision: What decide_release wrote, with all verdicts.
        importances: What explain_model wrote.
        statement_uri: Path or fsspec URI (local, gs, s3, https) of a YAML file of what a person must say: intended use,
            limitations and others; docs/model_card.md lists every field. Default: all is missing.
        group_columns: Columns of the dataset by whose values metrics are told.
        min_group_size: Fewest rows of a group whose metrics are told.
        bootstrap_samples: Number of resamples behind the interval of a metric of counts.
        confidence: Confidence level of the intervals, between 0 and 1.
        seed: Seed of the resampling.

    Returns:
        card: HTML page.
        markdown: The same in Markdown.
        cyclonedx: JSON, a CycloneDX 1.6 BOM of the model with its modelCard.
        missing_fields: Number of fields that a person must say and did not.

    Raises:
        InputError: If the statement has an unknown field or one of another type, or a column cannot be grouped by.
        IntegrityError: If an input is about another model or other data, or was changed since it was written.
    """
    from kfp_hallmark.components.governance.write_model_card.card import write_card

    return write_card(
        model,
        predictions,
        dataset,
        card,
        markdown,
        cyclonedx,
        decision,
        importances,
        statement_uri,
        group_columns,
        min_group_size,
        bootstrap_samples,
        confidence,
        seed,
    )
