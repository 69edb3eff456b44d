"""Shares of features in the sum of mean absolute SHAP values, with intervals.

The mean absolute values of random parts of the rows are what the intervals rest on: a share is a ratio of two means
over the parts, its interval is Student's with the standard error of a ratio. The champion's shares are those of the
same parts, so that what both have in common cancels out.

Source: W. Cochran, Sampling Techniques, 3rd edition (1977), section 2.11, for the error of a ratio.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kfp_hallmark.measures import Interval

if TYPE_CHECKING:
    from numpy import ndarray

LEAST_PARTS = 10
"""The fewest parts by which an interval is told."""


def shares(parts: ndarray) -> ndarray:
    """Return the share of each feature in the sum of all, shape (features,); zeros when nothing moves a prediction.

    Args:
        parts: Mean absolute SHAP values, shape (parts, features).
    """
    sums = parts.sum(axis=0)
    return sums / (sums.sum() or 1.0)


def share_interval(parts: ndarray, places: list[int], confidence: float, comparisons: int = 1) -> Interval | None:
    """Return the confidence interval of the share of some features together; None when there are too few parts.

    Args:
        parts: Mean absolute SHAP values, shape (parts, features).
        places: The features, as positions.
        confidence: Confidence level, between 0 and 1.
        comparisons: Number of such intervals that hold together (after Sidak).
    """
    influences = _influences(parts)[:, places].sum(axis=1)
    return _around(float(shares(parts)[places].sum()), influences, confidence, comparisons)


def greatest_interval(parts: ndarray, confidence: float) -> Interval | None:
    """Return the confidence interval of the greatest share of one feature; None when there are too few parts.

    The lower end is the greatest of the features' lower ends, which all hold together. The upper end is the greatest of
    their upper ends, which needs no correction: it errs only if that of the one greatest feature does.
    """
    features = parts.shape[1]
    together = [share_interval(parts, [place], confidence, features) for place in range(features)]
    single = [share_interval(parts, [place], confidence) for place in range(features)]
    lows, highs = [each[0] for each in together if each], [each[1] for each in single if each]
    return (max(lows), max(highs)) if lows else None


def distance(model: ndarray, champion: ndarray, confidence: float) -> tuple[float, Interval | None]:
    """Return how much of the weight rests on other features than the champion's, and its confidence interval.

    It is the total variation distance: half the sum of the absolute differences of the shares. Chance makes it too
    great, so the lower end comes from differences whose signs were taken from the other half of the parts: their mean
    is at most the distance. The upper end is that of the plain estimate.

    Args:
        model: Mean absolute SHAP values, shape (parts, features).
        champion: Those of the champion for the same parts and features.
        confidence: Confidence level, between 0 and 1.
    """
    import numpy as np

    signs = np.sign(shares(model) - shares(champion))
    observed = float((signs * (shares(model) - shares(champion))).sum() / 2)
    influences = _influences(model) - _influences(champion)
    plain = _around(observed, influences @ signs / 2, confidence, 1)
    if plain is None:
        return observed, None
    means, halves = [], []
    for half in (0, 1):
        own, other = slice(half, None, 2), slice(1 - half, None, 2)
        of_other = np.sign(shares(model[other]) - shares(champion[other]))
        means.append(float(((shares(model[own]) - shares(champion[own])) * of_other).sum() / 2))
        halves.append((_influences(model[own]) - _influences(champion[own])) @ of_other / 2)
    crossed = _around(sum(means) / 2, np.concatenate(halves), confidence, 1)
    assert crossed is not None
    return observed, (min(crossed[0], observed), plain[1])


def _influences(parts: ndarray) -> ndarray:
    """Return by how much each part moves each share, times the number of parts, shape (parts, features)."""
    import numpy as np

    totals = parts.sum(axis=1)
    mean = totals.mean()
    return (parts - np.outer(totals, shares(parts))) / mean if mean else np.zeros_like(parts)


def _around(value: float, influences: ndarray, confidence: float, comparisons: int) -> Interval | None:
    """Return Student's interval of a share, within 0 and 1; None when there are too few parts."""
    from scipy.stats import t

    parts = len(influences)
    if parts < LEAST_PARTS:
        return None
    error = math.sqrt(float((influences**2).sum()) / (parts * (parts - 1)))
    reach = float(t.ppf((1 + confidence ** (1 / comparisons)) / 2, parts - 1)) * error
    return max(0.0, value - reach), min(1.0, value + reach)
