"""Every component keeps the conventions; a new folder is found and held to them without being listed anywhere."""

import ast
import re
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from docstring_parser import DocstringStyle, parse
from kfp import components as kfp_components

from kfp_hallmark import components, errors
from kfp_hallmark.compiling import MAX_SPEC_BYTES
from kfp_hallmark.environments import ENVIRONMENTS, image

ALLOWED = {"kfp", "kfp_hallmark.component", *sys.stdlib_module_names}


def imported_modules(tree):
    """Return the modules that a tree imports anywhere."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module)
    return names


def inputs_of(unit):
    definitions = unit.definitions.get("inputDefinitions", {})
    return {**definitions.get("artifacts", {}), **definitions.get("parameters", {})}


def inputs_of_the_pipeline(unit):
    """Return the inputs of the pipeline of one step that a component's file is, which a UI's form shows."""
    definitions = unit.spec["root"].get("inputDefinitions", {})
    return {**definitions.get("artifacts", {}), **definitions.get("parameters", {})}


def outputs_of(unit):
    definitions = unit.definitions.get("outputDefinitions", {})
    return {**definitions.get("artifacts", {}), **definitions.get("parameters", {})}


def test_every_folder_is_a_component(root):
    folders = {path.name for path in (root / "components").glob("*/*") if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(components.__all__)
    assert len(folders) >= 13


def test_no_yaml_without_a_component(root):
    assert {path.stem for path in (root / "compiled" / "components").iterdir()} == set(components.__all__)


def test_names_agree(unit, root):
    assert unit.function.name == unit.name
    assert getattr(components, unit.name).name == unit.name.replace("_", "-")
    assert components.STAGES[unit.name] == unit.stage
    assert unit.spec["pipelineInfo"]["name"] == unit.name.replace("_", "-")
    assert (unit.folder / "README.md").read_text().splitlines()[1] == f"# {unit.name}"
    assert list((root / "tests" / "components" / unit.stage / unit.name).glob("test_*.py"))


def test_name_is_made_of_words(unit):
    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", unit.name)


def test_contract_imports_next_to_nothing(unit):
    top = [node for node in unit.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = imported_modules(ast.Module(body=top, type_ignores=[]))
    assert {name for name in modules if name not in ALLOWED and name.partition(".")[0] not in ALLOWED} == set()
    assert not any(name == "__future__" for name in modules)


def test_body_is_one_import_and_one_call(unit):
    docstring, load, call = unit.function.body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(load, ast.ImportFrom)
    assert load.module.startswith(f"kfp_hallmark.components.{unit.stage}.{unit.name}.")
    assert isinstance(call, ast.Return | ast.Expr)
    assert isinstance(call.value, ast.Call)
    assert call.value.func.id == load.names[0].name


def test_call_takes_every_argument_once(unit):
    arguments = [argument.arg for argument in unit.function.args.args]
    call = unit.function.body[-1].value
    given = [node.id for node in ast.walk(call) if isinstance(node, ast.Name) and node is not call.func]
    assert sorted(given) == sorted(arguments)
    for node in ast.walk(call):
        if isinstance(node, ast.Dict):
            named = {key.value: value.id for key, value in zip(node.keys, node.values, strict=True)}
            assert all(name == argument for name, argument in named.items() if name in arguments)


def test_docstring_matches_signature(unit):
    text = ast.get_docstring(unit.function)
    documentation = parse(text, DocstringStyle.GOOGLE)
    assert documentation.short_description.endswith(".")
    arguments = [entry.arg_name for entry in documentation.params]
    outputs = set(outputs_of(unit))
    assert sorted(arguments) == sorted(set(inputs_of(unit)) - outputs)
    returned = re.search(r"\nReturns:\n(.*?)(\n\n|\Z)", text, re.DOTALL)
    documented = set(re.findall(r"^    (\w+): ", returned.group(1), re.MULTILINE)) if returned else set()
    assert documented == outputs
    assert documentation.raises
    for entry in documentation.raises:
        assert issubclass(getattr(errors, entry.type_name), errors.HallmarkError)


def test_every_input_and_output_is_described_in_the_spec(unit):
    for entries in (inputs_of(unit), outputs_of(unit), inputs_of_the_pipeline(unit)):
        assert [name for name, entry in entries.items() if not entry.get("description")] == []


def test_no_sentinel_stands_for_nothing(unit):
    for name, entry in inputs_of(unit).items():
        assert entry.get("defaultValue") not in ("", -1), name


def test_runs_on_the_image_of_a_known_environment(unit):
    container = next(iter(unit.spec["deploymentSpec"]["executors"].values()))["container"]
    assert container["image"] in [image(name) for name in ENVIRONMENTS]
    assert not any("pip install" in part for part in container["command"])


def test_spec_is_small_and_ascii(unit, root):
    content = (root / "compiled" / "components" / f"{unit.name}.yaml").read_bytes()
    assert len(content) < MAX_SPEC_BYTES / 5
    assert content.isascii()


def test_yaml_loads_without_hallmark(unit, root):
    loaded = kfp_components.load_component_from_file(str(root / "compiled" / "components" / f"{unit.name}.yaml"))
    assert set(loaded.component_spec.inputs or {}) == set(inputs_of(unit))
    assert set(loaded.component_spec.outputs or {}) == set(outputs_of(unit))


@pytest.fixture(scope="module")
def address(root):
    """Where the compiled components can be fetched by URL."""
    handler = partial(SimpleHTTPRequestHandler, directory=root / "compiled" / "components")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_yaml_loads_by_url(unit, address):
    loaded = kfp_components.load_component_from_url(f"{address}/{unit.name}.yaml")
    assert loaded.component_spec.implementation == getattr(components, unit.name).component_spec.implementation


def test_what_is_not_pure_is_never_cached(unit):
    task = next(iter(unit.spec["root"]["dag"]["tasks"].values()))
    assert bool(task.get("cachingOptions")) == getattr(components, unit.name).pure


def test_a_gate_writes_verdict_report_and_status(unit):
    outputs = set(outputs_of(unit))
    gate = "verdict" in outputs
    assert gate or not unit.name.endswith("_gate")
    assert not gate or {"verdict", "report", "status"} <= outputs
    assert not (gate and getattr(components, unit.name).pure)


def test_logic_is_plain_python(unit):
    assert unit.logic
    for path in unit.logic:
        modules = imported_modules(ast.parse(path.read_text()))
        assert not [name for name in modules if name.partition(".")[0] == "kfp"], path
        others = [name for name in modules if name.startswith("kfp_hallmark.components")]
        assert all(name.startswith(f"kfp_hallmark.components.{unit.stage}.{unit.name}.") for name in others), path


def test_a_limit_is_named_for_what_it_limits(unit):
    for name in inputs_of(unit):
        assert not re.search(r"(^|_)(threshold|cutoff|limit|tolerance)$", name), f"say max_* or min_*, not {name}"
