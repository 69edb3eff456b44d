"""The model card as a CycloneDX bill of materials of the model.

Source: https://cyclonedx.org/docs/1.6/json/#components_items_modelCard
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfp_hallmark import __version__
from kfp_hallmark.contracts.predictions import REGRESSION

if TYPE_CHECKING:
    from kfp_hallmark.components.governance.write_model_card.card import Card, Measured

UNNAMED = "unnamed model"


def bill_of_materials(card: Card) -> dict[str, Any]:
    """Return the document: the model with its card as the subject, its datasets as components."""
    said = card.statement.said
    subject: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": card.model,
        "name": said.get("name", UNNAMED),
        **_given({"version": said.get("version"), "description": said.get("description")}),
        "modelCard": _model_card(card),
        "properties": _properties(card),
    }
    if "license" in said:
        subject["licenses"] = [{"license": {"name": said["license"]}}]
    if "owner" in said:
        subject["supplier"] = {"name": said["owner"]}
    datasets = [_dataset(digest) for digest in _datasets(card)]
    content = json.dumps([subject, datasets], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "timestamp": card.created,
            "tools": {"components": [{"type": "application", "name": "kfp-hallmark", "version": __version__}]},
            "component": subject,
        },
        "components": datasets,
        "dependencies": [{"ref": card.model, "dependsOn": [dataset["bom-ref"] for dataset in datasets]}],
    }


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is there."""
    return {name: value for name, value in values.items() if value}


def _datasets(card: Card) -> list[str]:
    """Return the digests of the data that the model was made from and measured on, each once."""
    return list(dict.fromkeys([*card.origin.datasets, card.predictions.dataset]))


def _dataset(digest: str) -> dict[str, Any]:
    return {"type": "data", "bom-ref": digest, "name": digest}


def _model_card(card: Card) -> dict[str, Any]:
    given = card.predictions
    overall = [_metric(measured) for measured in card.metrics if measured.value is not None]
    grouped = [
        _metric(measured) | {"slice": f"{group.column} = {group.value}"}
        for group in card.groups
        for measured in group.metrics
        if measured.value is not None
    ]
    output = (
        f"{given.target}: number"
        if given.task == REGRESSION
        else f"{given.target}: one of {len(given.classes)} classes"
    )
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": given.task if given.task == REGRESSION else f"{given.task} classification",
            "datasets": [{"ref": digest} for digest in _datasets(card)],
            "inputs": [{"format": f"{column.name}: {column.type}"} for column in card.inputs],
            "outputs": [{"format": output}],
        },
        "quantitativeAnalysis": {"performanceMetrics": overall + grouped},
        "considerations": _considerations(card),
    }


def _metric(measured: Measured) -> dict[str, Any]:
    found: dict[str, Any] = {"type": measured.name, "value": repr(measured.value)}
    if measured.interval is not None:
        low, high = measured.interval
        found["confidenceInterval"] = {"lowerBound": repr(low), "upperBound": repr(high)}
    return found


def _considerations(card: Card) -> dict[str, Any]:
    statement = card.statement
    limitations = [
        *statement.texts("limitations"),
        *(f"Out of scope: {use}" for use in statement.texts("out_of_scope")),
    ]
    risks = [
        {"name": entry["risk"], **_given({"mitigationStrategy": entry.get("mitigation")})}
        for entry in statement.said.get("ethical_considerations", [])
    ]
    groups = [
        {
            "groupAtRisk": entry["group"],
            **_given(
                {
                    "benefits": entry.get("benefits"),
                    "harms": entry.get("harms"),
                    "mitigationStrategy": entry.get("mitigation"),
                }
            ),
        }
        for entry in statement.said.get("groups_at_risk", [])
    ]
    return _given(
        {
            "users": statement.texts("intended_users"),
            "useCases": statement.texts("intended_use"),
            "technicalLimitations": limitations,
            "performanceTradeoffs": statement.texts("tradeoffs"),
            "ethicalConsiderations": risks,
            "fairnessAssessments": groups,
        }
    )


def _properties(card: Card) -> list[dict[str, str]]:
    """Return what CycloneDX has no field for."""
    said = card.statement.said
    values = {
        "digest": card.model,
        "confidence": str(card.confidence),
        "experiment_hash": card.origin.experiment_hash,
        "decision": str(card.decision.outcome) if card.decision else None,
        "contact": said.get("contact"),
        "training_data": said.get("training_data"),
        "sensitive_data": ", ".join(card.statement.texts("sensitive_data")),
        "human_oversight": said.get("human_oversight"),
        "not_said": ", ".join(card.statement.missing),
    } | {f"verdict:{verdict.gate}": str(verdict.status) for verdict in card.verdicts}
    return [{"name": f"hallmark:{name}", "value": str(value)} for name, value in values.items() if value]
