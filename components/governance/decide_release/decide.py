"""Gather verdicts into a decision."""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path

from kfp_hallmark.components.governance.decide_release.page import decision_page
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.decision import Policy, decide, write_decision
from kfp_hallmark.contracts.digest import artifact_digest, file_digest
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.errors import HallmarkError
from kfp_hallmark.reports import write_page


def decide_release(
    model: Artifact,
    verdicts: Mapping[str, Artifact | None],
    required_gates: Sequence[str],
    allow_warnings: bool,
    max_age_hours: float,
    decision: Artifact,
    report: Artifact,
) -> tuple[str]:
    """Decide on a model; see the component.

    Args:
        model: The model.
        verdicts: Name of the input to the verdict given there: a file, or a folder of verdicts at any depth.
        required_gates: Gates without whose pass there is no release.
        allow_warnings: Whether a verdict of warn counts as passed.
        max_age_hours: Age of a verdict, in hours, above which it is stale.
        decision: Where the decision goes; its metadata get the folder's digest, by which a later step knows it again.
        report: Where the report goes.

    Returns:
        The outcome: `release` or `halt`.

    Raises:
        IntegrityError: If a verdict was changed since its gate wrote it.
    """
    policy = Policy(tuple(required_gates), allow_warnings, max_age_hours)
    filed = _file({name: Path(verified(given, name)) for name, given in verdicts.items() if given is not None})
    found = decide(model.path, filed, policy)
    document = decision_page(found, filed, model.path)
    write_decision(decision.path, found, filed)
    write_page(report.path, document)
    decision.metadata.update(
        outcome=str(found.outcome), digest=artifact_digest(decision.path), model_digest=found.model.digest
    )
    if found.lineage.experiment_hash:
        decision.metadata["experiment_hash"] = found.lineage.experiment_hash
    return (str(found.outcome),)


def _file(given: Mapping[str, Path]) -> dict[str, Path]:
    """File every verdict under its gate's name.

    What cannot be read, and a second verdict of a gate, are filed under the input's name, where they count against
    release; the very same verdict twice is filed once.
    """
    filed: dict[str, Path] = {}
    for name, path in _single(given):
        gate = _gate(path)
        if gate in filed and file_digest(path) == file_digest(filed[gate]):
            continue
        filed[_free(name, filed) if gate is None or gate in filed else gate] = path
    return filed


def _free(name: str, filed: Container[str]) -> str:
    """Return a name, numbered when something is filed under it already."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in filed)


def _single(given: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Yield each verdict's path with the name of its input, and of its file where the input is a folder.

    Whatever else lies in a folder, such as a link to another, is yielded too, and so stands against release.
    """
    for name, path in given.items():
        files = sorted(file for file in path.rglob("*") if file.is_symlink() or not file.is_dir())
        for file in files:
            yield f"{name}-{re.sub('[^A-Za-z0-9_-]', '-', file.stem)[:60]}", file
        if not files:
            yield name, path


def _gate(path: Path) -> str | None:
    """Return which gate wrote a verdict; None when it cannot be read."""
    try:
        return Verdict.read(path).gate
    except HallmarkError:
        return None
