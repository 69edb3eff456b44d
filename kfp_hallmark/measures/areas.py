"""Areas under the ROC curves of many groups at once, with DeLong's variances, from sorted scores.

The sign of a score that is not negative is a bit to spare. It makes room for the class, as the last bit, so that
scores and classes are sorted as one number; the k-th positive of a group, in place p, then has p - k negatives before
it. No row is put back into its place and only ties are searched for: that is what takes long.

Source: X. Sun, W. Xu, IEEE Signal Processing Letters 21 (2014), on DeLong's variance by ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfp_hallmark.measures.partition import Partition
from kfp_hallmark.measures.registry import LEAST_ROWS, hanley_mcneil

if TYPE_CHECKING:
    from numpy import ndarray


def grouped_areas(score: ndarray, positive: ndarray, groups: Partition) -> tuple[ndarray, ndarray, ndarray]:
    """Return the area of each group, its variance, and the rows of its rarer class, each of shape (groups,).

    A group with fewer than `LEAST_ROWS` rows of a class has the area 0 and the variance 0.

    Args:
        score: Shape (rows,).
        positive: Whether each row is positive, shape (rows,).
        groups: The groups of the rows.
    """
    import numpy as np

    areas, variances, rarer = (np.zeros(groups.groups, dtype=kind) for kind in (float, float, int))
    for group, keys in enumerate(groups.split(_keys(score, positive))):
        keys.sort()
        is_positive = (keys & np.uint64(1)).astype(bool)
        places = np.flatnonzero(~is_positive), np.flatnonzero(is_positive)
        rarer[group] = min(len(each) for each in places)
        if rarer[group] >= LEAST_ROWS:
            areas[group], variances[group] = _area(keys, *places)
    return areas, variances, rarer


def _keys(score: ndarray, positive: ndarray) -> ndarray:
    """Return whole numbers in the order of the scores, of equal scores the negatives first, shape (rows,)."""
    import numpy as np

    if (score < 0).any():
        score = np.unique(score, return_inverse=True)[1].astype(float)
    # Adding 0 makes -0 equal to 0.
    keys: ndarray = (score + 0.0).view(np.uint64)
    keys <<= np.uint64(1)
    keys |= positive
    return keys


def _area(keys: ndarray, negatives: ndarray, positives: ndarray) -> tuple[float, float]:
    """Return the area and its variance.

    Args:
        keys: Rising, shape (rows,).
        negatives: The places of the negatives, rising.
        positives: The places of the positives, rising.
    """
    import numpy as np

    above, below = (places - np.arange(len(places)) for places in (negatives, positives))
    tied = np.flatnonzero(keys[1:] ^ keys[:-1] == 1)
    if len(tied):
        start, middle, end = np.searchsorted(keys, keys[tied]), tied + 1, np.searchsorted(keys, keys[tied + 1], "right")
        before = np.searchsorted(positives, start)
        above = _raised(above, start - before, middle - start, end - middle)
        below = _raised(below, before, end - middle, start - middle)
    rows = np.array([len(negatives), len(positives)])
    area = float(below.sum() / rows.prod())
    variance = above.var(ddof=1) / rows[0] / rows[1] ** 2 + below.var(ddof=1) / rows[1] / rows[0] ** 2
    return area, max(float(variance), hanley_mcneil(area, rows))


def _raised(values: ndarray, start: ndarray, length: ndarray, halves: ndarray) -> ndarray:
    """Return values of which runs that do not overlap are raised, each by as many halves as are its own."""
    import numpy as np

    steps = np.zeros(len(values) + 1, dtype=int)
    steps[start] += halves
    steps[start + length] -= halves
    raised: ndarray = values + np.cumsum(steps[:-1]) / 2
    return raised
