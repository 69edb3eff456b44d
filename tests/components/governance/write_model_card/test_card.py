import numpy as np
import pandas
import pytest
import yaml

from kfp_hallmark.components.governance.write_model_card.card import _groups, _verdicts
from kfp_hallmark.components.governance.write_model_card.fields import FIELDS
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.importances import Importances
from kfp_hallmark.contracts.predictions import MULTICLASS, REGRESSION
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError
from kfp_hallmark.measures import bootstrap_intervals, measure
from kfp_hallmark.statement import read_statement

OTHER = "sha256:" + "9" * 64


def metrics_of(result, group=None):
    found = result.bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    return {entry["type"]: entry for entry in found if entry.get("slice") == group}


def considerations_of(result):
    return result.bom["metadata"]["component"]["modelCard"]["considerations"]


def properties_of(result):
    return {entry["name"]: entry["value"] for entry in result.bom["metadata"]["component"]["properties"]}


def test_all_that_was_said_is_told_in_every_form(written, statement):
    result = written(statement)
    assert result.missing == 0
    texts = [entry for value in statement.values() if isinstance(value, list) for entry in value]
    said = [value for value in statement.values() if isinstance(value, str)]
    said += [text for entry in texts for text in (entry.values() if isinstance(entry, dict) else [entry])]
    document = str(result.bom)
    for text in said:
        assert text.replace("'", "&#x27;") in result.page, text
        assert text in result.markdown, text
        assert text in document.replace('"', "'"), text
    assert "Every field that a person must say is said." in result.page


def test_what_nobody_said_is_named_and_nothing_is_invented(written, statement):
    del statement["limitations"]
    statement |= {"owner": None, "intended_users": []}
    result = written(statement)
    assert result.missing == 3
    assert "limitations: where it is known to be poor" in result.page
    assert "- owner: who answers for it" in result.markdown
    assert "Limitations: Not said." in result.markdown
    assert properties_of(result)["hallmark:not_said"] == "owner, intended_users, limitations"
    assert "users" not in considerations_of(result)
    assert considerations_of(result)["technicalLimitations"] == ["Out of scope: Decisions without a person"]


def test_without_a_statement_all_is_missing(written):
    result = written(None, decision=False)
    assert result.missing == len(FIELDS) == 16
    assert "Nothing was decided on it. 16 of 16 fields that a person must say are missing." in result.page
    assert result.bom["metadata"]["component"]["name"] == "unnamed model"
    assert considerations_of(result) == {}
    assert "supplier" not in result.bom["metadata"]["component"]


def test_the_card_is_bound_to_the_models_digest(written):
    result = written()
    digest = artifact_digest(result.model)
    assert result.bom["metadata"]["component"]["bom-ref"] == digest
    assert result.metadata == {"digest": artifact_digest(result.out / "card.cdx.json"), "model_digest": digest}
    assert digest in result.page
    assert digest in result.markdown


def test_metrics_are_those_of_the_predictions(written):
    result = written()
    expected = measure(result.given)
    spans = bootstrap_intervals(result.given, list(expected), 200, 0.95, 0)
    found = metrics_of(result)
    assert {name: float(entry["value"]) for name, entry in found.items()} == expected
    low, high = spans["roc_auc"]
    assert found["roc_auc"]["confidenceInterval"] == {"lowerBound": repr(low), "upperBound": repr(high)}


def test_metrics_of_groups_are_those_of_their_rows(written):
    result = written(group_columns=["town", "size"], min_group_size=50)
    town = result.frame["town"]
    for value in ("Bonn", "Köln | West"):
        rows = np.flatnonzero(town == value)
        found = metrics_of(result, f"town = {value}")
        assert {name: float(entry["value"]) for name, entry in found.items()} == {
            name: measure(result.given, rows)[name] for name in ("accuracy", "precision", "recall")
        }
    assert town.isna().sum() < 50
    assert metrics_of(result, "town = (missing)") == {}
    assert f"| (missing) | {town.isna().sum()} | too few rows | too few rows | too few rows |" in result.markdown
    assert "| Köln \\| West |" in result.markdown
    assert set(metrics_of(result, "size = 3")) == {"accuracy", "precision", "recall"}


