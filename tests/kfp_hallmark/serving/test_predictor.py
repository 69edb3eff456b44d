"""That what is served is what `kfp_hallmark.modeling` says, to the bit, by whatever way it is computed."""

import asyncio
import datetime
import json
from pathlib import Path

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.columns import Column
from kfp_hallmark.modeling.loading import LoadedModel, load_model
from kfp_hallmark.modeling.prediction import predict
from kfp_hallmark.serving.bodies import Refusal
from kfp_hallmark.serving.features import features, frame
from kfp_hallmark.serving.predictor import Predictor, Together
from kfp_hallmark.serving.protocols import Identity, Instances, OpenInference, Query

ENVIRONMENT = "serve"

MODELS = {
    "binary": {},
    "text classes": {"classes": ("no", "yes")},
    "three classes": {"classes": ("a", "b", "c")},
    "regression": {"estimator": "sklearn.ensemble.HistGradientBoostingRegressor", "classes": ()},
    "logistic": {"estimator": "sklearn.linear_model.LogisticRegression"},
    "no probabilities": {"estimator": "sklearn.linear_model.RidgeClassifier", "classes": (0, 1, 2)},
    "forest": {"estimator": "sklearn.ensemble.RandomForestClassifier", "n_estimators": 9},
    "xgboost": {"estimator": "xgboost.XGBClassifier", "n_estimators": 9},
    "xgboost, text classes": {"estimator": "xgboost.XGBClassifier", "classes": ("no", "yes"), "n_estimators": 9},
    "lightgbm": {"estimator": "lightgbm.LGBMClassifier", "n_estimators": 9, "verbose": -1},
}
TOGETHER = {"binary", "text classes", "three classes", "regression", "forest", "xgboost", "lightgbm"}


@pytest.fixture(params=MODELS)
def kind(request):
    return request.param


@pytest.fixture
def model(kind, trained):
    return load_model(trained(**MODELS[kind]))


def ask(predictor, rows, **parameters):
    """Return predictions as a client of the first dialect gets them."""
    dialect = Instances()
    query = dialect.read({"instances": rows, "parameters": parameters}, predictor)
    body = dialect.write(predictor.predict(query.values), query, Identity("people", "1"))
    return json.loads(body)["predictions"]


def modelled(model, rows, path):
    """Return what modeling says of the same rows."""
    label = 0.5 if model.metadata["task"] == "regression" else model.metadata["classes"][0]
    types = {"double": pyarrow.float64(), "string": pyarrow.string()}
    schema = pyarrow.schema([(column.name, types[column.type]) for column in model.columns])
    table = pyarrow.Table.from_pylist(rows, schema).append_column("label", pyarrow.array([label] * len(rows)))
    pyarrow.parquet.write_table(table, path)
    return predict(model, path, "label")


def test_answers_are_those_of_modeling(model, rows, tmp_path):
    wanted = modelled(model, rows, tmp_path / "rows.parquet")
    predictor = Predictor(model)
    assert ask(predictor, rows) == wanted.prediction.tolist()
    if wanted.score is None:
        assert predictor.scores is None
    else:
        name = "score" if wanted.task == "binary" else "probabilities"
        pairs = zip(wanted.prediction.tolist(), wanted.score.tolist(), strict=True)
        assert ask(predictor, rows, scores=True) == [{"prediction": p, name: s} for p, s in pairs]


def test_both_dialects_and_both_forms_of_instances_say_the_same(model, rows):
    predictor, identity = Predictor(model), Identity("people", "1")
    named = ask(predictor, rows)
    assert ask(predictor, [[row[column.name] for column in model.columns] for row in rows]) == named
    tensors = [
        {
            "name": column.name,
            "shape": [len(rows)],
            "datatype": "BYTES" if column.type == "string" else "FP64",
            "data": [row[column.name] for row in rows],
        }
        for column in reversed(model.columns)
    ]
    dialect = OpenInference()
    query = dialect.read({"inputs": tensors}, predictor)
    answer = json.loads(dialect.write(predictor.predict(query.values), query, identity))
    assert answer["outputs"][0]["data"] == named
    assert answer["outputs"][0]["shape"] == [len(rows)]


def test_pipelines_of_train_model_need_no_data_frame(model, kind):
    predictor = Predictor(model)
    assert predictor.features is not None
    assert predictor.separable == (kind in TOGETHER)


def test_requests_that_are_answered_together_get_what_they_would_get_alone(model, rows):
    predictor = Predictor(model)
    parts = [rows[0:1], rows[1:4], rows[4:5], rows[5:]]
    queries = [Instances().read({"instances": part}, predictor) for part in parts]

    async def all_at_once():
        together = Together(predictor)
        return await asyncio.gather(*(together.predict(query.values) for query in queries))

    for query, found in zip(queries, asyncio.run(all_at_once()), strict=True):
        alone = predictor.predict(query.values)
        assert found.prediction.tolist() == alone.prediction.tolist()
        assert (found.score is None) == (alone.score is None)
        assert found.score is None or found.score.tolist() == alone.score.tolist()


