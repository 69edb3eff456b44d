"""Steps as processes of this machine, each under the virtual environment that its image names."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kfp.dsl import component_factory
from kfp.local import config, subprocess_task_handler

from kfp_hallmark.component import Traits
from kfp_hallmark.contracts.experiment import code_version
from kfp_hallmark.environments import STEPS, environment_of, local, lock, lock_digest
from kfp_hallmark.errors import InputError
from kfp_hallmark.runner.platforms import Folders, Job, containers

_POLL_SECONDS = 0.05

_DROPPED = ("PYTHONHOME", "VIRTUAL_ENV")


class LocalPlatform:
    """Runs steps as processes.

    A component whose image is not one of Hallmark's runs as kfp.local would run it: under this Python, or under a new
    virtual environment when it installs packages.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._environments: dict[str, str | None] = {}
        self._pythons: dict[str, Path] = {}
        # Of now, not of when this process first asked: steps import the sources as they are.
        self._code = code_version.__wrapped__()

    def prepare(self, executors: Mapping[str, Any], report: Callable[[str], None]) -> None:
        """Make the environments that are missing.

        Raises:
            InputError: If a component is more than a Python function and so needs a container.
            EnvironmentFailure: If an environment cannot be made.
        """
        for container in containers(executors):
            _require_function(container)
        self._environments = {container["image"]: _environment(container) for container in containers(executors)}
        names = sorted({*filter(None, self._environments.values())})
        self._pythons = {name: local.ensure(name, report) for name in names}

    def runner(self) -> config.SubprocessRunner:
        """Return kfp.local's runner for processes."""
        return config.SubprocessRunner(use_venv=False)

    def digest(self, image: str) -> str:
        """Return the digests of an environment's lock and of our code; for any other image, its reference first."""
        environment = self._environments.get(image)
        return f"{image if environment is None else lock_digest(environment)} {self._code}"

    def run(self, job: Job) -> int:
        """Run a step as a process group of its own."""
        environment = self._environments[job.image]
        variables = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        variables |= {"TMPDIR": str(self._folders.scratch)} | self._folders.variables(os.environ)
        if environment is not None:
            variables |= local.variables(environment)
            return self._run(job, self._pythons[environment], variables | dict(job.variables))
        # The shell's part; after it come the component's source and what it is given.
        installs = "pip install" in job.command[2]
        with subprocess_task_handler.environment(
            use_venv=installs, runner_config=config.SubprocessRunner(use_venv=installs), has_pip_install=installs
        ) as python:
            return self._run(job, Path(python), variables | dict(job.variables))

    def _run(self, job: Job, python: Path, variables: dict[str, str]) -> int:
        command = subprocess_task_handler.replace_python_executable(job.command, shlex.quote(str(python)))
        with job.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folders.mlflow,
                env=variables,
                start_new_session=True,
            )
            group = _Group(process)
            with process, job.interruption.ending(group, job.final):
                code = process.wait()
                # The shell ends at the first signal; what it started is given the time that it has.
                while job.interruption.stops(job.final) and group.runs():
                    time.sleep(_POLL_SECONDS)
        # What a step leaves running ends with it, as in a container.
        group.kill()
        return code


class _Group:
    """A process and all that it started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._killed = False

    def runs(self) -> bool:
        """Return whether something is left of it that was not killed."""
        return not self._killed and self._signal(0)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._killed = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> bool:
        """Send a signal, and return whether there was something to send it to."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True


def _environment(container: Mapping[str, Any]) -> str | None:
    """Return the environment of a container's image: also one of ours in a user's registry, whatever its tag."""
    image = container["image"]
    if any(part.startswith(Traits.MARK) for part in container.get("command", [])):
        name = lock.repository(image).rpartition("/")[2]
        return name if name in STEPS else None
    return environment_of(image)


def _require_function(container: Mapping[str, Any]) -> None:
    command = list(container.get("command", []))
    containerized = component_factory.CONTAINERIZED_PYTHON_COMPONENT_COMMAND
    if command[: len(containerized)] == containerized or not any(
        component_factory.EXECUTOR_MODULE in part for part in command
    ):
        raise InputError(
            f"A component must be a Python function to run on the platform local; the one of the image "
            f"{container['image']!r} is a container.",
            "Run the pipeline with `--platform docker`.",
        )
