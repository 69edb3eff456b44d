"""What is thought of how far features have moved."""

import numpy
import pyarrow
import pytest

from kfp_hallmark.components.data.validate_dataset.comparison import Comparing, Limits, chance_level
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.profiles.profile import profile
from kfp_hallmark.profiles.scan import scan

LIMITS = Limits(0.1, 0.25)


def compared(before, now, enough=True):
    comparing = Comparing("baseline", profile(before.path), pyarrow.parquet.read_schema(now.path).names)
    for name, _, counted in scan(now.path):
        comparing.add(name, counted, 0.1)
    return comparing.finish(profile(now.path), LIMITS, enough)


def test_the_worst_comes_first(stored):
    random = numpy.random.default_rng(0)
    before = {name: random.normal(size=3000) for name in ("same", "far", "some", "farther")}
    now = {name: random.normal(size=3000) for name in before}
    now["far"], now["farther"], now["some"] = now["far"] + 1, now["farther"] + 2, now["some"] + 0.4
    moves = compared(stored(before, "before"), stored(now)).moves
    assert [move.drift.feature for move in moves] == ["farther", "far", "some", "same"]
    assert [str(move.status) for move in moves] == ["fail", "fail", "warn", "pass"]


def test_a_trivial_shift_of_many_rows_is_significant_and_passes(stored):
    random = numpy.random.default_rng(0)
    sides = ({"n": random.normal(shift, 1, 200_000)} for shift in (0, 0.03))
    (move,) = compared(stored(next(sides), "before"), stored(next(sides))).moves
    assert move.p_value < 1e-9
    assert move.status is Status.PASS


def test_p_values_are_adjusted_for_the_number_of_features(stored):
    random = numpy.random.default_rng(0)
    sides = [{f"c{index}": random.normal(size=500) for index in range(8)} for _ in range(2)]
    moves = compared(stored(sides[0], "before"), stored(sides[1])).moves
    raw = sorted(move.drift.p_value for move in moves)
    expected = [min(p * 8 / rank for rank, p in list(enumerate(raw, 1))[start:]) for start in range(8)]
    assert sorted(move.p_value for move in moves) == pytest.approx([min(p, 1) for p in expected])


def test_without_rows_enough_all_is_inconclusive(stored):
    sides = stored({"n": range(50)}, "before"), stored({"n": range(50)})
    assert {move.status for move in compared(*sides, enough=False).moves} == {Status.INCONCLUSIVE}


def test_only_alike_values_look_renamed(stored):
    random = numpy.random.default_rng(0)
    before = {"a": random.normal(size=2000), "b": random.choice(["x", "y", "z"], 2000)}
    now = {"c": random.normal(3, 1, 2000), "d": random.choice(["x", "y", "z"], 2000)}
    assert compared(stored(before, "before"), stored(now)).renamed == {"b": "d"}


def test_the_chance_level_is_what_stable_numbers_stay_below_in_95_of_100(stored):
    random = numpy.random.default_rng(11)
    before = stored({f"c{index}": random.normal(size=2000) for index in range(400)}, "before")
    now = stored({f"c{index}": random.normal(size=800) for index in range(250)})
    found = numpy.array([move.drift.psi for move in compared(before, now).moves])
    assert 0.9 < numpy.mean(found <= chance_level(2000, 800)) < 0.99
