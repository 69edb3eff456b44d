"""The house: which way imports point, what the package lists, what is generated."""

import ast
import configparser
import re
import subprocess
import sys

from kfp_hallmark import compiling, components, pipelines


def test_setup_cfg_lists_every_package(root):
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg")
    listed = [line for line in config["options"]["packages"].split() if line]
    folders = {"kfp_hallmark", "kfp_hallmark._resources.compiled", "kfp_hallmark._resources.environments"}
    for prefix in ("kfp_hallmark", "components", "pipelines"):
        for path in (root / prefix).rglob("__init__.py"):
            dotted = ".".join(path.parent.relative_to(root).parts)
            folders.add(dotted if prefix == "kfp_hallmark" else f"kfp_hallmark.{dotted}")
    assert sorted(listed) == sorted(folders)
    assert len(set(listed)) == len(listed)


def test_type_checkers_see_every_component(root):
    text = (root / "components" / "__init__.py").read_text()
    shown = re.findall(r"from kfp_hallmark\.components\.(\w+)\.(\w+)\.component import (\w+) as (\w+)\n", text)
    assert {(name, stage) for stage, name, _, _ in shown} == set(components.STAGES.items())
    assert all(name == original == alias for _, name, original, alias in shown)


def test_shared_code_imports_no_component(root):
    for path in (root / "kfp_hallmark").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("kfp_hallmark.components."), path
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("kfp_hallmark.components.") for alias in node.names), path


def test_generated_files_are_up_to_date(root):
    assert [str(path.relative_to(root)) for path in compiling.stale(root)] == []


def test_every_pipeline_has_both_flavours_within_the_size(root):
    for name in pipelines.__all__:
        for flavour in compiling.FLAVOURS:
            content = (root / "compiled" / "pipelines" / f"{name}.{flavour}.yaml").read_bytes()
            assert len(content) < compiling.MAX_SPEC_BYTES
            assert content.isascii()
            assert (b"\n---\n" in content) == (flavour == compiling.KUBEFLOW)


def test_the_sdk_imports_nothing_heavy():
    code = "import sys, kfp_hallmark.components as c, kfp_hallmark.pipelines; [getattr(c, n) for n in c.__all__]; " + (
        "print(sorted({'pandas', 'numpy', 'sklearn', 'mlflow', 'tensorflow', 'pyarrow'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_nothing_names_this_machine(root, checkout_files):
    for name in checkout_files:
        path = root / name
        if path.suffix in {".parquet", ".png"}:
            continue
        assert "/work/" + "main" not in path.read_text(encoding="utf-8"), name
