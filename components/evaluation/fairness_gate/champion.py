"""Compare the disparities of a model with those of the champion, on the same rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kfp_hallmark.champion import Answer, ask_champion
from kfp_hallmark.components.evaluation.fairness_gate.growth import can_grow, growth_interval, paired
from kfp_hallmark.components.evaluation.fairness_gate.page import CHAMPION_CHECK, sentence
from kfp_hallmark.contracts.predictions import BINARY, Predictions
from kfp_hallmark.contracts.registration import require_model_name
from kfp_hallmark.contracts.verdict import Check, Status
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.fairness.disparity import disparity
from kfp_hallmark.fairness.registry import DISPARITIES, RATIO, ROC_AUC, Disparity
from kfp_hallmark.fairness.tally import Tally, class_names, tallies
from kfp_hallmark.measures import SMALL_CLASS, Interval
from kfp_hallmark.reports import number

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator


@dataclass(frozen=True)
class Terms:
    """How much worse than the champion's disparities may be: a difference greater, a ratio less.

    Attributes:
        model_name: The registered model whose champion is asked.
        tracking_uri: The registry; None asks the environment.
        losses: Disparity to how much worse it may be; without any, the champion is not asked.
        min_size: The fewest rows by which a group is compared.
        samples: Number of resamples behind each interval.
        confidence: Confidence level, between 0 and 1.
        wanted: The disparities and their losses, in the order of the registry.
    """

    model_name: str | None
    tracking_uri: str | None
    losses: Mapping[str, float]
    min_size: int
    samples: int
    confidence: float
    wanted: dict[Disparity, float] = field(init=False)

    def __post_init__(self) -> None:
        if self.model_name is not None:
            require_model_name(self.model_name)
        if self.losses and self.model_name is None:
            raise InputError("max_champion_losses must be given together with model_name; got no model_name.")
        growing = [measure for measure in DISPARITIES if can_grow(measure)]
        known = [measure.name for measure in growing]
        for name, loss in self.losses.items():
            if name not in known:
                raise InputError(
                    f"max_champion_losses must hold differences or ratios; got {name!r}.",
                    nearest(name, known),
                )
            if isinstance(loss, bool) or not isinstance(loss, int | float) or not 0 <= loss < math.inf:
                raise InputError(f"The loss of {name!r} must be a finite number, at least 0; got {loss!r}.")
        wanted = {measure: float(self.losses[measure.name]) for measure in growing if measure.name in self.losses}
        object.__setattr__(self, "wanted", wanted)


def champion_checks(
    given: Predictions, dataset: str, found: Sequence[Tally], terms: Terms, generator: Generator
) -> list[Check]:
    """Return a check for each disparity that may not get worse, between the groups of each feature.

    Where the champion says nothing, the one check says why; see `kfp_hallmark.champion.ask_champion`.

    Raises:
        InputError: If no registry is named.
    """
    if terms.model_name is None or not terms.wanted:
        return []
    answer = ask_champion(given, dataset, terms.model_name, terms.tracking_uri)
    if answer.predictions is None:
        return [Check(CHAMPION_CHECK, answer.status, scope=_scope(terms, answer), message=answer.message)]
    scored = any(kind.needs_score for measure in terms.wanted for kind in measure.kinds)
    if scored and answer.predictions.score is None:
        message = f"The champion, version {answer.version}, gives no probabilities, so no comparison was made."
        return [Check(CHAMPION_CHECK, Status.INCONCLUSIVE, scope=_scope(terms, answer), message=message)]
    champion = replace(answer.predictions, classes=given.classes)
    compared = {name for measure in terms.wanted for name in measure.quantities}
    checks = []
    for groups in {id(each.groups): each.groups for each in found}.values():
        for both in zip(*(tallies(each, groups, compared) for each in (given, champion)), strict=True):
            for measure, loss in terms.wanted.items():
                if set(measure.quantities) <= set(both[0].quantities):
                    scope = both[0].scope | {"measure": measure.name} | _scope(terms, answer)
                    checks.append(_check(measure, loss, both, (given, champion), scope, terms, generator))
    return checks


def _scope(terms: Terms, answer: Answer) -> dict[str, str]:
    version = {} if answer.version is None else {"version": answer.version}
    return {"model": str(terms.model_name)} | version


def _check(
    measure: Disparity,
    loss: float,
    both: tuple[Tally, Tally],
    predictions: tuple[Predictions, Predictions],
    scope: Mapping[str, str],
    terms: Terms,
    generator: Generator,
) -> Check:
    """Hold by how much one disparity is worse than the champion's against what is allowed."""
    model = both[0]
    known = _comparable(both, measure, terms.min_size)
    if len(known) < len(measure.quantities):
        message = f"Fewer than two groups of {model.title} are large enough to compare with the champion."
        return Check(CHAMPION_CHECK, Status.INCONCLUSIVE, maximum=loss, scope=scope, message=message)
    values = [
        disparity([each.quantities[name].of(places) for name, places in known.items()], measure.statistic)
        for each in both
    ]
    now, before = values
    if now is None or before is None:
        message = f"A rate is 0 in all groups of {model.title}, so there is no ratio to compare with the champion."
        return Check(CHAMPION_CHECK, Status.INCONCLUSIVE, maximum=loss, scope=scope, message=message)
    ratio = measure.statistic == RATIO
    of = _class(model, predictions[0])
    compared = [paired(name, *predictions, model.groups.codes, places, of) for name, places in known.items()]
    growth = before - now if ratio else now - before
    low, high = growth_interval(compared, terms.samples, terms.confidence, generator, ratio)
    interval = min(low, growth), max(high, growth)
    status = Status.PASS if interval[1] <= loss else Status.FAIL if interval[0] > loss else Status.INCONCLUSIVE
    return Check(
        CHAMPION_CHECK,
        status,
        observed=growth,
        maximum=loss,
        interval=interval,
        confidence=terms.confidence,
        samples=sum(int(model.quantities[name].of(places).trials.sum()) for name, places in known.items()),
        scope=scope,
        message=_message(measure, status, (now, before), interval, loss),
    )


def _comparable(both: tuple[Tally, Tally], measure: Disparity, min_size: int) -> dict[str, ndarray]:
    """Return, for each quantity, the groups with rows enough by both models, where they are at least two."""
    import numpy as np

    least = max(min_size, SMALL_CLASS) if ROC_AUC in measure.quantities else min_size
    own, others = (each.comparable(measure.quantities, least) for each in both)
    known = {name: np.intersect1d(places, others[name]) for name, places in own.items() if name in others}
    return {name: places for name, places in known.items() if len(places) > 1}


def _class(tally: Tally, predictions: Predictions) -> Any:
    """Return the class that is held against the rest, as the predictions have it."""
    if predictions.task == BINARY:
        return predictions.positive_class
    return next((value for value in class_names(predictions) if str(value) == tally.of_class), None)


def _message(measure: Disparity, status: Status, values: tuple[float, float], interval: Interval, loss: float) -> str:
    low, high = (number(end, 3) for end in interval)
    verb, noun = ("fallen", "fall") if measure.statistic == RATIO else ("grown", "growth")
    began = {
        Status.PASS: f"has not {verb} more than allowed",
        Status.FAIL: f"has {verb} more than allowed",
        Status.INCONCLUSIVE: f"may have {verb} more than allowed; the data cannot tell",
    }[status]
    now, before = (number(value, 3) for value in values)
    return (
        f"{sentence(measure.name)} {began}: it is {now}, the champion's {before} ({noun} {low} to {high}; "
        f"at most {number(loss, 3)} is allowed)."
    )
