import datetime
import math
from pathlib import Path

import pytest
from kfp import compiler, dsl

from kfp_hallmark import runner
from kfp_hallmark.errors import InputError, MissingInputError


@dsl.component(base_image="python:3.11")
def nothing():
    pass


@dsl.pipeline(name="typed")
def typed(
    count: int,
    text: str,
    share: float = 0.5,
    on: bool = True,
    names: list = [],
    limits: dict = {},
    data_uri: str = "data.csv",
):
    nothing()


REQUIRED = {"count": 1, "text": "a"}


def refused(**parameters):
    with pytest.raises(InputError) as caught:
        runner.check_parameters(typed, REQUIRED | parameters)
    return str(caught.value)


def test_what_is_right_is_taken():
    given = {"count": 2, "text": "b", "share": 1, "on": False, "names": ("x",), "limits": {"a": [1, {"b": 2.5}]}}
    checked = runner.check_parameters(typed, given)
    assert checked == given | {"names": ["x"], "share": 1.0}
    assert isinstance(checked["share"], float)


def test_none_is_as_if_not_given():
    assert runner.check_parameters(typed, REQUIRED | {"share": None}) == REQUIRED


def test_unknown_names_are_refused_with_the_nearest():
    assert refused(cuont=3) == (
        "A parameter must be one that the pipeline has; got 'cuont'.\nHint: Did you mean 'count'?"
    )
    with pytest.raises(InputError, match="got 'shares'"):
        runner.check_parameters(typed, {"shares": None})


def test_all_missing_ones_are_named():
    with pytest.raises(InputError, match="missing: count, text") as caught:
        runner.check_parameters(typed, {"share": 0.1})
    assert "--set NAME=VALUE" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", "3", 'must be of type int; got "3" (str)'),
        ("count", 3.0, "must be of type int; got 3.0 (float)"),
        ("count", True, "must be of type int; got True (bool)"),
        ("text", 2015, 'must be of type str; got 2015 (int).\nHint: Quote it to make it text: text: "2015".'),
        ("text", datetime.date(2015, 1, 2), "must be of type str"),
        ("share", "0.5", "must be of type float"),
        ("share", False, "must be of type float"),
        ("share", math.nan, "must be finite; got nan"),
        ("share", math.inf, "must be finite; got inf"),
        ("on", 1, "must be of type bool"),
        ("names", "x", 'must be of type list; got "x" (str).\nHint: Write [x].'),
        ("names", "[x, y", "Hint: Write [x, y]."),
        ("names", {"x": 1}, "must be of type list"),
        ("limits", [1], "must be of type dict"),
        ("limits", {1: 2}, "keys inside the parameter 'limits' must be text; got 1"),
        ("limits", "a:1", 'must be of type dict; got "a:1" (str).\nHint: Write {name: value}, with a space after the'),
        ("limits", {"a:1": None}, "must not be missing; 'a:1' has none.\nHint: Write a space after the colon:"),
        ("data_uri", "", "'data_uri' must be a path or a URI; got ''.\nHint: Leave it out, or write null."),
        ("limits", {"a": {"b": None}}, "got None.\nHint: Leave out what has no value."),
        ("names", [math.inf], "finite numbers"),
        ("names", [datetime.date(2015, 1, 2)], "values inside the parameter 'names'"),
    ],
)
def test_wrong_types_are_refused(name, value, message):
    assert message in refused(**{name: value})


def test_text_is_read_by_the_declared_type():
    texts = {
        "count": "7",
        "text": "2015",
        "share": "1e-3",
        "on": "False",
        "names": "[a, 1]",
        "limits": '{"min_roc_auc": 0.8}',
    }
    assert runner.parse_parameters(typed, texts) == {
        "count": 7,
        "text": "2015",
        "share": 0.001,
        "on": False,
        "names": ["a", 1],
        "limits": {"min_roc_auc": 0.8},
    }


def test_null_means_absent():
    assert runner.parse_parameters(typed, {"share": "null", "names": "null"}) == {"share": None, "names": None}
    assert runner.parse_parameters(typed, {"text": "null"}) == {"text": "null"}


@pytest.mark.parametrize(("name", "text"), [("count", "1.5"), ("share", "x"), ("on", "perhaps"), ("limits", "{a: [")])
def test_text_of_another_type_is_refused(name, text):
    with pytest.raises(InputError, match=f"The parameter '{name}' must be of type"):
        runner.parse_parameters(typed, {name: text})


def test_unknown_names_are_refused_in_text_too():
    with pytest.raises(InputError, match="Did you mean 'names'"):
        runner.parse_parameters(typed, {"name": "x"})


def test_relative_paths_start_from_the_base():
    given = {
        "data_uri": "data/a.parquet",
        "serving_dir": "served",
        "audit_log": "../log.jsonl",
        "remote_uri": "s3://bucket/key",
        "absolute_uri": "/data/a.csv",
        "text": "data/a.parquet",
        "empty_uri": "",
    }
    assert runner.resolve_paths(given, Path("/base")) == given | {
        "data_uri": "/base/data/a.parquet",
        "serving_dir": "/base/served",
        "audit_log": "/log.jsonl",
    }


def test_a_compiled_pipeline_has_the_same_parameters(tmp_path):
    compiler.Compiler().compile(typed, str(tmp_path / "typed.yaml"))
    assert runner.parameter_fields(tmp_path / "typed.yaml") == runner.parameter_fields(typed)


def test_files_that_are_no_pipeline_are_refused(tmp_path):
    with pytest.raises(MissingInputError, match=r"must be a compiled YAML file; got .*absent\.yaml"):
        runner.parameter_fields(tmp_path / "absent.yaml")
    (tmp_path / "other.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match="must be what KFP's compiler wrote"):
        runner.parameter_fields(tmp_path / "other.yaml")
