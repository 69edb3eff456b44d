"""The program itself: signals, draining, switches under load, workers, and what it refuses to start with."""

import contextlib
import http.client
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ENVIRONMENT = "serve"
V1, V2 = "/v1/models/people:predict", "/v2/models/people/infer"
ROW = [31, "Ulm", 2500.5, "clerk"]
BODY = json.dumps({"instances": [ROW]}).encode()
SERVING = "Serving people version 1"


def send_head(program, length):
    """Begin a request: send its head, and wait until the program has it."""
    connection = socket.create_connection(("127.0.0.1", program.port), timeout=60)
    head = f"POST {V1} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    connection.sendall(head.encode())
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    return connection


def read_answer(connection):
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


@pytest.fixture
def program(run, home):
    started = run(home)
    started.wait_for(SERVING)
    return started


def test_it_serves_and_ends_with_0_on_sigterm(program):
    status, answer = program.ask("POST", "/predict", BODY)
    assert (status, len(json.loads(answer)["predictions"])) == (200, 1)
    code, rest = program.end()
    assert (code, rest) == (0, "")


def test_it_ends_with_0_on_an_interrupt(program):
    assert program.end(signal.SIGINT)[0] == 0


def test_a_request_under_way_is_answered_before_it_ends(program):
    connection = send_head(program, len(BODY))
    idle = program.connect()
    idle.connect()
    program.process.send_signal(signal.SIGTERM)
    # The idle connection is closed once the program drains.
    assert idle.sock.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", program.port), timeout=60)
    assert program.process.poll() is None
    connection.sendall(BODY)
    status, answer = read_answer(connection)
    assert (status, len(json.loads(answer)["predictions"])) == (200, 1)
    assert program.end()[0] == 0


def test_a_large_body_is_refused_before_it_is_sent_and_the_connection_goes_on(standing):
    connection = standing.connect()
    connection.putrequest("POST", V1)
    connection.putheader("Content-Length", str(17 * 2**20))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert standing.ask("POST", V1, BODY)[0] == 200


def test_a_body_in_chunks_is_limited_too(standing):
    def chunks(count):
        yield BODY
        for _ in range(count):
            yield b" " * 2**20

    connection = standing.connect()
    connection.request("POST", V1, chunks(3), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 200
    connection = standing.connect()
    # The program may answer and close before all is sent.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", V1, chunks(17), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 413


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_does_no_harm(standing, request_):
    with socket.create_connection(("127.0.0.1", standing.port), timeout=60) as connection:
        connection.sendall(request_)
        answer = connection.recv(1000)
    assert answer == b"" or answer.split()[1].startswith(b"4")
    assert standing.ask("GET", "/v2/health/ready")[0] == 200


OFFER = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA\r\n"
LENGTH = f"Content-Length: {len(BODY)}\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


def offering(framing=LENGTH, body=BODY, offer=OFFER):
    """Return a request that offers to go on in HTTP/2, as Java's client does, and some proxies."""
    return f"POST {V1} HTTP/1.1\r\nHost: x\r\n{offer}{framing}\r\n".encode() + body


OFFERS = {
    "a length": [offering()],
    "chunks": [offering("Transfer-Encoding: chunked\r\n", CHUNKS)],
    "the body later": [offering(body=b""), BODY],
    "in pieces": [offering()[:50], offering()[50:-10], offering()[-10:]],
    "several at once": [offering() * 3],
    "many at once": [offering() * 200],
    "another protocol": [offering(offer="connection: upgrade\r\nupgrade: websocket\r\n")],
}


@pytest.mark.parametrize("case", OFFERS)
def test_an_offer_of_another_protocol_is_passed_over(standing, case):
    last = offering(offer=OFFER.replace("Upgrade,", "Upgrade, close,"))
    wanted = b"".join(OFFERS[case]).count(b"POST")
    with socket.create_connection(("127.0.0.1", standing.port), timeout=60) as connection:
        for piece in OFFERS[case]:
            connection.sendall(piece)
        file = connection.makefile("rb")
        answers = [read_one(file) for _ in range(wanted)]
        connection.sendall(last + b"what follows")
        answers.append(read_one(file))
        assert file.read() == b""
    assert {status for status, _ in answers} == {200}
    assert {len(answer["predictions"]) for _, answer in answers} == {1}


def read_one(file):
    """Read the next of several answers."""
    status = int(file.readline().split()[1])
    headers = list(iter(file.readline, b"\r\n"))
    length = next(int(line.split(b":")[1]) for line in headers if line.startswith(b"content-length"))
    return status, json.loads(file.read(length))


@pytest.mark.parametrize("requests", [1, 2])
def test_a_client_that_goes_on_with_rubbish_leaves_no_traceback(program, requests):
    request = f"POST {V1} HTTP/1.1\r\nHost: x\r\n{LENGTH}\r\n".encode() + BODY
    with socket.create_connection(("127.0.0.1", program.port), timeout=60) as connection:
        connection.sendall(request * requests + b"\x00\r\n\r\n")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 400")
    assert program.ask("POST", V1, BODY)[0] == 200
    assert program.end() == (0, "")


def test_many_requests_on_one_connection_are_answered_in_order(standing):
    rows = [[age, "Ulm", 100.0 * age, "clerk"] for age in range(20, 60)]
    bodies = [json.dumps({"instances": [row], "parameters": {"scores": True}}).encode() for row in rows]
    head = f"POST {V1} HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", standing.port), timeout=60) as connection:
        connection.sendall(b"".join(head.encode() % len(body) + body for body in bodies))
        file = connection.makefile("rb")
        found = [prediction for _ in bodies for prediction in read_one(file)[1]["predictions"]]
    together = json.dumps({"instances": rows, "parameters": {"scores": True}}).encode()
    assert found == json.loads(standing.ask("POST", V1, together)[1])["predictions"]


