"""Judge whether a model treats groups alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kfp_hallmark.components.evaluation.fairness_gate.champion import Terms, champion_checks
from kfp_hallmark.components.evaluation.fairness_gate.page import SIZE_CHECK, fairness_page, sentence
from kfp_hallmark.components.evaluation.fairness_gate.tradeoff import TradeOff, is_traded, trade_offs
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.options import require_limits
from kfp_hallmark.contracts.predictions import BINARY, Predictions, read_predictions
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.fairness.disparity import disparity, disparity_interval
from kfp_hallmark.fairness.groups import group_by, intersect
from kfp_hallmark.fairness.registry import DISPARITIES, KINDS, SPREADS, Disparity
from kfp_hallmark.fairness.tally import Tally, tallies
from kfp_hallmark.fairness.words import outcome
from kfp_hallmark.measures import Interval, judge_interval, require_resampling
from kfp_hallmark.reports import number, write_page

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator

GATE = "fairness_gate"


def judge_fairness(
    predictions: Artifact,
    dataset: Artifact,
    verdict: Artifact,
    report: Artifact,
    sensitive_features: Sequence[str],
    limits: Mapping[str, float],
    min_group_size: int,
    intersection: bool,
    bootstrap_samples: int,
    confidence: float,
    seed: int,
    model_name: str | None,
    max_champion_losses: Mapping[str, float],
    tracking_uri: str | None,
) -> tuple[str]:
    """Write a verdict and a report on how alike groups are treated, and return the status; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If a feature is absent or names no groups, a limit is unknown or not of the task, or a setting
            cannot be used.
        IntegrityError: If the predictions are not of this dataset, or were changed since they were written.
    """
    import numpy as np

    require_seed(seed)
    wanted = read_limits(limits)
    require_settings(sensitive_features, min_group_size)
    require_resampling(bootstrap_samples, confidence)
    terms = Terms(model_name, tracking_uri, max_champion_losses, min_group_size, bootstrap_samples, confidence)
    given = read_predictions(verified(predictions, "predictions"), dataset.path)
    _require_task([*wanted, *terms.wanted], given)
    found = _tallies(given, dataset.path, sensitive_features, intersection, wanted)
    generator = np.random.default_rng(seed)
    checks: list[Check] = []
    for place, each in enumerate(found):
        first = place == 0 or found[place - 1].groups is not each.groups
        checks += _size_checks(each, min_group_size, first)
        for measure, limit in wanted.items():
            if set(measure.quantities) <= set(each.quantities):
                checks.append(_check(measure, limit, each, min_group_size, bootstrap_samples, confidence, generator))
    checks += champion_checks(given, dataset.path, found, terms, generator)
    parameters = {
        "sensitive_features": list(sensitive_features),
        "limits": dict(limits),
        "min_group_size": min_group_size,
        "intersection": intersection,
        "bootstrap_samples": bootstrap_samples,
        "confidence": confidence,
        "seed": seed,
        "model_name": model_name,
        "max_champion_losses": dict(max_champion_losses),
    }
    judged = Verdict(GATE, given.subjects, checks, parameters)
    document = fairness_page(judged, given, found, _trade_offs(given, found, wanted, min_group_size))
    judged.store(verdict)
    write_page(report.path, document)
    return (str(judged.status),)


def read_limits(limits: Mapping[str, float]) -> dict[Disparity, float]:
    """Return the limit of each measure that has one, in the order of the measures."""
    hint = "Such as max_equalized_odds_difference or min_demographic_parity_ratio; docs/gates/fairness.md has all."
    require_limits(limits, {measure.limit: measure.bounds for measure in DISPARITIES}, hint)
    return {measure: float(limits[measure.limit]) for measure in DISPARITIES if measure.limit in limits}


def _require_task(wanted: Sequence[Disparity], given: Predictions) -> None:
    """Raise when a limit does not suit the predictions."""
    suiting = [measure.limit for measure in DISPARITIES if given.task in measure.tasks]
    for measure in wanted:
        if given.task not in measure.tasks:
            raise InputError(
                f"limits must hold limits of a {given.task} task; got {measure.limit!r}.",
                nearest(measure.limit, suiting),
            )
        if given.score is None and any(kind.needs_score for kind in measure.kinds):
            raise InputError(
                f"limits must hold limits of what the model gives; got {measure.limit!r}, and it gives no "
                "probabilities."
            )


def require_settings(features: Sequence[str], min_group_size: int) -> None:
    if not features or not all(isinstance(feature, str) for feature in features):
        raise InputError(f"sensitive_features must name at least one column, by text; got {list(features)}.")
    if len(set(features)) < len(features):
        raise InputError(f"sensitive_features must name each column once; got {list(features)}.")
    if min_group_size < 1:
        raise InputError(f"min_group_size must be at least 1; got {min_group_size}.")


def _tallies(
    given: Predictions, dataset: str, features: Sequence[str], intersection: bool, wanted: Mapping[Disparity, float]
) -> list[Tally]:
    names = read_schema(dataset).names
    for feature in features:
        require_column(feature, names, "sensitive_features")
    table = read_table(dataset, list(features))
    groups = [group_by(table[feature], feature) for feature in features]
    if intersection and len(groups) > 1:
        groups.append(intersect(groups))
    compared = {name for measure in wanted for name in measure.quantities}
    return [found for each in groups for found in tallies(given, each, compared)]


def _trade_offs(
    given: Predictions, found: Sequence[Tally], wanted: Mapping[Disparity, float], min_size: int
) -> list[TradeOff]:
    """Return what other thresholds would give, where the model has one."""
    traded = list({measure.quantities: measure for measure in wanted if is_traded(measure)}.values())
    if given.task != BINARY or given.score is None or given.threshold is None:
        return []
    return [each for one in found for each in trade_offs(given, one.groups, traded, min_size)]


def _size_checks(each: Tally, min_size: int, first: bool) -> list[Check]:
    """Return a check for each group that is too small for something that some limit needs.

    Args:
        each: The groups.
        min_size: The fewest rows by which a group is judged.
        first: Whether these are named that have too few rows for anything; they are the same for every class.
    """
    checks = []
    for place, title in enumerate(each.groups.titles):
        size, scope = int(each.sizes[place]), {"group": each.groups.names[place]}
        if size >= min_size:
            for (rows, trials, least), names in _too_few(each, place, min_size).items():
                of_what = f"{_listed(names)}{_of_class(each)}"
                checks.append(_size_check(title, rows, trials, least, of_what, each.scope | scope))
        elif first:
            scope |= {"feature": each.groups.feature}
            checks.append(_size_check(title, "rows", size, min_size, _listed(list(each.quantities)), scope))
    return checks


def _size_check(title: str, rows: str, size: int, least: int, of_what: str, scope: Mapping[str, str]) -> Check:
    return Check(
        SIZE_CHECK,
        Status.INCONCLUSIVE,
        observed=size,
        minimum=least,
        samples=size,
        scope=scope,
        message=f"The group {title} has {size:,} {rows}, fewer than {least:,}: its {of_what} cannot be judged.",
    )


def _too_few(each: Tally, place: int, min_size: int) -> dict[tuple[str, int, int], list[str]]:
    """Return what a group has too few of, how many it has and how many it needs, and what cannot be judged by them."""
    few: dict[tuple[str, int, int], list[str]] = {}
    for name, quantity in each.quantities.items():
        trials, least = int(quantity.trials[place]), each.enough(name, min_size)
        if trials < least:
            few.setdefault((KINDS[name].rows, trials, least), []).append(name)
    return few


def _check(
    measure: Disparity, limit: float, each: Tally, min_size: int, samples: int, confidence: float, generator: Generator
) -> Check:
    """Hold one measure of one feature against its limit."""
    bounds = {"minimum" if measure.at_least else "maximum": limit}
    known = each.comparable(measure.quantities, min_size)
    compared = [each.quantities[name].of(places) for name, places in known.items()]
    observed = disparity(compared, measure.statistic) if compared else None
    if observed is not None and not math.isfinite(observed):
        observed = None
    interval = None
    if observed is not None:
        interval = disparity_interval(compared, measure.statistic, samples, confidence, generator)
    status = judge_interval(observed, interval, **bounds)
    if len(known) < len(measure.quantities):
        status = Status.worst([status, Status.INCONCLUSIVE])
    return Check(
        measure.name,
        status,
        observed=observed,
        interval=interval,
        confidence=confidence if interval else None,
        samples=sum(int(quantity.trials.sum()) for quantity in compared),
        scope=each.scope,
        message=_message(measure, status, limit, observed, interval, each, known),
        **bounds,
    )


def _message(
    measure: Disparity,
    status: Status,
    limit: float,
    observed: float | None,
    interval: Interval | None,
    each: Tally,
    known: Mapping[str, ndarray],
) -> str:
    """Say which groups lie furthest apart, and what follows."""
    import numpy as np

    unknown = [name for name in measure.quantities if name not in known]
    feature = each.groups.feature
    too_few = (
        f"Fewer than two groups of {feature} are large enough to compare their {_listed(unknown)}{_of_class(each)}."
    )
    if not known:
        return too_few
    if not all(np.isfinite(each.quantities[name].of(places).values).all() for name, places in known.items()):
        return f"The {_listed(list(known))} of some group of {feature} is beyond what numbers can hold."
    if observed is None or interval is None:
        return f"The {_listed(list(known))}{_of_class(each)} is 0 in all groups of {feature}, so there is no ratio."
    told = outcome(status, limit, interval, at_least=measure.at_least, unclear="within the limit so far")
    rest = f" {too_few}" if unknown else ""
    return f"{sentence(measure.name)} {number(observed, 3)}, {told}: {_extremes(measure, observed, each, known)}.{rest}"


def _extremes(measure: Disparity, observed: float, each: Tally, known: Mapping[str, ndarray]) -> str:
    """Name the groups of the least and the greatest value, or the one of the worst."""
    name = next(
        name for name in known if disparity([each.quantities[name].of(known[name])], measure.statistic) == observed
    )
    values, places = each.quantities[name].of(known[name]).values, known[name]
    low, high = (f"{number(float(values[at]), 3)} ({each.groups.titles[places[at]]})" for at in _ends(values))
    if measure.statistic in SPREADS:
        return f"the {name}{_of_class(each)} runs from {low} to {high}"
    word, worst = ("least", low) if measure.at_least else ("greatest", high)
    return f"the {word} {name}{_of_class(each)} is {worst}"


def _ends(values: ndarray) -> tuple[int, int]:
    return int(values.argmin()), int(values.argmax())


def _of_class(each: Tally) -> str:
    return "" if each.of_class is None else f" of class {each.of_class}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])
