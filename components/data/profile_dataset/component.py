from typing import List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from kfp_hallmark.component import component


@component(environment="data", pure=True, size="medium")
def profile_dataset(
    dataset: Input[Dataset],
    statistics: Output[Artifact],
    profile: Output[Artifact],
    report: Output[HTML],
    columns: Optional[List[str]] = None,
    slice_columns: List[str] = [],
) -> NamedTuple("Outputs", [("row_count", int), ("column_count", int)]):
    """Describe what a dataset holds, in one pass and bounded memory.

    Args:
        dataset: What to describe.
        columns: The columns to describe. Default: all.
        slice_columns: Columns of text, whole numbers or booleans by whose values the statistics are given again, for
            the rows with each value of each: at most 100 slices, and 20,000 columns in all of them together.

    Returns:
        statistics: TFDV DatasetFeatureStatisticsList, binary protobuf; tfdv.load_stats_binary reads it. With slices,
            the first part is called All Examples, each other by its column and value, such as SEX_1.
        profile: JSON, hallmark/profile/v1: what later datasets are compared with. Metadata: digest.
        report: HTML page.
        row_count: Number of rows.
        column_count: Number of columns described.

    Raises:
        InputError: If the dataset cannot be read, a column is absent or given twice, or there would be too many slices.
        IntegrityError: If an input was changed since it was written.
    """
    from kfp_hallmark.components.data.profile_dataset.profile import describe

    return describe(dataset, columns, slice_columns, statistics, profile, report)