def test_a_hundred_switches_of_versions_under_load_fail_no_request(program, home, trained, released):
    """Every request is answered, by the former version or the next, as that version answers."""
    models = [trained(max_iter=20), trained(seed=1, max_iter=20)]
    body = json.dumps({"instances": [ROW], "parameters": {"scores": True}}).encode()
    ended, failures, answers = threading.Event(), [], set()

    def load():
        connection, last = program.connect(), False
        while not last:
            last = ended.is_set()  # so that each asks the last version too
            try:
                connection.request("POST", V1, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answers.add((answer.status, answer.headers["x-hallmark-version"], answer.read()))
            except OSError as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2, 102):
        released(home, models[(number - 1) % 2], version=str(number))
        program.wait_for(f"Serving people version {number}")
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {status for status, _, _ in answers} == {200}
    assert {version for _, version, _ in answers} == {str(number) for number in range(1, 102)}
    assert len(answers) == 101
    assert len({content for _, _, content in answers}) == 2


def test_several_workers_share_a_port_and_their_numbers(run, home):
    program = run(home, "--workers", "2")
    program.wait_for(SERVING)
    program.wait_for(SERVING)
    for _ in range(20):
        assert program.ask("POST", V1, BODY)[0] == 200
    metrics = program.ask("GET", "/metrics")[1].decode()
    assert 'hallmark_requests_total{route="v1_predict",status="200",version="1"} 20.0' in metrics
    assert program.end() == (0, "")


def test_no_worker_answers_before_it_is_ready(run, home):
    program = run(home, "--workers", "4")
    program.wait_for(SERVING)
    for _ in range(200):
        assert program.ask("GET", "/health")[0] == 200
        assert program.ask("POST", V1, BODY)[0] == 200
    assert program.end()[0] == 0


def test_when_a_worker_dies_the_program_ends_with_1(run, home):
    program = run(home, "--workers", "2")
    program.wait_for(SERVING)
    program.wait_for(SERVING)
    children = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children")
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    assert "A worker ended by itself" in program.wait_for("A worker ended")
    assert program.process.wait(timeout=60) == 1


def test_vertex_says_where(run, home, tmp_path):
    variables = {"AIP_HTTP_PORT": "0", "AIP_PREDICT_ROUTE": "/v1/endpoints/7/deployedModels/8:predict"}
    variables |= {"AIP_HEALTH_ROUTE": "/v1/endpoints/7/deployedModels/8", "AIP_STORAGE_URI": home.as_uri()}
    program = run(None, **variables)
    program.wait_for(SERVING)
    assert program.ask("GET", variables["AIP_HEALTH_ROUTE"])[0] == 200
    status, answer = program.ask("POST", variables["AIP_PREDICT_ROUTE"], BODY)
    assert (status, len(json.loads(answer)["predictions"])) == (200, 1)
    assert program.end()[0] == 0


def changed(home):
    next(home.glob("versions/*/model.pkl")).write_bytes(b"changed")


