"""Whatever PyYAML raises for a file of the user's is one of Hallmark's errors."""

import pytest

from kfp_hallmark import lint, pipelines, runner
from kfp_hallmark.cli.parameters import gather
from kfp_hallmark.contracts.data_contract import read_contract
from kfp_hallmark.contracts.model import read_model_file
from kfp_hallmark.errors import HallmarkError, InputError
from kfp_hallmark.runner.docker import tracked
from kfp_hallmark.statement import read_statement

READERS = {
    "contract": read_contract,
    "pipeline": lint.read,
    "statement": lambda path: read_statement(str(path), {}),
    "parameters": lambda path: gather(pipelines.governed_training, path, None),
    "model": lambda path: read_model_file(path.parent),
}
TEXTS = [
    "a: !!timestamp x",
    "a: !!bool x",
    "a: !!int ''",
    "a: !!int x",
    "!!set [a]",
    "a: 0b_",
    "a: 0001-13-45",
    "a: " + "9" * 5000,
    "[" * 1000,
    "a: \x00",
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:15])
def test_a_file_that_is_no_yaml_is_refused(tmp_path, reader, text):
    (tmp_path / "MLmodel").write_text(text)
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(HallmarkError, match=r"must|not in order"):
        READERS[reader](tmp_path / "file.yaml")


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:15])
def test_a_parameter_that_is_no_yaml_is_refused(text):
    with pytest.raises(InputError, match="'costs' must be of type dict"):
        runner.parse_parameters(pipelines.governed_training, {"costs": text})


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:15])
def test_a_dvc_file_that_is_no_yaml_tracks_nothing(tmp_path, text):
    (tmp_path / "data.dvc").write_text(text)
    assert tracked(tmp_path / "data.dvc") == tmp_path / "data.dvc"
