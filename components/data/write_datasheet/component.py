from typing import List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Output

from kfp_hallmark.component import component


@component(environment="ml", idempotent=True, size="medium")
def write_datasheet(
    dataset: Input[Dataset],
    datasheet: Output[HTML],
    markdown: Output[Markdown],
    croissant: Output[Artifact],
    dataset_verdict: Input[Artifact] = None,
    bias_verdict: Input[Artifact] = None,
    poisoning_verdict: Input[Artifact] = None,
    expectations_verdict: Input[Artifact] = None,
    statement_uri: Optional[str] = None,
    sensitive_columns: List[str] = [],
    min_group_size: int = 100,
) -> NamedTuple("Outputs", [("missing_fields", int)]):
    """Write a datasheet (Gebru et al. 2021, Datasheets for Datasets) from what is measured and what a person says.

    Nothing is invented: what nobody said is marked where it belongs. No row is shown.

    Args:
        dataset: What to describe.
        dataset_verdict: Verdict of validate_dataset on it.
        bias_verdict: Verdict on its bias.
        poisoning_verdict: Verdict on its poisoning.
        expectations_verdict: Verdict of check_expectations on it.
        statement_uri: Path or fsspec URI (local, gs, s3) of a YAML file of what a person must say: why and how the data
            were collected, what they may be used for and others; docs/datasheet.md lists every field. Default: all is
            missing.
        sensitive_columns: Columns whose groups are counted; each of at most 100 different values.
        min_group_size: Fewest rows of a group that is named, or of a column whose mean and percentiles are told.

    Returns:
        datasheet: HTML page.
        markdown: The same in Markdown.
        croissant: JSON-LD, Croissant 1.0 with its RAI vocabulary.
        missing_fields: Number of fields that a person must say and did not.

    Raises:
        InputError: If the statement has an unknown field or one of another form, or a column cannot be grouped by.
        IntegrityError: If a verdict is about other data, or an input was changed since it was written.
    """
    from kfp_hallmark.components.data.write_datasheet.datasheet import write_sheet

    return write_sheet(
        dataset,
        {
            "dataset_verdict": dataset_verdict,
            "bias_verdict": bias_verdict,
            "poisoning_verdict": poisoning_verdict,
            "expectations_verdict": expectations_verdict,
        },
        statement_uri,
        sensitive_columns,
        min_group_size,
        datasheet,
        markdown,
        croissant,
    )
