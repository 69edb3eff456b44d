"""Compile pipelines for a platform; and every component and pipeline of ours to the YAML and pages in this repository.

What is in the repository depends on the sources alone, so that `hallmark compile --check` can hold the committed files
against them, byte for byte. What is compiled for a platform depends on its settings and pinned images too.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docstring_parser import DocstringStyle, parse
from google.protobuf import json_format
from kfp.compiler import pipeline_spec_builder
from kfp.dsl.base_component import BaseComponent
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark import __version__
from kfp_hallmark.component import Traits
from kfp_hallmark.environments import ENVIRONMENTS, REGISTRY, image, lock
from kfp_hallmark.errors import HallmarkError, InputError, MissingInputError, nearest
from kfp_hallmark.settings import SIZES, Settings
from kfp_hallmark.signature import Field, signature

KUBEFLOW, VERTEX = "kubeflow", "vertex"
FLAVOURS = (KUBEFLOW, VERTEX)

MAX_SPEC_BYTES = 100_000
"""The size that no compiled file of ours may pass; backends refuse specs that are much larger."""

SHARED = 60
"""How long, as JSON, is what a file that holds it more than once writes once."""


@dataclass(frozen=True)
class Generated:
    """A file that is generated.

    Attributes:
        path: Where it belongs, relative to the repository.
        content: What it holds.
    """

    path: Path
    content: bytes


def generated() -> Iterator[Generated]:
    """Yield every generated file: YAML and pages of components, YAML of pipelines, and the page on lint rules."""
    import kfp_hallmark.components as components
    import kfp_hallmark.pipelines as pipelines
    from kfp_hallmark.lint.page import page as rules_page

    for name in components.__all__:
        text = compile_component(getattr(components, name))
        yield Generated(Path("compiled", "components", f"{name}.yaml"), text)
        page = component_page(name, components.STAGES[name], next(yaml.safe_load_all(text)))
        yield Generated(Path("components", components.STAGES[name], name, "README.md"), page.encode())
    for name in pipelines.__all__:
        for flavour in FLAVOURS:
            text = compile_pipeline(getattr(pipelines, name), flavour)
            yield Generated(Path("compiled", "pipelines", f"{name}.{flavour}.yaml"), text)
    yield Generated(Path("docs", "lint.md"), rules_page().encode())


def stale(root: Path) -> list[Path]:
    """Return the files below the repository's root that are not what `generated` says, or should not be there."""
    wanted = {root / file.path: file.content for file in generated()}
    found = {*root.glob("compiled/*/*.yaml"), *root.glob("components/*/*/README.md")}
    differing = [path for path, content in wanted.items() if not path.is_file() or path.read_bytes() != content]
    return sorted({*differing, *(found - set(wanted))})


def write(root: Path) -> list[Path]:
    """Write every generated file that is stale, remove what should not be there, and return what changed."""
    wanted = {root / file.path: file.content for file in generated()}
    changed = stale(root)
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted[path])
        else:
            path.unlink()
    return changed


def compile_component(component: BaseComponent) -> bytes:
    """Return a component's YAML, which runs on every backend."""
    return _to_yaml(component.pipeline_spec, component.description, pipeline_spec_pb2.PlatformSpec())


def compile_pipeline(pipeline: BaseComponent, flavour: str) -> bytes:
    """Return a pipeline's YAML.

    Args:
        pipeline: The pipeline.
        flavour: `kubeflow`: with a second document that holds what only Kubernetes knows; `vertex`: one document,
            because Vertex AI refuses a second.

    Raises:
        HallmarkError: If the pipeline needs a platform document and the flavour is `vertex`.
    """
    from kfp_hallmark.platforms.pipeline import Pipeline, drop_documentation

    changed = Pipeline(pipeline)
    drop_documentation(changed)
    changed.put_back()
    spec, platform = changed.spec, changed.platform
    if flavour == VERTEX and platform.platforms:
        raise HallmarkError(
            f"A pipeline for Vertex AI must have no platform settings; {spec.pipeline_info.name!r} has."
        )
    if flavour == KUBEFLOW:
        executors = platform.platforms["kubernetes"].deployment_spec.executors
        for label in spec.deployment_spec["executors"]:
            # The tag is the version, so an image that is there is the right one.
            executors[label]["imagePullPolicy"] = "IfNotPresent"
    return _to_yaml(spec, pipeline.description, platform)


