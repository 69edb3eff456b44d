"""Search for the parameters by which an estimator does best on training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.training.tune_model.folds import Folds, make_folds, read_keys
from kfp_hallmark.components.training.tune_model.ledger import Ledger
from kfp_hallmark.components.training.tune_model.page import Found, search_page
from kfp_hallmark.components.training.tune_model.pool import Submit, cores, workers
from kfp_hallmark.components.training.tune_model.search import Budget, Search, result_of
from kfp_hallmark.components.training.tune_model.space import (
    PRUNERS,
    SAMPLERS,
    read_space,
    require_short,
    require_suits,
)
from kfp_hallmark.components.training.tune_model.trial import Trial, best_of
from kfp_hallmark.components.training.tune_model.work import Task, Work
from kfp_hallmark.contracts.artifacts import Artifact, Metrics, log_metrics, verified
from kfp_hallmark.contracts.dataset import dataset_lineage
from kfp_hallmark.contracts.documents import canonical
from kfp_hallmark.contracts.experiment import Experiment
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION
from kfp_hallmark.contracts.seed import SEEDS, require_seed
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.measures import require_metric
from kfp_hallmark.modeling.columns import read_label
from kfp_hallmark.reports import write_page
from kfp_hallmark.training.estimators import make_estimator
from kfp_hallmark.training.features import choose_columns, read_features
from kfp_hallmark.training.target import describe_target

if TYPE_CHECKING:
    from numpy import ndarray

DEFAULT_METRIC = {BINARY: "roc_auc", MULTICLASS: "log_loss", REGRESSION: "root_mean_squared_error"}
OUTER = -1
"""The number of the outer folds among those of the searches."""


@dataclass(frozen=True)
class Request:
    """What to search; each is described in `component.py`."""

    target: str
    search_space: Mapping[str, Any]
    estimator: str
    estimator_parameters: Mapping[str, Any]
    excluded_columns: Sequence[str]
    positive_class: str | None
    metric: str | None
    trials: int
    parallel_trials: int
    sampler: str
    pruner: str
    folds: int
    outer_folds: int
    group_column: str | None
    time_column: str | None
    shard: int
    seed: int


def tune(
    dataset: Artifact,
    metrics: Metrics,
    report: Artifact,
    request: Request,
    experiment: str,
    tracking_uri: str | None,
    processes: int | None = None,
) -> tuple[dict[str, Any], float, str]:
    """Search, and write report and metrics; see `component.py`.

    Args:
        dataset: Training data.
        metrics: Where to log numbers.
        report: Where to write the page.
        request: What to search.
        experiment: MLflow experiment.
        tracking_uri: MLflow store.
        processes: How many processes to use at most; None is one a core. They change no outcome.

    Returns:
        The best parameters with the fixed ones, their mean score over the folds, and the MLflow run's id.

    Raises:
        InputError: If data or parameters cannot be used.
        MissingInputError: If there is no dataset, or the tracking store does not answer.
        IntegrityError: If the dataset was changed since it was written.
        EnvironmentFailure: If a process was killed.
    """
    _check(request)
    work = _plan(verified(dataset, "dataset"), request)
    plan = Experiment(dataset_lineage(dataset.path)[0], _configuration(request, work.metric), request.seed)
    given = {**plan.configuration, "seed": request.seed}
    ledger = Ledger.open(tracking_uri, experiment, plan.hash, work.metric, given)
    budget = Budget(request.trials, request.parallel_trials, request.sampler, _sampler_seed(request))
    with workers(work, min(request.parallel_trials, processes or cores())) as submit:
        trials = Search(0, work, budget, submit, ledger).run()
        nested = [_nested(number, work, budget, submit, ledger) for number in sorted(set(work.folds) - {0, OUTER})]
    found = Found(plan.dataset, ledger.run_id, work, trials, nested)
    best = {**request.estimator_parameters, **found.best.parameters}
    write_page(report.path, search_page(found))
    values = _values(found)
    ledger.end(values, {"hallmark.best_parameters": canonical(best).decode()[:8000]})
    log_metrics(metrics, values)
    return best, found.best.score, ledger.run_id


def run(
    dataset: Artifact, metrics: Metrics, report: Artifact, target: str, search_space: Mapping[str, Any], *rest: Any
) -> tuple[dict[str, Any], float, str]:
    """Search; the arguments are those of `component.py`, in its order."""
    *options, experiment, tracking_uri = rest
    return tune(dataset, metrics, report, Request(target, search_space, *options), experiment, tracking_uri)


def _check(request: Request) -> None:
    require_seed(request.seed)
    for name, value, least in (
        ("trials", request.trials, 1),
        ("parallel_trials", request.parallel_trials, 1),
        ("folds", request.folds, 2),
        ("shard", request.shard, 0),
    ):
        if value < least:
            raise InputError(f"{name} must be at least {least}; got {value}.")
    if request.outer_folds == 1 or request.outer_folds < 0:
        raise InputError(f"outer_folds must be 0 or at least 2; got {request.outer_folds}.")
    for name, word, known in (("sampler", request.sampler, SAMPLERS), ("pruner", request.pruner, PRUNERS)):
        if word not in known:
            raise InputError(f"{name} must be one of {', '.join(known)}; got {word!r}.", nearest(word, list(known)))


def _plan(path: str, request: Request) -> Work:
    """Return what all trials share, with everything checked that can be before one is made."""
    made = make_estimator(request.estimator, request.estimator_parameters, request.seed)
    space = read_space(request.search_space)
    require_suits(space, request.estimator, request.estimator_parameters)
    require_short(space, request.folds)
    columns = tuple(choose_columns(path, request.target, request.excluded_columns))
    label = read_label(path, request.target)
    meaning = describe_target(made, label, request.target, request.positive_class)
    metric = request.metric or DEFAULT_METRIC[meaning["task"]]
    if require_metric(metric, meaning["task"], "metric").needs_score and not hasattr(made, "predict_proba"):
        raise InputError(f"metric must need no probabilities, for the estimator gives none; got {metric!r}.")
    read_features(path, columns)
    folds = _all_folds(path, label, meaning["task"], request)
    return Work(
        path,
        request.target,
        columns,
        meaning,
        request.estimator,
        dict(request.estimator_parameters),
        space,
        request.pruner,
        metric,
        request.seed,
        folds,
    )


def _all_folds(path: str, label: ndarray, task: str, request: Request) -> dict[int, Folds]:
    """Return the folds of the search on all rows, and for nested cross-validation the outer ones and those in each."""
    keys = read_keys(path, request.group_column, request.time_column)
    folds = {0: make_folds(request.folds, label, keys, task, request.seed)}
    if request.outer_folds:
        outer = make_folds(request.outer_folds, label, keys, task, (request.seed + 1) % SEEDS)
        for place, number in enumerate(outer.numbers, 1):
            folds[place] = make_folds(request.folds, label, keys, task, request.seed, outer.sides(number)[0])
        folds[OUTER] = outer
    return folds


def _configuration(request: Request, metric: str) -> dict[str, Any]:
    return {**vars(request), "metric": metric, "excluded_columns": sorted(request.excluded_columns)}


def _sampler_seed(request: Request) -> int:
    """Return the seed of proposals: each shard has its own, on the same folds."""
    return request.seed + 2**32 * request.shard


def _nested(number: int, work: Work, budget: Budget, submit: Submit, ledger: Ledger) -> Trial:
    """Search without the rows of an outer fold, and return what is found, scored on those."""
    stored = ledger.trials.get((OUTER, number))
    if stored is not None:
        return stored
    best = best_of(Search(number, work, budget, submit, ledger).run(), work.greater)
    trial = replace(best, search=OUTER, place=number, scores=())
    done = result_of(submit(Task(trial, (work.folds[OUTER].numbers[number - 1],))))
    ledger.note(done)
    return done


def _values(found: Found) -> dict[str, float]:
    """Return what the search came to as numbers."""
    metric = found.work.metric
    states = [trial.state for trial in found.trials]
    values = {
        metric: found.best.score,
        f"default_{metric}": found.trials[0].score,
        "trials": len(found.trials) - 1,
        "pruned_trials": states.count("pruned"),
        "failed_trials": states.count("failed"),
        "trial_seconds": sum(trial.seconds for trial in found.trials),
    }
    if found.nested_score is not None:
        values[f"nested_{metric}"] = found.nested_score
    return values
