"""Which tests run where; and small models and verdicts that any test may make.

A module says `ENVIRONMENT = "ml"` (or another) on a line of its own. One below `tests/components/<stage>/<component>/`
need not: it runs in the environment that the component's `component.py` names. All others run beside the SDK.
`make test` runs each in its place; `HALLMARK_ENVIRONMENT`, which `hallmark env run` sets, says which place this is.
"""

import json
import os
import re
import shutil
import signal
import sys
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import pytest

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import now
from kfp_hallmark.contracts.verdict import Check, Status, Verdict

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
SDK = "sdk"
LEFT_OUT = pytest.StashKey[list[str]]()
HERE = os.environ.get("HALLMARK_ENVIRONMENT", SDK)

# For `fakes`, the services that tests run against. A folder here has the package's name, so the package comes first.
sys.path.append(str(TESTS))


def pytest_configure() -> None:
    """Take interrupts as a program in the foreground does: what a shell runs in the background ignores them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
    modules = [collection_path] if collection_path.match("test_*.py") else list(collection_path.rglob("test_*.py"))
    return True if modules and all(environment_of(path) != HERE for path in modules) else None


def engine_answers() -> bool:
    import docker

    try:
        docker.from_env().ping()
    except docker.errors.DockerException:
        return False
    return True


def browser_is_there() -> bool:
    return bool(shutil.which("chromedriver") and (shutil.which("chromium") or shutil.which("google-chrome")))


NEEDS = {
    "docker": ("Docker engine that answers", engine_answers),
    "browser": ("Chromium with its driver", browser_is_there),
    "kubectl": ("kubectl", lambda: bool(shutil.which("kubectl"))),
    "postgresql": (
        "PostgreSQL server of Debian's packages",
        lambda: any(Path("/usr/lib/postgresql").glob("*/bin/initdb")),
    ),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs something that this machine lacks, and say so loudly; in CI, fail."""
    for mark, (need, met) in NEEDS.items():
        affected = [item for item in items if item.get_closest_marker(mark)]
        if not affected or met():
            continue
        if os.environ.get("CI"):
            raise pytest.UsageError(f"CI must run the {len(affected)} tests marked {mark}; there is no {need}.")
        config.hook.pytest_deselected(items=affected)
        items[:] = [item for item in items if item not in affected]
        config.stash.setdefault(LEFT_OUT, []).append(f"{len(affected)} tests marked {mark} did NOT run: no {need}.")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was left out."""
    for line in terminalreporter.config.stash.get(LEFT_OUT, []):
        terminalreporter.write_line(line, red=True, bold=True)
    elsewhere = Counter(environment_of(path) for path in TESTS.rglob("test_*.py"))
    here = elsewhere.pop(HERE, 0)
    rest = ", ".join(f"{count} of {name}" for name, count in sorted(elsewhere.items()))
    terminalreporter.write_line(
        f"Only tests of {HERE} run here: {here} modules. Elsewhere run {rest or 'none'}: "
        "`make test`, or `make test-NAME ARGS=tests/...`."
    )


SOURCE, TRAIN, TEST = ("sha256:" + digit * 64 for digit in "123")


@pytest.fixture(scope="session")
def checkout_files():
    """The files of this checkout, relative to it, without what .gitignore names; git itself need not be there."""
    patterns = [".git", *(ROOT / ".gitignore").read_text(encoding="utf-8").replace("/", "").split()]

    def kept(names):
        return [name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)]

    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = kept(folders)
        found += [Path(folder, name).relative_to(ROOT) for name in kept(names)]
    return sorted(found)


@pytest.fixture(scope="session")
def copy_checkout(checkout_files):
    """Copy the checkout's files, as they are now, into a folder."""

    def copy(folder):
        for name in checkout_files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
        return folder

    return copy


@pytest.fixture
def write_model():
    """Write a folder that reads as an MLflow model trained from the digests TRAIN and SOURCE."""
    columns = json.dumps([{"name": "age", "type": "long"}, {"name": "hours", "type": "double"}])

    def write(path, weights="0.5 -1.25", datasets=(TRAIN, SOURCE), columns=columns):
        path = Path(path)
        (path / "data").mkdir(parents=True)
        (path / "data" / "weights.txt").write_text(weights)
        metadata = {"hallmark": {"task": "binary", "datasets": list(datasets), "experiment_hash": "sha256:" + "e" * 64}}
        flavors = {"python_function": {"loader_module": "weights", "data": "data"}}
        document = {"flavors": flavors, "metadata": metadata, "signature": {"inputs": columns}}
        (path / "MLmodel").write_text(json.dumps(document))
        return path

    return write


@pytest.fixture
def write_verdict():
    """Write a verdict with one check whose limit of 0.1 is kept or not, as its status says."""

    def write(path, gate, subjects, status="pass", created=None):
        observed = {"pass": 0.02, "warn": 0.04, "fail": 0.31, "inconclusive": None}[status]
        check = Check(f"{gate}_difference", Status(status), observed=observed, maximum=0.1, samples=20636)
        Verdict(gate, subjects, [check], {"max_difference": 0.1}, created or now()).write(path)
        return Path(path)

    return write


@pytest.fixture
def judged_model(tmp_path, write_model, write_verdict):
    """A model with a passing verdict of each gate that governed training asks for: the model's folder and the files."""
    model = write_model(tmp_path / "model")
    about = {"model": artifact_digest(model), "dataset": TEST}
    verdicts = {
        "validate_dataset": {"dataset": TEST, "baseline": TRAIN},
        "performance_gate": about,
        "fairness_gate": about,
    }
    return model, {gate: write_verdict(tmp_path / f"{gate}.json", gate, of) for gate, of in verdicts.items()}
