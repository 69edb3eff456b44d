"""Judge what a model and its ledger say of the privacy that was spent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kfp_hallmark.components.governance.privacy_gate.page import privacy_page
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.digest import artifact_digest, is_digest
from kfp_hallmark.contracts.model import model_metadata
from kfp_hallmark.contracts.options import read_options
from kfp_hallmark.contracts.privacy import Spend, commitment, is_number, ledger_path, read_ledger, total
from kfp_hallmark.contracts.verdict import Check, Status, Verdict, judge
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError
from kfp_hallmark.reports import write_page

GATE = "privacy_gate"


@dataclass(frozen=True)
class Limits:
    """How much may be spent.

    Attributes:
        max_epsilon: Over all trainings in the ledger.
        max_delta: Over all trainings in the ledger.
        max_model_epsilon: By this model; None is no limit.
        max_model_delta: By this model; None is no limit.
    """

    max_epsilon: float
    max_delta: float
    max_model_epsilon: float | None = None
    max_model_delta: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"limits[{name!r}] must be above 0; got {value}.")


def judge_privacy(
    model: Artifact,
    verdict: Artifact,
    report: Artifact,
    limits: Mapping[str, Any],
    privacy: Mapping[str, Any],
    ledger_hash: str | None,
) -> tuple[str]:
    """Write a verdict and a report on the privacy that was spent, and return the status; see the component.

    Args:
        model: The model.
        verdict: Where the verdict goes.
        report: Where the report goes.
        limits: What `Limits` holds; what is missing is taken from `privacy`.
        privacy: What the training was asked for, with the ledger's path.
        ledger_hash: The hash of a line that the ledger must hold.

    Raises:
        InputError: If a limit or the hash cannot be used, or no ledger is named.
        MissingInputError: If the model is no model folder.
        IntegrityError: If the model was changed since it was written.
    """
    if ledger_hash is not None and not is_digest(ledger_hash):
        raise InputError(f"ledger_hash must be written as sha256: and 64 hex digits; got {ledger_hash!r}.")
    asked = bool(limits or privacy)
    most = read_limits(limits, privacy) if asked else None
    path = ledger_path(privacy.get("ledger")) if asked else None
    stated = model_metadata(verified(model, "model"))
    spends: dict[str, Spend] = {}
    checks, parameters = [_unasked(stated)], {}
    if most is not None and path is not None:
        spends, broken = _read(path, ledger_hash)
        checks = [*_model_checks(stated, asdict(most)), _ledger_check(stated, spends, broken)]
        checks += _sum_checks(spends, asdict(most)) if broken is None else []
        parameters = {**asdict(most), "ledger": str(path), "ledger_hash": ledger_hash}
    judged = Verdict(GATE, {"model": artifact_digest(model.path)}, checks, parameters)
    said = stated.get("privacy")
    document = privacy_page(judged, spends, said.get("ledger_entry") if isinstance(said, dict) else None)
    judged.store(verdict)
    write_page(report.path, document)
    return (str(judged.status),)


def read_limits(limits: Mapping[str, Any], privacy: Mapping[str, Any]) -> Limits:
    """Return the limits; those over all trainings are what one may spend unless they are given."""
    asked = {f"max_{name}": privacy[name] for name in ("epsilon", "delta") if name in privacy}
    return read_options(Limits, asked | dict(limits), "limits")


def _unasked(stated: Mapping[str, Any]) -> Check:
    """Return the check of a model of which no privacy was asked."""
    problem = "The model says that it is differentially private; by what limits must be asked, and was not."
    fine = "No differential privacy was asked for, and the model promises none."
    return _state("not_private", problem if "privacy" in stated else None, fine)


def _read(path: Path, expected_hash: str | None) -> tuple[dict[str, Spend], str | None]:
    """Return what was spent, and what is wrong with the ledger; None when nothing is."""
    try:
        return read_ledger(path, expected_hash), None
    except (IntegrityError, MissingInputError) as error:
        return {}, f"{error.message} {error.hint or ''}".strip()


def _model_checks(stated: Mapping[str, Any], limits: Mapping[str, float | None]) -> list[Check]:
    """Return the checks of what the model says of itself."""
    said = stated.get("privacy")
    if not isinstance(said, dict):
        return [_state("private_training", "The model must be trained with differential privacy; it says of none.")]
    checks = []
    for name in ("epsilon", "delta"):
        observed, most = said.get(name), limits[f"max_model_{name}"]
        if not is_number(observed):
            checks.append(_state(f"model_{name}", f"The model must state its {name}; it does not."))
        else:
            status = Status.PASS if most is None else judge(observed, maximum=most)
            limit = "no limit is set" if most is None else f"at most {most:.15g} is allowed"
            message = f"{name.capitalize()} of the model is {observed:.15g}; {limit}."
            checks.append(Check(f"model_{name}", status, observed, maximum=most, message=message))
    return checks


def _state(name: str, problem: str | None, fine: str = "") -> Check:
    """Return a check that fails with a problem, or passes without one."""
    return Check(name, Status.PASS if problem is None else Status.FAIL, message=problem or fine)


def _ledger_check(stated: Mapping[str, Any], spends: Mapping[str, Spend], broken: str | None) -> Check:
    """Return whether the ledger is whole and knows the model's training."""
    problem = broken
    said = stated.get("privacy")
    if problem is None and isinstance(said, dict):
        problem = _difference(stated, said, spends)
    return _state("ledger", problem, f"The ledger is unbroken, with {_trainings(spends)}.")


def _trainings(spends: Mapping[str, Spend]) -> str:
    return f"{len(spends):,} training{'s' * (len(spends) != 1)}"


def _difference(stated: Mapping[str, Any], said: Mapping[str, Any], spends: Mapping[str, Spend]) -> str | None:
    """Return what the ledger and the model do not agree on, or None."""
    spent = spends.get(str(said.get("ledger_entry")))
    if spent is None:
        return "The ledger must hold the training of the model; it does not."
    committed = commitment(said.get("ledger_key"), stated.get("datasets"), stated.get("experiment_hash"))
    pairs = {
        "epsilon": (spent.epsilon, said.get("epsilon")),
        "delta": (spent.delta, said.get("delta")),
        "mechanism": (spent.mechanism, said.get("mechanism")),
        "datasets or experiment hash": (spent.commitment, committed),
    }
    others = [name for name, (written, told) in pairs.items() if written != told]
    return f"The ledger and the model must agree; they differ in {', '.join(others)}." if others else None


def _sum_checks(spends: Mapping[str, Spend], limits: Mapping[str, float | None]) -> list[Check]:
    """Return the checks of what all trainings spent."""
    checks = []
    for name, observed in zip(("epsilon", "delta"), total(list(spends.values())), strict=True):
        most = limits[f"max_{name}"]
        message = f"{name.capitalize()} of {_trainings(spends)} is {observed:.15g}; at most {most:.15g} is allowed."
        status = judge(observed, maximum=most)
        checks.append(Check(f"total_{name}", status, observed, maximum=most, message=message))
    return checks
