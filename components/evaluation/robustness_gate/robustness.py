"""Judge whether a model keeps its quality and its decisions when its inputs are poor, or changed on purpose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from kfp_hallmark.comparison import advantage
from kfp_hallmark.components.evaluation.robustness_gate.page import Robustness, robustness_page
from kfp_hallmark.components.evaluation.robustness_gate.perturb import (
    PERTURBATIONS,
    Feature,
    Perturbation,
    as_text,
    perturb,
    read_features,
    require_changeable,
)
from kfp_hallmark.components.evaluation.robustness_gate.retrain import LEAST, MOST, CannotRetrain, Retraining, retrain
from kfp_hallmark.components.evaluation.robustness_gate.retrain import LIMITS as RETRAINING_LIMITS
from kfp_hallmark.components.evaluation.robustness_gate.retrained import compare
from kfp_hallmark.components.evaluation.robustness_gate.search import Searched, search_evasions, search_flips
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_table
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.options import is_number, require_limits
from kfp_hallmark.contracts.predictions import BINARY, REGRESSION, Predictions
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.measures import Interval, require_metric, require_resampling, select, wilson_interval
from kfp_hallmark.modeling.columns import Column, read_label
from kfp_hallmark.modeling.loading import LoadedModel, load_model
from kfp_hallmark.modeling.prediction import (
    THRESHOLD,
    in_step,
    input_columns,
    interpret,
    meaning_of,
    predict_table,
    require_classes,
)
from kfp_hallmark.reports import number, write_page

if TYPE_CHECKING:
    import pyarrow

T = TypeVar("T")
GATE = "robustness_gate"
FLIP, EVASION = "flip", "evasion"
STRENGTHS = {kind.name: kind.strengths for kind in PERTURBATIONS} | {
    FLIP: (0.02, 0.05, 0.1, 0.2),
    EVASION: (0.05, 0.1, 0.2),
}
"""What is tried where no strengths are given."""
LIMITS = {kind.name: f"max_{kind.name}_drop" for kind in PERTURBATIONS} | {
    FLIP: "max_flip_rate",
    EVASION: "max_evasion_rate",
    **{limit.removeprefix("max_"): limit for limit in RETRAINING_LIMITS.values()},
}
"""The limit of each thing that is tried."""
TOGETHER = "all together"
"""The scope of a perturbation of all features."""


@dataclass(frozen=True)
class _Settings:
    """What the judging needs of the component's parameters."""

    limits: Mapping[str, float]
    strengths: Mapping[str, Sequence[float]]
    metric: str
    samples: int
    confidence: float
    seed: int


