"""Compile every component and pipeline to YAML, and write the components' pages from the YAML.

What is written depends on the sources alone, so that `hallmark compile --check` can hold the committed files against
them, byte for byte.
"""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docstring_parser import DocstringStyle, parse
from kfp.compiler import pipeline_spec_builder
from kfp.dsl.base_component import BaseComponent
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark.errors import HallmarkError
from kfp_hallmark.signature import Field, signature

KUBEFLOW, VERTEX = "kubeflow", "vertex"
FLAVOURS = (KUBEFLOW, VERTEX)

MAX_SPEC_BYTES = 100_000
"""The size that no compiled file of ours may pass; backends refuse specs that are much larger."""


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
    """Yield every generated file: the components' YAML and pages, and the pipelines' YAML in each flavour."""
    import kfp_hallmark.components as components
    import kfp_hallmark.pipelines as pipelines

    for name in components.__all__:
        text = compile_component(getattr(components, name))
        yield Generated(Path("compiled", "components", f"{name}.yaml"), text)
        page = component_page(name, components.STAGES[name], next(yaml.safe_load_all(text)))
        yield Generated(Path("components", components.STAGES[name], name, "README.md"), page.encode())
    for name in pipelines.__all__:
        for flavour in FLAVOURS:
            text = compile_pipeline(getattr(pipelines, name), flavour)
            yield Generated(Path("compiled", "pipelines", f"{name}.{flavour}.yaml"), text)


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
    spec = pipeline.pipeline_spec
    platform = pipeline_spec_pb2.PlatformSpec()
    platform.CopyFrom(pipeline.platform_spec)
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


def _to_yaml(
    spec: pipeline_spec_pb2.PipelineSpec, description: str | None, platform: pipeline_spec_pb2.PlatformSpec
) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spec.yaml")
        pipeline_spec_builder.write_pipeline_spec_to_file(
            pipeline_spec=spec, pipeline_description=description, platform_spec=platform, package_path=str(path)
        )
        return path.read_bytes()


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
    loaded = f'{name} = components.load_component_from_file("compiled/components/{name}.yaml")'
    if not pure:
        loaded += f"\n{name}(...).set_caching_options(False)  # YAML cannot say of itself that a step is never cached"
    parts = [
        f"<!-- Generated by `hallmark compile` from compiled/components/{name}.yaml. -->\n# {name}",
        documentation.short_description or "",
        documentation.long_description or "",
        f"Stage `{stage}`, environment `{environment}`, {cached}.",
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
