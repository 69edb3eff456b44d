"""Read a search space, and propose parameters from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.training.tune_model.trial import COMPLETE, FAILED, MAX_PROBLEM, MAX_TEXT, PRUNED, Trial
from kfp_hallmark.contracts.options import read_options
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.training.estimators import make_estimator

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

MAX_PARAMETERS = 50
"""How many parameters a search space holds at most."""

FORMS = ("float", "int", "choice")
SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "wilcoxon", "none")


@dataclass(frozen=True)
class Numbers:
    """A range of numbers, both ends included.

    Attributes:
        low: The least.
        high: The greatest.
        log: Whether to search on the logarithm's scale.
        step: The distance between two values; None is any number, or 1 for whole ones.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class WholeNumbers:
    """A range of whole numbers; see `Numbers`."""

    low: int
    high: int
    log: bool = False
    step: int | None = None


@dataclass(frozen=True)
class Choice:
    """Some values without an order.

    Attributes:
        choices: At least two different JSON values.
    """

    choices: tuple[Any, ...]


Space = dict[str, Numbers | WholeNumbers | Choice]


def read_space(given: Mapping[str, Any]) -> Space:
    """Return a search space, its parameters in the order of their names.

    Raises:
        InputError: If it is empty or too large, or a range or a choice is none.
    """
    if not isinstance(given, Mapping) or not 0 < len(given) <= MAX_PARAMETERS:
        size = f"{len(given)} parameters" if isinstance(given, Mapping) else type(given).__name__
        raise InputError(
            f"search_space must be an object of 1 to {MAX_PARAMETERS} parameters; got {size}.",
            'Such as {"learning_rate": {"type": "float", "low": 0.01, "high": 0.5, "log": true}}.',
        )
    return {name: _read(f"search_space[{name!r}]", given[name]) for name in sorted(given)}


def _read(what: str, given: Any) -> Numbers | WholeNumbers | Choice:
    if not isinstance(given, Mapping):
        raise InputError(f"{what} must be an object; got {type(given).__name__}.")
    rest = dict(given)
    form = rest.pop("type", None)
    if form == "choice":
        return _read_choice(what, rest)
    if form not in FORMS:
        raise InputError(f"{what} must have a type of {', '.join(FORMS)}; got {form!r}.", nearest(form, list(FORMS)))
    numbers = read_options(Numbers if form == "float" else WholeNumbers, rest, what)
    if not numbers.low < numbers.high:
        raise InputError(f"{what} must have a low below its high; got {numbers.low:g} and {numbers.high:g}.")
    if not abs(numbers.low) < float("inf") or not abs(numbers.high) < float("inf"):
        raise InputError(f"{what} must have finite ends; got {numbers.low:g} and {numbers.high:g}.")
    if numbers.log and numbers.low <= 0:
        raise InputError(f"{what} must have a low above 0 for a log scale; got {numbers.low:g}.")
    if numbers.step is not None and numbers.log:
        raise InputError(f"{what} must have a log scale or a step; got both.")
    if numbers.step is not None and not 0 < numbers.step <= numbers.high - numbers.low:
        raise InputError(f"{what} must have a step above 0 and at most high - low; got {numbers.step:g}.")
    return numbers


def _read_choice(what: str, rest: Mapping[str, Any]) -> Choice:
    if set(rest) != {"choices"} or not isinstance(rest["choices"], list):
        got = ", ".join(sorted(rest)) or "none"
        raise InputError(f"{what} must have a list of choices and nothing else; got {got}.")
    choices = rest["choices"]
    if len(choices) < 2 or any(value in choices[:place] for place, value in enumerate(choices)):
        raise InputError(f"{what} must have at least two different choices; got {choices!r}.")
    return Choice(tuple(choices))


def require_suits(space: Space, estimator: str, fixed: Mapping[str, Any]) -> None:
    """Raise `InputError` unless an estimator takes every parameter of a space, and each end and each choice alone."""
    taken = make_estimator(estimator, fixed, 0).get_params()
    for name, values in space.items():
        if name in fixed:
            raise InputError(f"search_space must hold none of estimator_parameters; got {name!r} in both.")
        if name not in taken and estimator.startswith("sklearn."):
            raise InputError(
                f"search_space must hold parameters of {estimator!r}; got {name!r}.", nearest(name, list(taken))
            )
        for value in values.choices if isinstance(values, Choice) else map(_handed_on, (values.low, values.high)):
            try:
                make_estimator(estimator, {**fixed, name: value}, 0)
            except InputError as error:
                raise InputError(f"search_space[{name!r}] must suit {estimator!r}; {error.message}") from None


