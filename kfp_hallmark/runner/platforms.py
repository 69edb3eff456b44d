"""What the platforms have in common: how a step is handed over to one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kfp_hallmark.contracts.audit import PATH_VARIABLE as AUDIT_VARIABLE
from kfp_hallmark.contracts.release import SERVING_VARIABLE
from kfp_hallmark.errors import InputError
from kfp_hallmark.runner.interruption import Interruption
from kfp_hallmark.runner.record import ARTIFACTS_FOLDER
from kfp_hallmark.tracking import VARIABLE as TRACKING_VARIABLE


@dataclass(frozen=True)
class Folders:
    """Where a run keeps what.

    Attributes:
        run: The run's own folder.
        state: What runs share: the MLflow store, the served models, the audit log, the reused outputs.
        scratch: For temporary files; removed when the run ends.
        run_id: The run's name.
    """

    run: Path
    state: Path
    scratch: Path
    run_id: str

    @property
    def artifacts(self) -> Path:
        """What the steps write."""
        return self.run / ARTIFACTS_FOLDER

    @property
    def mlflow(self) -> Path:
        """The folder that steps run in, so that what MLflow puts beside itself is in the state."""
        return self.state / "mlflow"

    @property
    def reuse(self) -> Path:
        """What is known of steps that can be used again."""
        return self.state / "reuse"

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables by which every step knows the state, whatever the platform.

        Args:
            environment: The variables of this process, which win where they say where to.

        Raises:
            InputError: If the state's path cannot stand in the URI of MLflow's store.
        """
        if not environment.get(TRACKING_VARIABLE) and re.search(r"[?#%]", str(self.mlflow)):
            raise InputError(
                f"The folder of the state must hold no '?', '#' or '%', which mean something in a URI; got "
                f"{str(self.state)!r}.",
                f"Name another by HALLMARK_HOME, or MLflow's store by {TRACKING_VARIABLE}.",
            )
        return {
            TRACKING_VARIABLE: environment.get(TRACKING_VARIABLE) or f"sqlite:///{self.mlflow / 'mlflow.db'}",
            SERVING_VARIABLE: environment.get(SERVING_VARIABLE) or str(self.state / "serving"),
            AUDIT_VARIABLE: environment.get(AUDIT_VARIABLE) or str(self.state / "audit.jsonl"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PYTHONHASHSEED": "0",
            "PYTHONUNBUFFERED": "1",
        }


@dataclass(frozen=True)
class Job:
    """One attempt to run a step.

    Attributes:
        name: The step's name.
        image: The image that the component names.
        command: The command with its arguments.
        variables: What the pipeline's author set for this step.
        memory: Bytes that it may use, where the pipeline says so.
        log: The file that everything the step prints goes to the end of.
        final: Whether it is an exit handler.
        interruption: What may end it.
    """

    name: str
    image: str
    command: list[str]
    variables: Mapping[str, str]
    memory: int | None
    log: Path
    final: bool
    interruption: Interruption


class Platform(Protocol):
    """Where steps run."""

    def prepare(self, executors: Mapping[str, Any], report: Callable[[str], None]) -> None:
        """Check, and make, everything that the steps need, before the first one starts.

        Args:
            executors: The executors of the prepared spec, by label.
            report: Called with a line when something takes long.
        """

    def runner(self) -> Any:
        """Return the runner by which kfp.local knows the platform."""

    def digest(self, image: str) -> str:
        """Return what tells all that a step on an image runs on from anything else: dependencies and our code."""

    def run(self, job: Job) -> int:
        """Run a step to its end and return its exit code."""


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        InputError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"A run must be able to make the folder {str(folder)!r}; got {error.strerror}.") from error


def containers(executors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the container of every executor that has one."""
    return [executor["container"] for executor in executors.values() if "container" in executor]