def judge_robustness(
    model: Artifact,
    dataset: Artifact,
    verdict: Artifact,
    report: Artifact,
    target: str,
    limits: Mapping[str, float],
    metric: str | None,
    strengths: Mapping[str, Sequence[float]] | None,
    categorical_features: Sequence[str],
    changeable_features: Sequence[str] | None,
    min_prediction_change: float | None,
    max_rows: int,
    max_searched_rows: int,
    bootstrap_samples: int,
    confidence: float,
    seed: int,
    training: Artifact | None,
    retrainings: int,
    retrained_models: Artifact | None,
) -> tuple[str]:
    """Write a verdict and a report on how robust a model is, and return the status; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If a limit, strength, metric, column or setting cannot be used, the model cannot predict the data as
            it is, or the further models cannot be compared with it.
        IntegrityError: If an input was changed since it was written.
    """
    import numpy as np

    require_seed(seed)
    wanted, tried = read_limits(limits), require_strengths(strengths or {})
    _require_sizes(max_rows, max_searched_rows, min_prediction_change, retrainings)
    retrained = _require_training(wanted, training, retrained_models)
    require_resampling(bootstrap_samples, confidence)
    loaded = load_model(model.path, model.metadata.get("digest"))
    label = read_label(verified(dataset, "dataset"), target)
    columns = input_columns(loaded, dataset.path, target)
    places = np.random.default_rng(seed).permutation(len(label))[:max_rows]
    table = read_table(dataset.path, [column.name for column in columns]).take(places)
    digest = artifact_digest(dataset.path)
    with in_step(GATE):
        tested = _Tested.of(loaded, columns, as_text(table, columns), target, label, places, digest)
    features = read_features(tested.table, categorical_features)
    changeable = require_changeable(changeable_features, features)
    task = tested.clean.task
    if retrained and LIMITS[retrained] != RETRAINING_LIMITS[task]:
        raise InputError(f"The limit of retraining must be {RETRAINING_LIMITS[task]} here; got {LIMITS[retrained]}.")
    name = metric or ("r2" if task == REGRESSION else "balanced_accuracy")
    require_metric(name, task, "metric")
    if min_prediction_change is None and task == REGRESSION:
        min_prediction_change = float(label.std())
    searched = tested.searched(max_searched_rows, min_prediction_change or 0.0)
    settings = _Settings(wanted, tried, name, bootstrap_samples, confidence, seed)

    found = Robustness(tested.clean, name, len(label), searched.rows, len(features))
    for kind in PERTURBATIONS:
        if kind.name in wanted:
            found.checks += _drop_checks(tested, kind, features, settings)
    if FLIP in wanted:
        found.checks.append(_flip_check(searched, features, settings, found))
    if EVASION in wanted:
        found.checks.append(_evasion_check(searched, changeable, settings, found))
    if retrained:
        with in_step(f"{GATE}, in a retraining"):
            found.checks.append(
                _retraining_check(tested, training, retrained_models, retrainings, retrained, settings, found)
            )
    parameters = {
        "limits": dict(limits),
        "metric": name,
        "strengths": {key: list(tried[key]) for key in tried if key in wanted},
        "categorical_features": list(categorical_features),
        "changeable_features": [feature.name for feature in changeable],
        "min_prediction_change": min_prediction_change,
        "max_rows": max_rows,
        "max_searched_rows": max_searched_rows,
        "bootstrap_samples": bootstrap_samples,
        "confidence": confidence,
        "seed": seed,
        "retrainings": retrainings,
        "training": artifact_digest(training.path) if retrained and training is not None else None,
        "retrained_models": (
            artifact_digest(retrained_models.path) if retrained and retrained_models is not None else None
        ),
    }
    judged = Verdict(GATE, tested.clean.subjects, found.checks, parameters)
    document = robustness_page(judged, found)
    judged.store(verdict)
    write_page(report.path, document)
    return (str(judged.status),)


def read_limits(limits: Mapping[str, float]) -> dict[str, float]:
    """Return the limit of each thing that has one.

    Raises:
        InputError: If there is none, one is unknown, or one is no number that can be kept and broken.
    """
    require_limits(limits, {limit: (0, 1 if limit.endswith("_rate") else math.inf) for limit in LIMITS.values()})
    known = {limit: name for name, limit in LIMITS.items()}
    return {known[name]: float(value) for name, value in limits.items()}


