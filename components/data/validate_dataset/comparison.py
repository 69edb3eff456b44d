"""How far a dataset, or a serving sample, has moved from a reference."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kfp_hallmark.components.data.validate_dataset.schema import TOLERANCE
from kfp_hallmark.contracts.verdict import Check, Status
from kfp_hallmark.profiles.drift import Drift, adjusted, drift
from kfp_hallmark.profiles.profile import PERCENT, Binned, Column, Profile
from kfp_hallmark.profiles.scan import Counted
from kfp_hallmark.profiles.tally import Numbers
from kfp_hallmark.reports import number

ALPHA = 0.01
"""A feature has moved only if fewer of those that did so by chance would be among the moved (Benjamini-Hochberg)."""
CHANCE = 16.92
"""The 95 % quantile of the chi-squared distribution with 9 degrees of freedom."""
MOST_RENAMED = 20
"""With more columns missing, none of them is looked for among the new ones."""
PSI = "population_stability_index"


@dataclass(frozen=True)
class Reference:
    """What each column is compared with.

    Attributes:
        role: `baseline`, `previous`, or `dataset` when a serving sample is compared with it.
        profile: Its profile, without the columns that are not judged.
    """

    role: str
    profile: Profile


@dataclass(frozen=True)
class Limits:
    """How far features may move.

    Attributes:
        max_stable_psi: Greatest PSI of a stable feature.
        max_psi: Greatest PSI that does not fail.
        features: Limits of single features, in place of these, by the same names.
    """

    max_stable_psi: float
    max_psi: float
    features: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, feature: str) -> tuple[float, float]:
        """Return the greatest PSI of a feature that is stable, and the greatest that does not fail."""
        own = self.features.get(feature, {})
        greatest = own.get("max_psi", self.max_psi)
        return min(own.get("max_stable_psi", self.max_stable_psi), greatest), greatest


@dataclass(frozen=True)
class Move:
    """How far a feature has moved, and what is thought of it.

    Attributes:
        drift: How far.
        p_value: How probable it is by chance, adjusted for the number of features.
        status: What it comes to; `inconclusive` when there are too few rows to judge.
    """

    drift: Drift
    p_value: float
    status: Status


@dataclass(frozen=True)
class Tails:
    """How many finite values of a column lie beyond the reference's 1st and 99th percentiles, or have become frequent.

    Attributes:
        below: How many are below the 1st.
        above: How many are above the 99th.
        values: How many there are.
        former: How many the reference has.
        risen: How many are the most frequent of the values that fewer than 1 % of the reference's are.
    """

    below: int
    above: int
    values: int
    former: int
    risen: int

    @classmethod
    def of(cls, before: Column, counted: Counted) -> Tails | None:
        """Return those of a column of numbers; None for others, for few different ones, and without any."""
        held = before.distribution
        if before.type not in ("number", "integer") or not isinstance(held, Binned) or not held.edges:
            return None
        assert isinstance(counted, Numbers)
        below, most = counted.at_most([math.nextafter(held.edges[0], -math.inf), held.edges[-1]]).tolist()
        former = sum(held.counts) - held.below - held.above
        above = counted.below + counted.finite - most
        return cls(below - counted.below, above, counted.finite, former, _risen(held, counted))


def _risen(held: Binned, counted: Numbers) -> int:
    """Return `Tails.risen`: a value that 1 % of the rows hold is a percentile, in the reference as here."""
    import numpy

    if not counted.finite:
        return 0
    percentiles = counted.quantiles(numpy.arange(1, PERCENT) / PERCENT)
    frequent = set(percentiles[1:][percentiles[1:] == percentiles[:-1]].tolist()) - set(held.edges)
    return int(counted.holding(sorted(frequent)).max(initial=0))


@dataclass(frozen=True)
class Comparison:
    """What came out when a side was compared with a reference.

    Attributes:
        role: The side that the dataset is compared with: `baseline`, `previous`, or `serving`.
        before: The profile of the reference; for `serving`, of the dataset.
        now: The profile of the dataset; for `serving`, of the serving sample.
        moves: The features that can be compared, the worst first.
        renamed: The column that is gone, to the new one that holds alike values.
        tails: How many values of each column of numbers lie far out.
    """

    role: str
    before: Profile
    now: Profile
    moves: Sequence[Move]
    renamed: Mapping[str, str]
    tails: Mapping[str, Tails]

    @property
    def scope(self) -> dict[str, str]:
        """What checks of it are about."""
        return {"reference": self.role}


class Comparing:
    """Compares columns with a reference, one by one as they are read."""

    def __init__(self, role: str, before: Profile, names: Sequence[str], going_on: Collection[str] = ()) -> None:
        """Compare a side that has some columns with the profile of a reference.

        Args:
            role: See `Comparison`.
            before: The reference's profile.
            names: The columns of the side.
            going_on: Columns of times that go on from span to span, so that they are not compared.
        """
        self.role, self.before, self._going_on = role, before, going_on
        self._drifts: list[Drift] = []
        gone = before.columns.keys() - set(names)
        self._gone = sorted(gone) if len(gone) <= MOST_RENAMED else []
        self._renamed: dict[str, str] = {}
        self._tails: dict[str, Tails] = {}

    def add(self, name: str, counted: Counted, max_stable_psi: float) -> None:
        """Compare a column."""
        if name in self._going_on:
            return
        if name in self.before.columns:
            found = drift(name, self.before.columns[name], counted)
            if found is not None:
                self._drifts.append(found)
                tails = Tails.of(self.before.columns[name], counted)
                self._tails |= {} if tails is None else {name: tails}
            return
        for gone in self._gone:
            found = drift(gone, self.before.columns[gone], counted)
            if found and found.bins > 1 and found.psi <= max_stable_psi and gone not in self._renamed:
                self._renamed[gone] = name

    def finish(self, now: Profile, limits: Limits, enough: bool) -> Comparison:
        """Return what came out.

        Args:
            now: The profile of the side whose columns were added.
            limits: The limits of drift.
            enough: Whether there are rows enough to judge.
        """
        chances = adjusted([found.p_value for found in self._drifts])
        moves = [
            Move(found, p, judge_drift(found.psi, p, *limits.of(found.feature)) if enough else Status.INCONCLUSIVE)
            for found, p in zip(self._drifts, chances, strict=True)
        ]
        order = list(Status)
        moves.sort(key=lambda move: (-order.index(move.status), -move.drift.psi))
        return Comparison(self.role, self.before, now, moves, self._renamed, self._tails)


def judge_drift(psi: float, p_value: float, max_stable_psi: float, max_psi: float) -> Status:
    """Return what a feature's drift comes to.

    It moved only if the effect is large and chance does not explain it: a million rows make any shift significant, and
    few rows make any shift large. One beyond `max_psi` that chance may explain is inconclusive.
    """
    if psi <= max_stable_psi:
        return Status.PASS
    if p_value < ALPHA:
        return Status.WARN if psi <= max_psi else Status.FAIL
    return Status.PASS if psi <= max_psi else Status.INCONCLUSIVE


def chance_level(baseline_rows: int, rows: int) -> float:
    """Return the PSI of ten bins that two samples of one population stay below in 95 of 100 cases.

    Source: Yurdakul 2018, Statistical Properties of Population Stability Index.
    """
    return CHANCE * (1 / baseline_rows + 1 / rows) if baseline_rows and rows else math.inf


def without(profile: Profile, excluded: Collection[str]) -> Profile:
    """Return a profile without the columns that are not judged."""
    return replace(profile, columns={name: held for name, held in profile.columns.items() if name not in excluded})


def drift_checks(comparison: Comparison, limits: Limits) -> list[Check]:
    """Return a check for how far each feature has moved."""
    return [
        Check(
            PSI,
            move.status,
            observed=move.drift.psi,
            maximum=limits.of(move.drift.feature)[1],
            samples=comparison.now.rows,
            scope={"feature": move.drift.feature, **comparison.scope},
            message=_message(move, comparison.role, *limits.of(move.drift.feature)),
        )
        for move in comparison.moves
    ]


def _message(move: Move, role: str, max_stable_psi: float, max_psi: float) -> str:
    name, psi = move.drift.feature, number(move.drift.psi, 3)
    if move.drift.bins == 1:
        return f"{name} offers nothing to compare: all of its values share one bin."
    where = "" if role == "baseline" else f" against the {WORDS[role]}"
    chance = f"which chance may explain (p {number(move.p_value, 2)})"
    told = {
        Status.PASS: f"{name} is stable{where}: PSI {psi}",
        Status.WARN: f"{name} has moved{where}: PSI {psi}, above {max_stable_psi:g}",
        Status.INCONCLUSIVE: f"{name} may have moved far{where}: PSI {psi}, above {max_psi:g}, {chance}",
        Status.FAIL: f"{name} has moved far{where}: PSI {psi}, above {max_psi:g}",
    }[move.status]
    if move.status is Status.PASS:
        return f"{told}, {chance}." if move.drift.psi > max_stable_psi else f"{told}."
    return "; ".join([told, *signs(move.drift)]) + "."


def signs(found: Drift) -> list[str]:
    """Return what may be behind a feature's drift, as a reader says it; never a value."""
    told = []
    if found.factor is not None:
        told.append(f"its values look multiplied by about {number(found.factor, 3)}, as by another unit")
    before, now = found.missing
    if abs(now - before) > TOLERANCE:
        told.append(f"missing in {now:.1%} of the rows, formerly in {before:.1%}")
    if found.unseen:
        told.append(f"{found.unseen:,} rows hold categories that {_formerly(found)}")
    return told


