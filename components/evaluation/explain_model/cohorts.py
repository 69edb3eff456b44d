"""Tell importances by predicted class and by the values of columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.importances import Cohort
from kfp_hallmark.errors import InputError
from kfp_hallmark.explanation.rows import ordered_means

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray

LEAST_ROWS = 20
"""The fewest rows of a cohort that is told: fewer say little, and too much of single records."""

MAX_COHORTS = 100
"""A column with more values than this does not name cohorts."""

MISSING = "(missing)"


def cohorts_of(column: str, shared: Sequence[str], values: ndarray, names: Sequence[str]) -> list[Cohort]:
    """Return the cohorts that are large enough, in the order of their values: of numbers, the missing first.

    Args:
        column: What the rows of a cohort share.
        shared: Its value in each row, as text.
        values: SHAP values, shape (rows, features).
        names: The features.
    """
    import numpy

    places = numpy.array(shared, dtype=object)
    found = []
    for value in _in_order(set(shared)):
        rows = numpy.flatnonzero(places == value)
        if len(rows) >= LEAST_ROWS:
            found.append(Cohort(column, value, len(rows), ordered_means(values[rows], names)))
    return found


def _in_order(values: Iterable[str]) -> list[str]:
    """Return texts in order, as numbers if all are some."""
    texts = sorted(values)
    try:
        numbers = {text: -math.inf if text == MISSING else float(text) for text in texts}
    except ValueError:
        return texts
    return texts if any(map(math.isnan, numbers.values())) else sorted(texts, key=numbers.__getitem__)


def as_texts(column: pyarrow.ChunkedArray, name: str) -> list[str]:
    """Return a column's values as text.

    Raises:
        InputError: If there are more than name cohorts.
    """
    texts = [_text(value) for value in column.to_pylist()]
    if len(set(texts)) > MAX_COHORTS:
        raise InputError(
            f"The cohort column {name!r} must have at most {MAX_COHORTS} values; got {len(set(texts)):,}.",
            "Bin it into a few cohorts, in a column of its own.",
        )
    return texts


def _text(value: Any) -> str:
    if value is None or value != value:
        return MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)