def require_strengths(strengths: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    """Return the strengths of each thing that can be tried, rising.

    Raises:
        InputError: If one is unknown, or is no list of numbers above 0, up to 1 where they are shares.
    """
    shares = {kind.name for kind in PERTURBATIONS if kind.share}
    for name, values in strengths.items():
        if name not in STRENGTHS:
            raise InputError(f"strengths must hold known names; got {name!r}.", nearest(name, [*STRENGTHS]))
        most = 1.0 if name in shares else math.inf
        if not isinstance(values, list | tuple) or not values or not all(is_number(value) for value in values):
            raise InputError(f"The strengths {name!r} must be a list of numbers; got {values!r}.")
        if not all(0 < value <= most for value in values):
            form = "above 0 and at most 1" if name in shares else "above 0"
            raise InputError(f"The strengths {name!r} must be {form}; got {list(values)}.")
    return {name: tuple(sorted({*map(float, strengths.get(name, usual))})) for name, usual in STRENGTHS.items()}


def _require_sizes(
    max_rows: int, max_searched_rows: int, min_prediction_change: float | None, retrainings: int
) -> None:
    if not LEAST <= retrainings <= MOST:
        raise InputError(f"retrainings must be from {LEAST} to {MOST}; got {retrainings}.")
    for name, value in (("max_rows", max_rows), ("max_searched_rows", max_searched_rows)):
        if value < 1:
            raise InputError(f"{name} must be at least 1; got {value}.")
    if min_prediction_change is not None and not 0 < min_prediction_change < math.inf:
        raise InputError(f"min_prediction_change must be above 0; got {min_prediction_change}.")


def _require_training(
    wanted: Mapping[str, float], training: Artifact | None, retrained_models: Artifact | None
) -> str | None:
    """Return the limit of retraining that is wanted, by its name; None when none is.

    Raises:
        InputError: If one is wanted without the data to train on and without further models, or with both, or more
            than one is.
        IntegrityError: If what is given was changed since it was written.
    """
    names = [name for name in wanted if LIMITS[name] in RETRAINING_LIMITS.values()]
    if not names:
        return None
    if len(names) > 1:
        raise InputError("limits must hold one limit of retraining: of the flip rate or of a regression's spread.")
    if (training is None) == (retrained_models is None):
        raise InputError(
            f"Either training or retrained_models must be given together with {LIMITS[names[0]]}; "
            f"got {'neither' if training is None else 'both'}.",
            "training is the data that the model was trained on; retrained_models are models that you trained with "
            "other seeds.",
        )
    for name, artifact in (("training", training), ("retrained_models", retrained_models)):
        if artifact is not None:
            verified(artifact, name)
    return names[0]


@dataclass(frozen=True)
class _Tested:
    """A model, and the rows that it is tested on.

    Attributes:
        model: The model.
        columns: The columns that it takes.
        table: The rows.
        meaning: What its output means.
        clean: What it says of the rows as they are.
    """

    model: LoadedModel
    columns: Sequence[Column]
    table: pyarrow.Table
    meaning: Mapping[str, object]
    clean: Predictions

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        columns: Sequence[Column],
        table: pyarrow.Table,
        target: str,
        label: Sequence[object],
        places: Sequence[int],
        dataset: str,
    ) -> _Tested:
        """Let a model predict rows as they are.

        Raises:
            InputError: If it cannot, or a label is none of its classes.
        """
        raw = predict_table(model, table, columns)
        meaning = meaning_of(model, raw, label)
        if meaning["task"] != REGRESSION:
            require_classes(label, meaning["classes"], "target")
        prediction, score = interpret(model, raw, meaning)
        clean = Predictions(
            task=meaning["task"],
            target=target,
            label=label[places],
            prediction=prediction,
            score=score,
            classes=tuple(meaning.get("classes") or ()),
            positive_class=meaning.get("positive_class"),
            threshold=float(meaning.get("threshold", THRESHOLD)) if meaning["task"] == BINARY else None,
            model=model.digest,
            dataset=dataset,
        )
        return cls(model, columns, table, meaning, clean)

    def ask(self, table: pyarrow.Table) -> Predictions:
        """Return what the model says of other rows; their labels are those of the rows as they are.

        Raises:
            InputError: If it fails on them.
        """
        prediction, score = interpret(self.model, predict_table(self.model, table, self.columns), self.meaning)
        return replace(self.clean, prediction=prediction, score=score)

    def retrain(self, training: str, retrainings: int, confidence: float, seed: int) -> Retraining:
        """Train the model again with other seeds and compare; see `retrain`."""
        return retrain(
            self.model, self.columns, training, self.table, self.clean, self.meaning, retrainings, confidence, seed
        )

    def compare(self, folder: str, confidence: float) -> Retraining:
        """Compare with further models; see `compare`."""
        return compare(folder, self.model, self.columns, self.table, self.clean, confidence)

    def searched(self, rows: int, change: float) -> Searched:
        """Return the first rows, to be searched."""
        import numpy as np

        first = np.arange(min(rows, self.table.num_rows))
        return Searched(self.ask, self.table.take(first), select(self.clean, first), change)


