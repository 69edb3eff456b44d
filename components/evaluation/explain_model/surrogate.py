"""Explain single predictions by LIME: a linear model of the model's output near one record.

Rows are drawn around the record: each feature either keeps the record's value or takes that of a random row. It is kept
where the random row falls into the record's group: the same value, the same quarter of a number with many values, or
missing like it. A ridge regression tells the output by what is kept; rows that keep more weigh more. The weight of a
feature is by how much its value, in place of others, moves the output in that linear model; the weights and the
intercept together are its prediction of the record. How well it tells the output of the drawn rows is its fidelity, a
weighted R2: where that is low, the model is not linear near the record, and the weights say little.

As in the package `lime` with its defaults: kernel, its width, penalty, number of rows. Other than there, a feature that
is kept has the record's own value, the others are those of rows and not drawn from a normal distribution, and missing
values are values.

Source: M. Ribeiro, S. Singh, C. Guestrin, "Why should I trust you?", KDD (2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas
    from numpy import ndarray

SHAP, LIME = "shap", "lime"

DRAWN = 5000
"""How many rows are drawn around a record."""

WIDTH = 0.75
"""Width of the kernel, in square roots of the number of features."""

PENALTY = 1.0
"""Penalty of the squared weights."""

QUARTERS = 4
"""In how many groups of about as many rows a number with more values is taken."""


@dataclass(frozen=True)
class Surrogate:
    """A linear model of the output near a record.

    Attributes:
        weights: What keeping the record's value of each feature adds, shape (features,).
        intercept: The prediction when no feature is kept.
        fidelity: Weighted R2 on the drawn rows; None when the output is the same in all.
    """

    weights: ndarray
    intercept: float
    fidelity: float | None


def require_method(name: str) -> None:
    """Raise `InputError` when there is no such way to explain single predictions."""
    if name not in (SHAP, LIME):
        raise InputError(f"local_method must be {SHAP} or {LIME}; got {name!r}.", nearest(name, [SHAP, LIME]))


def explain_record(
    function: Callable[[Any], ndarray], frame: pandas.DataFrame, row: int, seed: int, drawn: int = DRAWN
) -> Surrogate:
    """Return a linear model of the output near a record.

    Args:
        function: Data frame to the output that is explained, shape (rows,).
        frame: The rows that values are taken from, each feature on its own.
        row: The record, as a position among them.
        seed: Seed of the drawing.
        drawn: How many rows to draw, the record itself among them.
    """
    import numpy as np
    import pandas

    rows, features = frame.shape
    places = np.random.default_rng((seed, row)).integers(0, rows, (drawn, features))
    places[0] = row
    kept = np.empty((drawn, features))
    for place, name in enumerate(frame.columns):
        groups = groups_of(frame[name])
        kept[:, place] = groups[places[:, place]] == groups[row]
    places = np.where(kept == 1, row, places)
    columns = {name: frame[name].take(places[:, place]).array for place, name in enumerate(frame.columns)}
    return fit(kept, function(pandas.DataFrame(columns)))


def groups_of(column: pandas.Series) -> ndarray:
    """Return the group of each row: a value, a quarter of a number with more values than that, or missing."""
    import pandas

    if column.dtype.kind in "iufM" and column.nunique() > QUARTERS:
        column = pandas.qcut(column, QUARTERS, labels=False, duplicates="drop")
    return column.factorize(use_na_sentinel=False)[0]


def fit(kept: ndarray, output: ndarray) -> Surrogate:
    """Fit a ridge regression, weighted by how much the rows keep; the intercept is not penalised.

    Args:
        kept: 1 where a row keeps the record's value, else 0, shape (rows, features).
        output: The model's output, shape (rows,).
    """
    import numpy as np

    features = kept.shape[1]
    nearness = np.exp(-(features - kept.sum(axis=1)) / (2 * WIDTH**2 * features))
    share = nearness / nearness.sum()
    middle, mean = share @ kept, float(share @ output)
    centred, rest = kept - middle, output - mean
    weighed = centred.T * nearness
    weights = np.linalg.solve(weighed @ centred + PENALTY * np.eye(features), weighed @ rest)
    spread = float(share @ rest**2)
    left = float(share @ (rest - centred @ weights) ** 2)
    return Surrogate(weights, mean - float(middle @ weights), None if math.isclose(spread, 0) else 1 - left / spread)
