"""Judge what a model's predictions rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kfp_hallmark.champion import Answer, consult_champion
from kfp_hallmark.components.evaluation.explanation_gate.page import Explanation, explanation_page
from kfp_hallmark.components.evaluation.explanation_gate.weights import (
    LEAST_PARTS,
    distance,
    greatest_interval,
    share_interval,
)
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.importances import Importances
from kfp_hallmark.contracts.options import require_limits
from kfp_hallmark.contracts.registration import require_model_name
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.errors import HallmarkError, InputError, IntegrityError
from kfp_hallmark.explanation.rows import ExplainedRows, explain_rows, output_name, part_means, sample
from kfp_hallmark.fairness.proxies import Association, associations
from kfp_hallmark.measures import Interval
from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.modeling.prediction import origin
from kfp_hallmark.reports import number, write_page

if TYPE_CHECKING:
    import pandas
    from numpy import ndarray

GATE = "explanation_gate"
FORBIDDEN, PROXY, SINGLE, CHAMPION = "forbidden_share", "proxy_share", "single_feature_share", "champion_distance"
CHECKS = (FORBIDDEN, PROXY, SINGLE, CHAMPION)

MAX_ROWS = 20_000
"""In how many rows proxies are looked for at the most."""

NAMED = 5
"""How many proxies a message names."""


def judge_explanation(
    importances: Artifact,
    dataset: Artifact,
    verdict: Artifact,
    report: Artifact,
    limits: Mapping[str, float],
    forbidden_features: Sequence[str],
    min_proxy_strength: float,
    model_name: str | None,
    confidence: float,
    seed: int,
    tracking_uri: str | None,
) -> tuple[str]:
    """Write a verdict and a report on what a model rests on, and return the status; see the component.

    Raises:
        MissingInputError: If an input is not there.
        InputError: If a limit, a forbidden feature or a setting cannot be used.
        IntegrityError: If the importances are not of this dataset, or an input was changed since it was written.
    """
    require_seed(seed)
    wanted = read_limits(limits, forbidden_features, model_name)
    _require_settings(min_proxy_strength, confidence)
    found = Importances.read(verified(importances, "importances"))
    names = read_schema(verified(dataset, "dataset")).names
    for column in forbidden_features:
        require_column(column, names, "forbidden_features")
        if column == found.target:
            raise InputError(f"forbidden_features must not name the target; got {column!r}.")
    if artifact_digest(dataset.path) != found.dataset:
        raise IntegrityError(f"The importances must be of the dataset given; they are of {found.dataset}.")

    explained = Explanation(found)
    if FORBIDDEN in wanted:
        explained.checks.append(_forbidden_check(explained, forbidden_features, wanted[FORBIDDEN], confidence))
    if PROXY in wanted:
        explained.proxies = _proxies(found, dataset.path, forbidden_features, confidence, seed)
        for column, known in explained.proxies.items():
            explained.checks.append(
                _proxy_check(explained, column, known, min_proxy_strength, wanted[PROXY], confidence)
            )
    if SINGLE in wanted:
        explained.checks.append(_single_check(explained, wanted[SINGLE], confidence))
    if model_name is not None and CHAMPION in wanted:
        explained.checks.append(
            _champion_check(explained, dataset.path, model_name, tracking_uri, wanted[CHAMPION], confidence)
        )
    parameters = {
        "limits": dict(limits),
        "forbidden_features": list(forbidden_features),
        "min_proxy_strength": min_proxy_strength,
        "model_name": model_name,
        "confidence": confidence,
        "seed": seed,
    }
    subjects = {"model": found.model, "dataset": found.dataset}
    judged = Verdict(GATE, subjects, explained.checks, parameters)
    document = explanation_page(judged, explained)
    judged.store(verdict)
    write_page(report.path, document)
    return (str(judged.status),)


def read_limits(
    limits: Mapping[str, float], forbidden_features: Sequence[str], model_name: str | None
) -> dict[str, float]:
    """Return the limit of each check that has one.

    Raises:
        InputError: If there is none, one is unknown or no share, or one and what it needs are not given together.
    """
    known = {f"max_{check}": check for check in CHECKS}
    require_limits(limits, dict.fromkeys(known, (0, 1)))
    wanted = {known[name]: float(value) for name, value in limits.items()}
    for name in (FORBIDDEN, PROXY):
        if name in wanted and not forbidden_features:
            raise InputError(f"max_{name} must be given together with forbidden_features; got none.")
    if CHAMPION in wanted and model_name is None:
        raise InputError("max_champion_distance must be given together with model_name; got no model_name.")
    if model_name is not None:
        require_model_name(model_name)
    return wanted


def _require_settings(min_proxy_strength: float, confidence: float) -> None:
    if not 0 < min_proxy_strength <= 1:
        raise InputError(f"min_proxy_strength must be above 0 and at most 1; got {min_proxy_strength}.")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1; got {confidence}.")


def _status(interval: Interval | None, maximum: float) -> Status:
    """Return `pass` when the whole interval keeps a limit, `fail` when none of it does, else `inconclusive`."""
    if interval is None:
        return Status.INCONCLUSIVE
    return Status.PASS if interval[1] <= maximum else Status.FAIL if interval[0] > maximum else Status.INCONCLUSIVE


def _limited(
    name: str,
    observed: float,
    interval: Interval | None,
    maximum: float,
    confidence: float,
    found: Importances,
    message: str,
    scope: Mapping[str, str] | None = None,
) -> Check:
    """Return the check of a share by its interval; the message is what the share is of."""
    if not any(found.importances.values()):
        message = f"Nothing moves the predictions of {number(found.rows)} explained rows, so no feature has a share."
        return Check(name, Status.INCONCLUSIVE, maximum=maximum, samples=found.rows, scope=scope or {}, message=message)
    if interval is not None:
        interval = min(interval[0], observed), max(interval[1], observed)
    status = _status(interval, maximum)
    outcome = {
        Status.PASS: f"the whole interval keeps the limit of {maximum:.0%}",
        Status.FAIL: f"the whole interval is above the limit of {maximum:.0%}",
        Status.INCONCLUSIVE: f"this {'keeps' if observed <= maximum else 'is above'} the limit of {maximum:.0%}, but "
        "the data cannot show it",
    }[status]
    if interval is None:
        outcome = (
            f"{number(found.rows)} explained rows are too few to tell more: it takes {LEAST_PARTS * found.part_rows}"
        )
    return Check(
        name,
        status,
        observed=observed,
        maximum=maximum,
        interval=interval,
        confidence=confidence if interval else None,
        samples=found.rows,
        scope=scope or {},
        message=f"{message}; {outcome}.",
    )


def _forbidden_check(explained: Explanation, forbidden: Sequence[str], maximum: float, confidence: float) -> Check:
    taken = [name for name in dict.fromkeys(forbidden) if name in explained.names]
    share = explained.share(taken)
    if not taken:
        message = "The model takes no forbidden feature."
        samples = explained.found.rows
        return Check(FORBIDDEN, Status.PASS, observed=0.0, maximum=maximum, samples=samples, message=message)
    interval = share_interval(explained.parts, explained.places(taken), confidence)
    message = f"{share:.1%} of the weight rests on {_list(taken)}"
    return _limited(FORBIDDEN, share, interval, maximum, confidence, explained.found, message)


def _proxies(
    found: Importances, dataset: str, forbidden: Sequence[str], confidence: float, seed: int
) -> dict[str, list[Association]]:
    """Return how well each of the other features tells each forbidden one."""
    others = [name for name in found.importances if name not in forbidden]
    table = read_table(dataset, list(dict.fromkeys([*others, *forbidden])))
    if table.num_rows > MAX_ROWS:
        table = table.take(sample(table.num_rows, MAX_ROWS, seed))
    frame: pandas.DataFrame = table.to_pandas(date_as_object=False)
    return {
        column: associations(frame[column], [frame[name] for name in others], confidence)
        for column in dict.fromkeys(forbidden)
    }


def _proxy_check(
    explained: Explanation,
    column: str,
    known: Sequence[Association],
    threshold: float,
    maximum: float,
    confidence: float,
) -> Check:
    """Hold the weight on the proxies of a forbidden feature against its limit.

    What may be a proxy counts for the upper end, and what is one beyond doubt for the lower end.
    """
    scope = {"feature": column}
    if not known:
        message = f"The rows are too few, or {column!r} varies too little, to tell its proxies."
        return Check(PROXY, Status.INCONCLUSIVE, maximum=maximum, scope=scope, message=message)
    likely = [each.feature for each in known if each.strength >= threshold]
    sure = [each.feature for each in known if each.interval[0] >= threshold]
    possible = [each.feature for each in known if each.interval[1] >= threshold]
    lower = share_interval(explained.parts, explained.places(sure), confidence)
    upper = share_interval(explained.parts, explained.places(possible), confidence)
    interval = None if lower is None or upper is None else (lower[0], upper[1])
    share = explained.share(likely)
    message = f"{share:.1%} of the weight rests on {_list(likely)}, by which {column!r} can be told"
    if not likely:
        message = f"No feature is seen to tell {column!r}"
    doubtful = [name for name in possible if name not in sure]
    if doubtful:
        message += f" (too few rows to tell whether {_list(doubtful)} {'is' if len(doubtful) == 1 else 'are'} a proxy)"
    return _limited(PROXY, share, interval, maximum, confidence, explained.found, message, scope)


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more


def _single_check(explained: Explanation, maximum: float, confidence: float) -> Check:
    greatest = explained.names[0]
    share = explained.share([greatest])
    interval = greatest_interval(explained.parts, confidence)
    message = f"{share:.1%} of the weight rests on {greatest!r} alone"
    scope = {"feature": greatest}
    check = _limited(SINGLE, share, interval, maximum, confidence, explained.found, message, scope)
    if check.status is not Status.FAIL:
        return check
    return replace(
        check, message=f"{check.message} See whether it is known when the model is asked, or leaks the target."
    )


def _champion_check(
    explained: Explanation, dataset: str, model_name: str, tracking_uri: str | None, maximum: float, confidence: float
) -> Check:
    """Hold the distance of the shares from the champion's, on the same rows, against its limit."""
    found = explained.found

    def use(path: str) -> tuple[list[str], ndarray]:
        rows = _explain(path, dataset, found)
        if output_name(rows.meaning, found.target) != found.explained:
            raise InputError(
                f"It must predict the same; explained is {output_name(rows.meaning, found.target)}, not "
                f"{found.explained}."
            )
        if not rows.attribution.values.any():
            raise InputError("It must rest on something; nothing moves its predictions of these rows.")
        return list(rows.frame.columns), part_means(rows.attribution.values, found.part_rows)

    answer, other = consult_champion(found.model, model_name, tracking_uri, use)
    scope = _scope(model_name, answer)
    if other is None:
        return Check(CHAMPION, answer.status, scope=scope, message=answer.message)
    explained.compare(*other)
    observed, interval = distance(*explained.compared, confidence)
    message = (
        f"{observed:.1%} of the weight rests on other features than that of the champion, version {answer.version}"
    )
    compared = replace(found, rows=len(explained.compared[0]) * found.part_rows)
    return _limited(CHAMPION, observed, interval, maximum, confidence, compared, message, scope)


def _explain(path: str, dataset: str, found: Importances) -> ExplainedRows:
    """Explain the champion on the rows of the importances.

    Raises:
        InputError: If it cannot be explained, for whatever reason: that says nothing of the model that is judged.
    """
    champion = load_model(path)
    try:
        return explain_rows(champion, dataset, found.target, found.rows, found.seed)
    except HallmarkError:
        raise
    except Exception as error:
        raise InputError(f"It must be explained; that failed with {type(error).__name__} {origin(error)}.") from None


def _scope(model_name: str, answer: Answer) -> dict[str, str]:
    return {"model": model_name} | ({} if answer.version is None else {"version": answer.version})
