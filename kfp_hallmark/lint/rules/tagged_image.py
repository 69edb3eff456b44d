"""Images by their tags."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.images import tag
from kfp_hallmark.lint.rule import CONTAINERS, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec


@rule(
    "HM502",
    Severity.WARNING,
    CONTAINERS,
    fix="Name the image by its digest, `name@sha256:...`; `hallmark image lock` and `hallmark compile` do.",
    source="https://cloud.google.com/kubernetes-engine/docs/concepts/about-container-images",
)
def tagged_image(spec: Spec) -> Iterator[Problem]:
    """An image is named by a tag, which can be moved to another image between two runs."""
    for path, container in spec.containers.items():
        image = container.get("image", "")
        if tag(image) not in (None, "", "latest"):
            yield Problem((*path, "image"), image)
