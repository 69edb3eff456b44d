"""Files that are no pipelines, and where the parts of one are."""

import json

import pytest
import yaml

from kfp_hallmark import lint
from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.lint.spec import place, strings

# Each line means ten of the one before.
ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]\n" for number in range(1, 9)
)

MINIMAL = {"pipelineInfo": {"name": "p"}, "root": {"dag": {"tasks": {}}}, "schemaVersion": "2.1.0"}


def changed(**changes):
    return yaml.safe_dump(MINIMAL | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold a compiled pipeline; it is empty"),
        ("---\n---\n", "must hold a compiled pipeline; it is empty"),
        ("# nothing\n", "must hold a compiled pipeline; it is empty"),
        ("a: [", "must be YAML; line 2: did not find expected node content"),
        ("a: b\n\tc: d\n", "must be YAML; line 2:"),
        ("a: !!python/object:os.system x", "must be YAML; line 1:"),
        ("\x00", "must be YAML; it cannot be read"),
        ("just words", "it holds a text"),
        ("- 1\n- 2\n", "it holds a list"),
        ("a: 1\n", "with `root` and `pipelineInfo`; it lacks them"),
        (changed(schemaVersion="2.0.0"), "must have the schemaVersion 2.1.0; got 2.0.0"),
        (changed(schemaVersion=""), "must have the schemaVersion 2.1.0; got none"),
        (changed(root={"dag": {"tasks": 3}}), "must hold a pipeline as KFP 2 compiles it"),
        (changed(root=[]), "with `root` and `pipelineInfo`; it lacks them"),
        (changed(components={"c": {"dag": {"tasks": 3}}}), "must hold a pipeline as KFP 2 compiles it"),
        (changed(deploymentSpec={"executors": {"e": {"container": {"args": [3]}}}}), "as KFP 2 compiles it"),
        (changed(deploymentSpec={"executors": ["e"]}), "as KFP 2 compiles it"),
        (
            changed(deploymentSpec={"executors": {"e": {"container": {"resources": {"cpuLimit": float("inf")}}}}}),
            "as KFP",
        ),
        (
            changed(deploymentSpec={"executors": {"e": {"container": {"resources": {"cpuLimit": float("nan")}}}}}),
            "as KFP",
        ),
        (changed(deploymentSpec={"executors": {"e": {"container": {"resources": {"cpuLimit": 10**400}}}}}), "as KFP"),
        (changed(**{"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow"}), "a Kubernetes object of the kind Work"),
        ("name: c\nimplementation: {container: {image: x}}\n", "it holds a component of KFP 1"),
        ("platforms: {kubernetes: {}}\n", "it holds settings of platforms alone"),
        (changed() + "---\n" + changed(), "it holds 2 and 0"),
        (changed() + "---\nplatforms: {}\n---\nplatforms: {}\n", "it holds 1 and 2"),
        (changed() + "---\nplatforms: {kubernetes: 3}\n", "as KFP 2 compiles it"),
        (
            changed() + "---\nplatforms: {kubernetes: {deploymentSpec: {executors: {e: {tolerations: 3}}}}}\n",
            "as KFP 2 compiles it",
        ),
        (ALIASES, "must have less than 1,000,000 values, aliases written out; line 6"),
        ("a: &a {b: *a}\n", "must have less than 1,000,000 values, aliases written out; line 1"),
        ("a: *a\n", "must be YAML; line 1: found undefined alias"),
        ("[" * 5000 + "]" * 5000, "must be nested at most 200 deep; line 1 is deeper"),
        ("\n".join(" " * depth + "a:" for depth in range(201)), "must be nested at most 200 deep; line 201 is deeper"),
        ("- " * 1_000_000, "must be nested at most 200 deep"),
        ("x: " + "9" * 5000, "must be YAML; it cannot be read"),
        (changed(**{"x" * 5000: 1, "root": 3}), "as KFP 2 compiles it"),
    ],
)
def test_what_is_no_pipeline(text, message):
    with pytest.raises(InputError) as raised:
        lint.parse(text, "file.yaml")
    assert str(raised.value).startswith("'file.yaml' must ")
    assert message in raised.value.message
    assert len(raised.value.message) < 500


