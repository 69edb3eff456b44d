"""What the rules say of kfp's local runs, of the Vertex client and of Linux, tried: a new version may put it right."""

import subprocess
import sys

import pytest
import yaml
from kfp.pipeline_spec import pipeline_spec_pb2

from kfp_hallmark.lint.rules import argument_size, job_name, platform_config

PIPELINES = """
from typing import List, NamedTuple

from kfp import dsl, local


@dsl.component
def named() -> NamedTuple("Outputs", [("status", str), ("places", List[str])]):
    return ("go", ["a"])


@dsl.component
def say(text: str) -> str:
    print("it ran", text)
    return text


@dsl.component
def make(made: dsl.Output[dsl.Dataset]):
    open(made.path, "w").close()


@dsl.container_component
def echo():
    return dsl.ContainerSpec(image="python", command=["echo"])


@dsl.pipeline
def condition():
    with dsl.If(named().outputs["status"] == "go"):
        say(text="a")


@dsl.pipeline
def condition_with_else():
    done = named()
    with dsl.If(done.outputs["status"] == "go"):
        say(text="a")
    with dsl.Else():
        say(text="b")


@dsl.pipeline
def loop():
    with dsl.ParallelFor(named().outputs["places"]) as item:
        say(text=item)


@dsl.pipeline
def choice(flag: str = "a") -> dsl.Dataset:
    with dsl.If(flag == "a"):
        one = make()
    with dsl.Else():
        other = make()
    return dsl.OneOf(one.outputs["made"], other.outputs["made"])


@dsl.pipeline
def container():
    echo()


local.init(local.SubprocessRunner(use_venv=False), pipeline_root="runs")
"""


@pytest.fixture
def locally(tmp_path):
    """Run a pipeline as kfp does on this machine, in a process of its own, and return what it printed."""

    def call(name):
        (tmp_path / "steps.py").write_text(PIPELINES)
        command = [sys.executable, "-c", f"import steps; steps.{name}(); print('it ended')"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return call


def test_local_condition(locally):
    skipped = locally("condition")
    assert "it ended" in skipped.stdout
    assert "it ran" not in skipped.stdout
    assert "it ran a" in locally("condition_with_else").stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loop", "Parent pipeline input argument 'pipelinechannel--named-places' not found."),
        ("choice", "Expected 1 artifact in ArtifactSelectorSpec. Got: 2"),
        ("container", "only supports running Lightweight Python Components"),
    ],
)
def test_local_failures(name, message, locally):
    failed = locally(name)
    assert failed.returncode != 0
    assert message in failed.stderr


def test_linux_takes_arguments_up_to_the_limit():
    subprocess.run(["true", "a" * argument_size.MAX_BYTES], check=True)
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["true", "a" * (argument_size.MAX_BYTES + 1)], check=True)


def test_the_vertex_client_reads_one_document(tmp_path):
    from google.cloud.aiplatform.utils import yaml_utils

    path = tmp_path / "pipeline.yaml"
    path.write_text("a: 1\n")
    assert yaml_utils.load_yaml(str(path)) == {"a": 1}
    path.write_text("a: 1\n---\nb: 2\n")
    with pytest.raises(yaml.composer.ComposerError):
        yaml_utils.load_yaml(str(path))


def test_the_vertex_client_takes_ids_up_to_the_limit():
    from google.cloud.aiplatform.constants import pipeline

    time = "-20260101000000"
    assert pipeline._VALID_NAME_PATTERN.match("a" * job_name._LONGEST + time)
    assert not pipeline._VALID_NAME_PATTERN.match("a" * (job_name._LONGEST + 1) + time)
    assert not pipeline._VALID_NAME_PATTERN.match("1" + time)


def test_the_newest_platform_config_is_what_kfp_has():
    fields = {field.json_name for field in pipeline_spec_pb2.PipelineConfig.DESCRIPTOR.fields}
    assert fields == {name for name, (_, last) in platform_config._KNOWN.items() if last is None}


def test_every_setting_of_kfp_kubernetes_is_known_to_a_rule():
    from kfp.kubernetes import kubernetes_executor_config_pb2

    from kfp_hallmark.lint.rules import platform_setting_ignored

    fields = {field.json_name for field in kubernetes_executor_config_pb2.KubernetesExecutorConfig.DESCRIPTOR.fields}
    always = {"secretAsVolume", "secretAsEnv", "pvcMount", "nodeSelector"}
    assert fields - always == set(platform_setting_ignored._READ_FROM)