def test_a_request_that_fails_fails_alone(trained, rows):
    predictor = Predictor(load_model(trained()))
    good = Instances().read({"instances": rows[:2]}, predictor).values
    # What no checked request holds: it makes the joint prediction raise.
    bad = [["text"] if column.type == "double" else ["x"] for column in predictor.model.columns]

    async def all_at_once():
        together = Together(predictor)
        return await asyncio.gather(*map(together.predict, (good, bad, good)), return_exceptions=True)

    first, second, third = asyncio.run(all_at_once())
    assert isinstance(second, Refusal)
    assert second.status == 422
    assert first.score.tolist() == third.score.tolist() == predictor.predict(good).score.tolist()


class Days:
    """Turns times into numbers, which no part of scikit-learn does."""

    def fit(self, table, label=None):
        return self

    def fit_transform(self, table, label=None):
        return self.transform(table)

    def transform(self, table):
        return table.assign(t=(table["t"] - pandas.Timestamp("2020-01-01")).dt.days)

    def __sklearn_is_fitted__(self):
        return True


def test_any_other_model_is_given_data_frames(saved):
    days = pandas.to_datetime(["2021-05-01", "2022-01-01", "2023-07-01", "2019-01-01"])
    table = pandas.DataFrame({"x": [0.5, 1, -1, 2], "n": [1, 2, 3, 4], "b": [True, False, True, False], "t": days})
    estimator = make_pipeline(Days(), LogisticRegression()).fit(table, [True, False, True, False])
    meaning = {"task": "binary", "classes": [False, True], "positive_class": True, "threshold": 0.5}
    inputs = [("double", "x"), ("long", "n"), ("boolean", "b"), ("datetime", "t")]
    model = saved(estimator, inputs, metadata=meaning)
    predictor = Predictor(model)
    assert predictor.features is None
    assert not predictor.separable
    found = ask(predictor, [{"x": 0.5, "n": 7, "b": True, "t": "2021-05-01T02:00:00+02:00"}], scores=True)
    same = pandas.DataFrame({"x": [0.5], "n": [7], "b": [True], "t": pandas.to_datetime(["2021-05-01"])})
    assert found[0]["score"] == model.estimator.predict_proba(same)[0, 1]
    assert found[0]["prediction"] is bool(found[0]["score"] >= 0.5)
    assert predictor.signature.nullable == frozenset()


def test_a_model_that_does_not_say_what_it_predicts_gives_its_raw_output(saved):
    table = pandas.DataFrame({"x": [0.0, 1.0, 2.0], "y": [1.0, 0.0, 1.0]})
    model = saved(LogisticRegression().fit(table, [0, 1, 1]), [("double", "x"), ("double", "y")])
    predictor = Predictor(model)
    assert (
        ask(predictor, [[1, 2], [3, 4]])
        == model.function(pandas.DataFrame({"x": [1.0, 3.0], "y": [2.0, 4.0]})).tolist()
    )
    with pytest.raises(InputError, match="the model gives no scores"):
        ask(predictor, [[1, 2]], scores=True)


def answering(output, **metadata):
    """Return a model that gives an output, whatever it is asked: as many of it as there are rows."""
    function = lambda rows: output if len(rows) == len(output) else output[:1]  # noqa: E731
    return LoadedModel("answering", "sha256:" + "0" * 64, function, (Column("x", "double"),), metadata)


def objects(*values):
    made = numpy.empty(len(values), object)
    made[:] = values
    return made


OUTPUTS = {
    "numbers of numpy": (objects(numpy.int64(3), numpy.float32(0.5)), [3, 0.5], "FP64"),
    "whole numbers of numpy": (objects(numpy.int8(3), 4), [3, 4], "INT64"),
    "booleans of numpy": (objects(numpy.bool_(True), False), [True, False], "BOOL"),
    "nothing": (objects(None, 2), [None, 2], "INT64"),
    "no number": (objects(float("nan"), 2.5), [None, 2.5], "FP64"),
    "a number without end": (objects(numpy.float64("inf"), 2.5), [None, 2.5], "FP64"),
    "missing values of pandas": (objects(pandas.NA, pandas.NaT), [None, None], "BYTES"),
    "texts": (objects("a", numpy.str_("b")), ["a", "b"], "BYTES"),
    "a missing text": (objects("a", float("nan")), ["a", None], "BYTES"),
    "a data frame": (pandas.DataFrame({"a": [1, 2], "b": ["x", None]}), [[1, "x"], [2, None]], "BYTES"),
    "objects": (
        [{"a": numpy.int64(1), 2: [numpy.float64("nan")]}, {"b": numpy.arange(2)}],
        [{"a": 1, "2": [None]}, {"b": [0, 1]}],
        "BYTES",
    ),
    "times": (
        numpy.array(["2020-01-31T10:00:00.5", "NaT"], "datetime64[ns]"),
        ["2020-01-31T10:00:00.500000", None],
        "BYTES",
    ),
    "days": (objects(datetime.date(2020, 1, 31), pandas.Timestamp(0)), ["2020-01-31", "1970-01-01T00:00:00"], "BYTES"),
    "long numbers": (numpy.array([0.5, 2], numpy.longdouble), [0.5, 2.0], "FP64"),
}


