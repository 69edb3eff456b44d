import json
import re

import numpy as np
import pandas as pd
import pytest

from kfp_hallmark.components.evaluation.robustness_gate.robustness import LIMITS, shown
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import InputError, IntegrityError

EVERY = {limit: 0.5 for name, limit in LIMITS.items() if not name.startswith("retraining")}


def checks_of(result, name):
    return {check.scope.get("feature"): check for check in result.verdict.checks if check.name == name}


def test_the_drop_is_that_of_the_metric_on_the_same_rows(robustness, linear):
    from sklearn.metrics import roc_auc_score

    result = robustness(
        linear.score,
        linear.frame,
        linear.label,
        {"max_unit_shift_drop": 0.5},
        metric="roc_auc",
        strengths={"unit_shift": [1000]},
    )
    checks = checks_of(result, "unit_shift_drop")
    assert set(checks) == {"small", "large", "ignored"}
    for name in ("small", "large"):
        shifted = linear.frame.assign(**{name: linear.frame[name] * 1000})
        expected = roc_auc_score(linear.label, linear.score(linear.frame))
        expected -= roc_auc_score(linear.label, linear.score(shifted))
        assert checks[name].observed == pytest.approx(expected, abs=1e-12)
        assert checks[name].interval[0] < expected < checks[name].interval[1]
        assert checks[name].samples == 1000
    assert checks["ignored"].observed == 0
    assert checks["small"].observed < checks["large"].observed


def test_both_sides_of_a_limit_and_between(robustness, linear):
    def status(limit):
        limits, strengths = {"max_noise_drop": limit}, {"noise": [2.0]}
        result = robustness(linear.score, linear.frame, linear.label, limits, strengths=strengths, metric="roc_auc")
        return result.status, checks_of(result, "noise_drop")["all together"]

    _, check = status(0.5)
    low, high = check.interval
    assert 0.1 < low < check.observed < high
    assert status(high + 1e-9)[0] == "pass"
    assert status(high - 1e-9)[0] == "inconclusive"
    assert status(low)[0] == "inconclusive"
    failed, check = status(low - 1e-9)
    assert failed == "fail"
    assert "is above the limit" in check.message


@pytest.mark.parametrize(
    ("interval", "status"),
    [
        ((0.0, 0.1), "pass"),
        ((0.0, 0.11), "inconclusive"),
        ((0.1, 0.2), "inconclusive"),
        ((0.11, 0.2), "fail"),
        (None, "inconclusive"),
    ],
)
def test_what_an_interval_shows(interval, status):
    assert shown(interval, 0.1) == status


def test_a_model_that_breaks_the_limit_seldom_passes_and_one_that_keeps_it_does(robustness, linear):
    """The true drop is the limit: 2.5 % pass and 2.5 % fail; with 200 runs at most 12 do but once in 1,000."""
    from kfp_hallmark.comparison import advantage
    from kfp_hallmark.contracts.predictions import BINARY, Predictions

    random = np.random.default_rng(5)

    def said(prediction, label):
        return Predictions(BINARY, "y", label, prediction, None, (0, 1), 1, 0.5, "m", "d")

    statuses = []
    for seed in range(200):
        label = random.integers(0, 2, 800)
        clean = np.where(random.random(800) < 0.1, 1 - label, label)
        poor = np.where(random.random(800) < 0.125, 1 - clean, clean)
        found = advantage(said(poor, label), said(clean, label), "accuracy", 200, 0.95, seed)
        statuses.append(shown((-found.interval[1], -found.interval[0]), 0.8 * 0.125))
    assert statuses.count(Status.PASS) <= 12
    assert statuses.count(Status.FAIL) <= 12


def test_the_worst_strength_is_told(robustness, linear):
    result = robustness(linear.score, linear.frame, linear.label, {"max_missing_drop": 0.0, "max_noise_drop": 0.9})
    assert checks_of(result, "noise_drop")["small"].scope == {"feature": "small", "strength": "0.5"}


