"""A pipeline's parameters: read from text, checked before anything starts, and relative paths resolved."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from kfp.dsl.base_component import BaseComponent
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark.contracts.documents import NO_YAML
from kfp_hallmark.errors import InputError, MissingInputError, nearest
from kfp_hallmark.signature import Field, signature
from kfp_hallmark.tracking import without_password

Pipeline: TypeAlias = BaseComponent | pipeline_spec_pb2.PipelineSpec | str | Path
"""A pipeline as KFP makes it, its spec, or the path of its compiled YAML."""

PATH_ENDINGS = ("_uri", "_dir", "_log")
"""How the name of a parameter ends that holds a path."""

LIST_ENDINGS = ("_uris", "allowed_keys")
"""How the name of a parameter ends that holds a list of paths; keys may also be there as they are."""

_DATABASE = "duckdb:///"
"""How the URL of a database that is a file begins; what follows is its path."""

_MOST = 2**53
"""The largest whole number that has none beside it that KFP cannot tell from it."""

_DEEPEST = 30
"""How deep lists and dicts nest that KFP's messages still carry."""

_REPLACED = ("{{$", "/kfp-workspace")

_PASSWORD = re.compile(r"://[^/\s@]*:[^/\s@]+@")

_COMPILE = "Compile it first, with `kfp.compiler.Compiler().compile(my_pipeline, 'my_pipeline.yaml')`."

_POWER = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+$")
"""A number with a power of ten, as YAML 1.2 and JSON write it; PyYAML keeps to YAML 1.1, for which 1e-6 is text."""


class _Loader(yaml.SafeLoader):
    """PyYAML's, but that 1e-6 is a number."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _POWER, [*"-+.0123456789"])

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def pipeline_spec(pipeline: Pipeline) -> pipeline_spec_pb2.PipelineSpec:
    """Return the spec of a pipeline.

    Raises:
        MissingInputError: If it is a path and there is no file.
        InputError: If the file is not a compiled pipeline.
    """
    if isinstance(pipeline, pipeline_spec_pb2.PipelineSpec):
        return pipeline
    if isinstance(pipeline, BaseComponent):
        return pipeline.pipeline_spec
    from kfp.components import load_component_from_text

    path = Path(pipeline)
    if not path.is_file():
        raise MissingInputError(f"A pipeline must be a compiled YAML file; got {str(path)!r}.", _COMPILE)
    try:
        return load_component_from_text(path.read_text(encoding="utf-8")).pipeline_spec
    except Exception as error:
        raise InputError(
            f"A pipeline must be what KFP's compiler wrote; {str(path)!r} cannot be read ({error}).", _COMPILE
        ) from error


def parameter_fields(pipeline: Pipeline) -> dict[str, Field]:
    """Return the parameters of a pipeline by name, the required ones first."""
    fields = signature(pipeline_spec(pipeline).root.input_definitions)
    return {field.name: field for field in fields if not field.artifact}


def parse_parameters(pipeline: Pipeline, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return parameters given as text, as on a command line, with the types that the pipeline declares.

    Lists and dicts are written as JSON or YAML; `null` for an optional parameter is as if it were not given.

    Raises:
        InputError: If a name is unknown or a text is not of the type.
    """
    fields = parameter_fields(pipeline)
    return {name: _parse(_known(name, fields), text) for name, text in texts.items()}


def check_parameters(pipeline: Pipeline, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a run is to have, those that are None left out.

    Raises:
        InputError: If a name is unknown, a value is not of its type, or not one that reaches a step as it is, a path
            is empty, a URI holds a password, required parameters are missing, all of which are named, or the pipeline
            requires an artifact.
    """
    artifacts = [
        field.name
        for field in signature(pipeline_spec(pipeline).root.input_definitions)
        if field.artifact and field.required
    ]
    if artifacts:
        raise InputError(
            f"A pipeline must need no artifacts to be run; this one needs: {', '.join(artifacts)}.",
            "Run a pipeline in which another step makes them, or `dsl.importer` brings them in.",
        )
    fields = parameter_fields(pipeline)
    known = [(_known(name, fields), value) for name, value in parameters.items()]
    given = {field.name: _check(field, value) for field, value in known if value is not None}
    missing = [name for name, field in fields.items() if field.required and name not in given]
    if missing:
        raise InputError(
            f"A run must have every required parameter; missing: {', '.join(missing)}.",
            "Give them in the file of parameters, or with `--set NAME=VALUE`.",
        )
    return given


def resolve_paths(parameters: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return parameters with relative paths made absolute, from a base folder.

    A path is a text without a scheme in a parameter whose name ends in `_uri`, `_dir` or `_log`, or one of several in
    the list that a parameter holds whose name ends in `_uris` or `allowed_keys`, or what follows `duckdb:///` in one
    whose name ends in `_url`.
    """

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(entry) for entry in value]
        if _is_local(file := _database_file(value)):
            return f"{_DATABASE}{resolved(file)}"
        return str((base / value).resolve()) if _is_local(value) else value

    return {name: resolved(value) if paths_of(name, value) else value for name, value in parameters.items()}


def paths_of(name: str, value: Any) -> list[str]:
    """Return the paths on this machine that a parameter holds."""
    if isinstance(value, list):
        return [entry for entry in value if _is_local(entry)] if name.endswith(LIST_ENDINGS) else []
    if name.endswith("_url"):
        return [file for file in [_database_file(value)] if _is_local(file)]
    return [value] if name.endswith(PATH_ENDINGS) and _is_local(value) else []


