"""What a column holds."""

import pyarrow

from kfp_hallmark.components.data.validate_dataset.features import describe
from kfp_hallmark.profiles.profile import column
from kfp_hallmark.profiles.scan import scan


def test_a_feature_is_described(stored):
    dataset = stored(
        {
            "amount": [1.0, float("nan"), None, float("inf"), 4.0],
            "count": pyarrow.array([1, 2, 2, None, 7], "uint64"),
            "good": [True, False, None, True, True],
            "name": ["a", "b", "a", None, ""],
            "day": pyarrow.array([0, 1, 1, None, 2], "date32"),
        }
    )
    found = {name: describe(name, column(kind, counted), counted) for name, kind, counted in scan(dataset.path)}
    facts = {name: (f.type, f.rows, f.missing, f.distinct, f.infinite, f.mean) for name, f in found.items()}
    assert facts == {
        "amount": ("number", 5, 2, 3, 1, 2.5),
        "count": ("integer", 5, 1, 3, 0, 3.0),
        "good": ("boolean", 5, 1, 2, 0, None),
        "name": ("text", 5, 1, 3, 0, None),
        "day": ("time", 5, 1, 3, 0, None),
    }
