"""Call a function in an environment from outside of it: its arguments and its result are JSON values.

The function runs in a process of the environment's Python. What it raises on purpose is raised here again.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kfp_hallmark import errors
from kfp_hallmark.environments import local
from kfp_hallmark.errors import EnvironmentFailure, HallmarkError


@dataclass
class LocalArtifact:
    """An artifact on this machine, as components' functions take it.

    Attributes:
        path: Where it is, or is to be written.
        metadata: What is known of it; JSON values.
    """

    path: str
    metadata: dict[str, Any] = field(default_factory=dict)


def call(
    environment: str,
    function: str,
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, LocalArtifact] | None = None,
    report: Any = lambda line: None,
) -> Any:
    """Call a function in an environment and return what it returns; the environment is made first when missing.

    Args:
        environment: The environment.
        function: The function, as `module:name`.
        parameters: Its arguments that are JSON values.
        artifacts: Its arguments that are artifacts; they get the metadata that the function sets.
        report: Called with a line when the environment has to be made.

    Raises:
        HallmarkError: What the function raises on purpose.
        EnvironmentFailure: If it ends in any other way than by returning.
    """
    artifacts = artifacts or {}
    python = local.ensure(environment, report)
    with tempfile.TemporaryDirectory(prefix="hallmark-") as folder:
        request, answer = Path(folder, "request.json"), Path(folder, "answer.json")
        given = {name: asdict(artifact) for name, artifact in artifacts.items()}
        request.write_text(json.dumps({"function": function, "parameters": dict(parameters), "artifacts": given}))
        command = [str(python), "-m", "kfp_hallmark.environments.calling", str(request), str(answer)]
        done = subprocess.run(
            command, env=os.environ | local.variables(environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        if not answer.is_file():
            told = done.stderr.decode(errors="replace").strip().splitlines()
            raise EnvironmentFailure(
                f"{function} must end in the environment {environment}; it ended with the exit code {done.returncode}."
                + "".join(f"\n{line}" for line in told[-5:])
            )
        value = json.loads(answer.read_text())
    if "error" in value:
        raise getattr(errors, value["error"])(value["message"], value["hint"])
    for name, metadata in value["metadata"].items():
        artifacts[name].metadata = metadata
    return value["result"]


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Call the function, here, and return what the other side reads."""
    module, _, name = request["function"].partition(":")
    artifacts = {name: LocalArtifact(**given) for name, given in request["artifacts"].items()}
    try:
        result = getattr(importlib.import_module(module), name)(**request["parameters"], **artifacts)
    except HallmarkError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    return {"result": result, "metadata": {name: artifact.metadata for name, artifact in artifacts.items()}}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(_answer(json.loads(Path(sys.argv[1]).read_text()))))
