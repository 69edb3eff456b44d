"""What `hallmark contract` runs in the environment `data`: arguments and results are JSON values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.data_contract import read_contract
from kfp_hallmark.datacontract.evolution import Level, evolution
from kfp_hallmark.datacontract.schema import contract_schema


def infer(dataset: Artifact, name: str, output: str) -> dict[str, Any]:
    """Write a first contract of a dataset, and return what it has."""
    import pyarrow_hotfix  # noqa: F401  pyarrow 10 runs code from untrusted files without it

    from kfp_hallmark.datacontract.inference import infer_contract

    contract, notes = infer_contract(dataset.path, name)
    contract.write(output, notes)
    return {"features": len(contract_schema(contract).feature), "keys": [list(key) for key in contract.keys]}


def describe(dataset: Artifact, profile: Artifact) -> None:
    """Write the profile of a dataset."""
    import pyarrow_hotfix  # noqa: F401  as above

    from kfp_hallmark.profiles.profile import profile as describe_columns

    describe_columns(dataset.path).write(profile.path)


def diff(before: str, after: str) -> dict[str, Any]:
    """Return what changes from one contract to another."""
    found = evolution(*(read_contract(Path(path)) for path in (before, after)))
    return {
        "before": str(found.before),
        "after": str(found.after),
        "needed": str(found.needed),
        "in_order": found.in_order,
        "changes": [
            {
                "part": change.part,
                "message": change.message,
                "level": Level(change.level).name.lower(),
                "tightens": change.tightens,
            }
            for change in found.changes
        ],
    }
