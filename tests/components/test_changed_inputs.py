"""Files that were changed after the step that wrote them are refused by every step that reads them."""

import pyarrow
import pytest
from kfp import dsl

from kfp_hallmark.components.data.split_dataset.split import split
from kfp_hallmark.components.evaluation.evaluate_model.evaluate import evaluate
from kfp_hallmark.components.evaluation.explain_model.explain import explain
from kfp_hallmark.components.evaluation.fairness_gate.fairness import judge_fairness
from kfp_hallmark.components.evaluation.performance_gate.performance import judge_performance
from kfp_hallmark.components.training.train_model.train import train
from kfp_hallmark.contracts.dataset import write_table
from kfp_hallmark.errors import IntegrityError

ENVIRONMENT = "ml"


@pytest.fixture
def changed(tmp_path):
    """A dataset whose file was written anew, with its metadata as before."""
    path = tmp_path / "data.parquet"
    digest = write_table(path, pyarrow.table({"a": [1, 2], "label": [0, 1]}), {})
    write_table(path, pyarrow.table({"a": [1, 2], "label": [1, 1]}), {})
    return dsl.Dataset(uri=str(path), metadata={"digest": digest})


@pytest.fixture
def output(tmp_path):
    return dsl.Artifact(uri=str(tmp_path / "out" / "file"))


STEPS = {
    "split": lambda given, output, model: split(given, output, output, "label"),
    "train": lambda given, output, model: train(
        given, output, output, "label", "sklearn.tree.DecisionTreeClassifier", {}, [], None, {}, {}, 0, "e", None
    ),
    "evaluate": lambda given, output, model: evaluate(
        model, given, output, output, output, output, "label", [], 1000, 0.95, 0, {}, None, 0
    ),
    "performance_gate": lambda given, output, model: judge_performance(
        given,
        given,
        output,
        output,
        {"min_accuracy": 0.1},
        None,
        {},
        None,
        "roc_auc",
        "non_inferiority",
        0.01,
        None,
        [],
        0.0,
        1000,
        0.95,
        0,
        None,
    ),
    "fairness_gate": lambda given, output, model: judge_fairness(
        given,
        given,
        output,
        output,
        ["a"],
        {"max_demographic_parity_difference": 1},
        1,
        True,
        1000,
        0.95,
        0,
        None,
        {},
        None,
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_changed_data_is_refused(changed, output, name, tmp_path):
    model = dsl.Model(uri=str(tmp_path / "model"))
    with pytest.raises(IntegrityError, match=r"must have the digest sha256:.*; got sha256:") as refused:
        STEPS[name](changed, output, model)
    assert "changed after the step that wrote" in refused.value.hint
    assert not (tmp_path / "out").exists()


def test_an_explanation_of_changed_data_is_refused(changed, output, tmp_path):
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.tree import DecisionTreeClassifier

    frame = pyarrow.table({"a": [1.0, 2.0]}).to_pandas()
    estimator = DecisionTreeClassifier().fit(frame, [0, 1])
    mlflow.sklearn.save_model(
        estimator, tmp_path / "model", signature=infer_signature(frame), serialization_format="pickle"
    )
    with pytest.raises(IntegrityError, match="The dataset must have the digest"):
        explain(dsl.Model(uri=str(tmp_path / "model")), changed, output, output, output, "label", 10, 1, 0)
    assert not (tmp_path / "out").exists()
