"""Compare a model with the champion: the version of the registered model that serves now.

The model passes when the whole confidence interval of its advantage on the same rows answers the question with yes,
fails when the whole interval answers with no, and is inconclusive in between, where the data can tell neither; see
`kfp_hallmark.comparison`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kfp_hallmark.champion import ask_champion
from kfp_hallmark.comparison import Advantage, Question, advantage
from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.contracts.registration import require_model_name
from kfp_hallmark.contracts.verdict import Check, Status
from kfp_hallmark.errors import InputError
from kfp_hallmark.reports import number

CHECK = "champion"
ROWS_CHECK = "champion_rows"
USUAL_POWER = 0.8
"""The power by which messages say how many rows would tell, where none is wanted."""


@dataclass(frozen=True)
class Claim:
    """How messages begin: with what is shown, with its contrary, and with what is open."""

    yes: str
    no: str
    open: str


CLAIMS = {
    Question.SUPERIORITY: Claim(
        "The model is better than the champion",
        "The model is not better than the champion",
        "the model is better than the champion",
    ),
    Question.NON_INFERIORITY: Claim(
        "The model is not worse than allowed", "The model is worse than allowed", "the model is worse than allowed"
    ),
    Question.EQUIVALENCE: Claim(
        "The model is as good as the champion, within the margin",
        "The model is not as good as the champion, within the margin",
        "the model is as good as the champion, within the margin",
    ),
}


@dataclass(frozen=True)
class Terms:
    """What a model is compared with, and by what.

    Attributes:
        model_name: The registered model whose champion is asked.
        metric: The metric that is compared.
        question: What is asked.
        margin: The difference that matters.
        power: How likely a yes must be shown by these rows where it is plainly true; None asks for no power.
        samples: Number of paired resamples.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.
    """

    model_name: str
    metric: str
    question: Question
    margin: float
    power: float | None
    samples: int
    confidence: float
    seed: int

    def __post_init__(self) -> None:
        require_model_name(self.model_name)
        if not 0 <= self.margin < math.inf:
            raise InputError(f"max_champion_loss must be a finite number, at least 0; got {self.margin}.")
        if self.question is Question.EQUIVALENCE and not self.margin:
            raise InputError(
                "max_champion_loss must be above 0 to ask for equivalence; got 0.",
                "No number of rows shows that two models are exactly as good.",
            )
        if self.power is not None and not 0.5 <= self.power < 1:
            raise InputError(f"power must be at least 0.5 and below 1; got {self.power}.", "For 80 %, give 0.8.")
        if self.power is not None and not self.margin:
            raise InputError(
                "max_champion_loss must be above 0 where a power is wanted; got 0.",
                "The number of rows that is needed depends on the difference that matters.",
            )


@dataclass(frozen=True)
class Comparison:
    """What came of comparing a model with the champion.

    Attributes:
        check: The check that answers the question.
        rows: The check of the number of rows, where a power is wanted.
        champion: What the champion says of the same rows; None when it was not asked.
    """

    check: Check
    rows: Check | None = None
    champion: Predictions | None = None

    @property
    def checks(self) -> list[Check]:
        """What the verdict gets."""
        return [check for check in (self.check, self.rows) if check is not None]


def compare_with_champion(challenger: Predictions, dataset: str, terms: Terms, tracking_uri: str | None) -> Comparison:
    """Compare a model's predictions with those of the champion of a registered model.

    Where the champion says nothing, the check says why; see `kfp_hallmark.champion.ask_champion`.

    Raises:
        InputError: If no registry is named.
    """
    answer = ask_champion(challenger, dataset, terms.model_name, tracking_uri)
    scope = {"model": terms.model_name}
    if answer.version is not None:
        scope |= {"version": answer.version, "metric": terms.metric, "question": str(terms.question)}
    champion = answer.predictions
    if champion is None:
        return _only(answer.status, answer.message, scope)
    found = advantage(challenger, champion, terms.metric, terms.samples, terms.confidence, terms.seed)
    if found is None:
        return _only(
            Status.INCONCLUSIVE,
            f"The {terms.metric} of the model or the champion is undefined, or rests on too few rows to compare.",
            scope,
        )
    check = replace(_judge(found, terms), confidence=terms.confidence, samples=found.rows, scope=scope)
    return Comparison(check, _judge_rows(found, terms, scope), champion)


def _only(status: Status, message: str, scope: dict[str, str]) -> Comparison:
    return Comparison(Check(CHECK, status, scope=scope, message=message))


def _judge(found: Advantage, terms: Terms) -> Check:
    """Answer the question by the advantage over the champion."""
    least, greatest = terms.question.bounds(terms.margin)
    status = terms.question.answer(found.interval, terms.margin)
    return Check(
        CHECK,
        status,
        observed=found.difference,
        minimum=least,
        maximum=greatest,
        interval=found.interval,
        message=_message(status, found, terms),
    )


def _message(status: Status, found: Advantage, terms: Terms) -> str:
    side = "better" if found.difference >= 0 else "worse"
    low, high = (number(end, 3) for end in found.interval)
    margin = number(terms.margin, 3)
    allowed = {
        Question.SUPERIORITY: "more than 0 is asked",
        Question.NON_INFERIORITY: f"at most {margin} worse is allowed",
        Question.EQUIVALENCE: f"at most {margin} to either side is allowed",
    }[terms.question]
    said = (
        f"in {terms.metric.replace('_', ' ')} it is {number(abs(found.difference), 3)} {side} than the champion "
        f"({low} to {high}; {allowed})."
    )
    claim = CLAIMS[terms.question]
    if status is Status.PASS:
        return f"{claim.yes}: {said}"
    if status is Status.FAIL:
        return f"{claim.no}: {said}"
    return f"The data cannot tell whether {claim.open}: {said} {_advice(found, terms)}"


def _advice(found: Advantage, terms: Terms) -> str:
    """Say how many rows would tell."""
    power = USUAL_POWER if terms.power is None else terms.power
    needed = found.rows_needed(terms.question, terms.margin, power, terms.confidence)
    if needed is None:
        return (
            "With a margin of 0 no number of rows can be planned: give max_champion_loss, the difference that matters."
        )
    near = " This one is near the limit." if found.rows >= needed else ""
    return f"{_planned(needed, power, terms)} there are {found.rows:,}.{near}"


def _planned(needed: int, power: float, terms: Terms) -> str:
    truth = f"better by {number(terms.margin, 3)}" if terms.question is Question.SUPERIORITY else "as good"
    return f"To show it of a model that is {truth}, with a power of {power:.0%}, takes about {needed:,} rows;"


def _judge_rows(found: Advantage, terms: Terms, scope: dict[str, str]) -> Check | None:
    """Hold the number of rows against what the wanted power takes."""
    if terms.power is None:
        return None
    needed = found.rows_needed(terms.question, terms.margin, terms.power, terms.confidence)
    assert needed is not None
    status = Status.PASS if found.rows >= needed else Status.INCONCLUSIVE
    return Check(
        ROWS_CHECK,
        status,
        observed=float(found.rows),
        minimum=float(needed),
        samples=found.rows,
        scope=scope,
        message=f"{_planned(needed, terms.power, terms)} there are {found.rows:,}.",
    )
