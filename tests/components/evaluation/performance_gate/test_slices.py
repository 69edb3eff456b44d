import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from kfp_hallmark.comparison import Advantage
from kfp_hallmark.components.evaluation.performance_gate.slices import ComparedSlice, SliceTerms, compare_slices
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.predictions import BINARY, REGRESSION, Predictions
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import InputError

MODEL, DATASET = "sha256:" + "1" * 64, "sha256:" + "2" * 64
AREA = 0.8


def ranked(label, value):
    score = 1 / (1 + np.exp(-value))
    return Predictions(BINARY, "label", label, (score >= 0.5).astype(int), score, (0, 1), 1, 0.5, MODEL, DATASET)


def area_pair(random, label, first, second):
    """Two scores with correlated noise whose true areas are given, one for all rows or one for each."""
    common, *own = random.normal(size=(3, len(label)))
    shifts = [np.vectorize(NormalDist().inv_cdf)(area) * math.sqrt(2) for area in (first, second)]
    return [
        ranked(label, shift * label + math.sqrt(0.7) * common + math.sqrt(0.3) * each)
        for shift, each in zip(shifts, own, strict=True)
    ]


def error_pair(random, label, first, second):
    true = random.normal(size=len(label))
    return [
        Predictions(
            REGRESSION, "label", true, true + random.laplace(0, scale, len(true)), None, (), None, None, MODEL, DATASET
        )
        for scale in (first, second)
    ]


@pytest.fixture
def groups(tmp_path):
    """Write a dataset of one column with groups of given sizes; give its path and, for each row, its group."""

    def write(sizes):
        group = np.repeat([f"g{index:02}" for index in range(len(sizes))], sizes)
        path = tmp_path / "groups.parquet"
        pd.DataFrame({"group": group}).to_parquet(path, index=False)
        return path, group

    return write


def compared(pair, path, max_loss=0.05, metric="roc_auc", samples=1000, seed=0):
    return compare_slices(*pair, path, SliceTerms(["group"], max_loss), metric, samples, 0.95, seed)


@pytest.mark.parametrize(
    ("metric", "make", "first", "second", "max_loss"),
    [
        ("roc_auc", area_pair, AREA - 0.05, AREA, 0.05),
        ("mean_absolute_error", error_pair, 1.2, 1.0, 0.2),
    ],
)
def test_no_slice_fails_by_chance_more_often_than_the_confidence_leaves(groups, metric, make, first, second, max_loss):
    """Every one of 15 slices is exactly as much worse as is allowed: in one run of forty, any may fail."""
    path, group = groups([120] * 15)
    label = (np.arange(len(group)) % 4 == 0).astype(int)
    runs, random = 400, np.random.default_rng(3)
    failed = sum(
        compared(make(random, label, first, second), path, max_loss, metric).checks[0].status is Status.FAIL
        for _ in range(runs)
    )
    assert failed / runs <= 0.025 + 4 * math.sqrt(0.025 * 0.975 / runs)


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_slices_of_equal_models_fail_no_more_often_than_that(groups, metric):
    path, group = groups([150] * 8)
    label, random = (np.arange(len(group)) % 3 == 0).astype(int), np.random.default_rng(5)
    runs = 200
    failed = sum(
        compared(area_pair(random, label, AREA, AREA), path, 0.0, metric, 400, run).checks[0].status is Status.FAIL
        for run in range(runs)
    )
    assert failed / runs <= 0.025 + 4 * math.sqrt(0.025 * 0.975 / runs)


def test_a_slice_that_gets_worse_is_found_among_many(groups):
    path, group = groups([400] * 20)
    label, random = (np.arange(len(group)) % 4 == 0).astype(int), np.random.default_rng(1)
    first = np.where(group == "g07", 0.55, AREA)
    whole, *single = compared(area_pair(random, label, first, AREA), path).checks
    assert (whole.name, whole.status, whole.observed, whole.maximum) == ("champion_slices", Status.FAIL, 1.0, 0.0)
    assert whole.message == (
        "Shown to be worse than the champion by more than 0.05 in roc auc: 'group g07'; "
        "20 of 20 slices had rows enough to be compared."
    )
    (check,) = single
    assert (check.name, check.status, check.samples) == ("champion_slice", Status.FAIL, 400)
    assert check.scope == {"column": "group", "slice": "g07", "metric": "roc_auc"}
    assert check.interval[0] < check.observed < check.interval[1] < check.minimum == -0.05
    assert check.confidence == pytest.approx(1 - 0.05 / 20)
    assert check.message.startswith("On 'group g07' the model is 0.2")


