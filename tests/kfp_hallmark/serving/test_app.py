"""Routes, and requests held against the signature: any request gets 200 or 4xx."""

import asyncio
import json
import re
import shutil
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfp_hallmark.serving import app
from kfp_hallmark.serving.app import HELD_BYTES, INLINE_BYTES
from kfp_hallmark.serving.bodies import MAX_BYTES

ENVIRONMENT = "serve"
V1, V2 = "/v1/models/people:predict", "/v2/models/people/infer"
ROW = {"age": 31, "town": "Ulm", "income": 2500.5, "job": "clerk"}
SECRET = "Secretville"


def tensors(**changes):
    """Return one row as tensors; `changes` are laid over the tensor of a column, or replace it when no dict."""
    made = []
    for name, value in ROW.items():
        tensor = {"name": name, "shape": [1], "datatype": "BYTES" if type(value) is str else "FP64", "data": [value]}
        made.append(tensor | changes.get(name, {}))
    return made


def text(value):
    return json.dumps(value)


GOOD = {
    "objects": {"instances": [ROW]},
    "arrays in the signature's order": {"instances": [list(ROW.values())]},
    "keys in another order": {"instances": [dict(reversed(ROW.items()))]},
    "an unknown category": {"instances": [ROW | {"town": "a town that nobody knows"}]},
    "a missing number and a missing text": {"instances": [ROW | {"age": None, "town": None}]},
    "no parameters": {"instances": [ROW], "parameters": None},
    "empty parameters": {"instances": [ROW], "parameters": {}},
    "many rows": {"instances": [ROW] * 50},
    "a great whole number": {"instances": [ROW | {"age": 10**300}]},
}


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("path", [V1, "/predict"])
def test_good_instances_are_predicted(client, case, path):
    status, answer = client.post(path, GOOD[case])
    assert status == 200
    assert len(answer["predictions"]) == len(GOOD[case]["instances"])
    assert set(answer["predictions"]) <= {0, 1}


def test_scores_come_where_they_are_asked_for(client):
    (answer,) = client.post(V1, {"instances": [ROW], "parameters": {"scores": True}})[1]["predictions"]
    assert answer.keys() == {"prediction", "score"}
    assert answer["prediction"] == int(answer["score"] >= 0.5)
    assert client.post(V1, {"instances": [ROW], "parameters": {"scores": False}})[1] == {
        "predictions": [answer["prediction"]]
    }


