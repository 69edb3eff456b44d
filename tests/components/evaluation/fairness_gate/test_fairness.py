import json
import re

import numpy as np
import pytest

from kfp_hallmark.contracts.predictions import MULTICLASS, REGRESSION
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import InputError, IntegrityError
from kfp_hallmark.fairness.groups import MISSING

PARITY = "max_demographic_parity_difference"
EVERY = {
    PARITY: 0.5,
    "min_demographic_parity_ratio": 0.5,
    "max_equalized_odds_difference": 0.5,
    "max_equal_opportunity_difference": 0.5,
    "max_false_positive_rate_difference": 0.5,
}


def of(verdict, name, feature=None):
    """The checks of a name, by group where they have one."""
    return [check for check in verdict.checks if check.name == name and feature in (None, check.scope["feature"])]


def two_groups(rows, size=1000):
    """Selection rates of 0.4 (a) and 0.3 (b)."""
    return rows(
        ("a", 3 * size // 10, size // 10, size // 10, size // 2), ("b", size // 5, size // 5, size // 10, size // 2)
    )


def test_a_disparity_at_its_limit_does_not_fail_and_one_above_does(fairness, rows):
    names, label, prediction = two_groups(rows)
    (at,) = fairness({"g": names}, label, prediction, ["g"], {PARITY: 0.1}).verdict.checks
    assert (at.observed, at.status, at.maximum, at.minimum) == (0.1, Status.WARN, 0.1, None)
    (above,) = fairness({"g": names}, label, prediction, ["g"], {PARITY: 0.0999}).verdict.checks
    assert above.status is Status.FAIL


def test_a_ratio_at_its_limit_does_not_fail_and_one_below_does(fairness, rows):
    names, label, prediction = two_groups(rows)
    limit = "min_demographic_parity_ratio"
    (at,) = fairness({"g": names}, label, prediction, ["g"], {limit: 0.75}).verdict.checks
    assert (at.observed, at.status, at.minimum, at.maximum) == (0.75, Status.WARN, 0.75, None)
    (below,) = fairness({"g": names}, label, prediction, ["g"], {limit: 0.7501}).verdict.checks
    assert below.status is Status.FAIL


def test_a_limit_beyond_the_interval_passes(fairness, rows):
    found = fairness({"g": two_groups(rows)[0]}, *two_groups(rows)[1:], ["g"], {PARITY: 0.2})
    (check,) = found.verdict.checks
    assert (found.status, check.status) == ("pass", Status.PASS)
    assert 0.05 < check.interval[0] < 0.1 < check.interval[1] < 0.15
    assert (check.samples, check.confidence) == (2000, 0.95)
    assert check.message == (
        "Demographic parity difference 0.1, within the limit, as is its whole interval: "
        "the selection rate runs from 0.3 (g b) to 0.4 (g a)."
    )


def test_every_measure_by_hand(fairness, rows):
    names, label, prediction = rows(("a", 60, 40, 10, 90), ("b", 45, 5, 60, 140))
    verdict = fairness({"g": names}, label, prediction, ["g"], EVERY).verdict
    assert {check.name: check.observed for check in verdict.checks} == pytest.approx(
        {
            "demographic_parity_difference": 105 / 250 - 70 / 200,
            "demographic_parity_ratio": (70 / 200) / (105 / 250),
            "equalized_odds_difference": 45 / 50 - 60 / 100,
            "equal_opportunity_difference": 45 / 50 - 60 / 100,
            "false_positive_rate_difference": 60 / 200 - 10 / 100,
        }
    )
    assert [check.samples for check in verdict.checks] == [450, 450, 450, 150, 300]


def test_a_failure_that_chance_can_explain_says_so(fairness, rows):
    names, label, prediction = rows(("a", 20, 5, 5, 20), ("b", 15, 10, 5, 20))
    (check,) = fairness({"g": names}, label, prediction, ["g"], {PARITY: 0.05}).verdict.checks
    assert check.status is Status.FAIL
    assert "above the maximum of 0.05, though its interval reaches within it: " in check.message


def test_a_small_group_is_named_and_inconclusive_and_the_others_are_still_judged(fairness, rows):
    names, label, prediction = rows(("a", 300, 100, 100, 500), ("b", 200, 200, 100, 500), ("c", 9, 0, 10, 0))
    found = fairness({"g": names}, label, prediction, ["g"], {PARITY: 0.2})
    (small,) = of(found.verdict, "group_size")
    assert found.status == "inconclusive"
    assert small.scope == {"feature": "g", "group": "c"}
    assert (small.observed, small.minimum) == (19, 20)
    assert small.message == "The group g c has 19 rows, fewer than 20: its selection rate cannot be judged."
    (judged,) = of(found.verdict, "demographic_parity_difference")
    assert (judged.observed, judged.status, judged.samples) == (0.1, Status.PASS, 2000)
    assert "too little data to judge some groups of g" in found.report
    failed = fairness({"g": names}, label, prediction, ["g"], {PARITY: 0.05})
    assert failed.status == "fail"
    assert len(of(failed.verdict, "group_size")) == 1


def test_a_group_just_large_enough_is_judged(fairness, rows):
    names, label, prediction = rows(("a", 300, 100, 100, 500), ("c", 10, 0, 10, 0))
    verdict = fairness({"g": names}, label, prediction, ["g"], {PARITY: 0.9}).verdict
    assert [check.observed for check in verdict.checks] == [0.6]


def test_a_rate_among_one_class_needs_rows_of_that_class(fairness, rows):
    names, label, prediction = rows(("a", 30, 20, 20, 30), ("b", 10, 9, 20, 30), ("c", 40, 10, 1, 2))
    verdict = fairness({"g": names}, label, prediction, ["g"], EVERY | {PARITY: 1}).verdict
    assert [check.message for check in of(verdict, "group_size")] == [
        "The group g b has 19 positive rows, fewer than 20: its true positive rate cannot be judged.",
        "The group g c has 3 negative rows, fewer than 20: its false positive rate cannot be judged.",
    ]
    (opportunity,) = of(verdict, "equal_opportunity_difference")
    assert opportunity.observed == pytest.approx(0.8 - 0.6)
    (alarm,) = of(verdict, "false_positive_rate_difference")
    assert alarm.observed == pytest.approx(0)
    (parity,) = of(verdict, "demographic_parity_difference")
    assert parity.observed == pytest.approx(41 / 53 - 30 / 69)
    only_parity = fairness({"g": names}, label, prediction, ["g"], {PARITY: 1}).verdict
    assert of(only_parity, "group_size") == []


def test_equalized_odds_with_one_rate_missing_can_fail_but_not_pass(fairness, rows):
    names, label, prediction = rows(("a", 45, 5, 5, 5), ("b", 15, 35, 5, 5))
    limit = "max_equalized_odds_difference"
    failed = fairness({"g": names}, label, prediction, ["g"], {limit: 0.5}).verdict
    assert of(failed, "equalized_odds_difference")[0].status is Status.FAIL
    (kept,) = of(fairness({"g": names}, label, prediction, ["g"], {limit: 1}).verdict, "equalized_odds_difference")
    assert (kept.status, kept.observed) == (Status.INCONCLUSIVE, pytest.approx(0.6))
    assert kept.message.startswith("Equalized odds difference 0.6, within the limit so far: ")
    assert kept.message.endswith("Fewer than two groups of g are large enough to compare their false positive rate.")


def test_fewer_than_two_groups_are_inconclusive(fairness, rows):
    names, label, prediction = rows(("a", 30, 20, 20, 30))
    found = fairness({"g": names}, label, prediction, ["g"], EVERY)
    assert found.status == "inconclusive"
    assert all(check.observed is None and check.interval is None for check in found.verdict.checks)
    assert found.verdict.checks[0].message.startswith("Fewer than two groups of g are large enough")


def test_a_ratio_without_any_positive_prediction_is_inconclusive(fairness, rows):
    names, label, prediction = rows(("a", 0, 30, 0, 30), ("b", 0, 30, 0, 30))
    found = fairness({"g": names}, label, prediction, ["g"], {"min_demographic_parity_ratio": 0.8})
    assert found.status == "inconclusive"
    assert found.verdict.checks[0].message == ("The selection rate is 0 in all groups of g, so there is no ratio.")


def test_features_and_their_intersection_are_judged(fairness, rows):
    names, label, prediction = two_groups(rows)
    other = np.array(["x", "y"])[np.random.default_rng(0).choice(2, 2000)]
    columns = {"g": names, "sex is": other}
    found = fairness(columns, label, prediction, ["g", "sex is"], {PARITY: 0.9})
    assert [check.scope for check in found.verdict.checks] == [
        {"feature": "g"},
        {"feature": "sex is"},
        {"feature": "g × sex is"},
    ]
    rates = {(g, o): np.array(prediction)[(np.array(names) == g) & (other == o)].mean() for g in "ab" for o in "xy"}
    assert found.verdict.checks[2].observed == pytest.approx(max(rates.values()) - min(rates.values()))
    assert re.search(r"\(g b, sex is [xy]\) to [\d.]+ \(g a, sex is [xy]\)", found.verdict.checks[2].message)
    alone = fairness(columns, label, prediction, ["g", "sex is"], {PARITY: 0.9}, intersection=False)
    assert len(alone.verdict.checks) == 2


def test_an_intersection_can_fail_where_no_feature_does(fairness, rows):
    _, label, prediction = rows(*[(name, 25 + sign * 20, 25, 25, 25) for name, sign in (("p", 1), ("q", -1))] * 2)
    first = ["a"] * 120 + ["a"] * 80 + ["b"] * 120 + ["b"] * 80
    second = ["x"] * 120 + ["y"] * 80 + ["y"] * 120 + ["x"] * 80
    verdict = fairness({"f": first, "s": second}, label, prediction, ["f", "s"], {PARITY: 0.2}).verdict
    assert [check.status is Status.FAIL for check in verdict.checks] == [False, False, True]


def test_missing_values_are_judged_as_a_group(fairness, rows):
    names, label, prediction = rows((None, 10, 40, 10, 40), ("a", 40, 10, 40, 10))
    found = fairness({"g": names}, label, prediction, ["g"], {PARITY: 0.2})
    assert found.status == "fail"
    assert f"from 0.2 (g {MISSING}) to 0.8 (g a)" in found.verdict.checks[0].message
    assert MISSING in found.report


def test_a_boolean_feature(fairness, rows):
    names, label, prediction = rows((True, 10, 40, 10, 40), (False, 40, 10, 40, 10))
    assert "(g True) to 0.8 (g False)" in fairness({"g": names}, label, prediction, ["g"], {PARITY: 0}).report


def test_sixty_groups_are_all_in_the_report(fairness):
    random = np.random.default_rng(0)
    names = [f"<area {n}>" for n in random.integers(0, 60, 6000)]
    found = fairness({"g": names}, random.integers(0, 2, 6000), random.integers(0, 2, 6000), ["g"], EVERY)
    assert all(f"&lt;area {n}&gt;" in found.report for n in range(60))
    assert "<area" not in found.report


def test_the_report_says_what_was_judged_and_flags_what_is_small(fairness, rows):
    names, label, prediction = rows(("a", 300, 100, 100, 500), ("b", 200, 200, 100, 500), ("c", 2, 1, 1, 1))
    found = fairness({"g": names}, label, prediction, ["g"], EVERY)
    for text in ("Groups too small to judge", "2,005 rows", "fewer than 20 rows", "0.400", "0.370 to 0.431", "<svg"):
        assert text in found.report
    assert found.report.count('class="badge inconclusive"') == 1 + 1
    assert re.findall("(.)of only ([0-9])</span>", found.report) == [(">", "5")] * 3
    assert "http" not in re.sub(r"http://www.w3.org\S*", "", found.report)


def cells_of(report, group):
    row = report.partition(f"<td><code>{group}</code></td>")[2].partition("</tr>")[0]
    return re.findall("<td[^>]*>(.*?)</td>", row)


@pytest.mark.parametrize("person", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
def test_of_a_group_of_one_row_neither_label_nor_prediction_can_be_read(fairness, rows, person):
    spread = ("equalized_odds", "selection_rate", "true_negative_rate", "false_negative_rate", "zero_one_loss")
    least = ("precision_score", "accuracy_score", "balanced_accuracy_score", "f1_score")
    limits = {f"max_{name}_difference": 1 for name in spread} | {f"min_{name}_group_min": 0 for name in least}
    names, label, prediction = rows(("a", 300, 100, 100, 500), ("b", 200, 200, 100, 500), ("c", *person))
    found = fairness({"g": names}, label, prediction, ["g"], limits, min_group_size=100)
    size, share, *cells = cells_of(found.report, "c")
    assert (size, share) == ("1", "0.0%")
    assert len(cells) == 10
    assert {*cells} == {'<span class="note">of only 1</span>'}
    (named,) = of(found.verdict, "group_size")
    assert named.message.startswith("The group g c has 1 rows, fewer than 100: its selection rate, true positive rate")
    assert all("g c" not in check.message for check in found.verdict.checks if check is not named)


def test_a_rate_of_few_rows_of_a_large_group_is_not_told(fairness, rows):
    names, label, prediction = rows(("a", 300, 100, 100, 500), ("b", 1, 0, 50, 150))
    found = fairness({"g": names}, label, prediction, ["g"], EVERY, min_group_size=100)
    _, _, selected, true, false = cells_of(found.report, "b")
    assert selected.startswith("0.254 <")
    assert true == '<span class="note">of only 1</span>'
    assert false.startswith("0.250 <")


@pytest.mark.parametrize(("size", "told"), [(99, False), (100, True)])
def test_a_rate_is_told_of_rows_enough_to_be_judged(fairness, rows, size, told):
    names, label, prediction = rows(("a", 300, 100, 100, 500), ("c", 25, 0, size - 25, 0))
    found = fairness({"g": names}, label, prediction, ["g"], {PARITY: 1}, min_group_size=100)
    (cell,) = cells_of(found.report, "c")[2:]
    assert cell == (
        '1.000 <span class="note">0.963 to 1.000, of 100</span>' if told else '<span class="note">of only 99</span>'
    )


def test_the_verdict_is_bound_to_its_subjects_and_settings(fairness, rows):
    found = fairness({"g": two_groups(rows)[0]}, *two_groups(rows)[1:], ["g"], {PARITY: 0.2}, seed=3)
    assert set(found.verdict.subjects) == {"model", "dataset"}
    assert found.verdict.parameters == {
        "sensitive_features": ["g"],
        "limits": {PARITY: 0.2},
        "min_group_size": 20,
        "intersection": True,
        "bootstrap_samples": 200,
        "confidence": 0.95,
        "seed": 3,
        "model_name": None,
        "max_champion_losses": {},
    }


def test_a_run_repeats_by_seed(fairness, rows):
    names, label, prediction = two_groups(rows)
    checks = [fairness({"g": names}, label, prediction, ["g"], EVERY, seed=seed).verdict.checks for seed in (1, 1, 2)]
    assert checks[0] == checks[1] != checks[2]


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"limits": {}}, "limits must hold at least one limit; got none.", "docs/gates/fairness.md"),
        (
            {"limits": {"max_demographic_parity_diference": 0.1}},
            "limits must hold known limits; got 'max_demographic_parity_diference'.",
            "Did you mean 'max_demographic_parity_difference'?",
        ),
        ({"limits": {"min_demographic_parity_difference": 0.1}}, "limits must hold known limits", PARITY),
        ({"limits": {PARITY: True}}, f"The limit '{PARITY}' must be a number from 0 to 1; got True.", ""),
        ({"limits": {PARITY: "0.1"}}, f"The limit '{PARITY}' must be a number from 0 to 1; got '0.1'.", ""),
        ({"limits": {PARITY: float("nan")}}, "must be a number from 0 to 1; got nan.", ""),
        ({"limits": {PARITY: 1.01}}, "must be a number from 0 to 1; got 1.01.", ""),
        ({"limits": {PARITY: -0.01}}, "must be a number from 0 to 1; got -0.01.", ""),
        ({"features": []}, "sensitive_features must name at least one column, by text; got [].", ""),
        ({"features": ["g", "g"]}, "sensitive_features must name each column once; got ['g', 'g'].", ""),
        (
            {"features": ["gendre"]},
            "sensitive_features must be a column of the dataset; got 'gendre'.",
            "Did you mean 'gender'?",
        ),
        ({"features": ["income"]}, "The sensitive feature 'income' must have at most 20 values; got 100.", "Bin it"),
        ({"min_group_size": 0}, "min_group_size must be at least 1; got 0.", ""),
        ({"bootstrap_samples": 99}, "bootstrap_samples must be at least 100; got 99.", ""),
        ({"confidence": 95}, "confidence must be above 0 and below 1; got 95.", "0.95"),
        (
            {"limits": {"min_r2_score_group_min": 1.5}},
            "The limit 'min_r2_score_group_min' must be a number of at most 1; got 1.5.",
            "",
        ),
        (
            {"limits": {"max_log_loss_group_max": -1}},
            "The limit 'max_log_loss_group_max' must be a number of at least 0; got -1.",
            "",
        ),
        (
            {"limits": {"max_log_loss_group_max": float("inf")}},
            "The limit 'max_log_loss_group_max' must be a number of at least 0; got inf.",
            "",
        ),
        (
            {"task": REGRESSION, "limits": {"max_zero_one_loss_group_max": 0.1}},
            "limits must hold limits of a regression task; got 'max_zero_one_loss_group_max'.",
            "Did you mean 'max_mean_absolute_error_group_max'?",
        ),
        (
            {"limits": {"max_mean_absolute_error_group_max": 1}},
            "limits must hold limits of a binary task; got 'max_mean_absolute_error_group_max'.",
            "Did you mean",
        ),
        (
            {"task": MULTICLASS, "limits": {"min_roc_auc_score_group_min": 0.5}},
            "limits must hold limits of a multiclass task; got 'min_roc_auc_score_group_min'.",
            "Did you mean 'min_recall_score_group_min'?",
        ),
        (
            {"limits": {"max_log_loss_group_max": 1}},
            "limits must hold limits of what the model gives; got 'max_log_loss_group_max', and it gives no "
            "probabilities.",
            "",
        ),
    ],
)
def test_broken_input_is_refused_before_anything_is_written(fairness, rows, tmp_path, change, message, hint):
    names, label, prediction = rows(("a", 20, 5, 5, 20), ("b", 15, 10, 5, 20))
    columns = {"g": names, "gender": names, "income": np.linspace(0, 1, 100)}
    call = {"features": ["g"], "limits": {PARITY: 0.1}} | change
    with pytest.raises(InputError) as caught:
        fairness(columns, label, prediction, **call)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert not (tmp_path / "out").exists()


