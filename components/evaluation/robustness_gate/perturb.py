"""Perturb the columns of a table as poor data would: missing values, noise, typos, unknown categories, other units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import require_column
from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.columns import Column

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray
    from numpy.random import Generator

NUMBER, CATEGORY, OTHER = "number", "category", "other"
VARIANTS = 4
"""In how many ways a text is misspelt."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MOST_CODE = 2**24
"""The greatest code that is made up; all whole numbers up to it are floats of 32 bits, too."""
COMMONEST = 10
"""How many values of a category a search tries, the commonest first."""


@dataclass(frozen=True)
class Feature:
    """One input of a model, and what the tested rows hold in it.

    Attributes:
        name: The column's name.
        kind: `number`; `category`, of text, booleans or codes; or `other`, such as a time.
        low: The least number; 0 when it is not of numbers.
        high: The greatest number.
        spread: The numbers' standard deviation.
        whole: Whether all numbers are whole.
        values: The commonest values of a category, the commonest first.
        text: Whether it is a category of text.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    spread: float = 0.0
    whole: bool = False
    values: tuple[Any, ...] = ()
    text: bool = False


def as_text(table: pyarrow.Table, columns: Sequence[Column]) -> pyarrow.Table:
    """Return a table whose columns are text where the model's signature says so."""
    import pyarrow

    for column in columns:
        if column.type == "string" and not pyarrow.types.is_string(table[column.name].type):
            place = table.column_names.index(column.name)
            table = table.set_column(place, column.name, table[column.name].cast(pyarrow.string()))
    return table


def require_features(categorical: Sequence[str], target: str | None) -> None:
    """Raise `InputError` for a name of a column that no data could have as a feature."""
    for name in categorical:
        if not isinstance(name, str) or name == target:
            raise InputError(f"categorical_features must name features, by text; got {name!r}.")


def read_features(table: pyarrow.Table, categorical: Sequence[str]) -> list[Feature]:
    """Return what each column of a table is.

    Args:
        table: The columns that a model takes.
        categorical: Columns of numbers that are codes of categories.

    Raises:
        InputError: If one of these is absent.
    """
    for name in categorical:
        require_column(name, table.column_names, "categorical_features")
    return [_feature(name, table[name], name in categorical) for name in table.column_names]


def _feature(name: str, column: pyarrow.ChunkedArray, coded: bool) -> Feature:
    import numpy as np
    from pyarrow import types

    kind = column.type
    number = types.is_integer(kind) or types.is_floating(kind)
    if types.is_string(kind) or types.is_boolean(kind) or (coded and number):
        counts = sorted(column.value_counts().to_pylist(), key=lambda entry: (-entry["counts"], str(entry["values"])))
        known = [entry["values"] for entry in counts if not _is_missing(entry["values"])]
        return Feature(name, CATEGORY, values=tuple(known[:COMMONEST]), text=types.is_string(kind))
    values = numbers(column) if number else np.empty(0)
    known = values[np.isfinite(values)]
    if not len(known):
        return Feature(name, OTHER)
    low, high, whole = float(known.min()), float(known.max()), bool((known == known.round()).all())
    return Feature(name, NUMBER, low, high, float(known.std()), whole)


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def numbers(column: pyarrow.ChunkedArray) -> ndarray:
    """Return a column of numbers as floats, NaN for missing ones, shape (rows,)."""
    import pyarrow

    return column.cast(pyarrow.float64(), safe=False).to_numpy()


def with_values(table: pyarrow.Table, values: Mapping[str, Any]) -> pyarrow.Table:
    """Return a table with other values in some columns, of the same types.

    NaN is missing; what is too great for the type is its greatest value.

    Args:
        table: The table.
        values: Column to numbers of shape (rows,), or to a list.
    """
    import pyarrow

    made = {name: _array(column, table.schema.field(name).type) for name, column in values.items()}
    arrays = [made.get(name, column) for name, column in zip(table.column_names, table.columns, strict=True)]
    return pyarrow.Table.from_arrays(arrays, names=table.column_names)


def _array(values: Any, kind: pyarrow.DataType) -> pyarrow.Array:
    import numpy as np
    import pyarrow
    from pyarrow import types

    if not types.is_integer(kind) and not types.is_floating(kind):
        return pyarrow.array(values, type=kind)
    found = np.asarray(values, dtype=float)
    if types.is_integer(kind):
        ends = np.iinfo(kind.to_pandas_dtype())
        found = found.clip(float(ends.min), _greatest(ends.max))
    return pyarrow.array(found, mask=np.isnan(found)).cast(kind, safe=False)


def _greatest(value: int) -> float:
    """Return the greatest float that is not above a whole number."""
    import numpy as np

    return float(value) if int(float(value)) <= value else float(np.nextafter(float(value), 0))


def miss(table: pyarrow.Table, feature: Feature, strength: float, generator: Generator) -> pyarrow.Table:
    """Return a table in which a share of a column's values is missing."""
    import pyarrow
    import pyarrow.compute

    column = table[feature.name]
    gone = pyarrow.array(generator.random(len(column)) < strength)
    nothing = pyarrow.scalar(None, column.type)
    array = pyarrow.compute.if_else(gone, nothing, column)
    return table.set_column(table.column_names.index(feature.name), feature.name, array)


def blur(table: pyarrow.Table, feature: Feature, strength: float, generator: Generator) -> pyarrow.Table:
    """Return a table with normal noise in a column, of so many of its standard deviations, within its range."""
    values = numbers(table[feature.name])
    noisy = values + generator.normal(0, strength * feature.spread, len(values))
    noisy = (noisy.round() if feature.whole else noisy).clip(feature.low, feature.high)
    return with_values(table, {feature.name: noisy})