def test_what_seems_worse_and_may_be_chance_is_a_warning(groups):
    path, group = groups([110, 2000])
    label, random = (np.arange(len(group)) % 4 == 0).astype(int), np.random.default_rng(1)
    first = np.where(group == "g00", 0.62, AREA)
    found = compared(area_pair(random, label, first, AREA), path)
    (check,) = found.checks
    assert check.status is Status.WARN
    assert check.message.startswith("Seen to be worse than the champion by more than 0.05 in roc auc, though it may be")
    assert [(each.name, each.status) for each in found.slices] == [("g00", Status.WARN), ("g01", Status.PASS)]


def test_the_least_rows_of_a_slice(groups):
    path, group = groups([100, 99, 1000])
    label, random = (np.arange(len(group)) % 4 == 0).astype(int), np.random.default_rng(1)
    found = compared(area_pair(random, label, AREA, AREA), path)
    assert {each.name: each.found is not None for each in found.slices} == {"g00": True, "g01": False, "g02": True}
    assert found.confidence == 1 - 0.05 / 2
    assert found.slices[-1].name == "g01"
    assert found.checks[0].message.endswith("2 of 3 slices had rows enough to be compared.")


def test_without_a_slice_of_enough_rows_nothing_is_told(groups):
    path, group = groups([50, 60])
    label = (np.arange(len(group)) % 4 == 0).astype(int)
    (check,) = compared(area_pair(np.random.default_rng(1), label, AREA, AREA), path).checks
    assert check.status is Status.INCONCLUSIVE
    assert check.message == "No slice has the 100 rows, of both classes enough, to be compared."


@pytest.mark.parametrize(
    ("interval", "status"),
    [
        ((-0.05, 0.1), Status.PASS),
        ((-0.05 - 1e-9, 0.1), Status.WARN),
        ((-0.2, -0.05), Status.WARN),
        ((-0.2, -0.05 - 1e-9), Status.FAIL),
    ],
)
def test_both_sides_of_the_loss_allowed_on_a_slice(interval, status):
    found = Advantage(sum(interval) / 2, interval, 0.1, 500)
    assert ComparedSlice("group", "g", 500, found, 0.05).status is status


@pytest.fixture
def sliced(performance, registry, models):
    """Judge the poor model's scores in one town, and the good one's elsewhere, against the good champion."""

    def run(name, towns, spoiled):
        registry.champion(name, models.good.folder)
        frame = models.frame.assign(town=towns)
        spoilt = frame["town"].isna() if spoiled is None else frame["town"] == spoiled
        score = np.where(spoilt, models.poor.score, models.good.score)
        settings = {"max_champion_loss": 0.2, "slices": ["town"], "model": artifact_digest(models.poor.folder)}
        registered = {"model_name": name, "tracking_uri": registry.uri}
        return performance(models.label, score, {"min_roc_auc": 0.5}, frame, **settings, **registered)

    return run


def towns(random, share=0.2):
    return random.choice(["Bonn", "Köln <b>", None], 1500, p=[1 - share, share / 2, share / 2])


@pytest.mark.parametrize(("name", "spoiled"), [("one town", "Köln <b>"), ("no town", None)])
def test_the_gate_fails_for_one_slice_though_the_whole_passes(sliced, name, spoiled):
    """The spoiled slice may be the rows in which the value is missing."""
    found = sliced(name, towns(np.random.default_rng(0), 0.5), spoiled)
    checks = {check.name: check for check in found.verdict.checks}
    assert found.status == "fail"
    assert checks["champion"].status is Status.PASS
    assert checks["champion_slice"].scope["slice"] == (spoiled or "(missing)")
    assert found.verdict.parameters["slices"] == ["town"]
    assert "Slices against the champion" in found.report
    assert "<b>" not in found.report


def test_slices_of_a_model_that_is_better_everywhere_pass(performance, registry, models, request):
    registry.champion(request.node.name, models.poor.folder)
    found = performance(
        models.label,
        models.good.score,
        {"min_roc_auc": 0.5},
        models.frame.assign(town=towns(np.random.default_rng(0), 0.5)),
        model_name=request.node.name,
        tracking_uri=registry.uri,
        slices=["town", "a"],
    )
    (check,) = [check for check in found.verdict.checks if check.name == "champion_slices"]
    assert (found.status, check.status, check.scope["columns"]) == ("pass", Status.PASS, "town, a")
    assert check.message.startswith("No slice is worse than the champion by more than 0.05 in roc auc; ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slices": ["a"]}, "slices must be given together with model_name; got no model_name."),
        ({"slices": ["c"], "model_name": "m"}, "slices must be"),
        ({"max_slice_loss": -0.1}, "max_slice_loss must be a finite number, at least 0; got -0.1."),
        ({"max_slice_loss": math.inf}, "max_slice_loss must be a finite number, at least 0; got inf."),
    ],
)
def test_slices_that_cannot_be_compared_are_refused(performance, models, tmp_path, change, message):
    with pytest.raises(InputError) as caught:
        performance(models.label, models.good.score, {"min_roc_auc": 0.5}, models.frame, **change)
    assert message in caught.value.message
    assert not (tmp_path / "out").exists()
