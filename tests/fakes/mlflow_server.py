"""The real MLflow server behind a relay, so that a fault can be put at one request, and nothing need be waited for.

with serving(folder) as relay:
    relay.at("POST /api/2.0/mlflow/runs/create", stop)
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import urllib.request
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kfp_hallmark.environments import local


class Server:
    """The real MLflow server, which can be stopped and started again."""

    def __init__(self, folder):
        self.folder = folder
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self):
        command = [local.ensure("release"), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        variables = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=variables,
            start_new_session=True,
        )
        assert any("Uvicorn running on" in line for line in self.process.stderr)
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Relay(ThreadingHTTPServer):
    """Hands requests on to the server, and does something once, before one that it was told."""

    def __init__(self, server):
        super().__init__(("127.0.0.1", 0), Handler)
        self.server = server
        self.fault = None
        self.lock = threading.Lock()
        self.uri = f"http://127.0.0.1:{self.server_port}"

    def at(self, request, action):
        self.fault = (request, action)

    def pass_by(self, request):
        with self.lock:
            if self.fault and request.startswith(self.fault[0]):
                action, self.fault = self.fault[1], None
                action()

    def ask(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}/api/2.0/mlflow/{path}") as answer:
            return json.load(answer)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self):
        with suppress(ConnectionError):
            super().handle_one_request()

    def relay(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.pass_by(f"{self.command} {self.path}")
        self.close_connection = True
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.server.port, timeout=60)) as connection:
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = relay  # noqa: N815  as http.server calls them

    def log_message(self, *_):
        pass


@contextmanager
def serving(folder):
    """Give the relay before a server whose store is in a folder."""
    server = Server(folder)
    with Relay(server) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()
            server.stop()