def shown(interval: Interval | None, maximum: float) -> Status:
    """Return `pass` when the whole interval keeps a limit, `fail` when none of it does, else `inconclusive`."""
    if interval is None:
        return Status.INCONCLUSIVE
    return Status.PASS if interval[1] <= maximum else Status.FAIL if interval[0] > maximum else Status.INCONCLUSIVE


def _try(what: str, run: Callable[[], T]) -> tuple[T | None, str]:
    """Return what came out, or None and why the model failed."""
    try:
        return run(), ""
    except InputError as error:
        return None, f"In {GATE}, {what}: {error.message}"


def _drop_checks(tested: _Tested, kind: Perturbation, features: Sequence[Feature], settings: _Settings) -> list[Check]:
    """Return a check for all features together and for each, at the strength that comes out worst."""
    fitting = [feature for feature in features if kind.fits(feature)]
    name, limit = f"{kind.name}_drop", settings.limits[kind.name]
    if not fitting:
        message = f"The model takes no feature that {kind.title} can reach."
        return [Check(name, Status.PASS, observed=0.0, maximum=limit, message=message)]
    groups = [(TOGETHER, fitting)] if kind.together and len(fitting) > 1 else []
    groups += [(feature.name, [feature]) for feature in fitting]
    order = list(Status)
    checks = []
    for place, (title, group) in enumerate(groups):
        tries = [
            _drop_check(tested, kind, title, group, strength, (settings.seed, place), settings)
            for strength in settings.strengths[kind.name]
        ]
        checks.append(max(tries, key=lambda check: (order.index(check.status), check.observed or 0.0)))
    return checks


def _drop_check(
    tested: _Tested,
    kind: Perturbation,
    title: str,
    features: Sequence[Feature],
    strength: float,
    seed: Sequence[int],
    settings: _Settings,
) -> Check:
    limit, confidence = settings.limits[kind.name], settings.confidence
    of = "all features together" if title == TOGETHER else repr(title)
    share = f"{strength:.0%}" if kind.share else number(strength)
    what = f"under {kind.title} ({share} {kind.unit}) in {of}"
    check = Check(
        f"{kind.name}_drop",
        Status.FAIL,
        maximum=limit,
        samples=tested.table.num_rows,
        scope={"feature": title, "strength": f"{strength:g}"},
    )
    said, failure = _try(what, lambda: tested.ask(perturb(tested.table, kind, features, strength, seed)))
    if said is None:
        return replace(check, message=failure)
    metric = settings.metric.replace("_", " ")
    found = advantage(said, tested.clean, settings.metric, settings.samples, confidence, settings.seed)
    if found is None:
        message = f"The drop of {metric} {what} is undefined: there are too few rows, or a class or scores are missing."
        return replace(check, status=Status.INCONCLUSIVE, message=message)
    drop, interval = 0.0 - found.difference, (0.0 - found.interval[1], 0.0 - found.interval[0])
    status = shown(interval, limit)
    return replace(
        check,
        status=status,
        observed=drop,
        interval=interval,
        confidence=confidence,
        message=f"The {metric} drops by {number(drop, 3)} {what}{_outcome(status, drop, limit)}",
    )


def _outcome(status: Status, observed: float, limit: float) -> str:
    bound = number(limit)
    return {
        Status.PASS: f"; with its whole interval that keeps the limit of {bound}.",
        Status.FAIL: f"; with its whole interval that is above the limit of {bound}.",
        Status.INCONCLUSIVE: f"; that {'keeps' if observed <= limit else 'is above'} the limit of {bound}, but there "
        "is too little data to show it.",
    }[status]


