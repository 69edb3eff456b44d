"""The report on a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kfp_hallmark.components.training.tune_model.space import Choice
from kfp_hallmark.components.training.tune_model.trial import COMPLETE, FAILED, PRUNED, Trial, best_of
from kfp_hallmark.components.training.tune_model.work import Work
from kfp_hallmark.reports import (
    Markup,
    badge,
    code,
    facts,
    figure,
    intervals,
    lines,
    number,
    page,
    paragraph,
    section,
    table,
)

SHOWN = 10
"""How many of the best trials, and of the failed ones, are shown."""


@dataclass(frozen=True)
class Found:
    """What the report is about.

    Attributes:
        dataset: The dataset's digest.
        run_id: The MLflow run.
        work: What all trials shared.
        trials: Every trial, in order; the first is the estimator as it is given.
        nested: For each outer fold the best that a search without it found, scored on it.
    """

    dataset: str
    run_id: str
    work: Work
    trials: list[Trial]
    nested: list[Trial]

    @property
    def best(self) -> Trial:
        """The best of all trials."""
        return best_of(self.trials, self.work.greater)

    @property
    def nested_score(self) -> float | None:
        """The mean over the outer folds, or None without any; of those that failed, nothing."""
        scores = [trial.score for trial in self.nested if trial.state == COMPLETE]
        return sum(scores) / len(scores) if scores else None


def search_page(found: Found) -> str:
    """Return the report."""
    parts = [_about(found), _best(found), _progress(found), _leaders(found)]
    if found.nested:
        parts.append(_nested(found))
    parts += [_space(found), _failures(found)]
    return page("Search for parameters", *(part for part in parts if part), lead=_lead(found))


def _lead(found: Found) -> str:
    metric, default, best = found.work.metric, found.trials[0], found.best
    if best.place == 0:
        return f"None of {len(found.trials) - 1} trials did better than the estimator as it is given."
    gain = abs(best.score - default.score)
    return (
        f"Trial {best.place} of {len(found.trials) - 1} has a {metric} of {number(best.score)}, better by "
        f"{number(gain, 2)} than the estimator as it is given ({number(default.score)})."
    )


def _about(found: Found) -> Markup:
    states = [trial.state for trial in found.trials]
    folds = found.work.folds[0]
    order = "each scored by what was trained on earlier rows" if folds.expanding else "each scored by the others"
    return facts(
        {
            "estimator": code(found.work.estimator),
            "measured": f"{found.work.metric}, the mean of {len(folds.numbers)} folds of the training data, {order}",
            "trials": ", ".join(f"{states.count(state)} {state}" for state in (COMPLETE, PRUNED, FAILED)),
            "dataset": code(found.dataset),
            "MLflow run": code(found.run_id),
        }
    )


def _best(found: Found) -> Markup:
    chosen = {**found.work.fixed, **found.best.parameters}
    rows = [
        [code(name), _word(value), "fixed" if name in found.work.fixed else "found"] for name, value in chosen.items()
    ]
    if not rows:
        return section("Best parameters", "The estimator's own defaults.")
    return section("Best parameters", table(["Parameter", "Value", "From"], rows))


def _progress(found: Found) -> Markup:
    sign = 1 if found.work.greater else -1
    start = found.trials[0].score
    best, places, gains = 0.0, [0], [0.0]
    for trial in found.trials[1:]:
        before, best = best, max(best, sign * (trial.score - start)) if trial.state == COMPLETE else best
        places += [trial.place, trial.place]
        gains += [before, best]
    chart = lines(
        f"Gain in {found.work.metric} by trial",
        [("best so far", places, gains)],
        "trial",
        f"better {found.work.metric} than as given by",
    )
    return section("Progress", figure(chart, "By how much the best trial so far beats the estimator as it is given."))


def _leaders(found: Found) -> Markup:
    sign = -1 if found.work.greater else 1
    complete = [trial for trial in found.trials if trial.state == COMPLETE]
    leaders = sorted(complete, key=lambda trial: (sign * trial.score, trial.place))[:SHOWN]
    if found.trials[0] not in leaders:
        leaders.append(found.trials[0])
    items = [(_name(trial), trial.score, (min(trial.scores), max(trial.scores)), "") for trial in leaders]
    caption = f"The mean {found.work.metric} of the {len(leaders)} trials shown, from the worst fold to the best."
    rows = [[_name(trial), trial.score, trial.seconds, *_cells(found, trial)] for trial in leaders]
    note = (
        "The best of many is better by luck, too: its score here is better than on new rows. The gates judge by rows "
        "that no search has seen."
    )
    return section(
        "Best trials",
        figure(intervals(f"{found.work.metric} of the best trials", items), caption),
        table(["Trial", found.work.metric, "Seconds", *found.work.space], rows),
        paragraph(note, note=True),
    )


def _cells(found: Found, trial: Trial) -> list[Any]:
    return [_cell(trial.parameters[name]) if name in trial.parameters else None for name in found.work.space]


def _nested(found: Found) -> Markup:
    rows = [[trial.place, trial.score if trial.scores else None, *_cells(found, trial)] for trial in found.nested]
    lead = (
        f"Searched anew without each outer fold, and scored on it: a mean {found.work.metric} of "
        f"{number(found.nested_score)}. This is the honest estimate of what such a search comes to."
    )
    return section("Nested cross-validation", lead, table(["Outer fold", found.work.metric, *found.work.space], rows))


def _space(found: Found) -> Markup:
    rows = []
    for name, values in found.work.space.items():
        if isinstance(values, Choice):
            rows.append([code(name), ", ".join(map(_word, values.choices)), "choice"])
            continue
        step = f", steps of {number(values.step)}" if values.step else ""
        scale = "log scale" if values.log else "linear"
        rows.append([code(name), f"{number(values.low)} to {number(values.high)}", f"{scale}{step}"])
    return section("Search space", table(["Parameter", "Values", "Scale"], rows))


def _failures(found: Found) -> Markup | None:
    failed = [trial for trial in found.trials if trial.state == FAILED]
    if not failed:
        return None
    rows = [[_name(trial), badge("fail"), trial.problem] for trial in failed[:SHOWN]]
    rest = len(failed) - len(rows)
    more = [paragraph(f"{rest} more failed; MLflow has them.", note=True)] if rest else []
    return section("Failed trials", table(["Trial", "", "Why"], rows), *more)


def _name(trial: Trial) -> str:
    return f"trial {trial.place}" if trial.place else "as given"


def _cell(value: Any) -> Any:
    return value if _is_number(value) else str(value)


def _word(value: Any) -> str:
    return number(value) if _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
