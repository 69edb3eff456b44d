"""The services that runs are submitted to."""

from fakes.kubeflow_fixtures import kubeflow  # noqa: F401
from fakes.vertex.fixtures import fake, google  # noqa: F401