COLUMN = "The column 'age' must hold finite numbers; got {} in row 0."
BAD = {
    "no JSON": ("{", 400, "The body must be JSON;"),
    "nothing": ("", 400, "The body must be JSON;"),
    "not UTF-8": (b"\xff\xfe{\x00", 400, "it is not UTF-8"),
    "NaN": ('{"instances": [{"age": NaN}]}', 400, "which has no NaN"),
    "Infinity": ('{"instances": [[-Infinity]]}', 400, "which has no -Infinity"),
    "deep nesting": ("[" * 100_000, 400, "not nested deeply"),
    "deep objects": ('{"a":' * 100_000, 400, "not nested deeply"),
    "thousands of digits": ('{"instances": [[' + "9" * 5000 + "]]}", 400, "thousands of digits"),
    "an array": ("[]", 400, "must be a JSON object; got an array"),
    "null": ("null", 400, "must be a JSON object; got null"),
    "no instances": ({}, 400, "at least one row; got null"),
    "empty instances": ({"instances": []}, 400, "at least one row; got an empty array"),
    "instances that are an object": ({"instances": {}}, 400, "at least one row; got an object"),
    "another field": ({"instances": [ROW], "inputs": []}, 400, "nothing else; got 'inputs'"),
    "an instance that is a number": ({"instances": [1]}, 400, "row 0 is a number"),
    "instances of two kinds": ({"instances": [ROW, []]}, 400, "row 1 is an array, row 0 an object"),
    "an array first, then an object": ({"instances": [list(ROW.values()), ROW]}, 400, "row 1 is an object"),
    "a short array": ({"instances": [[1, "a", 2]]}, 400, "must hold 4 values, in the order of the signature; got 3"),
    "a long array": ({"instances": [[1, "a", 2, "b", 3]]}, 400, "got 5"),
    "a missing column": (
        {"instances": [ROW, {k: v for k, v in ROW.items() if k != "town"}]},
        400,
        "instances[1] must hold the column 'town'; it is missing",
    ),
    "an extra column": ({"instances": [ROW | {"extra": 1}]}, 400, "columns of the signature only; got 'extra'"),
    "an extra column with a long name": ({"instances": [ROW | {"x" * 9999: 1}]}, 400, "got '" + "x" * 60 + "…'"),
    "a duplicate column": ('{"instances": [{"age": 1, "age": 2}]}', 400, "got 'age' twice"),
    "text for a number": ({"instances": [ROW | {"age": SECRET}]}, 400, COLUMN.format("text")),
    "a boolean for a number": ({"instances": [ROW | {"age": True}]}, 400, COLUMN.format("a boolean")),
    "an object for a number": ({"instances": [ROW | {"age": {SECRET: 1}}]}, 400, COLUMN.format("an object")),
    "an array for a number": ({"instances": [ROW | {"age": [1]}]}, 400, COLUMN.format("an array")),
    "a number for text": ({"instances": [ROW | {"town": 5}]}, 400, "'town' must hold text; got a number in row 0"),
    "half a character": ('{"instances": [[1, "\\ud800", 2, "a"]]}', 400, "'town' must hold text; row 0 does not"),
    "a number beyond a double": ({"instances": [ROW, ROW | {"age": 10**400}]}, 400, "finite numbers; row 1 does not"),
    "a float beyond a double": ('{"instances": [[1, "a", 1e999, "b"]]}', 400, "'income' must hold finite numbers; row"),
    "parameters that are an array": ({"instances": [ROW], "parameters": []}, 400, "parameters must be an object"),
    "an unknown parameter": ({"instances": [ROW], "parameters": {"score": True}}, 400, "got 'score'"),
    "scores that are no boolean": ({"instances": [ROW], "parameters": {"scores": 1}}, 400, "must be true or false"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_instances_are_told_what_is_wrong(client, case):
    body, status, words = BAD[case]
    body = body if isinstance(body, bytes) else (body if isinstance(body, str) else text(body)).encode()
    found, answer = client.post(V1, body)
    assert (found, set(answer)) == (status, {"error"})
    assert words in answer["error"]
    assert SECRET not in answer["error"]


GOOD_TENSORS = {
    "as they come": tensors(),
    "as a column vector": tensors(age={"shape": [1, 1], "data": [[31]]}),
    "flat, of two dimensions": tensors(age={"shape": [1, 1], "data": [31]}),
    "a whole number for a double": tensors(age={"datatype": "INT64", "data": [31]}),
    "a missing number": tensors(age={"data": [None]}),
    "with hints": tensors(age={"parameters": {"content_type": "np", "binary_data_size": None}}),
}


@pytest.mark.parametrize("case", GOOD_TENSORS)
@pytest.mark.parametrize("path", [V2, "/v2/models/people/versions/1/infer"])
def test_good_tensors_are_predicted(client, case, path):
    status, answer = client.post(path, {"id": "abc", "inputs": GOOD_TENSORS[case]})
    assert status == 200
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("people", "1", "abc")
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("prediction", "INT64", [1])
    assert output["data"][0] in (0, 1)


def test_outputs_come_as_they_are_asked_for(client):
    wanted = [{"name": "score"}, {"name": "prediction", "parameters": {"binary_data": False}}]
    answer = client.post(V2, {"inputs": tensors(), "outputs": wanted})[1]
    assert [output["name"] for output in answer["outputs"]] == ["score", "prediction"]
    assert answer["outputs"][0]["datatype"] == "FP64"
    assert "id" not in answer


def test_a_number_is_taken_as_its_datatype_has_it(client):
    """0.1 in 32 bits is another number than 0.1 in 64."""
    import numpy

    def score(**change):
        inputs = tensors(income=change)
        return client.post(V2, {"inputs": inputs, "outputs": [{"name": "score"}]})[1]["outputs"][0]["data"]

    edges = [float(numpy.float32(value)) for value in (2500.3, 1800.7, 3100.9)]
    for edge in edges:
        assert score(datatype="FP32", data=[round(edge, 1)]) == score(datatype="FP64", data=[edge])


BAD_TENSORS = {
    "no inputs": ({}, "inputs must be an array of tensors"),
    "empty inputs": ({"inputs": []}, "inputs must be an array of tensors"),
    "inputs that are an object": ({"inputs": {"a": 1}}, "inputs must be an array of tensors; got an object"),
    "a tensor that is text": ({"inputs": ["age"]}, "inputs[0] must be an object; got text"),
    "a field that is not known": ({"inputs": tensors(age={"size": 1})}, "inputs[0] must hold"),
    "an id that is a number": ({"id": 1, "inputs": tensors()}, "id must be text; got a number"),
    "parameters that are an array": ({"inputs": tensors(), "parameters": []}, "parameters must be an object"),
    "a name that is a number": ({"inputs": tensors(age={"name": 1})}, "inputs[0].name must be a column"),
    "a missing column": ({"inputs": tensors()[1:]}, "inputs must hold the column 'age'; it is missing"),
    "an extra column": ({"inputs": tensors(age={"name": "aged"})}, "columns of the signature only; got 'aged'"),
    "a duplicate column": ({"inputs": [*tensors(), *tensors()]}, "got 'age' twice"),
    "no shape": ({"inputs": tensors(age={"shape": None})}, "The shape of the column 'age' must be [rows]"),
    "a negative shape": ({"inputs": tensors(age={"shape": [-1]})}, "The shape of the column 'age'"),
    "a boolean shape": ({"inputs": tensors(age={"shape": [True]})}, "The shape of the column 'age'"),
    "two values a row": ({"inputs": tensors(age={"shape": [1, 2]})}, "The shape of the column 'age'"),
    "no rows": ({"inputs": tensors(age={"shape": [0], "data": []})}, "the column 'age' has none"),
    "columns of unequal length": (
        {"inputs": tensors(town={"shape": [2], "data": ["a", "b"]})},
        "'age' has 1 rows by its shape, 'town' has 2",
    ),
    "fewer values than the shape says": (
        {"inputs": tensors(age={"data": []})},
        "must hold 1 values, as its shape says",
    ),
    "more values than the shape says": ({"inputs": tensors(age={"data": [1, 2]})}, "as its shape says; got 2"),
    "no data": ({"inputs": tensors(age={"data": None})}, "The data of the column 'age' must be an array; got null"),
    "a datatype that is not known": ({"inputs": tensors(age={"datatype": "FP8"})}, "The datatype of the column 'age'"),
    "a datatype that is an array": ({"inputs": tensors(age={"datatype": []})}, "The datatype of the column 'age'"),
    "bytes for a number": ({"inputs": tensors(age={"datatype": "BYTES"})}, "The datatype of the column 'age'"),
    "a number for text": ({"inputs": tensors(town={"datatype": "FP64"})}, "The datatype of the column 'town'"),
    "text as a number": ({"inputs": tensors(age={"data": [SECRET]})}, COLUMN.format("text")),
    "nested data": ({"inputs": tensors(age={"data": [[31]]})}, COLUMN.format("an array")),
    "a fraction as a whole number": (
        {"inputs": tensors(age={"datatype": "INT32", "data": [1.5]})},
        "'age' must hold values of its datatype, INT32",
    ),
    "a whole number beyond its datatype": (
        {"inputs": tensors(age={"datatype": "UINT8", "data": [256]})},
        "'age' must hold values of its datatype, UINT8",
    ),
    "a negative number without a sign": (
        {"inputs": tensors(age={"datatype": "UINT64", "data": [-1]})},
        "'age' must hold values of its datatype, UINT64",
    ),
    "a number beyond 32 bits": (
        {"inputs": tensors(age={"datatype": "FP32", "data": [1e39]})},
        "'age' must hold values of its datatype, FP32",
    ),
    "binary outputs": (
        {"inputs": tensors(), "parameters": {"binary_data_output": True}},
        "parameters.binary_data_output must be false",
    ),
    "a binary output": (
        {"inputs": tensors(), "outputs": [{"name": "score", "parameters": {"binary_data": True}}]},
        "outputs[0].parameters.binary_data must be false",
    ),
    "a binary tensor": (
        {"inputs": tensors(town={"parameters": {"binary_data_size": 8}})},
        "inputs[1].parameters.binary_data_size must be absent",
    ),
    "outputs that are text": ({"inputs": tensors(), "outputs": "score"}, "outputs must be an array of objects"),
    "an output that is not known": (
        {"inputs": tensors(), "outputs": [{"name": "scores"}]},
        "outputs[0].name must be one of prediction, score; it is not. Did you mean 'score'?",
    ),
    "an output twice": ({"inputs": tensors(), "outputs": [{"name": "score"}] * 2}, "got 'score' twice"),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_bad_tensors_are_told_what_is_wrong(client, case):
    body, words = BAD_TENSORS[case]
    status, answer = client.post(V2, body)
    assert (status, set(answer)) == (400, {"error"})
    assert words in answer["error"]
    assert SECRET not in answer["error"]


def test_255_is_the_greatest_of_its_datatype(client):
    assert client.post(V2, {"inputs": tensors(age={"datatype": "UINT8", "data": [255]})})[0] == 200
    assert client.post(V2, {"inputs": tensors(age={"datatype": "INT8", "data": [-128]})})[0] == 200
    assert client.post(V2, {"inputs": tensors(age={"datatype": "INT8", "data": [-129]})})[0] == 400


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
def test_the_content_type_must_be_json(client, content_type, status):
    found, _ = client.post(V1, {"instances": [ROW]}, headers=[("content-type", content_type)])
    assert found == status


def test_no_content_type_is_taken_as_json(client):
    assert client.post(V1, {"instances": [ROW]}, headers=[])[0] == 200


def test_a_compressed_body_is_refused(client):
    status, answer = client.post(V1, {"instances": [ROW]}, headers=[("content-encoding", "gzip")])
    assert (status, answer["error"]) == (415, "The body must not be compressed; it is.")


def test_a_binary_body_is_refused(client):
    headers = [("Inference-Header-Content-Length".lower(), "20")]
    status, answer = client.post(V2, {"inputs": tensors()}, headers=headers)
    assert (status, "Inference-Header-Content-Length must not be sent" in answer["error"]) == (415, True)


def test_a_body_may_be_as_large_as_the_limit(client):
    body = text({"instances": [ROW]}).encode()
    at_limit = body + b" " * (MAX_BYTES - len(body))
    assert client.post(V1, at_limit)[0] == 200
    assert client.post(V1, at_limit + b" ")[0] == 413
    assert client.post(V1, b"", headers=[("content-length", str(MAX_BYTES + 1))])[0] == 413


class Slow:
    """A client that has sent a part of its body; the rest comes when it is told so."""

    def __init__(self, part, rest=b""):
        self.messages, self.told, self.sent = [(part, True), (rest, False)], asyncio.Event(), []
        self.waits = asyncio.Event()

    async def receive(self):
        if len(self.messages) == 1:
            self.waits.set()
            await self.told.wait()
        body, more = self.messages.pop(0)
        return {"type": "http.request", "body": body, "more_body": more}

    async def send(self, message):
        self.sent.append(message)

    def ask(self, client):
        scope = {"type": "http", "method": "POST", "path": V1, "headers": []}
        return asyncio.create_task(client.app(scope, self.receive, self.send))


def test_large_bodies_are_bounded_together(client):
    """Beside as many as there may be, a large one is asked to come again, and a small one is answered."""
    good = text({"instances": [ROW]}).encode()
    large = good + b" " * INLINE_BYTES

    async def together():
        slow = [Slow(b" " * MAX_BYTES) for _ in range(HELD_BYTES // MAX_BYTES)]
        asked = [one.ask(client) for one in slow]
        for one in slow:
            await one.waits.wait()
        refused, answered = await client.ask("POST", V1, large), await client.ask("POST", V1, good)
        for one in slow:
            one.told.set()
        await asyncio.gather(*asked)
        return slow, refused, answered, await client.ask("POST", V1, large)

    slow, (status, headers, body), answered, later = asyncio.run(together())
    assert (status, headers["retry-after"]) == (503, "1")
    assert "67,108,864 bytes together" in json.loads(body)["error"]
    assert (answered[0], later[0]) == (200, 200)
    assert [one.sent[0]["status"] for one in slow] == [400] * 4


@pytest.mark.parametrize(
    "body", [b"{", b" " * (INLINE_BYTES + 1), b" " * (MAX_BYTES + 1), text({"instances": [ROW]}).encode()]
)
def test_every_request_gives_its_room_back(client, body):
    client.post(V1, body)
    assert client.app._held == 0


def test_a_body_that_does_not_come_is_not_waited_for_without_end(client, monkeypatch):
    monkeypatch.setattr(app, "BODY_SECONDS", 0)

    async def ask():
        slow = Slow(b"{")
        await slow.ask(client)
        return slow.sent

    start, body = asyncio.run(ask())
    assert start["status"] == 408
    assert "must arrive within 0 seconds" in json.loads(body["body"])["error"]
    assert client.app._held == 0


def test_a_large_request_gets_the_same_answer_in_a_thread(client):
    rows = [ROW | {"income": float(index)} for index in range(1000)]
    small = client.post(V1, {"instances": rows[:100], "parameters": {"scores": True}})
    large = client.post(V1, {"instances": rows, "parameters": {"scores": True}})
    assert len(text({"instances": rows[:100]})) < INLINE_BYTES < len(text({"instances": rows}))
    assert large[0] == 200
    assert large[1]["predictions"][:100] == small[1]["predictions"]
    assert client.post(V1, {"instances": [*rows, {}]})[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", V1, 405, "POST"),
        ("PUT", V2, 405, "POST"),
        ("POST", "/v2/health/live", 405, "GET, HEAD"),
        ("DELETE", "/metrics", 405, "GET, HEAD"),
        ("GET", "/v1", 404, None),
        ("GET", "/v1/models/other", 404, None),
        ("POST", "/v1/models/other:predict", 404, None),
        ("POST", "/v2/models/people/versions/2/infer", 404, None),
        ("GET", "/v2/models/people/versions/1/", 404, None),
    ],
)
def test_wrong_methods_and_routes(client, method, path, status, allow):
    found, headers, body = asyncio.run(client.ask(method, path))
    assert (found, headers.get("allow")) == (status, allow)
    assert set(json.loads(body)) == {"error"}


def test_health_and_metadata(client):
    assert client.get("/") == (200, {"status": "alive"})
    assert client.get("/v2/health/live") == (200, {"live": True})
    assert client.get("/v2/health/ready") == (200, {"ready": True})
    assert client.get("/v1/models") == (200, {"models": ["people"]})
    assert client.get("/v1/models/people") == (200, {"name": "people", "ready": True})
    assert client.get("/v2/models/people/ready") == (200, {"name": "people", "ready": True})
    assert client.get("/v2/models/people/versions/1/ready")[0] == 200
    assert client.get("/v2")[1].keys() == {"name", "version", "extensions"}
    status, described = client.get("/v2/models/people")
    assert status == 200
    assert described == client.get("/v2/models/people/versions/1")[1]
    assert (described["name"], described["versions"]) == ("people", ["1"])
    assert described["inputs"][1] == {"name": "town", "datatype": "BYTES", "shape": [-1]}
    assert described["outputs"] == [
        {"name": "prediction", "datatype": "INT64", "shape": [-1]},
        {"name": "score", "datatype": "FP64", "shape": [-1]},
    ]
    status, health = client.get("/health")
    assert (status, health["ready"], health["refused"], health["version"]) == (200, True, None, "1")


def test_before_a_release_is_loaded_the_program_lives_and_is_not_ready(home, new_client):
    client = new_client(home)
    assert client.get("/v2/health/live")[0] == 200
    assert client.get("/v2/health/ready") == (503, {"ready": False})
    assert client.get("/health")[0] == 503
    assert client.get("/v1/models") == (200, {"models": []})
    for path in ("/v1/models/people", "/v2/models/people/ready", "/v2/models/people"):
        assert client.get(path)[0] == 503
    assert client.post(V1, {"instances": [ROW]})[0] == 503
    assert client.post("/predict", {"instances": [ROW]})[0] == 503


def test_while_it_drains_the_program_answers_and_is_not_ready(client):
    client.app.draining = True
    assert client.get("/v2/health/ready")[0] == 503
    assert client.get("/health")[0] == 503
    assert client.get("/v1/models/people")[0] == 503
    assert client.get("/v2/health/live")[0] == 200
    assert client.post(V1, {"instances": [ROW]})[0] == 200


def test_metrics_count_by_version_route_and_status(client):
    client.post(V1, {"instances": [ROW]})
    client.post(V1, {"instances": []})
    client.post("/a path that nobody should find in metrics", {})
    status, headers, body = asyncio.run(client.ask("GET", "/metrics"))
    lines = body.decode().splitlines()
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert 'hallmark_requests_total{route="v1_predict",status="200",version="1"} 1.0' in lines
    assert 'hallmark_requests_total{route="v1_predict",status="400",version="1"} 1.0' in lines
    assert 'hallmark_requests_total{route="none",status="404",version="1"} 1.0' in lines
    assert 'hallmark_request_seconds_count{route="v1_predict",version="1"} 2.0' in lines
    assert not any("nobody" in line for line in lines)


def test_a_fault_of_the_model_is_no_fault_of_the_client_and_tells_no_value(client, monkeypatch, caplog):
    def broken(values):
        raise RuntimeError(f"cannot use {SECRET}")

    monkeypatch.setattr(client.releases.served.predictor, "_predict", broken)
    status, answer = client.post(V1, {"instances": [ROW | {"town": SECRET}]})
    assert (status, answer) == (500, {"error": "The model failed; the log says where."})
    assert "RuntimeError in broken" in caplog.text
    assert SECRET not in caplog.text


def test_a_client_that_goes_away_is_not_answered(client):
    async def go_away():
        sent = []

        async def receive():
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await client.app({"type": "http", "method": "POST", "path": V1, "headers": []}, receive, send)
        return sent

    assert asyncio.run(go_away()) == []


NUMBERS = st.integers() | st.floats() | st.booleans()
TEXTS = st.text(st.characters()) | st.sampled_from(["Ulm", "age", "FP64", "BYTES", "prediction", "\ud800"])
LEAVES = st.none() | NUMBERS | TEXTS
KEYS = st.sampled_from(
    ["instances", "parameters", "scores", "inputs", "outputs", "id", "name", "shape", "datatype", "data", *ROW]
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS | TEXTS, inner, max_size=6), max_leaves=20
)
CELLS = st.one_of(st.none(), st.integers(), st.floats(), st.text(string.printable, max_size=5))
LIKELY = st.fixed_dictionaries(
    {"instances": st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, CELLS)), max_size=4)},
    optional={"parameters": VALUES},
)
LIKELY_TENSORS = st.fixed_dictionaries(
    {
        "inputs": st.tuples(
            *(
                st.fixed_dictionaries(
                    {
                        "name": st.just(name),
                        "shape": st.sampled_from([[1], [2], [2, 1]]),
                        "datatype": st.sampled_from(["FP64", "FP16", "INT8", "BYTES", "BOOL"]),
                        "data": st.lists(CELLS, min_size=1, max_size=2),
                    }
                )
                for name in ROW
            )
        ).map(list)
    },
    optional={"outputs": VALUES, "id": LEAVES},
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, trained, released, new_client):
    home = tmp_path_factory.mktemp("shared") / "people"
    released(home, trained(max_iter=20))
    return new_client(home).load()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=VALUES | LIKELY | LIKELY_TENSORS, path=st.sampled_from([V1, V2]))