@pytest.mark.parametrize(("task", "name"), [(MULTICLASS, "f1_macro"), (REGRESSION, "r2")])
def test_other_tasks(written, task, name):
    result = written(task=task, group_columns=["town"])
    assert name in metrics_of(result)
    assert name in metrics_of(result, "town = Bonn")
    assert task in result.page


def test_verdicts_are_those_of_the_decision(written):
    result = written()
    assert properties_of(result)["hallmark:decision"] == "halt"
    assert properties_of(result)["hallmark:verdict:fairness_gate"] == "pass"
    assert "| robustness\\_gate | inconclusive | There is no verdict. |" in result.markdown


def test_importances(written, judged_model):
    values = {f"f{place}": 1 / (place + 1) for place in range(300)}
    importances = Importances(
        model=artifact_digest(judged_model[0]),
        dataset=OTHER,
        target="y",
        explained="y = 1",
        method="the coefficients, exactly",
        unit="log-odds",
        rows=100,
        seed=0,
        importances=values,
        cohorts=[],
        part_rows=50,
        parts={name: [value, value] for name, value in values.items()},
    )
    result = written(importances=importances.to_json())
    assert "Mean absolute SHAP values for y = 1, in log-odds, of 100 rows, by the coefficients, exactly." in result.page
    assert "| f0 | 1 |" in result.markdown
    assert "280 less important features are not shown." in result.page
    with pytest.raises(IntegrityError, match=r"The importances must be about the model given, sha256:.*; got sha256:9"):
        written(importances=importances.to_json() | {"model": OTHER})
    with pytest.raises(IntegrityError, match="must be a whole hallmark/importances/v1"):
        written(importances=importances.to_json() | {"importances": {"f0": "much"}})


def test_predictions_of_another_model_are_refused(written, tmp_path):
    with pytest.raises(IntegrityError, match=r"The predictions must be about the model given, .*; got sha256:999"):
        written(about=OTHER)
    assert not (tmp_path / "out").exists()


def test_a_decision_on_another_model_is_refused(written):
    result = written()
    (result.model / "model.pkl").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="The decision must be about the model given"):
        written(decision="kept")


def test_changed_evidence_is_refused(written, tmp_path):
    from kfp import dsl

    from kfp_hallmark.contracts.decision import Decision

    written()
    (tmp_path / "decision" / "evidence" / "fairness_gate.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"what was decided on; evidence/fairness_gate\.json is not\."):
        _verdicts(dsl.Artifact(uri=str(tmp_path / "decision")), Decision.read(tmp_path / "decision"))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"limitation": ["x"]}, r"known fields; got 'limitation'\.\nHint: Did you mean 'limitations'\?"),
        ({"owner": ["x"]}, r"The field 'owner' of the statement must be text; got list\."),
        ({"owner": "  "}, r"The field 'owner' of the statement must be text; got a blank text\."),
        ({"owner": "a\x00"}, r"The field 'owner' of the statement must be text; got control characters\."),
        ('owner: "\\ud800"', r"The field 'owner' of the statement must be text; got control characters\."),
        ({"intended_use": ["x", " "]}, r"must be a list of texts; got a list with a blank text\."),
        ({"intended_use": ["x", None]}, r"must be a list of texts; got a list with NoneType\."),
        ("owner: a\nowner: b", r"The statement must hold each field once; it holds 'owner' more often\."),
        ("owner: !!timestamp x", r"statement_uri must be a YAML file; '.*' cannot be read as one\."),
        ("owner: !!bool x", r"statement_uri must be a YAML file; '.*' cannot be read as one\."),
        ({"intended_use": "x"}, r"The field 'intended_use' of the statement must be a list of texts; got str\."),
        ({"version": 3}, r"The field 'version' of the statement must be text; got int\."),
        ({"version": "3" * 1025}, r"The version must have at most 1,024 characters; it has 1,025\."),
        ({"groups_at_risk": ["x"]}, r"must be a list of mappings of group, benefits, harms, mitigation\."),
        ({"groups_at_risk": [{"harm": "x"}]}, r"entry of 'groups_at_risk' .* got 'harm'\.\nHint: Did you mean 'harms'"),
        ({"groups_at_risk": [{"harms": "x"}]}, r"Every entry of 'groups_at_risk' must have the field 'group'; one has"),
        (
            {"groups_at_risk": [{"group": 1}]},
            r"The field 'group' of an entry of 'groups_at_risk' must be text; got int",
        ),
        ("- a", r"The statement must be a YAML mapping; got list\."),
        ("a: [", r"statement_uri must be a YAML file; '.*' cannot be read as one\."),
    ],
)
def test_a_bad_statement_raises_before_anything_is_written(written, tmp_path, said, message):
    with pytest.raises(InputError, match=message):
        written(said)
    assert not (tmp_path / "out").exists()


