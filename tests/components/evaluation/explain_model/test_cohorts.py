import json
from types import SimpleNamespace

import numpy
import pandas
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp import dsl
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from kfp_hallmark.components.evaluation.explain_model.cohorts import LEAST_ROWS, MISSING, as_texts, cohorts_of
from kfp_hallmark.components.evaluation.explain_model.explain import explain
from kfp_hallmark.contracts.dataset import read_table
from kfp_hallmark.errors import InputError
from kfp_hallmark.explanation.shapley import AGNOSTIC_ROWS, explain_structure
from kfp_hallmark.modeling.columns import feature_frame
from kfp_hallmark.modeling.loading import load_model


@pytest.fixture
def told(tmp_path):
    """Explain a model with cohorts; give the document and the page."""

    def run(model, data, **options):
        outputs = [
            dsl.Artifact(uri=str(tmp_path / "importances.json")),
            dsl.Metrics(uri=str(tmp_path / "metrics")),
            dsl.HTML(uri=str(tmp_path / "report.html")),
        ]
        settings = {"target": "bought", "max_rows": 1000, "local_explanations": 0, "seed": 0} | options
        explain(dsl.Model(uri=str(model)), dsl.Dataset(uri=str(data)), *outputs, **settings)
        document = json.loads((tmp_path / "importances.json").read_text())
        return SimpleNamespace(document=document, page=(tmp_path / "report.html").read_text())

    return run


def means(model, data, mask, chosen):
    loaded = load_model(model)
    table = read_table(data, [column.name for column in loaded.columns])
    frame = feature_frame(table, loaded.columns)
    values = explain_structure(loaded.estimator, frame, chosen).values
    return dict(zip(frame.columns, abs(values[mask]).mean(axis=0).tolist(), strict=True))


def test_a_cohorts_importances_are_those_of_its_rows(told, model_folder, customers):
    folder = model_folder(customers, HistGradientBoostingClassifier(max_iter=20))
    cohorts = told(*folder, cohort_columns=["home town", "bought"]).document["cohorts"]
    shown = [(cohort["column"], cohort["value"]) for cohort in cohorts]
    assert shown == [
        *(("home town", value) for value in ("(missing)", "Bonn", "Köln", "Ulm")),
        ("bought", "no"),
        ("bought", "yes"),
    ]
    mask = (customers["home town"] == "Ulm").to_numpy()
    ulm = cohorts[3]
    assert ulm["rows"] == mask.sum()
    assert ulm["importances"] == pytest.approx(means(*folder, mask, numpy.ones(len(mask), int)))
    assert list(ulm["importances"].values()) == sorted(ulm["importances"].values(), reverse=True)
    assert sum(cohort["rows"] for cohort in cohorts[:4]) == len(customers)


def test_of_three_classes_each_is_told(told, model_folder, customers):
    customers["bought"] = pandas.cut(customers["noise"], 3, labels=["a", "b", "c"]).astype(str)
    folder = model_folder(customers, RandomForestClassifier(10, max_depth=6, random_state=0))
    found = told(*folder)
    cohorts = found.document["cohorts"]
    assert {cohort["column"] for cohort in cohorts} == {"predicted class"}
    estimator = load_model(folder[0]).estimator
    chosen = estimator.predict_proba(customers.drop(columns="bought")).argmax(axis=1)
    for cohort in cohorts:
        mask = chosen == ["a", "b", "c"].index(cohort["value"])
        assert cohort["rows"] == mask.sum()
        assert cohort["importances"] == pytest.approx(means(*folder, mask, chosen))
    assert "predicted class" in found.page


def test_without_cohorts_nothing_is_told_of_them(told, model_folder, customers):
    found = told(*model_folder(customers, HistGradientBoostingClassifier(max_iter=20)))
    assert found.document["cohorts"] == []
    assert "By cohort" not in found.page


def test_a_model_explained_by_predictions_alone_has_cohorts_of_the_rows_explained(told, model_folder, customers):
    found = told(*model_folder(customers, KNeighborsClassifier()), cohort_columns=["bought"])
    assert sum(cohort["rows"] for cohort in found.document["cohorts"]) == AGNOSTIC_ROWS


def test_the_page_tells_shares_and_differences(told, model_folder, customers):
    customers["home town"] = "Bonn"
    found = told(*model_folder(customers, HistGradientBoostingClassifier(max_iter=20)), cohort_columns=["home town"])
    total = sum(found.document["importances"].values())
    name, value = next(iter(found.document["importances"].items()))
    assert f'{name} {value / total:.0%} <span class="note">(+0)</span>' in found.page


@given(st.integers(1, 60), st.integers(0, 60))
def test_small_cohorts_are_not_told(first, second):
    values = numpy.ones((first + second, 2))
    found = cohorts_of("c", ["a"] * first + ["b"] * second, values, ["x", "y"])
    assert [cohort.value for cohort in found] == [
        value for value, rows in (("a", first), ("b", second)) if rows >= LEAST_ROWS
    ]


@pytest.mark.parametrize(
    "ordered",
    [
        [MISSING, "-3", "1.5", "2", "10"],
        [MISSING, "1", "10", "2", "b"],
        ["1", "10", "2", "nan"],
        ["class 1", "class 10", "class 2"],
        ["1", "1.0", "2"],
    ],
)
def test_cohorts_of_numbers_are_in_their_order(ordered):
    shared = sorted(ordered, reverse=True) * LEAST_ROWS
    found = cohorts_of("k", shared, numpy.ones((len(shared), 1)), ["f"])
    assert [cohort.value for cohort in found] == ordered


def test_values_are_told_as_text():
    assert as_texts(pyarrow.chunked_array([[1.0, None, float("nan"), 2.5]]), "c") == [
        "1",
        "(missing)",
        "(missing)",
        "2.5",
    ]


def test_bad_cohort_columns(told, model_folder, customers, tmp_path):
    customers["id"] = range(len(customers))
    folder = model_folder(customers, HistGradientBoostingClassifier(max_iter=5))
    with pytest.raises(InputError, match=r"cohort_columns must be a column of the dataset; got 'town'\."):
        told(*folder, cohort_columns=["town"])
    with pytest.raises(
        InputError, match=r"The cohort column 'id' must have at most 100 values; got 400\.\nHint: Bin it"
    ):
        told(*folder, cohort_columns=["id"])
    assert not (tmp_path / "report.html").exists()
