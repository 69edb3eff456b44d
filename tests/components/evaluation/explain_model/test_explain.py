import itertools
import json
import math
import re
from types import SimpleNamespace

import numpy
import pandas
import pytest
import shap
from kfp import dsl
from lightgbm import LGBMClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from kfp_hallmark.components.evaluation.explain_model.bands import describe, ranks
from kfp_hallmark.components.evaluation.explain_model.explain import explain, metric_names
from kfp_hallmark.contracts.dataset import read_table
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.errors import InputError, IntegrityError
from kfp_hallmark.explanation.rows import as_outputs
from kfp_hallmark.explanation.shapley import (
    AGNOSTIC_ROWS,
    LINEAR,
    LOG_ODDS,
    PROBABILITY,
    TARGET,
    explain_predictions,
    explain_structure,
    permute,
)
from kfp_hallmark.modeling.columns import feature_frame
from kfp_hallmark.modeling.loading import load_model


@pytest.fixture
def run(tmp_path):
    def run(model, data, digest=None, **options):
        output = SimpleNamespace(
            importances=dsl.Artifact(uri=str(tmp_path / "importances.json")),
            metrics=dsl.Metrics(uri=str(tmp_path / "metrics")),
            report=dsl.HTML(uri=str(tmp_path / "report.html")),
        )
        given = dsl.Model(uri=str(model), metadata={"digest": digest} if digest else {})
        settings = {"target": "bought", "max_rows": 1000, "local_explanations": 5, "seed": 0} | options
        explain(given, dsl.Dataset(uri=str(data)), *vars(output).values(), **settings)
        output.document = json.loads((tmp_path / "importances.json").read_text())
        output.html = (tmp_path / "report.html").read_text()
        return output

    return run


def loaded(folder):
    """Return the pipeline of a model folder and the features of its dataset."""
    model = load_model(folder[0])
    frame = feature_frame(read_table(folder[1], [column.name for column in model.columns]), model.columns)
    return model.estimator, frame


def margin(pipeline, frame, positive):
    """Return what SHAP values of a class add up to, from the library's own functions."""
    features, final = pipeline[:-1].transform(frame), pipeline[-1]
    final = getattr(final, "estimators_", [final])[0] if type(final).__name__ == "VotingClassifier" else final
    sign = 1 if positive == 1 else -1
    if isinstance(final, XGBClassifier):
        return sign * final.predict(features, output_margin=True)
    if isinstance(final, LGBMClassifier):
        return sign * final.predict(features, raw_score=True)
    if hasattr(final, "decision_function"):
        return sign * final.decision_function(features)
    return final.predict_proba(features)[:, positive]


FAMILIES = [
    (HistGradientBoostingClassifier(max_iter=20), LOG_ODDS),
    (GradientBoostingClassifier(n_estimators=20), LOG_ODDS),
    (XGBClassifier(n_estimators=20), LOG_ODDS),
    (LGBMClassifier(n_estimators=20, verbose=-1), LOG_ODDS),
    (RandomForestClassifier(20, random_state=0), PROBABILITY),
    (ExtraTreesClassifier(20, random_state=0, max_depth=8), PROBABILITY),
    (DecisionTreeClassifier(max_depth=5), PROBABILITY),
    (LogisticRegression(), LOG_ODDS),
    (RidgeClassifier(), LINEAR),
]


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize(("estimator", "unit"), FAMILIES, ids=lambda value: type(value).__name__)
def test_values_and_base_are_the_output(model_folder, customers, estimator, unit, positive):
    pipeline, frame = loaded(model_folder(customers, estimator))
    found = explain_structure(pipeline, frame, numpy.full(len(frame), positive))
    assert found.unit == unit
    assert found.values.shape == frame.shape
    assert found.base + found.values.sum(axis=1) == pytest.approx(margin(pipeline, frame, positive), abs=1e-4)


