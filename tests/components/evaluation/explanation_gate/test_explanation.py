import re

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError
from kfp_hallmark.tracking import client

FORBIDDEN = {"max_forbidden_share": 0.1}
PROXY = {"max_proxy_share": 0.1}
SINGLE = {"max_single_feature_share": 0.6}
CHAMPION = {"max_champion_distance": 0.2}


class Broken:
    """A model that fails when it is asked."""

    def predict_proba(self, frame):
        raise RuntimeError(f"cannot use {frame.iloc[0, 0]}")


def spread(weights, rows=1000, seed=0):
    """Return SHAP values of rows, features with such scales."""
    return np.random.default_rng(seed).normal(size=(rows, len(weights))) * weights


@pytest.fixture
def rows():
    random = np.random.default_rng(1)
    sex = random.integers(0, 2, 1000)
    title = np.where(sex == 1, "Ms", "Mr")
    return pd.DataFrame(
        {"age": random.normal(size=1000), "title": title, "town": random.integers(0, 9, 1000), "sex": sex}
    )


def test_both_sides_of_the_limit_on_forbidden_features(judge, stated, rows):
    given = stated(rows, spread([3, 1, 2, 1]))

    def result(limit):
        return judge(*given, {"max_forbidden_share": limit}, forbidden_features=["sex"])

    low, high = result(0.5).checks["forbidden_share", None].interval
    assert 0.12 < low < 1 / 7 < high < 0.17
    assert result(high + 1e-9).status == "pass"
    assert result(high - 1e-9).status == result(low).status == "inconclusive"
    failed = result(low - 1e-9)
    assert failed.status == "fail"
    assert "of the weight rests on &#x27;sex&#x27;; the whole interval is above the limit" in failed.report


def test_forbidden_features_weigh_together_and_one_that_is_not_taken_weighs_nothing(judge, stated, rows):
    path, data = stated(rows, spread([3, 1, 2]))
    none = judge(path, data, {"max_forbidden_share": 0}, forbidden_features=["sex"])
    assert (none.status, none.checks["forbidden_share", None].observed) == ("pass", 0)
    assert "The model takes no forbidden feature." in none.report
    both = judge(path, data, FORBIDDEN, forbidden_features=["title", "town", "sex"])
    assert both.checks["forbidden_share", None].observed == pytest.approx(0.5, abs=0.02)
    twice = judge(path, data, FORBIDDEN, forbidden_features=["title", "town", "title"])
    assert twice.checks["forbidden_share", None] == both.checks["forbidden_share", None]


def test_a_forbidden_feature_without_weight_keeps_a_limit_of_0(judge, stated, rows):
    given = stated(rows, spread([3, 1, 2, 0]))
    assert judge(*given, {"max_forbidden_share": 0}, forbidden_features=["sex"]).status == "pass"


def test_a_planted_proxy_is_caught(judge, stated, rows):
    given = stated(rows, spread([3, 1, 2]))
    result = judge(*given, PROXY, forbidden_features=["sex"])
    check = result.checks["proxy_share", "sex"]
    assert (result.status, check.status) == ("fail", "fail")
    assert check.observed == pytest.approx(1 / 6, abs=0.01)
    assert "rests on &#x27;title&#x27;, by which &#x27;sex&#x27; can be told" in result.report
    assert judge(*given, {"max_proxy_share": 0.3}, forbidden_features=["sex"]).status == "pass"


def test_a_proxy_without_weight_is_allowed(judge, stated, rows):
    given = stated(rows, spread([3, 0, 2]))
    assert judge(*given, {"max_proxy_share": 0}, forbidden_features=["sex"]).status == "pass"


def test_the_threshold_says_what_a_proxy_is(judge, stated, rows):
    random = np.random.default_rng(2)
    rows["title"] = np.where(random.random(1000) < 0.2, random.choice(["Mr", "Ms"], 1000), rows["title"])
    given = stated(rows, spread([3, 1, 2]))
    found = {
        threshold: judge(*given, PROXY, forbidden_features=["sex"], min_proxy_strength=threshold).status
        for threshold in (0.3, 0.64, 0.95)
    }
    assert found == {0.3: "fail", 0.64: "inconclusive", 0.95: "pass"}


