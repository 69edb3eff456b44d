"""A compiled pipeline as it is in a file: its documents, its tasks, and on which line each part is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any, TypeAlias

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message

from kfp_hallmark.component import Traits
from kfp_hallmark.contracts.documents import NO_YAML
from kfp_hallmark.errors import InputError, MissingInputError

SCHEMA_VERSION = "2.1.0"

MAX_BYTES = 5_000_000
"""Much more than Kubeflow takes, and little enough to be read in seconds."""

MAX_DEPTH = 200
MAX_VALUES = 1_000_000

_HINT = "Compile the pipeline with kfp 2: `kfp.compiler.Compiler().compile(pipeline, path)`."
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path: TypeAlias = tuple[str | int, ...]
Part: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """A task of a DAG.

    Attributes:
        path: The keys that lead to it.
        name: Its name.
        value: What the spec says of it.
        siblings: All tasks of its DAG, itself included.
        component: The component that it runs; empty when there is none.
        executor: How that component runs; empty when it is a DAG.
    """

    path: Path
    name: str
    value: Part
    siblings: Part
    component: Part
    executor: Part

    @property
    def parameters(self) -> Part:
        """Where its parameters come from."""
        return self.value.get("inputs", {}).get("parameters", {})

    @property
    def artifacts(self) -> Part:
        """Where its artifacts come from."""
        return self.value.get("inputs", {}).get("artifacts", {})

    @property
    def container(self) -> Part:
        """The container that it runs; empty when it runs none."""
        return self.executor.get("container", {})

    @property
    def traits(self) -> Traits | None:
        """What a component of ours says of itself; None of any other."""
        return Traits.read("".join(self.container.get("command", ())[-1:]))

    @property
    def retries(self) -> int:
        """How often it is run again, by its own policy."""
        return int(self.value.get("retryPolicy", {}).get("maxRetryCount", 0))

    @property
    def iterates(self) -> bool:
        """Whether it is a loop."""
        return "parameterIterator" in self.value or "artifactIterator" in self.value

    @property
    def producers(self) -> dict[Path, str]:
        """The tasks whose outputs it takes, by where it says so."""
        found: dict[Path, str] = {}
        for kind, entries in (("parameters", self.parameters), ("artifacts", self.artifacts)):
            for name, entry in entries.items():
                output = entry.get("taskOutputParameter") or entry.get("taskOutputArtifact")
                if output:
                    found[(*self.path, "inputs", kind, name)] = output.get("producerTask", "")
        return found

    @property
    def constants(self) -> dict[Path, Any]:
        """The values that the spec itself gives it, by where it says so."""
        return {
            (*self.path, "inputs", "parameters", name): entry["runtimeValue"]["constant"]
            for name, entry in self.parameters.items()
            if "constant" in entry.get("runtimeValue", {})
        }


@dataclass(frozen=True)
class Spec:
    """A compiled pipeline in a file.

    Attributes:
        file: The file's name.
        documents: The documents as they are written.
        nodes: The documents' YAML nodes.
        index: Which document is the pipeline.
        pipeline: The pipeline, with the names of fields as KFP writes them.
        kubernetes_executors: What only Kubernetes reads of executors, by label, likewise.
    """

    file: str
    documents: list[Part]
    nodes: list[yaml.Node]
    index: int
    pipeline: Part
    kubernetes_executors: Mapping[str, Part]

    @property
    def platform_index(self) -> int | None:
        """Which document holds the settings of platforms."""
        return next((index for index, part in enumerate(self.documents) if _is_platform(part)), None)

    @property
    def kubernetes(self) -> Part:
        """What only Kubernetes reads, as it is written."""
        if self.platform_index is None:
            return {}
        found = self.documents[self.platform_index]["platforms"].get("kubernetes")
        return found if isinstance(found, Mapping) else {}

    @property
    def components(self) -> Part:
        """The components, by name."""
        return self.pipeline.get("components", {})

    @property
    def executors(self) -> Part:
        """The executors, by label."""
        return self.pipeline.get("deploymentSpec", {}).get("executors", {})

    @cached_property
    def dags(self) -> dict[Path, Part]:
        """The components that are DAGs, by the keys that lead to them; the root is the first."""
        parts: dict[Path, Part] = {("root",): self.pipeline["root"]}
        parts |= {("components", name): part for name, part in self.components.items()}
        return {path: part for path, part in parts.items() if "dag" in part}

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks of all DAGs."""
        found = []
        for path, part in self.dags.items():
            siblings = part["dag"].get("tasks", {})
            for name, value in siblings.items():
                component = self.components.get(value.get("componentRef", {}).get("name", ""), {})
                executor = self.executors.get(component.get("executorLabel", ""), {})
                found.append(Task((*path, "dag", "tasks", name), name, value, siblings, component, executor))
        return found

    @property
    def containers(self) -> dict[Path, Part]:
        """The containers of the executors, by the keys that lead to them."""
        return {
            ("deploymentSpec", "executors", label, "container"): executor["container"]
            for label, executor in self.executors.items()
            if "container" in executor
        }

    def line(self, path: Path, document: int | None = None) -> int:
        """Return the line of a part, counted from 1; that of the nearest part around it when it is not written."""
        node = self.nodes[self.index if document is None else document]
        line = node.start_mark.line
        for key in path:
            if isinstance(node, yaml.MappingNode):
                names = (str(key), _snake(str(key)))
                entry = next(((name, value) for name, value in node.value if name.value in names), None)
                if entry is None:
                    break
                line, node = entry[0].start_mark.line, entry[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line
            else:
                break
        return int(line) + 1


def place(path: Path) -> str:
    """Return where a path leads in the words of a pipeline's author: the DAG and its task, or the executor."""
    match path:
        case ("root", "dag", "tasks", task, *_):
            return str(task)
        case ("components", component, "dag", "tasks", task, *_):
            return f"{component} > {task}"
        case ("components", component, *_):
            return str(component)
        case ("deploymentSpec", "executors", label, *_):
            return str(label)
        case ("platforms", _, "deploymentSpec", "executors", label, *_):
            return str(label)
        case ("root", *_):
            return "root"
        case _:
            return ".".join(map(str, path)) or "file"


def strings(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield every text in a value, keys included, with the keys that lead to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield (*path, key), str(key)
            yield from strings(entry, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from strings(entry, (*path, index))


def read(path: FilePath) -> Spec:
    """Read a compiled pipeline.

    Raises:
        MissingInputError: If there is no such file.
        InputError: If it is too large, no YAML, or no pipeline as KFP 2 compiles it.
    """
    if not path.is_file():
        raise MissingInputError(f"FILE must be a file; got {str(path)!r}.")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"{str(path)!r} must have at most {MAX_BYTES:,} bytes; it has {size:,}.")
    try:
        return parse(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} must be text in UTF-8; it is not.") from error


def parse(text: str, file: str) -> Spec:
    """Read a compiled pipeline from its text.

    Args:
        text: The YAML, or JSON.
        file: The name by which errors and findings call it.

    Raises:
        InputError: If it is no YAML, or no pipeline as KFP 2 compiles it.
    """
    try:
        _refuse_traps(text, file)
        nodes = [node for node in yaml.compose_all(text, Loader=_LOADER) if not _is_empty(node)]
        documents = [document for document in yaml.load_all(text, Loader=_LOADER) if document is not None]
    except (yaml.YAMLError, *NO_YAML) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file!r} must be YAML; {_where(error)}.") from error
    if not documents:
        raise InputError(f"{file!r} must hold a compiled pipeline; it is empty.")
    pipelines = [index for index, document in enumerate(documents) if not _is_platform(document)]
    if not pipelines:
        raise InputError(f"{file!r} must hold a compiled pipeline; it holds settings of platforms alone.")
    if len(pipelines) > 1 or len(documents) > 2:
        raise InputError(
            f"{file!r} must hold one pipeline and at most one document of platform settings; "
            f"it holds {len(pipelines)} and {len(documents) - len(pipelines)}."
        )
    platform: Part = next(filter(_is_platform, documents), {})
    executors = _kubernetes_executors(platform, file)
    return Spec(file, documents, nodes, pipelines[0], _pipeline(documents[pipelines[0]], file), executors)


def _is_empty(node: yaml.Node | None) -> bool:
    return node is None or node.tag == "tag:yaml.org,2002:null"


def _refuse_traps(text: str, file: str) -> None:
    """Raise for what makes a small file endless, aliases of aliases, or exhausts a parser, depth."""
    values = 0
    opened: list[tuple[str | None, int]] = []
    sizes: dict[str | None, int] = {}
    for event in yaml.parse(text, Loader=_LOADER):
        line = getattr(event.start_mark, "line", 0) + 1
        if isinstance(event, yaml.AliasEvent):
            values += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor] = values - before
        elif isinstance(event, yaml.NodeEvent):
            values += 1
            # Until a collection ends, an alias of it stands for itself within itself.
            sizes[event.anchor] = MAX_VALUES if isinstance(event, yaml.CollectionStartEvent) else 1
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, values))
        if values >= MAX_VALUES:
            raise InputError(f"{file!r} must have less than {MAX_VALUES:,} values, aliases written out; line {line}.")
        if len(opened) > MAX_DEPTH:
            raise InputError(f"{file!r} must be nested at most {MAX_DEPTH} deep; line {line} is deeper.")