def test_predictions_of_another_dataset_are_refused(fairness, rows):
    names, label, prediction = rows(("a", 20, 5, 5, 20), ("b", 15, 10, 5, 20))
    with pytest.raises(IntegrityError, match="must be of the dataset given"):
        fairness({"g": names}, label, prediction, ["g"], {PARITY: 0.1}, dataset="sha256:" + "9" * 64)


def test_the_verdict_is_plain_json(fairness, rows):
    names, label, prediction = rows(("a", 0, 30, 0, 30), ("b", 0, 30, 0, 30))
    found = fairness({"g": names}, label, prediction, ["g"], EVERY)
    value = json.loads((found.folder / "out" / "verdict.json").read_text())
    assert value["gate"] == "fairness_gate"
    assert value["status"] == found.status


def test_scores_of_a_binary_task_are_judged(fairness):
    random = np.random.default_rng(0)
    names = np.repeat(["a", "b", "c"], [400, 300, 30])
    label = random.integers(0, 2, 730)
    score = (0.4 + 0.2 * label + 0.1 * (names == "b") + random.normal(0, 0.1, 730)).clip(0, 1)
    limits = {
        "max_mean_score_difference": 0.5,
        "max_roc_auc_score_difference": 0.5,
        "min_roc_auc_score_group_min": 0.8,
        "max_log_loss_group_max": 0.3,
    }
    found = fairness({"g": names}, label, (score > 0.5).astype(int), ["g"], limits, score=score, min_group_size=20)
    status = {check.name: check.status for check in found.verdict.checks}
    assert status == {
        "group_size": Status.INCONCLUSIVE,
        "mean_score_difference": Status.PASS,
        "roc_auc_score_difference": Status.PASS,
        "roc_auc_score_group_min": Status.PASS,
        "log_loss_group_max": Status.FAIL,
    }
    (small,) = of(found.verdict, "group_size")
    assert re.fullmatch(
        r"The group g c has 1\d rows of its rarer class, fewer than 20: its ROC AUC cannot be judged.", small.message
    )
    (least,) = of(found.verdict, "roc_auc_score_group_min")
    assert re.fullmatch(
        r"Least ROC AUC of a group 0.9\d*, within the limit, as is its whole interval: "
        r"the least ROC AUC is 0.9\d* \(g [ab]\).",
        least.message,
    )


