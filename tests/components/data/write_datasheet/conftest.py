import json
from datetime import date, datetime, timedelta
from types import SimpleNamespace

import pytest
from kfp import dsl

from kfp_hallmark.components.data.write_datasheet.datasheet import write_sheet
from kfp_hallmark.components.data.write_datasheet.fields import FIELDS
from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.dataset import write_table
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.statement import DAY, TEXT

ROWS = 240
SOURCE = "sha256:" + "5" * 64


@pytest.fixture
def statement():
    """Every field, each with words of its own."""
    return {
        name: "2026-11-02" if form == DAY else f"Words on {name}." if form == TEXT else [f"First {name}", f"{name} two"]
        for name, (form, _) in FIELDS.items()
    }


@pytest.fixture
def table():
    """A table with a column of each kind; the last 40 rows equal the first."""
    import pyarrow

    places = [place % 200 for place in range(ROWS)]
    start = datetime(2021, 1, 1)
    return pyarrow.table(
        {
            "height": [150 + place**2 / 1000 for place in places],
            "visits": pyarrow.array([None if place < 30 else place for place in places], "int64"),
            "member": [place < 60 for place in places],
            "born": [date(1990, 1, 1) + timedelta(days=place) for place in places],
            "seen": pyarrow.array([start + timedelta(hours=place) for place in places], "timestamp[us]"),
            "town": ["Bonn" if place < 120 else "Köln | West" if place < 195 else "Ulm" for place in places],
            "secret": [f"person-{place}" for place in places],
        }
    )


@pytest.fixture
def written(tmp_path, table):
    """Write a datasheet; give what was written."""
    import yaml

    def run(said=None, data=None, lineage=(SOURCE,), metadata=None, checked=None, gate="validate_dataset", **settings):
        path = tmp_path / "dataset"
        digest = write_table(path, table if data is None else data, {"lineage": list(lineage)})
        uri = None
        if said is not None:
            uri = str(tmp_path / "statement.yaml")
            (tmp_path / "statement.yaml").write_text(said if isinstance(said, str) else yaml.safe_dump(said), "utf-8")
        role = {"validate_dataset": "dataset_verdict", "check_expectations": "expectations_verdict"}[gate]
        verdicts: dict[str, Artifact | None] = {role: None, "bias_verdict": None}
        if checked is not None:
            checks = [Check("psi", Status.FAIL, 0.4, maximum=0.25, scope={"feature": "town"})]
            subjects = {name: digest if of is None else of for name, of in checked.items()}
            Verdict(gate, subjects, checks).write(tmp_path / "verdict.json")
            verdicts[role] = dsl.Artifact(uri=str(tmp_path / "verdict.json"))
        out = tmp_path / "out"
        croissant = dsl.Artifact(uri=str(out / "croissant.json"))
        (missing,) = write_sheet(
            dsl.Dataset(uri=str(path), metadata={"digest": digest} | (metadata or {})),
            verdicts,
            uri,
            settings.get("sensitive_columns", []),
            settings.get("min_group_size", 50),
            dsl.HTML(uri=str(out / "sheet.html")),
            dsl.Markdown(uri=str(out / "sheet.md")),
            croissant,
        )
        return SimpleNamespace(
            missing=missing,
            digest=digest,
            path=path,
            page=(out / "sheet.html").read_text(),
            markdown=(out / "sheet.md").read_text(),
            croissant=json.loads((out / "croissant.json").read_text()),
            metadata=croissant.metadata,
            out=out,
        )

    return run
