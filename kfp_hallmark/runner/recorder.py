"""Keep the record of a run while it runs, and tell whoever watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kfp import dsl

from kfp_hallmark.runner.plan import PlannedStep, translation
from kfp_hallmark.runner.record import (
    LOGS_FOLDER,
    PENDING,
    RUNNING,
    SKIPPED,
    RunResult,
    Step,
    whole_numbers,
)
from kfp_hallmark.tracking import without_passwords


class Recorder:
    """The steps of a run as they begin and end, from whichever thread.

    Args:
        result: The record, which is written whenever a step ends.
        planned: The steps in order.
        watch: Called with every step that begins or ends.
    """

    def __init__(self, result: RunResult, planned: list[PlannedStep], watch: Callable[[Step], None]) -> None:
        self._result = result
        self._watch = watch
        self._lock = threading.Lock()
        self._begun: dict[int, float] = {}
        self._looped: set[str] = set()
        self._parameters = {step.key: step.parameters for step in planned}
        result.steps = [Step(name=step.name, component=step.component, key=step.key) for step in planned]

    def begin(self, key: str, iteration: tuple[int, ...], artifacts: Mapping[str, Any]) -> Step:
        """Note that a step begins, and return it; a loop's step is there once an iteration."""
        with self._lock:
            step = self._iteration(key, iteration) if iteration else self._planned(key)
            step.state = RUNNING
            step.log = f"{LOGS_FOLDER}/{step.name.replace('[', '.').replace(']', '').replace(',', '.')}.log"
            step.inputs = {name: self._result.place(path) for name, path in _paths(artifacts).items()}
            self._begun[id(step)] = time.monotonic()
            self._watch(step)
            return step

    def end(self, step: Step, state: str, outputs: Mapping[str, Any], reason: str | None) -> None:
        """Note that a step has ended."""
        with self._lock:
            step.seconds = round(time.monotonic() - self._begun[id(step)], 3)
            step.state = state
            step.log = step.log if (self._result.directory / str(step.log)).is_file() else None
            told = translation(reason, self._parameters[step.key]) if reason else None
            step.reason = f"{reason}\n{told}" if told else reason
            step.outputs = {name: self._output(value) for name, value in outputs.items()}
            # A disk that is full for good is told when the run is over: the exit handlers come first.
            with suppress(OSError):
                self._result.write()
            self._watch(step)

    def elapsed(self, step: Step) -> float | None:
        """Return how long a step took, or has been running."""
        if step.state == RUNNING:
            return time.monotonic() - self._begun[id(step)]
        return step.seconds

    def close(self) -> None:
        """Note that what has not begun will not."""
        with self._lock:
            for step in self._result.steps:
                if step.state == PENDING:
                    step.state = SKIPPED

    def _planned(self, key: str) -> Step:
        return next(step for step in self._result.steps if step.key == key)

    def _iteration(self, key: str, iteration: tuple[int, ...]) -> Step:
        """Return a loop's step in one iteration, in the place of, or after, what stands for the step."""
        steps = self._result.steps
        last = max(index for index, step in enumerate(steps) if step.key == key)
        template = steps[last]
        base = template.name.partition("[")[0]
        step = Step(f"{base}[{','.join(map(str, iteration))}]", template.component, key=key)
        if key in self._looped:
            steps.insert(last + 1, step)
        else:
            steps[last] = step
            self._looped.add(key)
        return step

    def _output(self, value: Any) -> Any:
        if isinstance(value, list) and value and isinstance(value[0], dsl.Artifact):
            return [self._output(entry) for entry in value]
        if isinstance(value, dsl.Artifact):
            return {
                "type": value.schema_title.removeprefix("system."),
                "path": self._result.place(value.path or ""),
                "metadata": without_passwords(whole_numbers(dict(value.metadata))),
            }
        return without_passwords(value)


def _paths(artifacts: Mapping[str, Any]) -> dict[str, Path]:
    """Return where artifacts are; those of a list get their number behind their name."""
    paths = {}
    for name, value in artifacts.items():
        if isinstance(value, dsl.Artifact):
            paths[name] = Path(value.path)
        elif isinstance(value, list):
            paths |= {f"{name}[{i}]": Path(v.path) for i, v in enumerate(value) if isinstance(v, dsl.Artifact)}
    return paths
