import shutil

import numpy as np
import pytest

from kfp_hallmark.components.evaluation.performance_gate.serving import Served, ServingLimits, serving_checks
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import InputError, IntegrityError

EASY = {
    "max_median_latency_ms": 1e6,
    "max_p99_latency_ms": 1e6,
    "max_model_megabytes": 100.0,
    "max_cost_per_million_rows": 1e9,
    "price_per_hour": 0.1,
}


@pytest.fixture
def serve(performance, models):
    """Judge the good model with serving limits."""

    def run(limits, folder=None, frame=models.frame, **settings):
        folder = models.good.folder if folder is None else folder
        settings = {"model": artifact_digest(folder), "given_model": folder, "serving_limits": limits} | settings
        return performance(models.label, models.good.score, {"min_roc_auc": 0.5}, frame, **settings)

    return run


def checks_by_name(found):
    return {check.name: check for check in found.verdict.checks}


def test_a_model_is_measured_as_it_is_served(serve, models):
    found = serve(EASY)
    checks = checks_by_name(found)
    assert found.status == "pass"
    names = ["roc_auc", "median_latency_ms", "p99_latency_ms", "cost_per_million_rows", "model_megabytes"]
    assert list(checks) == names
    median, tail, cost = (checks[name] for name in names[1:4])
    assert 0 < median.observed < tail.observed
    assert all(each.interval[0] <= each.observed <= each.interval[1] for each in (median, tail, cost))
    assert (median.samples, median.confidence) == (1000, 0.95)
    size = sum(file.stat().st_size for file in models.good.folder.rglob("*") if file.is_file())
    assert checks["model_megabytes"].observed == size / 1e6
    assert "As it is served" in found.report
    assert "rows refused" not in found.report
    assert found.verdict.parameters["serving_limits"] == EASY


@pytest.mark.parametrize("name", ["max_median_latency_ms", "max_p99_latency_ms", "max_model_megabytes"])
def test_a_limit_that_no_model_keeps_fails(serve, name):
    found = serve({name: 1e-9})
    check = checks_by_name(found)[name.removeprefix("max_")]
    assert (found.status, check.status) == ("fail", Status.FAIL)
    assert "above the limit of 1e-09" in check.message
    assert f"Limits broken: {check.name.replace('_', ' ')}." in found.report


def milliseconds(*values):
    return Served(2_500_000, np.array(values) / 1000)


def the_check(served, confidence=0.95, **limits):
    (check,) = serving_checks(served, ServingLimits(**limits), confidence)
    return check


def test_latency_is_judged_by_the_order_of_the_times():
    served = milliseconds(*np.random.default_rng(0).permutation(1000) + 1)
    statuses = [the_check(served, max_median_latency_ms=limit).status for limit in (500.4, 500.5, 531.9, 532)]
    assert statuses == [Status.FAIL, Status.WARN, Status.WARN, Status.PASS]
    check = the_check(served, max_p99_latency_ms=2000.0)
    assert check.observed == pytest.approx(990.01)
    assert check.interval == pytest.approx((983, 997))


def test_few_requests_cannot_tell_the_slowest_of_a_hundred():
    check = the_check(milliseconds(*range(1, 301)), max_p99_latency_ms=1000.0)
    assert (check.status, check.interval) == (Status.INCONCLUSIVE, None)
    assert check.message.endswith("at most 1,000, but of too few requests to say how sure that is.")
    assert the_check(milliseconds(*range(1, 301)), max_p99_latency_ms=1.0).status is Status.FAIL