def test_a_linear_model_is_searched_exactly(robustness, linear):
    """A flip takes |margin| / |weight|, an evasion |margin| over the sum of |weight| times reach."""
    sizes, size = [0.05, 0.1, 0.3], 0.25
    wide = linear.frame.copy()
    wide.iloc[0], wide.iloc[1] = [50.0, 500.0, 50.0], [-50.0, -500.0, -50.0]
    label = (linear.score(wide) >= 0.5).astype(int)
    result = robustness(
        linear.score,
        wide,
        label,
        {"max_flip_rate": 0.9, "max_evasion_rate": 0.9},
        strengths={"flip": sizes, "evasion": [size]},
        max_searched_rows=1000,
    )
    spread = wide.std(ddof=0).to_numpy()
    margin = abs(wide.to_numpy() @ linear.weights)
    flips = (margin <= sizes[-1] * (abs(linear.weights) * spread).max()).mean()
    evasions = (margin <= size * (abs(linear.weights) * spread).sum()).mean()
    assert 0.02 < flips < evasions
    assert checks_of(result, "flip_rate")[None].observed == pytest.approx(flips, abs=1e-12)
    assert checks_of(result, "evasion_rate")[None].observed == pytest.approx(evasions, abs=1e-12)


def test_rates_have_wilsons_interval_and_rows_decided_rightly(robustness, linear):
    from scipy.stats import binomtest

    result = robustness(linear.score, linear.frame, linear.label, {"max_evasion_rate": 0.9}, max_searched_rows=300)
    (check,) = result.verdict.checks
    places = np.random.default_rng(0).permutation(1000)[:300]
    right = (linear.score(linear.frame) >= 0.5)[places] == linear.label[places]
    assert check.samples == right.sum() < 300
    expected = binomtest(round(check.observed * check.samples), check.samples).proportion_ci(0.95, "wilson")
    assert check.interval == pytest.approx((expected.low, expected.high))


def test_whole_numbers_move_by_whole_numbers(robustness):
    frame = pd.DataFrame({"age": np.tile(np.arange(20, 60), 10)})
    limits, strengths = {"max_flip_rate": 0.9}, {"flip": [0.08, 0.09]}
    result = robustness(lambda rows: (rows["age"] > 39).to_numpy() * 1.0, frame, (frame["age"] > 39) * 1, limits,
                        strengths=strengths, max_searched_rows=400)  # fmt: skip
    assert frame["age"].std(ddof=0) * 0.08 < 1 < frame["age"].std(ddof=0) * 0.09
    assert result.verdict.checks[0].observed == pytest.approx(2 / 40)


def test_an_adversary_changes_only_what_is_changeable(robustness, linear):
    def rate(names):
        limits = {"max_evasion_rate": 0.9}
        result = robustness(linear.score, linear.frame, linear.label, limits, changeable_features=names)
        return result.verdict.checks[0].observed

    assert rate(["ignored"]) == 0
    assert 0 < rate(["large"]) < rate(["small", "large"]) == rate(None)


def test_a_category_can_be_changed_by_an_adversary(robustness):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"town": random.choice(["Bonn", "Ulm", None], 300), "x": random.normal(size=300)})

    def score(rows):
        return np.where(rows["town"] == "Ulm", 0.9, 0.1)

    label = (score(frame) > 0.5).astype(int)
    limits = {"max_evasion_rate": 1.0, "max_flip_rate": 0.1}
    result = robustness(score, frame, label, limits, changeable_features=["town", "x"])
    assert checks_of(result, "evasion_rate")[None].observed == 1
    assert checks_of(result, "flip_rate")[None].observed == 0
    assert "another of the category" in result.report


def three_classes(rows):
    scores = np.column_stack([rows["x"], rows["y"], -rows["x"] - rows["y"]])
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def test_multiclass(robustness):
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(600, 2)), columns=["x", "y"])
    label = np.array(["a", "b", "c"])[three_classes(frame).argmax(axis=1)]
    limits = {"max_noise_drop": 0.05, "max_evasion_rate": 0.9, "max_flip_rate": 0.9}
    result = robustness(three_classes, frame, label, limits, "multiclass", max_searched_rows=600)
    assert result.status == "fail"
    assert result.verdict.parameters["metric"] == "balanced_accuracy"
    scores = np.column_stack([frame["x"], frame["y"], -frame["x"] - frame["y"]])
    ordered = np.sort(scores, axis=1)
    reach = 0.2 * frame.std(ddof=0).to_numpy()
    own, other = scores.argmax(axis=1), np.argsort(scores, axis=1)[:, 1]
    directions = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    gap, steer = ordered[:, 2] - ordered[:, 1], abs(directions[own] - directions[other]) @ reach
    # The search moves toward the nearest class at the start; one near the corner of three may be another.
    assert checks_of(result, "evasion_rate")[None].observed >= (gap < 0.9 * steer).mean() - 0.02
    assert 0 < checks_of(result, "flip_rate")[None].observed < checks_of(result, "evasion_rate")[None].observed