@pytest.mark.parametrize(("estimator", "unit"), FAMILIES, ids=lambda value: type(value).__name__)
def test_the_sign_is_that_of_the_positive_class(model_folder, customers, estimator, unit):
    pipeline, frame = loaded(model_folder(customers, estimator))
    found = explain_structure(pipeline, frame, numpy.ones(len(frame), int))
    age = frame["age [years]"]
    assert found.values[age > 70, 0].mean() > 0 > found.values[age < 30, 0].mean()
    assert found.values[frame["home town"] == "Ulm", 1].mean() > 0


@pytest.mark.parametrize("estimator", [HistGradientBoostingClassifier(max_iter=20), RandomForestClassifier(20)])
def test_the_columns_of_a_text_are_added_up(model_folder, customers, estimator):
    pipeline, frame = loaded(model_folder(customers, estimator))
    found = explain_structure(pipeline, frame, numpy.ones(len(frame), int))
    values = shap.TreeExplainer(pipeline[-1]).shap_values(pipeline[:-1].transform(frame))
    values = values[:, :, 1] if values.ndim == 3 else values
    assert values.shape[1] == 2 + 4
    wanted = numpy.column_stack([values[:, 0], values[:, 2:].sum(axis=1), values[:, 1]])
    assert found.values == pytest.approx(wanted)