def _where(error: Exception) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None:
        return "it cannot be read"
    return f"line {mark.line + 1}: {problem}"


def _is_platform(document: Any) -> bool:
    return isinstance(document, Mapping) and isinstance(document.get("platforms"), Mapping)


def _pipeline(document: Any, file: str) -> Part:
    """Return a pipeline in KFP's own names, whatever fields it has that this version of KFP does not know."""
    from kfp.pipeline_spec import pipeline_spec_pb2

    if not isinstance(document, Mapping):
        raise InputError(f"{file!r} must hold a compiled pipeline; it holds {_kind(document)}.", _HINT)
    if "apiVersion" in document or "implementation" in document:
        raise InputError(f"{file!r} must hold a pipeline as KFP 2 compiles it; it holds {_kind(document)}.", _HINT)
    message = pipeline_spec_pb2.PipelineSpec()
    pipeline = _in_own_names(document, message, file)
    if not message.root.HasField("dag") or not message.pipeline_info.name:
        raise InputError(
            f"{file!r} must hold a compiled pipeline, with `root` and `pipelineInfo`; it lacks them.", _HINT
        )
    if message.schema_version != SCHEMA_VERSION:
        got = message.schema_version or "none"
        raise InputError(f"{file!r} must have the schemaVersion {SCHEMA_VERSION}; got {got}.", _HINT)
    if "deploymentSpec" in pipeline:
        deployment = pipeline_spec_pb2.PipelineDeploymentConfig()
        pipeline["deploymentSpec"] = _in_own_names(pipeline["deploymentSpec"], deployment, file)
    return pipeline


def _kubernetes_executors(platform: Part, file: str) -> dict[str, Part]:
    """Return the settings of executors for Kubernetes, by label, in KFP's own names."""
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    message = _in_own_names(platform, pipeline_spec_pb2.PlatformSpec(), file)
    executors = message.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    config = kubernetes_executor_config_pb2.KubernetesExecutorConfig
    return {label: _in_own_names(value, config(), file) for label, value in executors.items()}


def _in_own_names(value: Any, message: Message, file: str) -> dict[str, Any]:
    """Return a value as a message of KFP has it, without the fields that this version of KFP does not know."""
    try:
        json_format.ParseDict(value, message, ignore_unknown_fields=True)
        return json_format.MessageToDict(message)
    except (json_format.Error, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{file!r} must hold a pipeline as KFP 2 compiles it; {_first_line(error)}.",
            _HINT,
        ) from error


def _kind(document: Any) -> str:
    if isinstance(document, Mapping):
        if "implementation" in document:
            return "a component of KFP 1"
        return f"a Kubernetes object of the kind {document.get('kind')}"
    return "a text" if isinstance(document, str) else f"a {type(document).__name__}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")[:300]


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", name)