def strict(body):
    return json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("case", OUTPUTS)
def test_any_output_is_given_as_json(case):
    output, wanted, datatype = OUTPUTS[case]
    answers = Predictor(answering(output)).predict([[1.0, 2.0]])
    identity, query = Identity("people", "1"), Query([[1.0, 2.0]])
    assert strict(Instances().write(answers, query, identity)) == {"predictions": wanted}
    (tensor,) = strict(OpenInference().write(answers, query, identity))["outputs"]
    assert tensor["datatype"] == datatype
    assert len(tensor["data"]) == numpy.prod(tensor["shape"])
    if datatype == "BYTES":
        assert {type(entry) for entry in tensor["data"]} <= {str, type(None)}
    else:
        assert tensor["data"] == wanted


@pytest.mark.parametrize("output", [objects(Path("x"), 1), numpy.array([b"a", b"b"]), numpy.array([1j, 2])])
def test_a_model_whose_output_is_nothing_that_json_has_is_refused_at_once(output):
    with pytest.raises(InputError, match="must predict numbers, booleans, texts, times, or lists or objects of these"):
        Predictor(answering(output))


def test_an_output_that_json_has_not_is_refused_when_it_comes_later():
    predictor = Predictor(answering(objects(1, Path("x"))))
    with pytest.raises(Refusal, match="must predict numbers, booleans, texts") as caught:
        predictor.predict([[1.0, 2.0]])
    assert caught.value.status == 422


@pytest.mark.parametrize("value", [numpy.nan, None, "much"])
def test_a_regression_that_gives_no_number_is_refused(value):
    predictor = Predictor(answering(objects(0.5, value), task="regression"))
    with pytest.raises(Refusal, match="must predict finite numbers"):
        predictor.predict([[1.0, 2.0]])


@pytest.mark.parametrize("strange", [datetime.date(2020, 1, 31), float("nan")])
def test_classes_that_json_has_not_are_refused(strange):
    with pytest.raises(InputError, match="The classes of the model 'answering' must be numbers, booleans or texts"):
        Predictor(answering(objects(0, 1), task="multiclass", classes=[0, 1, strange]))


def test_classes_of_numpy_are_given_as_json():
    predictor = Predictor(answering(objects(numpy.int64(1), 0), task="binary", classes=[0, 1], positive_class=1))
    assert ask(predictor, [[1], [2]]) == [1, 0]


def test_where_the_model_takes_no_missing_value_null_is_refused(saved):
    table = pandas.DataFrame({"x": [0.0, 1.0, 2.0], "y": [1.0, 0.0, 1.0]})
    model = saved(LogisticRegression().fit(table, [0, 1, 1]), [("double", "x"), ("double", "y")])
    predictor = Predictor(model)
    assert predictor.signature.nullable == frozenset()
    with pytest.raises(InputError, match=r"The column 'y' must hold finite numbers; got null in row 1\."):
        ask(predictor, [[1, 2], [3, None]])


def test_a_category_that_the_model_itself_refuses_is_the_clients_fault(saved):
    table = pandas.DataFrame({"town": ["Ulm", "Jena", "Ulm"]})
    estimator = make_pipeline(OrdinalEncoder(), LogisticRegression())
    predictor = Predictor(saved(estimator.fit(table, [0, 1, 1]), [("string", "town")]))
    assert len(ask(predictor, [["Ulm"]])) == 1
    with pytest.raises(Refusal, match="must be able to predict these rows") as caught:
        ask(predictor, [["Secretville"]])
    assert caught.value.status == 422
    assert "Secretville" not in str(caught.value)


def test_a_preprocessing_that_differs_in_one_bit_is_not_used(trained):
    model = load_model(trained("sklearn.linear_model.LogisticRegression"))
    assert features(model) is not None
    scaler = model.estimator[0].named_transformers_["numbers"][1]
    rows = frame(model.columns, [[None, 3.5], ["Ulm", None], [1.0, 2.0], ["clerk", "smith"]])
    wanted = features(model).matrix([[None, 3.5], ["Ulm", None], [1.0, 2.0], ["clerk", "smith"]])
    assert (model.estimator[0].transform(rows) == wanted).all()
    scaler.scale_ = numpy.nextafter(scaler.scale_, 9e9)
    assert features(model) is not None
    scaler.transform = lambda values: (values - scaler.mean_) / numpy.nextafter(scaler.scale_, 9e9)
    assert features(model) is None


def test_a_model_without_a_signature_is_refused(write_model, tmp_path):
    path = write_model(tmp_path / "model", columns=None)
    model = load_model_without_code(path)
    with pytest.raises(InputError, match="must have a signature with named columns"):
        Predictor(model)


def test_a_column_type_that_cannot_be_served_is_refused():
    model = load_model_without_code("model", columns=("binary",))
    with pytest.raises(InputError, match="'binary' is binary"):
        Predictor(model)


def load_model_without_code(path, columns=()):
    return LoadedModel(str(path), "sha256:" + "0" * 64, len, tuple(Column(name, name) for name in columns))
