"""Divide the rows of a dataset into slices and measure each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kfp_hallmark.contracts.dataset import read_table
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions
from kfp_hallmark.measures import Interval, bootstrap_intervals, measure
from kfp_hallmark.slicing import FEWEST, SMALL, divide

HEADLINES = {
    BINARY: ("roc_auc", "accuracy"),
    MULTICLASS: ("accuracy", "f1_macro"),
    REGRESSION: ("mean_absolute_error", "r2"),
}
"""The metrics that slices are told by."""


@dataclass(frozen=True)
class Slice:
    """What was measured on some rows.

    Attributes:
        column: The column by which the rows were chosen.
        name: Its value, or band of values.
        rows: The number of rows.
        values: Metric to value, as `measure` returns it.
        intervals: Metric to confidence interval.
    """

    column: str
    name: str
    rows: int
    values: dict[str, float | None]
    intervals: dict[str, Interval | None]

    @property
    def small(self) -> bool:
        """Whether the rows are too few to rely on what was measured."""
        return self.rows < SMALL


def measure_slices(
    predictions: Predictions,
    dataset: str | Path,
    columns: Sequence[str],
    samples: int,
    confidence: float,
    seed: int,
) -> list[Slice]:
    """Return what is measured on each slice of the columns; every row is in one slice of each column."""
    table = read_table(dataset, list(dict.fromkeys(columns)))
    wanted = HEADLINES[predictions.task]
    found = []
    for column in table.column_names:
        for name, rows in divide(table[column]):
            values: dict[str, float | None] = dict.fromkeys(wanted)
            intervals: dict[str, Interval | None] = dict.fromkeys(wanted)
            if len(rows) >= FEWEST:
                measured = measure(predictions, rows)
                values = {key: measured[key] for key in wanted}
                intervals = bootstrap_intervals(predictions, wanted, samples, confidence, seed, rows)
            found.append(Slice(column, name, len(rows), values, intervals))
    return found
