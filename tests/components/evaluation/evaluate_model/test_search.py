import math

import numpy as np
import pandas as pd
import pytest

from kfp_hallmark.components.evaluation.evaluate_model import search as search_module
from kfp_hallmark.components.evaluation.evaluate_model.search import FoundSlice, find_slices
from kfp_hallmark.contracts.predictions import BINARY, REGRESSION, Predictions

DIGESTS = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)


def wrong(random, chance):
    """Predictions of a class that are wrong with a chance of their own."""
    label = random.integers(0, 2, len(chance))
    predicted = np.where(random.random(len(chance)) < chance, 1 - label, label)
    return Predictions(BINARY, "label", label, predicted, None, (0, 1), 1, None, *DIGESTS)


def off(random, scale):
    """Predictions of numbers that are off by a scale of their own."""
    label = random.normal(size=len(scale))
    predicted = label + random.laplace(0, 1, len(scale)) * scale
    return Predictions(REGRESSION, "label", label, predicted, None, (), None, None, *DIGESTS)


@pytest.fixture
def table(tmp_path):
    """Rows of four columns of few values, one of numbers, and one with missing values."""

    def write(rows, seed=0):
        random = np.random.default_rng(seed)
        frame = pd.DataFrame({f"c{index}": random.choice(list("abcd"), rows) for index in range(4)})
        frame["age"] = random.normal(40, 10, rows)
        frame["town"] = random.choice(["Bonn", "Ulm", None], rows)
        frame["label"] = 0
        frame.to_parquet(tmp_path / "data.parquet", index=False)
        return tmp_path / "data.parquet", frame

    return write


def search(predictions, path, count=5, seed=0):
    return find_slices(predictions, path, count, 0.95, seed)


@pytest.mark.parametrize("make", [wrong, off])
def test_a_planted_slice_of_two_columns_is_found_and_shown(table, make):
    path, frame = table(8000)
    planted = (frame["c1"] == "b") & (frame["c3"] == "d")
    found = search(make(np.random.default_rng(1), np.where(planted, 0.45, 0.15)), path)
    worst = found.slices[0]
    assert worst.parts == (("c1", "b"), ("c3", "d"))
    assert worst.confirmed
    assert worst.loss - worst.rest == pytest.approx(0.3, abs=0.08)
    assert worst.interval[0] < worst.loss - worst.rest < worst.interval[1]
    assert 180 < worst.rows < 320
    assert all(("label", "0") not in each.parts for each in found.slices)


def test_a_planted_slice_may_be_a_missing_value(table):
    path, frame = table(4000)
    found = search(wrong(np.random.default_rng(1), np.where(frame["town"].isna(), 0.4, 0.1)), path, 1)
    assert found.slices[0].parts == (("town", "(missing)"),)
    assert found.slices[0].confirmed
    assert found.confidence == 0.95


@pytest.mark.parametrize("make", [wrong, off])
def test_a_model_that_is_alike_everywhere_has_no_worse_slice(table, make):
    """Any slice is shown to be worse in one run of forty; by the half that was searched, it would be in most."""
    path, _ = table(2000)
    random, runs = np.random.default_rng(3), 150
    shown = naive = missed = 0
    for seed in range(runs):
        found = search(make(random, np.full(2000, 0.2)), path, 5, seed)
        shown += any(each.confirmed for each in found.slices)
        missed += any(not each.interval[0] <= 0 <= each.interval[1] for each in found.slices)
        naive += found.slices[0].seen > 1.96 * 0.4 * math.sqrt(1 / found.slices[0].rows + 1 / 1000)
    assert shown / runs <= 0.025 + 4 * math.sqrt(0.025 * 0.975 / runs)
    assert missed / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)
    if make is wrong:
        assert naive / runs > 0.5


def test_the_power_on_a_slice_that_matters(table):
    path, frame = table(6000)
    planted = (frame["c0"] == "a") & (frame["c2"] == "c")
    random, runs = np.random.default_rng(5), 30
    shown = sum(
        any(each.confirmed and set(each.parts) <= {("c0", "a"), ("c2", "c")} for each in found.slices)
        for found in (search(wrong(random, np.where(planted, 0.4, 0.15)), path, 5, seed) for seed in range(runs))
    )
    assert shown / runs > 0.9


def test_slices_that_are_bad_by_the_rows_of_a_worse_one_are_not_told_of(table):
    """A copy of the column, what holds the slice, and what it holds."""
    path, frame = table(8000)
    frame["copy"] = frame["c0"].str.upper()
    frame.to_parquet(path, index=False)
    bad = (frame["c0"] == "a") & (frame["c1"] == "b")
    found = search(wrong(np.random.default_rng(1), np.where(bad, 0.6, np.where(frame["c2"] == "d", 0.25, 0.1))), path)
    shown = [set(each.parts) for each in found.slices if each.confirmed]
    assert shown[0] in ({("c0", "a"), ("c1", "b")}, {("copy", "A"), ("c1", "b")})
    assert shown[1:] == [{("c2", "d")}]


@pytest.mark.parametrize(("rows", "searched"), [(400, 2), (398, 0)])
def test_the_least_rows_of_a_slice_that_is_searched(tmp_path, rows, searched):
    """A column of two values: each slice, and the rest, must have 100 of the rows of the half that is searched."""
    path, random = tmp_path / "two.parquet", np.random.default_rng(0)
    half = random.permutation(rows) < rows // 2
    value = np.where(half, np.cumsum(half) % 2, np.cumsum(~half) % 2)
    pd.DataFrame({"value": value, "label": 0}).to_parquet(path, index=False)
    assert search(wrong(random, np.full(rows, 0.3)), path).searched == searched


def test_a_model_without_an_error_has_no_slice(table):
    path, _ = table(1000)
    assert search(wrong(np.random.default_rng(0), np.zeros(1000)), path).slices == []


def test_the_same_seed_finds_the_same(table):
    path, _ = table(3000)
    predictions = wrong(np.random.default_rng(0), np.full(3000, 0.3))
    assert search(predictions, path) == search(predictions, path) != search(predictions, path, seed=1)


@pytest.mark.parametrize(("interval", "shown"), [((1e-9, 0.2), True), ((0.0, 0.2), False), (None, False)])
def test_a_slice_is_shown_to_be_worse_by_its_whole_interval(interval, shown):
    assert FoundSlice((("c", "a"),), 200, 0.3, 0.2, interval, 0.2).confirmed is shown


def test_many_columns_take_a_byte_a_value(table):
    """Of 300 columns of a million rows, eight would be 2.4 gigabytes."""
    path, frame = table(3000)
    assert {column.codes.nbytes for column in search_module._columns(path, "label").values()} == {len(frame)}
