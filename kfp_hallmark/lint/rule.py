"""What a rule is: one fact about backends, and the check that finds where a spec runs into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from kfp_hallmark.errors import InputError

if TYPE_CHECKING:
    from kfp_hallmark.lint.spec import Path, Spec

KUBEFLOW, VERTEX, LOCAL, DOCKER = "kubeflow", "vertex", "local", "docker"

BACKENDS = {KUBEFLOW: "Kubeflow", VERTEX: "Vertex AI", LOCAL: "local", DOCKER: "Docker"}
"""The backends, and how they are written for readers."""

CONTAINERS = (KUBEFLOW, VERTEX, DOCKER)
"""The backends that pull images."""

Version: TypeAlias = tuple[int, int]

SUPPORTED: tuple[Version, ...] = ((2, 14), (2, 15), (2, 16), (2, 17))
"""The versions of Kubeflow Pipelines that a spec is held against unless others are named."""


def version(text: str) -> Version:
    """Read a version of Kubeflow Pipelines, `2.<minor>`.

    Raises:
        InputError: If it is something else, or later than what the rules know.
    """
    major, _, minor = text.partition(".")
    if major != "2" or not (minor.isascii() and minor.isdecimal()) or int(minor) > SUPPORTED[-1][1]:
        raise InputError(f"--version must be from 2.0 to {written(SUPPORTED[-1])}; got {text!r}.")
    return (2, int(minor))


def written(number: Version) -> str:
    """Return a version as text."""
    return f"{number[0]}.{number[1]}"


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """The backend refuses the spec, fails at it, or does something else than it says."""

    WARNING = "warning"
    """It runs, but a part has no effect, or its result depends on what the spec does not fix."""


@dataclass(frozen=True)
class Problem:
    """A place where a spec runs into a rule's fact.

    Attributes:
        path: The keys that lead to it.
        detail: What is there, in a few words.
        since: The first version of Kubeflow that has the fact; None: every version.
        below: The first version that has it no more. Default: the rule's.
        document: Which of the file's documents it is in, counted from 0. Default: the pipeline's.
    """

    path: Path
    detail: str
    since: Version | None = None
    below: Version | None = None
    document: int | None = None

    def affects(self, number: Version) -> bool:
        """Return whether a version of Kubeflow has the fact."""
        return (self.since is None or self.since <= number) and (self.below is None or number < self.below)


Check: TypeAlias = "Callable[[Spec], Iterable[Problem]]"


@dataclass(frozen=True)
class Rule:
    """One fact about backends.

    Attributes:
        code: `HM` and a number: 0 the spec itself, 1 Kubeflow, 2 Vertex AI, 3 local runs, 4 limits, 5 reproducibility.
        name: The rule in two or three words.
        severity: How bad it is.
        backends: Whose fact it is.
        below: The first version of Kubeflow that has it no more; None when every version has it, or each problem
            says for itself.
        summary: The fact, in one sentence.
        explanation: What else is to be known; may be empty.
        fix: What to do about it.
        source: Where the fact is from.
        check: Yields the problems of a spec.
    """

    code: str
    name: str
    severity: Severity
    backends: tuple[str, ...]
    below: Version | None
    summary: str
    explanation: str
    fix: str
    source: str
    check: Check

    @property
    def affected(self) -> str:
        """The backends, with the versions where all the problems share them."""
        names = [BACKENDS[backend] for backend in self.backends]
        if self.below:
            names[0] += f" below {written(self.below)}"
        return ", ".join(names)


def rule(
    code: str, severity: Severity, backends: Sequence[str], *, fix: str, source: str, below: str | None = None
) -> Callable[[Check], Rule]:
    """Make a check a rule, with the check's name as its name and the docstring as its text.

    Args:
        code: See `Rule`.
        severity: See `Rule`.
        backends: See `Rule`.
        fix: See `Rule`.
        source: See `Rule`.
        below: The version of Kubeflow, such as `2.14`, from which on there is no problem.
    """

    def decorate(check: Check) -> Rule:
        summary, _, explanation = (check.__doc__ or "").partition("\n\n")
        return Rule(
            code=code,
            name=check.__name__.replace("_", "-"),
            severity=severity,
            backends=tuple(backends),
            below=version(below) if below else None,
            summary=" ".join(summary.split()),
            explanation=" ".join(explanation.split()),
            fix=fix,
            source=source,
            check=check,
        )

    return decorate