def test_regression(robustness):
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(500, 2)), columns=["x", "y"])
    label = 3 * frame["x"] + frame["y"]

    def value(rows):
        return (3 * rows["x"] + rows["y"]).to_numpy()

    limits = {"max_noise_drop": 0.5, "max_evasion_rate": 0.5, "max_flip_rate": 0.5}
    result = robustness(value, frame, label, limits, "regression", min_prediction_change=0.7)
    assert result.verdict.parameters["metric"] == "r2"
    checks = {check.name: check for check in result.verdict.checks if check.scope.get("feature") in (None, "x")}
    # x alone moves by 0.6, both by 0.8.
    assert checks["flip_rate"].observed == 0
    assert checks["evasion_rate"].observed > 0.95
    assert checks["noise_drop"].observed == pytest.approx(0.9 * 0.25, abs=0.06)
    usual = robustness(value, frame, label, limits, "regression")
    assert usual.verdict.parameters["min_prediction_change"] == pytest.approx(label.std(ddof=0))


def test_a_classifier_without_probabilities(robustness, linear):
    def decide(rows):
        return (linear.score(rows) >= 0.5).astype(int)

    result = robustness(decide, linear.frame, linear.label, EVERY, max_searched_rows=1000)
    exact = robustness(linear.score, linear.frame, linear.label, EVERY, max_searched_rows=1000)
    found, most = (checks_of(each, "evasion_rate")[None].observed for each in (result, exact))
    assert 0.8 * most < found <= most
    assert checks_of(result, "flip_rate")[None] == checks_of(exact, "flip_rate")[None]
    assert checks_of(result, "noise_drop")["small"].observed > 0


def test_a_model_that_fails_on_perturbed_rows_fails_the_gate(robustness, linear):
    def picky(rows):
        if rows["small"].isna().any():
            raise ValueError("secret 42")
        return linear.score(rows.fillna(0.0))

    result = robustness(picky, linear.frame, linear.label, {"max_missing_drop": 0.9, "max_noise_drop": 0.9})
    assert result.status == "fail"
    check = checks_of(result, "missing_drop")["small"]
    assert (check.status, check.observed) == ("fail", None)
    assert re.match(
        r"In robustness_gate, under missing values \(\d+% of the values\) in 'small': The model '.*model' must predict "
        r"every row; it failed on rows 0 to 999 with ValueError in picky",
        check.message,
    )
    assert checks_of(result, "missing_drop")["large"].status == "pass"
    assert {check.status for check in checks_of(result, "noise_drop").values()} == {"pass"}
    assert "secret" not in result.report
    assert "in picky" in result.report


def test_a_model_that_fails_on_an_unseen_category_fails_the_gate(robustness):
    frame = pd.DataFrame({"town": ["Bonn", "Ulm"] * 100})

    def strict(rows):
        return rows["town"].map(lambda town: {"Bonn": 0.1, "Ulm": 0.9}[town]).to_numpy()

    result = robustness(strict, frame, [0, 1] * 100, {"max_unseen_drop": 0.5, "max_typo_drop": 0.5})
    assert [check.status for check in result.verdict.checks] == ["fail", "fail"]
    assert all("KeyError" in check.message for check in result.verdict.checks)


def test_a_model_that_says_nan_of_perturbed_rows_fails_the_gate(robustness, linear):
    result = robustness(linear.score, linear.frame, linear.label, {"max_missing_drop": 0.5})
    assert checks_of(result, "missing_drop")["large"].status == "fail"
    assert "must predict finite numbers" in checks_of(result, "missing_drop")["large"].message