def _database_file(value: Any) -> str:
    """Return the path in the URL of a database that is a file; "" for any other value."""
    return value.removeprefix(_DATABASE) if isinstance(value, str) and value.startswith(_DATABASE) else ""


def _is_local(value: Any) -> bool:
    """Return whether a value is a path on this machine: no URI, and no key in PEM."""
    return isinstance(value, str) and value != "" and "://" not in value and not value.lstrip().startswith("-----")


def read_yaml(text: str) -> Any:
    """Return what YAML says; 1e-6 is a number.

    Raises:
        yaml.YAMLError: If it is no YAML.
        AttributeError, LookupError, TypeError, ValueError: If a value is none of its kind, such as a date of a month
            that is not.
        RecursionError: If it nests too deep.
    """
    return yaml.load(text, _Loader)


def _known(name: str, fields: Mapping[str, Field]) -> Field:
    if name not in fields:
        hint = nearest(name, list(fields)) or "`hallmark show PIPELINE` lists the parameters of a pipeline."
        raise InputError(f"A parameter must be one that the pipeline has; got {name!r}.", hint)
    return fields[name]


def _parse(field: Field, text: str) -> Any:
    if field.type == "str":
        return None if text == "null" and not field.required else text
    if text == "null":
        return None
    try:
        if field.type == "int":
            return int(text)
        if field.type == "float":
            return float(text)
        if field.type == "bool":
            return _BOOLEANS[text.strip().lower()]
        return read_yaml(text)
    except (yaml.YAMLError, *NO_YAML) as error:
        raise _wrong(field, text) from error


def _check(field: Field, value: Any) -> Any:
    if field.type == "float" and isinstance(value, int) and not isinstance(value, bool):
        _check_number(field, value)
        value = float(value)
    if field.type == "list" and isinstance(value, tuple):
        value = list(value)
    expected = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict}[field.type]
    if not isinstance(value, expected) or (isinstance(value, bool) and field.type != "bool"):
        raise _wrong(field, value)
    if isinstance(value, int | float):
        _check_number(field, value)
    if isinstance(value, str):
        _check_text(field, value)
    if value == "" and field.name.endswith(PATH_ENDINGS):
        raise InputError(
            f"The parameter {field.name!r} must be a path or a URI; got ''.",
            None if field.required else "Leave it out, or write null.",
        )
    if field.type in ("list", "dict"):
        _check_json(field, value)
    return value


def _check_number(field: Field, value: float) -> None:
    """Refuse what does not reach a step as it is: KFP carries every number in 64 bits, with a fraction."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"The parameter {field.name!r} must be finite; got {value}.")
    if isinstance(value, int) and abs(value) > _MOST:
        raise InputError(f"Whole numbers in the parameter {field.name!r} must be at most 2**53 in size; one is not.")


def _check_text(field: Field, value: str) -> None:
    """Refuse what does not reach a step as it is, and what is not to be printed into its log, as KFP does."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"Text in the parameter {field.name!r} must be UTF-8; got {value!a}.") from error
    replaced = next((mark for mark in _REPLACED if mark in value), None)
    if replaced is not None:
        raise InputError(f"Text in the parameter {field.name!r} must not hold {replaced!r}, which KFP replaces.")
    if _PASSWORD.search(value):
        raise InputError(
            f"A URI in the parameter {field.name!r} must hold no password, which would stand in the steps' logs; got "
            f"one in {without_password(value)!r}.",
            "Give credentials by the environment: for MLflow by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
            "or as part of MLFLOW_TRACKING_URI.",
        )


def _check_json(field: Field, value: Any, depth: int = 0) -> None:
    """Refuse what KFP cannot carry inside a list or dict: keys other than text, nulls, dates, NaN, endless nesting."""
    if depth > _DEEPEST:
        raise InputError(f"The parameter {field.name!r} must nest at most {_DEEPEST} deep; it nests deeper.")
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise InputError(
                    f"The keys inside the parameter {field.name!r} must be text; got {key!r}.", "Quote it."
                )
            if entry is None and ":" in key:
                raise InputError(
                    f"The values inside the parameter {field.name!r} must not be missing; {key!r} has none.",
                    "Write a space after the colon: {name: value}.",
                )
            _check_text(field, key)
            _check_json(field, entry, depth + 1)
    elif isinstance(value, list):
        for entry in value:
            _check_json(field, entry, depth + 1)
    elif isinstance(value, str):
        _check_text(field, value)
    elif isinstance(value, int | float) and (isinstance(value, int) or math.isfinite(value)):
        _check_number(field, value)
    else:
        raise InputError(
            f"The values inside the parameter {field.name!r} must be text, finite numbers, booleans, lists or dicts; "
            f"got {value!r}.",
            "Leave out what has no value." if value is None else None,
        )


def _wrong(field: Field, value: Any) -> InputError:
    shown = json.dumps(value) if isinstance(value, str) else repr(value)
    hints = {"str": f'Quote it to make it text: {field.name}: "{value}".'}
    if isinstance(value, str):
        hints = {"list": f"Write [{value.strip('[]')}].", "dict": "Write {name: value}, with a space after the colon."}
    return InputError(
        f"The parameter {field.name!r} must be of type {field.type}; got {shown} ({type(value).__name__}).",
        hints.get(field.type),
    )
