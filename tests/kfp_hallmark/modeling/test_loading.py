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
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import EnvironmentFailure, HallmarkError, InputError, IntegrityError, MissingInputError
from kfp_hallmark.modeling import loading
from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.modeling.prediction import predict

ENVIRONMENT = "ml"


class Squares(mlflow.pyfunc.PythonModel):
    """A python_function that is not scikit-learn's: the score is the square of the first column, cut to 0 to 1."""

    def predict(self, context, model_input, params=None):
        return numpy.clip(model_input.iloc[:, 0].to_numpy() ** 2, 0, 1)


class Borrowing(mlflow.pyfunc.PythonModel):
    """A python_function with code of its own beside it."""

    def predict(self, context, model_input, params=None):
        import borrowed_code

        return borrowed_code.score(model_input)


def test_loading_a_model_with_code_of_its_own_leaves_its_digest(tmp_path, monkeypatch, features):
    monkeypatch.setattr(loading, "_with_code", set())
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
    monkeypatch.setattr(loading, "_with_code", set())
    monkeypatch.syspath_prepend(tmp_path)
    for score in (0.25, 0.75):
        (tmp_path / "borrowed_code.py").write_text(f"def score(frame):\n    return frame.iloc[:, 0] * 0 + {score}\n")
        options = {"code_paths": [str(tmp_path / "borrowed_code.py")], "pip_requirements": []}
        mlflow.pyfunc.save_model(tmp_path / str(score), python_model=Borrowing(), **options)
    load_model(tmp_path / "0.25")
    load_model(tmp_path / "0.25")
    with pytest.raises(InputError, match="must be the only one with code of its own in its process"):
        load_model(tmp_path / "0.75")


def test_a_model_that_names_a_file_outside_its_folder_is_not_loaded(tmp_path, features, save):
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
def test_a_model_that_is_another_for_another_reader_is_not_loaded(tmp_path, before, after, features, save):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    (path / "other.pkl").write_bytes((path / "model.pkl").read_bytes())
    document = (path / "MLmodel").read_text()
    assert before in document
    (path / "MLmodel").write_text(document.replace(before, after))
    with pytest.raises(IntegrityError, match=r"its flavors load different files: model\.pkl, other\.pkl"):
        load_model(path)


def test_any_python_function_is_loaded(tmp_path, write_data, features):
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


def test_a_changed_model_is_not_loaded(tmp_path, features, save):
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
def test_what_is_swapped_while_a_model_is_loaded_is_not_loaded(
    tmp_path, while_loading, name, moment, in_place, features, save
):
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
def test_a_model_that_changes_while_it_is_unpickled_is_refused(tmp_path, while_loading, change, features, save):
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


def test_a_model_that_is_longer_than_a_block_is_loaded_whole(tmp_path, features, save):
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


def test_a_broken_model_is_named(tmp_path, features, save):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    (path / "model.pkl").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"The model '.*model' must load as MLflow's python_function"):
        load_model(path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="must be a folder that holds the file MLmodel"):
        load_model(tmp_path)


def test_a_pickle_is_not_loaded_where_that_is_forbidden(tmp_path, monkeypatch, features, save):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    with pytest.raises(InputError, match="MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
        load_model(path)


def test_mlflow_agrees_with_the_direct_path(tmp_path, features, save):
    frame, label = features()
    path = save(tmp_path / "model", LogisticRegression(), frame, label)
    reference = mlflow.pyfunc.load_model(str(path)).predict(frame)
    assert load_model(path).function(frame) == pytest.approx(reference)
    assert json.loads(mlflow.models.Model.load(path).signature.to_dict()["inputs"])[0]["name"] == "x 0"