def test_what_may_be_a_proxy_is_inconclusive_and_named(judge, stated, rows):
    small = rows[:150]
    given = stated(small, spread([3, 1, 2], 150))
    random = np.random.default_rng(3)
    small = small.assign(title=np.where(random.random(150) < 0.45, "Mr", small["title"]))
    result = judge(*stated(small, spread([3, 1, 2], 150)), PROXY, forbidden_features=["sex"])
    check = result.checks["proxy_share", "sex"]
    assert check.status == "inconclusive"
    assert "too few rows to tell whether 'title' is a proxy" in check.message
    assert given


def test_each_forbidden_feature_has_its_proxies(judge, stated, rows):
    rows["wage"] = rows["age"] * 2 + np.random.default_rng(4).normal(0, 0.3, 1000)
    given = stated(rows[["wage", "title", "town", "age", "sex"]], spread([3, 1, 2]))
    result = judge(*given, PROXY, forbidden_features=["sex", "age"])
    assert result.checks["proxy_share", "sex"].observed == pytest.approx(1 / 6, abs=0.02)
    assert result.checks["proxy_share", "age"].observed == pytest.approx(1 / 2, abs=0.02)


def test_too_few_rows_are_inconclusive(judge, stated, rows):
    result = judge(*stated(rows, spread([3, 1, 2, 1], 90)), FORBIDDEN | SINGLE, forbidden_features=["sex"])
    assert {check.status for check in result.verdict.checks} == {"inconclusive"}
    assert "90 explained rows are too few to tell more: it takes 100." in result.report
    assert judge(*stated(rows, spread([3, 1, 2, 1], 100)), SINGLE).status == "pass"
    few = judge(*stated(rows[:50], spread([3, 1, 2], 50)), PROXY, forbidden_features=["sex"])
    assert "The rows are too few" in few.checks["proxy_share", "sex"].message


def test_shares_of_nothing_are_inconclusive(judge, stated, rows):
    """A model whose predictions nothing moves in these rows may rest on anything in others."""
    limits = {"max_forbidden_share": 0, "max_proxy_share": 0, "max_single_feature_share": 1}
    result = judge(*stated(rows, spread([0, 0, 0, 0])), limits, forbidden_features=["sex"])
    assert {(check.status, check.observed) for check in result.verdict.checks} == {("inconclusive", None)}
    assert "Nothing moves the predictions of 1,000 explained rows, so no feature has a share." in result.report
    assert judge(*stated(rows, spread([0, 0, 0])), FORBIDDEN, forbidden_features=["sex"]).status == "pass"


def test_the_limits_are_seldom_broken_by_chance(judge, stated, rows):
    """The true shares are the limits: of 60 runs at most 6 of each check fail, and 6 pass, but once in 1,000."""
    failed, passed = [0, 0], [0, 0]
    for seed in range(60):
        given = stated(rows, spread([3, 1, 2, 1], 300, seed))
        limits = {"max_forbidden_share": 1 / 7, "max_single_feature_share": 3 / 7}
        for place, check in enumerate(judge(*given, limits, forbidden_features=["sex"]).verdict.checks):
            failed[place] += check.status == "fail"
            passed[place] += check.status == "pass"
    assert max(*failed, *passed) <= 6


def test_a_leaked_target_is_caught(judge, explained, customers):
    leaked = customers.assign(settled=np.where(customers["bought"] == "yes", "paid", None))
    made = explained(pd.concat([leaked] * 3), HistGradientBoostingClassifier(max_iter=30))
    result = judge(made.path, made.data, SINGLE, made.metadata)
    assert result.status == "fail"
    check = result.checks["single_feature_share", "settled"]
    assert check.observed > 0.9
    assert check.message.endswith("See whether it is known when the model is asked, or leaks the target.")
    honest = explained(customers, HistGradientBoostingClassifier(max_iter=30))
    assert judge(honest.path, honest.data, {"max_single_feature_share": 0.8}, honest.metadata).status == "pass"


