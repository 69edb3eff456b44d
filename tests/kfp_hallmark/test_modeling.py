import gc
import json
import os
import pickle
import sys
from pathlib import Path

import mlflow.pyfunc
import mlflow.sklearn
import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from mlflow.models import infer_signature
from sklearn.datasets import make_classification
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier

from kfp_hallmark import modeling
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import EnvironmentFailure, HallmarkError, InputError, IntegrityError, MissingInputError
from kfp_hallmark.modeling import BATCH_ROWS, Column, LoadedModel, feature_frame, load_model, predict, read_label

ENVIRONMENT = "ml"


def write_data(path, frame, label):
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame.assign(label=label), preserve_index=False), path)
    return path


def features(rows=60, classes=2):
    values, label = make_classification(
        rows, n_informative=4, n_redundant=0, n_features=5, n_classes=classes, random_state=3
    )
    return pandas.DataFrame(values, columns=[f"x {index}" for index in range(5)]), label


def save(path, estimator, frame, label, function="predict_proba", metadata=None, **options):
    estimator.fit(frame, label)
    mlflow.sklearn.save_model(
        estimator,
        path,
        signature=infer_signature(frame, getattr(estimator, function)(frame)),
        pyfunc_predict_fn=function,
        metadata={"hallmark": metadata} if metadata else None,
        serialization_format=options.pop("serialization_format", "pickle"),
        pip_requirements=["scikit-learn"],
        **options,
    )
    return path


def answering(output, metadata=None):
    """Return a model that gives this output, whatever it is asked."""
    return LoadedModel("answering", f"sha256:{'0' * 64}", lambda frame: output, metadata=metadata or {})


def data_of(tmp_path, label):
    return write_data(tmp_path / "data.parquet", pandas.DataFrame({"x": numpy.zeros(len(label))}), label)


class Squares(mlflow.pyfunc.PythonModel):
    """A python_function that is not scikit-learn's: the score is the square of the first column, cut to 0 to 1."""

    def predict(self, context, model_input, params=None):
        return numpy.clip(model_input.iloc[:, 0].to_numpy() ** 2, 0, 1)