REFUSALS = {
    "a changed model": (changed, {}, [], 1, "A release was refused: The model must be the one that was decided on"),
    "no release": (lambda home: (home / "release.json").unlink(), {}, [], 2, "must hold release.json"),
    "a port that is none": (lambda home: None, {}, ["--port", "70000"], 2, "The port must be a number from 0 to 65535"),
    "no workers": (lambda home: None, {}, ["--workers", "0"], 2, "The number of workers must be a number from 1"),
    "a route that is none": (lambda home: None, {"AIP_HEALTH_ROUTE": "health"}, [], 2, "AIP_HEALTH_ROUTE must begin"),
    "one route for two": (lambda home: None, {"AIP_HEALTH_ROUTE": "/predict"}, [], 2, "must differ"),
    "a route that is taken": (lambda home: None, {"AIP_PREDICT_ROUTE": "/metrics"}, [], 2, "must be no route that is"),
    "an address of another machine": (lambda home: None, {}, ["--host", "192.0.2.1"], 2, "must be free to listen on"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_it_refuses_to_start(home, case, call):
    spoil, variables, arguments, code, words = REFUSALS[case]
    spoil(home)
    found, log = call(home, *arguments, **variables)
    assert (found, words in log) == (code, True), log
    assert "Traceback" not in log


def test_several_workers_refuse_together(home, call):
    changed(home)
    code, log = call(home, "--workers", "2")
    assert (code, "A release was refused" in log) == (1, True), log


def test_a_signal_at_its_start_ends_it_with_0(run, home):
    assert run(home).end()[0] == 0


class Waiting:
    """Cannot be unpickled before somebody writes to a pipe, and nobody does."""

    def __init__(self, pipe):
        self.pipe = pipe

    def __reduce__(self):
        return Path.read_bytes, (self.pipe,)


@pytest.fixture
def waiting(tmp_path, trained):
    """A model that is never loaded, and a function that returns once it is being loaded."""
    pipe, model = tmp_path / "pipe", shutil.copytree(trained(max_iter=20), tmp_path / "waiting")
    os.mkfifo(pipe)
    (model / "model.pkl").write_bytes(pickle.dumps(Waiting(pipe)))
    opened = []
    yield model, lambda: opened.append(pipe.open("wb"))
    for file in opened:
        file.close()


def test_a_signal_while_a_model_is_loaded_ends_it_with_0(run, tmp_path, released, waiting):
    model, wait_for_it = waiting
    released(tmp_path / "people", model)
    program = run(tmp_path / "people")
    wait_for_it()
    assert program.ask("GET", "/v2/health/ready")[0] == 503
    assert program.end() == (0, "")


def test_a_signal_while_the_next_model_is_loaded_ends_it_with_0(program, home, released, waiting):
    model, wait_for_it = waiting
    released(home, model, version="2")
    wait_for_it()
    assert program.ask("POST", V1, BODY)[0] == 200
    assert program.end() == (0, "")


WITHOUT_FILES = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
os.execv(sys.executable, [sys.executable, "-m", "kfp_hallmark.serving", *sys.argv[1:]])
"""


@pytest.fixture
def without_files(home):
    """Start the program where it can write no file."""

    def start(*arguments):
        command = [sys.executable, "-c", WITHOUT_FILES, str(home), "--port", "0", *arguments]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    return start


def test_several_workers_say_that_they_need_a_temporary_folder(without_files):
    process = without_files("--workers", "2")
    _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "There must be a temporary folder that can be written; there is none. Mount one at /tmp" in log
    assert "Traceback" not in log


def test_one_worker_writes_nothing(without_files):
    process = without_files()
    assert any(SERVING in line for line in process.stderr)
    process.terminate()
    assert process.communicate(timeout=60) == (None, "")
    assert process.returncode == 0


SIGNALLED = """
import os, signal, socket, sys
from kfp_hallmark.serving.server import bind, supervise

started = 0

def hook(event, arguments):
    global started
    if event == "subprocess.Popen":
        started += 1
        if started == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGTERM)

sys.addaudithook(hook)
sys.exit(supervise([sys.argv[1], "--port", "0"], bind("127.0.0.1", 0), 3))
"""


@pytest.mark.parametrize("started", [1, 2, 3])
def test_a_signal_while_the_workers_are_started_ends_all_of_them(home, started):
    """It comes when the parent is about to start one of them, which is not in its list yet."""
    command = [sys.executable, "-c", SIGNALLED, str(home), str(started)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    # The log ends when all that could write to it have ended.
    _, log = process.communicate(timeout=60)
    assert (process.returncode, log) == (0, "")