def find_pipeline(name: str) -> BaseComponent:
    """Return a pipeline by its name, or the user's own.

    Args:
        name: The name of one of our pipelines; or `module:function`, imported from the working folder or as installed;
            or the path of a YAML file that KFP's compiler wrote.

    Raises:
        InputError: If there is no such pipeline.
    """
    import kfp_hallmark.pipelines as pipelines

    if name in pipelines.__all__:
        return getattr(pipelines, name)
    path = Path(name)
    if path.is_file():
        return load(path)
    module, colon, function = name.partition(":")
    if colon and path.suffix not in (".yaml", ".yml"):
        return _imported(module, function)
    raise InputError(
        f"PIPELINE must be a pipeline's name, module:function or the path of a YAML file; got {name!r}.",
        nearest(name, list(pipelines.__all__)),
    )


def load(path: Path) -> BaseComponent:
    """Return the pipeline in a YAML file.

    Raises:
        InputError: If it is not what KFP's compiler wrote.
    """
    from kfp.components import load_component_from_text

    try:
        found = load_component_from_text(path.read_text(encoding="utf-8"))
        # KFP reads what is within only when it is asked for.
        _to_yaml(found.pipeline_spec, found.description, found.platform_spec)
    except Exception as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        reason = said.partition("\n")[0].rstrip(".")
        raise InputError(
            f"A pipeline must be what KFP's compiler wrote; {str(path)!r} cannot be read ({reason[:300]}).",
            "Compile it with `kfp.compiler.Compiler().compile(pipeline, path)`.",
        ) from error
    return found