def test_any_json_gets_an_answer_or_is_told_what_is_wrong(shared, value, path):
    status, answer = shared.post(path, value)
    assert status == 200 or (400 <= status < 500 and set(answer) == {"error"})


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=200), path=st.sampled_from([V1, V2, "/predict"]))
def test_any_bytes_get_an_answer_or_are_told_what_is_wrong(shared, body, path):
    assert 400 <= shared.post(path, body)[0] < 500


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "age": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "town": st.none() | st.text(st.characters(codec="utf-8")),
                "income": st.none() | st.integers(-(10**9), 10**9),
                "job": st.none() | st.sampled_from(["clerk", "none", "other"]),
            }
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_row_that_follows_the_signature_is_predicted(shared, rows):
    """By both dialects alike, and each row as if it came alone."""
    status, answer = shared.post(V1, {"instances": rows, "parameters": {"scores": True}})
    assert status == 200
    alone = [shared.post(V1, {"instances": [row], "parameters": {"scores": True}})[1]["predictions"][0] for row in rows]
    assert answer["predictions"] == alone
    columns = {name: [row[name] for row in rows] for name in ROW}
    inputs = [tensor | {"shape": [len(rows)], "data": columns[tensor["name"]]} for tensor in tensors()]
    outputs = shared.post(V2, {"inputs": inputs, "outputs": [{"name": "score"}]})[1]["outputs"]
    assert outputs[0]["data"] == [one["score"] for one in alone]


def test_no_shape_is_believed_before_its_data(tmp_path, trained, released, new_client):
    """A column that may be left out is filled in for as many rows as the others have, not as a shape says."""
    model = shutil.copytree(trained(max_iter=20), tmp_path / "model")
    document = (model / "MLmodel").read_text()
    changed = re.sub(r'("name":\s+"income",\s+"required":\s+)true', r"\1false", document)
    assert changed != document
    (model / "MLmodel").write_text(changed)
    released(tmp_path / "people", model)
    client = new_client(tmp_path / "people").load()
    given = [tensor for tensor in tensors() if tensor["name"] != "income"]
    assert client.post(V2, {"inputs": given})[0] == 200
    status, answer = client.post(V2, {"inputs": [tensor | {"shape": [10**30]} for tensor in given]})
    assert status == 400
    assert "must hold" in answer["error"]
