"""The two dialects: how a request is read and an answer written.

Instances to predictions is what Vertex AI and KServe's V1 protocol speak; the Open Inference Protocol is KServe's V2.
Sources: https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements,
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy

from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.modeling.columns import Column
from kfp_hallmark.serving.bodies import kind, require_fields, shown
from kfp_hallmark.serving.predictor import Answers, Predictor
from kfp_hallmark.serving.rows import Values

PREDICTION = "prediction"

DATATYPES = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "datetime": "BYTES",
}
"""The datatype in which a column is best sent."""

_WHOLE = {f"{sign}INT{bits}": (sign, bits) for sign in ("", "U") for bits in (8, 16, 32, 64)}
_NUMBERS = frozenset({"FP16", "FP32", "FP64", *_WHOLE})
_ACCEPTED = {
    "boolean": frozenset({"BOOL"}),
    "integer": frozenset(_WHOLE),
    "long": frozenset(_WHOLE),
    "float": _NUMBERS,
    "double": _NUMBERS,
    "string": frozenset({"BYTES"}),
    "datetime": frozenset({"BYTES"}),
}
_ROUNDED = {"FP16": numpy.float16, "FP32": numpy.float32}
_BINARY = {"binary_data_output": "false", "binary_data": "false", "binary_data_size": "absent"}
"""The parameters that ask for binary tensors, and what they may be.
Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md"""

_OF_KIND = {"b": "BOOL", "i": "INT64", "u": "INT64", "f": "FP64"}
_OF_TYPES = {
    frozenset({bool}): "BOOL",
    frozenset({int}): "INT64",
    frozenset({float}): "FP64",
    frozenset({int, float}): "FP64",
}


@dataclass(frozen=True)
class Query:
    """What a request asks.

    Attributes:
        values: The rows, by column, checked.
        outputs: What of the answers is wanted: `prediction`, `score` or `probabilities`.
        id: What the client calls the request, or None.
    """

    values: Sequence[Values]
    outputs: tuple[str, ...] = (PREDICTION,)
    id: str | None = None


@dataclass(frozen=True)
class Identity:
    """Which model answers."""

    name: str
    version: str


class Dialect(Protocol):
    """How requests are read and answers are written."""

    def read(self, body: dict[str, Any], predictor: Predictor) -> Query:
        """Return what a body asks; an InputError says why it asks nothing."""

    def write(self, answers: Answers, query: Query, identity: Identity) -> bytes:
        """Return the answers as a body."""


def available(predictor: Predictor) -> list[str]:
    """Return the outputs that a model gives."""
    return [PREDICTION, predictor.scores] if predictor.scores else [PREDICTION]


class Instances:
    """`{"instances": [...]}` to `{"predictions": [...]}`: Vertex AI, and KServe's V1 protocol."""

    def read(self, body: dict[str, Any], predictor: Predictor) -> Query:
        """Return what a body asks.

        Raises:
            InputError: If it is not of this dialect, or its rows do not follow the signature.
        """
        require_fields(body, ("instances", "parameters"), "The body")
        instances = body.get("instances")
        if type(instances) is not list or not instances:
            got = "an empty array" if instances == [] else kind(instances)
            raise InputError(f"instances must be an array with at least one row; got {got}.")
        outputs = self._outputs(body.get("parameters"), predictor)
        values = predictor.signature.gather(instances)
        predictor.signature.check(values)
        return Query(values, outputs)

    def write(self, answers: Answers, query: Query, identity: Identity) -> bytes:
        """Return the answers as a body."""
        predictions = answers.prediction.tolist()
        if len(query.outputs) > 1:
            assert answers.score is not None
            pairs = zip(predictions, answers.score.tolist(), strict=True)
            predictions = [dict(zip(query.outputs, pair, strict=True)) for pair in pairs]
        return json.dumps({"predictions": predictions}, allow_nan=False).encode()

    def _outputs(self, parameters: Any, predictor: Predictor) -> tuple[str, ...]:
        if not parameters and parameters in (None, {}):
            return (PREDICTION,)
        if type(parameters) is not dict:
            raise InputError(f"parameters must be an object; got {kind(parameters)}.")
        require_fields(parameters, ("scores",), "parameters")
        wanted = parameters["scores"]
        if type(wanted) is not bool:
            raise InputError(f"parameters.scores must be true or false; got {kind(wanted)}.")
        if wanted and predictor.scores is None:
            raise InputError("parameters.scores must be false; the model gives no scores.")
        return tuple(available(predictor)) if wanted else (PREDICTION,)


