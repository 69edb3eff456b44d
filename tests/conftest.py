"""Which tests run where.

A module says `ENVIRONMENT = "ml"` (or another) on a line of its own. One below `tests/components/<stage>/<component>/`
need not: it runs in the environment that the component's `component.py` names. All others run beside the SDK.
`make test` runs each in its place; `HALLMARK_ENVIRONMENT`, which `hallmark env run` sets, says which place this is.
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
    if named := re.search(r'^ENVIRONMENT = "(\w+)"$', path.read_text(), re.MULTILINE):
        return named[1]
    parts = path.relative_to(TESTS).parts
    if parts[0] != "components":
        return SDK
    contract = ROOT.joinpath(*parts[:3], "component.py")
    if not contract.is_file():
        raise pytest.UsageError(f'{path} must be below a component\'s folder, or say ENVIRONMENT = "...".')
    return re.search(r'^@component\(environment="(\w+)"', contract.read_text(), re.MULTILINE)[1]


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
        f"Only tests of {HERE} run here: {here} modules. Elsewhere run {rest or 'none'}: "
        "`make test`, or `hallmark env run NAME -- python tests/in_environment.py .venv/tools`."
    )