def scale(table: pyarrow.Table, feature: Feature, strength: float, generator: Generator) -> pyarrow.Table:
    """Return a table with a column multiplied by a factor, as when its unit changes."""
    return with_values(table, {feature.name: numbers(table[feature.name]) * strength})


def misspell(table: pyarrow.Table, feature: Feature, strength: float, generator: Generator) -> pyarrow.Table:
    """Return a table in which a share of a column's texts is misspelt by one letter."""
    column = table[feature.name].to_pylist()
    wrong = {value: [typo(value, generator) for _ in range(VARIANTS)] for value in sorted({*column} - {None})}
    chosen, variant = generator.random(len(column)) < strength, generator.integers(VARIANTS, size=len(column))
    values = [
        wrong[value][place] if change and value is not None else value
        for value, change, place in zip(column, chosen.tolist(), variant.tolist(), strict=True)
    ]
    return with_values(table, {feature.name: values})


def typo(text: str, generator: Generator) -> str:
    """Return a text with one letter left out, doubled, replaced or swapped with the next; never the same text."""
    place, letter = int(generator.integers(max(len(text), 1))), LETTERS[generator.integers(len(LETTERS))]
    before, here, after = text[:place], text[place : place + 1], text[place + 1 :]
    ways = [
        before + after,
        before + here + here + after,
        before + letter + after,
        before + after[:1] + here + after[1:],
    ]
    found = ways[generator.integers(len(ways))]
    return found if found != text else text + letter


def estrange(table: pyarrow.Table, feature: Feature, strength: float, generator: Generator) -> pyarrow.Table:
    """Return a table in which a share of a category's values is one that no row has, if its type has any such."""
    column = table[feature.name].to_pylist()
    known = {value for value in column if not _is_missing(value)}
    unseen = _unseen_text(known) if feature.text else _unseen_number(known, table.schema.field(feature.name).type)
    if unseen is None:
        return table
    chosen = generator.random(len(column)) < strength
    values = [
        unseen if change and not _is_missing(value) else value
        for value, change in zip(column, chosen.tolist(), strict=True)
    ]
    return with_values(table, {feature.name: values})


def _unseen_text(known: Set[str]) -> str:
    text = "unseen"
    while text in known:
        text += "_"
    return text


def _unseen_number(known: Set[float], kind: pyarrow.DataType) -> float | None:
    """Return a number of the type that no row has, above all others if there is one; None where rows have all."""
    import numpy as np
    from pyarrow import types

    least, most = 0, MOST_CODE
    if types.is_integer(kind):
        ends = np.iinfo(kind.to_pandas_dtype())
        least, most = int(ends.min), min(int(ends.max), most)
    above = math.floor(max((value for value in known if math.isfinite(value)), default=-1)) + 1
    if above <= most:
        return above
    return next((value for value in chain(range(most + 1), range(least, 0)) if value not in known), None)


def _is_number(feature: Feature) -> bool:
    return feature.kind == NUMBER


def _has_codes(feature: Feature) -> bool:
    return feature.kind == CATEGORY and bool(feature.values) and not isinstance(feature.values[0], bool)


@dataclass(frozen=True)
class Perturbation:
    """A way in which data are poor.

    Attributes:
        name: Its name in limits and strengths.
        title: What it is called in sentences.
        unit: What a strength is, as a sentence ends it.
        apply: Table, feature, strength and source of chance to the perturbed table.
        fits: Whether a feature can be perturbed so.
        strengths: The strengths that are tried where none are given.
        together: Whether all features are perturbed at once, too.
        share: Whether a strength is a share.
    """

    name: str
    title: str
    unit: str
    apply: Callable[[pyarrow.Table, Feature, float, Generator], pyarrow.Table]
    fits: Callable[[Feature], bool]
    strengths: tuple[float, ...]
    together: bool = True
    share: bool = True


PERTURBATIONS = (
    Perturbation("missing", "missing values", "of the values", miss, lambda _: True, (0.1, 0.5)),
    Perturbation("noise", "noise", "standard deviations", blur, _is_number, (0.1, 0.5), share=False),
    Perturbation("typo", "typos", "of the values", misspell, lambda feature: feature.text, (0.1, 0.5)),
    Perturbation("unseen", "unseen categories", "of the values", estrange, _has_codes, (0.1, 0.5)),
    Perturbation("unit_shift", "another unit", "times", scale, _is_number, (10.0, 1000.0), together=False, share=False),
)


def perturb(
    table: pyarrow.Table, kind: Perturbation, features: Sequence[Feature], strength: float, seed: Sequence[int]
) -> pyarrow.Table:
    """Return a table with some features perturbed, each by itself."""
    import numpy as np

    generator = np.random.default_rng(seed)
    for feature in features:
        table = kind.apply(table, feature, strength, generator)
    return table


def require_changeable(names: Sequence[str] | None, features: Sequence[Feature]) -> list[Feature]:
    """Return the features that an adversary can change: those named, or all of numbers.

    Raises:
        InputError: If one is absent, or holds neither numbers nor categories.
    """
    if names is None:
        return [feature for feature in features if feature.kind == NUMBER]
    known = {feature.name: feature for feature in features}
    for name in names:
        require_column(name, [*known], "changeable_features")
        if known[name].kind == OTHER:
            raise InputError(f"changeable_features must hold numbers or categories; {name!r} does not.")
    return [known[name] for name in dict.fromkeys(names)]
