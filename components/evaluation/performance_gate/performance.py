"""Judge whether a model performs well enough, and not worse than the champion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kfp_hallmark.comparison import Question, require_comparable
from kfp_hallmark.components.evaluation.performance_gate.champion import Terms, compare_with_champion
from kfp_hallmark.components.evaluation.performance_gate.page import performance_page
from kfp_hallmark.components.evaluation.performance_gate.serving import ServingLimits, measure_serving, serving_checks
from kfp_hallmark.components.evaluation.performance_gate.slices import SliceTerms, compare_slices
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.options import is_number
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, TASKS, Predictions, read_predictions
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.measures import (
    LEAST_ROWS,
    METRICS,
    Interval,
    Metric,
    bootstrap_intervals,
    judge_interval,
    measure,
    require_resampling,
)
from kfp_hallmark.reports import number, write_page

GATE = "performance_gate"
CHAMPION_METRICS = {BINARY: "roc_auc", MULTICLASS: "roc_auc_ovr", REGRESSION: "r2"}
"""By what a model is compared with the champion where nothing is said."""


@dataclass(frozen=True)
class Limit:
    """A limit on a metric: a minimum when a greater value is better, else a maximum."""

    metric: Metric
    value: float

    @property
    def bounds(self) -> dict[str, float]:
        """The limit as `judge_interval` and `Check` take it."""
        return {"minimum" if self.metric.greater_is_better else "maximum": self.value}


def judge_performance(
    predictions: Artifact,
    dataset: Artifact,
    verdict: Artifact,
    report: Artifact,
    limits: Mapping[str, float],
    model: Artifact | None,
    serving_limits: Mapping[str, Any],
    model_name: str | None,
    champion_metric: str | None,
    champion_question: str,
    max_champion_loss: float,
    power: float | None,
    slices: Sequence[str],
    max_slice_loss: float,
    bootstrap_samples: int,
    confidence: float,
    seed: int,
    tracking_uri: str | None,
) -> tuple[str]:
    """Write a verdict and a report on how well a model performs, and return the status; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If a limit or metric is unknown, a setting cannot be used, or a champion is asked for and no
            registry is named.
        IntegrityError: If the predictions are not of this dataset, or were changed since they were written.
    """
    require_seed(seed)
    given = read_predictions(verified(predictions, "predictions"), dataset.path)
    wanted = require_limits(limits, [given.task])
    require_resampling(bootstrap_samples, confidence)
    compared = champion_metric or CHAMPION_METRICS[given.task]
    question = Question.named(champion_question, "champion_question")
    serving = ServingLimits.read(serving_limits)
    if serving is not None and model is None:
        raise InputError("model must be given together with serving_limits; got no model.", "The gate must run it.")
    checks = _limit_checks(given, wanted, bootstrap_samples, confidence, seed)
    comparison = sliced = None
    slice_terms = SliceTerms(slices, max_slice_loss)
    slice_terms.require_columns(dataset.path)
    if model_name is None and slices:
        raise InputError(
            "slices must be given together with model_name; got no model_name.", "They are compared with its champion."
        )
    if model_name is not None:
        require_comparable(compared, given.task, "champion_metric")
        resampling = (bootstrap_samples, confidence, seed)
        terms = Terms(model_name, compared, question, max_champion_loss, power, *resampling)
        comparison = compare_with_champion(given, dataset.path, terms, tracking_uri)
        checks += comparison.checks
        if slices and comparison.champion is not None:
            sliced = compare_slices(given, comparison.champion, dataset.path, slice_terms, compared, *resampling)
            checks += sliced.checks
    served = None
    if serving is not None and model is not None:
        served = measure_serving(model.path, given.model, dataset.path, seed)
        checks += serving_checks(served, serving, confidence)
    parameters = {
        "limits": dict(limits),
        "serving_limits": dict(serving_limits),
        "model_name": model_name,
        "champion_metric": compared,
        "champion_question": champion_question,
        "max_champion_loss": max_champion_loss,
        "power": power,
        "slices": list(slices),
        "max_slice_loss": max_slice_loss,
        "bootstrap_samples": bootstrap_samples,
        "confidence": confidence,
        "seed": seed,
    }
    found = Verdict(GATE, given.subjects, checks, parameters)
    document = performance_page(found, given, comparison, sliced, served)
    found.store(verdict)
    write_page(report.path, document)
    return (str(found.status),)


def require_limits(limits: Mapping[str, float], tasks: Sequence[str] = TASKS) -> list[Limit]:
    """Return the limits.

    Args:
        limits: Limits by name.
        tasks: The tasks that it can be, of which one must have all the limits.

    Raises:
        InputError: If there is none, one is unknown, turned or no number, or no task has them all.
    """
    known = {limit_name(metric): metric for metric in METRICS.values() if {*tasks} & {*metric.tasks}}
    turned = {limit_name(metric, turned=True): name for name, metric in known.items()}
    if not limits:
        raise InputError("limits must hold at least one limit; got none.", f"Known: {', '.join(known)}.")
    for name, value in limits.items():
        if name in turned:
            better = "greater" if known[turned[name]].greater_is_better else "smaller"
            raise InputError(
                f"A limit must be a min_ where a greater value is better, and a max_ where a smaller is; got {name!r}.",
                f"A {better} {known[turned[name]].name} is better: say {turned[name]!r}.",
            )
        if name not in known:
            kinds = " or ".join(tasks)
            raise InputError(f"A limit must be known for a {kinds} task; got {name!r}.", nearest(name, list(known)))
        if not is_number(value):
            raise InputError(f"The limit {name!r} must be a finite number; got {value!r}.")
    wanted = [Limit(metric, float(limits[name])) for name, metric in known.items() if name in limits]
    if not shared_tasks(wanted):
        told = ", ".join(f"{name} ({' or '.join(known[name].tasks)})" for name in limits)
        raise InputError(f"The limits must be known for one task; got {told}.")
    return wanted


def shared_tasks(limits: Sequence[Limit]) -> list[str]:
    """Return the tasks that have every one of some limits."""
    return [task for task in TASKS if all(task in limit.metric.tasks for limit in limits)]


def limit_name(metric: Metric, turned: bool = False) -> str:
    return f"{'min' if metric.greater_is_better is not turned else 'max'}_{metric.name}"


def _limit_checks(given: Predictions, wanted: list[Limit], samples: int, confidence: float, seed: int) -> list[Check]:
    values = measure(given)
    names = [limit.metric.name for limit in wanted]
    spans = bootstrap_intervals(given, names, samples, confidence, seed)
    return [
        _limit_check(limit, values[limit.metric.name], spans[limit.metric.name], confidence, len(given.label))
        for limit in wanted
    ]


def _limit_check(
    limit: Limit, observed: float | None, interval: Interval | None, confidence: float, rows: int
) -> Check:
    status = judge_interval(observed, interval, **limit.bounds)
    return Check(
        limit.metric.name,
        status,
        observed=observed,
        interval=interval,
        confidence=confidence if interval else None,
        samples=rows,
        message=_message(limit, status, observed, interval),
        **limit.bounds,
    )


def _message(limit: Limit, status: Status, observed: float | None, interval: Interval | None) -> str:
    name = limit.metric.name.replace("_", " ")
    if observed is None:
        return f"The {name} of these predictions is undefined: {_why_undefined(limit.metric)}."
    kept, broken = ("at least", "below the") if limit.metric.greater_is_better else ("at most", "above the")
    value, bound = number(observed), number(limit.value)
    chance = interval is not None and (
        interval[1] >= limit.value if limit.metric.greater_is_better else interval[0] <= limit.value
    )
    return {
        Status.PASS: f"The {name} is {value}, {kept} {bound}, as is its whole interval.",
        Status.WARN: f"The {name} is {value}, {kept} {bound}, but its interval reaches beyond the limit.",
        Status.INCONCLUSIVE: f"The {name} is {value}, {kept} {bound}, but of too few rows to say how sure that is: an "
        f"interval takes {LEAST_ROWS} rows, of each class where the metric ranks rows.",
        Status.FAIL: f"The {name} is {value}, {broken} limit of {bound}"
        f"{', though its interval reaches within it' if chance else ''}.",
    }[status]


def _why_undefined(metric: Metric) -> str:
    if metric.name == "mean_absolute_percentage_error":
        return "a true value is 0, or all but 0"
    if REGRESSION in metric.tasks:
        return "all true values are equal, or the errors too great for a number"
    return "a class is missing, or none is predicted positive, or the model gives no scores"
