import json
from types import SimpleNamespace

import pytest
from kfp import dsl

from kfp_hallmark.contracts.decision import Policy, decide, write_decision
from kfp_hallmark.contracts.digest import artifact_digest

STATEMENT = {
    "name": "Income model",
    "version": "3",
    "description": "Says who earns more than 50,000.",
    "owner": "Credit risk, Example Bank",
    "contact": "risk@example.com",
    "license": "Internal use",
    "intended_use": ["Support of a clerk's decision on a loan"],
    "intended_users": ["Clerks"],
    "out_of_scope": ["Decisions without a person"],
    "training_data": "A survey of 2018.",
    "sensitive_data": ["sex", "age"],
    "limitations": ["Poor on incomes from abroad"],
    "tradeoffs": ["Recall for precision"],
    "human_oversight": "A clerk decides.",
    "ethical_considerations": [{"risk": "Automation bias", "mitigation": "Training"}, {"risk": "Drift"}],
    "groups_at_risk": [{"group": "Women", "harms": "Fewer loans", "mitigation": "A limit on disparity"}],
}


@pytest.fixture
def statement():
    return json.loads(json.dumps(STATEMENT))


@pytest.fixture
def written(tmp_path, judged_model, write_verdict):
    """Write a card of a model that a decision was made on; give what was written."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import yaml

    from kfp_hallmark.components.governance.write_model_card.card import write_card
    from kfp_hallmark.contracts.dataset import write_table
    from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions, write_predictions

    model, verdicts = judged_model
    random = np.random.default_rng(2)
    rows = 900
    frame = pd.DataFrame(
        {
            "town": random.choice(["Bonn", "Köln | West", None], rows, p=[0.6, 0.35, 0.05]),
            "size": random.integers(1, 4, rows),
            "id": np.arange(rows),
        }
    )

    def run(said=None, task=BINARY, about=None, decision=True, importances=None, **settings):
        label = random.integers(0, 3 if task == MULTICLASS else 2, rows)
        score = np.clip(label * 0.4 + random.random(rows) * 0.6, 0, 1)
        data = write_table(tmp_path / "data.parquet", pa.Table.from_pandas(frame.assign(y=label)), {})
        given = Predictions(
            task=task,
            target="y",
            label=label * 1.5 if task == REGRESSION else label,
            prediction={BINARY: (score >= 0.5).astype(int), MULTICLASS: label, REGRESSION: label + score}[task],
            score=score if task == BINARY else None,
            classes={BINARY: (0, 1), MULTICLASS: (0, 1, 2), REGRESSION: ()}[task],
            positive_class=1 if task == BINARY else None,
            threshold=0.5 if task == BINARY else None,
            model=about or artifact_digest(model),
            dataset=data,
        )
        write_predictions(tmp_path / "predictions.parquet", given)
        decided = None
        if decision == "kept":
            decided = dsl.Artifact(uri=str(tmp_path / "decision"))
        elif decision:
            policy = Policy(("validate_dataset", "performance_gate", "fairness_gate", "robustness_gate"))
            write_decision(tmp_path / "decision", decide(model, verdicts, policy), verdicts)
            decided = dsl.Artifact(uri=str(tmp_path / "decision"))
        uri = None
        if said is not None:
            uri = str(tmp_path / "statement.yaml")
            text = said if isinstance(said, str) else yaml.safe_dump(said)
            (tmp_path / "statement.yaml").write_text(text, encoding="utf-8")
        explained = None
        if importances is not None:
            explained = dsl.Artifact(uri=str(tmp_path / "importances.json"))
            (tmp_path / "importances.json").write_text(json.dumps(importances))
        out = tmp_path / "out"
        cyclonedx = dsl.Artifact(uri=str(out / "card.cdx.json"))
        (missing,) = write_card(
            dsl.Model(uri=str(model)),
            dsl.Dataset(uri=str(tmp_path / "predictions.parquet")),
            dsl.Dataset(uri=str(tmp_path / "data.parquet")),
            dsl.HTML(uri=str(out / "card.html")),
            dsl.Markdown(uri=str(out / "card.md")),
            cyclonedx,
            decided,
            explained,
            uri,
            **({"group_columns": [], "min_group_size": 100, "bootstrap_samples": 200, "confidence": 0.95, "seed": 0}
               | settings),
        )  # fmt: skip
        return SimpleNamespace(
            missing=missing,
            model=model,
            given=given,
            frame=frame,
            page=(out / "card.html").read_text(),
            markdown=(out / "card.md").read_text(),
            bom=json.loads((out / "card.cdx.json").read_text()),
            metadata=cyclonedx.metadata,
            out=out,
        )

    return run
