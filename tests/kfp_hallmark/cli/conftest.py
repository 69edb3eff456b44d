"""The service that runs are submitted to."""

from fakes.kubeflow_fixtures import kubeflow  # noqa: F401
