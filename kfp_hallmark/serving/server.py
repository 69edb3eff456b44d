"""Sockets, signals, draining, and several workers on one socket."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httptools
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from kfp_hallmark.errors import InputError
from kfp_hallmark.modeling.loading import private_folder
from kfp_hallmark.serving.app import Application
from kfp_hallmark.serving.metrics import FOLDER_VARIABLE, Metrics
from kfp_hallmark.serving.releases import Releases

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 620
"""How long an idle connection is kept: longer than load balancers keep theirs, or a request may meet a closing one.
Source: https://cloud.google.com/load-balancing/docs/https#timeout-keepalive-backends"""

DRAIN_SECONDS = 25
"""How long requests that are under way are waited for; Kubernetes kills after 30."""

_log = logging.getLogger(__name__)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address.

    Raises:
        InputError: If the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        raise InputError(f"The address {host}:{port} must be free to listen on; {error}.") from error
    return bound


class _Protocol(HttpToolsProtocol):
    """uvicorn's HTTP, which passes over an offer to go on in another protocol (`Upgrade: h2c`).

    The parser takes what follows the head of such a request for the other protocol, and so loses its body. The request
    is parsed once more without the offer.
    """

    parser: httptools.HttpRequestParser
    _answering: RequestResponseCycle | None = None

    def data_received(self, data: bytes) -> None:
        """Take what a client sent."""
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserError:
                return self.send_400_response("Invalid HTTP request received.")
            except httptools.HttpParserUpgrade as offer:
                if self.parser.get_method() == b"CONNECT":
                    return self.send_400_response("This is no proxy.")
                data = self._without_offer() + data[offer.args[0] :]

    def on_headers_complete(self) -> None:
        """Begin to answer a request."""
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that a request is whole."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def eof_received(self) -> None:
        """Note that a client went away, for the loop closes the connection before it says so."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that a connection is closed."""
        self._leave()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and close the connection."""
        self._leave()
        super().send_400_response(msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _leave(self) -> None:
        """Let the answer that is under way go nowhere: not the latest request's, where several were sent at once."""
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def _without_offer(self) -> bytes:
        """Begin to parse anew, and return the head of the request without the offer."""
        head = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        head += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn does: what follows a request that closes the connection is no error.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join([*head, b"", b""])


class _Server(uvicorn.Server):
    """uvicorn's server, without its own signals: after them it would end by the signal instead of with 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(folder: Path, listener: socket.socket, predict_route: str, health_route: str, shared: bool = False) -> int:
    """Serve a folder until SIGTERM or SIGINT, and return the exit code: 1 when the first release is refused.

    Args:
        folder: The folder that `deploy_model` filled.
        listener: The socket to listen on.
        predict_route: Where Vertex AI predicts.
        health_route: Where Vertex AI asks for health.
        shared: Whether other workers listen on the socket: then nothing is answered before the first release serves,
            not even that it does not, for what one answers clients take for the answer of all.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(folder, listener, predict_route, health_route, shared))


async def _serve(folder: Path, listener: socket.socket, predict_route: str, health_route: str, shared: bool) -> int:
    metrics = Metrics()
    releases = Releases(folder, metrics, lambda served: application.switch(served))
    application = Application(releases, metrics, predict_route, health_route)
    server = _Server(
        uvicorn.Config(
            application,
            loop="none",
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )

    stopping = asyncio.Event()

    def stop() -> None:
        application.draining = True
        server.should_exit = True
        stopping.set()

    async def answer() -> None:
        if shared:
            ended = asyncio.create_task(stopping.wait())
            await asyncio.wait([first, ended], return_when=asyncio.FIRST_COMPLETED)
            if not (first.done() and first.result()):
                return
        await server.serve(sockets=[listener])

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    first = asyncio.create_task(releases.first())
    serving = asyncio.create_task(answer())
    await asyncio.wait([serving, first], return_when=asyncio.FIRST_COMPLETED)
    if first.done() and not first.result():
        stop()
        await serving
        return 1
    if serving.done():
        await serving
        return 0
    # What a loaded model consists of stays: without this, the collector stops everything again and again to look at it.
    gc.collect()
    gc.freeze()
    following = asyncio.create_task(releases.follow())
    await serving
    following.cancel()
    return 0


def supervise(arguments: Sequence[str], listener: socket.socket, workers: int) -> int:
    """Run several workers on one socket until SIGTERM or SIGINT, and return the exit code.

    When a worker ends by itself, all are ended, and the orchestrator starts the container anew.

    Args:
        arguments: The program's arguments for a worker.
        listener: The socket.
        workers: How many.

    Raises:
        EnvironmentFailure: If there is no temporary folder for their metrics.
    """
    listener.listen(BACKLOG)
    with private_folder() as folder:
        command = [sys.executable, "-m", "kfp_hallmark.serving", *arguments, "--fd", str(listener.fileno())]
        environment = os.environ | {FOLDER_VARIABLE: str(folder)}
        stopping = False
        children: list[subprocess.Popen[bytes]] = []

        def stop(*_: object) -> None:
            nonlocal stopping
            stopping = True
            for child in children:
                if child.poll() is None:
                    child.terminate()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        for _ in range(workers):
            children.append(
                subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()], start_new_session=True)
            )
        if stopping:
            # The signal came before all of them were there to be told.
            stop()
        listener.close()
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        by_itself = not stopping
        if by_itself:
            _log.error("A worker ended by itself; so do the others.")
            stop()
        codes = {child.wait() for child in children}
    # One that had only been started had nothing to do before it was ended by the signal.
    return 1 if by_itself or codes - {0, -signal.SIGTERM} else 0
