"""Load a source into a dataset: one clean Parquet file, bound to the digest of what it was made from."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.load_dataset.dvc import SUFFIX as TRACKED
from kfp_hallmark.components.data.load_dataset.dvc import check_tracked, read_tracked, require_no_links
from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.dataset import decimals_as_floats, parquet_files, plain_batch, plain_schema, require_names
from kfp_hallmark.contracts.dataset_signature import SUFFIX, read_key, verify
from kfp_hallmark.contracts.decision import CLOCK_SKEW_HOURS
from kfp_hallmark.contracts.digest import artifact_digest, file_digest, is_digest
from kfp_hallmark.contracts.origin import Origin, require_columns, write_dataset
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError
from kfp_hallmark.storage import advice, reading, shown

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.csv as csv
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from fsspec import AbstractFileSystem

CSV_SUFFIXES = (".csv", ".csv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
MISSING_WORDS = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None")
"""What stands for a missing number, truth value or date in CSV; in a column of text only the empty string does."""
OTHER_SEPARATORS = (";", "\t", "|")
PADDED = r"^[+-]?0([0-9]|[xX])"
"""How a code begins that looks like a number and is none: as a number, 007 would be 7."""
CSV_BLOCK = 4 << 20
"""How many bytes of a CSV file are parsed at once; a single row cannot be longer."""


@dataclass(frozen=True)
class Source:
    """A source that is on this machine.

    Attributes:
        name: Its URI without credentials, for messages and metadata.
        path: The file or folder.
        changed: When it was last changed, or signed, if that was before; None when its file system does not tell.
    """

    name: str
    path: Path
    changed: datetime | None


def load(
    uri: str,
    dataset: Artifact,
    expected_digest: str | None = None,
    max_age_hours: float | None = None,
    required_columns: Sequence[str] = (),
    allowed_keys: Sequence[str] | None = None,
) -> tuple[str, int]:
    """Load a CSV or Parquet source into a dataset.

    The source is read piece by piece and written anew as one Parquet file of numbers, text, truth values, dates and
    times: nothing else that the source's schema carries comes along.

    Args:
        uri: Path or fsspec URI of a CSV file, a Parquet file, or a folder of Parquet files; or of a `.dvc` file with
            such data beside it, which must be what it records.
        dataset: Where to write.
        expected_digest: SHA-256 that the source must have: of the file's bytes, or of the folder's manifest.
        max_age_hours: Greatest age of the source in hours.
        required_columns: Columns that the source must have.
        allowed_keys: Public keys, in PEM or as URIs of such files, of which one must have signed the source.

    Returns:
        The dataset's digest and its number of rows.

    Raises:
        MissingInputError: If there is no such source.
        InputError: If a parameter is out of range, or the source is empty, unreadable, too old or lacks a column.
        IntegrityError: If the source does not have the expected digest, is not what its `.dvc` file records, is not
            signed by an allowed key, or changes while it is read.
    """
    if expected_digest is not None and not is_digest(expected_digest):
        raise InputError(f"expected_digest must be 'sha256:' and 64 hexadecimal digits; got {expected_digest!r}.")
    if max_age_hours is not None and not (math.isfinite(max_age_hours) and max_age_hours > 0):
        raise InputError(f"max_age_hours must be above 0; got {max_age_hours}.")
    keys = None if allowed_keys is None else read_keys(allowed_keys)
    tracked = read_tracked(uri) if uri.endswith(TRACKED) else None
    uri = uri if tracked is None else tracked.uri
    with tempfile.TemporaryDirectory(prefix="hallmark-") as folder:
        source = fetch(uri, Path(folder), copied=keys is not None)
        if tracked is not None:
            require_no_links(tracked, source.path)
        with reading("uri", uri):
            state = _state(source.path)
        signed = None if keys is None else verify(read_signature(uri, source.name), source.path, keys, source.name)
        if signed is not None:
            source = replace(source, changed=min(source.changed or signed.created, signed.created))
        check_age(source, max_age_hours)
        with reading("uri", uri):
            digest = file_digest(source.path) if source.path.is_file() else artifact_digest(source.path)
        if expected_digest not in (None, digest):
            raise IntegrityError(f"The source {source.name!r} must have the digest {expected_digest}; got {digest}.")
        bound = {} if signed is None else {"source_signed_by": signed.key}
        if tracked is not None:
            check_tracked(tracked, source.path)
            bound |= tracked.bound
        return _write(source, state, digest, bound, dataset, required_columns)


def _write(
    source: Source,
    state: list[tuple[int, int, int]],
    digest: str,
    bound: Mapping[str, str],
    dataset: Artifact,
    required_columns: Sequence[str],
) -> tuple[str, int]:
    """Write a source as a dataset, if it is still in the state that it was in before its digest was taken."""

    def unchanged(batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        yield from batches
        if state != _state(source.path):
            raise IntegrityError(f"The source {source.name!r} must not change while it is read; it did.")

    schema, batches = read_csv(source) if source.path.name.lower().endswith(CSV_SUFFIXES) else read_parquet(source)
    require_columns(required_columns, schema)
    changed = source.changed.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if source.changed else None
    return write_dataset(dataset, schema, unchanged(batches), Origin(source.name, digest, changed, bound))


def _state(path: Path) -> list[tuple[int, int, int]]:
    """Return what changes when a file does: size and times of every file, of which the last cannot be set."""
    states = [path.stat()] if path.is_file() else [file.lstat() for file in sorted(path.rglob("*"))]
    return [(state.st_size, state.st_mtime_ns, state.st_ctime_ns) for state in states]


def read_keys(allowed_keys: Sequence[str]) -> list[Ed25519PublicKey]:
    """Return the allowed keys, at least one.

    Raises:
        MissingInputError: If a file is not there.
        InputError: If there is no key, or one is no Ed25519 public key in PEM.
    """
    if not allowed_keys:
        raise InputError("allowed_keys must be at least one key; got none.", "Leave it out to verify no signature.")
    return [read_key(_pem(entry, place), f"number {place}") for place, entry in enumerate(allowed_keys, 1)]


def _pem(entry: str, place: int) -> bytes:
    """Return a key as it is given, or as its file says it."""
    import fsspec

    if not isinstance(entry, str):
        raise InputError(f"An allowed key must be PEM or a file; number {place} is {type(entry).__name__}.")
    if entry.lstrip().startswith("-----BEGIN"):
        return entry.encode(errors="replace")
    try:
        with fsspec.open(entry, "rb") as file:
            content: bytes = file.read()
    except FileNotFoundError:
        raise MissingInputError(f"An allowed key must be PEM or a file; number {place} is neither.") from None
    except Exception:  # Each storage's client raises errors of its own; what was given is not repeated.
        raise InputError(f"An allowed key must be PEM or a file; number {place} cannot be read.") from None
    return content


def read_signature(uri: str, name: str) -> bytes:
    """Return the signature that lies beside a source.

    Raises:
        IntegrityError: If there is none.
    """
    import fsspec

    system, location = fsspec.core.url_to_fs(uri)
    beside = location.rstrip("/") + SUFFIX
    with reading("The signature of uri", uri):
        if system.isfile(beside):
            content: bytes = system.cat_file(beside)
            return content
    raise IntegrityError(
        f"The source {name!r} must be signed by an allowed key; there is no {Path(beside).name!r} beside it.",
        "Whoever answers for the data signs them with: hallmark dataset sign DATA --key KEY.pem",
    )


def fetch(uri: str, folder: Path, copied: bool = False) -> Source:
    """Find a source, and copy it into `folder` when it is not on this machine, or is to be copied in any case.

    Raises:
        MissingInputError: If there is no such source.
        InputError: If the URI's protocol is unknown, or the source is empty or of an unknown kind.
    """
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    if not uri:
        raise InputError("uri must be a path or a URI; got ''.")
    name = shown(uri)
    with reading("uri", uri):
        try:
            system, location = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError) as error:
            hint = str(error) if isinstance(error, ImportError) else "Such are gs://BUCKET/FILE and s3://BUCKET/FILE."
            raise InputError(f"uri must be a path or a URI that fsspec can open; got {name!r}.", hint) from None
        if not system.exists(location):
            raise MissingInputError(f"uri must be a file or folder that is there; got {name!r}.", advice(uri))
        whole_folder = system.isdir(location)
        changed = last_change(system, location)
    suffix = next((suffix for suffix in CSV_SUFFIXES + PARQUET_SUFFIXES if location.lower().endswith(suffix)), None)
    if not whole_folder and suffix is None:
        known = ", ".join(CSV_SUFFIXES + PARQUET_SUFFIXES)
        raise InputError(f"uri must end in one of {known}, or be a folder of Parquet files; got {name!r}.")
    path = Path(location)
    local = isinstance(system, LocalFileSystem)
    if copied or not local:
        path = folder / ("source" if whole_folder else f"source{suffix}")
        with reading("uri", uri):
            if local:
                _copy(Path(location), path)
            else:
                system.get(location, str(path), recursive=whole_folder)
    if not whole_folder and path.stat().st_size == 0:
        raise InputError(f"The source {name!r} must hold data; it is empty.")
    return Source(name, path, changed)


def _copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder with its links as links; what fsspec copies it may take for a pattern."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copyfile(source, target)


def last_change(system: AbstractFileSystem, location: str) -> datetime | None:
    """Return when a file, or the last of a folder's files, was changed; None when the file system does not tell."""
    files = system.find(location) if system.isdir(location) else [location]
    try:
        times = [system.modified(file) for file in files]
    except (NotImplementedError, KeyError, FileNotFoundError):
        return None
    return max((time if time.tzinfo else time.replace(tzinfo=UTC) for time in times), default=None)


