import json
import math
import re
from types import SimpleNamespace

import numpy
import pandas
import pyarrow
import pytest
import sklearn.metrics as reference
from kfp import dsl
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from kfp_hallmark.components.evaluation.evaluate_model.evaluate import evaluate
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.predictions import read_predictions
from kfp_hallmark.errors import InputError, IntegrityError
from kfp_hallmark.slicing import FEWEST, MAX_SLICES, SMALL, divide


@pytest.fixture
def run(tmp_path):
    def run(model, data, digest=None, **options):
        output = SimpleNamespace(
            predictions=dsl.Dataset(uri=str(tmp_path / "predictions.parquet")),
            metrics=dsl.Metrics(uri=str(tmp_path / "metrics")),
            classification=dsl.ClassificationMetrics(uri=str(tmp_path / "classification")),
            report=dsl.HTML(uri=str(tmp_path / "report.html")),
        )
        given = dsl.Model(uri=str(model), metadata={"digest": digest} if digest else {})
        settings = {"target": "bought", "slices": [], "bootstrap_samples": 200, "confidence": 0.95, "seed": 0}
        settings |= {"costs": {}, "validation": None, "found_slices": 0} | options
        evaluate(given, dsl.Dataset(uri=str(data)), *vars(output).values(), **settings)
        output.html = (tmp_path / "report.html").read_text()
        return output

    return run


def test_the_numbers_are_those_of_scikit_learn(run, model_folder, customers):
    model, data = model_folder(customers, LogisticRegression(C=0.01))
    output = run(model, data)
    found = read_predictions(output.predictions.path, data)
    truth = customers["bought"] == "yes"
    assert found.positive_class == "yes"
    assert 0 < truth.mean() != 0.5
    values = output.metrics.metadata
    assert values["roc_auc"] == pytest.approx(reference.roc_auc_score(truth, found.score))
    assert values["average_precision"] == pytest.approx(reference.average_precision_score(truth, found.score))
    assert values["log_loss"] == pytest.approx(reference.log_loss(truth, found.score))
    assert values["precision"] == pytest.approx(reference.precision_score(truth, found.score >= 0.5))
    assert values["recall"] == pytest.approx(reference.recall_score(truth, found.score >= 0.5))
    assert values["precision"] != pytest.approx(values["recall"])
    assert values["roc_auc_low"] < values["roc_auc"] < values["roc_auc_high"]
    assert values["rows"] == 400


def test_the_matrix_has_the_true_class_in_its_rows(run, model_folder, customers):
    model, data = model_folder(customers, LogisticRegression(C=0.01))
    output = run(model, data)
    found = read_predictions(output.predictions.path)
    matrix = output.classification.metadata["confusionMatrix"]
    wanted = reference.confusion_matrix(customers["bought"], found.prediction, labels=["no", "yes"]).tolist()
    assert [row["row"] for row in matrix["rows"]] == wanted
    assert wanted[0][1] != wanted[1][0]
    assert [entry["displayName"] for entry in matrix["annotationSpecs"]] == ["no", "yes"]


def test_the_curve_is_finite_and_short(run, model_folder, customers):
    model, data = model_folder(customers, HistGradientBoostingClassifier())
    points = run(model, data).classification.metadata["confidenceMetrics"]
    assert 10 < len(points) <= 200
    assert all(math.isfinite(value) for point in points for value in point.values())
    assert (points[0]["recall"], points[-1]["recall"]) == (0, 1)


def test_the_predictions_are_bound_to_model_and_data(run, model_folder, customers):
    model, data = model_folder(customers, LogisticRegression(), positive_class="no")
    output = run(model, data)
    assert output.predictions.metadata == {
        "digest": artifact_digest(output.predictions.path),
        "model": artifact_digest(model),
        "dataset": artifact_digest(data),
    }
    assert read_predictions(output.predictions.path, data).positive_class == "no"


