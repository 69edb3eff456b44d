from typing import Dict, List, NamedTuple, Optional

from kfp.dsl import Dataset, Output

from kfp_hallmark.component import component


@component(environment="sources", idempotent=True, size="medium")
def query_dataset(
    database_url: str,
    query: str,
    dataset: Output[Dataset],
    parameters: Dict = {},
    expected_digest: Optional[str] = None,
    required_columns: List[str] = [],
    max_rows: Optional[int] = None,
) -> NamedTuple("Outputs", [("digest", str), ("rows", int)]):
    """Ask a database one query, read only, and keep its answer as a dataset that is bound to its digest.

    DuckDB, PostgreSQL and BigQuery. The answer is read piece by piece, so it may be larger than memory; the step's
    disk holds it once, compressed, beside the dataset. The order of the rows is part of every digest: only a query
    with ORDER BY over a key gives the same one again. No password is a parameter, because KFP stores parameters as
    plain text: the variable HALLMARK_DATABASE_PASSWORD of the step holds PostgreSQL's, and BigQuery takes Google's
    application default credentials.

    Args:
        database_url: duckdb:///FILE (////FILE for an absolute path), postgresql://USER@HOST:PORT/DATABASE or
            bigquery://PROJECT/DATASET, as SQLAlchemy writes them, without a password.
        query: One SELECT, with a name such as :since for each parameter. No secret may be in it or in parameters: the
            dataset's file and metadata tell both.
        parameters: Those names and their values: text, numbers, booleans, or null. They are bound, never put into the
            text.
        expected_digest: What source_digest must be, `sha256:<hex>`. Any other answer is refused.
        required_columns: Columns that the answer must have, so that a later step which needs them is not begun in vain.
        max_rows: The most rows that the answer may have.

    Returns:
        dataset: One Parquet file. Metadata: digest, rows, columns (their number), source (the database, without
            credentials), source_query, source_parameters, source_content (the SHA-256 of the rows), source_digest
            (that of these four), snapshot_time (when the query was asked).
        digest: The dataset's digest.
        rows: Number of rows.

    Raises:
        InputError: If a parameter is not of its form, the query is no single SELECT, or its answer is empty, has too
            many rows, lacks a column, or has duplicate, nested or binary ones.
        IntegrityError: If the answer is not the expected one.
        ServiceError: If the database cannot be reached, or fails at the query.
    """
    from kfp_hallmark.components.data.query_dataset.query import ask

    return ask(database_url, query, dataset, parameters, expected_digest, required_columns, max_rows)
