"""The services that runs are submitted to."""

from fakes.vertex.fixtures import fake, google  # noqa: F401
