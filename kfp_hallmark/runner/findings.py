"""Read what a run's steps wrote: verdicts, the decision, the registration, reports, metrics and lineage.

All is found by the schema of the documents, not by the names of components, so that a gate of the user's own counts.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts import decision as decisions
from kfp_hallmark.contracts import registration, release
from kfp_hallmark.contracts import verdict as verdicts
from kfp_hallmark.contracts.digest import artifact_digest, is_digest
from kfp_hallmark.contracts.model import MODEL_FILE, lineage
from kfp_hallmark.errors import HallmarkError
from kfp_hallmark.runner.record import FAILED, HALTED, REPORTS_FOLDER, SUCCEEDED, RunResult, Step

_MAX_BYTES = 10_000_000
"""A file above this is no document of ours."""

_RECORDER = "record_run"
"""The component that writes the audit log."""


@dataclass
class _Document:
    step: Step
    path: Path
    value: dict[str, Any]


@dataclass
class _Found:
    documents: dict[str, list[_Document]] = field(default_factory=dict)
    models: list[tuple[Step, Path]] = field(default_factory=list)


def gather(result: RunResult, failed: bool) -> None:
    """Fill in what the steps' outputs say, and the status of the run.

    Args:
        result: The run.
        failed: Whether kfp says that it failed.
    """
    if not any(step.component == _RECORDER and step.state == SUCCEEDED for step in result.steps):
        result.audit_log = None
    found = _find(result)
    result.verdicts = [_verdict(result, document) for document in found.documents.get(verdicts.SCHEMA, [])]
    decided = found.documents.get(decisions.SCHEMA, [])
    result.decision = _decision(result, decided[-1]) if decided else None
    result.model = _model(found)
    released = found.documents.get(release.SCHEMA, [])
    result.release = _release(result, released[-1]) if released else None
    result.metrics = {
        step.name: dict(output["metadata"])
        for step in result.steps
        for output in _artifacts(step)
        if output["type"] == "Metrics" and output["metadata"]
    }
    if found.models:
        result.lineage = _lineage(result, result.place(found.models[-1][1]))
    result.status = _status(result, decided, failed)


def forget(result: RunResult, reason: str) -> None:
    """Leave out what the steps' outputs say, which cannot be used, and let the run have failed for it."""
    result.verdicts, result.metrics, result.lineage = [], {}, []
    result.decision = result.model = result.release = None
    result.status = FAILED
    result.reason = " ".join(filter(None, [result.reason, reason]))


def publish_reports(result: RunResult) -> None:
    """Copy every HTML report to `reports/<step>.html`, where a browser takes it for what it is."""
    for step in result.steps:
        pages = {name: output for name, output in step.outputs.items() if _is_artifact(output, "HTML")}
        for name, output in pages.items():
            source = result.directory / output["path"]
            if not source.is_file():
                continue
            stem = step.name if len(pages) == 1 else f"{step.name}.{name}"
            target = result.directory / REPORTS_FOLDER / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', stem).strip('_')}.html"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
            output["report"] = result.place(target)


def _artifacts(step: Step) -> list[dict[str, Any]]:
    """Return the output artifacts of a step, those in lists one by one."""
    outputs = [entry for value in step.outputs.values() for entry in (value if isinstance(value, list) else [value])]
    return [output for output in outputs if _is_artifact(output)]


def _is_artifact(output: Any, kind: str | None = None) -> bool:
    if not isinstance(output, dict) or set(output) - {"report"} != {"type", "path", "metadata"}:
        return False
    return kind is None or output["type"] == kind


def _find(result: RunResult) -> _Found:
    found = _Found()
    for step in result.steps:
        for output in _artifacts(step):
            path = result.directory / output["path"]
            if (path / MODEL_FILE).is_file():
                found.models.append((step, path))
            document = _read(path / decisions.DECISION_FILE if path.is_dir() else path)
            if document is not None:
                found.documents.setdefault(document["schema"], []).append(_Document(step, path, document))
    return found


def _read(path: Path) -> dict[str, Any] | None:
    """Return a JSON document that names its schema; None for any other file."""
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return None
    with path.open("rb") as file:
        if file.read(1) != b"{":
            return None
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value.get("schema"), str) else None


def _report(step: Step) -> str | None:
    return next((output["report"] for output in _artifacts(step) if "report" in output), None)


def _verdict(result: RunResult, document: _Document) -> dict[str, Any]:
    try:
        status = verdicts.Verdict.read(document.path).status
    except HallmarkError:
        status = verdicts.Status.INCONCLUSIVE
    return {
        "gate": str(document.value.get("gate")),
        "status": str(status),
        "step": document.step.name,
        "path": result.place(document.path),
        "report": _report(document.step),
    }


def _decision(result: RunResult, document: _Document) -> dict[str, Any]:
    return {
        "outcome": document.value.get("outcome"),
        "reasons": list(document.value.get("reasons") or []),
        "step": document.step.name,
        "path": result.place(document.path),
        "report": _report(document.step),
    }


def _model(found: _Found) -> dict[str, Any] | None:
    registered = found.documents.get(registration.SCHEMA, [])
    version = registered[-1].value if registered else {}
    if not found.models and not version:
        return None
    experiment_hash, digest = None, version.get("digest")
    if found.models:
        path = found.models[-1][1]
        digest = _digest(path)
        with suppress(HallmarkError):
            experiment_hash = lineage(path).experiment_hash
    return {
        "digest": digest,
        "name": version.get("name"),
        "version": version.get("version"),
        "uri": version.get("uri"),
        "experiment_hash": experiment_hash,
    }


def _release(result: RunResult, document: _Document) -> dict[str, Any]:
    known = {name: document.value.get(name) for name in ("name", "version", "digest", "deployed")}
    return known | {"uri": document.step.outputs.get("uri"), "path": result.place(document.path)}


def _lineage(result: RunResult, model: str) -> list[dict[str, Any]]:
    """Return the artifacts that a model was made from, the source first, the model last."""
    makers = {output["path"]: (step, output) for step in result.steps for output in _artifacts(step)}
    chain: dict[str, dict[str, Any]] = {}

    def follow(path: str) -> None:
        if path in chain or path not in makers:
            return
        step, output = makers[path]
        for source in step.inputs.values():
            follow(source)
        metadata = output["metadata"]
        known = metadata.get("digest")
        name = Path(path).name
        chain[path] = {
            "name": name,
            "type": output["type"],
            "step": step.name,
            "path": path,
            "digest": known if is_digest(known) else _digest(result.directory / path),
            "rows": metadata.get("rows"),
            "source": metadata.get("source"),
        }

    follow(model)
    return list(chain.values())


def _digest(path: Path) -> str | None:
    try:
        return artifact_digest(path)
    except HallmarkError:
        return None


def _status(result: RunResult, decided: list[_Document], failed: bool) -> str:
    """Return what a run came to: halted when nothing failed but what refuses to act on a decision to halt."""
    if not failed:
        return SUCCEEDED
    halts = {result.place(entry.path) for entry in decided if entry.value.get("outcome") == decisions.Outcome.HALT}
    broken = [step for step in result.steps if step.state == FAILED]
    untouched = result.interrupted is None and result.reason is None
    if broken and untouched and all(halts & set(step.inputs.values()) for step in broken):
        return HALTED
    return FAILED
