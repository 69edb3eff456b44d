"""`hallmark serve`: serve the folder that `deploy_model` fills, on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from kfp_hallmark.contracts.release import RELEASE_FILE
from kfp_hallmark.environments import local
from kfp_hallmark.errors import MissingInputError


def serve(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The model's folder in the serving folder: it holds release.json.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that answer.")] = 1,
) -> None:
    """Serve a deployed model over HTTP: to Vertex AI's, KServe's and Open Inference clients. Ctrl-C ends it."""
    if not (folder / RELEASE_FILE).is_file():
        below = sorted(file.parent.name for file in folder.glob(f"*/{RELEASE_FILE}"))
        raise MissingInputError(
            f"DIR must be a folder that holds {RELEASE_FILE}; got {str(folder)!r}.",
            f"It holds {', '.join(below)}: name one of them." if below else "Deploy a model with deploy_model first.",
        )
    python = local.ensure("serve", lambda line: typer.echo(line, err=True))
    options = ["--host", host, "--port", str(port), "--workers", str(workers)]
    command = [str(python), "-m", "kfp_hallmark.serving", str(folder.absolute()), *options]
    os.execve(python, command, os.environ | local.variables("serve"))
