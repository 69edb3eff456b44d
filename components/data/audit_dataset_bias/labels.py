"""The labels of a dataset: classes, or a number."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.audit_dataset_bias.limits import MEAN, OF_CLASSES, Measure
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.fairness.groups import MAX_NUMBERS, Groups, group_by
from kfp_hallmark.fairness.quantities import Rate
from kfp_hallmark.fairness.tally import Tally, mean_of

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray

RATE, MEAN_LABEL = "label rate", "mean label"
MAX_CLASSES = 50
"""A target of text with more values than this names no classes."""


@dataclass(frozen=True)
class Labels:
    """The labels of a dataset.

    Attributes:
        target: Their column.
        known: Whether a row has one, shape (rows,).
        values: Of the rows that have one: the class, as a position in `classes`, or the number.
        classes: The classes, in the order of their values; empty when it is a number.
        positive: Of two classes, the position of the one whose rate is compared.
    """

    target: str
    known: ndarray
    values: ndarray
    classes: tuple[str, ...] = ()
    positive: int | None = None

    def of(self, groups: Groups) -> list[Tally]:
        """Return what is compared between groups, of each class that is held against the rest."""
        import numpy as np

        labelled = replace(groups, codes=groups.codes[self.known])
        count = len(groups.names)
        sizes = np.bincount(labelled.codes, minlength=count)
        if not self.classes:
            with np.errstate(invalid="ignore"):
                return [Tally(groups, sizes, {MEAN_LABEL: mean_of(self.values, labelled)})]
        hits = np.bincount(labelled.codes * len(self.classes) + self.values, minlength=count * len(self.classes))
        rates = [Rate(each, sizes) for each in hits.reshape(count, -1).T]
        if self.positive is not None:
            return [Tally(groups, sizes, {RATE: rates[self.positive]})]
        return [Tally(groups, sizes, {RATE: rate}, name) for rate, name in zip(rates, self.classes, strict=True)]


def labels_of(
    column: pyarrow.ChunkedArray, target: str, positive_class: str | None, wanted: Collection[Measure]
) -> Labels:
    """Return the labels that a column holds.

    Raises:
        InputError: If they are neither classes nor numbers, are all the same, do not suit a limit, or have no such
            positive class.
    """
    import pyarrow
    from pyarrow import types

    kind = column.type
    numeric = types.is_integer(kind) or types.is_floating(kind)
    if not (numeric or types.is_string(kind) or types.is_boolean(kind)):
        raise InputError(f"target must hold numbers, text or booleans; the column {target!r} holds {kind}.")
    known = ~column.is_null(nan_is_null=True).to_numpy()
    present = column.filter(pyarrow.array(known))
    distinct = len(present.unique())
    if distinct < 2:
        raise InputError(f"target must have at least two values; the column {target!r} has {distinct}.")
    if MEAN in wanted and not numeric:
        raise InputError(f"target must hold numbers for {MEAN.limit}; the column {target!r} holds {kind}.")
    if MEAN in wanted or (numeric and distinct > MAX_NUMBERS):
        return _numbers(present, target, positive_class, known, wanted)
    if distinct > MAX_CLASSES:
        raise InputError(f"target must have at most {MAX_CLASSES} classes; the column {target!r} has {distinct:,}.")
    classes = group_by(present, target)
    positive = _positive(classes.names, positive_class)
    return Labels(target, known, classes.codes, tuple(classes.names), positive)


def _numbers(
    present: pyarrow.ChunkedArray,
    target: str,
    positive_class: str | None,
    known: ndarray,
    wanted: Collection[Measure],
) -> Labels:
    import numpy as np

    unfit = [measure.limit for measure in OF_CLASSES if measure in wanted]
    if unfit:
        raise InputError(
            f"limits must hold limits of a number, as which {target!r} is taken; got {unfit[0]!r}.",
            f"Of numbers {MEAN.limit} limits the labels.",
        )
    if positive_class is not None:
        raise InputError(f"positive_class must be left out for a number, as which {target!r} is taken.")
    values = present.to_numpy().astype(float)
    if not np.isfinite(values).all():
        raise InputError(f"target must hold finite numbers; the column {target!r} does not.")
    return Labels(target, known, values)


def _positive(classes: list[str], wanted: str | None) -> int | None:
    """Return the position of the class whose rate is compared; None when there are more than two."""
    if len(classes) > 2:
        if wanted is not None:
            raise InputError(
                f"positive_class must be left out when target has more than two classes; it has {len(classes)}."
            )
        return None
    if wanted is None:
        return 1
    spelled: Mapping[str, int] = {
        spelling: place for place, name in enumerate(classes) for spelling in (name, _lower(name))
    }
    if wanted not in spelled:
        raise InputError(f"positive_class must be a class of the target; got {wanted!r}.", nearest(wanted, classes))
    return spelled[wanted]


def _lower(name: str) -> str:
    """Return a boolean as JSON spells it, another name as it is."""
    return name.lower() if name in ("True", "False") else name
