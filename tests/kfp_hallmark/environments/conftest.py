"""A copy of the package whose environments hold two small packages, so that making one takes a second."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from kfp_hallmark.environments import ENVIRONMENTS

ROOT = Path(__file__).resolve().parents[3]


def locked(*names):
    """Return the entries of packages in the lock of `ml`."""
    text = (ROOT / "environments" / "ml" / "requirements.lock").read_text()
    return "".join(re.search(rf"^{name}==(.*\\\n)+.*\n", text, re.MULTILINE)[0] for name in names)


@dataclass
class House:
    """An installation of the package, as a wheel lays it out, and a folder for its environments."""

    root: Path
    environments: Path

    def lock(self, name="ml"):
        return self.root / "kfp_hallmark" / "_resources" / "environments" / name / "requirements.lock"

    def command(self, script):
        return [sys.executable, "-c", f"from kfp_hallmark.environments import local\n{script}"]

    def variables(self, **more):
        ours = {"PYTHONPATH": str(self.root), "PYTHONSAFEPATH": "1", "HALLMARK_ENVIRONMENTS": str(self.environments)}
        return os.environ | ours | more

    def run(self, script, **variables):
        """Run a script with `local` imported and return what it prints."""
        done = subprocess.run(self.command(script), env=self.variables(**variables), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, script):
        return subprocess.Popen(self.command(script), env=self.variables(), stdout=subprocess.PIPE, text=True)

    def ensure(self, name="ml"):
        """Make an environment and return the lines that it reports and the path of its Python."""
        *lines, python = self.run(f"print(local.ensure({name!r}, print))").splitlines()
        return lines, Path(python)

    def state(self, name="ml"):
        return self.run(f"print(local.look({name!r}).state)")


@pytest.fixture
def house(tmp_path):
    package = tmp_path / "installed" / "kfp_hallmark"
    shutil.copytree(ROOT / "kfp_hallmark", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("components", "pipelines"):
        shutil.copytree(ROOT / name, package / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "compiled", package / "_resources" / "compiled")
    house = House(package.parent, tmp_path / "environments")
    for name in ENVIRONMENTS:
        house.lock(name).parent.mkdir(parents=True)
        house.lock(name).write_text(locked("six", "zipp"))
    return house
