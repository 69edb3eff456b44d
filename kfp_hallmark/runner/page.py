"""The page of a run: what came of it, on what evidence, and where to read on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from kfp_hallmark.reports import Markup, badge, code, facts, figure, page, section, table
from kfp_hallmark.reports.page import STATUSES, WORDS
from kfp_hallmark.runner.dag import Node, draw
from kfp_hallmark.runner.plan import PlannedStep
from kfp_hallmark.runner.record import FAILED, HALTED, REUSED, SKIPPED, SUCCEEDED, RunResult, Step

_COLOURS = {SUCCEEDED: "pass", REUSED: "pass", FAILED: "fail", SKIPPED: "none"}


def run_page(result: RunResult, planned: Sequence[PlannedStep]) -> str:
    """Return the page of a run as HTML."""
    parts = [
        _decision(result),
        _gates(result),
        _graph(result, planned),
        _reports(result),
        _lineage(result),
        _steps(result),
        _metrics(result),
        _parameters(result),
    ]
    return page(
        result.pipeline.replace("-", " ").capitalize(),
        *[part for part in parts if part],
        status=result.status,
        lead=_lead(result),
    )


def _lead(result: RunResult) -> str:
    if result.status == SUCCEEDED and result.model and result.model["version"]:
        outcome = f"Model {result.model['name']} was registered as version {result.model['version']}."
    elif result.status == SUCCEEDED:
        outcome = "Every step succeeded."
    elif result.status == HALTED:
        outcome = "The decision was to halt: nothing was released, and the evidence is kept below."
    elif result.interrupted is not None:
        outcome = "The run was interrupted."
    elif result.failed_steps:
        outcome = f"Failed: {', '.join(step.name for step in result.failed_steps)}."
    else:
        outcome = result.reason or "The run failed."
    seconds = f" in {result.seconds:,.1f} s" if result.seconds is not None else ""
    return f"{outcome} Started {result.started}, finished{seconds}, platform {result.platform}."


def _decision(result: RunResult) -> Markup | None:
    parts: list[Any] = []
    if result.decision is not None:
        reasons = "".join(f"<li>{escape(reason)}</li>" for reason in result.decision["reasons"])
        parts.append(Markup(f"<ul>{reasons}</ul>") if reasons else "Nothing stands against release.")
    values: dict[str, Any] = {}
    if result.decision is not None:
        values["decision"] = badge(result.decision["outcome"])
    if result.model is not None:
        if result.model["version"]:
            values["registered as"] = Markup(f"{escape(result.model['name'])} version {code(result.model['version'])}")
            values["uri"] = code(result.model["uri"])
        values["model digest"] = code(result.model["digest"])
        if result.model["experiment_hash"]:
            values["experiment hash"] = code(result.model["experiment_hash"])
    if result.status == FAILED:
        for step in result.failed_steps:
            reason = escape(step.reason or "").replace("\n", "<br>")
            values[f"{step.name} failed"] = Markup("<br>".join(filter(None, [reason, _log(step)])))
        if result.reason:
            values["the run failed"] = result.reason
    if result.audit_log:
        values["audit log"] = code(result.audit_log)
    return section("Outcome", facts(values), *parts) if values else None


def _gates(result: RunResult) -> Markup | None:
    if not result.verdicts:
        return None
    rows = []
    for verdict in result.verdicts:
        reasons = _few(_reasons(result, verdict["path"]))
        evidence = _links({"report": verdict["report"], "verdict": verdict["path"]})
        rows.append(
            [
                badge(verdict["status"]),
                verdict["gate"],
                Markup("<br>".join(map(escape, reasons))) if reasons else "Every check passed.",
                Markup(f'<span style="white-space:nowrap">{evidence}</span>'),
            ]
        )
    return section("Gates", table(["Status", "Gate", "What it found", "Evidence"], rows))


def _few(sentences: list[str], most: int = 3) -> list[str]:
    rest = len(sentences) - most
    return sentences if rest <= 1 else [*sentences[:most], f"And {rest} more, in the report."]


def _reasons(result: RunResult, path: str) -> list[str]:
    """Return a sentence for each check of a verdict that did not pass, or for the only one."""
    from kfp_hallmark.contracts.verdict import Verdict
    from kfp_hallmark.errors import HallmarkError

    try:
        return Verdict.read(result.directory / path).said()
    except HallmarkError as error:
        return [error.message]


def _graph(result: RunResult, planned: Sequence[PlannedStep]) -> Markup:
    nodes = []
    for step in planned:
        runs = [run for run in result.steps if run.key == step.key]
        nodes.append(
            Node(
                key=step.key,
                label=step.name,
                detail=_detail(runs),
                colour=_colour(runs),
                needs=frozenset(step.needs),
                entry=step.entry,
                link=_target(runs),
                final=step.final,
                dim=all(run.state == SKIPPED for run in runs),
            )
        )
    caption = (
        "Steps from top to bottom; a dashed line leads to what runs in any case. A step leads to its report or log."
    )
    return section("Steps", figure(draw(nodes, f"Steps of {result.pipeline}"), caption))


def _detail(runs: Sequence[Step]) -> str:
    state = next((run.state for run in runs if run.state == FAILED), runs[0].state)
    taken = [run.seconds for run in runs if run.seconds is not None]
    words = [runs[0].verdict] if runs[0].verdict and len(runs) == 1 else [] if state == SUCCEEDED else [state]
    if len(runs) > 1:
        words.append(f"{len(runs)} times")
    if taken and state != REUSED:
        words.append(f"{sum(taken):,.1f} s")
    return " · ".join(words)


def _colour(runs: Sequence[Step]) -> str:
    verdicts = [WORDS.get(run.verdict, run.verdict) for run in runs]
    if verdicts[0] in STATUSES and all(run.state in (SUCCEEDED, REUSED) for run in runs):
        return verdicts[0]
    states = {run.state for run in runs}
    return _COLOURS[next((state for state in (FAILED, SUCCEEDED, REUSED) if state in states), SKIPPED)]


def _target(runs: Sequence[Step]) -> str | None:
    pages = [output["report"] for run in runs for output in run.outputs.values() if _has_report(output)]
    return next(map(quote, pages), None) or (quote(runs[0].log) if runs[0].log else None)


def _has_report(output: Any) -> bool:
    return isinstance(output, dict) and "report" in output and "path" in output


def _reports(result: RunResult) -> Markup | None:
    reports: dict[str, str] = {}
    for step in result.steps:
        found = {name: output["report"] for name, output in step.outputs.items() if _has_report(output)}
        reports |= {step.name if len(found) == 1 else f"{step.name} {name}": page for name, page in found.items()}
    return section("Reports", Markup(f"<p>{_links(reports)}</p>")) if reports else None


def _metrics(result: RunResult) -> Markup | None:
    rows = [[step, *row] for step, values in result.metrics.items() for row in _intervals(values)]
    if not rows:
        return None
    bounded = any(row[3] is not None for row in rows)
    columns = ["Step", "Metric", "Value", "From", "To"]
    return section("Metrics", table(columns, rows) if bounded else table(columns[:3], [row[:3] for row in rows]))


def _intervals(values: dict[str, float]) -> list[list[Any]]:
    """Return metrics as rows, `<metric>_low` and `<metric>_high` beside the metric whose interval they are."""
    ends = {f"{name}_{end}" for name in values for end in ("low", "high")}
    return [
        [name.replace("_", " "), value, values.get(f"{name}_low"), values.get(f"{name}_high")]
        for name, value in sorted(values.items())
        if name not in ends
    ]


def _lineage(result: RunResult) -> Markup | None:
    if not result.lineage:
        return None
    rows: list[list[Any]] = []
    source = next((entry["source"] for entry in result.lineage if entry["source"]), None)
    if source:
        rows.append(["source", None, code(source), None])
    rows += [[entry["name"], entry["step"], code(entry["digest"]), entry["rows"]] for entry in result.lineage]
    if result.model and result.model["version"]:
        rows.append([f"version {result.model['version']}", None, code(result.model["uri"]), None])
    if result.release and result.release["uri"]:
        rows.append(["served from", None, code(result.release["uri"]), None])
    return section("Lineage", table(["What", "Made by", "Digest or place", "Rows"], rows))


def _steps(result: RunResult) -> Markup:
    rows = [
        [
            step.name,
            badge(step.state),
            badge(step.verdict) if step.verdict else None,
            None if step.seconds is None else f"{step.seconds:,.2f}",
            _log(step),
        ]
        for step in result.steps
    ]
    return section("Timings and logs", table(["Step", "State", "Outcome", "Seconds", "Log"], rows))


def _parameters(result: RunResult) -> Markup | None:
    rows = [
        [name, code(value if isinstance(value, str) else json.dumps(value))]
        for name, value in result.parameters.items()
    ]
    run = facts({"run": code(result.run_id), "Hallmark": result.hallmark})
    return section("Parameters", table(["Parameter", "Value"], rows) if rows else "None were given.", run)


def _log(step: Step) -> Markup | None:
    return _links({"log": step.log}) if step.log else None


def _links(targets: Mapping[str, str | None]) -> Markup:
    return Markup(
        " · ".join(f'<a href="{quote(path)}">{escape(name)}</a>' for name, path in targets.items() if path is not None)
    )
