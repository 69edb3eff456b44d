"""Say what a label means to an estimator: the task, the classes, the positive one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.modeling.prediction import THRESHOLD

if TYPE_CHECKING:
    import numpy


def describe_target(estimator: Any, label: numpy.ndarray, target: str, positive_class: str | None) -> dict[str, Any]:
    """Return task and, for a classifier, classes, positive class and threshold.

    Raises:
        InputError: If the label is constant or does not suit the estimator, or the positive class is none of two.
    """
    import numpy
    from sklearn.base import is_classifier, is_regressor

    values = numpy.unique(label).tolist()
    _require_two(values, label, target)
    if is_regressor(estimator):
        return describe_number(label, target)
    if not is_classifier(estimator):
        raise InputError(f"estimator must be a classifier or a regressor; got {type(estimator).__name__!r}.")
    if label.dtype.kind not in "biufO" or (label.dtype.kind == "f" and not (label == numpy.floor(label)).all()):
        raise InputError(
            f"target must hold text, booleans or whole numbers for a classifier; the column {target!r} does not.",
            "To predict a number, choose a regressor.",
        )
    if len(values) > 2 and positive_class is not None:
        raise InputError(
            f"positive_class must be left out when target has more than two classes; it has {len(values)}."
        )
    if len(values) > 2:
        return {"task": MULTICLASS, "classes": values}
    positive = values[1] if positive_class is None else _find_class(values, positive_class)
    return {"task": BINARY, "classes": values, "positive_class": positive, "threshold": THRESHOLD}


def describe_number(label: numpy.ndarray, target: str) -> dict[str, Any]:
    """Return the task of predicting a number.

    Raises:
        InputError: If the label is constant or holds anything but finite numbers.
    """
    import numpy

    if label.dtype.kind not in "fiu" or not numpy.isfinite(label).all():
        raise InputError(f"target must hold finite numbers for a regressor; the column {target!r} does not.")
    _require_two(numpy.unique(label), label, target)
    return {"task": REGRESSION}


def _require_two(values: Sequence[Any], label: numpy.ndarray, target: str) -> None:
    if len(values) < 2:
        raise InputError(
            f"target must have at least two values; the column {target!r} has one in all {len(label):,} rows."
        )


def _find_class(classes: Sequence[Any], wanted: str) -> Any:
    """Return the class that is written so: `1` names 1 and 1.0, `true` names True."""
    spelled = {str(value): value for value in classes}
    spelled |= {str(value).lower(): value for value in classes if isinstance(value, bool)}
    spelled |= {f"{value:g}": value for value in classes if isinstance(value, float)}
    if wanted not in spelled:
        known = [str(value) for value in classes]
        raise InputError(f"positive_class must be a class of the target; got {wanted!r}.", nearest(wanted, known))
    return spelled[wanted]
