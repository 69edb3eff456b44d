"""Four ways to be misled, from the training of a model to the verdicts of the gates on it.

A champion and a challenger that are swapped, labels that are inverted, a target that leaks into a column, and a group
that a text with missing values gives away.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from kfp import dsl
from sklearn.ensemble import HistGradientBoostingClassifier

from kfp_hallmark.components.evaluation.evaluate_model.evaluate import evaluate
from kfp_hallmark.components.evaluation.explain_model.explain import explain
from kfp_hallmark.components.evaluation.explanation_gate.explanation import judge_explanation
from kfp_hallmark.components.evaluation.fairness_gate.fairness import judge_fairness
from kfp_hallmark.components.evaluation.performance_gate.performance import judge_performance
from kfp_hallmark.components.evaluation.robustness_gate.robustness import judge_robustness
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.verdict import Status, Verdict
from kfp_hallmark.tracking import client

ENVIRONMENT = "ml"

PERFORMANCE = {
    "model": None, "serving_limits": {}, "model_name": None, "champion_metric": None,
    "champion_question": "non_inferiority", "max_champion_loss": 0.02, "power": None, "slices": [],
    "max_slice_loss": 0.05, "bootstrap_samples": 400, "confidence": 0.95, "seed": 0, "tracking_uri": None,
}  # fmt: skip
FAIRNESS = {
    "min_group_size": 30, "intersection": False, "bootstrap_samples": 400, "confidence": 0.95, "seed": 0,
    "model_name": None, "max_champion_losses": {}, "tracking_uri": None,
}  # fmt: skip
EXPLANATION = {
    "forbidden_features": [], "min_proxy_strength": 0.25, "model_name": None, "confidence": 0.95, "seed": 0,
    "tracking_uri": None,
}  # fmt: skip
ROBUSTNESS = {
    "metric": None, "strengths": None, "categorical_features": [], "changeable_features": None,
    "min_prediction_change": None, "max_rows": 2000, "max_searched_rows": 100, "bootstrap_samples": 400,
    "confidence": 0.95, "seed": 0, "training": None, "retrained_models": None,
    "retrainings": 10,
}  # fmt: skip


def people(seed, rows=2000):
    """Skill and office decide; the office, a text that half of one group leaves out, tells the group."""
    random = np.random.default_rng(seed)
    group, skill = random.integers(0, 2, rows), random.normal(size=rows)
    office = np.where(group == 1, random.choice(["K7", "M2"], rows), random.choice(["Q1", "Z9"], rows)).astype(object)
    office[(group == 1) & (random.random(rows) < 0.5)] = None
    hired = skill + 1.5 * group + random.normal(0, 0.5, rows) > 0.75
    return pd.DataFrame(
        {
            "skill": skill,
            "office": office,
            "noise": random.normal(size=rows),
            "group": np.where(group, "a", "b"),
            "bought": np.where(hired, "yes", "no"),
        }
    )


@pytest.fixture
def judged(tmp_path, model_folder):
    """Train on some columns of a frame; give functions that let each gate judge the model on another frame."""

    def train(frame, columns):
        place = tmp_path / f"model{len(list(tmp_path.glob('model*')))}"
        written, _ = model_folder(frame[[*columns, "bought"]], HistGradientBoostingClassifier(max_iter=40))
        folder = written.rename(place)
        model = dsl.Model(uri=str(folder))

        def data_of(tested):
            tested.to_parquet(tmp_path / "tested.parquet", index=False)
            return dsl.Dataset(uri=str(tmp_path / "tested.parquet"))

        def out(name, kind=dsl.Artifact):
            return kind(uri=str(tmp_path / name))

        def predicted(data):
            predictions = out("predictions.parquet", dsl.Dataset)
            evaluate(
                model, data, predictions, out("m", dsl.Metrics), out("c", dsl.ClassificationMetrics),
                out("e.html", dsl.HTML), "bought", [], 200, 0.95, 0, {}, None, 0,
            )  # fmt: skip
            return predictions

        def verdict():
            found = Verdict.read(tmp_path / "verdict.json")
            return SimpleNamespace(status=found.status, checks=found.checks)

        def performance(tested, limits, **settings):
            data = data_of(tested)
            judge_performance(
                predicted(data), data, out("verdict.json"), out("r.html", dsl.HTML), limits, **(PERFORMANCE | settings)
            )
            return verdict()

        def fairness(tested, features, limits):
            data = data_of(tested)
            judge_fairness(
                predicted(data), data, out("verdict.json"), out("r.html", dsl.HTML), features, limits, **FAIRNESS
            )
            return verdict()

        def explanation(tested, limits, **settings):
            data, importances = data_of(tested), out("importances.json")
            explain(model, data, importances, out("m", dsl.Metrics), out("e.html", dsl.HTML), "bought", 1000, 0, 0)
            judge_explanation(
                importances, data, out("verdict.json"), out("r.html", dsl.HTML), limits, **(EXPLANATION | settings)
            )
            return verdict()

        def robustness(tested, limits):
            judge_robustness(
                model, data_of(tested), out("verdict.json"), out("r.html", dsl.HTML), "bought", limits, **ROBUSTNESS
            )
            return verdict()

        return SimpleNamespace(
            folder=folder, performance=performance, fairness=fairness, explanation=explanation, robustness=robustness
        )

    return train


@pytest.fixture
def crown(tmp_path):
    """Register a model as the champion of a name; give what a gate is told of it."""

    def register(name, folder):
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        store = client(uri)
        store.create_registered_model(name)
        tags = {"hallmark.digest": artifact_digest(folder)}
        version = store.create_model_version(name, source=str(folder), tags=tags)
        store.set_registered_model_alias(name, "champion", version.version)
        return {"model_name": name, "tracking_uri": uri}

    return register


def named(found, name):
    return next(check for check in found.checks if check.name == name)


def test_a_swapped_champion_and_challenger_have_opposite_verdicts(judged, crown):
    good, poor = (judged(people(1), columns) for columns in (["skill", "office"], ["skill", "noise"]))
    limits, tested = {"min_roc_auc": 0.6}, people(2)
    found = poor.performance(tested, limits, slices=["group"], **crown("good", good.folder))
    assert (found.status, named(found, "roc_auc").status) == (Status.FAIL, Status.PASS)
    assert named(found, "champion").interval[1] < -0.02
    turned = good.performance(tested, limits, slices=["group"], **crown("poor", poor.folder))
    assert turned.status is Status.PASS
    assert named(turned, "champion").observed == pytest.approx(-named(found, "champion").observed)


@pytest.mark.parametrize("where", ["training", "test"])
def test_an_inverted_label_fails_whether_it_was_trained_on_or_tested_with(judged, crown, where):
    inverted = people(1 if where == "training" else 2)
    inverted["bought"] = inverted["bought"].map({"yes": "no", "no": "yes"})
    frames = {"training": people(1), "test": people(2)} | {where: inverted}
    model = judged(frames["training"], ["skill", "office"])
    found = model.performance(frames["test"], {"min_roc_auc": 0.5, "min_matthews_corrcoef": 0.0})
    assert [check.status for check in found.checks] == [Status.FAIL, Status.FAIL]
    assert found.checks[0].interval[1] < 0.5


def leaked(frame):
    """A column that is filled in after the decision, and only where the answer was yes."""
    return frame.assign(contract=np.where(frame["bought"] == "yes", "signed", None))


def test_a_leaked_target_is_caught_by_what_the_model_rests_on_and_by_what_is_missing_when_it_is_asked(judged, crown):
    honest = judged(people(1), ["skill", "office"])
    model = judged(leaked(people(1)), ["skill", "office", "contract"])
    tested = leaked(people(2))
    assert model.performance(tested, {"min_roc_auc": 0.99}).status is Status.PASS

    found = model.explanation(tested, {"max_single_feature_share": 0.8})
    assert (found.status, found.checks[0].scope) == (Status.FAIL, {"feature": "contract"})
    assert found.checks[0].message.endswith("or leaks the target.")
    assert honest.explanation(tested, {"max_single_feature_share": 0.8}).status is Status.PASS

    found = model.robustness(tested, {"max_missing_drop": 0.15})
    assert {check.scope["feature"] for check in found.checks if check.status is Status.FAIL} >= {"contract"}

    asked = tested.assign(contract=pd.Series([None] * len(tested), dtype=object))
    champion = crown("honest", honest.folder)
    assert named(model.performance(asked, {"min_roc_auc": 0.5}, **champion), "champion").status is Status.FAIL


def test_a_group_that_a_text_with_missing_values_gives_away_is_caught(judged):
    model, tested = judged(people(1), ["skill", "office"]), people(2)
    found = model.fairness(tested, ["group"], {"max_demographic_parity_difference": 0.1})
    assert found.status is Status.FAIL

    found = model.fairness(tested, ["office"], {"max_demographic_parity_difference": 0.1})
    assert found.status is Status.FAIL

    found = model.explanation(tested, {"max_proxy_share": 0.1}, forbidden_features=["group"])
    assert named(found, "proxy_share").status is Status.FAIL
    assert "rests on 'office', by which 'group' can be told" in named(found, "proxy_share").message

    blind = judged(people(1), ["skill", "noise"])
    assert blind.fairness(tested, ["group"], {"max_demographic_parity_difference": 0.1}).status is Status.PASS
    assert blind.explanation(tested, {"max_proxy_share": 0.1}, forbidden_features=["group"]).status is Status.PASS
