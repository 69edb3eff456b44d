from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import InputError
from kfp_hallmark.tracking import client

PARITY = "demographic_parity_difference"
RULES = {
    "alike": lambda frame: frame["skill"],
    "unlike": lambda frame: frame["skill"] + 1.5 * frame["old"],
}


@pytest.fixture(scope="module")
def people():
    random = np.random.default_rng(0)
    old = random.integers(0, 2, 3000)
    frame = pd.DataFrame({"skill": random.normal(0, 1, 3000), "old": old.astype(float)})
    label = (frame["skill"] + random.normal(0, 0.5, 3000) > 0).astype(int).to_numpy()
    return SimpleNamespace(frame=frame, label=label, group=np.where(old, "old", "young"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory, people):
    """Champions of the names `alike` and `unlike`, which treat two groups alike and unlike, in a local registry."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder}/mlflow.db"
    store, made = client(uri), {}
    for name, rule in RULES.items():
        estimator = LogisticRegression().fit(people.frame, (rule(people.frame) > 0).astype(int))
        mlflow.sklearn.save_model(
            estimator,
            folder / name,
            signature=infer_signature(people.frame, estimator.predict_proba(people.frame)),
            pyfunc_predict_fn="predict_proba",
            serialization_format="pickle",
            pip_requirements=["scikit-learn"],
            metadata={
                "hallmark": {
                    "task": "binary",
                    "target": "hired",
                    "classes": [0, 1],
                    "positive_class": 1,
                    "threshold": 0.5,
                }
            },
        )
        store.create_registered_model(name)
        digest = artifact_digest(folder / name)
        version = store.create_model_version(name, source=str(folder / name), tags={"hallmark.digest": digest})
        store.set_registered_model_alias(name, "champion", version.version)
        made[name] = estimator.predict(people.frame)
    return SimpleNamespace(uri=uri, **made)


@pytest.fixture
def against(fairness, people, registry):
    """Judge the predictions of one model against the champion of a name."""

    def run(prediction, model_name, losses, limits=None):
        columns = {"g": people.group, **{name: people.frame[name].to_numpy() for name in people.frame}}
        return fairness(
            columns,
            people.label,
            prediction,
            ["g"],
            limits or {f"max_{PARITY}": 1},
            model_name=model_name,
            max_champion_losses=losses,
            tracking_uri=registry.uri,
        )

    return run


def of_champion(found):
    return [check for check in found.verdict.checks if check.name == "champion"]


def parity(prediction, people):
    return abs(prediction[people.group == "old"].mean() - prediction[people.group == "young"].mean())


def test_a_disparity_that_has_grown_fails(against, registry, people):
    found = against(registry.unlike, "alike", {PARITY: 0.05})
    (check,) = of_champion(found)
    assert (found.status, check.status, check.maximum) == ("fail", Status.FAIL, 0.05)
    assert check.observed == pytest.approx(parity(registry.unlike, people) - parity(registry.alike, people))
    assert check.interval[0] > 0.05
    assert check.scope == {"feature": "g", "measure": PARITY, "model": "alike", "version": "1"}
    assert check.message.startswith("Demographic parity difference has grown more than allowed: it is 0.")
    assert "Against the champion a limit is broken." in found.report


def test_swapped_models_pass(against, registry):
    found = against(registry.alike, "unlike", {PARITY: 0.05})
    (check,) = of_champion(found)
    assert (found.status, check.status) == ("pass", Status.PASS)
    assert check.observed < -0.2


def test_a_disparity_that_may_have_grown_is_inconclusive(against, registry, people):
    prediction = registry.alike.copy()
    changed = np.random.default_rng(0).choice(np.flatnonzero(people.group == "old"), 400, replace=False)
    prediction[changed] = 1 - prediction[changed]
    (check,) = of_champion(against(prediction, "alike", {PARITY: 0}))
    assert check.status is Status.INCONCLUSIVE
    assert check.interval[0] < 0 < check.interval[1]


def test_both_rates_of_equalized_odds_are_compared(against, registry):
    (check,) = of_champion(against(registry.unlike, "alike", {"equalized_odds_difference": 0.05}))
    assert check.status is Status.FAIL
    assert check.samples == 3000


RATIO = "demographic_parity_ratio"


def parity_ratio(prediction, people):
    rates = [prediction[people.group == name].mean() for name in ("old", "young")]
    return min(rates) / max(rates)


def test_a_ratio_that_has_fallen_fails(against, registry, people):
    found = against(registry.unlike, "alike", {RATIO: 0.1})
    (check,) = of_champion(found)
    assert (found.status, check.status, check.maximum) == ("fail", Status.FAIL, 0.1)
    assert check.observed == pytest.approx(parity_ratio(registry.alike, people) - parity_ratio(registry.unlike, people))
    assert check.scope == {"feature": "g", "measure": RATIO, "model": "alike", "version": "1"}
    assert check.message.startswith("Demographic parity ratio has fallen more than allowed: it is 0.")
    assert "(fall 0." in check.message
    assert "Against the champion a limit is broken." in found.report
    assert "demographic parity ratio" in found.report


def test_a_ratio_is_held_to_the_ends_of_its_interval(against, registry):
    """The limit at the upper end of the interval passes, just below it and at the lower end it cannot be told."""
    (check,) = of_champion(against(registry.unlike, "alike", {RATIO: 0.3}))
    low, high = check.interval
    assert 0.1 < low < check.observed < high
    for limit, status in (
        (high, Status.PASS),
        (np.nextafter(high, 0), Status.INCONCLUSIVE),
        (low, Status.INCONCLUSIVE),
        (np.nextafter(low, 0), Status.FAIL),
    ):
        (check,) = of_champion(against(registry.unlike, "alike", {RATIO: float(limit)}))
        assert (check.status, check.interval) == (status, (low, high))


def test_a_ratio_that_has_risen_passes(against, registry):
    (check,) = of_champion(against(registry.alike, "unlike", {RATIO: 0}))
    assert check.status is Status.PASS
    assert check.observed < -0.2
    assert check.message.startswith("Demographic parity ratio has not fallen more than allowed: it is 0.")


def test_ratios_and_differences_are_compared_in_the_order_of_the_registry(against, registry):
    checks = of_champion(against(registry.alike, "alike", {"equalized_odds_ratio": 0.5, RATIO: 0.5, PARITY: 0.2}))
    assert [check.scope["measure"] for check in checks] == [PARITY, RATIO, "equalized_odds_ratio"]
    assert [check.observed for check in checks] == [0, 0, 0]


def test_a_ratio_of_rates_that_are_all_0_is_inconclusive(against, registry, people):
    (check,) = of_champion(against(np.zeros(len(people.label), int), "alike", {RATIO: 0.5}))
    assert (check.status, check.observed) == (Status.INCONCLUSIVE, None)
    assert check.message == "A rate is 0 in all groups of g, so there is no ratio to compare with the champion."


def test_without_a_disparity_to_compare_the_champion_is_not_asked(against, registry):
    assert of_champion(against(registry.alike, "alike", {})) == []


def test_without_a_champion_the_gate_passes_and_says_so(against, registry):
    (check,) = of_champion(against(registry.alike, "nobody", {PARITY: 0.05}))
    assert (check.status, check.scope) == (Status.PASS, {"model": "nobody"})
    assert "has no champion yet" in check.message


@pytest.mark.parametrize(
    ("name", "losses", "message"),
    [
        (None, {PARITY: 0.1}, "max_champion_losses must be given together with model_name; got no model_name."),
        ("alike", {PARITY: -0.1}, f"The loss of '{PARITY}' must be a finite number, at least 0; got -0.1."),
        ("alike", {PARITY: True}, f"The loss of '{PARITY}' must be a finite number, at least 0; got True."),
        (
            "alike",
            {"accuracy_score_group_min": 0.1},
            "max_champion_losses must hold differences or ratios; got 'accuracy_score_group_min'.",
        ),
        (
            "alike",
            {"mean_prediction_difference": 0.1},
            "limits must hold limits of a binary task; got 'max_mean_prediction_difference'.",
        ),
    ],
)
def test_terms_that_cannot_be_used_are_refused(against, registry, name, losses, message):
    with pytest.raises(InputError) as caught:
        against(registry.alike, name, losses)
    assert caught.value.message == message
