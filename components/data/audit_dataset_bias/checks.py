"""The checks of what there is to see of a dataset's groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_hallmark.components.data.audit_dataset_bias.findings import MAX_ROWS, Feature
from kfp_hallmark.components.data.audit_dataset_bias.limits import (
    GROUP_SHARE,
    MISSING_DIFFERENCE,
    OF_LABELS,
    PROXY,
    REPRESENTATION,
    Measure,
)
from kfp_hallmark.contracts.verdict import Check, Status
from kfp_hallmark.fairness.disparity import disparity, disparity_interval
from kfp_hallmark.fairness.quantities import Quantity
from kfp_hallmark.fairness.registry import DIFFERENCE
from kfp_hallmark.fairness.tally import Tally
from kfp_hallmark.fairness.words import outcome
from kfp_hallmark.measures import Interval, judge_interval
from kfp_hallmark.reports import number

if TYPE_CHECKING:
    from numpy.random import Generator

SIZE_CHECK = "group_size"
"""The name of the check that a group too small to judge gets."""
NAMED = 5
"""How many columns a message names."""


@dataclass(frozen=True)
class Terms:
    """How things are judged.

    Attributes:
        wanted: The limit of each measure that has one.
        min_size: Fewest rows by which a group's labels and missing values are judged.
        samples: Number of resamples behind an interval.
        confidence: Confidence level, between 0 and 1.
        generator: The source of chance.
    """

    wanted: Mapping[Measure, float]
    min_size: int
    samples: int
    confidence: float
    generator: Generator

    def interval(self, quantities: Sequence[Quantity], statistic: str) -> Interval:
        """Return the interval of the worst disparity of some quantities."""
        return disparity_interval(quantities, statistic, self.samples, self.confidence, self.generator)


def checks_of(feature: Feature, terms: Terms) -> list[Check]:
    """Return the checks of the groups of one feature: of groups too small first, then of each limit."""
    checks = _size_checks(feature, terms)
    if GROUP_SHARE in terms.wanted:
        checks.append(_share_check(feature, terms))
    if REPRESENTATION in terms.wanted and feature.population:
        checks.append(_representation_check(feature, terms))
    for measure in OF_LABELS:
        if measure in terms.wanted:
            checks += [_label_check(measure, feature, tally, terms) for tally in feature.labels]
    if MISSING_DIFFERENCE in terms.wanted:
        checks.append(_missing_check(feature, terms))
    if PROXY in terms.wanted and feature.proxies is not None:
        checks.append(_proxy_check(feature, terms))
    return checks


def _size_checks(feature: Feature, terms: Terms) -> list[Check]:
    """Return a check for each group that has too few rows for something that has a limit."""
    needed: list[tuple[str, str, Sequence[int], int]] = []
    tally = feature.labels[0]
    if any(measure in terms.wanted for measure in OF_LABELS):
        (name,) = tally.quantities
        needed.append(("labels", "labelled rows", tally.sizes.tolist(), tally.enough(name, terms.min_size)))
    if MISSING_DIFFERENCE in terms.wanted and feature.missing:
        needed.append(("missing values", "rows", feature.sizes.tolist(), terms.min_size))
    checks = []
    for place, title in enumerate(feature.groups.titles):
        few = [(what, kind, sizes[place], least) for what, kind, sizes, least in needed if sizes[place] < least]
        if few:
            _, kind, size, least = few[0]
            what = " and ".join(each[0] for each in few)
            message = (
                f"The group {title} has {number(size)} {kind}, fewer than {number(least)}: its {what} cannot be judged."
            )
            scope = {"feature": feature.name, "group": feature.groups.names[place]}
            checks.append(
                Check(
                    SIZE_CHECK,
                    Status.INCONCLUSIVE,
                    observed=size,
                    minimum=least,
                    samples=size,
                    scope=scope,
                    message=message,
                )
            )
    return checks


def _share_check(feature: Feature, terms: Terms) -> Check:
    import numpy as np

    scope, rows = {"feature": feature.name}, int(feature.sizes.sum())
    if not feature.present:
        return _unknown(GROUP_SHARE, terms, scope, rows, f"No row has a value of {feature.name}.")
    shares = feature.shares.of(np.array(feature.present))
    observed = disparity([shares], GROUP_SHARE.statistic)
    least = feature.groups.titles[feature.present[int(shares.values.argmin())]]
    detail = f"the group {least} has {number(shares.hits.min().item())} of {number(rows)} rows"
    return _limited(GROUP_SHARE, terms, observed, terms.interval([shares], GROUP_SHARE.statistic), scope, rows, detail)


def _representation_check(feature: Feature, terms: Terms) -> Check:
    scope = {"feature": feature.name}
    names, ratios = feature.representation
    rows = int(ratios.trials[0])
    if not rows:
        return _unknown(REPRESENTATION, terms, scope, rows, f"No row has a value of {feature.name}.")
    observed = disparity([ratios], REPRESENTATION.statistic)
    place = int(ratios.values.argmin())
    detail = (
        f"{feature.name} {names[place]} is {ratios.rate.values[place]:.1%} of the rows that have a value and "
        f"{ratios.reference[place]:.1%} of the population"
    )
    interval = terms.interval([ratios], REPRESENTATION.statistic)
    return _limited(REPRESENTATION, terms, observed, interval, scope, rows, detail)


def _label_check(measure: Measure, feature: Feature, tally: Tally, terms: Terms) -> Check:
    (name,) = tally.quantities
    of_class = f" of class {tally.of_class}" if tally.of_class else ""
    known = tally.comparable([name], terms.min_size)
    if not known:
        message = f"Fewer than two groups of {feature.name} are large enough to compare their {name}{of_class}."
        return _unknown(measure, terms, tally.scope, 0, message)
    quantity = tally.quantities[name].of(known[name])
    samples = int(quantity.trials.sum())
    observed = disparity([quantity], measure.statistic)
    if observed is None:
        message = f"The {name}{of_class} is 0 in all groups of {feature.name}, so there is no ratio."
        return _unknown(measure, terms, tally.scope, samples, message)
    low, high = (
        f"{number(float(quantity.values[place]), 3)} ({feature.groups.titles[known[name][place]]})"
        for place in (quantity.values.argmin(), quantity.values.argmax())
    )
    detail = f"the {name}{of_class} runs from {low} to {high}"
    return _limited(
        measure, terms, observed, terms.interval([quantity], measure.statistic), tally.scope, samples, detail
    )


def _missing_check(feature: Feature, terms: Terms) -> Check:
    """Hold the difference of the column where it is greatest; the interval holds for all columns together."""
    import numpy as np

    scope, rows = {"feature": feature.name}, int(feature.sizes.sum())
    limit = terms.wanted[MISSING_DIFFERENCE]
    if not feature.missing:
        message = "No value is missing in any column that counts."
        return Check(
            MISSING_DIFFERENCE.name,
            Status.PASS,
            observed=0.0,
            maximum=limit,
            samples=rows,
            scope=scope,
            message=message,
        )
    large = np.flatnonzero(feature.sizes >= terms.min_size)
    if len(large) < 2:
        message = f"Fewer than two groups of {feature.name} are large enough to compare what they lack."
        return _unknown(MISSING_DIFFERENCE, terms, scope, rows, message)
    rates = {name: rate.of(large) for name, rate in feature.missing.items()}
    differences = {name: disparity([rate], DIFFERENCE) or 0.0 for name, rate in rates.items()}
    worst = max(differences, key=lambda name: differences[name])
    values = rates[worst].values
    low, high = (
        f"{values[place]:.1%} ({feature.groups.titles[large[place]]})" for place in (values.argmin(), values.argmax())
    )
    others = [name for name, value in differences.items() if value > limit and name != worst]
    more = f"; also above the limit: {_listed(others)}" if others else ""
    detail = f"{worst!r} is missing in {low} to {high} of the rows{more}"
    interval = terms.interval(list(rates.values()), DIFFERENCE)
    return _limited(
        MISSING_DIFFERENCE, terms, differences[worst], interval, scope, int(feature.sizes[large].sum()), detail
    )


def _proxy_check(feature: Feature, terms: Terms) -> Check:
    scope, rows = {"feature": feature.name}, min(int(feature.sizes.sum()), MAX_ROWS)
    if not feature.proxies:
        message = f"The rows are too few, {feature.name} varies too little, or no other column is there to tell it."
        return _unknown(PROXY, terms, scope, rows, message)
    strongest = feature.proxies[0]
    limit = terms.wanted[PROXY]
    others = [each.feature for each in feature.proxies[1:] if each.strength > limit]
    more = f"; also above the limit: {_listed(others)}" if others else ""
    detail = f"{strongest.feature!r} tells {feature.name} best{more}"
    interval = (
        max(each.interval[0] for each in feature.proxies),
        max(each.interval[1] for each in feature.proxies),
    )
    return _limited(PROXY, terms, strongest.strength, interval, scope, rows, detail)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more


def _unknown(measure: Measure, terms: Terms, scope: Mapping[str, str], samples: int, message: str) -> Check:
    bounds = {"minimum" if measure.at_least else "maximum": terms.wanted[measure]}
    return Check(measure.name, Status.INCONCLUSIVE, samples=samples, scope=scope, message=message, **bounds)


def _limited(
    measure: Measure,
    terms: Terms,
    observed: float | None,
    interval: Interval,
    scope: Mapping[str, str],
    samples: int,
    detail: str,
) -> Check:
    """Hold a value and its interval against the limit."""
    limit = terms.wanted[measure]
    bounds = {"minimum" if measure.at_least else "maximum": limit}
    status = judge_interval(observed, interval, **bounds)
    told = outcome(status, limit, interval, at_least=measure.at_least, unclear="which is no number to judge")
    return Check(
        measure.name,
        status,
        observed=observed,
        interval=interval,
        confidence=terms.confidence,
        samples=samples,
        scope=scope,
        message=f"{measure.title} {number(observed, 3)}, {told}: {detail}.",
        **bounds,
    )
