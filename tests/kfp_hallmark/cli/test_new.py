"""What `hallmark new component` makes passes the conventions as it stands, in a checkout of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def checkout(copy_checkout, tmp_path_factory):
    """Return a copy of the repository with an environment that has it installed."""
    copy = copy_checkout(tmp_path_factory.mktemp("checkout"))
    made = call(copy, "make", "setup", f"PYTHON={sys.executable}")
    assert made.returncode == 0, made.stderr
    return copy


def call(checkout, program, *arguments):
    outer = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")
    variables = {name: value for name, value in os.environ.items() if name not in outer}
    variables["PATH"] = f"{checkout / '.venv' / 'bin'}{os.pathsep}{variables['PATH']}"
    return subprocess.run([program, *arguments], cwd=checkout, env=variables, capture_output=True, text=True)


def test_contributors_find_the_tests_of_a_component(checkout):
    assert "`make test-ml ARGS=tests/components/data/count_labels`" in (checkout / "CONTRIBUTING.md").read_text()


def test_makes_components_that_keep_the_conventions(checkout):
    for name, stage in (("count_labels", "data"), ("drift_monitor", "monitoring")):
        made = call(checkout, "hallmark", "new", "component", name, "--stage", stage, "--environment", "ml")
        assert made.returncode == 0, made.stderr
    compiled = call(checkout, "hallmark", "compile")
    assert "wrote compiled/components/count_labels.yaml" in compiled.stdout
    assert "wrote components/monitoring/drift_monitor/README.md" in compiled.stdout
    held = call(
        checkout, "python", "-m", "pytest", "-q", "tests/conventions", "-k", "count_labels or drift_monitor or house"
    )
    assert held.returncode == 0, held.stdout
    styled = call(checkout, "ruff", "check")
    assert styled.returncode == 0, styled.stdout
    assert call(checkout, "ruff", "format", "--check").returncode == 0
    folders = "tests/components/data/count_labels tests/components/monitoring/drift_monitor"
    tested = call(checkout, "make", "test-ml", f"ARGS={folders}")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "4 passed" in tested.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CountLabels", "--stage", "data"], "NAME must be lower-case words"),
        (["count", "--stage", "data"], "NAME must be lower-case words"),
        (["train_model", "--stage", "data"], "NAME must be new"),
        (["count_rows", "--stage", "dta"], "Did you mean 'data'?"),
        (["count_rows", "--stage", "data", "--environment", "mll"], "Did you mean 'ml'?"),
    ],
)
def test_refuses_what_it_cannot_make(checkout, arguments, message):
    before = sorted(path for path in (checkout / "components").rglob("*.py"))
    done = call(checkout, "hallmark", "new", "component", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert sorted(path for path in (checkout / "components").rglob("*.py")) == before
