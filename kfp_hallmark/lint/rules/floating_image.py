"""Images that change."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.images import tag
from kfp_hallmark.lint.rule import CONTAINERS, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM501",
    Severity.ERROR,
    CONTAINERS,
    fix="Name the image by its digest, `name@sha256:...`; `hallmark image lock` and `hallmark compile` do.",
    source="https://kubernetes.io/docs/concepts/containers/images/#image-names",
)
def floating_image(spec: Spec) -> Iterator[Problem]:
    """An image has the tag `latest` or none: what runs is whatever was pushed last."""
    for path, container in spec.containers.items():
        image = container.get("image", "")
        if tag(image) in ("", "latest"):
            yield Problem((*path, "image"), image)