def test_estimates_need_twenty_rows_whatever_the_group_size(fairness):
    names = ["a"] * 19 + ["b"] * 20 + ["c"] * 20
    label = np.arange(59.0)
    limits = {"max_mean_absolute_error_group_max": 2}
    found = fairness({"g": names}, label, label + 1, ["g"], limits, task=REGRESSION, min_group_size=5)
    (small,) = of(found.verdict, "group_size")
    assert small.message == "The group g a has 19 rows, fewer than 20: its mean absolute error cannot be judged."
    (judged,) = of(found.verdict, "mean_absolute_error_group_max")
    assert (judged.status, judged.observed, judged.samples) == (Status.PASS, 1, 40)


def test_regression_is_judged(fairness):
    names = ["a"] * 100 + ["b"] * 300
    label = np.random.default_rng(0).normal(50, 10, 400)
    error = np.random.default_rng(1).normal(0, 1, 400) * np.where(np.array(names) == "a", 4, 1)
    limits = {
        "max_mean_prediction_difference": 20,
        "max_mean_absolute_error_difference": 1.5,
        "max_mean_squared_error_group_max": 25,
        "min_r2_score_group_min": 0.5,
    }
    found = fairness({"g": names}, label, label + error, ["g"], limits, task=REGRESSION, classes=())
    status = {check.name: check.status for check in found.verdict.checks}
    assert status["mean_absolute_error_difference"] is Status.FAIL
    assert status["mean_prediction_difference"] is Status.PASS
    (squared,) = of(found.verdict, "mean_squared_error_group_max")
    assert squared.observed == pytest.approx((error[:100] ** 2).mean(), rel=1e-12)
    assert "is predicted as a number" in found.report