def test_bad_settings(written):
    with pytest.raises(InputError, match=r"group_columns must be a column of the dataset; got 'twon'\.\nHint: Did you"):
        written(group_columns=["twon"])
    with pytest.raises(InputError, match=r"The group column 'id' must have at most 100 values; got 900\."):
        written(group_columns=["id"])
    with pytest.raises(InputError, match="min_group_size must be at least 1; got 0"):
        written(min_group_size=0)


TENSOR = '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]'


@pytest.mark.parametrize("document", [{}, {"signature": {"inputs": TENSOR}}, {"metadata": {"hallmark": None}}])
def test_a_model_that_says_nothing_of_itself(written, statement, judged_model, document):
    flavors = {"flavors": {"python_function": {"loader_module": "mlflow.pytorch"}}}
    (judged_model[0] / "MLmodel").write_text(yaml.safe_dump(flavors | document))
    result = written(statement, decision=False)
    assert "- **made from**: The model does not say." in result.markdown
    assert "- **experiment hash**: The model does not say." in result.markdown
    assert "| Input | Type |" not in result.markdown
    card = result.bom["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["inputs"] == []
    assert card["modelParameters"]["datasets"] == [{"ref": result.given.dataset}]


def test_groups_of_large_numbers_keep_apart(tmp_path):
    pandas.DataFrame({"code": [12345671.0, 12345672.0, 0.5, 3.0, None]}).to_parquet(tmp_path / "data.parquet")
    found = [value for value, _ in _groups(str(tmp_path / "data.parquet"), "code")]
    assert found == ["0.5", "3", "12345671", "12345672", "(missing)"]


def test_a_column_that_is_named_twice_is_told_once(written):
    assert written(group_columns=["town", "town"]).markdown.count("| Bonn |") == 1


def test_what_is_at_risk_comes_first(written, statement):
    statement["groups_at_risk"] = [{"mitigation": "Care", "group": "Women"}, {"group": "Men", "harms": "None"}]
    assert "| Group | Harms | Mitigation |" in written(statement).markdown


def test_a_statement_that_is_not_there(written, tmp_path):
    with pytest.raises(MissingInputError, match=r"statement_uri must be a YAML file; got '.*none\.yaml'"):
        read_statement(str(tmp_path / "none.yaml"), FIELDS)


def test_what_is_said_cannot_break_out_of_its_form(written, statement):
    statement["description"] = "<script>alert(1)</script> | **bold** [x](javascript:y)\n\n# Heading"
    statement["limitations"] = ["- nested", "1. first", "a_b"]
    result = written(statement)
    assert "<script" not in result.page
    assert "<script" not in result.markdown
    assert "\\*\\*bold\\*\\* \\[x\\](javascript:y) \\# Heading" in result.markdown
    assert "- \\- nested\n- 1\\. first\n- a\\_b" in result.markdown
