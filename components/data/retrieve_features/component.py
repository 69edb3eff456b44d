from typing import List, NamedTuple, Optional

from kfp.dsl import Dataset, Input, Output

from kfp_hallmark.component import component


@component(environment="sources", idempotent=True, size="medium")
def retrieve_features(
    entities: Input[Dataset],
    dataset: Output[Dataset],
    repository_uri: str,
    timestamp_column: str,
    features: Optional[List[str]] = None,
    feature_service: Optional[str] = None,
    full_feature_names: bool = False,
    filter_by_created_timestamp: bool = True,
    max_missing_share: Optional[float] = None,
) -> NamedTuple("Outputs", [("digest", str), ("rows", int)]):
    """Get for each row what a Feast feature repository knew of its entities at the row's time, and nothing later.

    The repository is read as it was applied; none of its Python code is run. Its features are in Parquet files.

    Args:
        entities: Rows with the join keys of the features, the time of each, and what else they have, such as labels.
        repository_uri: Path or fsspec URI (local, gs, s3) of the folder with feature_store.yaml. Its registry may be a
            file or SQL.
        timestamp_column: Column of each row's time; without a zone it is in UTC, and a date is its midnight.
        features: What to get, each as view:feature. Give either this or feature_service.
        feature_service: Name of the feature service whose features to get.
        full_feature_names: Whether to name the columns view__feature instead of feature.
        filter_by_created_timestamp: Whether to leave out values that were created after the row's time, where a source
            says when. With false a value that was corrected or added later is known too early.
        max_missing_share: Greatest share of rows, 0 to 1, for which a feature may be missing. Default: only a feature
            that no row has is refused.

    Returns:
        dataset: One Parquet file: the rows of entities in their order and unchanged, and the features. Metadata:
            digest, rows, columns (their number), source, source_digest (of the definitions), snapshot_time (when the
            features were read), missing_shares.
        digest: The dataset's digest.
        rows: Number of rows.

    Raises:
        InputError: If the repository cannot be read, lacks a feature or holds it twice for one time, a column or time
            is missing, or too many rows lack a feature.
        IntegrityError: If entities was changed since it was written, or a source changes while it is read.
    """
    from kfp_hallmark.components.data.retrieve_features.retrieve import retrieve

    return retrieve(
        entities,
        dataset,
        repository_uri,
        timestamp_column,
        features,
        feature_service,
        full_feature_names,
        filter_by_created_timestamp,
        max_missing_share,
    )
