import mlflow.pyfunc
import mlflow.sklearn
import numpy
import pandas
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.columns import Column
from kfp_hallmark.modeling.loading import LoadedModel, load_model
from kfp_hallmark.modeling.prediction import BATCH_ROWS, predict

ENVIRONMENT = "ml"
NUMBERS = numpy.arange(60)
BOUND = {"task": "binary", "classes": ["ja", "nein"], "positive_class": "nein"}


def answering(output, metadata=None):
    """Return a model that gives this output, whatever it is asked."""
    return LoadedModel("answering", f"sha256:{'0' * 64}", lambda frame: output, metadata=metadata or {})


@pytest.fixture
def data_of(tmp_path, write_data):
    """Return what writes a dataset of one feature with these labels."""
    return lambda label: write_data(tmp_path / "data.parquet", pandas.DataFrame({"x": numpy.zeros(len(label))}), label)


class Breaking(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        raise ValueError(f"cannot use {model_input.iloc[0, 0]}")


def test_probabilities_are_scored_for_the_positive_class(tmp_path, write_data, features, save):
    frame, label = features()
    text = numpy.where(label == 1, "yes", "no")
    meaning = {"task": "binary", "target": "label", "classes": ["no", "yes"], "positive_class": "no", "threshold": 0.3}
    model = load_model(save(tmp_path / "model", LogisticRegression(), frame, text, metadata=meaning))
    found = predict(model, write_data(tmp_path / "data.parquet", frame, text), "label")
    wanted = model.estimator.predict_proba(frame)[:, 0]
    assert found.score == pytest.approx(wanted)
    assert (found.prediction == numpy.where(wanted >= 0.3, "no", "yes")).all()
    assert (found.positive_label == (text == "no")).all()
    assert (found.task, found.positive_class, found.threshold) == ("binary", "no", 0.3)
    assert found.model == artifact_digest(tmp_path / "model")
    assert found.dataset == artifact_digest(tmp_path / "data.parquet")


def test_a_score_at_the_threshold_is_positive(tmp_path, write_data, features, save):
    frame, label = features()
    model = load_model(save(tmp_path / "model", LogisticRegression(), frame, label))
    score = predict(model, write_data(tmp_path / "data.parquet", frame, label), "label").score
    meaning = {"task": "binary", "classes": [0, 1], "positive_class": 1, "threshold": float(score[4])}
    bound = load_model(save(tmp_path / "bound", LogisticRegression(), frame, label, metadata=meaning))
    assert predict(bound, tmp_path / "data.parquet", "label").prediction[4] == 1


@pytest.mark.parametrize(
    ("estimator", "function", "classes", "task", "scored"),
    [
        (LogisticRegression(), "predict_proba", 2, "binary", True),
        (LogisticRegression(), "predict_proba", 3, "multiclass", True),
        (RidgeClassifier(), "predict", 2, "binary", False),
        (RidgeClassifier(), "predict", 3, "multiclass", False),
        (LinearRegression(), "predict", 0, "regression", False),
    ],
)
def test_the_meaning_of_an_output_is_inferred(
    tmp_path, estimator, function, classes, task, scored, write_data, features, save
):
    frame, label = features(classes=classes or 2)
    label = label if classes else frame["x 1"] * 2.5
    model = load_model(save(tmp_path / "model", estimator, frame, label, function))
    found = predict(model, write_data(tmp_path / "data.parquet", frame, label), "label")
    assert (found.task, found.score is not None) == (task, scored)
    assert found.prediction == pytest.approx(model.estimator.predict(frame))
    assert found.classes == tuple(range(classes))


@pytest.mark.parametrize(
    ("output", "label", "task"),
    [
        (numpy.where(NUMBERS < 9, 1.0, 0.0), NUMBERS % 2, "binary"),
        (NUMBERS % 2 == 0, NUMBERS % 2, "binary"),
        (["ja", "nein"] * 30, ["nein", "nein", "ja"] * 20, "binary"),
        (NUMBERS % 3, NUMBERS % 2, "multiclass"),
        (NUMBERS % 30, NUMBERS % 30, "multiclass"),
        (NUMBERS.astype(float) % 30, NUMBERS % 30, "regression"),
        (NUMBERS + 7, NUMBERS, "regression"),
        (NUMBERS * 0.5, NUMBERS * 0.25, "regression"),
        (numpy.where(NUMBERS < 1, 1.0, 0.25), NUMBERS % 2, "binary"),
    ],
)
def test_what_an_output_means_by_the_labels(output, label, task, data_of):
    found = predict(answering(numpy.array(output)), data_of(label), "label")
    assert found.task == task


@pytest.mark.parametrize(
    ("output", "label"),
    [
        (NUMBERS % 2, ["ja", "nein"] * 30),
        (NUMBERS % 2, 3 + NUMBERS % 2 * 4),
        (["vielleicht"] * 60, ["ja", "nein"] * 30),
        ([None] * 60, ["ja", "nein"] * 30),
        (["1"] * 60, NUMBERS % 2),
        (NUMBERS / 10, NUMBERS % 2),
        (numpy.zeros((60, 3)), NUMBERS % 2),
    ],
)
def test_an_output_that_fits_no_label_is_refused(output, label, data_of):
    with pytest.raises(InputError, match=r"must say what it predicts; its output of shape \(60"):
        predict(answering(numpy.array(output)), data_of(label), "label")


@pytest.mark.parametrize("output", [{"a": 1}, 0.5, numpy.zeros((60, 2, 2)), [0.5] * 59])
def test_one_prediction_a_row(output, data_of):
    with pytest.raises(InputError, match=r"must return one prediction a row; got the shape \(.*\) for 60 rows"):
        predict(answering(output), data_of(NUMBERS % 2), "label")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (numpy.linspace(-3, 3, 60), "must give classes, or probabilities from 0 to 1"),
        (numpy.linspace(0, 1.01, 60), "must give classes, or probabilities from 0 to 1"),
        (["ja"] * 59 + ["vielleicht"], "must give classes, or probabilities from 0 to 1"),
        (numpy.full(60, numpy.nan), "must predict finite numbers"),
        (numpy.full((60, 3), 0.2), "one probability for each of its 2 classes; got 3"),
    ],
)
def test_an_output_that_is_no_class_and_no_score_is_refused(output, message, data_of):
    with pytest.raises(InputError, match=message):
        predict(answering(numpy.array(output), BOUND), data_of(["ja", "nein"] * 30), "label")


