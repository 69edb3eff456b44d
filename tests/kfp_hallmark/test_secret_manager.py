"""Secrets on Vertex AI: fetched by the step, over HTTP, from a server that answers as Secret Manager does."""

import base64
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest
import requests

from kfp_hallmark import secret_manager
from kfp_hallmark.errors import InputError, MissingInputError

ENVIRONMENT = "release"

SECRETS = {
    "projects/p/secrets/password/versions/3": base64.b64encode("höchst=geheim\n".encode()).decode(),
    "projects/p/secrets/user/versions/latest": base64.b64encode(b"runner").decode(),
    "projects/p/secrets/binary/versions/1": base64.b64encode(b"\xff\xfe").decode(),
    "projects/p/secrets/broken/versions/1": "no base64!",
}


class SecretManager(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/v1/").removesuffix(":access")
        found = SECRETS.get(name)
        body = json.dumps({"name": name, "payload": {"data": found}} if found else {"error": {"code": 403}}).encode()
        self.send_response(200 if found else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def endpoint():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SecretManager)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_text_is_read_as_it_is(endpoint):
    with requests.Session() as session:
        value = secret_manager.fetch("projects/p/secrets/password/versions/3", session, endpoint)
    assert value == "höchst=geheim\n"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none", "the service says 403"), ("binary", "UnicodeDecodeError"), ("broken", "Error")],
)
def test_what_cannot_be_read_is_told_without_its_value(endpoint, name, reason):
    version = f"projects/p/secrets/{name}/versions/1"
    with requests.Session() as session, pytest.raises(MissingInputError, match=f"{version}.* {reason}") as error:
        secret_manager.fetch(version, session, endpoint)
    assert "roles/secretmanager.secretAccessor" in error.value.hint
    assert "base64!" not in str(error.value)


def run(endpoint, *arguments):
    """Call `main` in a process of its own, which becomes the command."""
    code = (
        "import requests, sys\n"
        "from kfp_hallmark import secret_manager\n"
        f"secret_manager.main(sys.argv[1:], requests.Session(), {endpoint!r})\n"
    )
    environment = os.environ | {"KEPT": "yes"}
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)


def test_the_command_gets_the_values_and_its_own_arguments(endpoint):
    script = 'printf "%s|%s|%s|%s|%s" "$USER_NAME" "$PASSWORD" "$KEPT" "$0" "$1"'
    done = run(
        endpoint,
        "USER_NAME=projects/p/secrets/user/versions/latest",
        "PASSWORD=projects/p/secrets/password/versions/3",
        "--",
        *("sh", "-c", script, "first", "--"),
    )
    assert done.stdout == "runner|höchst=geheim\n|yes|first|--"
    assert run(endpoint, "--", "sh", "-c", "exit 7").returncode == 7


def test_the_command_does_not_start_without_a_secret(endpoint):
    done = run(endpoint, "A=projects/p/secrets/none/versions/1", "--", "echo", "started")
    assert done.returncode != 0
    assert "started" not in done.stdout


@pytest.mark.parametrize("arguments", [[], ["A=b"], ["A=b", "--"]])
def test_there_must_be_a_command(arguments):
    with pytest.raises(InputError, match="must be VARIABLE=VERSION"):
        secret_manager.main(arguments, requests.Session())


def test_without_an_account_the_step_ends_in_one_sentence(tmp_path):
    environment = os.environ | {"NO_GCE_CHECK": "true", "HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path)}
    environment.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
    command = [sys.executable, "-m", "kfp_hallmark.secret_manager"]
    command += ["A=projects/p/secrets/user/versions/1", "--", "echo", "started"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Secrets must be read as a service account; there is none (")
    assert "Traceback" not in done.stderr
    assert "started" not in done.stdout
