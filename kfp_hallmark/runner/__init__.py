"""Run pipelines on this machine, as processes or as containers."""

from kfp_hallmark.runner.parameters import check_parameters, parameter_fields, parse_parameters, resolve_paths
from kfp_hallmark.runner.record import RunResult, Step
from kfp_hallmark.runner.run import PLATFORMS, run

__all__ = [
    "PLATFORMS",
    "RunResult",
    "Step",
    "check_parameters",
    "parameter_fields",
    "parse_parameters",
    "resolve_paths",
    "run",
]
