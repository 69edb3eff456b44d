"""Judge whether a model treats groups alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kfp_hallmark.components.evaluation.fairness_gate.disparity import (
    DISPARITIES,
    FALSE_POSITIVE_RATE,
    SELECTION_RATE,
    TRUE_POSITIVE_RATE,
    Disparity,
    disparity,
    disparity_interval,
)
from kfp_hallmark.components.evaluation.fairness_gate.groups import Tally, group_by, intersect, tally
from kfp_hallmark.components.evaluation.fairness_gate.page import SIZE_CHECK, fairness_page
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.predictions import BINARY, Predictions, read_predictions
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.measures import judge_interval, require_resampling
from kfp_hallmark.reports import number, write_page

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator

GATE = "fairness_gate"
ROWS_OF = {SELECTION_RATE: "rows", TRUE_POSITIVE_RATE: "positive rows", FALSE_POSITIVE_RATE: "negative rows"}
"""What each rate is a share of."""


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
) -> tuple[str]:
    """Write a verdict and a report on how alike groups are treated, and return the status; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If a feature is absent or names no groups, a limit is unknown, the task is not binary, or a setting
            cannot be used.
        IntegrityError: If the predictions are not of this dataset, or were changed since they were written.
    """
    import numpy as np

    wanted = _require_limits(limits)
    _require_settings(sensitive_features, min_group_size)
    require_resampling(bootstrap_samples, confidence)
    given = _read_binary(predictions, dataset)
    tallies = _tallies(given, dataset.path, sensitive_features, intersection)
    generator = np.random.default_rng(seed)
    checks: list[Check] = []
    for each in tallies:
        checks += _size_checks(each, wanted, min_group_size)
        for measure, limit in wanted.items():
            checks.append(_check(measure, limit, each, min_group_size, bootstrap_samples, confidence, generator))
    parameters = {
        "sensitive_features": list(sensitive_features),
        "limits": dict(limits),
        "min_group_size": min_group_size,
        "intersection": intersection,
        "bootstrap_samples": bootstrap_samples,
        "confidence": confidence,
        "seed": seed,
    }
    found = Verdict(GATE, given.subjects, checks, parameters)
    document = fairness_page(found, given, tallies)
    found.store(verdict)
    write_page(report.path, document)
    return (str(found.status),)


def _require_limits(limits: Mapping[str, float]) -> dict[Disparity, float]:
    """Return the limit of each measure that has one, in the order of the measures."""
    known = [measure.limit for measure in DISPARITIES]
    if not limits:
        raise InputError(
            "limits must hold at least one limit; got none.",
            f"Known: {', '.join(known)}.",
        )
    for name, value in limits.items():
        if name not in known:
            raise InputError(f"limits must hold known limits; got {name!r}.", nearest(name, known))
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InputError(f"The limit {name!r} must be a number from 0 to 1; got {value!r}.")
    return {measure: float(limits[measure.limit]) for measure in DISPARITIES if measure.limit in limits}


def _require_settings(features: Sequence[str], min_group_size: int) -> None:
    if not features:
        raise InputError("sensitive_features must name at least one column; got none.")
    if len(set(features)) < len(features):
        raise InputError(f"sensitive_features must name each column once; got {list(features)}.")
    if min_group_size < 1:
        raise InputError(f"min_group_size must be at least 1; got {min_group_size}.")


def _read_binary(predictions: Artifact, dataset: Artifact) -> Predictions:
    given = read_predictions(verified(predictions, "predictions"), dataset.path)
    if given.task != BINARY:
        raise InputError(
            f"The predictions must be of a binary task; got {given.task}.",
            "This version judges the fairness of binary classification only.",
        )
    return given


def _tallies(given: Predictions, dataset: str, features: Sequence[str], intersection: bool) -> list[Tally]:
    names = read_schema(dataset).names
    for feature in features:
        require_column(feature, names, "sensitive_features")
    table = read_table(dataset, list(features))
    groups = [group_by(table[feature], feature) for feature in features]
    if intersection and len(groups) > 1:
        groups.append(intersect(groups))
    return [tally(each, given.positive_label, given.positive_prediction) for each in groups]


def _size_checks(each: Tally, wanted: Mapping[Disparity, float], min_size: int) -> list[Check]:
    """Return a check for each group that is too small for a rate that some limit needs."""
    needed = [rate for rate in ROWS_OF if any(rate in measure.rates for measure in wanted)]
    checks = []
    for place, title in enumerate(each.titles):
        sizes = {rate: int(each.rates[rate].trials[place]) for rate in ROWS_OF}
        if sizes[SELECTION_RATE] < min_size:
            small = {SELECTION_RATE: needed}
        else:
            small = {rate: [rate] for rate in needed if sizes[rate] < min_size}
        for counted, rates in small.items():
            checks.append(
                Check(
                    SIZE_CHECK,
                    Status.INCONCLUSIVE,
                    observed=sizes[counted],
                    minimum=min_size,
                    samples=sizes[counted],
                    scope={"feature": each.feature, "group": each.names[place]},
                    message=f"The group {title} has {sizes[counted]:,} {ROWS_OF[counted]}, fewer than {min_size:,}: "
                    f"its {_listed(rates)} cannot be judged.",
                )
            )
    return checks


def _check(
    measure: Disparity, limit: float, each: Tally, min_size: int, samples: int, confidence: float, generator: Generator
) -> Check:
    """Hold one measure of one feature against its limit."""
    bounds = {"minimum" if measure.ratio else "maximum": limit}
    known = each.comparable(measure.rates, min_size)
    rates = [each.rates[rate].of(places) for rate, places in known.items()]
    observed = disparity(rates, measure.ratio) if rates else None
    interval = None
    if observed is not None:
        interval = disparity_interval(rates, measure.ratio, samples, confidence, generator)
    status = judge_interval(observed, interval, **bounds)
    if len(known) < len(measure.rates):
        status = Status.worst([status, Status.INCONCLUSIVE])
    return Check(
        measure.name,
        status,
        observed=observed,
        interval=interval,
        confidence=confidence if interval else None,
        samples=sum(int(rate.trials.sum()) for rate in rates),
        scope={"feature": each.feature},
        message=_message(measure, status, limit, observed, interval, each, known),
        **bounds,
    )


def _message(
    measure: Disparity,
    status: Status,
    limit: float,
    observed: float | None,
    interval: tuple[float, float] | None,
    each: Tally,
    known: Mapping[str, ndarray],
) -> str:
    """Say which groups lie furthest apart, and what follows."""
    unknown = [rate for rate in measure.rates if rate not in known]
    too_few = f"Fewer than two groups of {each.feature} are large enough to compare their {_listed(unknown)}."
    if not known:
        return too_few
    if observed is None or interval is None:
        return f"No row of any group of {each.feature} is predicted positive, so there is no ratio."
    rate = next(name for name in known if disparity([each.rates[name].of(known[name])], measure.ratio) == observed)
    values = each.rates[rate].of(known[rate]).values
    low, high = (known[rate][place] for place in (values.argmin(), values.argmax()))
    extremes = (
        f"the {rate} runs from {number(float(values.min()), 3)} ({each.titles[low]}) to "
        f"{number(float(values.max()), 3)} ({each.titles[high]})"
    )
    beyond = "below the minimum" if measure.ratio else "above the maximum"
    chance = interval[1] >= limit if measure.ratio else interval[0] <= limit
    outcome = {
        Status.PASS: "within the limit, as is its whole interval",
        Status.WARN: "within the limit, but its interval reaches beyond it",
        Status.FAIL: f"{beyond} of {number(limit)}{', though its interval reaches within it' if chance else ''}",
        Status.INCONCLUSIVE: "within the limit so far",
    }[status]
    name = measure.name.replace("_", " ").capitalize()
    rest = f" {too_few}" if unknown else ""
    return f"{name} {number(observed, 3)}, {outcome}: {extremes}.{rest}"


def _listed(rates: Sequence[str]) -> str:
    return " and ".join([*filter(None, [", ".join(rates[:-1])]), *rates[-1:]])