def test_linear_values_are_those_of_shap(model_folder, customers):
    pipeline, frame = loaded(model_folder(customers, LogisticRegression()))
    matrix = pipeline[:-1].transform(frame)
    values = shap.LinearExplainer(pipeline[-1], shap.maskers.Independent(matrix, len(matrix))).shap_values(matrix)
    wanted = numpy.column_stack([values[:, 0], values[:, 2:].sum(axis=1), values[:, 1]])
    assert explain_structure(pipeline, frame, numpy.ones(len(frame), int)).values == pytest.approx(wanted)


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingClassifier(max_iter=5),
        RandomForestClassifier(10, random_state=0),
        LogisticRegression(),
        LGBMClassifier(n_estimators=5, verbose=-1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_of_three_classes_the_chosen_one_is_explained(model_folder, customers, estimator):
    customers["bought"] = pandas.cut(customers["noise"], 3, labels=["a", "b", "c"]).astype(str)
    pipeline, frame = loaded(model_folder(customers, estimator))
    chosen = numpy.arange(len(frame)) % 3
    found = explain_structure(pipeline, frame, chosen)
    features, final = pipeline[:-1].transform(frame), pipeline[-1]
    if isinstance(final, LGBMClassifier):
        outputs = final.predict(features, raw_score=True)
    else:
        outputs = (
            final.decision_function(features) if hasattr(final, "decision_function") else final.predict_proba(features)
        )
    wanted = outputs[numpy.arange(len(frame)), chosen]
    assert found.base + found.values.sum(axis=1) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("estimator", "unit"),
    [
        (HistGradientBoostingRegressor(max_iter=9), TARGET),
        (RandomForestRegressor(9), TARGET),
        (LinearRegression(), LINEAR),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_regressor_is_explained_in_units_of_the_target(model_folder, customers, estimator, unit):
    customers["bought"] = customers["noise"] * 3 + 40
    pipeline, frame = loaded(model_folder(customers, estimator))
    found = explain_structure(pipeline, frame, numpy.zeros(len(frame), int))
    assert found.unit == unit
    assert found.base + found.values.sum(axis=1) == pytest.approx(pipeline.predict(frame))


def test_the_only_estimator_of_a_vote_is_explained(model_folder, customers):
    pipeline, frame = loaded(model_folder(customers, XGBClassifier(n_estimators=9)))
    assert type(pipeline[-1]).__name__ == "VotingClassifier"
    assert explain_structure(pipeline, frame, numpy.ones(len(frame), int)).unit == LOG_ODDS


@pytest.mark.parametrize("estimator", [KNeighborsClassifier(), SVC()])
def test_other_models_have_no_structure_to_explain(model_folder, customers, estimator):
    pipeline, frame = loaded(model_folder(customers, estimator))
    assert explain_structure(pipeline, frame, numpy.ones(len(frame), int)) is None


def test_all_orders_give_the_exact_values():
    generator = numpy.random.default_rng(2)
    wanted, background = generator.normal(size=(6, 3)), generator.normal(1, 2, size=(8, 3))

    def function(rows):
        return rows[:, 0] * rows[:, 1] + numpy.exp(rows[:, 2] / 3) * rows[:, 0]

    values, base = permute(
        lambda frame: function(frame.to_numpy()),
        pandas.DataFrame(wanted),
        pandas.DataFrame(background),
        [numpy.array(order) for order in itertools.permutations(range(3))],
    )
    assert base == pytest.approx(function(background).mean())
    assert values == pytest.approx(shapley(function, wanted, background))


def shapley(function, wanted, background):
    """Return Shapley values by their definition: the weighted gain of a feature over every set of the others."""

    def mean(row, chosen):
        return function(numpy.where(numpy.isin(range(len(row)), chosen), row, background)).mean()

    values = numpy.zeros(wanted.shape)
    size = wanted.shape[1]
    for place, feature in itertools.product(range(len(wanted)), range(size)):
        others = [each for each in range(size) if each != feature]
        for count in range(size):
            weight = math.factorial(count) * math.factorial(size - count - 1) / math.factorial(size)
            for chosen in itertools.combinations(others, count):
                gain = mean(wanted[place], [*chosen, feature]) - mean(wanted[place], chosen)
                values[place, feature] += weight * gain
    return values


def test_permuted_values_and_base_are_the_output(model_folder, customers):
    customers["student"] = numpy.resize([True, False, False], len(customers))
    customers["number"] = numpy.arange(len(customers)) % 7
    pipeline, frame = loaded(model_folder(customers, KNeighborsClassifier()))
    assert frame["home town"].isna().any()
    found = explain_predictions(pipeline.predict_proba, frame, numpy.ones(len(frame), int), PROBABILITY, 0)
    assert len(found.values) == AGNOSTIC_ROWS
    wanted = pipeline.predict_proba(frame)[:AGNOSTIC_ROWS, 1]
    assert found.base + found.values.sum(axis=1) == pytest.approx(wanted)


def test_importances_are_sorted_and_mean(run, model_folder, customers):
    folder = model_folder(customers, HistGradientBoostingClassifier(max_iter=20))
    pipeline, frame = loaded(folder)
    output = run(*folder)
    values = explain_structure(pipeline, frame, numpy.ones(len(frame), int)).values
    wanted = dict(zip(frame.columns, abs(values).mean(axis=0), strict=True))
    assert output.document["importances"] == pytest.approx(wanted)
    assert list(output.document["importances"]) == sorted(wanted, key=lambda name: -wanted[name])
    assert output.document["model"] == artifact_digest(folder[0])
    assert output.document["dataset"] == artifact_digest(folder[1])
    assert output.metrics.metadata["age_years"] == pytest.approx(wanted["age [years]"])
    assert "all 400" in output.html


def test_a_sample_is_told_and_does_not_change(run, model_folder, customers):
    folder = model_folder(customers, HistGradientBoostingClassifier(max_iter=20))
    first, second, other = run(*folder, max_rows=50), run(*folder, max_rows=50), run(*folder, max_rows=50, seed=1)
    assert "a sample of 50 of 400<" in first.html
    assert first.document["rows"] == 50
    assert first.document == second.document
    assert first.html == second.html
    assert first.document != other.document


def test_the_report_tells_no_values(run, model_folder, customers):
    customers["age [years]"] += 0.123457
    customers["home town"] = customers["home town"].str.replace("Ulm", "Secretville")
    html = run(*model_folder(customers, HistGradientBoostingClassifier(max_iter=20)), local_explanations=400).html
    assert ".123457" not in html
    assert "Secretville" not in html
    assert html.count("<h3>Prediction ") == 400


@pytest.mark.parametrize(("count", "headings"), [(0, 0), (1, 1), (3, 3)])
def test_so_many_single_explanations(run, model_folder, customers, count, headings):
    html = run(*model_folder(customers, LogisticRegression()), local_explanations=count).html
    assert html.count("<h3>Prediction ") == headings
    assert ("Single predictions" in html) == bool(count)


def test_any_model_is_explained_end_to_end(run, model_folder, customers):
    output = run(*model_folder(customers, KNeighborsClassifier()))
    assert output.document["rows"] == AGNOSTIC_ROWS
    assert output.document["unit"] == PROBABILITY
    assert f"a sample of {AGNOSTIC_ROWS} of 400; of all 400 that max_rows allows it would take too long" in output.html
    assert list(output.document["importances"])[-1] == "noise"


def test_a_regressor_end_to_end(run, model_folder, customers):
    customers["bought"] = customers["noise"] * 3 + 40
    output = run(*model_folder(customers, HistGradientBoostingRegressor(max_iter=20)))
    assert next(iter(output.document["importances"])) == "noise"
    assert output.document["unit"] == TARGET


def test_an_absent_feature(run, model_folder, customers):
    model, data = model_folder(customers, LogisticRegression())
    customers.drop(columns="noise").to_parquet(data, index=False)
    with pytest.raises(InputError, match=r"A feature of the model must be a column of the dataset; got 'noise'"):
        run(model, data)


def test_a_changed_model(run, model_folder, customers):
    model, data = model_folder(customers, LogisticRegression())
    with pytest.raises(IntegrityError, match="must have the digest"):
        run(model, data, "sha256:" + "0" * 64)


@pytest.mark.parametrize(("name", "value"), [("max_rows", 0), ("local_explanations", -1)])
def test_sizes_out_of_range(run, model_folder, customers, name, value):
    with pytest.raises(InputError, match=f"{name} must be at least .; got {value}"):
        run(*model_folder(customers, LogisticRegression()), **{name: value})


@pytest.mark.parametrize(("more", "rest"), [(4, "1 other feature<"), (5, "2 other features<")])
def test_what_a_single_prediction_leaves_out_is_counted(run, model_folder, customers, more, rest):
    for index in range(more):
        customers[f"more {index}"] = customers["noise"] * index
    assert rest in run(*model_folder(customers, LogisticRegression())).html


def test_numbers_are_told_by_rank():
    column = pandas.Series([*range(21), None])
    assert describe(column) == [
        *["lowest tenth"] * 3,
        *["low"] * 5,
        *["middle"] * 6,
        *["high"] * 5,
        *["highest tenth"] * 2,
        "missing",
    ]
    assert ranks(column)[[0, 10, 20, 21]].tolist() == [0, 0.5, 1, 0.5]


def test_a_number_that_most_rows_share_is_not_told_by_rank():
    column = pandas.Series([0.0] * 30 + [float(value) for value in range(1, 31)])
    assert describe(column)[0] == "most common"
    assert describe(column[1:])[0] == "low"


@pytest.mark.parametrize(
    ("values", "bands"),
    [
        ([1.0] * 15 + [0.0] * 85, {1.0: "common", 0.0: "most common"}),
        ([True] * 4 + [False] * 96, {True: "rare", False: "most common"}),
        ([1] * 13 + [2] * 87, {1: "common", 2: "most common"}),
        ([*range(20)] * 5, dict.fromkeys(range(20), "common")),
    ],
)
def test_few_numbers_are_told_by_how_many_share_them(values, bands):
    column = pandas.Series(values)
    assert describe(column) == [bands[value] for value in values]
    distinct = sorted(bands)
    assert ranks(column).tolist() == [distinct.index(value) / (len(distinct) - 1) for value in values]


@pytest.mark.parametrize(("count", "band"), [(4, "rare"), (5, "common"), (49, "common"), (50, "most common")])
def test_texts_are_told_by_how_many_share_them(count, band):
    assert describe(pandas.Series(["x"] * count + [f"y{index}" for index in range(100 - count)]))[0] == band


def test_names_of_metrics_are_plain_and_different():
    assert metric_names({"a b": 1, "a.b": 2, "ü": 3, "a_b": 4}) == {"a_b": 1, "a_b_2": 2, "feature": 3, "a_b_3": 4}


@pytest.mark.parametrize(
    ("raw", "positive", "wanted"),
    [
        ([0.25, 1.0], "ja", [[0.25, 0.75], [1.0, 0.0]]),
        ([0.25, 1.0], "nein", [[0.75, 0.25], [0.0, 1.0]]),
        ([0, 1], "nein", [[1, 0], [0, 1]]),
        (["nein", "ja"], "ja", [[0, 1], [1, 0]]),
    ],
)
def test_one_number_a_row_is_the_score_of_the_positive_class(raw, positive, wanted):
    meaning = {"task": "binary", "classes": ["ja", "nein"], "positive_class": positive}
    assert as_outputs(numpy.array(raw), meaning).tolist() == wanted


def test_single_predictions_by_lime(run, model_folder, customers):
    result = run(*model_folder(customers, RandomForestClassifier(20, random_state=0)), local_method="lime")
    assert result.html.count("<h3>Prediction") == 5
    assert result.html.count("where no value is kept") == 5
    assert result.html.count("Fidelity: 0.") == 5
    assert "Contributions to prediction 5" in result.html


def test_lime_explains_the_predicted_class_and_missing_values_of_any_model(run, model_folder, customers):
    customers["bought"] = numpy.where(customers["noise"] > 1, "later", customers["bought"])
    result = run(*model_folder(customers, KNeighborsClassifier()), local_method="lime", local_explanations=20)
    assert "home town: missing" in result.html or "age [years]: missing" in result.html
    assert "for bought = later" in result.html


def test_a_local_method_that_there_is_not(run, model_folder, customers):
    with pytest.raises(InputError, match="local_method must be shap or lime; got 'LIME'"):
        run(*model_folder(customers, LogisticRegression()), local_method="LIME")


def test_of_a_long_name_a_single_prediction_shows_the_end(run, model_folder, customers):
    customers = customers.rename(columns={"age [years]": "measurement in the sensor number 17"})
    result = run(*model_folder(customers, LogisticRegression()))
    assert re.search(r">…[ a-z]* 17: (middle|low|high)<", result.html)


def test_a_model_that_changes_its_input_is_explained_as_any_other(customers):
    """Rows that a model was given are not used again."""

    def changing(frame):
        frame["age [years]"] = frame["age [years]"].fillna(50)
        said = frame["age [years]"].to_numpy() / 10
        frame["age [years]"] = -1.0
        return said

    found = explain_predictions(changing, customers.drop(columns="bought"), numpy.zeros(400, int), TARGET, 0)
    ages = customers["age [years]"].fillna(50).to_numpy()[:AGNOSTIC_ROWS] / 10
    assert found.base + found.values.sum(axis=1) == pytest.approx(ages)
    assert (found.values[:, 1:] == 0).all()


def test_the_columns_types_are_kept_where_values_are_exchanged(customers):
    frame = customers.drop(columns="bought").assign(
        owner=numpy.resize([True, False], 400), code=numpy.arange(400, dtype="int32") % 5
    )
    seen = []

    def noting(mixed):
        seen.append(mixed.dtypes.equals(frame.dtypes))
        return numpy.zeros(len(mixed))

    explain_predictions(noting, frame, numpy.zeros(400, int), TARGET, 0)
    assert all(seen)
