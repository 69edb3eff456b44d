"""The decision's report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from kfp_hallmark.contracts.decision import Decision, Evidence
from kfp_hallmark.contracts.model import model_metadata
from kfp_hallmark.contracts.verdict import Status, Verdict
from kfp_hallmark.errors import HallmarkError
from kfp_hallmark.reports import Markup, badge, check_table, code, facts, page, section, table
from kfp_hallmark.reports.page import markup

SHOWN = 3
"""How many reasons of a gate the first table shows."""


def decision_page(decision: Decision, verdicts: Mapping[str, Path], model: str | Path) -> str:
    """Return the report as one HTML document.

    Args:
        decision: What was decided.
        verdicts: What each verdict was filed under, to its path.
        model: The model folder.
    """
    read = {gate: _verdict(path) for gate, path in verdicts.items()}
    worst_first = sorted(decision.evidence, key=lambda entry: list(Status).index(entry.status), reverse=True)
    rows = [_light(entry, read.get(entry.gate), decision) for entry in worst_first]
    return page(
        "Release decision",
        section("Gates", table(["Light", "Gate", "Asked for", "Checks passed", "What there is to say"], rows)),
        *_noted(decision, read),
        section("The model", facts(_model(decision, model)), _files(decision)),
        section("What was asked of it", facts(_policy(decision))),
        section("Evidence", _evidence(decision, read)),
        status=decision.outcome,
        lead=_lead(decision),
    )


def _verdict(path: Path) -> Verdict | None:
    try:
        return Verdict.read(path)
    except HallmarkError:
        return None


def _lead(decision: Decision) -> str:
    against = {reason.partition(":")[0] for reason in decision.reasons}
    if not against:
        warned = sum(entry.status is Status.WARN for entry in decision.evidence)
        note = f", {warned} of them with a warning" if warned else ""
        return f"All {len(decision.evidence)} gates passed{note}. The model may be registered and deployed."
    gates = "1 gate stands" if len(against) == 1 else f"{len(against)} gates stand"
    return f"{gates} against release. The model must not be registered or deployed."


def _light(entry: Evidence, verdict: Verdict | None, decision: Decision) -> list[object]:
    passed = verdict and f"{sum(check.status is Status.PASS for check in verdict.checks)} of {len(verdict.checks)}"
    more = [f"{len(entry.reasons) - SHOWN} more are below."] if len(entry.reasons) > SHOWN else []
    said = entry.reasons or (verdict.said() if verdict else [])
    return [
        badge(entry.status),
        entry.gate,
        "required" if entry.gate in decision.policy.required_gates else "additional",
        passed,
        _lines([*said[:SHOWN], *more]) if said else None,
    ]


def _noted(decision: Decision, read: Mapping[str, Verdict | None]) -> list[Markup]:
    """Return a section for each gate with checks that did not pass outright."""
    sections = []
    for entry in decision.evidence:
        verdict = read.get(entry.gate)
        noted = [check for check in verdict.checks if check.status is not Status.PASS] if verdict else []
        if noted:
            sections.append(section(f"{entry.gate}: checks that did not pass", check_table(noted)))
    return sections


def _model(decision: Decision, model: str | Path) -> dict[str, object]:
    metadata = model_metadata(model)
    said = {name: code(metadata[name]) for name in ("task", "target", "seed") if name in metadata}
    trained, *before = decision.lineage.datasets or ("not stated",)
    made = {"trained on": code(trained)} | ({"made from": _lines(map(code, before))} if before else {})
    return {
        "digest": code(decision.model.digest),
        "experiment hash": code(decision.lineage.experiment_hash or "not stated"),
        **made,
        **said,
    }


def _policy(decision: Decision) -> dict[str, object]:
    return {
        "required gates": ", ".join(decision.policy.required_gates),
        "warnings": "count as passed" if decision.policy.allow_warnings else "stand against release",
        "greatest age": f"{decision.policy.max_age_hours:g} hours",
        "decided": decision.created,
    }


def _lines(values: Iterable[str]) -> Markup:
    return Markup("<br>".join(map(markup, values)))


def _files(decision: Decision) -> Markup:
    return table(["File", "SHA-256"], [[code(file), code(digest)] for file, digest in decision.model.files.items()])


def _evidence(decision: Decision, read: Mapping[str, Verdict | None]) -> Markup:
    rows = []
    for entry in decision.evidence:
        verdict = read.get(entry.gate)
        rows.append([entry.gate, verdict and verdict.created, code(entry.digest) if entry.digest else None])
    return table(["Verdict", "Written", "SHA-256"], rows)
