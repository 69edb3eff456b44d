from pathlib import Path

import pytest
import yaml
from kfp import compiler

from kfp_hallmark import lint


@pytest.fixture
def root():
    return Path(__file__).resolve().parents[3]


@pytest.fixture
def compiled(tmp_path):
    """Return the documents that KFP's own compiler writes for a pipeline."""

    def compile_(pipeline):
        path = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return list(yaml.safe_load_all(path.read_text()))

    return compile_


@pytest.fixture
def details():
    """Return what one rule finds in documents, for one backend and, of Kubeflow, one version."""

    def find(code, documents, backend="kubeflow", version="2.17"):
        spec = lint.parse(yaml.safe_dump_all(documents), "pipeline.yaml")
        target = lint.Target((backend,), (lint.version(version),))
        return [finding.detail for finding in lint.check(spec, target, lint.chosen([code]))]

    return find
