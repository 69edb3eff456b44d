"""Run a prepared spec with kfp.local's own orchestrator, its steps handed to our platform.

kfp.local 2.17 has no place to plug a handler in, so the names that it looks up when a step runs are put in place for
the time of a run and restored after it. `kfp` is pinned, and the tests run every construct that we rely on.
"""

from __future__ import annotations

import builtins
import json
import logging
import re
import shutil
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.protobuf import json_format
from kfp.compiler import pipeline_spec_builder
from kfp.local import (
    cache,
    config,
    executor_input_utils,
    graph_utils,
    status,
    subprocess_task_handler,
    task_handler_interface,
    utils,
)
from kfp.local.orchestrator import enhanced_dag_orchestrator, task_executor, task_spec_utils
from kfp.local.orchestrator.orchestrator_utils import OrchestratorUtils
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark.component import Traits
from kfp_hallmark.errors import HallmarkError
from kfp_hallmark.runner.conditions import holds
from kfp_hallmark.runner.interruption import Interrupted, Interruption
from kfp_hallmark.runner.logs import failure
from kfp_hallmark.runner.plan import is_final, readable, topological_stack
from kfp_hallmark.runner.platforms import Folders, Job, Platform
from kfp_hallmark.runner.record import FAILED, LOGS_FOLDER, REUSED, SUCCEEDED, Step, whole_numbers
from kfp_hallmark.runner.recorder import Recorder
from kfp_hallmark.runner.reuse import Reuse
from kfp_hallmark.settings_checks import byte_count

ORCHESTRATOR_LOG = f"{LOGS_FOLDER}/orchestrator.log"

_one_at_a_time = threading.Lock()
_Parameter = pipeline_spec_pb2.ParameterType.ParameterTypeEnum


@dataclass
class _Current:
    """The step that a thread runs.

    Attributes:
        step: The step.
        root: The folder of its outputs.
        final: Whether it is an exit handler.
        pure: Whether its component says that its outputs depend on its inputs alone.
        memory: Bytes that it may use, where the pipeline says so.
        ran: Whether it was handed to the platform, and not reused.
        reason: Why it failed there.
    """

    step: Step
    root: Path
    final: bool
    pure: bool
    memory: int | None
    ran: bool = False
    reason: str | None = None


