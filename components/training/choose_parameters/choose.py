"""Choose the best of several searches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.measures import METRICS


def choose(
    parameters: Sequence[Mapping[str, Any]], scores: Sequence[float], metric: str
) -> tuple[dict[str, Any], float, int]:
    """Return the best parameters, their score and their place; see `component.py`.

    Raises:
        InputError: If there is nothing to choose from, or it cannot be compared.
    """
    if metric not in METRICS:
        raise InputError(
            f"metric must be one that evaluate_model measures; got {metric!r}.", nearest(metric, [*METRICS])
        )
    if not parameters or len(parameters) != len(scores):
        raise InputError(
            "parameters and scores must be of the same searches, at least one; "
            f"got {len(parameters)} and {len(scores)}."
        )
    if not all(map(math.isfinite, scores)):
        raise InputError("scores must be finite; some are not.")
    pick = max if METRICS[metric].greater_is_better else min
    place = pick(range(len(scores)), key=lambda index: scores[index])
    return dict(parameters[place]), float(scores[place]), place
