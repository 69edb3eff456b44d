"""What in a compiled pipeline will not run on which backend and version."""

from kfp_hallmark.lint.engine import Finding, Target, all_rules, check, chosen, meant_for
from kfp_hallmark.lint.rule import BACKENDS, KUBEFLOW, SUPPORTED, Rule, Severity, version
from kfp_hallmark.lint.spec import Spec, parse, read

__all__ = [
    "BACKENDS",
    "KUBEFLOW",
    "SUPPORTED",
    "Finding",
    "Rule",
    "Severity",
    "Spec",
    "Target",
    "all_rules",
    "check",
    "chosen",
    "meant_for",
    "parse",
    "read",
    "version",
]
