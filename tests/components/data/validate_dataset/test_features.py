"""What a column holds."""

import math
import re
from pathlib import Path

import pyarrow

from kfp_hallmark.components.data.validate_dataset.features import describe
from kfp_hallmark.components.data.validate_dataset.validate import validate
from kfp_hallmark.profiles.profile import column
from kfp_hallmark.profiles.scan import scan


def test_a_feature_is_described(stored):
    dataset = stored(
        {
            "amount": [1.0, float("nan"), None, float("inf"), 4.0, 4.0, 1.0, 6.0],
            "count": pyarrow.array([1, 2, 2, None, 7, 8, None, 10], "uint64"),
            "few": [1, 2, 2, 7, None, None, None, None],
            "good": [True, False, None, True, True, None, None, None],
            "name": ["a", "b", "a", None, "", "a", "a", "a"],
            "day": pyarrow.array([0, 1, 1, None, 2, 0, 0, 0], "date32"),
        }
    )
    found = {name: describe(name, column(kind, counted), counted) for name, kind, counted in scan(dataset.path)}
    facts = {name: (f.type, f.rows, f.missing, f.distinct, f.infinite, f.mean) for name, f in found.items()}
    assert facts == {
        "amount": ("number", 8, 2, 4, 1, 3.2),
        "count": ("integer", 8, 2, 5, 0, 5.0),
        "few": ("integer", 8, 4, 3, 0, None),
        "good": ("boolean", 8, 4, 2, 0, None),
        "name": ("text", 8, 1, 3, 0, None),
        "day": ("time", 8, 1, 3, 0, None),
    }


def test_the_mean_of_few_values_is_not_told(stored, output):
    """The infinity makes both sides known by their percentiles."""
    outputs = {name: output(name) for name in ("verdict", "report", "statistics", "schema", "profile")}
    rows = {"n": [98765.5, math.inf, *[None] * 98], "id": range(100)}
    others = dict.fromkeys(("baseline_profile", "previous", "serving", "delivered", "expectations", "contract_uri"))
    limits = {"max_stable_psi": 0.1, "max_psi": 0.25, "max_domain_auc": 0.65, "min_rows": 100, "seed": 0}
    validate(stored(rows), baseline=stored(rows, "before"), excluded_columns=[], **others, **limits, **outputs)
    text = "".join(Path(outputs[name].path).read_text() for name in ("verdict", "report"))
    assert "Baseline: missing %" in text
    assert not re.findall("98,?76[56]", text)