def test_a_model_that_fails_in_a_search_fails_the_gate(robustness):
    frame = pd.DataFrame({"x": [1.5, 2.5] * 50})

    def odd(rows):
        if not rows["x"].isin([1.5, 2.5]).all():
            raise RuntimeError
        return (rows["x"] > 2).to_numpy() * 1.0

    result = robustness(odd, frame, [0, 1] * 50, {"max_flip_rate": 1.0, "max_evasion_rate": 1.0})
    assert [check.status for check in result.verdict.checks] == ["fail", "fail"]
    assert result.verdict.checks[0].message.startswith("In robustness_gate, in the search of flips: The model")
    assert "in the search of evasions" in result.verdict.checks[1].message


def test_a_model_that_changes_its_input_changes_nothing_else(robustness, linear):
    def rude(rows):
        score = linear.score(rows)
        rows.loc[:, :] = 0.0
        return score

    limits = {"max_noise_drop": 0.5, "max_flip_rate": 0.5}
    kind = robustness(linear.score, linear.frame, linear.label, limits).verdict.checks
    assert robustness(rude, linear.frame, linear.label, limits).verdict.checks == kind


def test_a_limit_that_reaches_no_feature_is_kept(robustness, linear):
    result = robustness(linear.score, linear.frame, linear.label, {"max_typo_drop": 0.1, "max_unseen_drop": 0.0})
    assert result.status == "pass"
    assert result.verdict.checks[0].message == "The model takes no feature that typos can reach."


def test_a_search_without_a_feature_that_can_move_says_so(robustness):
    frame = pd.DataFrame({"town": ["Bonn", "Ulm"] * 100, "constant": 1.0})
    limits = {"max_flip_rate": 0.01, "max_evasion_rate": 0.01}
    result = robustness(
        lambda rows: (rows["town"] == "Ulm") * 0.5 + 0.25, frame, [0, 1] * 100, limits, changeable_features=[]
    )
    messages = {check.name: (check.status, check.message) for check in result.verdict.checks}
    assert messages == {
        "flip_rate": ("pass", "The model takes no number that can move."),
        "evasion_rate": ("pass", "The model takes no feature that an adversary can change."),
    }
    assert "in which some one number" not in result.report
    assert "another of the category" in result.report


def test_too_few_rows_or_one_class_are_inconclusive(robustness, linear):
    result = robustness(
        linear.score, linear.frame, np.zeros(1000, dtype=int), {"max_noise_drop": 0.5}, metric="roc_auc"
    )
    assert result.status == "inconclusive"
    assert "is undefined" in result.verdict.checks[0].message
    wrong = 1 - (linear.score(linear.frame) >= 0.5)
    result = robustness(linear.score, linear.frame, wrong, {"max_evasion_rate": 0.5})
    assert result.status == "inconclusive"
    assert result.verdict.checks[0].message.startswith("There is no row that the model decides rightly")


def test_a_sample_is_drawn_and_told(robustness, linear):
    result = robustness(linear.score, linear.frame, linear.label, {"max_noise_drop": 0.5}, max_rows=300)
    assert {check.samples for check in result.verdict.checks} == {300}
    assert "A sample of 300 of 1,000 rows" in result.report
    assert json.loads((result.out / "verdict.json").read_text())["subjects"].keys() == {"model", "dataset"}


