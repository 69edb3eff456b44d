"""Fixtures for a conftest: `from fakes.kubeflow_fixtures import kubeflow`."""

import pytest
from fakes.kubeflow import KubeflowFake


@pytest.fixture
def kubeflow():
    """A Kubeflow Pipelines installation with nothing in it, for one user, who need not say who they are."""
    with KubeflowFake() as service:
        yield service
