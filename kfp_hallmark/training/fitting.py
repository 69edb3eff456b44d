"""Fit a pipeline on one thread, and tell of a failure without the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.prediction import origin

if TYPE_CHECKING:
    import numpy


def fit(pipeline: Any, frame: Any, label: numpy.ndarray, estimator: str) -> Any:
    """Return the pipeline, fitted on one thread.

    Raises:
        InputError: If the estimator refuses its parameters or the data; its own message may hold values and is not
            shown.
    """
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(1):
            return pipeline.fit(frame, label)
    except Exception as error:
        raise InputError(
            f"The estimator {estimator!r} must fit {len(label):,} rows{_of_classes(pipeline, label)}; it failed with "
            f"{type(error).__name__} {origin(error)}.",
            "Its own message may hold values of the data, so it is not shown; the line that raised it tells more.",
        ) from None


def _of_classes(pipeline: Any, label: numpy.ndarray) -> str:
    """Return how many classes there are, for a classifier, and how rare one is."""
    import numpy
    from sklearn.base import is_classifier

    if not is_classifier(pipeline):
        return ""
    rows = numpy.unique(label, return_counts=True)[1]
    return f" of {len(rows):,} classes, the rarest of which has {rows.min():,}"
