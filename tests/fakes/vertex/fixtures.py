"""Fixtures for a conftest: `from fakes.vertex.fixtures import fake, google`."""

import pytest
from fakes.vertex.server import VertexFake


@pytest.fixture(scope="session")
def google(tmp_path_factory):
    """Google's services on this machine, found by every client of this process and of those that it starts."""
    with VertexFake() as service, pytest.MonkeyPatch.context() as patch:
        for variable, value in service.environment(tmp_path_factory.mktemp("google")).items():
            patch.setenv(variable, value)
        yield service


@pytest.fixture
def fake(google):
    """Google's services with the bucket `models`, and nothing else."""
    google.reset()
    google.storage.buckets["models"] = {}
    return google
