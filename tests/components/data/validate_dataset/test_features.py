"""What a column holds."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy
import pyarrow
import pytest

from kfp_hallmark.components.data.validate_dataset.checks import content_checks
from kfp_hallmark.components.data.validate_dataset.features import SECOND, Feature, _gap, describe
from kfp_hallmark.components.data.validate_dataset.validate import validate
from kfp_hallmark.profiles.profile import column
from kfp_hallmark.profiles.scan import scan

TIME = Feature("day", "time", 5000, 0, 100, 0, None)


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


def stretches(days):
    """Return what is found of times that so many days lie between."""
    return _gap(numpy.cumsum([0, *days]) * 86_400 * SECOND)


def test_how_many_gaps_chance_leaves_is_what_the_hand_computes():
    """98 stretches of a day, one of two, one of four: 4 of 104 places are left out, and one of them beside the gap."""
    found = stretches([1] * 98 + [2, 4])
    assert (found.longest, found.usual) == (4 * 86_400, pytest.approx(1.02 * 86_400))
    assert found.expected == pytest.approx(104 * (2 / 104) ** 3)


@pytest.mark.parametrize(
    ("days", "odd"),
    [
        ([1] * 99 + [3], True),
        ([1] * 97 + [3], False),
        ([1, 1, 1, 1, 3] * 52 + [4], False),
        ([1, 1, 1, 1, 3] * 52 + [10], True),
        ([30, 31] * 30 + [92], False),
        ([30, 31] * 30 + [123], True),
        ([0.1] * 50 + [1] * 50 + [4], False),
        ([0.1] * 50 + [1] * 50 + [5], False),
        ([0.1] * 50 + [1] * 50 + [5.1], True),
    ],
)
def test_a_gap_is_odd_beyond_what_chance_leaves_out(days, odd):
    """Days without two or one of them, working days with a holiday or without a week, months, and no clock at all."""
    checks = content_checks([replace(TIME, gap=stretches(days))])
    assert [check.name for check in checks] == ["time_gap"] * odd


def test_times_by_chance_have_no_gap():
    """Events by the second, 20 to 0.2 of them; of 2,400 such series 1 warned."""
    random = numpy.random.default_rng(2)
    found = 0
    for rate in numpy.repeat([20, 5, 1, 0.2], 75):
        seconds = numpy.unique(random.exponential(1 / rate, 5000).cumsum().astype("int64"))
        found += len(content_checks([replace(TIME, gap=_gap(seconds * SECOND))]))
    assert found <= 1


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