def test_the_same_twice(run, model_folder, customers):
    model, data = model_folder(customers, LogisticRegression())
    first = run(model, data, slices=["home town"])
    second = run(model, data, slices=["home town"])
    assert first.predictions.metadata == second.predictions.metadata
    assert first.metrics.metadata == second.metrics.metadata
    assert first.html == second.html


def test_slices_are_shown_and_small_ones_marked(run, model_folder, customers):
    customers["home town"] = numpy.repeat(["Bonn", "Ulm", "Köln", "Aue"], [SMALL, SMALL - 1, 192, 9])
    model, data = model_folder(customers, LogisticRegression())
    html = run(model, data, slices=["home town"]).html
    assert html.count(">few rows</span>") == 2
    assert "2 of 4 slices have fewer than 100 rows" in html
    for name in ("Bonn", "Ulm", "Köln", "(rarer values: 1)"):
        assert f"<td>{name}</td>" in html
    assert "<td>Aue</td>" not in html
    too_few = html.partition("<td>(rarer values: 1)</td>")[2].partition("</tr>")[0]
    assert re.findall(r">([^<>]+)</td>", too_few) == ["9", *"––––"]


def test_the_report_names_metrics_in_words(run, model_folder, customers):
    model, data = model_folder(customers, LogisticRegression())
    output = run(model, data, slices=["home town"])
    assert "roc auc" in output.html
    assert [name for name in output.metrics.metadata if "_" in name and name in output.html] == []


def test_a_name_is_escaped(run, model_folder, customers):
    customers["home town"] = "<b>Ulm</b>"
    model, data = model_folder(customers, LogisticRegression())
    assert "<b>Ulm" not in run(model, data, slices=["home town"]).html


def test_slices_hold_every_row_once():
    column = pyarrow.chunked_array([pyarrow.array([1.5] * 30 + [2.5] * 9 + [None] * 4 + [3.5])])
    parts = divide(column)
    assert [(name, len(rows)) for name, rows in parts] == [("1.5", 30), ("(rarer values: 2)", 10), ("(missing)", 4)]
    assert sorted(row for _, rows in parts for row in rows) == list(range(44))


@pytest.mark.parametrize(("count", "names"), [(FEWEST, ["a", "b"]), (FEWEST - 1, ["b", "(rarer values: 1)"])])
def test_a_value_of_few_rows_is_no_slice(count, names):
    column = pyarrow.chunked_array([pyarrow.array(["a"] * count + ["b"] * 30)])
    assert [name for name, _ in divide(column)] == names


def test_numbers_of_many_values_are_cut_into_bands():
    column = pyarrow.chunked_array([pyarrow.array(numpy.arange(100.0))])
    parts = divide(column)
    assert [len(rows) for _, rows in parts] == [20] * 5
    assert parts[0][0] == "up to 19.8"
    assert parts[4][0] == "above 79.2"


def test_infinities_beside_many_numbers_are_slices_of_their_own():
    values = numpy.arange(100.0)
    values[10:20], values[50:70], values[80:85] = -math.inf, math.inf, math.nan
    parts = divide(pyarrow.chunked_array([pyarrow.array(values, from_pandas=True)]))
    assert [len(rows) for _, rows in parts] == [13] * 5 + [10, 20, 5]
    assert [name for name, _ in parts[5:]] == ["-inf", "inf", "(missing)"]
    assert set(parts[6][1]) == set(range(50, 70))
    assert parts[0][0] == "up to 22.8"
    assert parts[4][0] == "above 86.2"


def test_a_text_of_many_values_keeps_the_most_frequent():
    column = pyarrow.chunked_array([pyarrow.array([f"v{index}" for index in range(MAX_SLICES + 5) for _ in range(12)])])
    parts = divide(column)
    assert len(parts) == MAX_SLICES + 1
    assert (parts[-1][0], len(parts[-1][1])) == ("(rarer values: 5)", 60)


