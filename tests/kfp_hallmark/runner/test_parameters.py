import datetime
import math
from pathlib import Path

import pytest
from kfp import compiler, dsl

from kfp_hallmark import runner
from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.runner.parameters import paths_of


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


ENDLESS = []
ENDLESS.append(ENDLESS)

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
        ("count", 2**53 + 1, "Whole numbers in the parameter 'count' must be at most 2**53 in size; one is not."),
        ("count", -(2**53) - 1, "at most 2**53 in size"),
        ("count", 10**400, "at most 2**53 in size"),
        ("share", 10**400, "at most 2**53 in size"),
        ("limits", {"a": [2**53 + 1]}, "Whole numbers in the parameter 'limits'"),
        ("text", "{{$.inputs.parameters['count']}}", "Text in the parameter 'text' must not hold '{{$', which KFP"),
        ("names", [["/kfp-workspace/x"]], "Text in the parameter 'names' must not hold '/kfp-workspace'"),
        ("text", "\udcff", "Text in the parameter 'text' must be UTF-8; got '\\udcff'."),
        ("limits", {"\udcff": 1}, "Text in the parameter 'limits' must be UTF-8"),
        ("names", ENDLESS, "The parameter 'names' must nest at most 30 deep"),
        ("data_uri", "s3://bob:s3cr@t@host/a", "must hold no password, which would stand in the steps' logs"),
        ("limits", {"a": ["see http://bob:s3cr@t@host"]}, "got one in 'see http://host'.\nHint: Give credentials by"),
        ("names", [datetime.date(2015, 1, 2)], "values inside the parameter 'names'"),
    ],
)
def test_wrong_types_are_refused(name, value, message):
    told = refused(**{name: value})
    assert message in told
    assert "s3cr" not in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 2**53),
        ("count", -(2**53)),
        ("limits", {"a": [2**53]}),
        ("names", [[[["{$"]]]]),
        ("text", "/workspace/{{x}}"),
        ("data_uri", "s3://bucket/a:b@c"),
        ("data_uri", "abfs://container@account/a"),
    ],
)
def test_what_just_reaches_a_step_is_taken(name, value):
    assert runner.check_parameters(typed, REQUIRED | {name: value})[name] == value


def test_a_pipeline_that_needs_an_artifact_is_refused(tmp_path):
    @dsl.component(base_image="python:3.11")
    def read(data: dsl.Input[dsl.Dataset], more: dsl.Input[dsl.Artifact] = None):
        pass

    compiler.Compiler().compile(read, str(tmp_path / "read.yaml"))
    with pytest.raises(InputError, match="must need no artifacts to be run; this one needs: data") as caught:
        runner.check_parameters(tmp_path / "read.yaml", {})
    assert "dsl.importer" in str(caught.value)


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


@pytest.mark.parametrize(
    ("text", "value"), [("1e-6", 1e-6), ("-2.5E3", -2500.0), (".5e+1", 5.0), ("3", 3), ("0.5", 0.5)]
)
def test_numbers_are_those_that_people_write(text, value):
    assert runner.parse_parameters(typed, {"limits": f"{{delta: {text}}}"}) == {"limits": {"delta": value}}


@pytest.mark.parametrize("text", ["'1e-6'", "08", "e5", "1e", "1e-6 m"])
def test_text_that_is_nearly_a_number_stays_text(text):
    assert runner.parse_parameters(typed, {"names": f"[{text}]"}) == {"names": [text.strip("'")]}


def test_null_means_absent():
    assert runner.parse_parameters(typed, {"share": "null", "names": "null"}) == {"share": None, "names": None}
    assert runner.parse_parameters(typed, {"text": "null"}) == {"text": "null"}


@pytest.mark.parametrize(
    ("name", "text"), [("count", "1.5"), ("share", "x"), ("on", "perhaps"), ("limits", "{a: ["), ("names", "[" * 9999)]
)
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
        "allowed_keys": ["keys/a.pub.pem", "/b.pem", "s3://keys/c.pem", "-----BEGIN PUBLIC KEY-----\nMCow/d\n", ""],
        "statement_uris": ["a.yaml"],
        "keys": ["household"],
        "some_uri": ["no path"],
        "database_url": "duckdb:///data/a.duckdb",
        "other_url": "duckdb:////data/a.duckdb",
        "empty_url": "duckdb:///",
        "server_url": "postgresql://ada@host/loans",
        "path_url": "data/a.duckdb",
        "number_url": 3,
        "duckdb_uri": "duckdb:///data/a.duckdb",
    }
    assert runner.resolve_paths(given, Path("/base")) == given | {
        "data_uri": "/base/data/a.parquet",
        "serving_dir": "/base/served",
        "audit_log": "/log.jsonl",
        "allowed_keys": ["/base/keys/a.pub.pem", *given["allowed_keys"][1:]],
        "statement_uris": ["/base/a.yaml"],
        "database_url": "duckdb:////base/data/a.duckdb",
    }


@pytest.mark.parametrize(
    ("name", "value", "paths"),
    [
        ("data_uri", "/a.csv", ["/a.csv"]),
        ("database_url", "duckdb:////data/a.duckdb", ["/data/a.duckdb"]),
        ("database_url", "duckdb:///a.duckdb", ["a.duckdb"]),
        ("database_url", "duckdb:///", []),
        ("database_url", "duckdb://host/a.duckdb", []),
        ("database_url", "postgresql://ada@host/loans", []),
        ("database", "duckdb:////data/a.duckdb", []),
    ],
)
def test_what_a_parameter_names_on_this_machine(name, value, paths):
    """It is mounted in Docker, and refused where a pipeline is submitted if it is relative."""
    assert paths_of(name, value) == paths


def test_a_compiled_pipeline_has_the_same_parameters(tmp_path):
    compiler.Compiler().compile(typed, str(tmp_path / "typed.yaml"))
    assert runner.parameter_fields(tmp_path / "typed.yaml") == runner.parameter_fields(typed)


def test_files_that_are_no_pipeline_are_refused(tmp_path):
    with pytest.raises(MissingInputError, match=r"must be a compiled YAML file; got .*absent\.yaml"):
        runner.parameter_fields(tmp_path / "absent.yaml")
    (tmp_path / "other.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match="must be what KFP's compiler wrote"):
        runner.parameter_fields(tmp_path / "other.yaml")
