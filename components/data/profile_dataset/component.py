from typing import List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from kfp_hallmark.component import component


@component(environment="data", idempotent=True, size="medium")
def profile_dataset(
    statistics: Output[Artifact],
    profile: Output[Artifact],
    report: Output[HTML],
    dataset: Input[Dataset] = None,
    uri: Optional[str] = None,
    columns: Optional[List[str]] = None,
    slice_columns: List[str] = [],
    beam_pipeline_args: Optional[List[str]] = None,
) -> NamedTuple("Outputs", [("row_count", int), ("column_count", int)]):
    """Describe what a dataset holds, in one pass and bounded memory; or on Apache Beam, where it outgrows one machine.

    Args:
        dataset: What to describe. Left out where uri is given.
        uri: Instead of a dataset, a Parquet file or a folder of them that Beam's workers read themselves: gs, hdfs, or
            a path that all of them see.
        columns: The columns to describe. Default: all.
        slice_columns: Columns of text, whole numbers or booleans by whose values the statistics are given again, for
            the rows with each value of each: at most 100 slices, and 20,000 columns in all of them together.
        beam_pipeline_args: Options of Apache Beam, each as --name=value or --name. With any, or an empty list, TFDV
            computes the statistics on Beam: by default on this machine, with --runner=DataflowRunner, FlinkRunner or
            SparkRunner on others, which then need a --temp_location and an image with this environment.

    Returns:
        statistics: TFDV DatasetFeatureStatisticsList, binary protobuf; tfdv.load_stats_binary reads it. With slices,
            the first part is called All Examples, each other by its column and value, such as SEX_1.
        profile: JSON, hallmark/profile/v1: what later datasets are compared with. Metadata: digest.
        report: HTML page.
        row_count: Number of rows.
        column_count: Number of columns described.

    Raises:
        InputError: If the dataset cannot be read, a column is absent or given twice, there would be too many slices, or
            Beam has no such options.
        IntegrityError: If an input was changed since it was written.
        ServiceError: If the pipeline on Beam failed.
    """
    from kfp_hallmark.components.data.profile_dataset.profile import describe

    return describe(dataset, columns, slice_columns, statistics, profile, report, uri, beam_pipeline_args)
