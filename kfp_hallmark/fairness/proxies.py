"""How well a feature tells a forbidden one: the share of its variance that the feature explains.

The forbidden column is taken apart into what could be told of it: whether a row has a value, for each value (a missing
one among them) that enough rows have; of a number with many values its rank. The feature makes groups: each value is
one, and a missing value too; a number with many values is also taken in 20 bins of about as many rows. The share is one
minus the mean variance within the groups over the variance, each estimated without bias, so that groups without meaning
explain nothing on average, however many there are; values that one row alone has make one group, as nothing can be
learnt from them. This is Kelley's epsilon squared, for a yes or no the square of Cramer's V with a correction for bias.
The greatest share of all that could be told, in either way, counts.

The interval is normal, from the rows' influences, and holds for all features and all that could be told together
(after Sidak). A row's influence is weighted by n / (n - 1), n the rows of its group, which is what the rows of a small
group lose by sharing a mean.

Sources: T. Kelley, An unbiased correlation ratio measure, PNAS 21 (1935); Z. Sidak, JASA 62 (1967).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from kfp_hallmark.measures import Interval

if TYPE_CHECKING:
    import pandas
    from numpy import ndarray

FEW = 20
"""A number with at most so many values is taken value by value alone."""

BINS = 20
"""In how many bins another number is taken, too."""

LEAST_ROWS = 30
"""The fewest rows that must have a value, and must not, for it to be told."""

MAX_VALUES = 50
"""How many values of a forbidden feature are told at the most: the most common."""


@dataclass(frozen=True)
class Association:
    """How well a feature tells a forbidden one.

    Attributes:
        feature: The feature.
        strength: The share of the variance that it explains, from 0 to 1.
        interval: Its confidence interval, which holds for all features together.
    """

    feature: str
    strength: float
    interval: Interval


@dataclass(frozen=True)
class _Told:
    """Something that could be told of a forbidden feature: a number for some of the rows."""

    rows: ndarray
    values: ndarray


def associations(forbidden: pandas.Series, features: Sequence[pandas.Series], confidence: float) -> list[Association]:
    """Return how well each feature tells a forbidden one, the strongest first.

    Args:
        forbidden: The forbidden column.
        features: The features, on the same rows.
        confidence: Confidence level of the intervals together, between 0 and 1.

    Returns:
        One for each feature; none when the rows are too few for anything to be told.
    """
    parts = _told(forbidden)
    if not parts or not features:
        return []
    groupings = [groupings_of(feature) for feature in features]
    comparisons = len(parts) * sum(map(len, groupings))
    reach = NormalDist().inv_cdf((1 + confidence ** (1 / comparisons)) / 2)
    found = []
    for feature, grouping in zip(features, groupings, strict=True):
        explained = [explained_share(groups[part.rows], part.values) for groups in grouping for part in parts]
        found.append(
            Association(
                str(feature.name),
                max(0.0, *(share for share, _ in explained)),
                (
                    max(0.0, *(share - reach * error for share, error in explained)),
                    min(1.0, max(0.0, *(share + reach * error for share, error in explained))),
                ),
            )
        )
    return sorted(found, key=lambda each: (-each.strength, each.feature))


def _told(column: pandas.Series) -> list[_Told]:
    import numpy as np

    everywhere = np.arange(len(column))
    if _is_number(column) and column.nunique() > FEW:
        present = np.flatnonzero(column.notna())
        ranks = column.iloc[present].rank().to_numpy()
        parts = [_Told(present, ranks)] if len(present) > 2 * LEAST_ROWS else []
        yes_or_no = [column.isna().to_numpy()]
    else:
        codes, _ = column.factorize(use_na_sentinel=False)
        common = np.argsort(-np.bincount(codes), kind="stable")[:MAX_VALUES].tolist()
        parts, yes_or_no = [], [codes == value for value in (common[:1] if len(common) == 2 else common)]
    parts += [
        _Told(everywhere, mask.astype(float))
        for mask in yes_or_no
        if min(mask.sum(), len(mask) - mask.sum()) >= LEAST_ROWS
    ]
    return parts


def groupings_of(column: pandas.Series) -> list[ndarray]:
    """Return the group of each row, shape (rows,), by value and by bin; not by value where each row has its own."""
    import pandas

    if not _is_number(column) or column.nunique() <= FEW:
        return [_groups(column)]
    by_value = _groups(column)
    binned = _groups(pandas.qcut(column.rank(), BINS, labels=False, duplicates="drop"))
    return [binned] if (by_value == by_value[0]).all() else [by_value, binned]


def _groups(column: pandas.Series) -> ndarray:
    """Return the group of each row, shape (rows,); values that one row alone has are one group."""
    import numpy as np

    codes, _ = column.factorize(use_na_sentinel=False)
    counts = np.bincount(codes)
    codes[counts[codes] == 1] = len(counts)
    return codes


def _is_number(column: pandas.Series) -> bool:
    return column.dtype.kind in "iufM"


def explained_share(groups: ndarray, values: ndarray) -> tuple[float, float]:
    """Return the share of the variance that groups explain, and its standard error.

    Args:
        groups: The group of each row, shape (rows,); one that a row has alone is left out.
        values: What is told of the rows, shape (rows,).
    """
    import numpy as np

    counts = np.bincount(groups).astype(float)
    known = counts[groups] > 1
    groups, values = groups[known], values[known]
    rows = len(values)
    total = values.var(ddof=1) if rows > 1 and (groups != groups[0]).any() else 0.0
    if not total:
        return 0.0, 0.0
    means = np.bincount(groups, values) / np.maximum(np.bincount(groups), 1)
    weights = counts[groups] / (counts[groups] - 1)
    within = (values - means[groups]) ** 2 * weights
    share = 1 - within.mean() / total
    influences = (within - (1 - share) * (values - values.mean()) ** 2) / total
    return float(share), math.sqrt(float((influences**2 * weights).sum())) / rows