def test_what_is_written_once_and_meant_twice():
    executors = "{e: &once {imagePullPolicy: Always}, f: *once}"
    found = lint.parse(
        f"{changed()}---\nplatforms: {{kubernetes: {{deploymentSpec: {{executors: {executors}}}}}}}", "file.yaml"
    )
    assert found.kubernetes_executors == {"e": {"imagePullPolicy": "Always"}, "f": {"imagePullPolicy": "Always"}}


def test_what_is_nested_as_deep_as_may_be():
    assert lint.parse(changed(x=json.loads("[" * 199 + "]" * 199)), "file.yaml")


def test_what_is_no_file(tmp_path):
    with pytest.raises(MissingInputError, match="FILE must be a file"):
        lint.read(tmp_path / "gone.yaml")
    with pytest.raises(MissingInputError, match="FILE must be a file"):
        lint.read(tmp_path)


def test_what_is_no_text(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="must be text in UTF-8"):
        lint.read(tmp_path / "a.yaml")


def test_what_is_too_large(tmp_path):
    file = tmp_path / "a.yaml"
    text = changed()
    file.write_text(text + "#" * (5_000_000 - len(text)))
    assert lint.read(file)
    file.write_text(text + "#" * (5_000_001 - len(text)))
    with pytest.raises(InputError, match=r"must have at most 5,000,000 bytes; it has 5,000,001"):
        lint.read(file)


@pytest.mark.parametrize("text", [changed(), json.dumps(MINIMAL), "---\n" + changed() + "---\n", "\ufeff" + changed()])
def test_what_is_a_pipeline(text, tmp_path):
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    assert lint.read(tmp_path / "a.yaml").pipeline["pipelineInfo"]["name"] == "p"


def test_other_names_of_fields_are_the_same():
    spec = lint.parse("pipeline_info: {name: p}\nschema_version: 2.1.0\nroot: {dag: {tasks: {}}}\n", "a.yaml")
    assert spec.pipeline["schemaVersion"] == "2.1.0"
    assert spec.line(("pipelineInfo", "name")) == 1
    assert spec.line(("schemaVersion",)) == 2


def test_lines():
    text = (
        "platforms:\n  kubernetes:\n    deploymentSpec: {}\n---\n"
        "pipelineInfo:\n  name: p\nroot:\n  dag:\n    tasks:\n      a: {}\nschemaVersion: 2.1.0\nx:\n- 1\n- 2\n"
    )
    spec = lint.parse(text, "a.yaml")
    assert spec.line(()) == 5
    assert spec.line(("root", "dag", "tasks", "a")) == 10
    assert spec.line(("root", "dag", "tasks", "a", "inputs")) == 10
    assert spec.line(("root", "gone")) == 7
    assert spec.line(("x", 1)) == 14
    assert spec.line(("platforms", "kubernetes", "deploymentSpec"), 0) == 3


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("root", "dag", "tasks", "a", "inputs"), "a"),
        (("components", "comp-b", "dag", "tasks", "a"), "comp-b > a"),
        (("components", "comp-b", "executorLabel"), "comp-b"),
        (("deploymentSpec", "executors", "exec-a", "container"), "exec-a"),
        (("platforms", "kubernetes", "deploymentSpec", "executors", "exec-a"), "exec-a"),
        (("root", "inputDefinitions"), "root"),
        (("pipelineInfo", "name"), "pipelineInfo.name"),
        ((), "file"),
    ],
)
def test_places(path, words):
    assert place(path) == words


def test_strings():
    assert list(strings({"a": ["b", 1, {"c": "d"}]})) == [
        (("a",), "a"),
        (("a", 0), "b"),
        (("a", 2, "c"), "c"),
        (("a", 2, "c"), "d"),
    ]
