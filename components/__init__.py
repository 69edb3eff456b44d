"""Every Hallmark component, by its name: `from kfp_hallmark.components import train_model`.

A component is loaded when it is first asked for, so that a step that runs one component's logic imports no other.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfp_hallmark.components.data.audit_dataset_bias.component import audit_dataset_bias as audit_dataset_bias
    from kfp_hallmark.components.data.check_expectations.component import check_expectations as check_expectations
    from kfp_hallmark.components.data.load_dataset.component import load_dataset as load_dataset
    from kfp_hallmark.components.data.profile_dataset.component import profile_dataset as profile_dataset
    from kfp_hallmark.components.data.query_dataset.component import query_dataset as query_dataset
    from kfp_hallmark.components.data.retrieve_features.component import retrieve_features as retrieve_features
    from kfp_hallmark.components.data.screen_poisoning.component import screen_poisoning as screen_poisoning
    from kfp_hallmark.components.data.split_dataset.component import split_dataset as split_dataset
    from kfp_hallmark.components.data.validate_dataset.component import validate_dataset as validate_dataset
    from kfp_hallmark.components.data.write_datasheet.component import write_datasheet as write_datasheet
    from kfp_hallmark.components.evaluation.evaluate_model.component import evaluate_model as evaluate_model
    from kfp_hallmark.components.evaluation.explain_model.component import explain_model as explain_model
    from kfp_hallmark.components.evaluation.explanation_gate.component import explanation_gate as explanation_gate
    from kfp_hallmark.components.evaluation.fairness_gate.component import fairness_gate as fairness_gate
    from kfp_hallmark.components.evaluation.performance_gate.component import performance_gate as performance_gate
    from kfp_hallmark.components.evaluation.robustness_gate.component import robustness_gate as robustness_gate
    from kfp_hallmark.components.governance.decide_release.component import decide_release as decide_release
    from kfp_hallmark.components.governance.enforce_decision.component import enforce_decision as enforce_decision
    from kfp_hallmark.components.governance.enforce_verdicts.component import enforce_verdicts as enforce_verdicts
    from kfp_hallmark.components.governance.log_run.component import log_run as log_run
    from kfp_hallmark.components.governance.privacy_gate.component import privacy_gate as privacy_gate
    from kfp_hallmark.components.governance.record_run.component import record_run as record_run
    from kfp_hallmark.components.governance.write_model_card.component import write_model_card as write_model_card
    from kfp_hallmark.components.release.deploy_model.component import deploy_model as deploy_model
    from kfp_hallmark.components.release.register_model.component import register_model as register_model
    from kfp_hallmark.components.training.choose_parameters.component import choose_parameters as choose_parameters
    from kfp_hallmark.components.training.train_model.component import train_model as train_model
    from kfp_hallmark.components.training.tune_model.component import tune_model as tune_model

STAGES = {path.parent.name: path.parent.parent.name for path in sorted(Path(__file__).parent.glob("*/*/component.py"))}
"""The stage of a model's life that each component belongs to, by the component's name."""

__all__ = list(STAGES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in STAGES:
        raise AttributeError(f"module {__name__!r} has no component {name!r}")
    module = importlib.import_module(f"{__name__}.{STAGES[name]}.{name}.component")
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