def test_the_same_seed_gives_the_same_verdict(robustness, linear):
    every = EVERY | {"max_missing_drop": 0.5}
    first, again, other = (
        robustness(linear.score, linear.frame, linear.label, every, max_rows=400, seed=seed).verdict.checks
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_model_that_another_tool_wrote(robustness, linear, tmp_path):
    import mlflow
    from mlflow.models import infer_signature

    class Custom(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return 1 / (1 + np.exp(-2 * model_input["small"].to_numpy()))

    signature = infer_signature(linear.frame, linear.score(linear.frame))
    mlflow.pyfunc.save_model(
        str(tmp_path / "custom"), python_model=Custom(), signature=signature, pip_requirements=["numpy"]
    )
    limits = {"max_noise_drop": 0.5, "max_flip_rate": 0.9}
    result = robustness(None, linear.frame, linear.label, limits, model=tmp_path / "custom")
    assert result.status == "pass"
    assert checks_of(result, "noise_drop")["large"].observed == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limits": {}}, r"limits must hold at least one limit; got none\.\nHint: Known: max_missing_drop, "),
        ({"limits": {"max_noize_drop": 1}}, r"got 'max_noize_drop'\.\nHint: Did you mean 'max_noise_drop'\?"),
        ({"limits": {"max_noise_drop": -1}}, r"The limit 'max_noise_drop' must be a number of at least 0; got -1\."),
        ({"limits": {"max_flip_rate": 2}}, r"The limit 'max_flip_rate' must be a number from 0 to 1; got 2\."),
        ({"limits": {"max_flip_rate": True}}, r"must be a number from 0 to 1; got True\."),
        ({"strengths": {"noisy": [1]}}, r"strengths must hold known names; got 'noisy'\.\nHint: Did you mean 'noise'"),
        ({"strengths": {"noise": []}}, r"The strengths 'noise' must be a list of numbers; got \[\]\."),
        ({"strengths": {"noise": 0.1}}, r"The strengths 'noise' must be a list of numbers; got 0\.1\."),
        ({"strengths": {"noise": [0]}}, r"The strengths 'noise' must be above 0; got \[0\]\."),
        ({"strengths": {"missing": [1.1]}}, r"The strengths 'missing' must be above 0 and at most 1; got \[1\.1\]\."),
        ({"metric": "roc_auk"}, r"metric must be a metric of a binary task; got 'roc_auk'\.\nHint: Did you mean 'roc_"),
        ({"max_rows": 0}, r"max_rows must be at least 1; got 0\."),
        ({"max_searched_rows": 0}, r"max_searched_rows must be at least 1; got 0\."),
        ({"min_prediction_change": 0.0}, r"min_prediction_change must be above 0; got 0\.0\."),
        ({"confidence": 95}, r"confidence must be above 0 and below 1; got 95\."),
        ({"changeable_features": ["smal"]}, r"changeable_features must be .* got 'smal'\.\nHint: Did you mean 'small'"),
    ],
)
def test_bad_settings_raise_before_anything_is_written(robustness, linear, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        robustness(linear.score, linear.frame, linear.label, **({"limits": {"max_noise_drop": 0.1}} | settings))
    assert not (tmp_path / "out").exists()


def test_a_model_that_fails_on_the_rows_as_they_are_raises(robustness, linear):
    def broken(rows):
        raise ValueError

    with pytest.raises(InputError, match=r"must predict every row; it failed on rows 0 to 999 with ValueError"):
        robustness(broken, linear.frame, linear.label, {"max_noise_drop": 0.1})


def test_a_changed_dataset_is_refused(robustness, linear, tmp_path, save):
    from kfp import dsl

    from kfp_hallmark.components.evaluation.robustness_gate.robustness import judge_robustness

    linear.frame.assign(label=linear.label).to_parquet(tmp_path / "data.parquet", index=False)
    data = dsl.Dataset(uri=str(tmp_path / "data.parquet"), metadata={"digest": "sha256:" + "0" * 64})
    with pytest.raises(IntegrityError, match="The dataset must have the digest"):
        judge_robustness(
            dsl.Model(uri=str(save(linear.score, linear.frame))),
            data,
            dsl.Artifact(uri=str(tmp_path / "v")),
            dsl.HTML(uri=str(tmp_path / "r")),
            "label",
            {"max_noise_drop": 0.1},
            None, None, [], None, None, 100, 100, 200, 0.95, 0, None, 10, None,
        )  # fmt: skip


def test_every_part_of_the_report(robustness, linear):
    def tolerant(rows):
        return linear.score(rows.fillna(0.0))

    result = robustness(tolerant, linear.frame, linear.label, EVERY)
    assert result.status == "pass"
    for heading in ("Missing values", "Noise", "Typos", "Unseen categories", "Another unit", "Evasion"):
        assert f"<h2>{heading}</h2>" in result.report
    assert "Every limit is kept for" in result.report
