"""Whatever MLflow can load as a python_function is evaluated, judged and perturbed."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from kfp import dsl
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

from kfp_hallmark.components.evaluation.evaluate_model.evaluate import evaluate
from kfp_hallmark.components.evaluation.performance_gate.performance import judge_performance
from kfp_hallmark.components.evaluation.robustness_gate.robustness import judge_robustness
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.predictions import read_predictions, write_predictions
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.errors import InputError
from kfp_hallmark.tracking import client

ENVIRONMENT = "ml"
NAMES = ["a", "b", "c"]


def chance(rows):
    return 1 / (1 + np.exp(-2 * np.asarray(rows, dtype=np.float32)[:, 0]))


class LikeTorch(mlflow.pyfunc.PythonModel):
    """As mlflow.pytorch: float32 of shape (rows, 1), in a data frame where a data frame came in."""

    def predict(self, context, model_input, params=None):
        made = chance(model_input).astype(np.float32)[:, None]
        return pd.DataFrame(made, index=model_input.index) if isinstance(model_input, pd.DataFrame) else made


class LikeTorchOfThree(mlflow.pyfunc.PythonModel):
    """A network's softmax of three classes, float32."""

    def predict(self, context, model_input, params=None):
        scores = np.exp(model_input.to_numpy(np.float32))
        return pd.DataFrame(scores / scores.sum(axis=1, keepdims=True), index=model_input.index)


