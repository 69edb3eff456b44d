"""The page of a run."""

from __future__ import annotations

from kfp_hallmark.reports import page
from kfp_hallmark.runner.plan import PlannedStep
from kfp_hallmark.runner.record import RunResult


def run_page(result: RunResult, planned: list[PlannedStep]) -> str:
    """Return the page of a run."""
    return page(result.pipeline, status=result.status)
