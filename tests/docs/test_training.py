"""The example of docs/training.md, read from the page and compiled as it stands there."""

import re
import textwrap
from pathlib import Path

from kfp import compiler

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()

PIPELINE = """
from kfp import dsl
from kfp_hallmark import components

@dsl.pipeline(name="tuned")
def tuned(uri: str):
    load = components.load_dataset(uri=uri)
    split = components.split_dataset(dataset=load.outputs["dataset"], target="repaid")
"""


def test_the_example_compiles(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "tuned.py").write_text(PIPELINE + textwrap.indent(example, "    "))
    names = {}
    exec(compile((tmp_path / "tuned.py").read_text(), str(tmp_path / "tuned.py"), "exec"), names)
    compiler.Compiler().compile(names["tuned"], str(tmp_path / "tuned.yaml"))
    compiled = (tmp_path / "tuned.yaml").read_text()
    assert "exec-tune-model" in compiled
    assert re.search(r"estimator_parameters:\s+taskOutputParameter:\s+outputParameterKey: parameters", compiled)
