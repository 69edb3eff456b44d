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
    allowed_keys: Optional[List[str]] = None,
) -> NamedTuple("Outputs", [("digest", str), ("rows", int)]):
    """Load a CSV or Parquet source into a dataset that is bound to its digest.

    The source is read piece by piece, so it may be larger than memory. In CSV, which is UTF-8 with a header, a column
    is of the first kind that holds all its values: whole numbers, numbers, booleans (true and false), dates, times
    (ISO 8601), text. Numbers of which one is padded with zeros (007) are text.

    Args:
        uri: Path or fsspec URI (local, gs, s3) of a CSV file (.csv, or .csv.gz), a Parquet file, or a folder of Parquet
            files; or of a .dvc file with such data beside it, which must be what it records.
        expected_digest: SHA-256 that the source must have, `sha256:<hex>`: of the file's bytes, as sha256sum prints it,
            or of a folder's manifest. Anything else is refused.
        max_age_hours: Greatest age of the source in hours, by its time of last change, or by that of its signature, if
            one is wanted and it is earlier. An older source is refused, and one from the future.
        required_columns: Columns that the source must have, so that a later step which needs them is not begun in vain.
        allowed_keys: Ed25519 public keys, in PEM or as paths or URIs of such files. One of them must have signed the
            source's files, as `hallmark dataset sign` does, in a file beside it; anything else is refused. The source
            is then copied before it is verified and read.

    Returns:
        dataset: One Parquet file. Metadata: digest, rows, columns (their number), source, source_digest, snapshot_time
            (when the source was last changed), source_signed_by (the id of the key, if one was wanted), source_dvc_md5
            (what a .dvc file records), and of what was imported source_dvc_repository and source_dvc_revision.
        digest: The dataset's digest.
        rows: Number of rows.

    Raises:
        InputError: If the source is missing, empty, not whole or too old, lacks a column, or has duplicate or nested
            ones.
        IntegrityError: If the source does not have the expected digest, is not what its .dvc file records, or is not
            signed by an allowed key.
    """
    from kfp_hallmark.components.data.load_dataset.load import load

    return load(uri, dataset, expected_digest, max_age_hours, required_columns, allowed_keys)