class LikeTorchOfNumbers(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (3 * model_input[["a"]]).astype(np.float32)


class Listing(mlflow.pyfunc.PythonModel):
    def predict(self, model_input, params=None):
        return [float(value) for value in chance(model_input)]


class Serial(mlflow.pyfunc.PythonModel):
    """Classes, in a Series with an index of its own."""

    def predict(self, model_input, params=None):
        return pd.Series((chance(model_input) >= 0.5).astype(int), index=range(7, 7 + len(model_input)))


class Parametrised(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (chance(model_input) >= params["threshold"]).astype(int)


class Framed(mlflow.pyfunc.PythonModel):
    """A probability a class."""

    def predict(self, model_input, params=None):
        return pd.DataFrame({"no": 1 - chance(model_input), "yes": chance(model_input)})


class Breaking(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        raise ValueError(f"cannot use {model_input.iloc[0, 0]}")


class BreakingLikeTorch(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        raise RuntimeError(f"cannot use {model_input.iloc[0, 0]}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data of two classes, of three and of numbers, and a function that writes a model of theirs by its name."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    folder, random = tmp_path_factory.mktemp("any"), np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(400, 3)), columns=NAMES)
    noisy = frame + random.logistic(size=frame.shape) / 2
    labels = {
        "binary": (noisy["a"] > 0).astype(int),
        "multiclass": pd.Series(noisy.to_numpy().argmax(axis=1)),
        "regression": 3 * noisy["a"],
    }
    for task, label in labels.items():
        frame.assign(label=label).to_parquet(folder / f"{task}.parquet", index=False)

    def write(name):
        path = folder / name
        if not path.exists():
            MODELS[name](str(path), frame, labels[task_of(name)])
        return path

    return SimpleNamespace(write=write, data=lambda name: folder / f"{task_of(name)}.parquet", labels=labels)


def task_of(name):
    return {"network of three": "multiclass", "network of numbers": "regression"}.get(name, "binary")


def python(model, params=None, tensor=False):
    def write(path, frame, label):
        signature = infer_signature(frame, label.to_numpy())
        if tensor:
            spec = TensorSpec(np.dtype("float32"), (-1, 3))
            signature = ModelSignature(Schema([spec]), Schema([TensorSpec(np.dtype("float32"), (-1, 1))]))
        if params:
            signature = ModelSignature(signature.inputs, signature.outputs, ParamSchema([params]))
        mlflow.pyfunc.save_model(path, python_model=model, signature=signature, pip_requirements=[])

    return write


def fitted(library, make, **options):
    def write(path, frame, label):
        model = make().fit(frame, label)
        signature = infer_signature(frame, model.predict(frame))
        getattr(mlflow, library).save_model(model, path, signature=signature, pip_requirements=[], **options)

    return write


def forest():
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(5, max_depth=3, random_state=0)


def boosted():
    import xgboost

    return xgboost.XGBClassifier(n_estimators=5, n_jobs=1)


def light():
    import lightgbm

    return lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1)


MODELS = {
    "sklearn": fitted("sklearn", forest, serialization_format="cloudpickle", pyfunc_predict_fn="predict_proba"),
    "xgboost": fitted("xgboost", boosted),
    "lightgbm": fitted("lightgbm", light),
    "network": python(LikeTorch()),
    "network of a tensor": python(LikeTorch(), tensor=True),
    "network of three": python(LikeTorchOfThree()),
    "network of numbers": python(LikeTorchOfNumbers()),
    "list": python(Listing()),
    "series": python(Serial()),
    "params": python(Parametrised(), ParamSpec("threshold", "double", 0.5)),
    "frame": python(Framed()),
    "breaking": python(Breaking()),
    "breaking like torch": python(BreakingLikeTorch()),
}
WORKING = [name for name in MODELS if not name.startswith("breaking")]
ACCURACY = {"multiclass": "min_accuracy", "binary": "min_accuracy", "regression": "min_d2_absolute_error_score"}


def evaluated(model, data, folder):
    predictions = dsl.Dataset(uri=str(folder / "predictions.parquet"))
    evaluate(
        dsl.Model(uri=str(model)),
        dsl.Dataset(uri=str(data)),
        predictions,
        dsl.Metrics(uri=str(folder / "metrics")),
        dsl.ClassificationMetrics(uri=str(folder / "classification")),
        dsl.HTML(uri=str(folder / "report.html")),
        "label", [], 200, 0.95, 0, {}, None, 0,
    )  # fmt: skip
    return predictions


def performed(predictions, data, folder, limits, **settings):
    model = settings.pop("model", None)
    usual = {
        "serving_limits": {}, "model_name": None, "champion_metric": None, "champion_question": "non_inferiority",
        "max_champion_loss": 0.05, "power": None, "slices": [], "max_slice_loss": 0.05, "bootstrap_samples": 200,
        "confidence": 0.95, "seed": 0, "tracking_uri": None,
    }  # fmt: skip
    judge_performance(
        predictions,
        dsl.Dataset(uri=str(data)),
        dsl.Artifact(uri=str(folder / "verdict.json")),
        dsl.HTML(uri=str(folder / "gate.html")),
        limits,
        model and dsl.Model(uri=str(model)),
        **(usual | settings),
    )
    return {check.name: check for check in Verdict.read(folder / "verdict.json").checks}


def perturbed(model, data, folder):
    judge_robustness(
        dsl.Model(uri=str(model)),
        dsl.Dataset(uri=str(data)),
        dsl.Artifact(uri=str(folder / "verdict.json")),
        dsl.HTML(uri=str(folder / "gate.html")),
        "label", {"max_noise_drop": 0.5, "max_flip_rate": 1.0, "max_evasion_rate": 1.0},
        None, None, [], None, None, 200, 50, 200, 0.95, 0, None, 10, None,
    )  # fmt: skip
    return Verdict.read(folder / "verdict.json").checks


@pytest.mark.parametrize("name", WORKING)
def test_any_model_is_evaluated_and_judged(made, tmp_path, name):
    model, data = made.write(name), made.data(name)
    predictions = evaluated(model, data, tmp_path)
    found = read_predictions(predictions.path, data)
    assert found.task == task_of(name)
    checks = performed(predictions, data, tmp_path, {ACCURACY[found.task]: 0.1})
    assert [check.status for check in checks.values()] == ["pass"]
    if found.score is not None:
        assert found.score.dtype.kind == "f"
        assert found.score.ndim == (2 if found.task == "multiclass" else 1)


@pytest.mark.parametrize("name", WORKING)
def test_any_model_is_perturbed(made, tmp_path, name):
    checks = perturbed(made.write(name), made.data(name), tmp_path)
    assert {check.name for check in checks} == {"noise_drop", "flip_rate", "evasion_rate"}
    assert all(check.observed is not None for check in checks)


@pytest.mark.parametrize("name", ["sklearn", "network", "network of three", "network of numbers", "series", "frame"])
def test_any_model_is_measured_as_it_is_served(made, tmp_path, name):
    model, data = made.write(name), made.data(name)
    limits = {"max_median_latency_ms": 1e6}
    checks = performed(
        evaluated(model, data, tmp_path), data, tmp_path, {ACCURACY[task_of(name)]: 0.5}, model=model,
        serving_limits=limits,
    )  # fmt: skip
    latency = checks["median_latency_ms"]
    assert (latency.status, latency.samples > 0) == ("pass", True)


def test_the_same_model_says_the_same_in_every_form(made, tmp_path):
    """Probabilities of float32, in a list, and a probability a class: one logistic function."""
    found = []
    for name in ("network", "network of a tensor", "list", "frame"):
        path = evaluated(made.write(name), made.data(name), tmp_path).path
        found.append(read_predictions(path).score)
    for each in found[1:]:
        np.testing.assert_allclose(each, found[0], atol=1e-7)


def test_any_model_can_be_the_champion(made, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = client(uri)
    for name in ("network", "xgboost", "breaking"):
        store.create_registered_model(name)
        folder = made.write(name)
        tags = {"hallmark.digest": artifact_digest(folder)}
        version = store.create_model_version(name, source=str(folder), tags=tags)
        store.set_registered_model_alias(name, "champion", version.version)
    data = made.data("list")
    predictions = evaluated(made.write("list"), data, tmp_path)

    def ask(name, metric):
        given = {"model_name": name, "champion_metric": metric, "tracking_uri": uri}
        return performed(predictions, data, tmp_path, {"min_accuracy": 0.5}, **given)["champion"]

    assert (ask("network", "roc_auc").status, ask("network", "roc_auc").observed) == ("pass", 0.0)
    assert ask("xgboost", "accuracy").observed is not None
    broken = ask("breaking", "accuracy")
    assert broken.status == "inconclusive"
    assert "cannot be applied to these rows. The model" in broken.message
    assert "with ValueError in predict (test_any_model.py, line" in broken.message


@pytest.mark.parametrize(("run", "step"), [(evaluated, "evaluate_model"), (perturbed, "robustness_gate")])
def test_a_model_that_fails_names_the_step_and_the_model_and_no_value(made, tmp_path, run, step):
    model, data = made.write("breaking"), made.data("breaking")
    with pytest.raises(InputError) as caught:
        run(model, data, tmp_path)
    assert str(caught.value).startswith(
        f"In {step}: The model {str(model)!r} must predict every row; it failed on rows"
    )
    assert "ValueError in predict" in str(caught.value)
    assert "cannot use" not in str(caught.value)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "error"), [("breaking", "ValueError"), ("breaking like torch", "RuntimeError")])
def test_a_model_that_fails_where_it_is_served_says_so(made, tmp_path, name, error):
    model, data = made.write(name), made.data("list")
    told = read_predictions(evaluated(made.write("list"), data, tmp_path).path)
    write_predictions(tmp_path / "other.parquet", replace(told, model=artifact_digest(model)))
    given = dsl.Dataset(uri=str(tmp_path / "other.parquet"))
    limits = {"max_median_latency_ms": 1e6}
    checks = performed(given, data, tmp_path, {"min_accuracy": 0.5}, model=model, serving_limits=limits)
    message = checks["median_latency_ms"].message
    assert checks["median_latency_ms"].status == "inconclusive"
    assert "for the model cannot be served: It refuses every row. Of the first: The model must be able to" in message
    assert f"{error} in predict (test_any_model.py, line" in message
    assert "cannot use" not in message
