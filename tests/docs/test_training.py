"""The examples of docs/training.md, read from the page and compiled as they stand there."""

import re
import textwrap
from pathlib import Path

import yaml
from kfp import compiler

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

PIPELINE = """
from kfp import dsl
from kfp_hallmark import components

@dsl.pipeline(name="example")
def example(uri: str):
    load = components.load_dataset(uri=uri)
    split = components.split_dataset(dataset=load.outputs["dataset"], target="repaid")
"""


def compiled(example, folder):
    """Return a pipeline with an example's steps, as YAML."""
    imports, steps = re.fullmatch(r"((?:from [^\n]*\n)*)(.*)", example, re.DOTALL).groups()
    source = imports + PIPELINE + textwrap.indent(steps, "    ")
    (folder / "example.py").write_text(source)
    names = {}
    exec(compile(source, str(folder / "example.py"), "exec"), names)
    compiler.Compiler().compile(names["example"], str(folder / "example.yaml"))
    return yaml.safe_load((folder / "example.yaml").read_text())


def test_every_example_is_tried():
    assert len(EXAMPLES) == 2


def test_a_search_hands_its_parameters_on(tmp_path):
    spec = compiled(EXAMPLES[0], tmp_path)
    assert spec["root"]["dag"]["tasks"]["train-model"]["inputs"]["parameters"]["estimator_parameters"] == {
        "taskOutputParameter": {"outputParameterKey": "parameters", "producerTask": "tune-model"}
    }


def test_a_custom_job_runs_the_component_itself(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "lightgbm_ray"))
    given = compiled(EXAMPLES[1], tmp_path)["root"]["dag"]["tasks"]["run-custom-job"]["inputs"]["parameters"]
    values = {name: value["runtimeValue"]["constant"] for name, value in given.items()}
    assert values["machine_type"] == "n2-highmem-32"
    assert values["image"] == "python:3.11"
    assert "def train_lightgbm(" in values["command"][-1]
    assert len(str(values["command"])) < 10_000
