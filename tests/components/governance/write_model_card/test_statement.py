"""Where a statement is read from, and what is said where it cannot be."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fakes.credentials import no_credentials  # noqa: F401

from kfp_hallmark.components.governance.write_model_card.fields import FIELDS
from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.statement import read_statement

pytestmark = pytest.mark.usefixtures("no_credentials")
ANSWERS = {"/card.yaml": 200, "/none.yaml": 404, "/secret.yaml": 403, "/broken.yaml": 400}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        code = ANSWERS.get(self.path.partition("?")[0], 401)
        body = b"owner: Risk" if code == 200 else b"no"
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")

    do_HEAD = do_GET  # noqa: N815  as http.server calls them

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    """The address of a server of this machine, which answers as `ANSWERS` says."""
    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


def test_a_statement_is_read_from_the_web(server):
    assert read_statement(f"{server}/card.yaml?signature=1", FIELDS).said == {"owner": "Risk"}


def test_nothing_on_the_web(server):
    with pytest.raises(MissingInputError) as raised:
        read_statement(f"{server}/none.yaml?signature=1", FIELDS)
    assert raised.value.message == f"statement_uri must be a YAML file; got '{server}/none.yaml', where none is."
    assert raised.value.hint == "Check the address, and that it answers the step without a login."


@pytest.mark.parametrize("path", ["secret.yaml", "broken.yaml", "login.yaml"])
def test_what_the_web_refuses(server, path):
    with pytest.raises(InputError) as raised:
        read_statement(f"{server.replace('//', '//me:word@')}/{path}?signature=1", FIELDS)
    assert raised.value.message == f"statement_uri must be a YAML file; got '{server}/{path}', where none is."
    assert raised.value.hint == "Check the address, and that it answers the step without a login."


def test_s3_without_credentials():
    with pytest.raises(InputError) as raised:
        read_statement("s3://models/statement.yaml", FIELDS)
    wanted = "statement_uri must be a file that can be read; 's3://models/statement.yaml' cannot (NoCredentialsError)."
    assert raised.value.message == wanted
    assert "AWS credentials that may read it" in raised.value.hint


def test_google_without_credentials(server, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    with pytest.raises(InputError) as raised:
        read_statement("gs://models/statement.yaml", FIELDS)
    assert raised.value.message.startswith(
        "statement_uri must be a file that can be read; 'gs://models/statement.yaml' cannot ("
    )
    assert "Google credentials that may read it" in raised.value.hint


def test_an_unknown_protocol_and_a_folder(tmp_path):
    for uri in ("s4://models/statement.yaml", str(tmp_path)):
        with pytest.raises(InputError, match="statement_uri must be a file that can be read; ") as raised:
            read_statement(uri, FIELDS)
        assert raised.value.hint is None
