"""What there is to see of the groups of a dataset: their sizes, their labels, what they lack, what tells them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.audit_dataset_bias.labels import Labels
from kfp_hallmark.contracts.dataset import read_table
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.explanation.rows import sample
from kfp_hallmark.fairness.groups import MISSING, Groups
from kfp_hallmark.fairness.proxies import Association, associations
from kfp_hallmark.fairness.quantities import Rate, RelativeRate
from kfp_hallmark.fairness.tally import Tally

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from numpy import ndarray

MAX_ROWS = 20_000
"""In how many rows proxies are looked for at the most."""
MAX_CELLS = 10_000_000
"""How many values are in memory at once at the most; one column always is."""
ROUNDING = 0.01
"""By how much the shares of a population may be off 1 in all."""


@dataclass(frozen=True)
class Feature:
    """What there is to see of the groups of one sensitive feature, or of an intersection of several.

    Attributes:
        groups: The groups.
        sizes: The rows of each, shape (groups,).
        labels: Their labels, of each class that is held against the rest.
        population: Group to its share in the population, which may have groups that the data has not; empty when it is
            not known.
        missing: Column to the share of each group's rows that lack a value; columns that lack none are left out.
        proxies: How well each other column tells the feature, the strongest first; None of an intersection.
    """

    groups: Groups
    sizes: ndarray
    labels: Sequence[Tally]
    population: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, Rate] = field(default_factory=dict)
    proxies: Sequence[Association] | None = None

    @property
    def name(self) -> str:
        """The feature; of an intersection, the names joined."""
        return self.groups.feature

    @property
    def present(self) -> list[int]:
        """The positions of the groups of rows that have a value."""
        return [place for place, name in enumerate(self.groups.names) if name != MISSING]

    @property
    def shares(self) -> Rate:
        """The share of each group in all rows."""
        import numpy as np

        return Rate(self.sizes, np.full(len(self.sizes), self.sizes.sum()))

    @property
    def representation(self) -> tuple[list[str], RelativeRate]:
        """The groups of the population, and the share of each in the rows with a value relative to it."""
        import numpy as np

        names = list(self.population)
        found = dict(zip(self.groups.names, self.sizes.tolist(), strict=True))
        hits = np.array([found.get(name, 0) for name in names])
        rate = Rate(hits, np.full(len(hits), hits.sum()))
        return names, RelativeRate(rate, np.array([self.population[name] for name in names]))


def require_population(population: Mapping[str, Mapping[str, float]], groups: Sequence[Groups]) -> None:
    """Raise `InputError` when a population is not one of groups that are judged."""
    known = {each.feature: each for each in groups}
    for feature, shares in population.items():
        if feature not in known:
            raise InputError(
                f"population must hold sensitive features; got {feature!r}.", nearest(feature, list(known))
            )
        if not isinstance(shares, Mapping) or not all(map(_is_share, shares.values())):
            raise InputError(
                f"The population of {feature!r} must hold shares above 0 and at most 1, by group; it does not."
            )
        if abs(sum(shares.values()) - 1) > ROUNDING:
            raise InputError(
                f"The shares of the population of {feature!r} must sum to 1; they sum to {sum(shares.values()):.4g}."
            )
        unknown = [name for name in known[feature].names if name not in shares and name != MISSING]
        if unknown:
            raise InputError(
                f"The population of {feature!r} must hold every group of the data; it lacks {len(unknown)}.",
                f"Groups are named as the report does: {', '.join(known[feature].names[:5])}.",
            )


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def look(
    path: str,
    groupings: Sequence[tuple[Groups, Sequence[str]]],
    labels: Labels,
    population: Mapping[str, Mapping[str, float]],
    columns: Sequence[str],
    confidence: float,
    seed: int,
) -> list[Feature]:
    """Return what there is to see of some groups, a few columns in memory at a time.

    Args:
        path: The dataset.
        groupings: The groups, each with the features that make them.
        labels: The labels.
        population: Feature to group to its share in the population.
        columns: The columns that may have missing values, among them those that may be proxies.
        confidence: Confidence level of the intervals of what tells a feature.
        seed: Seed of the sample of rows.
    """
    import numpy as np

    sizes = [np.bincount(groups.codes, minlength=len(groups.names)) for groups, _ in groupings]
    sensitive = list(dict.fromkeys(feature for _, features in groupings for feature in features))
    missing: list[dict[str, Rate]] = [{} for _ in groupings]
    sampled: dict[str, pandas.Series] = {}
    rows = len(labels.known)
    chosen = np.sort(sample(rows, MAX_ROWS, seed))
    for name, column in _columns(path, list(dict.fromkeys([*columns, *sensitive])), rows):
        if name != labels.target:
            sampled[name] = column.take(chosen).to_pandas(date_as_object=False).rename(name)
        lacks = column.is_null(nan_is_null=True).to_numpy()
        if name not in columns or not lacks.any():
            continue
        for (groups, features), size, found in zip(groupings, sizes, missing, strict=True):
            if name not in features:
                found[name] = Rate(np.bincount(groups.codes[lacks], minlength=len(size)), size)
    others = [series for name, series in sampled.items() if name not in sensitive]
    return [
        Feature(
            groups,
            size,
            labels.of(groups),
            _normalised(population.get(groups.feature, {})),
            found,
            associations(sampled[groups.feature], others, confidence) if len(features) == 1 else None,
        )
        for (groups, features), size, found in zip(groupings, sizes, missing, strict=True)
    ]


def _columns(path: str, names: Sequence[str], rows: int) -> Iterator[tuple[str, pyarrow.ChunkedArray]]:
    """Give the columns of a dataset, at most `MAX_CELLS` in memory but always one."""
    size = max(MAX_CELLS // rows, 1)
    for start in range(0, len(names), size):
        table = read_table(path, names[start : start + size])
        yield from zip(table.column_names, table.columns, strict=True)


def _normalised(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: share / sum(shares.values()) for name, share in shares.items()}
