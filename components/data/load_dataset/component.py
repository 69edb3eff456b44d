from typing import List, NamedTuple, Optional

from kfp.dsl import Dataset, Output

from kfp_hallmark.component import component


@component(environment="ml", idempotent=True, size="medium")
def load_dataset(
    uri: str,
    dataset: Output[Dataset],
    expected_digest: Optional[str] = None,
    max_age_hours: Optional[float] = None,
    required_columns: List[str] = [],
) -> NamedTuple("Outputs", [("digest", str), ("rows", int)]):
    """Load a CSV or Parquet source into a dataset that is bound to its digest.

    The source is read piece by piece, so it may be larger than memory. In CSV, which is UTF-8 with a header, a column
    is of the first kind that holds all its values: whole numbers, numbers, booleans (true and false), dates, times
    (ISO 8601), text. Numbers of which one is padded with zeros (007) are text.

    Args:
        uri: Path or fsspec URI (local, gs, s3) of a CSV file (.csv, or .csv.gz), a Parquet file, or a folder of Parquet
            files.
        expected_digest: SHA-256 that the source must have, `sha256:<hex>`: of the file's bytes, as sha256sum prints it,
            or of a folder's manifest. Anything else is refused.
        max_age_hours: Greatest age of the source in hours, by its time of last change. An older source is refused.
        required_columns: Columns that the source must have, so that a later step which needs them is not begun in vain.

    Returns:
        dataset: One Parquet file. Metadata: digest, rows, columns (their number), source, source_digest, snapshot_time
            (when the source was last changed).
        digest: The dataset's digest.
        rows: Number of rows.

    Raises:
        InputError: If the source is missing, empty, not whole or too old, lacks a column, or has duplicate or nested
            ones.
        IntegrityError: If the source does not have the expected digest.
    """
    from kfp_hallmark.components.data.load_dataset.load import load

    return load(uri, dataset, expected_digest, max_age_hours, required_columns)