def _imported(module: str, function: str) -> BaseComponent:
    """Import a pipeline; the working folder is looked in last, so that nothing there hides what is installed."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        found = importlib.import_module(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise MissingInputError(f"The module {module!r} must be importable; it is not ({reason}).") from error
    pipeline = getattr(found, function, None)
    if not isinstance(pipeline, BaseComponent):
        known = [key for key, value in vars(found).items() if isinstance(value, BaseComponent)]
        raise InputError(
            f"{module}:{function} must be a pipeline or component of KFP; it is not.", nearest(function, known)
        )
    return pipeline


def compile_for(
    pipeline: BaseComponent,
    platform: str,
    settings: Settings,
    registry: str | None = None,
    images: str | Path | None = None,
) -> bytes:
    """Return a pipeline's YAML for a platform: images pinned, and all that its settings say for every run.

    Args:
        pipeline: The pipeline.
        platform: `kubeflow` or `vertex`.
        settings: The platform's settings.
        registry: Where our images are. Default: as the settings say, else as the images were compiled.
        images: The file that pins images. Default: as the settings say.

    Raises:
        InputError: If the platform is unknown, an image is not pinned, or the pipeline contradicts the settings.
        MissingInputError: If there is no file that pins images.
        IntegrityError: If that file is not whole.
    """
    from kfp_hallmark.platforms import kubeflow, vertex
    from kfp_hallmark.platforms.pipeline import Pipeline, drop_documentation, set_images

    applied = {KUBEFLOW: kubeflow.apply, VERTEX: vertex.apply}
    if platform not in applied:
        raise InputError(
            f"--platform must be one of {', '.join(applied)}; got {platform!r}.", nearest(platform, list(applied))
        )
    pins = lock.read(Path(images) if images else settings.path(settings.images.lock))
    changed = Pipeline(pipeline)
    set_images(changed, lambda name: lock.pin(in_registry(name, registry or settings.images.registry), pins))
    drop_documentation(changed)
    applied[platform](changed, settings)
    changed.put_back()
    return _to_yaml(changed.spec, changed.description, changed.platform)


def unused_machines(pipeline: BaseComponent, settings: Settings) -> list[str]:
    """Return the names in `[vertex.machines]` that are no size, no component of ours and none of the pipeline."""
    import kfp_hallmark.components as components
    from kfp_hallmark.platforms.pipeline import Pipeline

    used = {*SIZES, *components.__all__, *(step.component for step in Pipeline(pipeline).steps.values())}
    return [name for name in settings.vertex.machines if name not in used]


def in_registry(reference: str, registry: str | None) -> str:
    """Return one of our images as it is named in a registry, and any other as it is."""
    for name in ENVIRONMENTS:
        if registry and reference in (image(name), f"{REGISTRY}/{name}:{__version__}"):
            return f"{registry.rstrip('/')}/{name}:{__version__}"
    return reference


def _to_yaml(
    spec: pipeline_spec_pb2.PipelineSpec, description: str | None, platform: pipeline_spec_pb2.PlatformSpec
) -> bytes:
    # In the order of their keys: protobuf's maps have another in every process, and the comments show it.
    written = [json_format.MessageToJson(message, sort_keys=True) for message in (spec, platform)]
    documents = [json.loads(document) for document in written]
    comments = pipeline_spec_builder.extract_comments_from_pipeline_spec(documents[0], description)
    specs = [documents[0], *documents[1].get("platforms", {}).values()]
    for deployment in (spec["deploymentSpec"] for spec in specs if "deploymentSpec" in spec):
        deployment["executors"] = _shared(deployment["executors"], {})
    content = yaml.dump_all(
        filter(None, documents), Dumper=_Dumper, default_flow_style=None, sort_keys=True, width=sys.maxsize
    )
    return f"{comments}{content}".encode()


def _shared(value: Any, known: dict[str, Any]) -> Any:
    """Return a value of which equal parts are the same object, which YAML writes once: most of what starts a step.

    What is short, and images, which are looked for as they are, stay apart.
    """
    if isinstance(value, dict):
        value = {key: _shared(inner, known) for key, inner in value.items()}
    elif isinstance(value, list):
        value = [_shared(inner, known) for inner in value]
    elif not (isinstance(value, str) and "\n" in value):
        return value
    written = json.dumps(value)
    return known.setdefault(written, value) if len(written) >= SHARED else value


class _Dumper(yaml.SafeDumper):
    """Writes what fits on a line on one, and sources as they are where KFP escapes them: shorter, and fit to read."""

    LINE = 120

    def ignore_aliases(self, data: Any) -> bool:
        return super().ignore_aliases(data) and not (isinstance(data, str) and "\n" in data)

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    def represent_data(self, data: Any) -> yaml.Node:
        node = super().represent_data(data)
        if isinstance(node, yaml.CollectionNode) and "\\n" not in (text := json.dumps(data)):
            node.flow_style = len(text) <= self.LINE or node.flow_style
        return node


_Dumper.add_representer(str, _Dumper.represent_text)


def component_page(name: str, stage: str, spec: dict[str, Any]) -> str:
    """Return a component's page in Markdown, from its compiled YAML alone."""
    component = next(iter(spec["components"].values()))
    container = next(iter(spec["deploymentSpec"]["executors"].values()))["container"]
    task = next(iter(spec["root"]["dag"]["tasks"].values()))
    documentation = parse(_docstring(container["command"][-1]), DocstringStyle.GOOGLE)
    inputs = signature(component.get("inputDefinitions", {}))
    outputs = signature(component.get("outputDefinitions", {}))
    call = ", ".join(f"{field.name}=..." for field in inputs if field.required)
    environment = container["image"].rpartition("/")[2].partition(":")[0]
    pure = bool(task.get("cachingOptions"))
    cached = "reused when nothing it depends on has changed" if pure else "never cached"
    traits = Traits.read(container["command"][-1])
    assert traits is not None
    retried = "retried" if traits.idempotent else "never retried"
    loaded = f'{name} = components.load_component_from_file("compiled/components/{name}.yaml")'
    if not pure:
        loaded += f"\n{name}(...).set_caching_options(False)  # YAML cannot say of itself that a step is never cached"
    parts = [
        f"<!-- Generated by `hallmark compile` from compiled/components/{name}.yaml. -->\n# {name}",
        documentation.short_description or "",
        documentation.long_description or "",
        f"Stage `{stage}`, environment `{environment}`, size `{traits.size}`, {cached}, {retried} after a failure.",
        "## Use",
        f"```python\nfrom kfp_hallmark import components\n\n{name} = components.{name}({call})\n```",
        "Or, without installing anything:",
        f"```python\nfrom kfp import components\n\n{loaded}\n```",
        "## Inputs",
        _markdown_table(["Name", "Type", "Default", "What it is"], [_cells(field) for field in inputs]),
    ]
    if outputs:
        rows = [[f"`{field.name}`", field.type, _cell(field.description)] for field in outputs]
        parts += ["## Outputs", _markdown_table(["Name", "Type", "What it is"], rows)]
    if documentation.raises:
        rows = [[f"`{entry.type_name}`", _cell(entry.description)] for entry in documentation.raises]
        parts += ["## Errors", _markdown_table(["Error", "When"], rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cells(field: Field) -> list[str]:
    default = "required" if field.required else "none" if field.default is None else f"`{field.default!r}`"
    return [f"`{field.name}`", field.type, default, _cell(field.description)]


def _cell(text: str | None) -> str:
    """Return a text as a table's cell takes it: on one line, with its bars escaped."""
    return " ".join((text or "").split()).replace("|", "\\|")


def _docstring(source: str) -> str:
    """Return the docstring of the one function in a lightweight component's source."""
    function = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    return ast.get_docstring(function) or ""


def _markdown_table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