def test_cost_is_price_by_time():
    """3 ms a row on average are 3,000 s for a million: 3,000 / 3,600 of an hour at 1.2."""
    served = milliseconds(*[2, 4] * 200)
    check, over = (the_check(served, max_cost_per_million_rows=limit, price_per_hour=1.2) for limit in (1.01, 0.99))
    assert (check.observed, check.interval) == (pytest.approx(1.0), pytest.approx((1.0, 1.0)))
    assert (check.status, over.status) == (Status.PASS, Status.FAIL)
    slow = milliseconds(*[2] * 200, *[4] * 200)
    low, high = the_check(slow, max_cost_per_million_rows=2.0, price_per_hour=1.2).interval
    reach = 2.093024054408263 * np.std([2, 4] * 10, ddof=1) / 20**0.5 / 3
    assert (low, high) == pytest.approx((1 - reach, 1 + reach))
    assert the_check(milliseconds(*[3] * 39), max_cost_per_million_rows=2.0, price_per_hour=1.0).interval is None


def test_both_sides_of_the_size():
    statuses = [the_check(milliseconds(1), max_model_megabytes=limit).status for limit in (2.5 - 1e-9, 2.5)]
    assert statuses == [Status.FAIL, Status.PASS]


def test_rows_that_the_served_form_refuses_are_counted(serve, models):
    frame = models.frame.copy()
    frame.loc[: len(frame) // 2, "a"] = None
    found = serve({"max_median_latency_ms": 1e6}, frame=frame)
    assert found.status == "pass"
    assert "rows refused" in found.report
    frame["a"] = None
    found = serve({"max_median_latency_ms": 1e6}, frame=frame.astype({"a": float}))
    assert found.status == "inconclusive"
    assert checks_by_name(found)["median_latency_ms"].message.endswith(
        "cannot be served: It refuses every row. Of the first: Its values do not suit the signature."
    )


def test_a_model_that_cannot_be_served_is_inconclusive_and_its_size_is_known(serve, models, tmp_path):
    folder = shutil.copytree(models.good.folder, tmp_path / "unsigned")
    document = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(document[: document.index("signature:")])
    checks = checks_by_name(serve(EASY, folder))
    assert {name: str(check.status) for name, check in checks.items()} == {
        "roc_auc": "pass",
        "median_latency_ms": "inconclusive",
        "p99_latency_ms": "inconclusive",
        "cost_per_million_rows": "inconclusive",
        "model_megabytes": "pass",
    }
    assert "must have a signature with named columns; it has none." in checks["median_latency_ms"].message


def test_another_model_than_the_one_that_predicted_is_refused_and_not_loaded(serve, models, tmp_path):
    folder = shutil.copytree(models.good.folder, tmp_path / "other")
    loaded = tmp_path / "loaded"
    (folder / "model.pkl").write_bytes(f"cbuiltins\nopen\n(S'{loaded}'\nS'w'\ntR.".encode())
    with pytest.raises(IntegrityError, match="must have the digest"):
        serve(EASY, folder, model=artifact_digest(models.good.folder))
    assert not loaded.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("limits", "message", "hint"),
    [
        (
            {"max_latency_ms": 5.0},
            "serving_limits must hold options that there are; got 'max_latency_ms'.",
            "Did you mean",
        ),
        (
            {"max_p99_latency_ms": 0},
            "serving_limits['max_p99_latency_ms'] must be a finite number above 0; got 0",
            None,
        ),
        ({"max_p99_latency_ms": "5"}, "serving_limits['max_p99_latency_ms'] must be a number; got '5'.", None),
        ({"max_model_megabytes": float("inf")}, "must be a finite number above 0; got inf.", None),
        ({"max_cost_per_million_rows": 5.0}, "max_cost_per_million_rows and price_per_hour together; got one.", None),
        ({"price_per_hour": 5.0}, "max_cost_per_million_rows and price_per_hour together; got one.", None),
    ],
)
def test_serving_limits_that_cannot_be_used_are_refused(serve, tmp_path, limits, message, hint):
    with pytest.raises(InputError) as caught:
        serve(limits)
    assert message in caught.value.message
    assert hint is None or hint in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_serving_limits_ask_for_the_model(serve, tmp_path):
    with pytest.raises(InputError, match=r"model must be given together with serving_limits; got no model\."):
        serve(EASY, given_model=None)
    assert not (tmp_path / "out").exists()