def test_scores_that_begin_like_classes_are_scores(data_of):
    output = numpy.concatenate([numpy.ones(1500), numpy.full(500, 0.25)])
    bound = {"task": "binary", "classes": [0, 1], "positive_class": 1}
    found = predict(answering(output, bound), data_of(numpy.arange(2000) % 2), "label")
    assert (found.score == output).all()


def test_a_prediction_that_is_none_of_many_classes_is_counted(data_of):
    bound = {"task": "multiclass", "classes": ["a", "b", "c"]}
    with pytest.raises(InputError, match="one of the model's 3 classes in every row; 2 are not"):
        predict(answering(numpy.array(["a"] * 58 + ["d"] * 2), bound), data_of(["a", "b", "c"] * 20), "label")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"task": "binray"}, "must name task, one of binary"),
        ({"task": "multiclass"}, "at least two classes"),
        ({"task": "binary", "classes": ["ja"], "positive_class": "ja"}, "at least two classes"),
        ({"task": "binary", "classes": ["ja", "nein"]}, "one of them as positive_class"),
        ({"task": "binary", "classes": ["ja", "nein"], "positive_class": "yes"}, "one of them as positive_class"),
        ({"task": "binary", "classes": [1, 2, 3], "positive_class": 1}, "must name two classes"),
    ],
)
def test_a_meaning_that_is_not_whole_is_refused(metadata, message, data_of):
    with pytest.raises(InputError, match=message):
        predict(answering(numpy.full(60, 0.5), metadata), data_of(["ja", "nein"] * 30), "label")


def test_batches_are_put_together_in_order(tmp_path, write_data, features, save):
    frame, label = features()
    model = load_model(save(tmp_path / "model", LogisticRegression(), frame, label))
    long = pandas.concat([frame] * (BATCH_ROWS // len(frame) + 2), ignore_index=True)
    data = write_data(tmp_path / "data.parquet", long, numpy.resize(label, len(long)))
    found = predict(model, data, "label")
    assert len(found.score) == len(long) > BATCH_ROWS
    assert found.score == pytest.approx(model.estimator.predict_proba(long)[:, 1])


@pytest.mark.parametrize("required", [True, False])
def test_a_model_that_takes_the_target_is_refused(required, data_of):
    columns = (Column("x", "double"), Column("label", "double", required))
    model = LoadedModel("cheat", f"sha256:{'0' * 64}", lambda frame: frame["label"], columns)
    with pytest.raises(InputError, match="'cheat' must not take the target as a feature; its signature names 'label'"):
        predict(model, data_of([0, 1, 1, 0]), "label")


def test_a_failing_model_names_the_rows_and_no_value(tmp_path, write_data, features):
    frame, label = features()
    frame["x 0"] = 417.25
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=Breaking(),
        signature=infer_signature(frame, numpy.zeros(len(frame))),
        pip_requirements=["numpy"],
    )
    data = write_data(tmp_path / "data.parquet", frame, label)
    with pytest.raises(InputError, match=r"failed on rows 0 to 59 with ValueError in predict") as caught:
        predict(load_model(tmp_path / "model"), data, "label")
    assert "417" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_absent_feature_is_named(tmp_path, write_data, features, save):
    frame, label = features()
    model = load_model(save(tmp_path / "model", LogisticRegression(), frame, label))
    data = write_data(tmp_path / "data.parquet", frame.rename(columns={"x 1": "x1"}), label)
    with pytest.raises(InputError, match=r"A feature of the model must be a column of the dataset; got 'x 1'\."):
        predict(model, data, "label")


def test_a_label_that_is_no_class_is_counted(tmp_path, write_data, features, save):
    frame, label = features()
    meaning = {"task": "binary", "classes": [0, 1], "positive_class": 1}
    model = load_model(save(tmp_path / "model", LogisticRegression(), frame, label, metadata=meaning))
    label[:3] = 2
    with pytest.raises(InputError, match="target must be one of the model's 2 classes in every row; 3 are not"):
        predict(model, write_data(tmp_path / "data.parquet", frame, label), "label")


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), None, "0.5", True])
def test_a_threshold_that_is_no_number_is_refused(threshold, data_of):
    metadata = {"task": "binary", "classes": [0, 1], "positive_class": 1, "threshold": threshold}
    with pytest.raises(InputError, match="must name a finite number as threshold"):
        predict(answering(numpy.array([0.2, 0.8]), metadata), data_of([0, 1]), "label")