def check_age(source: Source, max_age_hours: float | None) -> None:
    """Raise `InputError` if a source is older than it may be or from the future, or its age is unknown."""
    if max_age_hours is None:
        return
    if source.changed is None:
        raise InputError(f"max_age_hours must be unset for {source.name!r}, whose file system tells no time of change.")
    age = datetime.now(UTC) - source.changed
    if age < -timedelta(hours=CLOCK_SKEW_HOURS):
        raise InputError(
            f"The source {source.name!r} must not be from the future when max_age_hours is set; "
            f"it changed {-age / timedelta(hours=1):.1f} hours from now.",
            "A clock is wrong: that of whoever wrote or signed the source, or this one.",
        )
    if age / timedelta(hours=1) > max_age_hours:
        raise InputError(
            f"The source {source.name!r} must have changed within {max_age_hours:g} hours; "
            f"it last changed {age / timedelta(hours=1):.1f} hours ago."
        )


def read_parquet(source: Source) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
    """Return the plain schema of Parquet files, and their rows.

    Raises:
        InputError: If a file is not whole, a column is of a type that is not tabular, or the files' columns differ.
    """
    import pyarrow
    import pyarrow.parquet

    files = parquet_files(source.path)
    if any("=" in part for file in files for part in file.relative_to(source.path).parent.parts):
        raise InputError(
            f"The folder {source.name!r} must hold every column in its files; it holds some in the names of folders.",
            "Write the partitioned dataset out as plain Parquet files first.",
        )
    schemas = []
    for file in files:
        try:
            schemas.append(pyarrow.parquet.read_schema(file))
            names = schemas[-1].names
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError):
            raise InputError(f"The source {source.name!r} must be whole Parquet; {file.name!r} is not.") from None
        require_names(names, source.name)
    schema, *others = [plain_schema(schema) for schema in schemas]
    for file, other in zip(files[1:], others, strict=True):
        if other != schema:
            differing = sorted({field.name for field in set(schema) ^ set(other)}) or schema.names
            raise InputError(
                f"The files of {source.name!r} must have the same columns and types in the same order; "
                f"{file.name!r} differs from {files[0].name!r} in {', '.join(map(repr, differing))}."
            )
    return schema, _parquet_batches(files, schema, source)


