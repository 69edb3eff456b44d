"""The program: serve the folder that `deploy_model` fills. `hallmark serve` and the image `serve` run it.

The variables that Vertex AI sets say where, unless an argument does: AIP_STORAGE_URI, AIP_HTTP_PORT,
AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE. KServe mounts the folder at /mnt/models.
"""

from __future__ import annotations

import argparse
import atexit
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from kfp_hallmark.errors import HallmarkError, InputError

FOLDER = "/mnt/models"
"""Where KServe mounts what storageUri names."""

ERROR, USAGE = 1, 2


def main() -> int:
    """Run the program and return its exit code: 0 ended by a signal, 1 refused, 2 wrong usage."""
    # The first process of a container ignores a signal that nobody handles.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # One row is predicted fastest by one thread, and workers share the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        return _run(_arguments())
    except HallmarkError as error:
        logging.error("%s%s", error.message, f" {error.hint}" if error.hint else "")
        return USAGE if isinstance(error, InputError) else ERROR


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kfp_hallmark.serving", description=__doc__)
    parser.add_argument("folder", nargs="?", default=os.environ.get("AIP_STORAGE_URI") or FOLDER)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=os.environ.get("AIP_HTTP_PORT") or "8080")
    parser.add_argument("--workers", default="1")
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> int:
    from kfp_hallmark.modeling.loading import private_folder
    from kfp_hallmark.serving.releases import folder_of
    from kfp_hallmark.serving.server import serve
    from kfp_hallmark.serving.storage import fetch

    port = _number("The port", arguments.port, 0, 65535)
    workers = _number("The number of workers", arguments.workers, 1, 256)
    predict, health = _route("AIP_PREDICT_ROUTE", "/predict"), _route("AIP_HEALTH_ROUTE", "/health")
    if predict == health:
        raise InputError(f"AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE must differ; got {predict!r} twice.")
    if arguments.fd is not None:
        return serve(folder_of(arguments.folder), socket.socket(fileno=arguments.fd), predict, health, shared=True)
    if "://" not in arguments.folder:
        return _listen(folder_of(arguments.folder), arguments.host, port, workers, predict, health)
    with private_folder() as folder:
        fetch(arguments.folder, folder)
        return _listen(folder_of(folder), arguments.host, port, workers, predict, health)


def _listen(folder: Path, host: str, port: int, workers: int, predict: str, health: str) -> int:
    from kfp_hallmark.serving.server import bind, serve, supervise

    listener = bind(host, port)
    logging.info("Listening on http://%s:%s", host, listener.getsockname()[1])
    if workers > 1:
        return supervise([str(folder)], listener, workers)
    return serve(folder, listener, predict, health)


def _number(what: str, text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise InputError(f"{what} must be a number from {least} to {most}; got {text!r}.")
    return int(text)


def _route(variable: str, default: str) -> str:
    route = os.environ.get(variable) or default
    if not route.startswith("/"):
        raise InputError(f"{variable} must begin with /; got {route!r}.")
    return route


if __name__ == "__main__":
    ended = main()
    # A thread that loads a model, or predicts for a client that was waited for long enough, holds up nobody.
    atexit._run_exitfuncs()
    os._exit(ended)