class Breaking(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        raise ValueError(f"cannot use {model_input.iloc[0, 0]}")


class Borrowing(mlflow.pyfunc.PythonModel):
    """A python_function with code of its own beside it."""

    def predict(self, context, model_input, params=None):
        import borrowed_code

        return borrowed_code.score(model_input)


def test_loading_a_model_with_code_of_its_own_leaves_its_digest(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    (tmp_path / "borrowed_code.py").write_text("def score(frame):\n    return frame.iloc[:, 0].to_numpy() * 0 + 0.25\n")
    options = {"code_paths": [str(tmp_path / "borrowed_code.py")], "pip_requirements": []}
    mlflow.pyfunc.save_model(tmp_path / "model", python_model=Borrowing(), **options)
    before = artifact_digest(tmp_path / "model")
    frame, _ = features()
    assert load_model(tmp_path / "model").function(frame)[0] == 0.25
    assert artifact_digest(tmp_path / "model") == before


def test_the_code_of_two_models_does_not_mix(tmp_path, monkeypatch):
    """Python keeps one module of a name: the second model would run the code of the first."""
    monkeypatch.setattr(modeling, "_with_code", set())
    monkeypatch.syspath_prepend(tmp_path)
    for score in (0.25, 0.75):
        (tmp_path / "borrowed_code.py").write_text(f"def score(frame):\n    return frame.iloc[:, 0] * 0 + {score}\n")
        options = {"code_paths": [str(tmp_path / "borrowed_code.py")], "pip_requirements": []}
        mlflow.pyfunc.save_model(tmp_path / str(score), python_model=Borrowing(), **options)
    load_model(tmp_path / "0.25")
    load_model(tmp_path / "0.25")
    with pytest.raises(InputError, match="must be the only one with code of its own in its process"):
        load_model(tmp_path / "0.75")


def test_probabilities_are_scored_for_the_positive_class(tmp_path):
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


def test_a_score_at_the_threshold_is_positive(tmp_path):
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
def test_the_meaning_of_an_output_is_inferred(tmp_path, estimator, function, classes, task, scored):
    frame, label = features(classes=classes or 2)
    label = label if classes else frame["x 1"] * 2.5
    model = load_model(save(tmp_path / "model", estimator, frame, label, function))
    found = predict(model, write_data(tmp_path / "data.parquet", frame, label), "label")
    assert (found.task, found.score is not None) == (task, scored)
    assert found.prediction == pytest.approx(model.estimator.predict(frame))
    assert found.classes == tuple(range(classes))


NUMBERS = numpy.arange(60)


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
def test_what_an_output_means_by_the_labels(tmp_path, output, label, task):
    found = predict(answering(numpy.array(output)), data_of(tmp_path, label), "label")
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
def test_an_output_that_fits_no_label_is_refused(tmp_path, output, label):
    with pytest.raises(InputError, match=r"must say what it predicts; its output of shape \(60"):
        predict(answering(numpy.array(output)), data_of(tmp_path, label), "label")


@pytest.mark.parametrize("output", [{"a": 1}, 0.5, numpy.zeros((60, 2, 2)), [0.5] * 59])
def test_one_prediction_a_row(tmp_path, output):
    with pytest.raises(InputError, match=r"must return one prediction a row; got the shape \(.*\) for 60 rows"):
        predict(answering(output), data_of(tmp_path, NUMBERS % 2), "label")


BOUND = {"task": "binary", "classes": ["ja", "nein"], "positive_class": "nein"}


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
def test_an_output_that_is_no_class_and_no_score_is_refused(tmp_path, output, message):
    with pytest.raises(InputError, match=message):
        predict(answering(numpy.array(output), BOUND), data_of(tmp_path, ["ja", "nein"] * 30), "label")


def test_scores_that_begin_like_classes_are_scores(tmp_path):
    output = numpy.concatenate([numpy.ones(1500), numpy.full(500, 0.25)])
    bound = {"task": "binary", "classes": [0, 1], "positive_class": 1}
    found = predict(answering(output, bound), data_of(tmp_path, numpy.arange(2000) % 2), "label")
    assert (found.score == output).all()


def test_a_prediction_that_is_none_of_many_classes_is_counted(tmp_path):
    bound = {"task": "multiclass", "classes": ["a", "b", "c"]}
    with pytest.raises(InputError, match="one of the model's 3 classes in every row; 2 are not"):
        predict(answering(numpy.array(["a"] * 58 + ["d"] * 2), bound), data_of(tmp_path, ["a", "b", "c"] * 20), "label")


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
def test_a_meaning_that_is_not_whole_is_refused(tmp_path, metadata, message):
    with pytest.raises(InputError, match=message):
        predict(answering(numpy.full(60, 0.5), metadata), data_of(tmp_path, ["ja", "nein"] * 30), "label")


def test_a_model_that_names_a_file_outside_its_folder_is_not_loaded(tmp_path):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    (tmp_path / "model.pkl").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "harm").encode() + b"'\ntR.")
    document = (path / "MLmodel").read_text()
    (path / "MLmodel").write_text(document.replace(": model.pkl", ": ../model.pkl"))
    with pytest.raises(IntegrityError, match=r"must hold what it loads; it names '\.\./model\.pkl'"):
        load_model(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("model_path: model.pkl", "model_path: other.pkl"),
        ("pickled_model: model.pkl", "pickled_model: other.pkl"),
        ("model_path: model.pkl", "model_path: model.pkl\n    data: other.pkl"),
    ],
)
def test_a_model_that_is_another_for_another_reader_is_not_loaded(tmp_path, before, after):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    (path / "other.pkl").write_bytes((path / "model.pkl").read_bytes())
    document = (path / "MLmodel").read_text()
    assert before in document
    (path / "MLmodel").write_text(document.replace(before, after))
    with pytest.raises(IntegrityError, match=r"its flavors load different files: model\.pkl, other\.pkl"):
        load_model(path)


def test_any_python_function_is_loaded(tmp_path):
    frame, label = features()
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=Squares(),
        signature=infer_signature(frame, numpy.zeros(len(frame))),
        pip_requirements=["numpy"],
    )
    found = predict(
        load_model(tmp_path / "model"), write_data(tmp_path / "data.parquet", frame[::-1], label == 1), "label"
    )
    assert found.score == pytest.approx(numpy.clip(frame["x 0"][::-1] ** 2, 0, 1))
    assert found.positive_class is True
    assert found.prediction.dtype == bool


