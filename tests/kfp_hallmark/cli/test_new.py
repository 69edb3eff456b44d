"""What `hallmark new component` makes passes the conventions as it stands, in a checkout of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def checkout(copy_checkout, tmp_path_factory):
    """Return a copy of the repository with an environment that has it installed."""
    copy = copy_checkout(tmp_path_factory.mktemp("checkout"))
    subprocess.run([uv.find_uv_bin(), "venv", "-q", "-p", sys.executable, ".venv"], cwd=copy, check=True)
    locked = ["--require-hashes", "-r", "requirements-dev.lock"]
    subprocess.run([uv.find_uv_bin(), "pip", "install", "-q", "-p", ".venv", *locked], cwd=copy, check=True)
    subprocess.run(
        [uv.find_uv_bin(), "pip", "install", "-q", "-p", ".venv", "--no-deps", "-e", "."], cwd=copy, check=True
    )
    return copy


def call(checkout, *command):
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    program, *arguments = command
    return subprocess.run(
        [checkout / ".venv" / "bin" / program, *arguments], cwd=checkout, env=variables, capture_output=True, text=True
    )


def test_makes_a_component_that_keeps_the_conventions(checkout):
    made = call(checkout, "hallmark", "new", "component", "count_labels", "--stage", "data", "--environment", "ml")
    assert made.returncode == 0, made.stderr
    compiled = call(checkout, "hallmark", "compile")
    assert "wrote compiled/components/count_labels.yaml" in compiled.stdout
    assert "wrote components/data/count_labels/README.md" in compiled.stdout
    held = call(checkout, "python", "-m", "pytest", "-q", "tests/conventions")
    assert held.returncode == 0, held.stdout
    styled = call(checkout, "ruff", "check")
    assert styled.returncode == 0, styled.stdout
    assert call(checkout, "ruff", "format", "--check").returncode == 0
    tested = call(
        checkout,
        "hallmark",
        "env",
        "run",
        "ml",
        "--",
        "python",
        "-c",
        "import sys; sys.path.insert(0, 'tests'); from kfp_hallmark.components.data.count_labels.count import count",
    )
    assert tested.returncode == 0, tested.stderr


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