def _formerly(found: Drift) -> str:
    """Return what is known of the categories of `unseen`."""
    return "were not there" if found.all_named else "were hardly there, or not at all,"


def column_checks(comparison: Comparison) -> list[Check]:
    """Return a check for every column that one side lacks, or that is of another type.

    A serving sample may lack columns, such as the label, and have others, such as the time of a request.
    """
    before, now = comparison.before.columns, comparison.now.columns
    serving = comparison.role == "serving"
    checks = [
        _column_check(comparison, name, "is gone", Status.WARN if serving else Status.FAIL)
        for name in before
        if name not in now
    ]
    if not serving:
        checks += [_column_check(comparison, name, "is new") for name in now if name not in before]
    for name in now:
        if name in before and before[name].type != now[name].type:
            reason = f"is of another type, {now[name].type}, formerly {before[name].type}"
            checks.append(_column_check(comparison, name, reason))
    return checks


def optional_checks(comparison: Comparison, optional: Collection[str]) -> list[Check]:
    """Return a warning for every column that may be absent by the contract, and is gone: its drift is not judged."""
    gone = [name for name in comparison.before.columns if name in optional and name not in comparison.now.columns]
    return [_column_check(comparison, name, "is gone, as the contract allows", Status.WARN) for name in gone]


def category_checks(comparison: Comparison, known: Collection[str | None], status: Status = Status.FAIL) -> list[Check]:
    """Return a check, of a status, for every column of text with new categories that is not known to have them."""
    rows = comparison.now.rows
    checks = []
    for found in (move.drift for move in comparison.moves if move.drift.feature not in known):
        text = comparison.before.columns[found.feature].type == "text"
        if text and (found.unseen or 0) > TOLERANCE * rows:
            reason = f"holds categories that {_formerly(found)} in {found.unseen:,} of {rows:,} rows"
            checks.append(_column_check(comparison, found.feature, reason, status))
    return checks