class Orchestration:
    """One run of a prepared spec.

    Attributes:
        reasons: Why it failed, where it was no step that did.
    """

    def __init__(
        self,
        spec: pipeline_spec_pb2.PipelineSpec,
        folders: Folders,
        platform: Platform,
        recorder: Recorder,
        interruption: Interruption,
    ) -> None:
        self._spec = spec
        self._folders = folders
        self._platform = platform
        self._recorder = recorder
        self._interruption = interruption
        self._thread = threading.local()
        self.reasons: list[str] = []
        self._execute = task_executor.execute_single_task
        self._execute_branch = enhanced_dag_orchestrator.execute_task
        self._run_loop = enhanced_dag_orchestrator._run_parallel_for_task
        self._to_dict = executor_input_utils.executor_input_to_dict

    @property
    def target(self) -> Path:
        """The folder that the outputs of this thread's step belong in."""
        return self._current.root

    def run(self, parameters: Mapping[str, Any], runner: Any, reuse: Reuse | None) -> bool:
        """Run every step that is to run, and return whether all is well."""
        with _one_at_a_time, self._in_place(runner, reuse):
            _, outcome = enhanced_dag_orchestrator.run_enhanced_dag(
                pipeline_resource_name=self._folders.run_id,
                dag_component_spec=self._spec.root,
                executors={
                    name: utils.struct_to_executor_spec(executor)
                    for name, executor in self._spec.deployment_spec["executors"].items()
                },
                components=dict(self._spec.components.items()),
                dag_arguments=dict(parameters),
                pipeline_root=str(self._folders.artifacts),
                runner=runner,
                unique_pipeline_id=self._folders.run_id,
                fail_stack=[],
            )
        return bool(outcome == status.Status.SUCCESS)

    @property
    def _current(self) -> _Current:
        return self._thread.current

    @contextmanager
    def _in_place(self, runner: Any, reuse: Reuse | None) -> Iterator[None]:
        """Put our parts where kfp.local looks for its own, and let nothing that it prints reach the screen."""
        workspace = self._folders.scratch / "workspace"
        workspace.mkdir()
        with ExitStack() as stack:
            log = stack.enter_context((self._folders.run / ORCHESTRATOR_LOG).open("a", buffering=1, encoding="utf-8"))
            stack.enter_context(redirect_stdout(log))
            stack.enter_context(redirect_stderr(log))
            stack.enter_context(_root_logger_to(log))
            for owner, name, value in (
                (config.LocalExecutionConfig, "instance", config.LocalExecutionConfig.instance),
                # kfp's logging replaces print and, with loops, may put the wrong one back.
                (builtins, "print", builtins.print),
                (task_executor, "execute_single_task", self._execute_single_task),
                # Whether a branch is taken is decided where it would run, for there its inputs are known.
                (enhanced_dag_orchestrator.ConditionEvaluator, "evaluate_condition", lambda *_: True),
                (enhanced_dag_orchestrator, "execute_task", self._execute_task),
                (enhanced_dag_orchestrator, "_run_parallel_for_task", self._run_parallel_for_task),
                (task_spec_utils, "create_parameter_loop_iteration_task_spec", _iteration),
                # Waiting for a retry must not outlast an interruption.
                (task_executor, "time", SimpleNamespace(sleep=self._interruption.sleep)),
                (graph_utils, "topological_sort_tasks", topological_stack),
                (cache, "get_local_cache", lambda: reuse if self._current.pure and not self._current.final else None),
                (executor_input_utils, "construct_local_task_root", self._task_root),
                (executor_input_utils, "executor_input_to_dict", self._executor_input_to_dict),
                (subprocess_task_handler, "SubprocessTaskHandler", self._handler),
            ):
                stack.enter_context(_replaced(owner, name, value))
            if isinstance(runner, config.DockerRunner):
                from kfp.local import docker_task_handler

                stack.enter_context(_replaced(docker_task_handler, "DockerTaskHandler", self._handler))
            config.LocalExecutionConfig(
                runner=runner,
                pipeline_root=str(self._folders.artifacts),
                workspace_root=str(workspace),
                raise_on_error=False,
            )
            yield

    def _execute_task(
        self, *, task_spec: pipeline_spec_pb2.PipelineTaskSpec, io_store: Any, **others: Any
    ) -> tuple[dict[str, Any], status.Status]:
        """Do what kfp's function of this name does, where the task's condition holds.

        What raises is a task that fails: an error that left the pipeline would take the exit handlers with it.
        """
        try:
            condition = task_spec.trigger_policy.condition
            if condition and not holds(condition, OrchestratorUtils.make_task_arguments(task_spec.inputs, io_store)):
                return {}, status.Status.SUCCESS
            outcome: tuple[dict[str, Any], status.Status] = self._execute_branch(
                task_spec=task_spec, io_store=io_store, **others
            )
            return outcome
        except Exception as error:
            self._fail(error)
            return {}, status.Status.FAILURE

    def _run_parallel_for_task(
        self, *, task_spec: pipeline_spec_pb2.PipelineTaskSpec, io_store: Any, **others: Any
    ) -> bool:
        """Do what kfp's function of this name does, over the items that the spec says; return whether it failed."""
        resolved = pipeline_spec_pb2.PipelineTaskSpec()
        resolved.CopyFrom(task_spec)
        items = resolved.parameter_iterator.items
        try:
            if items.input_parameter:
                given = OrchestratorUtils.make_task_arguments(task_spec.inputs, io_store)
                items.raw = json.dumps(given[items.input_parameter])
            return bool(self._run_loop(task_spec=resolved, io_store=io_store, **others))
        except Exception as error:
            self._fail(error)
            return True

    def _fail(self, error: Exception) -> None:
        reason = error.message if isinstance(error, HallmarkError) else f"{type(error).__name__}: {error}"
        if reason not in self.reasons:
            self.reasons.append(reason)
        with suppress(OSError):
            traceback.print_exception(error)

    def _execute_single_task(
        self,
        *,
        task_spec: pipeline_spec_pb2.PipelineTaskSpec,
        pipeline_resource_name: str,
        components: Mapping[str, pipeline_spec_pb2.ComponentSpec],
        io_store: Any,
        **others: Any,
    ) -> tuple[dict[str, Any], status.Status]:
        """Do what kfp's function of this name does, and record it; a step that raises is a step that fails."""
        key = task_spec.component_ref.name
        final = is_final(task_spec)
        if self._interruption.stops(final):
            return {}, status.Status.FAILURE
        iteration = tuple(int(number) for number in re.findall(r"-iteration-(\d+)(?=/|$)", pipeline_resource_name))
        step = self._recorder.begin(key, iteration, _artifacts(task_spec, io_store))
        task_name = executor_input_utils.get_local_task_resource_name(key)
        root = Path(self._task_root(str(self._folders.artifacts), pipeline_resource_name, task_name))
        container = json_format.MessageToDict(self._executor(components[key])).get("container")
        traits = Traits.read(container.get("command", [""])[-1]) if container else None
        limit = container.get("resources", {}).get("resourceMemoryLimit", "") if container else ""
        # One that a parameter says is not known here.
        memory = byte_count(limit) if limit and "{{" not in limit else None
        self._thread.current = _Current(step, root, final, traits is not None and traits.pure, memory)
        outputs: dict[str, Any] = {}
        outcome, reason = status.Status.FAILURE, None
        try:
            outputs, outcome = self._execute(
                task_spec=task_spec,
                pipeline_resource_name=pipeline_resource_name,
                components=components,
                io_store=io_store,
                **others,
            )
            reason = None if outcome == status.Status.SUCCESS else self._current.reason
        except Interrupted:
            reason = "interrupted"
            shutil.rmtree(root, ignore_errors=True)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            with suppress(OSError), self._log(step).open("a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
        state = SUCCEEDED if outcome == status.Status.SUCCESS else FAILED
        if state == SUCCEEDED and not self._current.ran and container is not None:
            state = REUSED
        self._recorder.end(step, state, outputs, reason)
        return outputs, outcome

    def _executor(self, component: pipeline_spec_pb2.ComponentSpec) -> Any:
        return self._spec.deployment_spec["executors"][component.executor_label]

    def _log(self, step: Step) -> Path:
        return self._folders.run / str(step.log)

    def _handler(
        self, image: str, full_command: list[str], pipeline_root: str, runner: Any, env_vars: dict[str, str]
    ) -> task_handler_interface.ITaskHandler:
        """Return what runs a step; in the place of kfp's handler classes."""
        current = self._current
        current.ran = True
        job = Job(
            name=current.step.name,
            image=image,
            command=full_command,
            variables=env_vars,
            memory=current.memory,
            log=self._log(current.step),
            final=current.final,
            interruption=self._interruption,
        )
        return _Handler(self._platform, job, current)

    def _task_root(self, pipeline_root: str, pipeline_resource_name: str, task_resource_name: str) -> str:
        """Return the folder of a step's outputs: `<step>`, below a folder for each loop's iteration."""
        loops = pipeline_resource_name.split("/")[1:]
        return str(Path(pipeline_root, *loops, readable(task_resource_name)))

    def _executor_input_to_dict(
        self,
        executor_input: pipeline_spec_pb2.ExecutorInput,
        component_spec: pipeline_spec_pb2.ComponentSpec,
    ) -> dict[str, Any]:
        """Write whole numbers inside lists and dicts without a fraction, as the backends do and kfp.local does not."""
        value: dict[str, Any] = self._to_dict(executor_input=executor_input, component_spec=component_spec)
        given = value.get("inputs", {}).get("parameterValues", {})
        for name, entry in component_spec.input_definitions.parameters.items():
            if name in given and entry.parameter_type in (_Parameter.LIST, _Parameter.STRUCT):
                given[name] = whole_numbers(given[name])
        return value


class _Handler(task_handler_interface.ITaskHandler):
    def __init__(self, platform: Platform, job: Job, current: _Current) -> None:
        self._platform = platform
        self._job = job
        self._current = current

    def run(self) -> status.Status:
        start = self._job.log.stat().st_size if self._job.log.is_file() else 0
        code = self._platform.run(self._job)
        if code == 0:
            return status.Status.SUCCESS
        if self._job.interruption.stops(self._job.final):
            raise Interrupted
        self._current.reason = failure(self._job.log, start, code)
        return status.Status.FAILURE


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _root_logger_to(stream: Any) -> Iterator[None]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    logger.handlers[:] = [logging.StreamHandler(stream)]
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)


def _iteration(loop: pipeline_spec_pb2.PipelineTaskSpec, item: Any, name: str) -> pipeline_spec_pb2.PipelineTaskSpec:
    """Return a loop's task for one item; kfp's own gives the item for some inputs that are something else."""
    task = pipeline_spec_pb2.PipelineTaskSpec()
    task.CopyFrom(loop)
    task.ClearField("parameter_iterator")
    constant = pipeline_spec_builder.to_protobuf_value(item)
    task.inputs.parameters[loop.parameter_iterator.item_input].runtime_value.constant.CopyFrom(constant)
    return task


def _artifacts(task_spec: pipeline_spec_pb2.PipelineTaskSpec, io_store: Any) -> dict[str, Any]:
    """Return the artifacts that a task is given."""
    inputs = pipeline_spec_pb2.TaskInputsSpec()
    inputs.CopyFrom(task_spec.inputs)
    inputs.ClearField("parameters")
    try:
        return OrchestratorUtils.make_task_arguments(inputs, io_store)
    except ValueError:
        return {}
