"""Text beyond ASCII."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import KUBEFLOW, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec, strings


@rule(
    "HM404",
    Severity.WARNING,
    [KUBEFLOW],
    fix="Write the text in ASCII, or try on your cluster that it takes the text.",
    source="https://github.com/kubeflow/pipelines/issues/7283",
)
def non_ascii(spec: Spec) -> Iterator[Problem]:
    """A text is not ASCII, and Kubeflow's database may refuse to store the run.

    It depends on the character set of its tables. The API server itself connects with MySQL's `utf8`, which has no
    room for emoji and the like.
    """
    parts = {spec.index: spec.pipeline}
    if spec.platform_index is not None:
        parts[spec.platform_index] = spec.documents[spec.platform_index]
    for document, part in parts.items():
        for path, text in strings(part):
            found = next((character for character in text if not character.isascii()), None)
            if found:
                yield Problem(path, f"U+{ord(found):04X} in {path[-1]}", document=document)