def test_three_classes(run, model_folder, customers):
    customers["bought"] = pandas.cut(customers["noise"], 3, labels=["low", "middle", "high"]).astype(str)
    model, data = model_folder(customers, HistGradientBoostingClassifier(max_iter=5))
    output = run(model, data, slices=["home town"])
    found = read_predictions(output.predictions.path)
    assert output.metrics.metadata["accuracy"] == pytest.approx(
        reference.accuracy_score(customers["bought"], found.prediction)
    )
    assert len(output.classification.metadata["confusionMatrix"]["rows"]) == 3
    assert "confidenceMetrics" not in output.classification.metadata


def test_numbers(run, model_folder, customers):
    customers["bought"] = customers["noise"] * 2 + 1
    model, data = model_folder(customers, HistGradientBoostingRegressor(max_iter=5))
    output = run(model, data, slices=["home town"])
    found = read_predictions(output.predictions.path)
    assert output.metrics.metadata["r2"] == pytest.approx(reference.r2_score(customers["bought"], found.prediction))
    assert output.classification.metadata.keys() <= {"display_name"}
    assert "Confusion" not in output.html


def test_a_classifier_without_scores(run, model_folder, customers):
    output = run(*model_folder(customers, LinearSVC()))
    assert "roc_auc" not in output.metrics.metadata
    assert output.metrics.metadata["accuracy"] > 0.7
    assert "ROC curve" not in output.html


def test_one_class_in_the_data(run, model_folder, customers, tmp_path):
    model, data = model_folder(customers, LogisticRegression())
    customers[customers["bought"] == "no"].to_parquet(data, index=False)
    with pytest.raises(InputError, match="at least two classes of the target 'bought'; got one in all"):
        run(model, data)
    assert not (tmp_path / "predictions.parquet").exists()


def test_an_absent_slice(run, model_folder, customers):
    with pytest.raises(InputError, match=r"slices must be a column of the dataset; got 'hometown'.*\n.*'home town'"):
        run(*model_folder(customers, LogisticRegression()), slices=["hometown"])


def test_an_absent_target(run, model_folder, customers):
    with pytest.raises(InputError, match=r"target must be a column of the dataset; got 'buys'"):
        run(*model_folder(customers, LogisticRegression()), target="buys")


def test_a_changed_model(run, model_folder, customers):
    model, data = model_folder(customers, LogisticRegression())
    digest = artifact_digest(model)
    run(model, data, digest)
    document = json.loads((model / "input_example.json").read_text())
    (model / "input_example.json").write_text(json.dumps(document, indent=1))
    with pytest.raises(IntegrityError, match=f"must have the digest {digest}"):
        run(model, data, digest)


@pytest.mark.parametrize(("name", "value"), [("confidence", 1.0), ("bootstrap_samples", 99)])
def test_settings_out_of_range(run, model_folder, customers, name, value):
    with pytest.raises(InputError, match=f"{name} must be"):
        run(*model_folder(customers, LogisticRegression()), **{name: value})


def test_slices_are_searched_where_asked(run, model_folder, customers):
    customers["home town"] = numpy.repeat(["Bonn", "<b>Ulm"], 200)
    customers.loc[200:, "bought"] = numpy.where(numpy.arange(200) % 2, "yes", "no")
    model, data = model_folder(pandas.concat([customers] * 3), LogisticRegression())
    html = run(model, data, found_slices=3).html
    assert "<h2>Slices found</h2>" in html
    assert "home town &lt;b&gt;Ulm" in html
    assert "<td>shown</td>" in html


@pytest.mark.parametrize("count", [-1, 51])
def test_a_number_of_slices_out_of_range(run, model_folder, customers, count):
    with pytest.raises(InputError, match=rf"found_slices must be from 0 to 50; got {count}\."):
        run(*model_folder(customers, LogisticRegression()), found_slices=count)
