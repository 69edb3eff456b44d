"""The bundled data is what its digests say, and the runs on it are runs of the pipeline."""

import hashlib
from pathlib import Path

import pytest
import yaml

from kfp_hallmark.pipelines.governed_training import governed_training
from kfp_hallmark.runner.parameters import check_parameters

FOLDER = Path(__file__).parents[2] / "examples" / "acs_employment"
DIGESTS = dict(line.split()[::-1] for line in (FOLDER / "SHA256SUMS").read_text().splitlines())


def test_every_file_has_a_digest():
    assert sorted(DIGESTS) == sorted(path.name for path in FOLDER.glob("*.parquet"))
    assert len(DIGESTS) == 4


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_a_file_is_what_its_digest_says(name):
    content = (FOLDER / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == DIGESTS[name]
    assert len(content) < 280_000


@pytest.mark.parametrize("name", ["released", "halted"])
def test_the_runs_name_parameters_of_the_pipeline_and_pin_the_data(name):
    parameters = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    check_parameters(governed_training, parameters)
    assert parameters["data_digest"] == "sha256:" + DIGESTS[parameters["data_uri"]]


def test_the_runs_differ_in_what_is_sensitive_alone():
    released, halted = (yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) for name in ("released", "halted"))
    assert {key for key in released if released[key] != halted[key]} == {
        "sensitive_features",
        "excluded_columns",
        "slices",
        "categorical_features",
    }
    assert released["sensitive_features"] == ["SEX"]
    assert halted["sensitive_features"] == ["SEX", "DIS"]