def test_numbers_beyond_what_can_be_squared_are_inconclusive(fairness):
    random = np.random.default_rng(0)
    label, said = random.normal(size=(2, 100)) * 1e200
    limits = {"max_mean_squared_error_group_max": 1.0, "min_r2_score_group_min": 0.0}
    with np.errstate(all="ignore"):
        result = fairness({"group": ["a", "b"] * 50}, label, said, ["group"], limits, task=REGRESSION, classes=())
    checks = {check.name: (check.status, check.observed, check.message) for check in result.verdict.checks}
    assert checks["mean_squared_error_group_max"] == (
        "inconclusive",
        None,
        "The mean squared error of some group of group is beyond what numbers can hold.",
    )
    assert result.status == "inconclusive"


def test_each_class_of_several_is_judged_against_the_rest(fairness):
    names = np.repeat(["x", "y"], [300, 300])
    label = np.tile(["p", "q", "r"], 200)
    prediction = np.where((names == "y") & (label == "q"), "p", label)
    limits = {PARITY: 0.2, "min_accuracy_score_ratio": 0.8}
    found = fairness(
        {"g": names}, label, prediction, ["g"], limits, task=MULTICLASS, classes=("p", "q", "r"), positive_class=None
    )
    statuses = [(check.name, check.scope.get("class"), check.status, check.observed) for check in found.verdict.checks]
    assert statuses == [
        ("accuracy_score_ratio", None, Status.FAIL, pytest.approx(2 / 3)),
        ("demographic_parity_difference", "p", Status.FAIL, pytest.approx(1 / 3)),
        ("demographic_parity_difference", "q", Status.FAIL, pytest.approx(1 / 3)),
        ("demographic_parity_difference", "r", Status.PASS, 0),
    ]
    assert "the selection rate of class q runs from 0 (g y) to 0.333 (g x)" in found.verdict.checks[2].message
    assert "g, class r" in found.report


