"""The Parquet files behind a feature view: found, checked, and put where Feast's engine can read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.retrieve_features.repository import Repository, View
from kfp_hallmark.contracts.dataset import plain_type
from kfp_hallmark.contracts.digest import Manifest, file_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError, nearest
from kfp_hallmark.storage import advice, reading, shown

if TYPE_CHECKING:
    import pyarrow
    from fsspec import AbstractFileSystem

SUFFIXES = (".parquet", ".pq")
AGAIN = "Run the step again when nothing writes to it."


class Source:
    """The files of a feature view, as links or copies below a folder of the step's.

    Attributes:
        view: The feature view.
        pattern: What matches every file and nothing else.
        digest: Of a file's bytes, as `sha256sum` prints it, or of several files' manifest.
        columns: The columns of its first file.
        types: Column of the source that is wanted to its plain type.
    """

    def __init__(self, view: View, repository: Repository, folder: Path) -> None:
        """Link the files of a view, or copy them when they are not on this machine, into a new folder.

        Raises:
            MissingInputError: If there are none.
            InputError: If they cannot be read, or lack a column.
        """
        self.view = view
        self._name = f"The source {shown(view.uri)!r} of the feature view {view.name!r}"
        folder.mkdir()
        names = [self._brought(*found, folder) for found in enumerate(self._files(repository))]
        self._paths = {folder / f"{place:06}.parquet": name for place, name in enumerate(names)}
        self.pattern = str(next(iter(self._paths)) if len(names) == 1 else folder / "*.parquet")
        self._state = self._read_state()
        digests = [file_digest(path) for path in self._paths]
        self.digest = digests[0] if len(names) == 1 else Manifest(dict(zip(names, digests, strict=True))).digest
        self.columns: list[str] = []
        self.types = self._types()
        self._require_one_value()

    def _files(self, repository: Repository) -> list[tuple[AbstractFileSystem, str, str]]:
        """Return each file: its file system, its path there, and its path below the source."""
        system, location = repository.located(self.view.uri)
        if self.view.endpoint:
            import fsspec

            system = fsspec.filesystem("s3", client_kwargs={"endpoint_url": self.view.endpoint})
        with reading("The source of a feature view", self.view.uri):
            if system.isfile(location):
                return [(system, location, ".")]
            found = system.glob(location) if "*" in location else system.find(location)
            files = sorted(file for file in found if file.lower().endswith(SUFFIXES))
        if not files:
            raise MissingInputError(
                f"{self._name} must be a Parquet file or a folder of them; there is none.",
                advice(self.view.uri) or "A path that is not absolute is below repository_uri.",
            )
        base = location.partition("*")[0].rpartition("/")[0] if "*" in location else location
        return [(system, file, str(PurePosixPath(file).relative_to(base))) for file in files]

    def _brought(self, place: int, found: tuple[AbstractFileSystem, str, str], folder: Path) -> str:
        """Link or copy a file, and return its name in the manifest."""
        from fsspec.implementations.local import LocalFileSystem

        system, location, name = found
        path = folder / f"{place:06}.parquet"
        if isinstance(system, LocalFileSystem):
            path.symlink_to(location)
        else:
            with reading("The source of a feature view", self.view.uri):
                system.get_file(location, str(path))
        return name

    def _types(self) -> dict[str, pyarrow.DataType]:
        """Return the plain types of the columns that are wanted, which are those of the first file."""
        import pyarrow
        import pyarrow.parquet

        first: dict[str, pyarrow.DataType] = {}
        for path, name in self._paths.items():
            told = "it" if name == "." else repr(name)
            try:
                schema = pyarrow.parquet.read_schema(path)
                names = schema.names
            except (pyarrow.ArrowException, OSError, UnicodeDecodeError):
                raise InputError(f"{self._name} must be whole Parquet; {told} is not.") from None
            self.columns = self.columns or names
            for column in self.view.wanted:
                if column not in names:
                    raise InputError(
                        f"{self._name} must have the column {column!r}; {told} has none.", nearest(column, names)
                    )
                if names.count(column) > 1:
                    raise InputError(f"{self._name} must have the column {column!r} once; {told} has it more often.")
            types = {column: plain_type(schema.field(column).type, column) for column in self.view.wanted}
            first = first or types
            if other := next((column for column in types if types[column] != first[column]), None):
                raise InputError(
                    f"{self._name} must have the same types in every file; {told} holds {types[other]} in {other!r}, "
                    f"those before it {first[other]}."
                )
        for column in (self.view.timestamp, self.view.created):
            if column and not (pyarrow.types.is_timestamp(first[column]) or pyarrow.types.is_date(first[column])):
                raise InputError(
                    f"{self._name} must hold times in {column!r}; it holds {first[column]}.",
                    "Text and numbers say no zone and no unit: write times.",
                )
        return first

    def _require_one_value(self) -> None:
        """Raise `InputError` if rows of one entity and time differ, and nothing tells which is the later one.

        Feast would take any of them, and in another run another.
        """
        import duckdb

        columns = ", ".join(map(_quoted, self.view.wanted))
        keys = [_quoted(self.view.column(key)) for key in self.view.keys]
        times = [_quoted(name) for name in (self.view.timestamp, self.view.created) if name]
        present = " AND ".join(f"{name} IS NOT NULL" for name in (*keys, times[0]))
        identity = ", ".join((*keys, *(f"{time}::TIMESTAMPTZ" for time in times)))
        query = f"""
            SELECT count(*) FROM (
                SELECT 1 FROM (SELECT DISTINCT {columns} FROM read_parquet($files) WHERE {present})
                GROUP BY {identity} HAVING count(*) > 1)
        """
        try:
            with duckdb.connect(config={"temp_directory": str(Path(self.pattern).parent / "checks")}) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                row = connection.execute(query, {"files": [str(path) for path in self._paths]}).fetchone()
        except duckdb.Error as error:
            raise InputError(
                f"{self._name} must be Parquet that DuckDB can read; it cannot ({type(error).__name__})."
            ) from None
        if row and row[0]:
            told = "time and creation time" if self.view.created else "time"
            raise InputError(
                f"{self._name} must hold one row for each entity and {told}; "
                f"{row[0]} of them have several rows that differ.",
                "Drop all but one, or name a created_timestamp_column: the later one counts.",
            )

    def require_unchanged(self) -> None:
        """Raise `IntegrityError` if a file was changed since its digest was taken."""
        if self._read_state() != self._state:
            raise IntegrityError(f"{self._name} must not change while it is read; it did.", AGAIN)

    def _read_state(self) -> list[tuple[int, int, int]]:
        """Return what differs once a file is written to or replaced; nothing of files that are gone."""
        try:
            stats = [path.stat() for path in self._paths]
        except FileNotFoundError:
            return []
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def require_joinable(view: View, source: Source, given: Mapping[str, pyarrow.DataType]) -> None:
    """Raise `InputError` if a join key is of one kind in the dataset and of another in the source."""
    for key, column in view.keys.items():
        theirs = source.types[view.column(key)]
        if _kind(given[column]) != _kind(theirs):
            raise InputError(
                f"The join key {column!r} must be {theirs} as in the feature view {view.name!r}; got {given[column]}.",
                "Keys are not converted, because 7 and 7.0 and '007' are not one: make them alike where they are made.",
            )


def _kind(plain: pyarrow.DataType) -> str:
    """Return what a type holds, whatever its width."""
    import pyarrow

    for name, holds in (
        ("integer", pyarrow.types.is_integer),
        ("number", pyarrow.types.is_floating),
        ("time", pyarrow.types.is_timestamp),
    ):
        if holds(plain):
            return name
    return str(plain)
