"""What a data contract asks for beyond its schema: age, rows, keys, forbidden columns, references and rules."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.data.validate_dataset.gaps import GAP_HOURS
from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.data_contract import DataContract, Limited, Reference, parse_contract
from kfp_hallmark.contracts.dataset import read_batches, read_schema, require_column
from kfp_hallmark.contracts.documents import parse_time
from kfp_hallmark.contracts.verdict import Check, Status, judge
from kfp_hallmark.datacontract.inference import import_tfdv
from kfp_hallmark.datacontract.keys import KeyTally, ReferenceTally
from kfp_hallmark.datacontract.schema import contract_schema, forbidden_among
from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.reports import number
from kfp_hallmark.storage import shown

if TYPE_CHECKING:
    import pyarrow

CHECKS = ("age_hours", "contract_rows", "forbidden_columns", GAP_HOURS, "key_uniqueness", "reference", "rule")
"""The names of the checks that a contract adds."""
CLOCKS = 0.1
"""By how many hours two clocks may differ."""


@dataclass(frozen=True)
class Given:
    """A contract that was given.

    Attributes:
        contract: What the file says.
        schema: Its TFDV schema.
        folder: Where the file is.
        digest: SHA-256 of the file.
    """

    contract: DataContract
    schema: Any
    folder: Path
    digest: str

    def parameters(self) -> dict[str, Any]:
        """Return what a verdict says of it."""
        version = self.contract.version
        return {
            "version": None if version is None else str(version),
            "digest": self.digest,
            "sensitive": list(self.contract.sensitive),
        }


def load_contract(uri: str) -> Given:
    """Read a contract, or a bare schema, from a path or a URI that TensorFlow can open.

    Raises:
        MissingInputError: If there is none.
        InputError: If it cannot be read, contradicts itself, or refers to datasets that cannot be reached.
    """
    content = _content(uri)
    contract = parse_contract(content, uri.rpartition("/")[2])
    _require_local(contract.references, uri)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Given(contract, contract_schema(contract), Path(uri).parent, digest)


def _require_local(references: Sequence[Reference], uri: str) -> None:
    for reference in references:
        path = reference.dataset
        if "://" in path or ("://" in uri and not Path(path).is_absolute()):
            raise InputError(
                "The dataset of a reference must be a local path, and an absolute one where the contract is at a URI; "
                f"got {shown(path)!r}.",
                "Only of a contract that is a local file are paths relative to its folder; else write the whole path.",
            )


def _content(uri: str) -> bytes:
    if "://" not in uri:
        if not Path(uri).is_file():
            raise MissingInputError(f"contract_uri must be a file that is there; got {uri!r}.")
        return Path(uri).read_bytes()
    import_tfdv()
    import tensorflow

    try:
        return tensorflow.io.gfile.GFile(uri, "rb").read()
    except tensorflow.errors.NotFoundError as error:
        raise MissingInputError(f"contract_uri must be a file that is there; got {uri!r}.") from error
    except tensorflow.errors.OpError as error:
        # What a client says may hold an address with a token in it.
        raise InputError(
            f"contract_uri must be a file that can be read; {shown(uri)!r} cannot ({type(error).__name__}).",
            "Local paths and gs:// are read.",
        ) from None


def contract_checks(
    dataset: Artifact, contract: DataContract, folder: Path, rows: int, at: datetime | None = None
) -> list[Check]:
    """Return a check for everything that a contract asks for beyond its schema and the limits of drift.

    The dataset is read once, piece by piece, and no more of it than the columns that are asked about.

    Args:
        dataset: What to judge; its age is that of `snapshot_time` in its metadata.
        contract: What it must be.
        folder: What the paths of datasets that the contract refers to are relative to.
        rows: How many rows the dataset has.
        at: When it is judged. Default: now.

    Raises:
        MissingInputError: If a dataset that the contract refers to is not there.
        InputError: If a rule cannot be applied to the types of its columns, or such a dataset lacks its column.
    """
    schema = read_schema(dataset.path)
    checks = [*_age_checks(dataset, contract, at or datetime.now(UTC)), *_row_checks(contract, rows)]
    checks += _forbidden_checks(contract, schema.names)
    return checks + _content_checks(dataset.path, contract, folder, schema)


def _age_checks(dataset: Artifact, contract: DataContract, at: datetime) -> list[Check]:
    limit = contract.max_age_hours
    if limit is None:
        return []
    taken = dataset.metadata.get("snapshot_time")
    hours = None if taken is None else (at - parse_time(taken)).total_seconds() / 3600
    if hours is not None and -CLOCKS <= hours < 0:
        hours = 0.0
    message = "When the dataset was taken is not known: its metadata have no snapshot_time."
    if hours is not None:
        message = f"The dataset is {number(hours, 3)} hours old; at most {limit:g} are allowed."
        if hours < 0:
            message = f"The dataset was taken {number(-hours, 3)} hours from now: a clock is wrong."
    status = Status.FAIL if hours is not None and hours < 0 else judge(hours, maximum=limit)
    return [Check("age_hours", status, observed=hours, maximum=limit, message=message)]


def _row_checks(contract: DataContract, rows: int) -> list[Check]:
    if contract.min_rows is None:
        return []
    message = f"The dataset has {rows:,} rows; the contract asks for {contract.min_rows:,} at least."
    status = judge(rows, minimum=contract.min_rows)
    return [Check("contract_rows", status, observed=rows, minimum=contract.min_rows, samples=rows, message=message)]


def _forbidden_checks(contract: DataContract, names: Sequence[str]) -> list[Check]:
    if not contract.forbidden:
        return []
    found = forbidden_among(contract, names)
    message = f"The dataset has what is forbidden: {', '.join(found)}." if found else "No forbidden column is there."
    return [Check("forbidden_columns", judge(len(found), maximum=0), len(found), maximum=0, message=message)]


def _content_checks(path: str, contract: DataContract, folder: Path, schema: pyarrow.Schema) -> list[Check]:
    """Return the checks of rules, keys and references; what asks of a column that is absent is inconclusive."""
    for limited in contract.rules:
        if set(limited.rule.columns) <= set(schema.names):
            limited.rule.check_types(schema)
    for reference in contract.references:
        _check_reference(reference, folder, schema)
    with tempfile.TemporaryDirectory(prefix="hallmark-") as temporary:
        space = Path(temporary)
        rules = [RuleTally(limited) for limited in contract.rules]
        keys = [KeyTally(key, space / f"key{index}") for index, key in enumerate(contract.keys)]
        references = [ReferenceTally(each.column, space / f"ref{i}") for i, each in enumerate(contract.references)]
        tallies = [tally for tally in (*rules, *keys, *references) if set(tally.columns) <= set(schema.names)]
        wanted = [name for name in schema.names if any(name in tally.columns for tally in tallies)]
        for batch in read_batches(path, wanted) if wanted else ():
            for tally in tallies:
                tally.add(batch)
        return [
            *(_absent("key_uniqueness", each, schema) or _key_check(each) for each in keys),
            *(
                _absent("reference", tally, schema) or _reference_check(tally, each, folder)
                for tally, each in zip(references, contract.references, strict=True)
            ),
            *(_absent("rule", each, schema) or each.check() for each in rules),
        ]


class RuleTally:
    """Counts the rows that break a rule."""

    def __init__(self, limited: Limited) -> None:
        self.columns = limited.rule.columns
        self._limited = limited
        self._rows = self._broken = self._unknown = 0

    def add(self, batch: pyarrow.RecordBatch) -> None:
        """Count the rows of a batch."""
        kept = self._limited.rule.holds(batch)
        self._rows += len(kept)
        self._unknown += kept.null_count
        self._broken += kept.false_count

    def check(self) -> Check:
        """Return the check; a rule that could be told of no row is inconclusive."""
        text, limit = self._limited.rule.text, self._limited.max_share
        told = self._rows - self._unknown
        share = self._broken / self._rows if told else None
        message = f"{text}: no row has the values to tell."
        if told:
            message = f"{text}: broken by {f'{self._broken:,}' if self._broken else 'none'} of {self._rows:,} rows."
        if told and self._unknown:
            message = f"{message[:-1]}; of {self._unknown:,} it cannot be told for a missing value."
        status = judge(share, maximum=limit)
        return Check("rule", status, share, maximum=limit, samples=self._rows, scope={"rule": text}, message=message)


def _absent(name: str, tally: KeyTally | ReferenceTally | RuleTally, schema: pyarrow.Schema) -> Check | None:
    """Return an inconclusive check if a column is absent; that it is, the schema tells."""
    absent = [column for column in tally.columns if column not in schema.names]
    if not absent:
        return None
    message = f"This cannot be told without {', '.join(absent)}, which the dataset does not have."
    return Check(name, Status.INCONCLUSIVE, scope={"columns": ", ".join(tally.columns)}, message=message)


def _key_check(tally: KeyTally) -> Check:
    repeated = tally.repeated()
    wrong = repeated + tally.missing
    columns = ", ".join(tally.columns)
    counts = {"repeat those of another": repeated, "lack a part of them": tally.missing}
    told = [f"{count:,} {what}" for what, count in counts.items() if count]
    message = (
        f"{columns}: of {tally.rows:,} rows, {' and '.join(told)}." if told else f"{columns}: no row repeats another."
    )
    return Check(
        "key_uniqueness",
        judge(wrong, maximum=0),
        observed=wrong,
        maximum=0,
        samples=tally.rows,
        scope={"columns": columns},
        message=message,
    )


def _check_reference(reference: Reference, folder: Path, schema: pyarrow.Schema) -> None:
    """Raise `InputError` if there is no dataset to refer to, or its key is of another kind than the column."""
    other = read_schema(folder / reference.dataset)
    require_column(reference.key, other.names, f"The key of {reference.dataset!r}")
    if reference.column not in schema.names:
        return
    kinds = [schema.field(reference.column).type, other.field(reference.key).type]
    if len({_kind(kind) for kind in kinds}) > 1:
        raise InputError(
            f"The column {reference.column!r} must be of the kind of {reference.key!r} in {reference.dataset!r}; "
            f"got {kinds[0]} and {kinds[1]}."
        )


def _reference_check(tally: ReferenceTally, reference: Reference, folder: Path) -> Check:
    path = folder / reference.dataset
    for batch in read_batches(path, [reference.key]):
        tally.add_known(batch, reference.key)
    unknown = tally.unknown()
    where = f"{reference.key} of {reference.dataset}"
    message = f"Every {reference.column} is in {where}."
    if unknown:
        message = f"{unknown:,} of {tally.rows:,} rows have a {reference.column} that is not in {where}."
    return Check(
        "reference",
        judge(unknown, maximum=0),
        observed=unknown,
        maximum=0,
        samples=tally.rows,
        scope={"columns": reference.column},
        message=message,
    )


def _kind(kind: pyarrow.DataType) -> str:
    from pyarrow import types

    return "text" if types.is_string(kind) else "time" if types.is_temporal(kind) else "number"