def test_batches_are_put_together_in_order(tmp_path):
    frame, label = features()
    model = load_model(save(tmp_path / "model", LogisticRegression(), frame, label))
    long = pandas.concat([frame] * (BATCH_ROWS // len(frame) + 2), ignore_index=True)
    data = write_data(tmp_path / "data.parquet", long, numpy.resize(label, len(long)))
    found = predict(model, data, "label")
    assert len(found.score) == len(long) > BATCH_ROWS
    assert found.score == pytest.approx(model.estimator.predict_proba(long)[:, 1])


@pytest.mark.parametrize("required", [True, False])
def test_a_model_that_takes_the_target_is_refused(tmp_path, required):
    columns = (Column("x", "double"), Column("label", "double", required))
    model = LoadedModel("cheat", f"sha256:{'0' * 64}", lambda frame: frame["label"], columns)
    with pytest.raises(InputError, match="'cheat' must not take the target as a feature; its signature names 'label'"):
        predict(model, data_of(tmp_path, [0, 1, 1, 0]), "label")


def test_a_changed_model_is_not_loaded(tmp_path):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    digest = artifact_digest(path)
    load_model(path, digest)
    (path / "model.pkl").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "harm").encode() + b"'\ntR.")
    with pytest.raises(IntegrityError, match=f"must have the digest {digest}; got sha256:"):
        load_model(path, digest)
    assert not (tmp_path / "harm").exists()


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def on_event():
    """Call a function at every audit event, until the test is over."""
    listeners = []
    sys.addaudithook(lambda event, arguments: [listener(event, arguments) for listener in listeners])
    return listeners


@pytest.fixture
def while_loading(on_event):
    yield on_event.append
    on_event.clear()


def swapping(file, evil, moment, in_place):
    """Return what gives a file other content just before it is opened for the n-th time, and only then."""
    good, opened = file.read_bytes(), 0

    def write(content):
        target = file if in_place else file.with_name("swapped")
        target.write_bytes(content)
        target.replace(file)

    def listener(event, arguments):
        nonlocal opened
        if event != "open" or arguments[0] not in (file, str(file)) or arguments[1] != "r":
            return
        opened += 1
        if opened in (moment, moment + 1):
            write(evil if opened == moment else good)

    return listener


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("moment", [1, 2, 3])
@pytest.mark.parametrize("name", ["MLmodel", "model.pkl"])
def test_what_is_swapped_while_a_model_is_loaded_is_not_loaded(tmp_path, while_loading, name, moment, in_place):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    trap = pickle.dumps(Trap(tmp_path / "mark"))
    (path / "other.pkl").write_bytes(trap)
    digest = artifact_digest(path)
    other = (path / "MLmodel").read_bytes().replace(b": model.pkl", b": other.pkl")
    while_loading(swapping(path / name, {"MLmodel": other, "model.pkl": trap}[name], moment, in_place))
    try:
        loaded = load_model(path, digest)
    except IntegrityError:
        pass
    else:
        assert type(loaded.estimator) is LogisticRegression
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("moment", [1, 2, 3])
@pytest.mark.parametrize("name", ["MLmodel", "python_model.pkl"])
def test_what_is_swapped_while_a_python_function_is_loaded_is_not_loaded(
    tmp_path, while_loading, name, moment, in_place
):
    path = tmp_path / "model"
    mlflow.pyfunc.save_model(path, python_model=Squares(), pip_requirements=["numpy"])
    trap = pickle.dumps(Trap(tmp_path / "mark"))
    (path / "other.pkl").write_bytes(trap)
    digest = artifact_digest(path)
    other = (path / "MLmodel").read_bytes().replace(b": python_model.pkl", b": other.pkl")
    while_loading(swapping(path / name, {"MLmodel": other, "python_model.pkl": trap}[name], moment, in_place))
    try:
        loaded = load_model(path, digest)
    except IntegrityError:
        pass
    else:
        assert loaded.function(pandas.DataFrame({"x": [0.5]}))[0] == 0.25
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("change", [lambda file: os.truncate(file, 2**21), lambda file: flip(file)])
def test_a_model_that_changes_while_it_is_unpickled_is_refused(tmp_path, while_loading, change):
    frame, label = features()
    estimator = LogisticRegression()
    estimator.padding = numpy.zeros(2**19)
    path = save(tmp_path / "model", estimator, frame, label)

    def listener(event, arguments):
        if event == "pickle.find_class":
            change(path / "model.pkl")

    while_loading(listener)
    with pytest.raises(HallmarkError, match="must not change while it is loaded"):
        load_model(path, artifact_digest(path))