def test_a_group_too_small_is_named_once_for_all_classes(fairness):
    names = np.repeat(["x", "y", "z"], [300, 300, 9])
    label = np.tile(["p", "q", "r"], 203)
    found = fairness(
        {"g": names}, label, label, ["g"], {PARITY: 0.2}, task=MULTICLASS, classes=("p", "q", "r"), positive_class=None
    )
    (small,) = of(found.verdict, "group_size")
    assert small.message == "The group g z has 9 rows, fewer than 20: its selection rate cannot be judged."


def test_when_groups_are_alike_a_limit_is_seldom_broken_by_its_whole_interval(fairness):
    """The type I error: the truth keeps the limit at its very edge, and the whole interval lies beyond it."""
    beyond = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        names = np.repeat(["a", "b", "c"], [200, 300, 500])
        label, prediction = random.integers(0, 2, 1000), (random.random(1000) < 0.3).astype(int)
        (check,) = fairness({"g": names}, label, prediction, ["g"], {PARITY: 0}, seed=seed).verdict.checks
        beyond += check.interval[0] > 0
    assert beyond <= 9


def test_a_planted_disparity_is_found(fairness):
    found = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        names = np.repeat(["a", "b", "c"], [300, 300, 500])
        shares = np.repeat([0.5, 0.3, 0.45], [300, 300, 500])
        prediction = (random.random(1100) < shares).astype(int)
        (check,) = fairness({"g": names}, prediction, prediction, ["g"], {PARITY: 0.05}).verdict.checks
        found += check.status is Status.FAIL and check.interval[0] > 0.05
    assert found >= 25


def test_the_report_has_the_trade_off_of_a_model_with_scores(fairness):
    random = np.random.default_rng(0)
    names, label = np.repeat(["a", "b"], [400, 300]), random.integers(0, 2, 700)
    score = (0.4 + 0.2 * label + 0.1 * (names == "b") + random.normal(0, 0.1, 700)).clip(0, 1)
    prediction = (score >= 0.5).astype(int)
    found = fairness({"g": names}, label, prediction, ["g"], {PARITY: 0.5}, score=score)
    assert "Balanced accuracy against disparity between the groups of g" in found.report
    assert "Now, at 0.5" in found.report
    assert "Trade-off" not in fairness({"g": names}, label, prediction, ["g"], {PARITY: 0.5}).report