def require_short(space: Space, folds: int) -> None:
    """Raise `InputError` unless the longest trial of a space fits into MLflow's tag, from which a search goes on."""
    values = {
        name: max(values.choices, key=lambda choice: len(json.dumps(choice)))
        if isinstance(values, Choice)
        else -1 / 3e99
        for name, values in space.items()
    }
    text = Trial(0, 0, values, FAILED, (-1 / 3e99,) * folds, problem='"' * MAX_PROBLEM).to_text()
    if len(text) > MAX_TEXT:
        raise InputError(
            f"A trial must fit into a tag of MLflow's of {MAX_TEXT:,} characters; with this search_space and these "
            f"folds one may have {len(text):,}.",
            "Give shorter choices, fewer parameters or fewer folds.",
        )


def propose(
    space: Space, sampler: str, seed: int, place: int, known: Sequence[Trial], pending: Sequence[Trial], greater: bool
) -> dict[str, Any]:
    """Return the parameters of a trial: a function of the arguments alone.

    Args:
        space: Where to search.
        sampler: tpe (Bergstra and others 2011; a choice that is being tried counts as a poor one) or random.
        seed: Seed of the search.
        place: The trial's place in the search.
        known: Trials that have ended.
        pending: Trials whose outcome is not known yet.
        greater: Whether a greater score is better.
    """
    import optuna

    number = int.from_bytes(hashlib.sha256(f"{seed} {place}".encode()).digest()[:4], "big")
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    study = study_of(space, known, pending, greater, samplers[sampler](seed=number))
    found = study.ask(_distributions(space)).params
    return {name: _value(values, found[name]) for name, values in space.items()}


def study_of(
    space: Space,
    known: Sequence[Trial],
    pending: Sequence[Trial],
    greater: bool,
    sampler: Any = None,
    by_fold: bool = False,
) -> Study:
    """Return Optuna's study of some trials, in memory, with the score of each fold or the mean so far."""
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if greater else "minimize", sampler=sampler)
    states = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED}
    distributions = _distributions(space)
    for trial in known:
        state = states.get(trial.state, TrialState.FAIL)
        study.add_trial(
            create_trial(
                state=state,
                params=_indices(space, trial.parameters),
                distributions=distributions,
                intermediate_values=_reported(trial, by_fold),
                value=trial.score if trial.scores and state is not TrialState.FAIL else None,
            )
        )
    for trial in pending:
        params = _indices(space, trial.parameters)
        study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=distributions))
    return study


def is_pruned(space: Space, pruner: str, known: Sequence[Trial], trial: Trial, greater: bool) -> bool:
    """Return whether to give a trial up after the folds that it has a score of.

    `median` gives up what is worse, by the mean of its folds so far, than the median of the complete trials at that
    fold, once there are five; `wilcoxon` what is worse than the best, fold by fold, at a level of 0.1.
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    if pruner == "none":
        return False
    by_fold = pruner == "wilcoxon"
    judge = optuna.pruners.WilcoxonPruner(p_threshold=0.1) if by_fold else optuna.pruners.MedianPruner()
    study = study_of(space, [item for item in known if item.state == COMPLETE], (), greater, by_fold=by_fold)
    running = create_trial(state=TrialState.RUNNING, intermediate_values=_reported(trial, by_fold))
    return bool(judge.prune(study, running))


def _reported(trial: Trial, by_fold: bool) -> dict[int, float]:
    return dict(enumerate(trial.scores if by_fold else trial.running_means))


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    made: dict[str, BaseDistribution] = {}
    for name, values in space.items():
        if isinstance(values, Choice):
            made[name] = CategoricalDistribution(tuple(range(len(values.choices))))
        elif isinstance(values, Numbers):
            made[name] = FloatDistribution(values.low, values.high, values.log, values.step)
        else:
            step = values.step or 1
            high = values.low + (values.high - values.low) // step * step
            made[name] = IntDistribution(values.low, high, values.log, step)
    return made


def _value(values: Numbers | WholeNumbers | Choice, found: Any) -> Any:
    return values.choices[found] if isinstance(values, Choice) else _handed_on(found)


def _handed_on(number: float) -> float:
    """Return a number as KFP hands it to train_model: 1.0 as 1, which some estimators take for something else."""
    return int(number) if float(number).is_integer() else number


def _indices(space: Space, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with the place of each choice in its stead, for a choice may be any JSON value."""
    return {
        name: values.choices.index(parameters[name]) if isinstance(values, Choice) else parameters[name]
        for name, values in space.items()
    }
