"""Which tests run where.

A test of a component runs in the environment that its `component.py` names. Any other test runs beside the SDK, unless
its module says `ENVIRONMENT = "ml"` (or another), on a line of its own. `make test` runs them all, each in its place;
`hallmark env run` says which place this is.
"""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
SDK = "sdk"
HERE = os.environ.get("HALLMARK_ENVIRONMENT", SDK)


def environment_of(path: Path) -> str:
    """Return where the tests of a module run; nothing is imported to tell."""
    parts = path.relative_to(TESTS).parts
    if parts[0] == "components":
        contract = ROOT.joinpath(*parts[:3], "component.py")
        if not contract.is_file():
            raise pytest.UsageError(f"{path} must be below tests/components/<stage>/<component>/.")
        return re.search(r'^@component\(environment="(\w+)"', contract.read_text(), re.MULTILINE)[1]
    named = re.search(r'^ENVIRONMENT = "(\w+)"$', path.read_text(), re.MULTILINE)
    return named[1] if named else SDK


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the modules that belong elsewhere, and folders that hold no others, whose conftest may not import."""
    if TESTS not in collection_path.parents:
        return None
    modules = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    return None if any(environment_of(path) == HERE for path in modules) else True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was left out."""
    elsewhere = Counter(environment_of(path) for path in TESTS.rglob("test_*.py"))
    here = elsewhere.pop(HERE, 0)
    rest = ", ".join(f"{count} of {name}" for name, count in sorted(elsewhere.items()))
    terminalreporter.write_line(
        f"Tests of {HERE} only: {here} modules. Elsewhere run {rest or 'none'} "
        "(make test-sdk, test-data, test-ml, test-release)."
    )
