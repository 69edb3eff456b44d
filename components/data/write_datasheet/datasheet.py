"""Write a datasheet from what is measured and from what a person says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.data.write_datasheet.columns import Column, Group, describe
from kfp_hallmark.components.data.write_datasheet.croissant import metadata
from kfp_hallmark.components.data.write_datasheet.fields import FIELDS
from kfp_hallmark.components.data.write_datasheet.page import html_sheet, markdown_sheet
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import dataset_lineage, parquet_files, read_batches
from kfp_hallmark.contracts.digest import artifact_digest, file_digest
from kfp_hallmark.contracts.documents import now, write_json, writing
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.errors import InputError, IntegrityError
from kfp_hallmark.hashing import row_hashes
from kfp_hallmark.reports import write_page
from kfp_hallmark.statement import Statement, read_statement

if TYPE_CHECKING:
    from numpy import ndarray


DVC = ("source_dvc_md5", "source_dvc_repository", "source_dvc_revision")
"""What a dataset says of data that DVC tracks."""


@dataclass(frozen=True)
class File:
    """A file of a dataset.

    Attributes:
        name: Its path relative to the dataset's folder; of a single file its name.
        digest: SHA-256 of its bytes, `sha256:<hex>`.
        size: Its length in bytes.
    """

    name: str
    digest: str
    size: int


@dataclass(frozen=True)
class Sheet:
    """All that a datasheet tells.

    Attributes:
        digest: The dataset's digest.
        lineage: The digests of the data it was made from, nearest first.
        known: What its maker says of it, of `source`, `source_digest`, `source_signed_by`, `snapshot_time`,
            `source_query`, `source_parameters` and `DVC`.
        files: Its files.
        rows: Its number of rows.
        repeated_rows: How many of them equal an earlier one.
        columns: What each column holds.
        groups: Sensitive column to its groups.
        min_group_size: The fewest rows of which something is told.
        verdicts: What gates found.
        statement: What a person said.
        created: When the datasheet was written, ISO 8601 in UTC.
    """

    digest: str
    lineage: tuple[str, ...]
    known: Mapping[str, str]
    files: tuple[File, ...]
    rows: int
    repeated_rows: int
    columns: tuple[Column, ...]
    groups: Mapping[str, Sequence[Group]]
    min_group_size: int
    verdicts: tuple[Verdict, ...]
    statement: Statement
    created: str


def write_sheet(
    dataset: Artifact,
    verdicts: Mapping[str, Artifact | None],
    statement_uri: str | None,
    sensitive_columns: Sequence[str],
    min_group_size: int,
    datasheet: Artifact,
    markdown: Artifact,
    croissant: Artifact,
) -> tuple[int]:
    """Write a datasheet as HTML and Markdown, and Croissant; return how much is missing; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If the dataset, the statement or a setting cannot be used.
        IntegrityError: If a verdict is about other data, or an input was changed since it was written.
    """
    if min_group_size < 1:
        raise InputError(f"min_group_size must be at least 1; got {min_group_size}.")
    statement = read_statement(statement_uri, FIELDS)
    path = verified(dataset, "dataset")
    digest, *lineage = dataset_lineage(path)
    judged = [_verdict(verdict, role, digest) for role, verdict in verdicts.items() if verdict is not None]
    columns, groups = describe(path, sensitive_columns, min_group_size)
    hashes = _hashes(path)
    sheet = Sheet(
        digest=digest,
        lineage=tuple(lineage),
        known=_known(dataset.metadata),
        files=tuple(_files(path)),
        rows=len(hashes),
        repeated_rows=_repeated(hashes),
        columns=columns,
        groups=groups,
        min_group_size=min_group_size,
        verdicts=tuple(judged),
        statement=statement,
        created=now(),
    )
    page, text, described = html_sheet(sheet), markdown_sheet(sheet), metadata(sheet)
    write_page(datasheet.path, page)
    with writing(markdown.path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_json(croissant.path, described)
    croissant.metadata |= {"digest": artifact_digest(croissant.path), "dataset_digest": digest}
    return (len(statement.missing),)


def _verdict(verdict: Artifact, role: str, digest: str) -> Verdict:
    """Return a verdict on the dataset, or on data of which it is the whole."""
    found = Verdict.read(verified(verdict, role))
    if digest not in (found.subjects.get("dataset"), found.subjects.get("delivered")):
        raise IntegrityError(f"The {role} must be about the dataset given, {digest}; it is about other data.")
    return found


def _known(said: Mapping[str, Any]) -> dict[str, str]:
    names = ("source", "source_digest", "source_signed_by", "snapshot_time", "source_query", *DVC)
    known = {name: str(said[name]) for name in names if said.get(name) is not None}
    if parameters := said.get("source_parameters"):
        known["source_parameters"] = json.dumps(parameters, ensure_ascii=False, sort_keys=True)
    return known


def _files(path: str) -> list[File]:
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    return [
        File(file.relative_to(folder).as_posix(), file_digest(file), file.stat().st_size)
        for file in parquet_files(path)
    ]


def _hashes(path: str) -> ndarray:
    """Return the hash of every row, shape (rows,)."""
    import numpy

    return numpy.concatenate([*map(row_hashes, read_batches(path)), numpy.empty(0, "uint64")])


def _repeated(hashes: ndarray) -> int:
    import numpy

    return len(hashes) - len(numpy.unique(hashes))
