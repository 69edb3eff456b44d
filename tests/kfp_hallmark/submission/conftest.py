"""The services that runs are submitted to, and compiled pipelines whose images are pinned."""

import pytest
from fakes.kubeflow_fixtures import kubeflow  # noqa: F401
from fakes.vertex.fixtures import fake, google  # noqa: F401

from kfp_hallmark.environments import ENVIRONMENTS, image, lock

PINNED = {image(name): f"{lock.repository(image(name))}@sha256:{'a' * 64}" for name in ENVIRONMENTS}


@pytest.fixture
def locked(tmp_path):
    """A folder with a file that pins the images of all environments."""
    lock.write(tmp_path / lock.FILE, PINNED)
    return tmp_path


@pytest.fixture(scope="session")
def pinned(tmp_path_factory):
    """Copy a compiled pipeline, with the images of all environments pinned."""
    folder = tmp_path_factory.mktemp("pinned")

    def copy(path):
        text = path.read_text()
        for reference, digest in PINNED.items():
            text = text.replace(reference, digest)
        (folder / path.name).write_text(text)
        return folder / path.name

    return copy
