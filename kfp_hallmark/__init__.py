"""Kubeflow Pipelines components for governed machine learning."""

__version__ = "0.1.0"