def _parquet_batches(files: list[Path], schema: pyarrow.Schema, source: Source) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow
    import pyarrow.parquet

    for file in files:
        try:
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches():
                batch.validate(full=True)
                yield plain_batch(decimals_as_floats(batch))
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError):
            raise InputError(f"The source {source.name!r} must be whole Parquet; {file.name!r} is not.") from None


def read_csv(source: Source) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
    """Return the schema of a CSV file, found out from all of its rows, and the rows.

    A column is of the first kind that holds all of its values: whole numbers, numbers, booleans (true and false),
    dates, times (ISO 8601), text. Numbers of which one is padded with zeros (007) are text. A column without values is
    float64.

    Raises:
        InputError: If the file is not CSV in UTF-8 with a header, or its columns' names are not.
    """
    import pyarrow

    _check_start(source)
    names = _csv_header(source)
    require_names(names, source.name)
    found: dict[str, pyarrow.DataType | None] = dict.fromkeys(names)
    for batch in _csv_text(source, names):
        for name in names:
            found[name] = widened(found[name], batch.column(name))
    schema = pyarrow.schema([(name, kind or pyarrow.float64()) for name, kind in found.items()])

    def batches() -> Iterator[pyarrow.RecordBatch]:
        for batch in _csv_text(source, names):
            columns = [from_text(batch.column(field.name), field.type) for field in schema]
            yield pyarrow.RecordBatch.from_arrays(columns, schema=schema)

    return schema, batches()