@pytest.mark.parametrize(
    "estimator", [HistGradientBoostingClassifier(max_iter=30), RandomForestClassifier(30, max_depth=6, random_state=0)]
)
def test_a_group_coded_in_a_text_with_missing_values_is_caught(judge, explained, people, estimator):
    """The model takes no group, but an office that tells it, which half of one group leaves out."""
    made = explained(people, estimator, hidden=["group"])
    assert made.found.importances.keys() == {"skill", "office", "noise"}
    result = judge(made.path, made.data, FORBIDDEN | PROXY, made.metadata, forbidden_features=["group"])
    assert result.checks["forbidden_share", None].status == "pass"
    check = result.checks["proxy_share", "group"]
    assert check.status == "fail"
    assert "rests on 'office', by which 'group' can be told" in check.message
    assert check.observed == pytest.approx(
        made.found.importances["office"] / sum(made.found.importances.values()), abs=1e-12
    )


def test_the_importances_are_those_of_the_dataset_and_unchanged(judge, stated, rows, tmp_path):
    path, data = stated(rows, spread([3, 1, 2]))
    digest = artifact_digest(path)
    assert judge(path, data, SINGLE, {"digest": digest}).status == "pass"
    with pytest.raises(IntegrityError, match="The importances must have the digest sha256:0"):
        judge(path, data, SINGLE, {"digest": "sha256:" + "0" * 64})
    other = tmp_path / "other.parquet"
    rows.assign(label=0).to_parquet(other)
    with pytest.raises(IntegrityError, match="must be of the dataset given; they are of sha256:"):
        judge(path, other, SINGLE)
    with pytest.raises(MissingInputError):
        judge(tmp_path / "none.json", data, SINGLE)


@pytest.mark.parametrize(
    ("limits", "settings", "message"),
    [
        ({}, {}, "limits must hold at least one limit; got none."),
        ({"max_forbiden_share": 0.1}, {}, "limits must hold known limits; got 'max_forbiden_share'."),
        ({"max_single_feature_share": 1.1}, {}, "must be a number from 0 to 1; got 1.1."),
        ({"max_single_feature_share": True}, {}, "must be a number from 0 to 1; got True."),
        (FORBIDDEN, {}, "max_forbidden_share must be given together with forbidden_features; got none."),
        (PROXY, {}, "max_proxy_share must be given together with forbidden_features; got none."),
        (CHAMPION, {}, "max_champion_distance must be given together with model_name; got no model_name."),
        (
            FORBIDDEN,
            {"forbidden_features": ["sexes"]},
            "forbidden_features must be a column of the dataset; got 'sexes'.",
        ),
        (FORBIDDEN, {"forbidden_features": ["label"]}, "forbidden_features must not name the target; got 'label'."),
        (SINGLE, {"min_proxy_strength": 0}, "min_proxy_strength must be above 0 and at most 1; got 0."),
        (SINGLE, {"min_proxy_strength": 1.5}, "min_proxy_strength must be above 0 and at most 1; got 1.5."),
        (SINGLE, {"confidence": 1.0}, "confidence must be between 0 and 1; got 1.0."),
    ],
)
def test_settings_that_cannot_be_used(judge, stated, rows, tmp_path, limits, settings, message):
    given = stated(rows, spread([3, 1, 2]))
    with pytest.raises(InputError, match=re.escape(message)):
        judge(*given, limits, **settings)
    assert not (tmp_path / "out").exists()


def test_what_has_no_limit_is_not_measured(judge, stated, rows):
    given = stated(rows, spread([3, 1, 2]))
    result = judge(*given, SINGLE, forbidden_features=["sex"], model_name="nobody")
    assert [name for name, _ in result.checks] == ["single_feature_share"]


def test_the_verdict_is_bound_and_holds_the_settings(judge, stated, rows):
    path, data = stated(rows, spread([3, 1, 2]))
    verdict = judge(path, data, FORBIDDEN, forbidden_features=["sex"], min_proxy_strength=0.5).verdict
    assert verdict.gate == "explanation_gate"
    assert verdict.subjects == {"model": "sha256:" + "1" * 64, "dataset": artifact_digest(data)}
    assert verdict.parameters["limits"] == FORBIDDEN
    assert verdict.parameters["min_proxy_strength"] == 0.5


def test_the_report_of_many_features_tells_the_first(judge, stated):
    random = np.random.default_rng(6)
    sex = random.integers(0, 2, 400)
    frame = pd.DataFrame({f"<f{place}>": random.normal(size=400) for place in range(300)} | {"sex": sex})
    result = judge(*stated(frame, spread(1 / (1 + np.arange(300)), 400)), FORBIDDEN | PROXY, forbidden_features=["sex"])
    assert "280 features that weigh less are not shown." in result.report
    assert "<f0>" not in result.report
    assert "&lt;f0&gt;" in result.report
    assert len(result.report) < 60_000


