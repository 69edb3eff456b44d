"""Hold a compiled pipeline against the rules."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.lint import rules as package
from kfp_hallmark.lint.rule import BACKENDS, KUBEFLOW, SUPPORTED, VERTEX, Problem, Rule, Version, written
from kfp_hallmark.lint.spec import Spec, place


@dataclass(frozen=True)
class Target:
    """What a spec is held against.

    Attributes:
        backends: The backends.
        versions: The versions of Kubeflow.
    """

    backends: tuple[str, ...] = tuple(BACKENDS)
    versions: tuple[Version, ...] = SUPPORTED

    def __str__(self) -> str:
        names = []
        for backend in self.backends:
            name = BACKENDS[backend]
            if backend == KUBEFLOW:
                first, last = written(self.versions[0]), written(self.versions[-1])
                name += f" {first}" if first == last else f" {first} to {last}"
            names.append(name)
        return ", ".join(names)


@dataclass(frozen=True)
class Finding:
    """A place where a spec runs into a rule.

    Attributes:
        rule: The rule.
        file: The file.
        line: The line, counted from 1.
        place: The task or executor.
        path: The keys that lead there, with dots between.
        detail: What is there.
        affected: The backends that it concerns, with versions.
    """

    rule: Rule
    file: str
    line: int
    place: str
    path: str
    detail: str
    affected: str


@cache
def all_rules() -> tuple[Rule, ...]:
    """Return every rule, by code: whatever `Rule` a module of the package `rules` holds."""
    modules = [
        importlib.import_module(f"{package.__name__}.{info.name}") for info in pkgutil.iter_modules(package.__path__)
    ]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Rule)]
    return tuple(sorted(found, key=lambda rule: rule.code))


def chosen(select: Collection[str] = (), ignore: Collection[str] = ()) -> list[Rule]:
    """Return the rules of some codes.

    Args:
        select: The codes. Default: all.
        ignore: The codes to leave out.

    Raises:
        InputError: If there is no such code.
    """
    known = [rule.code for rule in all_rules()]
    for option, codes in (("--select", select), ("--ignore", ignore)):
        for code in codes:
            if code not in known:
                raise InputError(f"{option} must be codes of rules; got {code!r}.", nearest(code, known))
    return [rule for rule in all_rules() if (not select or rule.code in select) and rule.code not in ignore]


def meant_for(spec: Spec, versions: tuple[Version, ...] = SUPPORTED) -> Target:
    """Return all that a spec can be meant for: one with settings for Kubernetes is not for Vertex AI."""
    return Target(tuple(name for name in BACKENDS if name != VERTEX or not spec.kubernetes), versions)


def check(spec: Spec, target: Target | None = None, rules: Sequence[Rule] | None = None) -> list[Finding]:
    """Return where a spec runs into a rule, in the order of the file.

    Args:
        spec: The compiled pipeline.
        target: What to hold it against. Default: all that it can be meant for.
        rules: The rules. Default: all.
    """
    target = target or meant_for(spec)
    findings = []
    for rule in all_rules() if rules is None else rules:
        backends = [backend for backend in rule.backends if backend in target.backends]
        if not backends:
            continue
        for problem in rule.check(spec):
            concerned = Problem(
                problem.path, problem.detail, problem.since, problem.below or rule.below, problem.document
            )
            affected = any(concerned.affects(number) for number in target.versions)
            places = [backend for backend in backends if backend != KUBEFLOW or affected]
            if places:
                findings.append(_finding(rule, spec, concerned, places))
    return sorted(findings, key=lambda finding: (finding.line, finding.rule.code, finding.detail))


def _finding(rule: Rule, spec: Spec, problem: Problem, backends: Sequence[str]) -> Finding:
    names = [BACKENDS[backend] for backend in backends]
    if problem.since and KUBEFLOW in backends:
        names[0] += f" from {written(problem.since)} on"
    if problem.below and KUBEFLOW in backends:
        names[0] += f" below {written(problem.below)}"
    return Finding(
        rule=rule,
        file=spec.file,
        line=spec.line(problem.path, problem.document),
        place=_printable(place(problem.path)),
        path=_printable(".".join(map(str, problem.path))),
        detail=_printable(problem.detail),
        affected=", ".join(names),
    )


def _printable(text: str) -> str:
    """Return a text from a spec such that a terminal takes it for nothing but text, and not longer than a line."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return shown if len(shown) <= 200 else f"{shown[:197]}..."