def _check_start(source: Source) -> None:
    """Raise `InputError` if a file's first line shows that it is not CSV in UTF-8 with commas."""
    import codecs

    import pyarrow

    try:
        with pyarrow.input_stream(source.path) as stream:
            line = stream.read(1 << 16).partition(b"\n")[0]
        header = codecs.getincrementaldecoder("utf-8")().decode(line)
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"The source {source.name!r} must be CSV in UTF-8 with a header; its encoding is another.",
            "Save it as UTF-8; compressed with gzip, its name must end in .csv.gz.",
        ) from None
    if "," not in header and any(separator in header for separator in OTHER_SEPARATORS):
        raise InputError(
            f"The source {source.name!r} must have commas between its values; its header has other separators.",
            "Save it with commas, and with points in its decimal numbers.",
        )


def widened(kind: pyarrow.DataType | None, text: pyarrow.Array) -> pyarrow.DataType | None:
    """Return the type that holds what was seen so far and the new values; None while no value was seen."""
    import pyarrow

    if kind == pyarrow.string() or _without_missing(text).null_count == len(text):
        return kind
    whole, number, date, time = pyarrow.int64(), pyarrow.float64(), pyarrow.date32(), pyarrow.timestamp("us")
    wider = {
        None: (whole, number, pyarrow.bool_(), date, time, pyarrow.timestamp("us", "UTC")),
        whole: (whole, number),
        date: (date, time),
    }
    for candidate in wider.get(kind, (kind,)):
        try:
            from_text(text, candidate)
        except pyarrow.ArrowInvalid:
            continue
        return pyarrow.string() if candidate in (whole, number) and _holds_codes(text) else candidate
    return pyarrow.string()


def _holds_codes(text: pyarrow.Array) -> bool:
    import pyarrow.compute

    padded = pyarrow.compute.match_substring_regex(pyarrow.compute.utf8_trim_whitespace(text), PADDED)
    return bool(pyarrow.compute.any(padded).as_py())


def from_text(text: pyarrow.Array, kind: pyarrow.DataType) -> pyarrow.Array:
    """Return text as another type; the words for a missing value become null.

    Raises:
        pyarrow.ArrowInvalid: If a value is not of that type.
    """
    import pyarrow

    return text if kind == pyarrow.string() else _without_missing(text).cast(kind)


def _without_missing(text: pyarrow.Array) -> pyarrow.Array:
    import pyarrow
    import pyarrow.compute

    trimmed = pyarrow.compute.utf8_trim_whitespace(text)
    missing = pyarrow.compute.is_in(trimmed, value_set=pyarrow.array(MISSING_WORDS))
    return pyarrow.compute.if_else(missing, pyarrow.scalar(None, pyarrow.string()), trimmed)


def _csv_header(source: Source) -> list[str]:
    """Return the column names of a CSV file."""
    with _csv_reader(source, {}) as reader:
        return reader.schema.names


def _csv_text(source: Source, names: list[str]) -> Iterator[pyarrow.RecordBatch]:
    """Give the rows of a CSV file with every column as text; empty text is missing."""
    import pyarrow

    with _csv_reader(source, dict.fromkeys(names, pyarrow.string())) as reader:
        yield from reader


@contextmanager
def _csv_reader(source: Source, types: dict[str, pyarrow.DataType]) -> Iterator[csv.CSVStreamingReader]:
    """Open a CSV file; what Arrow says of a row that it cannot read shows the row, so its errors are not passed on."""
    import pyarrow
    from pyarrow import csv

    uneven: list[csv.InvalidRow] = []

    def note(row: csv.InvalidRow) -> str:
        uneven.append(row)
        return "error"

    try:
        with csv.open_csv(
            source.path,
            read_options=csv.ReadOptions(block_size=CSV_BLOCK),
            parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""]),
        ) as reader:
            yield reader
    except (pyarrow.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        problem = "it cannot be parsed"
        if uneven:
            problem = f"a row has {uneven[0].actual_columns} values where the header has {uneven[0].expected_columns}"
        elif isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
            problem = "its encoding is another"
        raise InputError(f"The source {source.name!r} must be CSV in UTF-8 with a header; {problem}.") from None