@pytest.fixture
def registry(tmp_path):
    """Register a model folder as champion of `buyers`; give the registry's address."""

    def register(model, digest=None):
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        store = client(uri)
        store.create_registered_model("buyers")
        tags = {"hallmark.digest": digest or artifact_digest(model)}
        version = store.create_model_version("buyers", source=str(model), tags=tags)
        store.set_registered_model_alias("buyers", "champion", version.version)
        return {"model_name": "buyers", "tracking_uri": uri}

    return register


def champion_check(result):
    return next(check for check in result.verdict.checks if check.name == "champion_distance")


def test_without_a_champion_it_passes_with_a_reason(judge, stated, rows, tmp_path):
    given = stated(rows, spread([3, 1, 2]))
    result = judge(*given, CHAMPION, model_name="buyers", tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert result.status == "pass"
    assert champion_check(result).message == "The model 'buyers' has no champion yet, so no comparison was made."


def test_the_champion_is_explained_on_the_same_rows(judge, explained, customers, registry):
    """The same rows and trees: the champion itself is told, and one trained alike is near."""
    many = pd.concat([customers] * 3)
    made = explained(many, HistGradientBoostingClassifier(max_iter=30))
    address = registry(made.model)
    itself = judge(made.path, made.data, CHAMPION, **address)
    assert (itself.status, champion_check(itself).observed) == ("pass", None)
    assert "is this very model" in itself.report

    alike = explained(many, HistGradientBoostingClassifier(max_iter=31))
    near = judge(alike.path, alike.data, CHAMPION, **address)
    assert near.status == "pass"
    assert 0 < champion_check(near).observed < 0.05
    assert champion_check(near).scope == {"model": "buyers", "version": "1"}
    assert "Spearman" in near.report

    other = explained(many, LogisticRegression(C=1e-4))
    far = judge(other.path, other.data, {"max_champion_distance": 0.02}, **address)
    check = champion_check(far)
    model, champion = ({name: np.mean(values) for name, values in each.found.parts.items()} for each in (other, made))
    expected = sum(abs(model[name] / sum(model.values()) - champion[name] / sum(champion.values())) for name in model)
    assert check.status == "fail"
    assert check.observed == pytest.approx(expected / 2, abs=1e-9)
    assert check.samples == 1000


def test_a_champion_that_was_changed_fails_and_is_not_loaded(judge, explained, customers, registry):
    made = explained(customers, HistGradientBoostingClassifier(max_iter=5))
    address = registry(made.model, "sha256:" + "0" * 64)
    result = judge(made.path, made.data, CHAMPION, **address)
    assert result.status == "fail"
    assert "is not what was registered" in champion_check(result).message


def test_a_champion_that_says_something_else_is_inconclusive(judge, explained, customers, registry):
    renamed = customers.assign(bought=customers["bought"].map({"yes": "ja", "no": "nein"}))
    address = registry(explained(renamed, LogisticRegression()).model)
    made = explained(customers, LogisticRegression())
    result = judge(made.path, made.data, CHAMPION, **address)
    assert result.status == "inconclusive"
    assert "It must predict the same; explained is bought = nein, not bought = yes." in champion_check(result).message


def test_a_champion_that_rests_on_nothing_is_inconclusive(judge, explained, customers, registry):
    address = registry(explained(customers, HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=500)).model)
    made = explained(customers, LogisticRegression())
    result = judge(made.path, made.data, CHAMPION, **address)
    assert result.status == "inconclusive"
    assert "nothing moves its predictions of these rows." in champion_check(result).message


def test_a_champion_that_cannot_be_explained_is_inconclusive(judge, explained, customers, registry, tmp_path):
    champion = explained(customers, LogisticRegression()).model
    (champion / "model.pkl").write_bytes(cloudpickle.dumps(Broken()))
    address = registry(champion)
    made = explained(customers, LogisticRegression(C=2))
    result = judge(made.path, made.data, CHAMPION, **address)
    assert result.status == "inconclusive"
    assert "cannot be applied to these rows." in champion_check(result).message