class OpenInference:
    """The Open Inference Protocol, KServe's V2: a tensor a column, as JSON."""

    def read(self, body: dict[str, Any], predictor: Predictor) -> Query:
        """Return what a body asks.

        Raises:
            InputError: If it is not of this dialect, or its tensors do not follow the signature.
        """
        require_fields(body, ("id", "parameters", "inputs", "outputs"), "The body")
        name = body.get("id")
        if name is not None and type(name) is not str:
            raise InputError(f"id must be text; got {kind(name)}.")
        _require_parameters(body, "parameters")
        tensors = self._tensors(body.get("inputs"), predictor)
        rows = self._rows(tensors)
        columns = predictor.model.columns
        given = {c.name: self._values(tensors[c.name], c, rows) for c in columns if c.name in tensors}
        # Only now is it known that there is data for so many rows as a shape says.
        values = [given[c.name] if c.name in given else [None] * rows for c in columns]
        predictor.signature.check(values)
        for index, column in enumerate(columns):
            if column.name in tensors:
                values[index] = self._converted(tensors[column.name]["datatype"], column, values[index])
        return Query(values, self._outputs(body.get("outputs"), predictor), name)

    def write(self, answers: Answers, query: Query, identity: Identity) -> bytes:
        """Return the answers as a body."""
        arrays = [answers.prediction if name == PREDICTION else answers.score for name in query.outputs]
        answer: dict[str, Any] = {"model_name": identity.name, "model_version": identity.version}
        if query.id is not None:
            answer["id"] = query.id
        answer["outputs"] = [
            {"name": name, "shape": list(array.shape)} | _tensor(array)
            for name, array in zip(query.outputs, arrays, strict=True)
            if array is not None
        ]
        return json.dumps(answer, allow_nan=False).encode()

    def describe(self, predictor: Predictor, identity: Identity) -> dict[str, Any]:
        """Return the model's metadata."""
        inputs = [{"name": c.name, "datatype": DATATYPES[c.type], "shape": [-1]} for c in predictor.model.columns]
        classes = predictor.meaning.get("classes") or []
        prediction = numpy.array(classes or [0.0])
        outputs = [{"name": PREDICTION, "datatype": _OF_KIND.get(prediction.dtype.kind, "BYTES"), "shape": [-1]}]
        if predictor.scores:
            shape = [-1] if predictor.scores == "score" else [-1, len(classes)]
            outputs.append({"name": predictor.scores, "datatype": "FP64", "shape": shape})
        return {
            "name": identity.name,
            "versions": [identity.version],
            "platform": "hallmark",
            "inputs": inputs,
            "outputs": outputs,
        }

    def _tensors(self, inputs: Any, predictor: Predictor) -> dict[str, dict[str, Any]]:
        """Return the tensors by column."""
        if type(inputs) is not list or not inputs:
            raise InputError(f"inputs must be an array of tensors; got {kind(inputs) if inputs else 'none'}.")
        tensors: dict[str, dict[str, Any]] = {}
        for index, tensor in enumerate(inputs):
            what = f"inputs[{index}]"
            if type(tensor) is not dict:
                raise InputError(f"{what} must be an object; got {kind(tensor)}.")
            require_fields(tensor, ("name", "shape", "datatype", "parameters", "data"), what)
            _require_parameters(tensor, f"{what}.parameters")
            name = tensor.get("name")
            if type(name) is not str:
                raise InputError(f"{what}.name must be a column of the signature; got {kind(name)}.")
            if name in tensors:
                raise InputError(f"inputs must name each column once; got {shown(name)} twice.")
            tensors[name] = tensor
        predictor.signature.require(tensors, "inputs")
        return tensors

    def _rows(self, tensors: dict[str, dict[str, Any]]) -> int:
        """Return how many rows the tensors have, all of them alike."""
        counts: dict[str, int] = {}
        for name, tensor in tensors.items():
            shape = tensor.get("shape")
            if (
                type(shape) is not list
                or not all(type(size) is int and size >= 0 for size in shape)
                or len(shape) not in (1, 2)
                or shape[1:] not in ([], [1])
            ):
                raise InputError(f"The shape of the column {name!r} must be [rows] or [rows, 1]; it is not.")
            counts[name] = shape[0]
        first, rows = next(iter(counts.items()))
        if not rows:
            raise InputError(f"inputs must hold at least one row; the column {first!r} has none.")
        for name, count in counts.items():
            if count != rows:
                raise InputError(
                    f"The columns must be of one length; {first!r} has {rows} rows by its shape, {name!r} has {count}."
                )
        return rows

    def _values(self, tensor: dict[str, Any], column: Column, rows: int) -> Values:
        """Return the values of a tensor, flat."""
        datatype, data = tensor.get("datatype"), tensor.get("data")
        accepted = _ACCEPTED[column.type]
        if type(datatype) is not str or datatype not in accepted:
            raise InputError(
                f"The datatype of the column {column.name!r} must be {', '.join(sorted(accepted))}; it is not."
            )
        if type(data) is not list:
            raise InputError(f"The data of the column {column.name!r} must be an array; got {kind(data)}.")
        if len(tensor["shape"]) == 2 and all(type(entry) is list and len(entry) == 1 for entry in data):
            data = [entry[0] for entry in data]
        if len(data) != rows:
            raise InputError(
                f"The data of the column {column.name!r} must hold {rows} values, as its shape says; got {len(data)}."
            )
        return data

    def _converted(self, datatype: str, column: Column, values: Values) -> Values:
        """Return checked values as their datatype has them."""
        if datatype in _WHOLE:
            sign, bits = _WHOLE[datatype]
            least, above = (0, 2**bits) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1))
            if not all(entry is None or (type(entry) is int and least <= entry < above) for entry in values):
                raise InputError(
                    f"The column {column.name!r} must hold values of its datatype, {datatype}; it does not."
                )
        if datatype in _ROUNDED:
            with numpy.errstate(over="ignore"):
                rounded = [None if entry is None else float(_ROUNDED[datatype](entry)) for entry in values]
            if any(entry is not None and numpy.isinf(entry) for entry in rounded):
                raise InputError(
                    f"The column {column.name!r} must hold values of its datatype, {datatype}; it does not."
                )
            return rounded
        return values

    def _outputs(self, outputs: Any, predictor: Predictor) -> tuple[str, ...]:
        if outputs is None or outputs == []:
            return (PREDICTION,)
        if type(outputs) is not list or not all(type(output) is dict for output in outputs):
            raise InputError("outputs must be an array of objects; it is not.")
        known, wanted = available(predictor), []
        for index, output in enumerate(outputs):
            require_fields(output, ("name", "parameters"), f"outputs[{index}]")
            _require_parameters(output, f"outputs[{index}].parameters")
            name = output.get("name")
            if type(name) is not str or name not in known:
                hint = nearest(name, known) if type(name) is str else None
                raise InputError(f"outputs[{index}].name must be one of {', '.join(known)}; it is not.", hint)
            if name in wanted:
                raise InputError(f"outputs must name each output once; got {name!r} twice.")
            wanted.append(name)
        return tuple(wanted)


def _tensor(array: numpy.ndarray) -> dict[str, Any]:
    """Return the datatype and the data of a tensor; what is no text in one of texts is the text of its JSON."""
    data = array.ravel().tolist()
    datatype = _OF_KIND.get(array.dtype.kind, "BYTES")
    if array.dtype.kind == "O":
        datatype = _OF_TYPES.get(frozenset(map(type, data)) - {type(None)}, "BYTES")
    if datatype == "BYTES":
        data = [entry if entry is None or type(entry) is str else json.dumps(entry) for entry in data]
    return {"datatype": datatype, "data": data}


def _require_parameters(holder: dict[str, Any], what: str) -> None:
    """Raise unless parameters, which are hints that nothing here follows, are an object and ask for no binary data."""
    parameters = holder.get("parameters")
    if parameters is None:
        return
    if type(parameters) is not dict:
        raise InputError(f"{what} must be an object; got {kind(parameters)}.")
    for name, wanted in _BINARY.items():
        if parameters.get(name) not in (None, False):
            raise InputError(f"{what}.{name} must be {wanted}; data is JSON here, in both directions.")
