"""What a dataset that comes from elsewhere says of where it came from, in its file and in its artifact's metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.dataset import require_column, write_batches
from kfp_hallmark.errors import InputError

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Origin:
    """Where a dataset comes from.

    Attributes:
        source: The source's name without credentials, for messages and metadata.
        digest: What the source is bound by; the first entry of the dataset's lineage.
        snapshot_time: When the source was as it is in the dataset, ISO 8601 in UTC; None when nobody knows.
        bound: What else is bound into the file, and told in the artifact's metadata.
    """

    source: str
    digest: str
    snapshot_time: str | None
    bound: Mapping[str, Any] = field(default_factory=dict)


def require_columns(columns: Sequence[str], schema: pyarrow.Schema) -> None:
    """Raise `InputError` if a column is absent that a later step needs."""
    for column in columns:
        require_column(column, schema.names, "What later steps need (required_columns)")


def write_dataset(
    dataset: Artifact, schema: pyarrow.Schema, batches: Iterable[pyarrow.RecordBatch], origin: Origin
) -> tuple[str, int]:
    """Write what a source holds as a dataset, with what is known of the source.

    Args:
        dataset: Where to write; its metadata are set.
        schema: The columns, of plain types.
        batches: The rows.
        origin: Where they come from.

    Returns:
        The dataset's digest and its number of rows.

    Raises:
        InputError: If there is no row.
    """
    rows = 0

    def counted() -> Iterator[pyarrow.RecordBatch]:
        nonlocal rows
        for batch in batches:
            rows += batch.num_rows
            yield batch
        if rows == 0:
            raise InputError(f"The source {origin.source!r} must hold at least one row; it holds none.")

    digest = write_batches(dataset.path, schema, counted(), {"lineage": [origin.digest], **origin.bound})
    dataset.metadata.update(
        {
            "digest": digest,
            "rows": rows,
            "columns": len(schema.names),
            "source": origin.source,
            "source_digest": origin.digest,
            "snapshot_time": origin.snapshot_time,
            **origin.bound,
        }
    )
    return digest, rows