def flip(file):
    """Change the last bytes of a file in place."""
    with file.open("r+b") as opened:
        opened.seek(-50, os.SEEK_END)
        opened.write(b"x")


def test_a_model_that_is_longer_than_a_block_is_loaded_whole(tmp_path):
    frame, label = features()
    estimator = LogisticRegression()
    estimator.padding = numpy.random.default_rng(0).normal(size=2**19)
    path = save(tmp_path / "model", estimator, frame, label)
    assert (load_model(path, artifact_digest(path)).estimator.padding == estimator.padding).all()


def test_the_private_copy_of_a_python_function_is_gone_with_it(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    mlflow.pyfunc.save_model(tmp_path / "model", python_model=Squares(), pip_requirements=["numpy"])
    loaded = load_model(tmp_path / "model")
    (copy,) = (tmp_path / "temporary").iterdir()
    assert copy.stat().st_mode & 0o777 == 0o700
    assert loaded.function(pandas.DataFrame({"x": [0.5]}))[0] == 0.25
    del loaded
    gc.collect()
    assert not copy.exists()


@pytest.mark.parametrize("broken", ["python_model.pkl", "digest"])
def test_a_python_function_that_cannot_be_loaded_leaves_no_copy(tmp_path, monkeypatch, broken):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    mlflow.pyfunc.save_model(tmp_path / "model", python_model=Squares(), pip_requirements=["numpy"])
    if broken != "digest":
        (tmp_path / "model" / broken).write_bytes(b"broken")
    with pytest.raises(HallmarkError):
        load_model(tmp_path / "model", f"sha256:{'0' * 64}" if broken == "digest" else None)
    assert not any((tmp_path / "temporary").iterdir())


def test_a_python_function_without_a_temporary_folder_says_so(tmp_path, monkeypatch):
    mlflow.pyfunc.save_model(tmp_path / "model", python_model=Squares(), pip_requirements=["numpy"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(EnvironmentFailure, match="There must be a temporary folder that can be written"):
        load_model(tmp_path / "model")


def test_a_broken_model_is_named(tmp_path):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    (path / "model.pkl").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"The model '.*model' must load as MLflow's python_function"):
        load_model(path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="must be a folder that holds the file MLmodel"):
        load_model(tmp_path)


def test_a_pickle_is_not_loaded_where_that_is_forbidden(tmp_path, monkeypatch):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    with pytest.raises(InputError, match="MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
        load_model(path)


def test_a_failing_model_names_the_rows_and_no_value(tmp_path):
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


def test_an_absent_feature_is_named(tmp_path):
    frame, label = features()
    model = load_model(save(tmp_path / "model", LogisticRegression(), frame, label))
    data = write_data(tmp_path / "data.parquet", frame.rename(columns={"x 1": "x1"}), label)
    with pytest.raises(InputError, match=r"A feature of the model must be a column of the dataset; got 'x 1'\."):
        predict(model, data, "label")


def test_an_absent_target_is_named(tmp_path):
    frame, label = features()
    with pytest.raises(InputError, match=r"target must be a column of the dataset; got 'lable'.*\n.*'label'"):
        read_label(write_data(tmp_path / "data.parquet", frame, label), "lable")


def test_a_missing_label_is_counted(tmp_path):
    frame, label = features()
    missing = pandas.array([None, *label[1:]], dtype="Int64")
    with pytest.raises(InputError, match="must have a value in every row; the column 'label' has 1 missing of 60"):
        read_label(write_data(tmp_path / "data.parquet", frame, missing), "label")


def test_a_label_that_is_no_class_is_counted(tmp_path):
    frame, label = features()
    meaning = {"task": "binary", "classes": [0, 1], "positive_class": 1}
    model = load_model(save(tmp_path / "model", LogisticRegression(), frame, label, metadata=meaning))
    label[:3] = 2
    with pytest.raises(InputError, match="target must be one of the model's 2 classes in every row; 3 are not"):
        predict(model, write_data(tmp_path / "data.parquet", frame, label), "label")


@pytest.mark.parametrize(
    ("values", "type", "dtype", "missing"),
    [
        (pyarrow.array([1, 2, 3], pyarrow.int8()), "long", "int64", 0),
        (pyarrow.array([1, None, 3], pyarrow.int8()), "long", "float64", 1),
        (pyarrow.array([1, None, 3], pyarrow.int64()), "double", "float64", 1),
        (pyarrow.array([2**60 + 1, None], pyarrow.int64()), "double", "float64", 1),
        (pyarrow.array([True, None]), "double", "float64", 1),
        (pyarrow.array([1.5, None]), "float", "float32", 1),
        (pyarrow.array(["a", None]), "string", "str", 1),
        (pyarrow.array(["a", None, "a"]).dictionary_encode(), "string", "str", 1),
        (pyarrow.nulls(3), "double", "float64", 3),
        (pyarrow.array([True, False]), "boolean", "bool", 0),
    ],
)
def test_columns_take_the_type_of_the_signature(values, type, dtype, missing):
    frame = feature_frame(pyarrow.table({"a b": values}), [Column("a b", type)])
    assert str(frame["a b"].dtype) == dtype
    assert int(frame["a b"].isna().sum()) == missing


def test_a_frame_of_all_columns_is_that_of_each_by_itself():
    """Of every type, in several pieces; what a model does to its frame reaches no table."""
    kinds = {
        "long": pyarrow.array([3, None, 2**60 + 1], pyarrow.int64()),
        "integer": pyarrow.array([3, 4, 5], pyarrow.int8()),
        "double": pyarrow.array([0.1, None, float("inf")]),
        "float": pyarrow.array([0.1, None, 7.0]),
        "boolean": pyarrow.array([True, None, False]),
        "string": pyarrow.array(["a", None, "b"]),
        "datetime": pyarrow.array([0, None, 10**15], pyarrow.timestamp("us")),
        "any": pyarrow.array([1, 2, None], pyarrow.int16()),
    }
    once = pyarrow.table([*kinds.values(), kinds["double"]], names=[*kinds, "double again"])
    table = pyarrow.concat_tables([once, once.slice(1)]).replace_schema_metadata({"pandas": "{}"})
    columns = [*(Column(name, name) for name in kinds), Column("double again", "double")]
    frame = feature_frame(table, columns)
    alone = {column.name: feature_frame(table, [column])[column.name] for column in columns}
    pandas.testing.assert_frame_equal(frame, pandas.DataFrame(alone))
    assert [str(dtype) for dtype in frame.dtypes] == [
        "float64", "int32", "float64", "float32", "object", "str", "datetime64[ns]", "float64", "float64",
    ]  # fmt: skip
    assert frame["double"].tolist() == pytest.approx([0.1, numpy.nan, numpy.inf, numpy.nan, numpy.inf], nan_ok=True)
    for given in (frame, feature_frame(table, columns[2:3])):
        given.loc[:, "double"] = 5.0
    assert table["double"].to_pylist() == [0.1, None, numpy.inf, None, numpy.inf]


def test_a_column_of_another_type_is_named_without_its_values():
    table = pyarrow.table({"age": ["forty"]})
    with pytest.raises(InputError, match="The column 'age' must be of the type double") as caught:
        feature_frame(table, [Column("age", "double")])
    assert "forty" not in str(caught.value)


def test_mlflow_agrees_with_the_direct_path(tmp_path):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    reference = mlflow.pyfunc.load_model(str(path)).predict(frame)
    assert load_model(path).function(frame) == pytest.approx(reference)
    assert json.loads(mlflow.models.Model.load(path).signature.to_dict()["inputs"])[0]["name"] == "x 0"


def test_an_infinite_label_is_refused(tmp_path):
    frame, label = features()
    data = write_data(tmp_path / "data.parquet", frame, numpy.where(label == 1, numpy.inf, 0.5))
    with pytest.raises(InputError, match="target must have a finite number in every row; the column 'label' has"):
        read_label(data, "label")


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), None, "0.5", True])
def test_a_threshold_that_is_no_number_is_refused(tmp_path, threshold):
    metadata = {"task": "binary", "classes": [0, 1], "positive_class": 1, "threshold": threshold}
    with pytest.raises(InputError, match="must name a finite number as threshold"):
        predict(answering(numpy.array([0.2, 0.8]), metadata), data_of(tmp_path, [0, 1]), "label")
