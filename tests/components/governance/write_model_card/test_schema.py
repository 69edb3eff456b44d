"""The bill of materials keeps CycloneDX's own JSON schemas."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from kfp_hallmark.components.governance.write_model_card.card import Card, Group, Measured
from kfp_hallmark.components.governance.write_model_card.cyclonedx import bill_of_materials
from kfp_hallmark.components.governance.write_model_card.fields import FIELDS
from kfp_hallmark.contracts.decision import Policy, decide
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.model import lineage
from kfp_hallmark.contracts.predictions import BINARY, Predictions
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.modeling.columns import Column
from kfp_hallmark.statement import MAX_VERSION, Statement

ENVIRONMENT = "sdk"
DATA = "sha256:" + "d" * 64
VERSIONS = {"1.6": SchemaVersion.V1_6, "1.7": SchemaVersion.V1_7}


@pytest.fixture
def card(judged_model):
    """Make a card of what was said and measured."""
    model, verdicts = judged_model

    def make(said, metrics=(), groups=(), inputs=()):
        return Card(
            model=artifact_digest(model),
            origin=lineage(model),
            inputs=tuple(inputs),
            predictions=Predictions(BINARY, "y", [0, 1], [0, 1], None, (0, 1), 1, 0.5, artifact_digest(model), DATA),
            metrics=tuple(metrics),
            groups=tuple(groups),
            min_group_size=1,
            confidence=0.95,
            decision=decide(model, verdicts, Policy(("fairness_gate",))),
            verdicts=tuple(map(Verdict.read, verdicts.values())),
            importances=None,
            statement=Statement(FIELDS, said),
            created="2026-11-21T05:40:00Z",
        )

    return make


def problem(document, version):
    return JsonStrictValidator(VERSIONS[version]).validate_str(json.dumps(document | {"specVersion": version}))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_full_card_keeps_the_schema(card, statement, version):
    measured = [Measured("accuracy", 0.9, (0.8, 0.95)), Measured("r2", 1e-7, None), Measured("f1", None, None)]
    groups = [Group("town", "Köln", 5, tuple(measured)), Group("town", "(missing)", 1, ())]
    document = bill_of_materials(card(statement, measured, groups, [Column("age", "long")]))
    assert document["specVersion"] == "1.6"
    assert problem(document, version) is None
    metrics = document["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [(entry["type"], entry["value"], entry.get("slice")) for entry in metrics] == [
        ("accuracy", "0.9", None),
        ("r2", "1e-07", None),
        ("accuracy", "0.9", "town = Köln"),
        ("r2", "1e-07", "town = Köln"),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_empty_card_keeps_the_schema(card, version):
    assert problem(bill_of_materials(card({})), version) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_odd_words_keep_the_schema(card, statement, version):
    odd = "</style><img src=x onerror=alert(1)> \"' &amp; [a](javascript:b) \u202e " + "long" * 2000
    said = {name: odd if isinstance(text, str) else text * 2 for name, text in statement.items()}
    said["version"] = odd[:MAX_VERSION]
    groups = [Group(odd, odd, 5, (Measured("accuracy", 0.0, (0.0, 0.5)),))]
    assert problem(bill_of_materials(card(said, groups=groups, inputs=[Column(odd, "any")])), version) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schema_would_notice(card, version):
    document = bill_of_materials(card({}))
    document["metadata"]["component"]["modelCard"]["considerations"]["user"] = ["x"]
    assert problem(document, version) is not None


def test_the_same_card_gives_the_same_serial_number(card, statement):
    first, again, other = (bill_of_materials(card(said))["serialNumber"] for said in (statement, statement, {}))
    assert first == again != other
