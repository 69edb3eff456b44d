"""A second document on Vertex AI."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import VERTEX, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM201",
    Severity.ERROR,
    [VERTEX],
    fix="Compile without `kfp.kubernetes` settings; `hallmark compile --platform vertex` writes one document.",
    source=("https://github.com/googleapis/python-aiplatform/blob/main/google/cloud/aiplatform/utils/yaml_utils.py"),
)
def platform_document(spec: Spec) -> Iterator[Problem]:
    """The file has a second document, with settings for Kubernetes, and `PipelineJob` cannot read it.

    A file like that is held against Vertex AI only when that backend is asked for.
    """
    if len(spec.documents) > 1:
        yield Problem((), f"{len(spec.documents)} documents", document=1)