def _rate_check(name: str, hits: int, trials: int, strength: float, what: str, settings: _Settings) -> Check:
    limit = settings.limits[name]
    interval = wilson_interval(hits, trials, settings.confidence)
    status = shown(interval, limit)
    observed = hits / trials if trials else None
    message = (
        f"Of {number(trials)} rows {what}, {number(hits)} ({observed:.1%}) get another decision"
        f"{_outcome(status, observed, limit)}"
        if observed is not None
        else f"There is no row {what}."
    )
    return Check(
        f"{name}_rate",
        status,
        observed=observed,
        maximum=limit,
        interval=interval,
        confidence=settings.confidence if interval else None,
        samples=trials,
        scope={"strength": f"{strength:g}"},
        message=message,
    )


def _failed(name: str, settings: _Settings, message: str) -> Check:
    return Check(f"{name}_rate", Status.FAIL, maximum=settings.limits[name], message=message)


def _kept(name: str, settings: _Settings, message: str) -> Check:
    """Return the check of a limit that no feature can break."""
    return Check(f"{name}_rate", Status.PASS, observed=0.0, maximum=settings.limits[name], message=message)


def _flip_check(searched: Searched, features: Sequence[Feature], settings: _Settings, found: Robustness) -> Check:
    sizes = settings.strengths[FLIP]
    flips, failure = _try("in the search of flips", lambda: search_flips(searched, features, sizes))
    if flips is None:
        return _failed(FLIP, settings, failure)
    found.flips = flips
    if not flips.smallest:
        return _kept(FLIP, settings, "The model takes no number that can move.")
    what = f"in which one number moves by at most {number(sizes[-1])} of its standard deviations"
    return _rate_check(FLIP, int(flips.rows_within(sizes[-1]).sum()), searched.rows, sizes[-1], what, settings)


def _evasion_check(searched: Searched, features: Sequence[Feature], settings: _Settings, found: Robustness) -> Check:
    import numpy as np

    sizes = settings.strengths[EVASION]
    if not features:
        return _kept(EVASION, settings, "The model takes no feature that an adversary can change.")
    right = searched.of(np.flatnonzero(searched.right()))
    generator = np.random.default_rng(settings.seed)
    evaded, failure = _try("in the search of evasions", lambda: search_evasions(right, features, sizes, generator))
    if evaded is None:
        return _failed(EVASION, settings, failure)
    found.evasions = {size: (int((evaded <= size).sum()), right.rows) for size in sizes}
    what = (
        f"that the model decides rightly and in which {number(len(features))} features move by at most "
        f"{number(sizes[-1])} of their standard deviations each"
    )
    return _rate_check(EVASION, int((evaded <= sizes[-1]).sum()), right.rows, sizes[-1], what, settings)


def _retraining_check(
    tested: _Tested,
    training: Artifact | None,
    retrained_models: Artifact | None,
    retrainings: int,
    name: str,
    settings: _Settings,
    found: Robustness,
) -> Check:
    """Return what other seeds change; a model that cannot be trained again is not measured, which is no pass."""
    limit = settings.limits[name]
    try:
        if retrained_models is not None:
            measured = tested.compare(retrained_models.path, settings.confidence)
        else:
            assert training is not None
            measured = tested.retrain(training.path, retrainings, settings.confidence, settings.seed)
    except CannotRetrain as error:
        message = f"What other seeds change was not measured. {error.message} {error.hint or ''}".strip()
        return Check(name, Status.INCONCLUSIVE, maximum=limit, message=message)
    found.retraining = measured
    status, times = shown(measured.interval, limit), len(measured.each)
    changed = (
        "change the predictions by {} of the target's standard deviation"
        if measured.ambiguous is None
        else "give another decision on {} of the rows"
    ).format(f"{measured.observed:.1%}")
    return Check(
        name,
        status,
        observed=measured.observed,
        maximum=limit,
        interval=measured.interval,
        confidence=settings.confidence,
        samples=measured.rows,
        scope={"retrainings": str(times)},
        message=f"Trainings with {times} other seeds {changed}{_outcome(status, measured.observed, limit)}",
    )