def same_checks(comparison: Comparison) -> list[Check]:
    """Return a warning if every column holds what it held in the previous span, be the rows in another order."""
    before, now = comparison.before, comparison.now
    telling = any(isinstance(held.distribution, Binned) for held in now.columns.values())
    if comparison.role != "previous" or not telling or (now.rows, now.columns) != (before.rows, before.columns):
        return []
    message = f"Every column holds exactly what it held in the {WORDS['previous']}: the same batch again?"
    return [Check("repeated_batch", Status.WARN, now.rows, samples=now.rows, scope=comparison.scope, message=message)]


def comparable_checks(comparison: Comparison) -> list[Check]:
    """Return an inconclusive check if no column can be compared."""
    if comparison.moves:
        return []
    message = f"The dataset and the {WORDS[comparison.role]} have no column in common that can be compared."
    return [Check("common_features", Status.INCONCLUSIVE, 0, scope=comparison.scope, message=message)]


def renaming_checks(comparison: Comparison) -> list[Check]:
    """Return a check for every column that looks renamed."""
    return [
        _column_check(comparison, gone, f"is gone, and {new}, which is new, holds alike values: renamed?", Status.WARN)
        for gone, new in comparison.renamed.items()
    ]


def _column_check(comparison: Comparison, name: str, reason: str, status: Status = Status.FAIL) -> Check:
    side = "In the serving sample" if comparison.role == "serving" else f"Against the {WORDS[comparison.role]}"
    end = "" if reason.endswith("?") else "."
    return Check("column", status, scope={"feature": name, **comparison.scope}, message=f"{side}, {name} {reason}{end}")


WORDS = {"baseline": "baseline", "previous": "previous span", "serving": "serving sample"}
"""What a reader calls the sides that a dataset is compared with."""


def fitting(names: Iterable[str], wrong: Collection[str | None]) -> int:
    """Return how many features are not among the wrong ones."""
    return len(set(names) - set(wrong))
