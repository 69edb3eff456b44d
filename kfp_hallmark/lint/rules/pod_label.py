"""Labels and node selectors that Kubernetes refuses."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.errors import InputError
from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec
from kfp_hallmark.settings_checks import kubernetes_labels


@rule(
    "HM117",
    Severity.ERROR,
    [KUBEFLOW],
    fix="Use at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends.",
    source="https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set",
)
def pod_label(spec: Spec) -> Iterator[Problem]:
    """A label or node selector is not in the form that Kubernetes takes, and the step's pod is refused."""
    for label, config in spec.kubernetes_executors.items():
        for field in ("podMetadata", "nodeSelector"):
            labels = config.get(field, {}).get("labels", {})
            for key, value in labels.items():
                path = ("platforms", "kubernetes", "deploymentSpec", "executors", label, field, "labels", key)
                try:
                    kubernetes_labels(field, {key: str(value)})
                except InputError as error:
                    yield Problem(path, error.message.rstrip("."), document=spec.platform_index)
