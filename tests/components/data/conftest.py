"""What the tests of the data stage share."""

from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from kfp import dsl

from kfp_hallmark.contracts.dataset import write_table


@pytest.fixture
def output(tmp_path: Path) -> Callable[[str], dsl.Dataset]:
    """Return an artifact that is yet to be written, by its name."""
    return lambda name: dsl.Dataset(uri=str(tmp_path / name))


@pytest.fixture
def stored(output: Callable[[str], dsl.Dataset]) -> Callable[..., dsl.Dataset]:
    """Return a dataset that holds the given columns, or the given table."""

    def store(columns: dict | pyarrow.Table, name: str = "dataset") -> dsl.Dataset:
        artifact = output(name)
        table = columns if isinstance(columns, pyarrow.Table) else pyarrow.table(columns)
        write_table(artifact.path, table, {})
        return artifact

    return store
