"""Arguments that are too long for Linux."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_hallmark.lint.rule import BACKENDS, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec

MAX_BYTES = 32 * 4096 - 1


@rule(
    "HM403",
    Severity.ERROR,
    tuple(BACKENDS),
    fix="Put the code into the image, or pass the text as an artifact.",
    source="https://github.com/torvalds/linux/blob/v6.6/include/uapi/linux/binfmts.h",
)
def argument_size(spec: Spec) -> Iterator[Problem]:
    """An argument, such as the code of a component, is over 131,071 bytes, and Linux refuses to start the step.

    The limit is 32 pages of memory, of 4,096 bytes each on common machines, for each argument with its final zero.
    """
    for path, container in spec.containers.items():
        for field in ("command", "args"):
            for index, text in enumerate(container.get(field, ())):
                size = len(text.encode())
                if size > MAX_BYTES:
                    yield Problem((*path, field, index), f"{size:,} bytes")
